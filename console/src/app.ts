import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, state } from "lit/decorators.js";
import * as api from "./api.js";
import { clock } from "./model/format.js";
import { asProblem, type Problem } from "./model/problems.js";
import * as db from "./model/session-db.js";
import { recall, remember } from "./model/storage.js";
import { href, go, place, type Page } from "./router.js";
import { frame } from "./styles/frame.js";
import { shared } from "./styles/shared.js";
import { talk } from "./talk.js";
import { applyTheme, setTheme, theme, type Theme } from "./theme.js";
import { icon } from "./ui/icon.js";
import { Watch } from "./watch.js";
import "./pages/sign-in-page.js";
import "./pages/talk-page.js";

interface Entry {
  label: string;
  glyph: string;
  about: string;
  admins?: boolean;
}

const NAV: Record<Page, Entry> = {
  talk: { label: "Talk", glyph: "mic", about: "Speak with it" },
  turns: { label: "Turns", glyph: "gauge", about: "Where the time goes" },
  events: { label: "Events", glyph: "list", about: "Every event on the wire" },
  sessions: { label: "Sessions", glyph: "history", about: "Live and past calls" },
  code: { label: "Code", glyph: "code-xml", about: "These settings as a program" },
  playground: { label: "Playground", glyph: "square-terminal", about: "The three endpoints of /api/realtime" },
  "api-keys": { label: "API Keys", glyph: "key-round", about: "What programs show" },
  credits: { label: "Credits", glyph: "wallet", about: "Balance and ledger" },
  usage: { label: "Usage", glyph: "chart-column", about: "What was used, and what it cost" },
  limits: { label: "Limits", glyph: "activity", about: "How much is allowed, and how much is left" },
  prices: { label: "Prices", glyph: "tags", about: "What a model costs" },
  phone: { label: "Phone", glyph: "phone", about: "Trunks, numbers and calls", admins: true },
  upstreams: { label: "Upstreams", glyph: "link", about: "Who answers in this server’s place", admins: true },
  users: { label: "Users", glyph: "users", about: "Who may come in", admins: true },
  account: { label: "Account", glyph: "circle-user", about: "Who I am, and where I am signed in" },
};
const SECTIONS: { title: string; pages: Page[] }[] = [
  { title: "", pages: ["talk", "turns", "events", "sessions", "code", "playground"] },
  { title: "Settings", pages: ["api-keys", "credits", "usage", "limits", "prices", "upstreams", "phone", "users"] },
];
/** Beside each other at the bottom of a phone; the others are behind "More". */
const TABS: Page[] = ["talk", "turns", "events", "sessions"];
const THEMES: Record<Theme, { next: Theme; glyph: string; label: string }> = {
  system: { next: "light", glyph: "monitor", label: "Theme: system" },
  light: { next: "dark", glyph: "sun", label: "Theme: light" },
  dark: { next: "system", glyph: "moon", label: "Theme: dark" },
};
const FRAGMENT = "#sign-in=";

/** The page around the pages: who is signed in, where we are, and the call that goes on meanwhile. */
@customElement("parley-app")
export class App extends LitElement {
  static override styles = [shared, frame];

  /** The call, for whoever looks at the page from outside. */
  readonly talk = talk;
  @state() private signedIn: boolean | undefined;
  @state() private refusal = "";
  @state() private problem: Problem | undefined;
  @state() private at = place();
  @state() private slim = recall<boolean>("slim") ?? false;
  @state() private theme: Theme = theme();

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, talk);
    applyTheme();
    addEventListener("popstate", this.moved);
    addEventListener("hashchange", () => void this.enter());
    addEventListener("beforeunload", (event) => {
      if (talk.busy) event.preventDefault();
    });
    addEventListener(api.SIGNED_OUT, () => {
      if (this.signedIn && !talk.busy) this.signedIn = false;
    });
    void this.enter();
    void db.tidy().catch(() => undefined);
  }

  private moved = (): void => {
    const at = place();
    void load(at.page).then(() => {
      this.at = at;
      document.title = `${NAV[at.page].label} · Parley`;
    });
  };

  /** The one-time link first, then the cookie. */
  private async enter(): Promise<void> {
    try {
      if (location.hash.startsWith(FRAGMENT)) {
        const token = location.hash.slice(FRAGMENT.length);
        history.replaceState(null, "", location.pathname);
        await api.signIn({ token }).catch((error: unknown) => {
          if (!(error instanceof api.SignedOut)) throw error;
          this.refusal = error.message;
        });
      }
      talk.about = await api.about();
      this.adopt();
      await load(this.at.page);
      this.signedIn = true;
      this.moved();
    } catch (error) {
      if (error instanceof api.SignedOut) this.signedIn = false;
      else this.problem = asProblem(error);
    }
  }

  /** What is remembered may not exist here. */
  private adopt(): void {
    const { settings, about } = talk;
    if (!about) return;
    if (!about.models.includes(settings.model)) settings.model = about.default_model;
    if (!about.voices.includes(settings.voice)) settings.voice = about.default_voice;
  }

  override render(): TemplateResult {
    if (this.problem) return html`<div class="center"><parley-problem .problem=${this.problem} @dismiss=${() => location.reload()}></parley-problem></div>`;
    if (this.signedIn === undefined) return html`${nothing}`;
    if (!this.signedIn) return html`<parley-sign-in-page .refusal=${this.refusal} @signed-in=${() => this.enter()}></parley-sign-in-page>`;
    return html`<div class="frame ${this.slim ? "slim" : ""}">
      ${this.nav()}
      <main id="main" tabindex="-1">${this.page()}</main>
    </div>`;
  }

  private nav(): TemplateResult {
    return html`<nav aria-label="Console">
        <div class="brand"><span class="logo">${icon("audio-lines")}</span><span class="label">Parley</span></div>
        <div class="links">${SECTIONS.map((section) => this.section(section))}</div>
        ${talk.busy && this.at.page !== "talk"
          ? html`<div class="call foot">
              <span class="live"></span><span class="label grow">Call <span class="num">${clock(talk.elapsed)}</span></span>
              <button type="button" class="button danger icon small" aria-label="End the call" @click=${() => talk.stop()}>${icon("phone-off")}</button>
            </div>`
          : nothing}
        ${this.foot()}
        <button type="button" class="item foot" aria-label=${this.slim ? "Widen the navigation" : "Collapse the navigation"} @click=${this.toggle}>
          ${icon(this.slim ? "panel-left-open" : "panel-left-close")}<span class="label">Collapse</span>
        </button>
        <div class="version foot num">Parley ${talk.about?.version}</div>
        <button type="button" class="link tab more" popovertarget="more" aria-current=${TABS.includes(this.at.page) ? "false" : "page"}>
          ${icon("menu")}<span class="label">More</span>
        </button>
      </nav>
      <div id="more" class="sheet" popover role="navigation" aria-label="All pages">
        <div class="links">${SECTIONS.map((section) => this.section(section))}</div>
        ${this.foot()}
      </div>`;
  }

  private section({ title, pages }: (typeof SECTIONS)[number]): TemplateResult {
    return html`<div>
      ${title ? html`<h2>${title}</h2>` : nothing}
      ${pages.filter((page) => this.may(page)).map((page) => this.link(page, NAV[page].label, NAV[page].about))}
    </div>`;
  }

  private link(page: Page, label: string, about: string, more = ""): TemplateResult {
    return html`<a
      class="link ${TABS.includes(page) ? "tab" : ""} ${more}"
      href=${href(page)}
      aria-current=${this.at.page === page ? "page" : "false"}
      title=${about}
      @click=${(event: MouseEvent) => this.follow(event, page)}
    >
      ${icon(NAV[page].glyph)}<span class="label cut">${label}</span>
    </a>`;
  }

  /** Who I am, and what one does with the page as a whole. */
  private foot(): TemplateResult {
    const { next, glyph, label } = THEMES[this.theme];
    const user = talk.about?.user;
    return html`${this.link("account", user?.name || user?.email || "Account", `Account: ${user?.email}`, "foot")}
      <button type="button" class="item foot" aria-label="${label}. Switch." @click=${() => this.retheme(next)}>${icon(glyph)}<span class="label">${label}</span></button>
      <button type="button" class="item foot" aria-label="Sign out" @click=${this.leave}>${icon("log-out")}<span class="label">Sign out</span></button>`;
  }

  private may = (page: Page): boolean => !NAV[page].admins || talk.about?.user.role === "admin";

  private page(): TemplateResult {
    const { page, rest } = this.at;
    const about = talk.about!;
    if (!this.may(page)) return html`<div class="empty"><h2>This page is for admins</h2><p>Ask one of them for what you need.</p></div>`;
    switch (page) {
      case "talk":
        return html`<parley-talk-page .talk=${talk}></parley-talk-page>`;
      case "turns":
        return html`<parley-turns-page .talk=${talk}></parley-turns-page>`;
      case "events":
        return html`<parley-events-page .talk=${talk}></parley-events-page>`;
      case "sessions":
        return html`<parley-sessions-page .talk=${talk} .chosen=${rest}></parley-sessions-page>`;
      case "code":
        return html`<parley-code-page .talk=${talk}></parley-code-page>`;
      case "playground":
        return html`<parley-playground-page .about=${about}></parley-playground-page>`;
      case "api-keys":
        return html`<parley-api-keys-page .about=${about} .chosen=${rest}></parley-api-keys-page>`;
      case "credits":
        return html`<parley-credits-page .about=${about} .chosen=${rest}></parley-credits-page>`;
      case "usage":
        return html`<parley-usage-page .about=${about} .chosen=${rest}></parley-usage-page>`;
      case "limits":
        return html`<parley-limits-page .about=${about} .chosen=${rest}></parley-limits-page>`;
      case "prices":
        return html`<parley-prices-page .about=${about}></parley-prices-page>`;
      case "phone":
        return html`<parley-phone-page .chosen=${rest}></parley-phone-page>`;
      case "upstreams":
        return html`<parley-upstreams-page .about=${about}></parley-upstreams-page>`;
      case "users":
        return html`<parley-users-page .about=${about}></parley-users-page>`;
      case "account":
        return html`<parley-account-page .about=${about} @sign-out=${this.leave}></parley-account-page>`;
    }
  }

  private follow(event: MouseEvent, page: Page): void {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    this.renderRoot.querySelector<HTMLElement>("#more")?.hidePopover();
    go(page);
  }

  private retheme(next: Theme): void {
    this.theme = next;
    setTheme(next);
  }

  private toggle = (): void => {
    this.slim = !this.slim;
    remember("slim", this.slim);
  };

  private async leave(): Promise<void> {
    await talk.stop();
    await api.signOut().catch(() => undefined);
    this.signedIn = false;
  }
}

/** What most visitors need comes with the page; the rest when it is wanted. */
const LATER: Partial<Record<Page, () => Promise<unknown>>> = {
  turns: () => import("./pages/turns-page.js"),
  events: () => import("./pages/events-page.js"),
  sessions: () => import("./pages/sessions-page.js"),
  code: () => import("./pages/code-page.js"),
  playground: () => import("./pages/playground-page.js"),
  "api-keys": () => import("./pages/api-keys-page.js"),
  credits: () => import("./pages/credits-page.js"),
  usage: () => import("./pages/usage-page.js"),
  limits: () => import("./pages/limits-page.js"),
  prices: () => import("./pages/prices-page.js"),
  phone: () => import("./pages/phone-page.js"),
  upstreams: () => import("./pages/upstreams-page.js"),
  users: () => import("./pages/users-page.js"),
  account: () => import("./pages/account-page.js"),
};

async function load(page: Page): Promise<void> {
  await LATER[page]?.();
}
