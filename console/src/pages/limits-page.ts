import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { count } from "../model/format.js";
import { LIMITS, untilReset } from "../model/limits.js";
import { go, href } from "../router.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import "../ui/account-picker.js";
import { Asked } from "../ui/asked.js";
import "../ui/form-dialog.js";
import { maybeWhole, text } from "../ui/form-fields.js";
import { icon } from "../ui/icon.js";
import "../ui/problem-note.js";

@customElement("parley-limits-page")
export class LimitsPage extends LitElement {
  static override styles = [
    shared,
    desk,
    fields,
    css`
      meter {
        width: 120px;
        height: 12px;
        vertical-align: middle;
      }
    `,
  ];

  @property({ attribute: false }) about!: About;
  /** The account that an admin looks at; empty: one's own. */
  @property() chosen = "";
  @state() private setting = false;
  private limits = new Asked<management.Limit[]>(this);
  private keys = new Asked<management.Key[]>(this);

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has("chosen")) return;
    this.limits.forget();
    void this.keys.ask(management.keys(this.chosen));
    this.refresh();
  }

  private refresh = (): void => void this.limits.ask(management.limits(this.chosen));

  override render(): TemplateResult {
    const admin = this.about.user.role === "admin";
    const { value: limits, problem } = this.limits;
    return html`
      <header class="page-head">
        <h1>Limits</h1>
        <span class="quiet wide">How much is allowed, and how much of it is left</span>
        <span class="grow"></span>
        ${admin ? html`<parley-account-picker .own=${this.about.account} .value=${this.chosen} @change=${this.choose}></parley-account-picker>` : nothing}
        <button type="button" class="button icon" aria-label="Look again" title="Look again" @click=${this.refresh}>${icon("refresh-cw")}</button>
        ${admin ? html`<button type="button" class="button primary" @click=${() => (this.setting = true)}>Set limits</button>` : nothing}
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${this.limits.dismiss}></parley-problem>` : nothing}
          ${limits ? (limits.length ? this.table(limits) : this.empty(admin)) : nothing}
        </div>
      </div>
      ${this.setting
        ? html`<parley-form-dialog label="Limits of the account" action="Set the limits" open .fields=${LIMIT_FIELDS} .submit=${this.set} @closed=${() => (this.setting = false)}></parley-form-dialog>`
        : nothing}
    `;
  }

  private empty(admin: boolean): TemplateResult {
    return html`<div class="empty">
      <span class="badge-icon">${icon("gauge")}</span>
      <h2>No limits are set</h2>
      <p>
        ${admin ? "Settings limit every account, “Set limits” this one." : "An admin may limit your account."} A key can have limits of its own: see
        <a href=${href("api-keys", this.chosen)} @click=${(event: Event) => (event.preventDefault(), go("api-keys", this.chosen))}>API Keys</a>.
      </p>
    </div>`;
  }

  private table(limits: management.Limit[]): TemplateResult {
    return html`<section class="card" aria-label="Limits">
      <div class="scroll" tabindex="0" role="region" aria-label="Table of limits">
        <table class="stacked">
          <thead><tr><th scope="col">Of</th><th scope="col">What</th><th scope="col" class="right">Left</th><th scope="col" class="right">Limit</th><th scope="col"><span class="hidden">Share that is left</span></th><th scope="col">All there again</th></tr></thead>
          <tbody>${limits.map((limit) => this.row(limit))}</tbody>
        </table>
      </div>
    </section>`;
  }

  private row({ subject, id, name, limit, remaining, reset_seconds }: management.Limit): TemplateResult {
    const key = this.keys.value?.find((one) => one.id === id);
    const label = LIMITS.find((one) => one.name === name)?.label ?? name;
    return html`<tr>
      <th scope="row">${subject === "account" ? "the account" : `key ${key ? key.name : id}`}</th>
      <td data-label="What">${label}</td>
      <td class="right" data-label="Left">${count(remaining)}</td>
      <td class="right" data-label="Limit">${count(limit)}</td>
      <td><meter min="0" max=${Math.max(1, limit)} low=${limit / 5} high=${limit / 2} optimum=${limit} .value=${remaining} aria-label="Left of ${label}"></meter></td>
      <td class="still" data-label="All there again">${name === "sessions_at_once" ? html`<span class="quiet">when they end</span>` : untilReset(reset_seconds)}</td>
    </tr>`;
  }

  private set = async (data: FormData): Promise<void> => {
    const wanted: management.AccountLimits = {};
    for (const { name } of LIMITS) {
      const how = text(data, `how:${name}`);
      if (how === "none") wanted[name] = null;
      if (how === "number") wanted[name] = numberOf(data, name);
    }
    await management.setLimits(this.chosen || this.about.account, wanted);
    this.refresh();
  };

  private choose = (event: Event): void => go("limits", (event.target as unknown as { value: string }).value);
}

function numberOf(data: FormData, name: string): number {
  const number = maybeWhole(data, name);
  if (number === null) throw new Error("Write a number where one is chosen; 0 allows nothing.");
  return number;
}

const LIMIT_FIELDS = html`
  <p class="quiet">For everything that this account and its keys do. This replaces what was set for it before.</p>
  ${LIMITS.map(
    ({ name, label }) => html`<div class="two">
      <label class="field">${label}
        <select class="control" name="how:${name}" aria-label=${label}>
          <option value="">as for all accounts</option>
          <option value="number">this number</option>
          <option value="none">no limit</option>
        </select>
      </label>
      <label class="field">Number<input class="control num" name=${name} inputmode="numeric" pattern="\\d{1,10}" autocomplete="off" aria-label="${label}: number" /></label>
    </div>`,
  )}
`;
