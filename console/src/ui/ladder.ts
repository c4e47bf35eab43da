import { css, html, LitElement, nothing, svg, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { PhoneRung } from "../management.js";
import { ms } from "../model/format.js";
import { shared } from "../styles/shared.js";

const WIDTH = 400;
const HEIGHT = 40;
const CALLER_X = "2%";
const OURS_X = "98%";
const LINE_Y = 28;
const HEAD = 6;

/** The messages of a call between two lines, from top to bottom. What was said is shown below the one that is chosen. */
@customElement("parley-ladder")
export class Ladder extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      .row,
      .ends {
        display: grid;
        grid-template-columns: 72px minmax(0, ${WIDTH}px);
        gap: 12px;
        width: 100%;
        padding: 0 16px;
      }
      .ends {
        padding-block: 12px 4px;
        font-size: 12px;
        font-weight: 500;
      }
      .ends > span {
        grid-column: 2;
        display: flex;
        justify-content: space-between;
      }
      .row {
        border: 0;
        background: none;
        text-align: left;
        cursor: pointer;
      }
      .row:hover,
      .row[aria-expanded="true"] {
        background: var(--hover);
      }
      .at {
        align-self: center;
        color: var(--quiet);
        font-size: 12px;
        text-align: right;
        font-variant-numeric: tabular-nums;
      }
      svg {
        display: block;
        width: 100%;
        height: ${HEIGHT}px;
      }
      .tip {
        overflow: visible;
      }
      .life {
        stroke: var(--line-strong);
      }
      .arrow {
        stroke: var(--accent);
        stroke-width: 1.5;
        fill: none;
      }
      .head {
        fill: var(--accent);
      }
      .bad .arrow {
        stroke: var(--danger);
      }
      .bad .head {
        fill: var(--danger);
      }
      text {
        fill: var(--text);
        font: 12px var(--font);
        text-anchor: middle;
      }
      pre {
        margin: 0 16px 12px;
        padding: 12px;
        overflow: auto;
        border: 1px solid var(--line);
        border-radius: var(--radius-s);
        background: var(--sunken);
        font-size: 12px;
        line-height: 18px;
      }
    `,
  ];

  @property({ attribute: false }) rungs: PhoneRung[] = [];
  @state() private chosen: number | undefined;

  override render(): TemplateResult {
    const start = this.rungs[0]?.at ?? 0;
    return html`<div class="ends" aria-hidden="true"><span><span>Caller</span><span>Parley</span></span></div>
      <ol>${this.rungs.map((rung, n) => this.rung(rung, n, start))}</ol>`;
  }

  private rung(rung: PhoneRung, n: number, start: number): TemplateResult {
    const open = this.chosen === n;
    const from = rung.way === "in" ? "the caller" : "Parley";
    const after = n ? `+${ms((rung.at - start) * 1000)}` : "0 ms";
    return html`<li>
      <button type="button" class="row ${isRefusal(rung) ? "bad" : ""}" aria-expanded=${open} aria-label="${after} ${rung.title}, from ${from}" @click=${() => (this.chosen = open ? undefined : n)}>
        <span class="at">${after}</span>${arrow(rung)}
      </button>
      ${open ? html`<pre tabindex="0" role="region" aria-label="The message">${rung.text}</pre>` : nothing}
    </li>`;
  }
}

const isRefusal = ({ title }: PhoneRung): boolean => /^[4-6]\d\d /.test(title);

function arrow({ way, title }: PhoneRung): TemplateResult {
  const [from, to, back] = way === "in" ? [CALLER_X, OURS_X, -HEAD] : [OURS_X, CALLER_X, HEAD];
  return html`<svg aria-hidden="true">
    ${svg`<line class="life" x1=${CALLER_X} x2=${CALLER_X} y1="0" y2=${HEIGHT}></line>
      <line class="life" x1=${OURS_X} x2=${OURS_X} y1="0" y2=${HEIGHT}></line>
      <line class="arrow" x1=${from} x2=${to} y1=${LINE_Y} y2=${LINE_Y}></line>
      <svg class="tip" x=${to} y=${LINE_Y}><polygon class="head" points="0,0 ${back},${-HEAD / 2 - 1} ${back},${HEAD / 2 + 1}"></polygon></svg>
      <text x="50%" y=${LINE_Y - 8}>${title}</text>`}
  </svg>`;
}
