import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { styleMap } from "lit/directives/style-map.js";
import { count, ms } from "../model/format.js";
import { latency, percentiles, STAGES, statistics, type Turn } from "../model/turns.js";
import type { Usage } from "../model/events.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";
import "./segmented.js";
import type { Span } from "./waterfall.js";
import "./waterfall.js";
import "./latency-chart.js";

/** The turns of a call: figures, picture, percentiles. */
@customElement("parley-turns")
export class TurnsView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        gap: 16px;
      }
      .figures {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(150px, 1fr));
        gap: 12px;
      }
      .figure {
        padding: 14px 16px;
      }
      .figure dt {
        color: var(--quiet);
        font-size: 12px;
      }
      .figure dd {
        margin-top: 2px;
        font-size: 22px;
        font-weight: 600;
        letter-spacing: -0.02em;
        line-height: 28px;
        font-variant-numeric: tabular-nums;
      }
      .figure dd small {
        font-size: 12px;
        font-weight: 400;
        letter-spacing: 0;
        color: var(--quiet);
      }
      section > header {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 10px 12px 6px 16px;
      }
      parley-waterfall {
        padding: 0 4px 8px;
      }
      .pair > section {
        display: flex;
        flex-direction: column;
      }
      parley-latency-chart {
        flex: 1;
      }
      .pair {
        display: grid;
        grid-template-columns: minmax(0, 1.2fr) minmax(0, 1fr);
        gap: 16px;
      }
      table {
        width: 100%;
        border-collapse: collapse;
        font-variant-numeric: tabular-nums;
      }
      th,
      td {
        height: 32px;
        padding: 0 8px;
        border-top: 1px solid var(--line);
        text-align: right;
        font-size: 13px;
      }
      th {
        color: var(--quiet);
        font-size: 12px;
        font-weight: 500;
      }
      th:first-child,
      td:first-child {
        padding-left: 16px;
        text-align: left;
      }
      th:last-child,
      td:last-child {
        padding-right: 16px;
      }
      tbody th {
        color: var(--text);
        font-size: 13px;
      }
      tr.total td,
      tr.total th {
        font-weight: 600;
      }
      .dot {
        display: inline-block;
        width: 8px;
        height: 8px;
        margin-right: 8px;
        border-radius: 2px;
        background: var(--dot);
      }
      td {
        white-space: nowrap;
      }
      @media (max-width: 760px) {
        tr > :nth-child(4) {
          display: none;
        }
      }
      @media (max-width: 1000px) {
        .pair {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];

  @property({ attribute: false }) turns: Turn[] = [];
  @property({ attribute: false }) usage: Usage = {};
  @property({ type: Number }) now = 0;
  @state() private span: Span = "latency";

  override render(): TemplateResult {
    const { turns, usage } = this;
    if (!turns.length)
      return html`<div class="empty card">
        <span class="badge-icon">${icon("gauge")}</span>
        <h2>No turns yet</h2>
        <p>Every turn of a call becomes a row here: where the time between your last word and the first sound of the answer went.</p>
      </div>`;
    const heard = percentiles(turns.flatMap((turn) => latency(turn) ?? []));
    const cuts = turns.filter((turn) => turn.status === "interrupted").length;
    return html`
      <dl class="figures">
        ${figure("To first sound, p50", heard ? ms(heard.p50) : "–")}
        ${figure("To first sound, p90", heard ? ms(heard.p90) : "–")}
        ${figure("Turns", String(turns.length), cuts ? `${cuts} interrupted` : "")}
        ${figure("Tokens", count(usage.total_tokens), usage.total_tokens ? `${count(usage.input_tokens)} in, ${count(usage.output_tokens)} out` : "")}
      </dl>
      <section class="card" aria-label="Waterfall">
        <header>
          <h2 class="grow">Waterfall</h2>
          <parley-segmented
            label="Scale"
            .value=${this.span}
            .choices=${[
              { value: "latency", label: "Latency" },
              { value: "whole", label: "Whole turn" },
            ]}
            @change=${(event: Event) => (this.span = (event.target as unknown as { value: Span }).value)}
          ></parley-segmented>
        </header>
        <parley-waterfall .turns=${[...turns]} .span=${this.span} .now=${this.now} legend></parley-waterfall>
      </section>
      <div class="pair">
        ${this.table()}
        ${turns.length > 1
          ? html`<section class="card" aria-label="Latency by turn">
              <header><h2>To first sound, by turn</h2></header>
              <parley-latency-chart .turns=${[...turns]}></parley-latency-chart>
            </section>`
          : nothing}
      </div>
    `;
  }

  private table(): TemplateResult {
    const rows = statistics(this.turns);
    return html`<section class="card" aria-label="Percentiles">
      <header><h2>Percentiles</h2></header>
      <table>
        <thead>
          <tr><th scope="col">Stage</th><th scope="col">p50</th><th scope="col">p90</th><th scope="col">p99</th><th scope="col">max</th></tr>
        </thead>
        <tbody>
          ${rows.map(
            ({ stage, figures }) => html`<tr class=${stage === "total" ? "total" : ""}>
              <th scope="row" title=${stage === "total" ? "From the end of speech to the first sound" : STAGES[stage].about}>
                ${stage === "total" ? "To first sound" : html`<span class="dot" style=${styleMap({ "--dot": `var(--stage-${stage})` })}></span>${STAGES[stage].label}`}
              </th>
              <td>${ms(figures.p50)}</td><td>${ms(figures.p90)}</td><td>${ms(figures.p99)}</td><td>${ms(figures.max)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </section>`;
  }
}

const figure = (name: string, value: string, more = ""): TemplateResult =>
  html`<div class="figure card"><dt>${name}</dt><dd>${value} ${more ? html`<small>${more}</small>` : nothing}</dd></div>`;
