import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import * as api from "../api.js";
import * as management from "../management.js";
import { moment } from "../model/moments.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { Asked, sentence } from "../ui/asked.js";
import "../ui/problem-note.js";

const BASIS_POINTS = 100;

/** Who I am, where I am signed in, and my password. Event: `sign-out`. */
@customElement("parley-account-page")
export class AccountPage extends LitElement {
  static override styles = [shared, desk, fields];

  @property({ attribute: false }) about!: api.About;
  @state() private refusal = "";
  @state() private changed = false;
  private me = new Asked<management.Me>(this);
  private signIns = new Asked<management.SignIn[]>(this);

  override connectedCallback(): void {
    super.connectedCallback();
    void this.me.ask(management.me());
    this.refresh();
  }

  private refresh = (): void => void this.signIns.ask(management.signIns());

  override render(): TemplateResult {
    const problem = this.me.problem ?? this.signIns.problem;
    return html`
      <header class="page-head">
        <h1>Account</h1>
        <span class="quiet wide">Who you are here, and where you are signed in</span>
        <span class="grow"></span>
        <button type="button" class="button" @click=${() => this.dispatchEvent(new Event("sign-out"))}>Sign out here</button>
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${() => (this.me.dismiss(), this.signIns.dismiss())}></parley-problem>` : nothing}
          ${this.me.value ? this.who(this.me.value) : nothing} ${this.password()}
          ${this.signIns.value ? this.places(this.signIns.value) : nothing}
        </div>
      </div>
    `;
  }

  private who({ user, account, markup_bp }: management.Me): TemplateResult {
    return html`<section class="card" aria-label="You">
      <header><h2>${user.name || user.email}</h2><span class="pill ${user.role === "admin" ? "accent" : ""}">${user.role}</span></header>
      <table>
        <tbody>
          <tr><th scope="row">E-mail</th><td>${user.email}</td></tr>
          <tr><th scope="row">Account</th><td><code>${account}</code></td></tr>
          <tr><th scope="row">Here since</th><td>${moment(user.created_at)}</td></tr>
          ${markup_bp ? html`<tr><th scope="row">On top of prices</th><td>${percent(markup_bp)}</td></tr>` : nothing}
        </tbody>
      </table>
    </section>`;
  }

  private password(): TemplateResult {
    return html`<section class="card" aria-label="Password">
      <header><h2>Password</h2><span class="quiet small">to sign in with your e-mail address instead of a link; setting it ends all other sign-ins</span></header>
      <form @submit=${this.setPassword}>
        <input class="hidden" name="username" autocomplete="username" .value=${this.about.user.email} tabindex="-1" aria-hidden="true" readonly />
        <div class="two">
          <label class="field">New password<input class="control" name="password" type="password" autocomplete="new-password" required /></label>
          <label class="field">Once more<input class="control" name="again" type="password" autocomplete="new-password" required /></label>
        </div>
        ${this.refusal ? html`<p class="refusal" role="alert">${this.refusal}</p>` : nothing}
        <div class="row">
          <button class="button">Set the password</button>
          <span role="status">${this.changed ? html`<span class="pill good">changed</span>` : nothing}</span>
        </div>
      </form>
    </section>`;
  }

  private places(signIns: management.SignIn[]): TemplateResult {
    return html`<section class="card" aria-label="Sign-ins">
      <header><h2>Signed in</h2><span class="quiet small">end what you do not know</span></header>
      <div class="scroll" tabindex="0" role="region" aria-label="Table of sign-ins">
        <table class="stacked">
          <thead><tr><th scope="col">Browser</th><th scope="col">Since</th><th scope="col">Last seen</th><th scope="col">Ends</th><th scope="col"><span class="hidden">Actions</span></th></tr></thead>
          <tbody>
            ${signIns.map(
              (one) => html`<tr>
                <th scope="row">${one.agent || "unknown"}${one.current ? html` <span class="pill">this one</span>` : nothing}</th>
                <td class="still" data-label="Since">${moment(one.created_at)}</td><td class="still" data-label="Last seen">${moment(one.seen_at)}</td><td class="still" data-label="Ends">${moment(one.expires_at)}</td>
                <td class="actions"><button type="button" class="button small" aria-label="End the sign-in of ${moment(one.created_at)}" @click=${() => this.end(one.id)}>End</button></td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </section>`;
  }

  private async setPassword(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const data = new FormData(form);
    this.changed = false;
    this.refusal = "";
    try {
      if (data.get("password") !== data.get("again")) throw new Error("The two are not the same.");
      await this.change(String(data.get("password")));
      form.reset();
      this.changed = true;
      this.refresh();
    } catch (error) {
      this.refusal = sentence(error);
    }
  }

  /** A new password ends every sign-in, so this one begins anew. */
  private async change(password: string): Promise<void> {
    await management.setPassword(password);
    await api.signIn({ email: this.about.user.email, password });
    await api.about();
  }

  private async end(id: string): Promise<void> {
    await this.signIns.ask(management.endSignIn(id).then(management.signIns));
  }
}

/** "20 %" of 2000 hundredths of a percent. */
const percent = (bp: number): string => `${bp / BASIS_POINTS} %`;
