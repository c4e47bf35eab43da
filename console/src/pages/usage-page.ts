import { html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import * as management from "../management.js";
import { clock, count } from "../model/format.js";
import { credits } from "../model/money.js";
import { days, lastDays, shortDay } from "../model/moments.js";
import { allTokens, grouped, KIND_NAMES, KINDS, moneyBands, tokenBands, total, type Band, type By, type Sum } from "../model/usage.js";
import { go, href } from "../router.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import "../ui/account-picker.js";
import { Asked } from "../ui/asked.js";
import { icon } from "../ui/icon.js";
import "../ui/problem-note.js";
import "../ui/segmented.js";
import { BANDS_MAX } from "../ui/usage-chart.js";

const SPANS = ["7", "30", "90"];
type View = By | "tokens";
const VIEWS: { value: View; label: string; head: string }[] = [
  { value: "day", label: "Day", head: "Day (UTC)" },
  { value: "model", label: "Model", head: "Model" },
  { value: "api_key", label: "Key", head: "API key" },
  { value: "kind", label: "Work", head: "Kind of work" },
  { value: "tokens", label: "Tokens", head: "Kind of token" },
];
const NO_KEY = "without a key (console)";

@customElement("parley-usage-page")
export class UsagePage extends LitElement {
  static override styles = [shared, desk, fields];

  @property({ attribute: false }) about!: About;
  /** The account that an admin looks at; empty: one's own. */
  @property() chosen = "";
  @state() private since = lastDays(30).since;
  @state() private until = lastDays(30).until;
  @state() private view: View = "day";
  private usage = new Asked<management.Usage>(this);
  private keys = new Asked<management.Key[]>(this);

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("chosen")) {
      this.usage.forget();
      void this.keys.ask(management.keys(this.chosen));
    }
    if (["chosen", "since", "until"].some((name) => changed.has(name))) this.refresh();
  }

  private refresh = (): void => void this.usage.ask(management.usage(this.chosen, this.since, this.until));

  override render(): TemplateResult {
    const { value: usage, problem } = this.usage;
    return html`
      <header class="page-head">
        <h1>Usage</h1>
        <span class="quiet wide">What was used, and what it cost</span>
        <span class="grow"></span>
        ${this.about.user.role === "admin"
          ? html`<parley-account-picker .own=${this.about.account} .value=${this.chosen} @change=${this.choose}></parley-account-picker>`
          : nothing}
        <button type="button" class="button icon" aria-label="Look again" title="Look again" @click=${this.refresh}>${icon("refresh-cw")}</button>
        <a class="button" download="usage.csv" href=${management.usageCsvUrl(this.chosen, this.since, this.until)}>${icon("download")}CSV</a>
      </header>
      <div class="body">
        <div class="inner">
          ${this.range()}
          ${problem ? html`<parley-problem .problem=${problem} @dismiss=${this.usage.dismiss}></parley-problem>` : nothing}
          ${usage ? (usage.data.length ? this.shown(usage) : empty()) : nothing}
        </div>
      </div>
    `;
  }

  private range(): TemplateResult {
    const span = SPANS.find((one) => lastDays(Number(one)).since === this.since && lastDays(1).until === this.until) ?? "";
    return html`<div class="bar">
      <parley-segmented
        label="Days"
        .value=${span}
        .choices=${SPANS.map((value) => ({ value, label: `${value} days` }))}
        @change=${(event: Event) => ({ since: this.since, until: this.until } = lastDays(Number(valueOf(event))))}
      ></parley-segmented>
      <label class="row quiet">from <input class="control" type="date" .value=${this.since} max=${this.until} required @change=${(event: Event) => (this.since = valueOf(event) || this.since)} /></label>
      <label class="row quiet">to <input class="control" type="date" .value=${this.until} min=${this.since} required @change=${(event: Event) => (this.until = valueOf(event) || this.until)} /></label>
    </div>`;
  }

  private shown(usage: management.Usage): TemplateResult {
    const sum = total(usage.data);
    const head = VIEWS.find(({ value }) => value === this.view)!.head;
    const span = days(usage.since, usage.until);
    const tokens = this.view === "tokens";
    return html`
      <dl class="figures">
        <div class="card figure"><dt>Spent</dt><dd>${credits(sum.micro)}</dd><dd>credits</dd></div>
        <div class="card figure"><dt>Tokens</dt><dd>${count(allTokens(sum))}</dd><dd>in and out</dd></div>
        <div class="card figure"><dt>Pieces of work</dt><dd>${count(sum.lines)}</dd><dd>answers, transcriptions, time</dd></div>
      </dl>
      <parley-segmented label="By" .value=${this.view} .choices=${VIEWS} @change=${(event: Event) => (this.view = valueOf(event) as View)}></parley-segmented>
      <section class="card" aria-label="Chart">
        <parley-usage-chart
          .days=${span}
          .bands=${this.bands(usage.data, span)}
          .shown=${tokens ? count : (micro: number) => credits(Math.round(micro))}
          label=${tokens ? "Tokens by day and kind" : `Credits by day${this.view === "day" ? "" : ` and ${head.toLowerCase()}`}`}
        ></parley-usage-chart>
      </section>
      <section class="card" aria-label="Figures">
        <div class="scroll" tabindex="0" role="region" aria-label="Table of usage">${tokens ? this.tokens(sum) : this.sums(usage.data, sum, head, this.view as By)}</div>
      </section>
    `;
  }

  private bands(rows: management.Used[], span: string[]): Band[] {
    switch (this.view) {
      case "tokens":
        return tokenBands(rows, span);
      case "day":
        return [{ name: "Credits", values: moneyBands(rows, span, "model", 0)[0]!.values }];
      default: {
        const by = this.view;
        return moneyBands(rows, span, by, BANDS_MAX - 1).map((band) => ({ ...band, name: this.named(band.name, by) }));
      }
    }
  }

  private sums(rows: management.Used[], sum: Sum, head: string, by: By): TemplateResult {
    const kinds = KINDS.filter((kind) => sum.tokens[kind] > 0);
    const cells = (one: Sum) => html`
      ${kinds.map((kind) => html`<td class="right">${count(one.tokens[kind])}</td>`)}
      <td class="right">${clock(one.milliseconds)}</td><td class="right">${count(one.lines)}</td><td class="right">${credits(one.micro)}</td>
    `;
    return html`<table>
      <thead>
        <tr>
          <th scope="col">${head}</th>
          ${kinds.map((kind) => html`<th scope="col" class="right">${KIND_NAMES[kind]}</th>`)}
          <th scope="col" class="right">Time</th><th scope="col" class="right">Work</th><th scope="col" class="right">Credits</th>
        </tr>
      </thead>
      <tbody>${grouped(rows, by).map((one) => html`<tr><th scope="row">${this.named(one.name, by)}</th>${cells(one)}</tr>`)}</tbody>
      <tfoot><tr><th scope="row">All</th>${cells(sum)}</tr></tfoot>
    </table>`;
  }

  private tokens(sum: Sum): TemplateResult {
    return html`<table>
        <thead><tr><th scope="col">Kind of token</th><th scope="col" class="right">Tokens</th></tr></thead>
        <tbody>${KINDS.map((kind) => html`<tr><th scope="row">${KIND_NAMES[kind]}</th><td class="right">${count(sum.tokens[kind])}</td></tr>`)}</tbody>
        <tfoot><tr><th scope="row">In and out</th><td class="right">${count(allTokens(sum))}</td></tr></tfoot>
      </table>
      <p class="note quiet">Cached tokens are part of those that went in. A line of the ledger is priced as a whole and rounded once, so credits are not told apart by kind of token.</p>`;
  }

  private named(name: string, by: By): string {
    if (by === "day") return shortDay(name);
    if (by !== "api_key") return name;
    const key = this.keys.value?.find(({ id }) => id === name);
    return key ? `${key.name} (${key.hint})` : name || NO_KEY;
  }

  private choose = (event: Event): void => go("usage", valueOf(event));
}

const valueOf = (event: Event): string => (event.target as unknown as { value: string }).value;

const empty = (): TemplateResult => html`<div class="empty">
  <span class="badge-icon">${icon("chart-column")}</span>
  <h2>Nothing was used in these days</h2>
  <p>Every answer, transcription and minute of a session is counted here, by model and key, with what it cost. <a href=${href("talk")} @click=${(event: Event) => (event.preventDefault(), go("talk"))}>Talk</a> for a minute, then look again.</p>
</div>`;
