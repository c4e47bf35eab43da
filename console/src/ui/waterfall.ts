import { css, html, LitElement, nothing, svg, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { styleMap } from "lit/directives/style-map.js";
import { ms } from "../model/format.js";
import { isOver, latency, segments, SERVER_FIGURES, STAGES, STAMP_LABELS, type ServerFigure, type Stage, type Stamps, type Turn } from "../model/turns.js";
import { shared } from "../styles/shared.js";

export type Span = "latency" | "whole";

const ROW = 32;
const BAR = 14;
const GAP = 1;
const AXIS = 22;
const LEAD_MS_MIN = 250;
const LEAD_MS_MAX = 700;
const TICKS = [50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000];

/** Milliseconds to pixels. */
interface Scale {
  start: number;
  end: number;
  width: number;
  x(at: number): number;
}

/**
 * Turns as bars on one axis. `latency`: zero is the end of speech, long speech and long answers run out of the picture.
 * `whole`: zero is the start of each turn, everything is to scale.
 */
@customElement("parley-waterfall")
export class Waterfall extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        position: relative;
      }
      .head,
      .turn {
        display: grid;
        grid-template-columns: var(--label, minmax(120px, 28%)) minmax(0, 1fr) 76px;
        align-items: center;
        column-gap: 12px;
        width: 100%;
      }
      .head {
        height: 24px;
        color: var(--quiet);
        font-size: 12px;
        padding: 0 12px;
      }
      .head > :last-child {
        text-align: right;
      }
      .turn {
        height: ${ROW}px;
        padding: 0 12px;
        border: 0;
        border-radius: var(--radius-s);
        background: none;
        text-align: left;
        cursor: default;
      }
      .turn:hover,
      .turn:focus-visible,
      .turn.chosen {
        background: var(--hover);
      }
      .name {
        display: flex;
        align-items: center;
        gap: 8px;
        min-width: 0;
      }
      .n {
        flex: none;
        min-width: 20px;
        color: var(--quiet);
        font-size: 12px;
        font-variant-numeric: tabular-nums;
      }
      .total {
        text-align: right;
        font-weight: 550;
        font-variant-numeric: tabular-nums;
      }
      .total .quiet {
        font-weight: 400;
      }
      svg {
        display: block;
        width: 100%;
        overflow: hidden;
      }
      .grid {
        stroke: var(--line);
        shape-rendering: crispEdges;
      }
      .zero {
        stroke: var(--line-strong);
      }
      .tick {
        fill: var(--quiet);
        font: 11px var(--font);
        font-variant-numeric: tabular-nums;
      }
      .end {
        stroke: var(--danger);
        stroke-width: 2.5;
        stroke-linecap: round;
      }
      .mark {
        stroke: var(--surface);
        stroke-width: 1.5;
        fill: var(--text);
      }
      .waiting {
        animation: waiting 1.2s ease-in-out infinite alternate;
      }
      @keyframes waiting {
        from {
          opacity: 0.55;
        }
      }
      .legend {
        display: flex;
        flex-wrap: wrap;
        gap: 4px 16px;
        padding: 8px 12px 4px;
        color: var(--quiet);
        font-size: 12px;
      }
      .legend span,
      .card .stage {
        display: inline-flex;
        align-items: center;
        gap: 6px;
      }
      .dot {
        flex: none;
        width: 8px;
        height: 8px;
        border-radius: 2px;
        background: var(--dot);
      }
      .card {
        position: fixed;
        z-index: 20;
        width: 440px;
        max-width: calc(100vw - 24px);
        padding: 12px 16px;
        background: var(--raised);
        border: 1px solid var(--line-strong);
        box-shadow: var(--wa-shadow-l);
        pointer-events: none;
        font-size: 13px;
      }
      .card h3 {
        font-size: 13px;
        font-weight: 600;
        margin-bottom: 8px;
      }
      .columns {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 24px;
      }
      .columns h4 {
        margin: 0 0 4px;
        font-size: 11px;
        font-weight: 500;
        color: var(--quiet);
      }
      .line {
        display: flex;
        justify-content: space-between;
        gap: 12px;
        line-height: 22px;
        white-space: nowrap;
      }
      .line > :last-child {
        font-variant-numeric: tabular-nums;
      }
      .sum {
        border-top: 1px solid var(--line);
        margin-top: 4px;
        padding-top: 2px;
        font-weight: 550;
      }
      .note {
        margin-top: 8px;
        color: var(--quiet);
        font-size: 12px;
      }
      @media (max-width: 760px) {
        :host {
          --label: 84px;
        }
        .head,
        .turn {
          padding: 0 4px;
          column-gap: 8px;
        }
      }
    `,
  ];

  @property({ attribute: false }) turns: Turn[] = [];
  @property() span: Span = "latency";
  /** Page time now: open turns grow until it. */
  @property({ type: Number }) now = 0;
  @property({ type: Boolean }) legend = false;
  @property({ type: Boolean }) newestFirst = true;
  @state() private width = 0;
  @state() private shown: { turn: Turn; box: DOMRect } | undefined;

  private observer = new ResizeObserver(() => this.measure());

  override connectedCallback(): void {
    super.connectedCallback();
    this.observer.observe(this);
    addEventListener("scroll", this.hide, { capture: true, passive: true });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.observer.disconnect();
    removeEventListener("scroll", this.hide, { capture: true });
  }

  protected override firstUpdated(): void {
    this.measure();
  }

  protected override updated(): void {
    this.place();
  }

  override render(): TemplateResult {
    const scale = this.scale();
    const turns = this.newestFirst ? this.turns.toReversed() : this.turns;
    return html`
      <div class="head" aria-hidden="true">
        <span>Turn</span>
        <svg class="axis" height=${AXIS}>${this.axis(scale)}</svg>
        <span>${this.span === "latency" ? "To sound" : "Total"}</span>
      </div>
      <div role="list" aria-label="Turns">
        ${turns.map((turn) => html`<div role="listitem">${this.row(turn, scale)}</div>`)}
      </div>
      ${this.legend ? this.key() : nothing} ${this.shown ? this.card(this.shown.turn) : nothing}
    `;
  }

  // ---- rows

  private row(turn: Turn, scale: Scale): TemplateResult {
    const total = this.total(turn);
    return html`<button
      type="button"
      class="turn ${this.shown?.turn === turn ? "chosen" : ""}"
      @mouseenter=${(event: Event) => this.show(turn, event)}
      @focus=${(event: Event) => this.show(turn, event)}
      @mouseleave=${this.hide}
      @blur=${this.hide}
      @keydown=${(event: KeyboardEvent) => event.key === "Escape" && this.hide()}
      @click=${() => this.dispatchEvent(new CustomEvent("turn", { detail: turn }))}
    >
      <span class="name"><span class="n">${turn.n}</span><span class="cut">${title(turn)}</span></span>
      <svg height=${ROW} role="img" aria-label=${describe(turn)}>${this.bars(turn, scale)}</svg>
      <span class="total">${total === undefined ? html`<span class="quiet">${isOver(turn) ? "–" : "…"}</span>` : ms(total)}</span>
    </button>`;
  }

  private bars(turn: Turn, scale: Scale) {
    const zero = this.zero(turn);
    const y = (ROW - BAR) / 2;
    const parts = segments(turn, this.now || undefined);
    const x = (at: number) => Math.max(-4, Math.min(scale.width + 4, scale.x(at - zero)));
    const last = parts.at(-1);
    return svg`
      ${this.ticks(scale).map((at) => svg`<line class="grid ${at === 0 ? "zero" : ""}" x1=${scale.x(at)} x2=${scale.x(at)} y1="0" y2=${ROW}></line>`)}
      ${parts.map(({ stage, start, end }) => {
        const left = x(start);
        const width = Math.max(1.5, x(end) - left - GAP);
        if (left > scale.width || left + width < 0) return nothing;
        const open = last?.end === end && !isOver(turn);
        return svg`<rect class=${open ? "waiting" : ""} x=${left} y=${y} width=${width} height=${BAR} rx="3" fill="var(--stage-${stage})"></rect>`;
      })}
      ${turn.stamps.transcript !== undefined && this.visible(turn.stamps.transcript - zero, scale) ? svg`<path class="mark" d=${diamond(x(turn.stamps.transcript), ROW / 2)}></path>` : nothing}
      ${turn.stamps.interrupted !== undefined && this.visible(turn.stamps.interrupted - zero, scale) ? svg`<line class="end" x1=${x(turn.stamps.interrupted)} x2=${x(turn.stamps.interrupted)} y1=${y - 4} y2=${y + BAR + 4}></line>` : nothing}
    `;
  }

  private visible(at: number, scale: Scale): boolean {
    return at >= scale.start && at <= scale.end;
  }

  // ---- axis

  private scale(): Scale {
    let start = 0;
    let end = 1000;
    for (const turn of this.turns) {
      const parts = segments(turn, this.now || undefined);
      if (!parts.length) continue;
      const zero = this.zero(turn);
      if (this.span === "whole") end = Math.max(end, parts.at(-1)!.end - zero);
      else {
        const { speechStart = zero, firstPlayed, firstSent, done } = turn.stamps;
        const heard = firstPlayed ?? firstSent ?? (isOver(turn) ? done : this.now) ?? zero;
        start = Math.min(start, -Math.min(LEAD_MS_MAX, Math.max(zero - speechStart, 0)));
        end = Math.max(end, (heard - zero) * 1.35);
      }
    }
    if (this.span === "latency") start = Math.min(start, -LEAD_MS_MIN);
    const width = Math.max(40, this.width);
    return { start, end, width, x: (at) => ((at - start) / (end - start)) * width };
  }

  private ticks(scale: Scale): number[] {
    const room = Math.max(2, Math.floor(scale.width / 72));
    const step = TICKS.find((size) => (scale.end - scale.start) / size <= room) ?? 60_000;
    const ticks = [];
    for (let at = Math.ceil(scale.start / step) * step; at <= scale.end; at += step) ticks.push(at || 0);
    return ticks;
  }

  private axis(scale: Scale) {
    return this.ticks(scale).map((at) => {
      const x = scale.x(at);
      const anchor = x < 16 ? "start" : x > scale.width - 24 ? "end" : "middle";
      return svg`<text class="tick" x=${x} y="15" text-anchor=${anchor}>${at === 0 ? "0" : `${at < 0 ? "−" : ""}${Math.abs(at) < 1000 ? `${Math.abs(at)} ms` : `${Math.abs(at) / 1000} s`}`}</text>`;
    });
  }

  private zero(turn: Turn): number {
    const { speechStart = 0, speechStop } = turn.stamps;
    return this.span === "whole" ? speechStart : (speechStop ?? this.now) || speechStart;
  }

  private total(turn: Turn): number | undefined {
    if (this.span === "latency") return latency(turn);
    const parts = segments(turn, this.now || undefined);
    return parts.length ? parts.at(-1)!.end - parts[0]!.start : undefined;
  }

  // ---- detail

  private card(turn: Turn): TemplateResult {
    const parts = segments(turn, this.now || undefined);
    const zero = turn.stamps.speechStop ?? turn.stamps.speechStart ?? 0;
    const known = STAMP_LABELS.filter(([name]) => turn.stamps[name as keyof Stamps] !== undefined);
    return html`<div class="card" role="presentation">
      <h3 class="cut">${turn.n}. ${title(turn)}</h3>
      <div class="columns">
        <div>
          <h4>Segments</h4>
          ${parts.map(
            ({ stage, start, end }) => html`<div class="line">
              <span class="stage"><span class="dot" style=${dot(stage)}></span>${STAGES[stage].label}</span><span>${ms(end - start)}</span>
            </div>`,
          )}
          <div class="line sum"><span>Whole turn</span><span>${parts.length ? ms(parts.at(-1)!.end - parts[0]!.start) : "–"}</span></div>
        </div>
        <div>
          <h4>Stamps, from the end of speech</h4>
          ${known.map(([name, label]) => html`<div class="line"><span>${label}</span><span>${offset(turn.stamps[name]! - zero)}</span></div>`)}
        </div>
      </div>
      ${turn.server && Object.keys(turn.server).length
        ? html`<p class="note">Measured by the server: ${Object.entries(turn.server).map(([name, value], index) => html`${index ? ", " : ""}${SERVER_FIGURES[name as ServerFigure].toLowerCase()} ${ms(value)}`)}.</p>`
        : nothing}
      ${turn.error
        ? html`<p class="note">${turn.error}</p>`
        : turn.interruptedAtMs !== undefined
          ? html`<p class="note">Interrupted after ${ms(turn.interruptedAtMs)} of the answer.</p>`
          : turn.tools.length
            ? html`<p class="note">Tools: ${turn.tools.map((tool) => `${tool.name} (${tool.end ? ms(tool.end - tool.start) : "open"})`).join(", ")}</p>`
            : nothing}
    </div>`;
  }

  private key(): TemplateResult {
    const used = new Set(this.turns.flatMap((turn) => segments(turn).map(({ stage }) => stage)));
    const stages = (Object.keys(STAGES) as Stage[]).filter((stage) => used.has(stage));
    return html`<div class="legend">
      ${stages.map((stage) => html`<span title=${STAGES[stage].about}><span class="dot" style=${dot(stage)}></span>${STAGES[stage].label}</span>`)}
      ${stages.length ? html`<span>◆ Transcript</span>` : nothing}
    </div>`;
  }

  private show(turn: Turn, event: Event): void {
    this.shown = { turn, box: (event.currentTarget as HTMLElement).getBoundingClientRect() };
  }

  private hide = (): void => {
    this.shown = undefined;
  };

  /** Below the row, or above it where there is no room. */
  private place(): void {
    const card = this.renderRoot.querySelector<HTMLElement>(".card");
    if (!card || !this.shown) return;
    const { box } = this.shown;
    const below = box.bottom + card.offsetHeight + 12 < innerHeight;
    card.style.top = `${Math.max(8, below ? box.bottom + 4 : box.top - card.offsetHeight - 4)}px`;
    card.style.left = `${Math.max(12, Math.min(innerWidth - card.offsetWidth - 12, box.left + box.width * 0.3))}px`;
  }

  private measure(): void {
    this.width = this.renderRoot.querySelector(".axis")?.getBoundingClientRect().width ?? 0;
  }
}

const dot = (stage: Stage) => styleMap({ "--dot": `var(--stage-${stage})` });
const diamond = (x: number, y: number) => `M${x} ${y - 5}l5 5l-5 5l-5-5z`;
const offset = (value: number): string => (Math.abs(value) < 0.5 ? "0 ms" : `${value < 0 ? "−" : "+"}${ms(Math.abs(value))}`);

export const title = (turn: Turn): string =>
  turn.userText || (turn.status === "skipped" ? "No answer" : turn.kind === "text" ? "Message" : turn.stamps.speechStop ? "Speech" : "Speaking…");

function describe(turn: Turn): string {
  const parts = segments(turn).map(({ stage, start, end }) => `${STAGES[stage].label} ${ms(end - start)}`);
  return [...parts, turn.status === "open" ? "" : turn.status].filter(Boolean).join(", ");
}
