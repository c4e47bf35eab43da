import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import * as api from "../api.js";
import { asProblem } from "../model/problems.js";
import { recall, remember } from "../model/storage.js";
import { shared } from "../styles/shared.js";
import { icon } from "../ui/icon.js";
import "../ui/segmented.js";

type Way = "key" | "email";

/** For those without a link: an API key does as well, or an e-mail address with its password. Event: `signed-in`. */
@customElement("parley-sign-in-page")
export class SignInPage extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid;
        place-content: center;
        height: 100%;
        padding: 24px;
      }
      main {
        width: min(380px, calc(100vw - 32px));
        padding: 32px;
      }
      .logo {
        display: grid;
        place-items: center;
        width: 40px;
        height: 40px;
        border-radius: 11px;
        background: var(--accent);
        color: #fff;
        font-size: 24px;
      }
      h1 {
        margin: 20px 0 4px;
        font-size: 20px;
        line-height: 28px;
      }
      form {
        display: flex;
        flex-direction: column;
        gap: 12px;
        margin-top: 16px;
      }
      label {
        font-size: 13px;
        font-weight: 500;
      }
      .control {
        height: 40px;
        margin-top: 6px;
      }
      input[name="key"] {
        font-family: var(--mono);
      }
      parley-segmented {
        margin-top: 24px;
      }
      .button {
        height: 40px;
      }
      a.button {
        margin-top: 12px;
        color: inherit;
        text-decoration: none;
      }
      .bad {
        margin-top: 16px;
        padding: 8px 12px;
        border: 1px solid var(--warn-line);
        border-radius: var(--radius-s);
        background: var(--warn-soft);
        color: var(--warn-text);
        font-size: 13px;
      }
    `,
  ];

  @property() refusal = "";
  @state() private waiting = false;
  @state() private provider: string | null = null;
  @state() private way = recall<Way>("sign-in") ?? "key";

  override connectedCallback(): void {
    super.connectedCallback();
    api.provider().then(
      (name) => (this.provider = name),
      () => undefined, // then there is none to offer; signing in will say what is wrong
    );
  }

  override render(): TemplateResult {
    return html`<main class="card">
      <span class="logo">${icon("audio-lines")}</span>
      <h1>Sign in to Parley</h1>
      <p class="quiet">Open the link that <code>parley serve</code> prints when it starts, or that an admin gave you. Or use one of these.</p>
      <parley-segmented
        label="Sign in with"
        .value=${this.way}
        .choices=${[
          { value: "key", label: "API key" },
          { value: "email", label: "E-mail" },
        ]}
        @change=${(event: Event) => (this.way = (event.target as unknown as { value: Way }).value)}
      ></parley-segmented>
      ${this.refusal ? html`<p class="bad" role="alert">${this.refusal}</p>` : nothing}
      <form @submit=${this.submit}>
        ${this.way === "key" ? this.keyField() : this.passwordFields()}
        <button class="button primary" ?disabled=${this.waiting}>${this.waiting ? "Signing in…" : "Sign in"}</button>
      </form>
      ${this.provider ? html`<a class="button" href="/api/console/oidc">Sign in with ${this.provider}</a>` : nothing}
    </main>`;
  }

  private keyField(): TemplateResult {
    return html`<input class="hidden" name="username" autocomplete="username" value="parley" tabindex="-1" aria-hidden="true" readonly />
      <label>API key<input class="control" name="key" type="password" autocomplete="current-password" placeholder="sk-…" required /></label>`;
  }

  private passwordFields(): TemplateResult {
    return html`<label>E-mail<input class="control" name="email" type="email" autocomplete="username" required /></label>
      <label>Password<input class="control" name="password" type="password" autocomplete="current-password" required /></label>`;
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const data = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(data.get(name));
    this.waiting = true;
    try {
      await api.signIn(this.way === "key" ? { key: text("key").trim() } : { email: text("email").trim(), password: text("password") });
      remember("sign-in", this.way);
      this.dispatchEvent(new Event("signed-in"));
    } catch (error) {
      this.refusal = error instanceof api.SignedOut ? error.message : (asProblem(error).detail ?? asProblem(error).title);
    } finally {
      this.waiting = false;
    }
  }
}
