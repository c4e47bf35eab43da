import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, state } from "lit/decorators.js";
import * as api from "./api.js";
import { clock } from "./model/format.js";
import { asProblem, type Problem } from "./model/problems.js";
import * as db from "./model/session-db.js";
import { recall, remember } from "./model/storage.js";
import { href, go, PAGES, place, type Page } from "./router.js";
import { shared } from "./styles/shared.js";
import { talk } from "./talk.js";
import { applyTheme, setTheme, theme, type Theme } from "./theme.js";
import { icon } from "./ui/icon.js";
import { Watch } from "./watch.js";
import "./pages/sign-in-page.js";
import "./pages/talk-page.js";

const NAV: Record<Page, { label: string; glyph: string; about: string }> = {
  talk: { label: "Talk", glyph: "mic", about: "Speak with it" },
  turns: { label: "Turns", glyph: "gauge", about: "Where the time goes" },
  events: { label: "Events", glyph: "list", about: "Every event on the wire" },
  sessions: { label: "Sessions", glyph: "history", about: "Live and past calls" },
  code: { label: "Code", glyph: "code-xml", about: "These settings as a program" },
};
const THEMES: Record<Theme, { next: Theme; glyph: string; label: string }> = {
  system: { next: "light", glyph: "monitor", label: "Theme: system" },
  light: { next: "dark", glyph: "sun", label: "Theme: light" },
  dark: { next: "system", glyph: "moon", label: "Theme: dark" },
};
const FRAGMENT = "#sign-in=";

/** The page around the pages: who is signed in, where we are, and the call that goes on meanwhile. */
@customElement("parley-app")
export class App extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        height: 100%;
        background: var(--bg);
      }
      .frame {
        display: grid;
        grid-template: minmax(0, 1fr) / var(--nav) minmax(0, 1fr);
        height: 100%;
      }
      .frame.slim {
        grid-template-columns: 61px minmax(0, 1fr);
      }
      main {
        min-width: 0;
        min-height: 0;
        height: 100%;
      }
      main > * {
        display: block;
        height: 100%;
      }
      main > parley-talk-page {
        display: grid;
      }
      nav {
        display: flex;
        flex-direction: column;
        gap: 2px;
        padding: 0 12px 12px;
        border-right: 1px solid var(--line);
        background: var(--bg);
        min-width: 0;
      }
      .brand {
        display: flex;
        align-items: center;
        gap: 10px;
        height: 56px;
        padding: 0 6px;
        font-size: 15px;
        font-weight: 650;
        letter-spacing: -0.01em;
      }
      .logo {
        flex: none;
        display: grid;
        place-items: center;
        width: 24px;
        height: 24px;
        border-radius: 7px;
        background: var(--accent);
        color: #fff;
        font-size: 15px;
      }
      nav a,
      nav .item {
        display: flex;
        align-items: center;
        gap: 10px;
        height: 36px;
        padding: 0 10px;
        border: 0;
        border-radius: var(--radius-s);
        background: none;
        color: var(--soft);
        font-weight: 500;
        text-decoration: none;
        text-align: left;
        cursor: pointer;
        white-space: nowrap;
        overflow: hidden;
      }
      nav a wa-icon,
      nav .item wa-icon {
        flex: none;
        font-size: 16px;
        color: var(--quiet);
      }
      nav a:hover,
      nav .item:hover {
        background: var(--hover);
      }
      nav a[aria-current="page"] {
        background: var(--selected);
        color: var(--text);
      }
      nav a[aria-current="page"] wa-icon {
        color: var(--accent-text);
      }
      .call {
        display: flex;
        align-items: center;
        gap: 8px;
        margin-bottom: 8px;
        padding: 8px 8px 8px 10px;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--surface);
        font-size: 13px;
      }
      .call .live {
        flex: none;
        width: 8px;
        height: 8px;
        border-radius: 4px;
        background: var(--good);
      }
      .version {
        padding: 8px 10px 0;
        color: var(--quiet);
        font-size: 12px;
      }
      .slim .call {
        justify-content: center;
        padding: 3px;
      }
      .slim .call .live,
      .slim .label,
      .slim .version,
      .slim .brand .label,
      .slim .call .label {
        display: none;
      }
      .skip {
        position: absolute;
        left: -999px;
      }
      .skip:focus {
        left: 12px;
        top: 12px;
        z-index: 50;
        padding: 8px 12px;
        border-radius: var(--radius-s);
        background: var(--raised);
      }
      .center {
        height: 100%;
        display: grid;
        place-content: center;
      }
      @media (max-width: 760px) {
        .frame,
        .frame.slim {
          grid-template: minmax(0, 1fr) auto / minmax(0, 1fr);
        }
        main {
          grid-row: 1;
        }
        nav {
          grid-row: 2;
          flex-direction: row;
          justify-content: space-around;
          gap: 0;
          padding: 4px 4px max(4px, env(safe-area-inset-bottom));
          border-right: 0;
          border-top: 1px solid var(--line);
        }
        nav a {
          flex: 1;
          flex-direction: column;
          justify-content: center;
          gap: 2px;
          height: 48px;
          padding: 0;
          font-size: 11px;
        }
        .frame nav a .label {
          display: block;
        }
        nav a wa-icon {
          font-size: 18px;
        }
        .brand,
        .foot,
        .grow {
          display: none !important;
        }
      }
    `,
  ];

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
    const { next, glyph, label } = THEMES[this.theme];
    return html`<nav aria-label="Console">
      <div class="brand"><span class="logo">${icon("audio-lines")}</span><span class="label">Parley</span></div>
      ${PAGES.map(
        (page) => html`<a href=${href(page)} aria-current=${this.at.page === page ? "page" : "false"} title=${NAV[page].about} @click=${(event: MouseEvent) => this.follow(event, page)}>
          ${icon(NAV[page].glyph)}<span class="label">${NAV[page].label}</span>
        </a>`,
      )}
      <span class="grow"></span>
      ${talk.busy && this.at.page !== "talk"
        ? html`<div class="call foot">
            <span class="live"></span><span class="label grow">Call <span class="num">${clock(talk.elapsed)}</span></span>
            <button type="button" class="button danger icon small" aria-label="End the call" @click=${() => talk.stop()}>${icon("phone-off")}</button>
          </div>`
        : nothing}
      <button type="button" class="item foot" aria-label="${label}. Switch." @click=${() => this.retheme(next)}>${icon(glyph)}<span class="label">${label}</span></button>
      <button type="button" class="item foot" aria-label=${this.slim ? "Widen the navigation" : "Collapse the navigation"} @click=${this.toggle}>
        ${icon(this.slim ? "panel-left-open" : "panel-left-close")}<span class="label">Collapse</span>
      </button>
      <button type="button" class="item foot" aria-label="Sign out" @click=${this.leave}>${icon("log-out")}<span class="label">Sign out</span></button>
      <div class="version foot num">Parley ${talk.about?.version}</div>
    </nav>`;
  }

  private page(): TemplateResult {
    switch (this.at.page) {
      case "talk":
        return html`<parley-talk-page .talk=${talk}></parley-talk-page>`;
      case "turns":
        return html`<parley-turns-page .talk=${talk}></parley-turns-page>`;
      case "events":
        return html`<parley-events-page .talk=${talk}></parley-events-page>`;
      case "sessions":
        return html`<parley-sessions-page .talk=${talk} .chosen=${this.at.rest}></parley-sessions-page>`;
      case "code":
        return html`<parley-code-page .talk=${talk}></parley-code-page>`;
    }
  }

  private follow(event: MouseEvent, page: Page): void {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
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
async function load(page: Page): Promise<void> {
  switch (page) {
    case "talk":
      return;
    case "turns":
      await import("./pages/turns-page.js");
      return;
    case "events":
      await import("./pages/events-page.js");
      return;
    case "sessions":
      await import("./pages/sessions-page.js");
      return;
    case "code":
      await import("./pages/code-page.js");
  }
}
