import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Turn } from "../model/turns.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";

const BAR = 3;
const STEP = 5;
/** Pieces of 20 ms in a bar. */
const PIECES = 2;

/** The sound of both sides as it happens: the user above the line, Parley below. What was taken for speech is coloured. */
@customElement("parley-waves")
export class Waves extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        height: 96px;
      }
      canvas {
        display: block;
        width: 100%;
        height: 100%;
      }
    `,
  ];

  @property({ attribute: false }) talk!: Talk;
  private frame = 0;
  private colours = { user: "", heard: "", parley: "", line: "" };

  override connectedCallback(): void {
    super.connectedCallback();
    addEventListener("parley-theme", this.retint);
    this.retint();
    this.frame = requestAnimationFrame(this.draw);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener("parley-theme", this.retint);
    cancelAnimationFrame(this.frame);
  }

  override render(): TemplateResult {
    return html`<canvas role="img" aria-label="Sound of both sides over the last seconds"></canvas>`;
  }

  private retint = (): void => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    this.colours = { user: colour("--wave-user"), heard: colour("--text"), parley: colour("--stage-respond"), line: colour("--line-strong") };
  };

  private draw = (): void => {
    this.frame = requestAnimationFrame(this.draw);
    const canvas = this.renderRoot.querySelector("canvas");
    if (!canvas?.clientWidth) return;
    const ratio = devicePixelRatio;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d")!;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.paint(pen, width, height);
  };

  private paint(pen: CanvasRenderingContext2D, width: number, tall: number): void {
    const { mine, theirs, turns } = this.talk;
    const middle = tall / 2;
    const now = performance.now();
    const phase = mine.count % PIECES;
    const recent = turns.turns.slice(-4);
    for (let bar = 0; bar * STEP < width; bar++) {
      const back = bar * PIECES + phase;
      const x = width - (bar + 1) * STEP;
      const at = now - (bar * PIECES + PIECES / 2) * 20;
      let up = 0;
      let down = 0;
      for (let piece = back; piece < back + PIECES; piece++) {
        up = Math.max(up, mine.get(piece));
        down = Math.max(down, theirs.get(piece));
      }
      const fade = Math.min(1, (x + 60) / 140);
      pen.globalAlpha = Math.max(0.12, fade);
      this.bar(pen, x, middle - 2, -Math.max(2, height(up) * (middle - 6)), spoken(recent, at) ? this.colours.heard : this.colours.user);
      this.bar(pen, x, middle + 2, Math.max(2, height(down) * (middle - 6)), down > 0 ? this.colours.parley : this.colours.line);
    }
    pen.globalAlpha = 1;
  }

  private bar(pen: CanvasRenderingContext2D, x: number, y: number, size: number, colour: string): void {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.roundRect(x, Math.min(y, y + size), BAR, Math.abs(size), 1.5);
    pen.fill();
  }
}

/** Of a bar, 0 to 1: quiet speech is still seen, loud speech still has a shape. */
const height = (rms: number): number => Math.min(1, rms * 2) ** 0.7;

/** Whether the user was taken to speak at that time. */
const spoken = (turns: Turn[], at: number): boolean =>
  turns.some(({ kind, stamps }) => kind !== "text" && at >= (stamps.speechStart ?? Infinity) && at <= (stamps.speechStop ?? Infinity));
