import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { peaks } from "../audio/pcm.js";
import { clock } from "../model/format.js";
import { segments, type Turn } from "../model/turns.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

const BAR = 2;
const STEP = 3;

/** A recorded call: both sides on one time axis, turns marked, to be played. Event: `time` with the position in ms. */
@customElement("parley-recording")
export class Recording extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      .wave {
        position: relative;
        height: 112px;
        cursor: pointer;
      }
      canvas {
        display: block;
        width: 100%;
        height: 100%;
      }
      .bar {
        display: flex;
        align-items: center;
        gap: 12px;
        padding: 8px 12px;
        border-top: 1px solid var(--line);
      }
      .names {
        position: absolute;
        left: 12px;
        top: 6px;
        bottom: 6px;
        display: flex;
        flex-direction: column;
        justify-content: space-between;
        color: var(--quiet);
        font-size: 11px;
        pointer-events: none;
      }
      input[type="range"] {
        flex: 1;
        height: 16px;
        margin: 0;
        background: none;
        appearance: none;
      }
      input::-webkit-slider-runnable-track {
        height: 4px;
        border-radius: 2px;
        background: var(--line-strong);
      }
      input::-moz-range-track {
        height: 4px;
        border-radius: 2px;
        background: var(--line-strong);
      }
      input::-webkit-slider-thumb {
        width: 14px;
        height: 14px;
        margin-top: -5px;
        border-radius: 7px;
        background: var(--accent);
        appearance: none;
      }
      input::-moz-range-thumb {
        width: 14px;
        height: 14px;
        border: 0;
        border-radius: 7px;
        background: var(--accent);
      }
    `,
  ];

  @property({ attribute: false }) sound!: Blob;
  @property({ attribute: false }) turns: Turn[] = [];
  /** Page time of position 0. */
  @property({ type: Number }) epoch = 0;
  @state() private playing = false;
  @state() private time = 0;
  @state() private duration = 0;
  private audio = new Audio();
  private left: Float32Array | undefined;
  private right: Float32Array | undefined;
  private url = "";
  private observer = new ResizeObserver(() => this.paint());
  private frame = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    this.observer.observe(this);
    addEventListener("parley-theme", this.paint);
    this.audio.onplay = this.audio.onpause = () => {
      this.playing = !this.audio.paused;
      this.run();
    };
    this.audio.ontimeupdate = () => this.moved();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.observer.disconnect();
    removeEventListener("parley-theme", this.paint);
    this.audio.pause();
    cancelAnimationFrame(this.frame);
    URL.revokeObjectURL(this.url);
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("sound")) void this.load();
  }

  private async load(): Promise<void> {
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(this.sound);
    this.audio.src = this.url;
    const context = new OfflineAudioContext(2, 1, 24_000);
    const decoded = await context.decodeAudioData(await this.sound.arrayBuffer());
    this.left = decoded.getChannelData(0);
    this.right = decoded.getChannelData(1);
    this.duration = decoded.duration * 1000;
    this.paint();
  }

  override render(): TemplateResult {
    return html`
      <div class="wave" @click=${this.clicked}>
        <canvas role="img" aria-label="You above, Parley below"></canvas>
        <div class="names" aria-hidden="true"><span>You</span><span>Parley</span></div>
      </div>
      <div class="bar">
        <button type="button" class="button icon" aria-label=${this.playing ? "Pause" : "Play"} @click=${this.toggle}>${icon(this.playing ? "pause" : "play")}</button>
        <span class="num small">${clock(this.time)}</span>
        <input
          type="range"
          aria-label="Position"
          aria-valuetext="${clock(this.time)} of ${clock(this.duration)}"
          min="0"
          max=${Math.max(1, Math.round(this.duration))}
          step="100"
          .value=${String(Math.round(this.time))}
          @input=${(event: Event) => this.seek(Number((event.target as HTMLInputElement).value))}
        />
        <span class="num small quiet">${clock(this.duration)}</span>
      </div>
    `;
  }

  seek(ms: number): void {
    this.audio.currentTime = Math.max(0, Math.min(this.duration, ms)) / 1000;
    this.moved();
  }

  private toggle(): void {
    if (this.audio.paused) void this.audio.play();
    else this.audio.pause();
  }

  private clicked(event: MouseEvent): void {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    this.seek(((event.clientX - box.left) / box.width) * this.duration);
  }

  private run = (): void => {
    cancelAnimationFrame(this.frame);
    if (!this.playing) return;
    this.moved();
    this.frame = requestAnimationFrame(this.run);
  };

  private moved(): void {
    this.time = this.audio.currentTime * 1000;
    this.paint();
    this.dispatchEvent(new CustomEvent("time", { detail: this.time }));
  }

  private paint = (): void => {
    const canvas = this.renderRoot.querySelector("canvas");
    if (!canvas?.clientWidth || !this.left || !this.right) return;
    const ratio = devicePixelRatio;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const pen = canvas.getContext("2d")!;
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const x = (ms: number) => (ms / this.duration) * width;
    const middle = height / 2;
    for (const turn of this.turns) {
      for (const { stage, start, end } of segments(turn)) {
        pen.globalAlpha = 0.16;
        pen.fillStyle = colour(`--stage-${stage}`);
        pen.fillRect(x(start - this.epoch), 0, Math.max(1, x(end - start)), height);
      }
    }
    pen.globalAlpha = 1;
    const columns = Math.floor(width / STEP);
    const [up, down] = [peaks(this.left, columns, 1), peaks(this.right, columns, 1)];
    const at = x(this.time);
    for (let column = 0; column < columns; column++) {
      const left = column * STEP;
      pen.globalAlpha = left < at || !this.time ? 1 : 0.45;
      pen.fillStyle = colour("--soft");
      bar(pen, left, middle - 1, -Math.max(1, up[column]! * (middle - 10)));
      pen.fillStyle = colour("--wave-parley");
      bar(pen, left, middle + 1, Math.max(1, down[column]! * (middle - 10)));
    }
    pen.globalAlpha = 1;
    if (this.time) {
      pen.fillStyle = colour("--text");
      pen.fillRect(at, 0, 1.5, height);
    }
  };
}

function bar(pen: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  pen.fillRect(x, Math.min(y, y + size), BAR, Math.abs(size));
}
