import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { newId } from "../model/ids.js";
import { AMOUNT_PATTERN, credits } from "../model/money.js";
import { moment } from "../model/moments.js";
import { go } from "../router.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import "../ui/account-picker.js";
import { Asked } from "../ui/asked.js";
import "../ui/form-dialog.js";
import { amountOf, text } from "../ui/form-fields.js";
import { icon } from "../ui/icon.js";
import "../ui/problem-note.js";

const NOTE_CHARS_MAX = 500;
const KINDS: Record<string, { label: string; sign: "+" | "−" | ""; style: string; about: string }> = {
  credit: { label: "credit", sign: "+", style: "good", about: "Added to the balance" },
  hold: { label: "hold", sign: "", style: "", about: "Reserved for work that begins" },
  extend: { label: "more held", sign: "", style: "", about: "Reserved for work that goes on" },
  capture: { label: "spent", sign: "−", style: "accent", about: "Paid out of what was reserved" },
  close: { label: "closed", sign: "−", style: "accent", about: "The last of it paid, the rest given back" },
  settle: { label: "settled", sign: "−", style: "accent", about: "Ended for a server that was gone" },
};

@customElement("parley-credits-page")
export class CreditsPage extends LitElement {
  static override styles = [shared, desk, fields];

  @property({ attribute: false }) about!: About;
  /** The account that an admin looks at; empty: one's own. */
  @property() chosen = "";
  /** The id of the top-up that is being filled in, so that sending it twice is sending it once. */
  @state() private topping = "";
  private credits = new Asked<management.Credits>(this);
  private lines = new Asked<management.Lines>(this);

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has("chosen")) return;
    this.credits.forget();
    this.lines.forget();
    this.refresh();
  }

  private refresh = (): void => {
    void this.credits.ask(management.credits(this.chosen));
    void this.lines.ask(management.lines(this.chosen));
  };

  override render(): TemplateResult {
    const admin = this.about.user.role === "admin";
    const { credits: asked, lines } = this;
    const problem = asked.problem ?? lines.problem;
    return html`
      <header class="page-head">
        <h1>Credits</h1>
        <span class="quiet wide">What there is, what is held for work that runs, and where it went</span>
        <span class="grow"></span>
        ${admin ? html`<parley-account-picker .own=${this.about.account} .value=${this.chosen} @change=${this.choose}></parley-account-picker>` : nothing}
        <button type="button" class="button icon" aria-label="Look again" title="Look again" @click=${this.refresh}>${icon("refresh-cw")}</button>
        ${admin ? html`<button type="button" class="button primary" @click=${() => (this.topping = newId())}>${icon("plus")}Top up</button>` : nothing}
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${() => (asked.dismiss(), lines.dismiss())}></parley-problem>` : nothing}
          ${asked.value ? this.figures(asked.value) : nothing}
          ${asked.value ? this.holds(asked.value.holds) : nothing}
          ${lines.value ? this.ledger(lines.value, admin) : nothing}
        </div>
      </div>
      ${this.topping
        ? html`<parley-form-dialog label="Top up" action="Add the credits" open .fields=${TOP_UP} .submit=${this.topUp} @closed=${() => (this.topping = "")}></parley-form-dialog>`
        : nothing}
    `;
  }

  private figures({ balance_micro, held_micro }: management.Credits): TemplateResult {
    const figure = (name: string, micro: bigint, about: string) =>
      html`<div class="card figure"><dt>${name}</dt><dd>${credits(micro)}</dd><dd>${about}</dd></div>`;
    const [balance, held] = [BigInt(balance_micro), BigInt(held_micro)];
    return html`<dl class="figures">
      ${figure("Balance", balance, "credits")} ${figure("Held right now", held, "for work that runs")}
      ${figure("Free to spend", balance - held, "balance without what is held")}
    </dl>`;
  }

  private holds(holds: management.Credits["holds"]): TemplateResult {
    return html`<section class="card" aria-label="Held right now">
      <header><h2>Held right now</h2><span class="quiet small">reserved while a session or request runs; what it does not use comes back</span></header>
      ${holds.length
        ? html`<div class="scroll" tabindex="0" role="region" aria-label="Table of holds">
            <table class="stacked">
              <thead><tr><th scope="col">For</th><th scope="col">Since</th><th scope="col" class="right">Held</th><th scope="col" class="right">Spent so far</th></tr></thead>
              <tbody>
                ${holds.map(
                  (hold) => html`<tr><th scope="row"><code>${sessionOf(hold.id)}</code></th><td class="still" data-label="Since">${moment(hold.opened_at)}</td><td class="right" data-label="Held">${credits(hold.amount_micro)}</td><td class="right" data-label="Spent so far">${credits(hold.captured_micro)}</td></tr>`,
                )}
              </tbody>
            </table>
          </div>`
        : html`<p class="note">Nothing is held: no session of this account runs.</p>`}
    </section>`;
  }

  private ledger({ data, next }: management.Lines, admin: boolean): TemplateResult {
    return html`<section class="card" aria-label="Ledger">
      <header><h2>Ledger</h2><span class="quiet small">every line, newest first; lines are added, never changed</span></header>
      ${data.length
        ? html`<div class="scroll" tabindex="0" role="region" aria-label="Table of the ledger">
            <table class="stacked">
              <thead>
                <tr><th scope="col">When</th><th scope="col">What</th><th scope="col" class="right">Credits</th><th scope="col" class="right">Balance after</th><th scope="col" class="right">Held after</th><th scope="col">Note</th></tr>
              </thead>
              <tbody>${data.map(row)}</tbody>
            </table>
          </div>`
        : html`<div class="empty">
            <span class="badge-icon">${icon("wallet")}</span>
            <h2>No credits have come or gone</h2>
            <p>${admin ? "Top up this account, then calls and requests are paid from it." : "An admin of this Parley adds credits to your account; calls and requests are paid from it."}</p>
          </div>`}
      ${next ? html`<footer><button type="button" class="button" ?disabled=${this.lines.waiting} @click=${() => this.older(data, next)}>Older lines</button></footer>` : nothing}
    </section>`;
  }

  private older(data: management.Line[], next: string): void {
    const more = management.lines(this.chosen, next).then((page) => ({ ...page, data: [...data, ...page.data] }));
    void this.lines.ask(more);
  }

  private topUp = async (data: FormData): Promise<void> => {
    await management.topUp(this.chosen, { micro: amountOf(data, "amount"), note: text(data, "note"), id: this.topping });
    this.refresh();
  };

  private choose = (event: Event): void => go("credits", (event.target as unknown as { value: string }).value);
}

const TOP_UP = html`
  <label class="field">Credits<input class="control num" name="amount" inputmode="decimal" pattern=${AMOUNT_PATTERN} placeholder="12.50" required autofocus autocomplete="off" /><span class="quiet">Up to six places. Credits are added, never taken back.</span></label>
  <label class="field">Note<input class="control" name="note" maxlength=${NOTE_CHARS_MAX} placeholder="Such as: invoice 1042" autocomplete="off" /></label>
`;

/** The session that a hold is for. */
const sessionOf = (hold: string): string => hold.replace(/:hold$/, "");

function row(line: management.Line): TemplateResult {
  const { label, sign, style, about } = KINDS[line.kind] ?? { label: line.kind, sign: "", style: "", about: "" };
  return html`<tr>
    <td class="still" data-label="When">${moment(line.at)}</td>
    <td data-label="What"><span class="pill ${style}" title=${about}>${label}</span></td>
    <td class="right" data-label="Credits">${line.moved_micro ? sign : ""}${credits(line.moved_micro)}</td>
    <td class="right" data-label="Balance after">${credits(line.balance_micro)}</td>
    <td class="right" data-label="Held after">${credits(line.held_micro)}</td>
    <td data-label="Note">${line.note || (line.hold ? html`<code class="quiet">${sessionOf(line.hold)}</code>` : "")}</td>
  </tr>`;
}
