import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { AMOUNT_PATTERN, credits, plainCredits } from "../model/money.js";
import { lastDays } from "../model/moments.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { Asked } from "../ui/asked.js";
import "../ui/form-dialog.js";
import { maybeAmount, text } from "../ui/form-fields.js";
import { icon } from "../ui/icon.js";
import "../ui/problem-note.js";

type Amount = Exclude<keyof management.Price, "model" | "since" | "own">;
const AMOUNTS: { name: Amount; label: string }[] = [
  { name: "input_text", label: "Text in" },
  { name: "cached_text", label: "Text in, cached" },
  { name: "output_text", label: "Text out" },
  { name: "input_audio", label: "Audio in" },
  { name: "cached_audio", label: "Audio in, cached" },
  { name: "output_audio", label: "Audio out" },
  { name: "input_image", label: "Image in" },
  { name: "cached_image", label: "Image in, cached" },
  { name: "minute", label: "A minute" },
  { name: "call", label: "A call" },
];
const ALWAYS = "1970-01-01";

@customElement("parley-prices-page")
export class PricesPage extends LitElement {
  static override styles = [
    shared,
    desk,
    fields,
    css`
      th,
      td {
        padding-inline: 8px;
      }
      thead th {
        white-space: normal;
        vertical-align: bottom;
      }
      tbody th {
        position: sticky;
        left: 0;
        min-width: 176px;
        background: var(--surface);
      }
    `,
  ];

  @property({ attribute: false }) about!: About;
  @state() private search = "";
  /** The price whose model gets a new one; `"new"` for a model that is not listed. */
  @state() private setting: management.Price | "new" | undefined;
  private prices = new Asked<management.Price[]>(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.refresh();
  }

  private refresh = (): void => void this.prices.ask(management.prices());

  private get admin(): boolean {
    return this.about.user.role === "admin";
  }

  override render(): TemplateResult {
    const { value: prices, problem } = this.prices;
    const wanted = this.search.trim().toLowerCase();
    const found = (prices ?? []).filter(({ model }) => model.toLowerCase().includes(wanted));
    return html`
      <header class="page-head">
        <h1>Prices</h1>
        <span class="quiet wide">Credits for a million tokens, for a minute, for a call</span>
        <span class="grow"></span>
        ${this.admin ? html`<button type="button" class="button primary" @click=${() => (this.setting = "new")}>${icon("plus")}Set a price</button>` : nothing}
      </header>
      <div class="body">
        <div class="inner">
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${this.prices.dismiss}></parley-problem>` : nothing}
          <div class="bar">
            <input class="control" type="search" placeholder="Search for a model" aria-label="Search for a model" .value=${this.search} @input=${(event: Event) => (this.search = (event.target as HTMLInputElement).value)} />
            <span class="quiet small" role="status">${prices ? `${found.length} of ${prices.length}` : ""}</span>
          </div>
          ${!prices ? nothing : found.length ? this.table(found) : html`<div class="empty"><h2>No price for “${this.search}”</h2><p>A model without a price of its own pays the one of <code>*</code>, if there is one.</p></div>`}
        </div>
      </div>
      ${this.setting
        ? html`<parley-form-dialog label="Set a price" action="Set the price" open .fields=${priceFields(this.setting)} .submit=${this.set} @closed=${() => (this.setting = undefined)}></parley-form-dialog>`
        : nothing}
    `;
  }

  private table(prices: management.Price[]): TemplateResult {
    return html`<section class="card" aria-label="Prices">
      <div class="scroll" tabindex="0" role="region" aria-label="Table of prices">
        <table>
          <thead>
            <tr>
              <th scope="col">Model</th>
              ${AMOUNTS.map(({ label }) => html`<th scope="col" class="right">${label}</th>`)}
              ${this.admin ? html`<th scope="col"><span class="hidden">Actions</span></th>` : nothing}
            </tr>
          </thead>
          <tbody>${prices.map((price) => this.row(price))}</tbody>
        </table>
      </div>
    </section>`;
  }

  private row(price: management.Price): TemplateResult {
    return html`<tr>
      <th scope="row">
        ${price.model}${price.own ? html` <span class="pill accent">set here</span>` : nothing}
        ${price.since === ALWAYS ? nothing : html`<div class="quiet small">from ${price.since}</div>`}
      </th>
      ${AMOUNTS.map(({ name }) => html`<td class="right">${price[name] ? credits(price[name]) : html`<span class="quiet">–</span>`}</td>`)}
      ${this.admin
        ? html`<td class="actions"><button type="button" class="button plain icon small" aria-label="Set the price of ${price.model}" title="Set a new price" @click=${() => (this.setting = price)}>${icon("pencil")}</button></td>`
        : nothing}
    </tr>`;
  }

  private set = async (data: FormData): Promise<void> => {
    const amounts = Object.fromEntries(AMOUNTS.map(({ name }) => [name, maybeAmount(data, name) ?? 0]));
    await management.setPrice(text(data, "model"), { since: text(data, "since") || null, ...amounts });
    this.refresh();
  };
}

function priceFields(price: management.Price | "new"): TemplateResult {
  const known = price === "new" ? undefined : price;
  const today = lastDays(1).until;
  return html`
    <div class="two">
      <label class="field">Model<input class="control" name="model" value=${known?.model ?? ""} ?readonly=${known !== undefined} required autocomplete="off" /></label>
      <label class="field">From (UTC)<input class="control" name="since" type="date" value=${today} min=${today} /></label>
    </div>
    <p class="quiet">Credits for a million tokens of a kind, for a minute, and for a call. What is left empty is free.</p>
    <div class="two">
      ${AMOUNTS.map(
        ({ name, label }) => html`<label class="field">${label}<input class="control num" name=${name} inputmode="decimal" pattern=${AMOUNT_PATTERN} value=${known && known[name] ? plainCredits(known[name]) : ""} placeholder="free" autocomplete="off" /></label>`,
      )}
    </div>
  `;
}
