import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import * as management from "../management.js";
import { shared } from "../styles/shared.js";
import { Asked } from "./asked.js";

/** Whose things a page shows; for admins, and only where there is more than one account. Event: `change`. */
@customElement("parley-account-picker")
export class AccountPicker extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        min-width: 0;
      }
      label {
        display: flex;
        align-items: center;
        gap: 8px;
        font-size: 13px;
      }
      select {
        width: auto;
        min-width: 0;
        max-width: min(280px, 48vw);
      }
    `,
  ];

  /** One's own. */
  @property() own = "";
  /** Empty: one's own. */
  @property() value = "";
  private people = new Asked<management.Person[]>(this);

  override connectedCallback(): void {
    super.connectedCallback();
    void this.people.ask(management.users());
  }

  override render(): TemplateResult | typeof nothing {
    const accounts = byAccount(this.people.value ?? []);
    const chosen = this.value || this.own;
    if (accounts.size < 2 && accounts.has(chosen)) return nothing;
    if (!this.people.value) return nothing;
    return html`<label>
      <span class="quiet wide">Account</span>
      <select class="control" aria-label="Account" @change=${this.choose}>
        ${[...accounts].map(([id, emails]) => html`<option value=${id} ?selected=${id === chosen}>${emails.join(", ")}</option>`)}
        ${accounts.has(chosen) ? nothing : html`<option value=${chosen} selected>${chosen}</option>`}
      </select>
    </label>`;
  }

  private choose(event: Event): void {
    const chosen = (event.target as HTMLSelectElement).value;
    this.value = chosen === this.own ? "" : chosen;
    this.dispatchEvent(new Event("change"));
  }
}

function byAccount(people: readonly management.Person[]): Map<string, string[]> {
  const accounts = new Map<string, string[]>();
  for (const { account, email } of people) accounts.set(account, [...(accounts.get(account) ?? []), email]);
  return accounts;
}
