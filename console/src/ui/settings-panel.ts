import "@awesome.me/webawesome/dist/components/slider/slider.js";
import "@awesome.me/webawesome/dist/components/switch/switch.js";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { live } from "lit/directives/live.js";
import { canChooseSpeaker, devices, type Devices } from "../audio/microphone.js";
import { problemOf } from "../model/answers.js";
import { SettingsError, type Settings, type TurnSettings } from "../model/settings.js";
import { recall, remember } from "../model/storage.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";
import { Watch } from "../watch.js";
import { icon } from "./icon.js";
import "./meter.js";
import "./segmented.js";

const EXAMPLE_TOOLS = `[
  {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {
      "type": "object",
      "properties": { "city": { "type": "string" } },
      "required": ["city"]
    }
  }
]`;
const EXAMPLE_ANSWERS = `{
  "get_weather": { "city": "{{city}}", "sky": "sunny", "celsius": 21 }
}`;

type Value = { value: string; checked: boolean };
const valueOf = (event: Event): Value => event.target as unknown as Value;

/** Every setting of a session, and the devices. Changes go to the running call at once. */
@customElement("parley-settings")
export class SettingsPanel extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      details {
        border-bottom: 1px solid var(--line);
      }
      summary {
        display: flex;
        align-items: center;
        gap: 8px;
        height: 44px;
        padding: 0 20px;
        font-weight: 550;
        font-size: 13px;
        cursor: pointer;
        list-style: none;
        user-select: none;
      }
      summary::-webkit-details-marker {
        display: none;
      }
      summary wa-icon:first-of-type {
        color: var(--quiet);
      }
      summary .chevron {
        margin-left: auto;
        color: var(--quiet);
        transition: rotate 120ms;
      }
      details[open] .chevron {
        rotate: 180deg;
      }
      summary:focus-visible {
        outline-offset: -2px;
      }
      .fields {
        display: flex;
        flex-direction: column;
        gap: 16px;
        padding: 4px 20px 20px;
      }
      .pair {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 12px;
      }
      .label {
        margin-bottom: 6px;
        font-size: 13px;
        font-weight: 500;
        line-height: 17px;
      }
      .hint {
        margin-top: 6px;
        color: var(--quiet);
        font-size: 12px;
        line-height: 16px;
      }
      .hint.bad {
        color: var(--danger-text);
      }
      .field {
        display: flex;
        flex-direction: column;
        gap: 6px;
        font-size: 13px;
        font-weight: 500;
        line-height: 17px;
      }
      wa-slider {
        font-size: 13px;
      }
      wa-slider::part(label) {
        font-size: 13px;
        font-weight: 500;
        margin-bottom: 6px;
      }
      wa-slider {
        --track-size: 4px;
        --thumb-width: 14px;
        --thumb-height: 14px;
      }
      wa-slider::part(track) {
        background: var(--line-strong);
      }
      .slider {
        position: relative;
      }
      .slider output {
        position: absolute;
        top: 0;
        right: 0;
        color: var(--quiet);
        font-size: 13px;
        line-height: 17px;
        font-variant-numeric: tabular-nums;
      }
      wa-switch {
        font-size: 13px;
      }
      wa-switch::part(thumb) {
        background: #fff;
        border-color: transparent;
      }
      wa-switch:not([checked])::part(control) {
        background: var(--line-strong);
        border-color: transparent;
      }
      parley-meter {
        margin-top: 8px;
      }
      textarea.code {
        font: 12px/18px var(--mono);
      }
      .link {
        padding: 0;
        border: 0;
        background: none;
        color: var(--accent-text);
        font-size: 12px;
        cursor: pointer;
      }
      .link:hover {
        text-decoration: underline;
      }
    `,
  ];

  @property({ attribute: false }) talk!: Talk;
  @state() private found: Devices = { inputs: [], outputs: [] };
  private open = new Set(recall<string[]>("sections") ?? ["session", "turns", "sound"]);

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, this.talk);
    navigator.mediaDevices?.addEventListener("devicechange", this.look);
    this.look();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    navigator.mediaDevices?.removeEventListener("devicechange", this.look);
  }

  private look = (): void => {
    void devices().then((found) => (this.found = found));
  };

  private named = false;
  protected override updated(): void {
    if (this.talk.hasMicrophone && !this.named) this.look();
    this.named = this.talk.hasMicrophone;
  }

  override render(): TemplateResult {
    return html`
      ${this.section("session", "sliders-horizontal", "Session", this.session())}
      ${this.section("turns", "hand", "Turn detection", this.turns())}
      ${this.section("sound", "volume-2", "Sound", this.sound())}
      ${this.section("transcription", "messages-square", "Transcription", this.transcription())}
      ${this.section("tools", "wrench", "Tools", this.tools())}
    `;
  }

  private section(name: string, glyph: string, title: string, content: TemplateResult): TemplateResult {
    return html`<details ?open=${this.open.has(name)} @toggle=${(event: Event) => this.toggled(name, event)}>
      <summary>${icon(glyph)}${title}<span class="chevron">${icon("chevron-down")}</span></summary>
      <div class="fields">${content}</div>
    </details>`;
  }

  private toggled(name: string, event: Event): void {
    if ((event.target as HTMLDetailsElement).open) this.open.add(name);
    else this.open.delete(name);
    remember("sections", [...this.open]);
  }

  // ---- sections

  private session(): TemplateResult {
    const { settings, about, busy } = this.talk;
    return html`
      <div>
        <div class="label" aria-hidden="true">Transport</div>
        <parley-segmented
          label="Transport"
          .value=${settings.transport}
          .choices=${[
            { value: "websocket", label: "WebSocket" },
            { value: "webrtc", label: "WebRTC" },
          ]}
          ?disabled=${busy}
          @change=${(event: Event) => this.set("transport", valueOf(event).value as Settings["transport"])}
        ></parley-segmented>
      </div>
      ${this.select("Model", settings.model, about?.models ?? [settings.model], (value) => this.set("model", value), busy)}
      ${this.select("Voice", settings.voice, about?.voices ?? [settings.voice], (value) => this.set("voice", value))}
      ${this.slider("Speed", settings.speed, 0.25, 1.5, 0.05, (value) => this.set("speed", value), (value) => `${value.toFixed(2)}×`)}
      ${this.area("Instructions", settings.instructions, "How it should behave. Empty: the default.", (value) => this.set("instructions", value))}
      <div>
        <div class="label" aria-hidden="true">Answers</div>
        <parley-segmented
          label="Answers"
          .value=${settings.output}
          .choices=${[
            { value: "audio", label: "Speech" },
            { value: "text", label: "Text" },
          ]}
          @change=${(event: Event) => this.set("output", valueOf(event).value as Settings["output"])}
        ></parley-segmented>
      </div>
      ${this.input("Longest answer, tokens", settings.max_output_tokens, "inf", (value) => this.set("max_output_tokens", value || "inf"))}
    `;
  }

  private turns(): TemplateResult {
    const { turn } = this.talk.settings;
    const set = <K extends keyof TurnSettings>(name: K, value: TurnSettings[K]) =>
      this.talk.change((settings) => (settings.turn[name] = value));
    return html`
      <parley-segmented
        label="Turn detection"
        .value=${turn.type}
        .choices=${[
          { value: "server_vad", label: "Silence" },
          { value: "semantic_vad", label: "Meaning" },
          { value: "none", label: "Button" },
        ]}
        @change=${(event: Event) => set("type", valueOf(event).value as TurnSettings["type"])}
      ></parley-segmented>
      ${turn.type === "server_vad"
        ? html`
            ${this.slider("Threshold", turn.threshold, 0, 1, 0.05, (value) => set("threshold", value), (value) => value.toFixed(2))}
            ${this.slider("Silence that ends a turn", turn.silence_duration_ms, 100, 2000, 50, (value) => set("silence_duration_ms", value), (value) => `${value} ms`)}
            ${this.slider("Kept before speech", turn.prefix_padding_ms, 0, 1000, 50, (value) => set("prefix_padding_ms", value), (value) => `${value} ms`)}
            ${this.slider("Speak up after silence", turn.idle_timeout_ms, 0, 30_000, 1000, (value) => set("idle_timeout_ms", value && Math.max(5000, value)), (value) => (value ? `${value / 1000} s` : "off"))}
          `
        : nothing}
      ${turn.type === "semantic_vad"
        ? html`<div>
            <div class="label" aria-hidden="true">Eagerness</div>
            <parley-segmented
              label="Eagerness"
              .value=${turn.eagerness}
              .choices=${["auto", "low", "medium", "high"].map((value) => ({ value, label: value[0]!.toUpperCase() + value.slice(1) }))}
              @change=${(event: Event) => set("eagerness", valueOf(event).value as TurnSettings["eagerness"])}
            ></parley-segmented>
            <p class="hint">How soon it takes a pause for the end of a thought.</p>
          </div>`
        : nothing}
      ${turn.type === "none"
        ? html`<p class="hint">Hold the talk button or the space bar while you speak; it answers when you let go.</p>`
        : html`
            <wa-switch size="s" ?checked=${turn.create_response} @change=${(event: Event) => set("create_response", valueOf(event).checked)}>Answer by itself</wa-switch>
            <wa-switch size="s" ?checked=${turn.interrupt_response} @change=${(event: Event) => set("interrupt_response", valueOf(event).checked)}>Speech interrupts the answer</wa-switch>
          `}
    `;
  }

  private sound(): TemplateResult {
    const { sound, settings } = this.talk;
    const options = (list: MediaDeviceInfo[], kind: string) => [
      { value: "", label: `System ${kind}` },
      ...list.map((device, index) => ({ value: device.deviceId, label: device.label || `${kind} ${index + 1}` })),
    ];
    return html`
      <div>
        ${this.choose("Microphone", sound.inputId, options(this.found.inputs, "microphone"), (value) => this.talk.changeSound({ inputId: value }))}
        <parley-meter label="Microphone level" .levels=${this.talk.mine}></parley-meter>
      </div>
      ${canChooseSpeaker() && this.found.outputs.length
        ? html`<div>
            ${this.choose("Loudspeaker", sound.outputId, options(this.found.outputs, "loudspeaker"), (value) => this.talk.changeSound({ outputId: value }))}
            <parley-meter label="Loudspeaker level" .levels=${this.talk.theirs}></parley-meter>
          </div>`
        : nothing}
      <div>
        <div class="label" aria-hidden="true">Noise reduction</div>
        <parley-segmented
          label="Noise reduction"
          .value=${settings.noise_reduction || "off"}
          .choices=${[
            { value: "off", label: "Off" },
            { value: "near_field", label: "Headset" },
            { value: "far_field", label: "Room" },
          ]}
          @change=${(event: Event) => this.set("noise_reduction", (valueOf(event).value === "off" ? "" : valueOf(event).value) as Settings["noise_reduction"])}
        ></parley-segmented>
      </div>
      <div>
        <wa-switch size="s" ?checked=${sound.record} @change=${(event: Event) => this.talk.changeSound({ record: valueOf(event).checked })}>Record calls in this browser</wa-switch>
        <p class="hint">Both sides, for Sessions. The recording never leaves this browser. From the next call on.</p>
      </div>
      ${sound.record
        ? this.choose("Keep recordings", String(sound.keepDays), [
            { value: "1", label: "1 day" },
            { value: "7", label: "7 days" },
            { value: "30", label: "30 days" },
          ], (value) => this.talk.changeSound({ keepDays: Number(value) }))
        : nothing}
    `;
  }

  private transcription(): TemplateResult {
    const { settings, about } = this.talk;
    const models = about?.transcription_models ?? [];
    return html`
      ${this.choose("Transcript of what you say", settings.transcription_model || "off", [{ value: "off", label: "Off" }, ...models.map((value) => ({ value, label: value }))], (value) =>
        this.set("transcription_model", value === "off" ? "" : value),
      )}
      ${this.input("Language", settings.transcription_language, "Found out by itself, or en, de, zh …", (value) => this.set("transcription_language", value.trim()))}
    `;
  }

  private tools(): TemplateResult {
    const { settings } = this.talk;
    const config = this.talk.config();
    const wrong = config instanceof SettingsError ? config.message : "";
    const badAnswers = problemOf(settings.answers);
    return html`
      <div>
        ${this.area("Functions, as JSON", settings.tools, "[ ]", (value) => this.set("tools", value), "code")}
        ${wrong ? html`<p class="hint bad" role="alert">${wrong}</p>` : nothing}
        ${settings.tools ? nothing : html`<p class="hint"><button type="button" class="link" @click=${this.example}>Insert an example</button></p>`}
      </div>
      ${settings.tools
        ? html`
            <div>
              <div class="label" aria-hidden="true">Tool choice</div>
              <parley-segmented label="Tool choice" .value=${settings.tool_choice} .choices=${["auto", "required", "none"].map((value) => ({ value, label: value[0]!.toUpperCase() + value.slice(1) }))} @change=${(event: Event) => this.set("tool_choice", valueOf(event).value as Settings["tool_choice"])}></parley-segmented>
            </div>
            <div>
              ${this.area("Answers by script", settings.answers, '{"tool name": answer}', (value) => this.set("answers", value), "code")}
              ${badAnswers ? html`<p class="hint bad" role="alert">${badAnswers}</p>` : html`<p class="hint">Tool name to answer; {{name}} stands for an argument. Tools without an answer here wait for yours in the transcript.</p>`}
            </div>
          `
        : nothing}
    `;
  }

  private example(): void {
    this.talk.change((settings) => {
      settings.tools = EXAMPLE_TOOLS;
      settings.answers ||= EXAMPLE_ANSWERS;
    });
  }

  // ---- fields

  private set<K extends keyof Settings>(name: K, value: Settings[K]): void {
    this.talk.change((settings) => (settings[name] = value));
  }

  private select(label: string, value: string, values: string[], then: (value: string) => void, disabled = false): TemplateResult {
    return this.choose(label, value, values.map((name) => ({ value: name, label: name })), then, disabled);
  }

  private choose(label: string, value: string, choices: { value: string; label: string }[], then: (value: string) => void, disabled = false): TemplateResult {
    return html`<label class="field">${label}
      <select class="control" aria-label=${label} ?disabled=${disabled} .value=${live(value)} @change=${(event: Event) => then(valueOf(event).value)}>
        ${choices.map((choice) => html`<option value=${choice.value} ?selected=${choice.value === value}>${choice.label}</option>`)}
      </select>
    </label>`;
  }

  private input(label: string, value: string, placeholder: string, then: (value: string) => void): TemplateResult {
    return html`<label class="field">${label}<input class="control" maxlength="16" placeholder=${placeholder} .value=${live(value)} @change=${(event: Event) => then(valueOf(event).value)} /></label>`;
  }

  private area(label: string, value: string, placeholder: string, then: (value: string) => void, kind = ""): TemplateResult {
    return html`<label class="field">${label}
      <textarea class="control ${kind}" rows=${kind ? 6 : 4} spellcheck=${kind ? "false" : "true"} placeholder=${placeholder} .value=${live(value)} @input=${(event: Event) => then(valueOf(event).value)}></textarea>
    </label>`;
  }

  private slider(label: string, value: number, min: number, max: number, step: number, then: (value: number) => void, text: (value: number) => string): TemplateResult {
    return html`<div class="slider">
      <wa-slider size="s" label=${label} min=${min} max=${max} step=${step} .value=${value} .valueFormatter=${text} @input=${(event: Event) => then(Number(valueOf(event).value))}></wa-slider>
      <output aria-hidden="true">${text(value)}</output>
    </div>`;
  }
}
