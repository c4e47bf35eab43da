import { css, html, LitElement, unsafeCSS, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import uPlot from "uplot";
import plotStyle from "uplot/dist/uPlot.min.css?inline";
import { ms } from "../model/format.js";
import { latency, percentiles, type Turn } from "../model/turns.js";
import { shared } from "../styles/shared.js";

const HEIGHT_MIN = 248;
const PADDING = 12;

/** Time to the first sound, turn by turn, with the median as a line. */
@customElement("parley-latency-chart")
export class LatencyChart extends LitElement {
  static override styles = [
    shared,
    unsafeCSS(plotStyle),
    css`
      :host {
        display: block;
        position: relative;
        min-height: ${HEIGHT_MIN}px;
      }
      .plot {
        position: absolute;
        inset: 0 ${PADDING}px ${PADDING}px;
      }
    `,
  ];

  @property({ attribute: false }) turns: Turn[] = [];
  private plot: uPlot | undefined;
  private drawn = "";
  private observer = new ResizeObserver(() => this.resize());

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
    return html`<div class="plot" role="img" aria-label="Time to the first sound by turn; the table has the figures"></div>`;
  }

  protected override updated(): void {
    const data = this.data();
    const text = JSON.stringify(data);
    if (this.plot && text === this.drawn) return;
    this.drawn = text;
    if (this.plot) this.plot.setData(data);
    else this.rebuild();
  }

  private data(): uPlot.AlignedData {
    const points = this.turns.flatMap((turn): [number, number][] => {
      const heard = latency(turn);
      return heard === undefined ? [] : [[turn.n, heard]];
    });
    const median = percentiles(points.map(([, y]) => y))?.p50;
    return [points.map(([x]) => x), points.map(([, y]) => y), points.map(() => median)] as uPlot.AlignedData;
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
    this.plot = new uPlot(
      {
        ...this.size(),
        cursor: { points: { size: 8 }, drag: { x: false, y: false } },
        legend: { show: false },
        scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] }, y: { range: (_, __, high) => [0, (high || 1000) * 1.2] } },
        axes: [
          { ...axis, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : "")) },
          { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => ms(tick)) },
        ],
        series: [
          {},
          { stroke: colour("--stage-respond"), width: 2, points: { show: true, size: 7, fill: colour("--stage-respond") } },
          { stroke: colour("--quiet"), width: 1, dash: [4, 4], points: { show: false } },
        ],
      },
      this.data(),
      box,
    );
  };

  private resize(): void {
    this.plot?.setSize(this.size());
  }

  private size(): { width: number; height: number } {
    return { width: Math.max(200, this.clientWidth - 2 * PADDING), height: Math.max(120, this.clientHeight - PADDING) };
  }
}
