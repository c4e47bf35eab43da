import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import type { About } from "../api.js";
import { environment, jsonCurl, pipelineCurl } from "../model/curl.js";
import { ms } from "../model/format.js";
import { startCall, type PlaygroundCall } from "../call/playground-call.js";
import { CALL_MODELS, PIPELINE_MODEL, post, postForm, VOICES, type Answer } from "../realtime-api.js";
import { code } from "../styles/code.js";
import { desk, fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { sentence } from "../ui/asked.js";
import "../ui/copy.js";
import { highlight } from "../ui/highlight.js";
import { icon } from "../ui/icon.js";
import "../ui/segmented.js";

type Endpoint = "pipeline" | "session" | "charge";
const ENDPOINTS: { value: Endpoint; label: string; about: string }[] = [
  { value: "pipeline", label: "Pipeline", about: "One request hears, answers and speaks: text or a sound file in, text and an MP3 out." },
  { value: "session", label: "Session", about: "A live WebRTC call: this page makes the offer, the endpoint gives the answer." },
  { value: "charge", label: "Charge", about: "Ends a call and tells its bill. Asking twice tells the same bill." },
];
const INSTRUCTIONS_CHARS_MAX = 4_000;
const SHOWN_CHARS_MAX = 96;

/** The three endpoints of /api/realtime, to be tried. */
@customElement("parley-playground-page")
export class PlaygroundPage extends LitElement {
  static override styles = [
    shared,
    desk,
    fields,
    code,
    css`
      .columns {
        display: grid;
        grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
        gap: 24px;
        align-items: start;
      }
      .columns > div {
        display: flex;
        flex-direction: column;
        gap: 24px;
        min-width: 0;
      }
      form.card {
        padding: 16px;
      }
      pre.code {
        padding: 16px;
        background: var(--sunken);
        overflow: auto;
        max-height: 360px;
      }
      .card {
        overflow: hidden;
      }
      audio {
        width: 100%;
      }
      .answer {
        display: flex;
        flex-direction: column;
        gap: 12px;
        padding: 16px;
      }
      @media (max-width: 960px) {
        .columns {
          grid-template-columns: minmax(0, 1fr);
        }
      }
    `,
  ];

  @property({ attribute: false }) about!: About;
  @state() private endpoint: Endpoint = "pipeline";
  @state() private key = "";
  @state() private form: Record<string, string> = {
    voice: "marin",
    text: "Give me a 20-second product update.",
    instructions: "Sound natural and concise.",
    messages: "",
    durationSeconds: "",
    model: "realtime-mini",
    callInstructions: "Keep answers short and conversational.",
    callId: "",
  };
  @state() private audio: File | undefined;
  @state() private answer: Answer | undefined;
  @state() private sound = "";
  @state() private refusal = "";
  @state() private waiting = false;
  @state() private call: PlaygroundCall | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.hangUp();
    this.hear("");
  }

  override render(): TemplateResult {
    const chosen = ENDPOINTS.find(({ value }) => value === this.endpoint)!;
    const shell = environment(location.origin) + this.curl();
    return html`
      <header class="page-head">
        <h1>Playground</h1>
        <span class="quiet wide">The endpoints of <code>/api/realtime</code>, tried from here and written as curl</span>
      </header>
      <div class="body">
        <div class="inner">
          <div class="bar">
            <parley-segmented label="Endpoint" .value=${this.endpoint} .choices=${ENDPOINTS} @change=${this.choose}></parley-segmented>
            <span class="quiet">${chosen.about}</span>
          </div>
          <div class="columns">
            <div>
              <form class="card" @submit=${this.send} @input=${this.write}>
                ${this.fields()}
                <label class="field">API key<input class="control" type="password" name="key" autocomplete="off" placeholder="none: as the one who is signed in" .value=${this.key} /><span class="quiet">Requests cost what they cost everywhere, from the account of the key or of whoever is signed in.</span></label>
                <div class="row">
                  <button class="button primary" ?disabled=${this.waiting || (this.endpoint === "session" && this.call !== undefined)}>${icon("send-horizontal")}${this.waiting ? "Waiting…" : `POST /api/realtime/${this.endpoint}`}</button>
                  ${this.call ? html`<button type="button" class="button danger" @click=${this.hangUp}>${icon("phone-off")}Hang up</button>` : nothing}
                </div>
              </form>
            </div>
            <div>
              <section class="card" aria-label="curl">
                <header><h2 class="grow">curl</h2><parley-copy .text=${shell}></parley-copy></header>
                <pre class="code" tabindex="0">${highlight(shell, "shell")}</pre>
              </section>
              <section class="card came-back" aria-label="Answer" aria-live="polite">
                <header><h2 class="grow">Answer</h2>${this.answer ? html`<span class="pill ${this.answer.ok ? "good" : "bad"} num">${this.answer.status}</span><span class="pill num">${ms(this.answer.took)}</span>` : nothing}</header>
                ${this.shown()}
              </section>
            </div>
          </div>
        </div>
      </div>
    `;
  }

  // ---- what is asked

  private fields(): TemplateResult {
    switch (this.endpoint) {
      case "pipeline":
        return html`
          <div class="two">
            ${this.select("model", "Model", [PIPELINE_MODEL], PIPELINE_MODEL)} ${this.select("voice", "Voice", VOICES)}
          </div>
          <label class="field">Text<textarea class="control" name="text" rows="3" .value=${this.form.text!}></textarea></label>
          <label class="field">Audio<input class="control" type="file" name="audio" accept="audio/*,video/webm" @change=${this.chooseAudio} /><span class="quiet">With text, instead of it, or not at all; up to 25 MB.</span></label>
          <label class="field">Instructions<textarea class="control" name="instructions" rows="2" maxlength=${INSTRUCTIONS_CHARS_MAX} .value=${this.form.instructions!}></textarea></label>
          <details>
            <summary>More fields</summary>
            <div class="stack">
              <label class="field">messages: what was said before, as JSON<textarea class="control" name="messages" rows="2" placeholder='[{"role":"user","text":"Hello"}]' .value=${this.form.messages!}></textarea></label>
              <label class="field">durationSeconds<input class="control num" name="durationSeconds" inputmode="decimal" placeholder="a hint, with audio" .value=${this.form.durationSeconds!} /></label>
            </div>
          </details>
        `;
      case "session":
        return html`
          <div class="two">${this.select("model", "Model", CALL_MODELS)} ${this.select("voice", "Voice", VOICES)}</div>
          <label class="field">Instructions<textarea class="control" name="callInstructions" rows="3" .value=${this.form.callInstructions!}></textarea></label>
          <p class="quiet">The page offers your microphone when you allow it, and only listens when you do not. curl has no offer of its own: put yours in the place of <code>v=0…</code></p>
        `;
      case "charge":
        return html`
          <div class="two">${this.select("model", "Model", CALL_MODELS)}</div>
          <label class="field">callId<input class="control mono" name="callId" required placeholder="call_…" autocomplete="off" .value=${this.form.callId!} /><span class="quiet">Of the header <code>x-openai-call-id</code>; a call begun under Session fills it in.</span></label>
        `;
    }
  }

  private select(name: string, label: string, values: readonly string[], value = this.form[name]): TemplateResult {
    return html`<label class="field">${label}
      <select class="control" name=${name}>${values.map((one) => html`<option value=${one} ?selected=${one === value}>${one}</option>`)}</select>
    </label>`;
  }

  private parts(): [string, string][] {
    const { voice, text, messages, durationSeconds, instructions } = this.form;
    return [["model", PIPELINE_MODEL], ["voice", voice!], ["text", text!], ["messages", messages!], ["durationSeconds", durationSeconds!], ["instructions", instructions!]];
  }

  private curl(): string {
    const { model, voice, callInstructions, callId } = this.form;
    switch (this.endpoint) {
      case "pipeline":
        return pipelineCurl(this.parts(), this.audio && { name: this.audio.name, type: this.audio.type || "audio/webm" });
      case "session":
        return jsonCurl("session", { model, voice, instructions: callInstructions, sdp: "v=0…" });
      case "charge":
        return jsonCurl("charge", { model, callId: callId || "call_abc123" });
    }
  }

  // ---- doing it

  private send = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const endpoint = this.endpoint;
    this.waiting = true;
    this.refusal = "";
    this.answer = undefined;
    this.hear("");
    try {
      if (endpoint === "session") await this.begin();
      else this.answer = await (endpoint === "pipeline" ? postForm(this.parts(), this.audio, this.key) : post("charge", { model: this.form.model, callId: this.form.callId!.trim() }, this.key));
      if (endpoint === "pipeline" && this.answer?.ok) this.hear(soundOf(this.answer));
      if (endpoint === "charge" && this.answer?.ok) this.hangUp();
    } catch (error) {
      this.refusal = sentence(error);
    } finally {
      this.waiting = false;
    }
    await this.updateComplete;
    this.renderRoot.querySelector(".came-back")?.scrollIntoView({ block: "nearest" });
  };

  private async begin(): Promise<void> {
    const { model, voice, callInstructions } = this.form;
    const ended = () => (this.call = undefined);
    const begun = await startCall({ model: model!, voice: voice!, instructions: callInstructions! }, this.about.ice_servers, this.key, ended);
    this.answer = begun.answer;
    if (!begun.call) return;
    if (!this.isConnected) return begun.call.close();
    this.call = begun.call;
    this.form = { ...this.form, callId: begun.call.id };
  }

  private hangUp = (): void => {
    this.call?.close();
    this.call = undefined;
  };

  private hear(url: string): void {
    if (this.sound) URL.revokeObjectURL(this.sound);
    this.sound = url;
  }

  // ---- what came back

  private shown(): TemplateResult {
    if (this.refusal) return html`<div class="answer"><p class="refusal" role="alert">${this.refusal}</p></div>`;
    if (!this.answer) return html`<p class="note">${this.waiting ? "Waiting for the answer…" : "Send the request, and what comes back is shown here."}</p>`;
    const json = shortened(this.answer.text);
    return html`
      ${this.sound ? html`<div class="answer"><audio controls src=${this.sound} aria-label="The answer as speech"></audio></div>` : nothing}
      ${this.answer.callId
        ? html`<div class="answer">
            <p>The call is <code>${this.answer.callId}</code>${this.call ? ". Speak." : ", and it has ended."}</p>
            <div class="row"><button type="button" class="button" @click=${this.toCharge}>Charge it</button></div>
          </div>`
        : nothing}
      <pre class="code" tabindex="0" aria-label="Body of the answer">${highlight(json, "json")}</pre>
    `;
  }

  private toCharge = (): void => {
    this.endpoint = "charge";
    this.answer = undefined;
  };

  private choose = (event: Event): void => {
    this.endpoint = (event.target as unknown as { value: Endpoint }).value;
    this.answer = undefined;
    this.refusal = "";
    this.audio = undefined;
    this.hear("");
  };

  private chooseAudio = (event: Event): void => {
    this.audio = (event.target as HTMLInputElement).files?.[0];
  };

  private write = (event: Event): void => {
    const { name, value, type } = event.target as HTMLInputElement;
    if (name === "key") this.key = value;
    else if (type !== "file") this.form = { ...this.form, [name]: value };
  };
}

/** The MP3 of an answer, as something to play. */
function soundOf(answer: Answer): string {
  const { audioBase64, audioContentType } = JSON.parse(answer.text) as { audioBase64: string; audioContentType: string };
  const bytes = Uint8Array.from(atob(audioBase64), (char) => char.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: audioContentType }));
}

/** JSON indented, with long strings cut; what is no JSON stays as it is. */
function shortened(text: string): string {
  const cut = (_: string, value: unknown) =>
    typeof value === "string" && value.length > SHOWN_CHARS_MAX * 4 ? `${value.slice(0, SHOWN_CHARS_MAX)}… (${value.length} characters)` : value;
  try {
    return JSON.stringify(JSON.parse(text), cut, 2);
  } catch {
    return text;
  }
}
