import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { clock, count, ms } from "../model/format.js";
import { percentiles, latency } from "../model/turns.js";
import { recall, remember } from "../model/storage.js";
import { shared } from "../styles/shared.js";
import type { Activity, Talk } from "../talk.js";
import { icon } from "../ui/icon.js";
import "../ui/problem-note.js";
import "../ui/settings-panel.js";
import "../ui/transcript-view.js";
import "../ui/waterfall.js";
import "../ui/waves.js";
import { fromFile, PICTURE_CHARS_MAX, PICTURE_TYPES } from "../ui/picture.js";
import { Watch } from "../watch.js";

const TURNS_SHOWN = 5;

const ACTIVITIES: Record<Activity, { label: string; tone: string }> = {
  ready: { label: "Hold to talk", tone: "" },
  listening: { label: "Listening", tone: "good" },
  thinking: { label: "Thinking", tone: "accent" },
  tool: { label: "Tool", tone: "warn" },
  speaking: { label: "Speaking", tone: "accent" },
  muted: { label: "Muted", tone: "warn" },
};

@customElement("parley-talk-page")
export class TalkPage extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid;
        grid-template: minmax(0, 1fr) / minmax(0, 1fr) 340px;
        height: 100%;
      }
      :host([narrow]) {
        grid-template-columns: minmax(0, 1fr);
      }
      .main {
        display: grid;
        grid-template-rows: auto auto minmax(0, 1fr) auto auto;
        grid-template-columns: minmax(0, 1fr);
        min-width: 0;
        min-height: 0;
      }
      .middle {
        grid-row: 3;
      }
      .dock {
        grid-row: 4;
      }
      .composer {
        grid-row: 5;
      }
      aside {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
        border-left: 1px solid var(--line);
        background: var(--surface);
        min-height: 0;
      }
      aside .page-head {
        padding: 0 8px 0 20px;
      }
      aside parley-settings {
        overflow-y: auto;
      }
      .stage {
        border-bottom: 1px solid var(--line);
        background: var(--surface);
        padding: 8px 24px;
      }
      parley-transcript {
        min-height: 0;
      }
      .figures {
        display: flex;
        gap: 16px;
        color: var(--quiet);
        font-size: 13px;
        line-height: 20px;
      }
      .figures b {
        color: var(--text);
        font-weight: 550;
        font-variant-numeric: tabular-nums;
      }
      .dock {
        border-top: 1px solid var(--line);
        background: var(--surface);
      }
      .dock > header {
        display: flex;
        align-items: center;
        gap: 8px;
        height: 36px;
        padding: 0 12px 0 24px;
      }
      .dock parley-waterfall {
        padding: 0 12px 8px;
        max-height: 216px;
        overflow-y: auto;
      }
      .composer {
        display: flex;
        gap: 8px;
        align-items: flex-end;
        padding: 12px 24px;
        border-top: 1px solid var(--line);
        background: var(--surface);
      }
      .composer textarea {
        flex: 1;
        min-width: 0;
        min-height: 40px;
        max-height: 160px;
        padding: 9px 12px;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius);
        background: var(--field);
        color: inherit;
        font: inherit;
        resize: none;
        field-sizing: content;
      }
      .composer textarea::placeholder {
        color: var(--quiet);
      }
      .composer textarea:focus-visible {
        outline-offset: -1px;
      }
      .composer .button {
        height: 40px;
      }
      .composer .button.icon {
        width: 40px;
        font-size: 16px;
      }
      .ptt {
        min-width: 132px;
        touch-action: none;
        user-select: none;
      }
      .ptt.down {
        background: var(--danger);
        border-color: transparent;
        color: #fff;
      }
      .notes {
        padding: 16px 24px 0;
        max-width: 808px;
        margin: 0 auto;
        width: 100%;
      }
      .middle {
        display: flex;
        flex-direction: column;
        min-height: 0;
        position: relative;
      }
      .middle parley-transcript {
        flex: 1;
      }
      .hero {
        flex: 1;
        display: grid;
        place-content: center;
        justify-items: center;
        gap: 16px;
        padding: 32px 24px;
        text-align: center;
      }
      .hero h2 {
        font-size: 24px;
        line-height: 32px;
        letter-spacing: -0.02em;
      }
      .hero p {
        max-width: 46ch;
        color: var(--quiet);
      }
      .start {
        display: grid;
        place-items: center;
        width: 88px;
        height: 88px;
        margin-bottom: 8px;
        border: 0;
        border-radius: 44px;
        background: var(--accent);
        color: #fff;
        font-size: 34px;
        cursor: pointer;
        box-shadow: 0 0 0 8px var(--accent-faint), 0 0 0 9px var(--accent-soft);
        transition: background 120ms, box-shadow 200ms;
      }
      .start:hover {
        background: var(--accent-hover);
        box-shadow: 0 0 0 12px var(--accent-faint), 0 0 0 13px var(--accent-soft);
      }
      .start[disabled] wa-icon {
        animation: turn 1s linear infinite;
      }
      @keyframes turn {
        to {
          rotate: 1turn;
        }
      }
      .facts {
        display: flex;
        flex-wrap: wrap;
        justify-content: center;
        gap: 8px;
      }
      .live-dot {
        width: 7px;
        height: 7px;
        border-radius: 4px;
        background: currentcolor;
      }
      .drop {
        position: absolute;
        inset: 12px;
        z-index: 5;
        display: grid;
        place-content: center;
        border: 2px dashed var(--accent);
        border-radius: 12px;
        background: color-mix(in srgb, var(--accent-faint) 90%, transparent);
        color: var(--accent-text);
        font-weight: 550;
        pointer-events: none;
      }
      .thumb {
        position: relative;
        flex: none;
      }
      .thumb img {
        display: block;
        width: 40px;
        height: 40px;
        object-fit: cover;
        border-radius: var(--radius);
        border: 1px solid var(--line-strong);
      }
      .thumb button {
        position: absolute;
        top: -8px;
        right: -8px;
        display: grid;
        place-items: center;
        width: 20px;
        height: 20px;
        padding: 0;
        border: 1px solid var(--line-strong);
        border-radius: 10px;
        background: var(--raised);
        font-size: 11px;
        cursor: pointer;
      }
      :host([narrow]) aside {
        position: fixed;
        inset: 0 0 0 auto;
        z-index: 30;
        width: min(360px, 100vw);
        box-shadow: var(--wa-shadow-l);
      }
      .scrim {
        position: fixed;
        inset: 0;
        z-index: 29;
        border: 0;
        background: rgb(0 0 0 / 40%);
      }
      @media (max-width: 760px) {
        .stage {
          padding: 4px 16px;
        }
        parley-waves {
          height: 64px;
        }
        .composer {
          padding: 8px 12px;
        }
        .dock > header {
          padding-left: 16px;
        }
        .dock parley-waterfall {
          max-height: 140px;
        }
        .notes {
          padding: 12px 16px 0;
        }
      }
    `,
  ];

  @property({ attribute: false }) talk!: Talk;
  @property({ type: Boolean, reflect: true }) narrow = false;
  @state() private panel = recall<boolean>("panel") ?? true;
  @state() private dock = recall<boolean>("dock") ?? true;
  @state() private image = "";
  @state() private dropping = false;
  @state() private camera = false;
  private media = matchMedia("(max-width: 1100px)");

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, this.talk);
    this.media.addEventListener("change", this.resized);
    this.resized();
    addEventListener("keydown", this.keyDown);
    addEventListener("keyup", this.keyUp);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.media.removeEventListener("change", this.resized);
    removeEventListener("keydown", this.keyDown);
    removeEventListener("keyup", this.keyUp);
  }

  private resized = (): void => {
    this.narrow = this.media.matches;
    if (this.narrow) this.panel = false;
    else this.panel = recall<boolean>("panel") ?? true;
  };

  override render(): TemplateResult {
    const { talk } = this;
    this.style.gridTemplateColumns = this.panel && !this.narrow ? "" : "minmax(0, 1fr)";
    const empty = !talk.transcript.messages.length;
    return html`
      <div class="main" @dragover=${this.over} @dragleave=${() => (this.dropping = false)} @drop=${this.dropped}>
        ${this.head()}
        <div class="stage" ?hidden=${!talk.busy && empty}><parley-waves .talk=${talk}></parley-waves></div>
        <div class="middle">
          ${talk.problem ? html`<div class="notes"><parley-problem .problem=${talk.problem} @dismiss=${() => talk.dismiss()}></parley-problem></div>` : nothing}
          ${empty ? this.hero() : html`<parley-transcript .messages=${[...talk.transcript.messages]} .turns=${talk.turns.turns} .epoch=${talk.began} .pace=${talk.transcript.pace} ?live=${talk.busy} @answer=${this.answered}></parley-transcript>`}
          ${this.dropping ? html`<div class="drop">Drop the picture to send it</div>` : nothing}
        </div>
        ${talk.turns.turns.length ? this.turns() : nothing} ${this.composer()}
        ${this.camera ? html`<parley-camera .charsMax=${this.charsMax} @picture=${this.photographed} @close=${() => (this.camera = false)}></parley-camera>` : nothing}
      </div>
      ${this.panel && this.narrow ? html`<button class="scrim" aria-label="Close settings" @click=${this.togglePanel}></button>` : nothing}
      ${this.panel
        ? html`<aside aria-label="Settings">
            <header class="page-head">
              <h2 class="grow">Settings</h2>
              <button type="button" class="button plain icon" aria-label="Close settings" @click=${this.togglePanel}>${icon("x")}</button>
            </header>
            <parley-settings .talk=${talk}></parley-settings>
          </aside>`
        : nothing}
    `;
  }

  /** What the operator lets the server keep of a call: said before anybody speaks. */
  private kept(): TemplateResult | typeof nothing {
    const recording = this.talk.about?.recording;
    if (!recording || recording.record === "off") return nothing;
    const what = recording.record === "audio" ? "recorded" : "written down";
    return html`<span class="pill warn">Calls are ${what}, kept for ${recording.days} ${recording.days === 1 ? "day" : "days"}</span>`;
  }

  private head(): TemplateResult {
    const { talk } = this;
    const { label, tone } = talk.activity === "ready" && !talk.byButton ? { label: "Ready", tone: "good" } : ACTIVITIES[talk.activity];
    return html`<header class="page-head">
      <h1>Talk</h1>
      ${talk.live ? html`<span class="pill ${tone}" role="status"><span class="live-dot"></span>${label}</span>` : nothing}
      ${talk.state === "connecting" ? html`<span class="pill" role="status">Connecting…</span>` : nothing}
      ${talk.state === "reconnecting" ? html`<span class="pill warn" role="status">Reconnecting…</span>` : nothing}
      ${talk.began ? html`<span class="num quiet">${clock(talk.elapsed)}</span>` : nothing}
      ${talk.network.rttMs === undefined ? nothing : html`<span class="num quiet small wide">${ms(talk.network.rttMs)} round trip</span>`}
      ${this.kept()}
      <span class="grow"></span>
      ${talk.busy
        ? html`<button type="button" class="button danger" @click=${() => talk.stop()}>${icon("phone-off")}End</button>`
        : talk.transcript.messages.length
          ? html`<button type="button" class="button primary" @click=${() => talk.start()}>${icon("mic")}New call</button>`
          : nothing}
      ${this.panel && !this.narrow ? nothing : html`<button type="button" class="button icon" aria-label="Settings" aria-expanded=${this.panel} @click=${this.togglePanel}>${icon("sliders-horizontal")}</button>`}
    </header>`;
  }

  private hero(): TemplateResult {
    const { talk } = this;
    const { settings } = talk;
    if (talk.live) {
      return html`<div class="hero">
        <h2>${talk.byButton ? "Hold the button and speak" : talk.hasMicrophone ? "Say something" : "Write something"}</h2>
        <p>${talk.hasMicrophone ? "It answers when you pause, and stops when you speak." : "There is no microphone; the call goes on by text."}</p>
      </div>`;
    }
    const starting = talk.busy;
    return html`<div class="hero">
      <button type="button" class="start" aria-label="Start talking" ?disabled=${starting} @click=${() => talk.start()}>${icon(starting ? "loader-circle" : "mic")}</button>
      <h2>${starting ? "Connecting" : "Talk to Parley"}</h2>
      <p>Press the button and speak. You can interrupt at any time, write instead, or drop a picture.</p>
      <div class="facts">
        <span class="pill">${settings.model}</span><span class="pill">${settings.voice}</span>
        <span class="pill">${settings.transport === "webrtc" ? "WebRTC" : "WebSocket"}</span>
        ${this.demo ? html`<span class="pill warn" title="PARLEY_LLM_URL connects a real language model">${icon("info")}embedded assistant</span>` : nothing}
      </div>
    </div>`;
  }

  /** No language model is connected: say so, lest anybody judges it. */
  private get demo(): boolean {
    return this.talk.about?.engines.language_model === "embedded assistant";
  }

  private turns(): TemplateResult {
    const { turns } = this.talk.turns;
    const figures = percentiles(turns.flatMap((turn) => latency(turn) ?? []));
    const tokens = this.talk.usage.total_tokens;
    return html`<section class="dock" aria-label="Turns">
      <header>
        <h2>Turns</h2>
        <span class="figures grow">
          ${figures ? html`<span>p50 <b>${ms(figures.p50)}</b></span><span class="wide">p90 <b>${ms(figures.p90)}</b></span>` : nothing}
          ${tokens ? html`<span class="wide"><b>${count(tokens)}</b> tokens</span>` : nothing}
        </span>
        <button type="button" class="button plain small" aria-expanded=${this.dock} @click=${this.toggleDock}>${this.dock ? "Hide" : "Show"}</button>
      </header>
      ${this.dock ? html`<parley-waterfall .turns=${turns.slice(-TURNS_SHOWN)} .now=${this.talk.busy ? performance.now() : 0}></parley-waterfall>` : nothing}
    </section>`;
  }

  private composer(): TemplateResult {
    const { talk } = this;
    return html`<form class="composer" @submit=${this.submit}>
      ${talk.byButton && talk.live
        ? html`<button type="button" class="button ptt ${talk.talking ? "down" : ""}" aria-pressed=${talk.talking} @pointerdown=${this.press} @pointerup=${() => talk.release()} @pointercancel=${() => talk.release()}>
            ${icon("mic")}${talk.talking ? "Release to send" : "Hold to talk"}
          </button>`
        : html`<button type="button" class="button icon" aria-pressed=${talk.muted} aria-label=${talk.muted ? "Unmute" : "Mute"} title=${talk.muted ? "Unmute (M)" : "Mute (M)"} ?disabled=${!talk.hasMicrophone} @click=${() => talk.mute(!talk.muted)}>
            ${icon(talk.muted ? "mic-off" : "mic")}
          </button>`}
      ${this.image
        ? html`<span class="thumb"><img src=${this.image} alt="Picture to send" /><button type="button" aria-label="Remove the picture" @click=${() => (this.image = "")}>${icon("x")}</button></span>`
        : html`<button type="button" class="button icon" aria-label="Add a picture" title="Add a picture" ?disabled=${!talk.writable} @click=${() => this.renderRoot.querySelector<HTMLInputElement>("input[type=file]")!.click()}>
              ${icon("image")}
            </button>
            <button type="button" class="button icon" aria-label="Take a picture" title="Take a picture" ?disabled=${!talk.writable} @click=${this.openCamera}>${icon("camera")}</button>`}
      <input type="file" accept=${PICTURE_TYPES.join()} hidden @change=${this.picked} />
      <textarea name="text" rows="1" aria-label="Message" placeholder=${talk.writable ? "Write a message" : "Start a call to write"} ?disabled=${!talk.writable} @keydown=${this.typed} @paste=${this.pasted}></textarea>
      <button class="button icon primary" aria-label="Send" ?disabled=${!talk.writable}>${icon("send-horizontal")}</button>
    </form>`;
  }

  // ---- what the user does

  private togglePanel = (): void => {
    this.panel = !this.panel;
    if (!this.narrow) remember("panel", this.panel);
  };

  private toggleDock = (): void => {
    this.dock = !this.dock;
    remember("dock", this.dock);
  };

  private press = (event: PointerEvent): void => {
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    this.talk.press();
  };

  private keyDown = (event: KeyboardEvent): void => {
    if (isTyping(event) || event.metaKey || event.ctrlKey || event.altKey || !this.talk.live) return;
    if (event.code === "Space" && this.talk.byButton) {
      event.preventDefault();
      if (!event.repeat) this.talk.press();
    } else if (event.key === "m") this.talk.mute(!this.talk.muted);
  };

  private keyUp = (event: KeyboardEvent): void => {
    if (event.code === "Space" && this.talk.talking) this.talk.release();
  };

  private typed(event: KeyboardEvent): void {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    (event.target as HTMLTextAreaElement).form!.requestSubmit();
  }

  private submit(event: SubmitEvent): void {
    event.preventDefault();
    const field = this.renderRoot.querySelector<HTMLTextAreaElement>("textarea[name=text]")!;
    this.talk.say(field.value.trim(), this.image || undefined);
    field.value = "";
    this.image = "";
  }

  private answered(event: CustomEvent<{ callId: string; output: string }>): void {
    this.talk.answer(event.detail.callId, event.detail.output);
  }

  private over(event: DragEvent): void {
    if (!this.talk.writable || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.dropping = true;
  }

  private dropped(event: DragEvent): void {
    event.preventDefault();
    this.dropping = false;
    void this.take(event.dataTransfer?.files[0]);
  }

  private picked(event: Event): void {
    const field = event.target as HTMLInputElement;
    void this.take(field.files?.[0]);
    field.value = "";
  }

  private pasted(event: ClipboardEvent): void {
    void this.take(event.clipboardData?.files[0]);
  }

  private async take(file: File | undefined): Promise<void> {
    if (!file || !this.talk.writable) return;
    try {
      if (!PICTURE_TYPES.includes(file.type)) throw new TypeError(`${file.name} is ${file.type || "of no known type"}.`);
      this.image = await fromFile(file, this.charsMax);
    } catch (error) {
      this.talk.report({ code: "bad_picture", title: "This is no picture that can be sent", advice: ["Choose a PNG or a JPEG."], detail: (error as Error).message });
    }
  }

  private get charsMax(): number {
    return PICTURE_CHARS_MAX[this.talk.settings.transport];
  }

  /** Loaded when it is wanted. */
  private openCamera = async (): Promise<void> => {
    await import("../ui/camera.js");
    this.camera = true;
  };

  private photographed(event: CustomEvent<string>): void {
    this.image = event.detail;
  }
}

/** Keys belong to the field that has the focus; a focused button keeps its space bar. */
function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0] as HTMLElement;
  return /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY|A)$/.test(target.tagName) || target.role === "slider" || target.isContentEditable;
}
