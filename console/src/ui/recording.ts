import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { peaks } from "../audio/pcm.js";
import { clock } from "../model/format.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

const BAR = 2;
const STEP = 3;

/** Something to see behind the sound, from and to in ms. */
export interface Mark {
  start: number;
  end: number;
  /** Name of a custom property. */
  colour: string;
}

/** How loud both sides are, 0 to 1, in equal pieces. */
export interface Levels {
  user: Float32Array;
  parley: Float32Array;
}

/**
 * A recorded call: both sides on one time axis, turns marked, to be played. Its sound is a file that is here (`sound`),
 * or one that the server has (`src`, with its `levels` and `length`). Event: `time` with the position in ms.
 */
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
      .failed {
        padding: 0 12px 8px;
        color: var(--danger-text);
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

  @property({ attribute: false }) sound: Blob | undefined;
  @property() src = "";
  @property({ attribute: false }) levels: Levels | undefined;
  /** Of `src`, ms. */
  @property({ type: Number }) length = 0;
  @property({ attribute: false }) marks: Mark[] = [];
  @state() private playing = false;
  @state() private time = 0;
  @state() private duration = 0;
  @state() private failed = false;
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
    this.audio.onerror = () => (this.failed = this.audio.src !== "");
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
    if (changed.has("sound") && this.sound) void this.decode(this.sound);
    if (changed.has("src") && this.src) this.open(this.src);
    if (changed.has("length") && this.length) this.duration = this.length;
  }

  protected override updated(changed: Map<PropertyKey, unknown>): void {
    if (["levels", "marks", "length"].some((name) => changed.has(name))) this.paint();
  }

  private open(url: string): void {
    this.failed = false;
    this.audio.preload = "metadata";
    this.audio.src = url;
  }

  private async decode(sound: Blob): Promise<void> {
    URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(sound);
    this.open(this.url);
    const context = new OfflineAudioContext(2, 1, 24_000);
    const decoded = await context.decodeAudioData(await sound.arrayBuffer());
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
      ${this.failed ? html`<p class="failed small">This browser cannot play the sound. Download it, and open it in another player.</p>` : nothing}
    `;
  }

  seek(ms: number): void {
    this.audio.currentTime = Math.max(0, Math.min(this.duration, ms)) / 1000;
    this.moved();
  }

  private toggle(): void {
    if (this.audio.paused) this.audio.play().catch(() => (this.failed = this.audio.error !== null));
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
    const levels = this.left && this.right ? { user: this.left, parley: this.right } : this.levels;
    if (!canvas?.clientWidth || !levels || !this.duration) return;
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
    for (const { start, end, colour: name } of this.marks) {
      pen.globalAlpha = 0.16;
      pen.fillStyle = colour(name);
      pen.fillRect(x(start), 0, Math.max(1, x(end - start)), height);
    }
    pen.globalAlpha = 1;
    const columns = Math.floor(width / STEP);
    const [up, down] = [peaks(levels.user, columns, 1), peaks(levels.parley, columns, 1)];
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
