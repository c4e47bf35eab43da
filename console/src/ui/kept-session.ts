import "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import * as api from "../api.js";
import { clock, count, ms, when } from "../model/format.js";
import { peaksOf, plainText, type Peaks } from "../model/kept.js";
import { credits } from "../model/money.js";
import { asProblem, type Problem } from "../model/problems.js";
import { shared } from "../styles/shared.js";
import { download } from "./download.js";
import { icon } from "./icon.js";
import "./kept-lines.js";
import "./problem-note.js";
import "./recording.js";
import type { Mark, Recording } from "./recording.js";
import "./segmented.js";

type Tab = "transcript" | "turns" | "usage";

const LOOK_AGAIN_MS = 3_000;

const KINDS: Record<string, string> = {
  input_tokens: "Tokens in",
  cached_tokens: "of these, read before",
  input_text_tokens: "Text in",
  input_audio_tokens: "Sound in",
  input_image_tokens: "Images in",
  output_tokens: "Tokens out",
  output_text_tokens: "Text out",
  output_audio_tokens: "Sound out",
};

/** A session that the server keeps: sound, transcript, turns, usage. Events: `gone`, `back`. */
@customElement("parley-kept-session")
export class KeptSessionView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-width: 0;
        min-height: 0;
      }
      .title {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        padding: 16px 24px;
      }
      .title h2 {
        font-size: 16px;
        line-height: 24px;
      }
      .tools {
        display: flex;
        gap: 8px;
        margin-left: auto;
      }
      a.button {
        color: inherit;
        text-decoration: none;
      }
      .sound,
      .note {
        flex: none;
        margin: 0 24px 16px;
        overflow: hidden;
      }
      .note {
        display: flex;
        gap: 12px;
        padding: 12px 16px;
        color: var(--soft);
      }
      .note wa-icon {
        margin-top: 2px;
      }
      parley-problem {
        margin: 0 24px 16px;
      }
      .tabs {
        padding: 0 24px 12px;
        border-bottom: 1px solid var(--line);
      }
      .tabs parley-segmented {
        max-width: 320px;
      }
      .content {
        flex: 1;
        min-height: 0;
        overflow: auto;
      }
      table {
        width: 100%;
        border-collapse: collapse;
        font-variant-numeric: tabular-nums;
        font-size: 13px;
      }
      th,
      td {
        height: 36px;
        padding: 0 12px;
        border-bottom: 1px solid var(--line);
        text-align: right;
        font-weight: 400;
        white-space: nowrap;
      }
      thead th {
        color: var(--quiet);
        font-size: 12px;
      }
      th:nth-child(-n + 3),
      td:nth-child(-n + 3) {
        text-align: left;
      }
      .usage {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(160px, 1fr));
        gap: 12px;
        padding: 16px 24px 24px;
      }
      .figure {
        padding: 14px 16px;
      }
      dt {
        color: var(--quiet);
        font-size: 12px;
      }
      dd {
        font-size: 20px;
        font-weight: 600;
        line-height: 28px;
        font-variant-numeric: tabular-nums;
      }
      .back {
        display: none;
      }
      .live {
        width: 8px;
        height: 8px;
        border-radius: 4px;
        background: var(--good);
      }
      @media (max-width: 900px) {
        .back {
          display: inline-flex;
        }
        .title,
        .tabs {
          padding-left: 16px;
          padding-right: 16px;
        }
        .sound,
        .note {
          margin: 0 16px 12px;
        }
      }
    `,
  ];

  @property() session = "";
  @property({ attribute: false }) recording: api.About["recording"] | undefined;
  @state() private kept: api.KeptSession | undefined;
  @state() private problem: Problem | undefined;
  @state() private tab: Tab = "transcript";
  @state() private time = 0;
  @state() private deleting = false;
  @query("parley-recording") private player: Recording | null | undefined;
  private peaks: Peaks | undefined;
  private marks: Mark[] = [];
  private looking: ReturnType<typeof setTimeout> | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.looking);
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has("session")) return;
    this.kept = this.problem = undefined;
    this.time = 0;
    this.deleting = false;
    void this.load();
  }

  /** A session that lives is looked at again and again. */
  private async load(): Promise<void> {
    clearTimeout(this.looking);
    const wanted = this.session;
    let kept: api.KeptSession | undefined;
    try {
      kept = await api.keptSession(wanted);
      if (wanted === this.session) this.show(kept);
    } catch (error) {
      if (wanted === this.session) this.problem = asProblem(error);
    }
    const over = kept && kept.ended_at !== null && kept.sound !== "live";
    if (wanted === this.session && this.isConnected && kept && !over) this.looking = setTimeout(() => void this.load(), LOOK_AGAIN_MS);
  }

  private show(kept: api.KeptSession): void {
    this.kept = kept;
    this.problem = undefined;
    this.peaks = peaksOf(kept.peaks);
    this.marks = (kept.transcript ?? []).flatMap(({ role, start_ms: start, end_ms: end }) =>
      start == null || end == null || end <= start ? [] : [{ start, end, colour: role === "user" ? "--stage-speech" : "--stage-respond" }],
    );
  }

  override render(): TemplateResult {
    const { kept } = this;
    const problem = this.problem ? html`<parley-problem .problem=${this.problem} @dismiss=${() => (this.problem = undefined)}></parley-problem>` : nothing;
    if (!kept) return html`${problem}<p class="empty" role="status">${this.problem ? "" : "Loading…"}</p>`;
    return html`
      ${this.head(kept)} ${problem}
      ${this.hasSound(kept)
        ? html`<div class="card sound">
            <parley-recording
              .src=${api.soundUrl(kept.id)}
              .levels=${this.peaks}
              .length=${kept.sound_ms}
              .marks=${this.marks}
              @time=${(event: CustomEvent<number>) => (this.time = event.detail)}
            ></parley-recording>
          </div>`
        : nothing}
      ${this.note(kept)}
      <div class="tabs">
        <parley-segmented
          label="View"
          .value=${this.tab}
          .choices=${[
            { value: "transcript", label: "Transcript" },
            { value: "turns", label: "Turns" },
            { value: "usage", label: "Usage" },
          ]}
          @change=${(event: Event) => (this.tab = (event.target as unknown as { value: Tab }).value)}
        ></parley-segmented>
      </div>
      <div class="content" role="region" aria-label="What is kept" tabindex="0">${this.content(kept)}</div>
      ${this.dialog(kept)}
    `;
  }

  private hasSound = (kept: api.KeptSession): boolean => kept.sound === "whole" || kept.sound === "incomplete";

  private head(kept: api.KeptSession): TemplateResult {
    const length = (kept.ended_at ?? Date.now() / 1000) - kept.opened_at;
    return html`<div class="title">
      <button type="button" class="button plain icon back" aria-label="Back to the list" @click=${() => this.dispatchEvent(new Event("back"))}>${icon("chevron-left")}</button>
      <h2>${when(kept.opened_at * 1000)}</h2>
      ${kept.ended_at === null ? html`<span class="pill good"><span class="live"></span>live</span>` : nothing}
      <span class="pill">${kept.model}</span>
      <span class="pill">${kept.call_id ? "Call" : "WebSocket"}</span>
      <span class="pill num">${clock(length * 1000)}</span>
      <span class="pill num">${count(kept.input_tokens + kept.output_tokens)} tokens</span>
      <span class="pill num">${credits(kept.charged_micro)} credits</span>
      <div class="tools">
        ${this.hasSound(kept) ? html`<a class="button" href="${api.soundUrl(kept.id)}?download=1" download="${kept.id}.ogg">${icon("download")}Sound</a>` : nothing}
        ${kept.transcript ? html`<button type="button" class="button" @click=${() => download(`${kept.id}.txt`, plainText(kept), "text/plain")}>${icon("download")}Text</button>` : nothing}
        <button type="button" class="button" @click=${() => download(`${kept.id}.json`, JSON.stringify(kept, null, 2), "application/json")}>${icon("download")}JSON</button>
        <button type="button" class="button icon" aria-label="Delete this session from the server" @click=${() => (this.deleting = true)}>${icon("trash-2")}</button>
      </div>
    </div>`;
  }

  /** What is missing, and why. */
  private note(kept: api.KeptSession): TemplateResult | typeof nothing {
    if (kept.sound === "incomplete")
      return note("Some of the sound is missing: the disk was full or too slow, or the server was stopped in the middle.");
    if (kept.sound === "live") return note("This session is being recorded. Its sound can be played when it has ended.");
    if (kept.record === "off")
      return note(html`Recording was off, so neither words nor sound of this session were kept.${this.recording?.record === "off" ? html` ${switchOn}` : nothing}`);
    return kept.transcript_cut ? note("More was said than is kept.") : nothing;
  }

  private content(kept: api.KeptSession): TemplateResult {
    switch (this.tab) {
      case "transcript":
        return kept.transcript?.length
          ? html`<parley-kept-lines .lines=${kept.transcript} .time=${this.time} .sound=${this.hasSound(kept)} @seek=${(event: CustomEvent<number>) => this.player?.seek(event.detail)}></parley-kept-lines>`
          : html`<p class="empty">${kept.transcript ? "Nothing was said." : "No transcript was kept."}</p>`;
      case "turns":
        return turnsTable(kept.turns);
      case "usage":
        return html`<dl class="usage">
          ${Object.entries(KINDS).map(([kind, name]) => figure(name, count(kept.usage[kind])))}
          ${figure("Put into words", ms(kept.usage.transcribed_ms))}
        </dl>`;
    }
  }

  private dialog(kept: api.KeptSession): TemplateResult {
    return html`<wa-dialog label="Delete this session from the server?" ?open=${this.deleting} light-dismiss @wa-after-hide=${() => (this.deleting = false)}>
      <p>Transcript, figures and sound are removed. ${kept.ended_at === null ? "The call goes on, and nothing more of it is kept. " : ""}What it has cost stays in the books. This cannot be undone.</p>
      <div slot="footer" class="row">
        <button type="button" class="button" @click=${() => (this.deleting = false)}>Keep it</button>
        <button type="button" class="button danger" @click=${() => this.forget()}>Delete</button>
      </div>
    </wa-dialog>`;
  }

  private async forget(): Promise<void> {
    this.deleting = false;
    try {
      await api.forgetSession(this.session);
      this.dispatchEvent(new Event("gone"));
    } catch (error) {
      this.problem = asProblem(error);
    }
  }
}

/** How the operator switches recording on. */
export const switchOn = html`The operator switches it on with <code>PARLEY_RECORD=audio</code> (or <code>transcripts</code>, without sound).`;

const note = (text: string | TemplateResult): TemplateResult => html`<div class="note card" role="note">${icon("info")}<p>${text}</p></div>`;

const figure = (name: string, value: string): TemplateResult => html`<div class="figure card"><dt>${name}</dt><dd>${value}</dd></div>`;

function turnsTable(turns: api.ServerTurn[]): TemplateResult {
  if (!turns.length) return html`<p class="empty">No turns yet.</p>`;
  const cell = (value: number | undefined) => html`<td>${ms(value)}</td>`;
  return html`<table>
    <thead>
      <tr><th scope="col">At</th><th scope="col">Kind</th><th scope="col">Status</th><th scope="col">Transcription</th><th scope="col">First sound</th><th scope="col">Voice to voice</th><th scope="col">Tokens in</th><th scope="col">out</th></tr>
    </thead>
    <tbody>
      ${turns.map(
        (turn) => html`<tr>
          <td>${turn.at_ms === undefined ? "–" : clock(turn.at_ms)}</td><td>${turn.kind}</td><td>${turn.status}</td>
          ${cell(turn.transcription_ms)}${cell(turn.first_audio_ms)}${cell(turn.voice_to_voice_ms)}<td>${count(turn.tokens_in)}</td><td>${count(turn.tokens_out)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}
