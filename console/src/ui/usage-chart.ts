import { css, html, LitElement, unsafeCSS, type TemplateResult } from "lit";
import { styleMap } from "lit/directives/style-map.js";
import { customElement, property } from "lit/decorators.js";
import uPlot from "uplot";
import plotStyle from "uplot/dist/uPlot.min.css?inline";
import { shortDay } from "../model/moments.js";
import type { Band } from "../model/usage.js";
import { shared } from "../styles/shared.js";

const HEIGHT = 260;
const COLOURS = ["--stage-respond", "--stage-speak", "--stage-wait", "--stage-transcribe", "--stage-tool", "--stage-deliver"];
/** As many bands have a colour of their own; what is more should be one. */
export const BANDS_MAX = COLOURS.length;

/** Columns of a day each, bands on top of each other. The page has the same as a table. */
@customElement("parley-usage-chart")
export class UsageChart extends LitElement {
  static override styles = [
    shared,
    unsafeCSS(plotStyle),
    css`
      :host {
        display: block;
        padding: 16px;
      }
      .plot {
        position: relative;
        height: ${HEIGHT}px;
      }
      ul {
        display: flex;
        flex-wrap: wrap;
        gap: 4px 16px;
        margin-top: 8px;
        color: var(--soft);
        font-size: 12px;
      }
      li {
        display: flex;
        align-items: center;
        gap: 6px;
        min-width: 0;
        overflow-wrap: anywhere;
      }
      .dot {
        flex: none;
        width: 10px;
        height: 10px;
        border-radius: 3px;
      }
    `,
  ];

  @property({ attribute: false }) days: string[] = [];
  @property({ attribute: false }) bands: Band[] = [];
  /** How a value is written. */
  @property({ attribute: false }) shown: (value: number) => string = String;
  @property() label = "";
  private plot: uPlot | undefined;
  private observer = new ResizeObserver(() => this.plot?.setSize(this.size()));

  override connectedCallback(): void {
    super.connectedCallback();
    this.observer.observe(this);
    addEventListener("parley-theme", this.rebuild);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.observer.disconnect();
    removeEventListener("parley-theme", this.rebuild);
    this.plot?.destroy();
    this.plot = undefined;
  }

  override render(): TemplateResult {
    return html`
      <div class="plot" role="img" aria-label="${this.label}; the table below has the figures"></div>
      <ul>
        ${this.bands.map(({ name }, n) => html`<li><span class="dot" style=${styleMap({ background: `var(${COLOURS[n % BANDS_MAX]})` })}></span>${name}</li>`)}
      </ul>
    `;
  }

  protected override updated(): void {
    this.rebuild();
  }

  /** Each band with all below it; the highest is drawn first, and the others over it. */
  private stacked(): number[][] {
    const below = this.days.map(() => 0);
    return this.bands.map(({ values }) => values.map((value, day) => (below[day]! += value))).reverse();
  }

  private rebuild = (): void => {
    const box = this.renderRoot.querySelector<HTMLElement>(".plot");
    if (!box) return;
    this.plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: colour("--quiet"),
      font: '12px "Inter Variable", sans-serif',
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const stacked = this.stacked();
    const series = stacked.map((_, n): uPlot.Series => {
      const fill = colour(COLOURS[(stacked.length - 1 - n) % BANDS_MAX]!);
      return { fill, stroke: fill, width: 0, paths: uPlot.paths.bars!({ size: [0.7, 48], radius: 0 }), points: { show: false } };
    });
    this.plot = new uPlot(
      {
        ...this.size(),
        cursor: { show: false },
        legend: { show: false },
        scales: { x: { time: false, range: (_, low, high) => [low - 0.6, high + 0.6] }, y: { range: (_, __, high) => [0, (high || 1) * 1.1] } },
        axes: [
          { ...axis, size: 32, grid: { show: false }, space: 56, incrs: [1, 2, 7, 14, 28, 56], values: (_, ticks) => ticks.map((tick) => this.dayAt(tick)) },
          { ...axis, size: (_, values) => Math.max(48, ...(values ?? []).map((value) => value.length * 7 + 16)), values: (_, ticks) => ticks.map((tick) => this.shown(tick)) },
        ],
        series: [{}, ...series],
      },
      [this.days.map((_, n) => n), ...stacked],
      box,
    );
  };

  private dayAt(tick: number): string {
    const day = this.days[tick];
    return day ? shortDay(day) : "";
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(200, this.clientWidth - 32), height: HEIGHT };
  }
}
