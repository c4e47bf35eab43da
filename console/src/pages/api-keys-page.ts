import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { newId } from "../model/ids.js";
import { AMOUNT_PATTERN, credits } from "../model/money.js";
import { date, moment } from "../model/moments.js";
import { go } from "../router.js";
import { code } from "../styles/code.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import "../ui/account-picker.js";
import { Asked } from "../ui/asked.js";
import "../ui/form-dialog.js";
import { amountOf } from "../ui/form-fields.js";
import { icon } from "../ui/icon.js";
import { keyFields, newKeyFields, newKeyOf, rulesOf } from "../ui/key-fields.js";
import "../ui/once.js";
import "../ui/problem-note.js";

type Dialog = { kind: "create" } | { kind: "change" | "budget" | "revoke"; key: management.Key; once: string };

@customElement("parley-api-keys-page")
export class ApiKeysPage extends LitElement {
  static override styles = [shared, desk, fields, code];

  @property({ attribute: false }) about!: About;
  /** The account that an admin looks at; empty: one's own. */
  @property() chosen = "";
  @state() private dialog: Dialog | undefined;
  @state() private made = "";
  private keys = new Asked<management.Key[]>(this);

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has("chosen")) return;
    this.keys.forget();
    this.refresh();
  }

  private refresh = (): void => void this.keys.ask(management.keys(this.chosen));

  override render(): TemplateResult {
    const { value: keys, problem } = this.keys;
    return html`
      <header class="page-head">
        <h1>API Keys</h1>
        <span class="quiet wide">What a program shows to be let in; it spends the credits of its account</span>
        <span class="grow"></span>
        ${this.about.user.role === "admin"
          ? html`<parley-account-picker .own=${this.about.account} .value=${this.chosen} @change=${this.choose}></parley-account-picker>`
          : nothing}
        <button type="button" class="button primary" @click=${() => (this.dialog = { kind: "create" })}>${icon("plus")}New key</button>
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${this.keys.dismiss}></parley-problem>` : nothing}
          ${keys ? (keys.length ? this.table(keys) : this.empty()) : nothing}
        </div>
      </div>
      ${this.dialogs()}
      <parley-once label="Your new key" .value=${this.made} @closed=${() => (this.made = "")}>
        <p>Copy it now and keep it like a password. It is shown this once; Parley keeps only a fingerprint of it.</p>
        <div slot="more"><pre class="code">${this.example()}</pre></div>
      </parley-once>
    `;
  }

  private empty(): TemplateResult {
    return html`<div class="empty">
      <span class="badge-icon">${icon("key-round")}</span>
      <h2>No keys yet</h2>
      <p>A key lets a program call the Realtime API in your name: the SDKs take it as <code>api_key</code>, curl as <code>Authorization: Bearer</code>.</p>
      <button type="button" class="button primary" @click=${() => (this.dialog = { kind: "create" })}>Make the first key</button>
    </div>`;
  }

  private table(keys: management.Key[]): TemplateResult {
    return html`<section class="card" aria-label="API keys">
      <div class="scroll" tabindex="0" role="region" aria-label="Table of keys">
        <table class="stacked">
          <thead>
            <tr>
              <th scope="col">Name</th><th scope="col">Key</th><th scope="col">May</th><th scope="col" class="right">Budget left</th>
              <th scope="col">Made</th><th scope="col">Last used</th><th scope="col">State</th><th scope="col"><span class="hidden">Actions</span></th>
            </tr>
          </thead>
          <tbody>${keys.map((key) => this.row(key))}</tbody>
        </table>
      </div>
    </section>`;
  }

  private row(key: management.Key): TemplateResult {
    const open = (kind: "change" | "budget" | "revoke") => () => (this.dialog = { kind, key, once: newId() });
    return html`<tr class=${key.revoked_at ? "off" : ""}>
      <th scope="row">${key.name}</th>
      <td data-label="Key"><code>${key.hint}</code></td>
      <td data-label="May"><span class="row">${(key.rules.scopes ?? []).map((scope) => html`<span class="pill">${scope}</span>`)}${restrictions(key)}</span></td>
      <td class="right" data-label="Budget left">${key.budget_micro === null ? html`<span class="quiet">no own</span>` : credits(key.budget_micro)}</td>
      <td class="still" data-label="Made">${date(key.created_at)}</td>
      <td class="still" data-label="Last used">${key.used_at ? moment(key.used_at) : html`<span class="quiet">never</span>`}</td>
      <td data-label="State">${status(key)}</td>
      <td class="actions">
        ${key.revoked_at
          ? nothing
          : html`<button type="button" class="button plain icon small" aria-label="Change ${key.name}" title="What it may do" @click=${open("change")}>${icon("pencil")}</button>
              ${key.budget_micro === null ? nothing : html`<button type="button" class="button plain icon small" aria-label="More budget for ${key.name}" title="More budget" @click=${open("budget")}>${icon("plus")}</button>`}
              <button type="button" class="button plain small" aria-label="Revoke ${key.name}" @click=${open("revoke")}>Revoke</button>`}
      </td>
    </tr>`;
  }

  private dialogs(): TemplateResult {
    const { dialog } = this;
    const close = () => (this.dialog = undefined);
    switch (dialog?.kind) {
      case undefined:
        return html`${nothing}`;
      case "create":
        return html`<parley-form-dialog label="New API key" action="Make the key" open .fields=${newKeyFields(this.about)} .submit=${this.create} @closed=${close}></parley-form-dialog>`;
      case "change":
        return html`<parley-form-dialog label="What “${dialog.key.name}” may do" open .fields=${keyFields(this.about, dialog.key.rules)} .submit=${this.change(dialog.key)} @closed=${close}></parley-form-dialog>`;
      case "budget":
        return html`<parley-form-dialog label="More budget for “${dialog.key.name}”" action="Add" open .fields=${BUDGET} .submit=${this.addBudget(dialog.key, dialog.once)} @closed=${close}></parley-form-dialog>`;
      case "revoke":
        return html`<parley-form-dialog label="Revoke “${dialog.key.name}”?" action="Revoke" danger open .fields=${REVOKE} .submit=${this.revoke(dialog.key)} @closed=${close}></parley-form-dialog>`;
    }
  }

  private create = async (data: FormData): Promise<void> => {
    const made = await management.createKey(this.chosen, newKeyOf(data));
    this.refresh();
    this.made = made.value;
  };

  private change = (key: management.Key) => async (data: FormData): Promise<void> => {
    await management.changeKey(this.chosen, key.id, { ...key.rules, ...rulesOf(data) });
    this.refresh();
  };

  private addBudget = (key: management.Key, once: string) => async (data: FormData): Promise<void> => {
    await management.addBudget(this.chosen, key.id, amountOf(data, "amount"), once);
    this.refresh();
  };

  private revoke = (key: management.Key) => async (): Promise<void> => {
    await management.revokeKey(this.chosen, key.id);
    this.refresh();
  };

  private choose = (event: Event): void => go("api-keys", (event.target as unknown as { value: string }).value);

  private example = (): string => `curl "${location.origin}/v1/models" \\\n  -H "Authorization: Bearer ${this.made}"`;
}

const BUDGET = html`
  <p class="quiet">The key may spend so much more of its account's credits. The account itself gets nothing.</p>
  <label class="field">Credits<input class="control num" name="amount" inputmode="decimal" pattern=${AMOUNT_PATTERN} placeholder="2.50" required autofocus /></label>
`;
const REVOKE = html`<p>Programs that use it are refused at once, and what runs with it ends. This cannot be undone.</p>`;

function status(key: management.Key): TemplateResult {
  if (key.revoked_at) return html`<span class="pill bad">revoked</span>`;
  if (key.expires_at === null) return html`<span class="pill good">active</span>`;
  const over = key.expires_at * 1000 < Date.now();
  return html`<span class="pill ${over ? "bad" : "good"}">${over ? "expired" : "until"} ${date(key.expires_at)}</span>`;
}

/** In a few words, what the key is kept from. */
function restrictions({ rules }: management.Key): TemplateResult[] {
  const { models = [], voices = [] } = rules;
  const said = [
    models.length && (models.length === 1 ? models[0] : `${models.length} models`),
    voices.length && (voices.length === 1 ? voices[0] : `${voices.length} voices`),
    rules.requests_per_minute != null && `${rules.requests_per_minute} requests/min`,
    rules.tokens_per_minute != null && `${rules.tokens_per_minute} tokens/min`,
    rules.audio_minutes_per_day != null && `${rules.audio_minutes_per_day} min sound/day`,
    rules.sessions_at_once != null && `${rules.sessions_at_once} at once`,
  ];
  return said.filter(Boolean).map((text) => html`<span class="pill accent">${text}</span>`);
}
