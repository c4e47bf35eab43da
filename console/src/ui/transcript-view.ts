import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import { clock, ms } from "../model/format.js";
import { spokenParts, textOf, type Message, type ToolCall } from "../model/transcript.js";
import { latency, type Turn } from "../model/turns.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

const STICK_PX = 80;
const ESTIMATED =
  "Estimated: the server says where in the sound a piece of text begins; within it, words are spread evenly. Over WebRTC only the pace of speech is known.";

/** What both sides said. The word that is heard now is marked, later ones are faint, those that never will be struck out. Event: `answer`. */
@customElement("parley-transcript")
export class TranscriptView extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        overflow-y: auto;
        overscroll-behavior: contain;
      }
      ol {
        display: flex;
        flex-direction: column;
        gap: 20px;
        max-width: 760px;
        margin: 0 auto;
        padding: 24px;
      }
      li {
        display: grid;
        grid-template-columns: 28px minmax(0, 1fr);
        column-gap: 12px;
      }
      .face {
        display: grid;
        place-items: center;
        width: 28px;
        height: 28px;
        border-radius: 8px;
        font-size: 15px;
        color: var(--soft);
        background: var(--selected);
      }
      .assistant .face {
        color: #fff;
        background: var(--accent);
      }
      .tool .face {
        color: var(--stage-tool);
      }
      .who {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 4px 8px;
        min-height: 20px;
        font-size: 13px;
      }
      .who b {
        font-weight: 600;
      }
      .who time {
        color: var(--quiet);
        font-size: 12px;
      }
      .text {
        font-size: 15px;
        line-height: 24px;
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }
      .later {
        color: var(--quiet);
      }
      mark {
        margin: 0 -2px;
        padding: 1px 2px;
        border-radius: 4px;
        background: var(--accent-soft);
        color: inherit;
      }
      s {
        color: var(--quiet);
        text-decoration-color: var(--danger);
      }
      .note {
        grid-column: 1 / -1;
        justify-self: center;
        font-size: 12px;
        color: var(--quiet);
        text-align: center;
      }
      .note.failed {
        color: var(--danger-text);
      }
      img {
        display: block;
        max-width: min(320px, 100%);
        max-height: 240px;
        margin: 4px 0;
        border-radius: var(--radius);
        border: 1px solid var(--line);
      }
      .dots {
        display: inline-flex;
        gap: 4px;
        align-items: center;
        height: 24px;
      }
      .dots i {
        width: 6px;
        height: 6px;
        border-radius: 3px;
        background: var(--quiet);
        animation: dots 1.2s infinite ease-in-out;
      }
      .dots i:nth-child(2) {
        animation-delay: 0.15s;
      }
      .dots i:nth-child(3) {
        animation-delay: 0.3s;
      }
      @keyframes dots {
        0%,
        60%,
        100% {
          opacity: 0.3;
        }
        30% {
          opacity: 1;
        }
      }
      .call {
        margin-top: 4px;
        overflow: hidden;
      }
      .call > * {
        padding: 8px 12px;
      }
      .call > * + * {
        border-top: 1px solid var(--line);
      }
      .call pre {
        font-size: 13px;
        white-space: pre-wrap;
        overflow-wrap: anywhere;
      }
      form {
        display: flex;
        gap: 8px;
      }
      textarea {
        flex: 1;
        max-height: 160px;
        font-family: var(--mono);
        field-sizing: content;
      }
      @media (max-width: 760px) {
        ol {
          padding: 16px;
        }
      }
    `,
  ];

  @property({ attribute: false }) messages: Message[] = [];
  @property({ attribute: false }) turns: Turn[] = [];
  /** Page time of the start of the call. */
  @property({ type: Number }) epoch = 0;
  /** Characters in a millisecond of speech, where nothing better is known. */
  @property({ type: Number }) pace = 0;
  /** Tool calls may be answered. */
  @property({ type: Boolean }) live = false;
  private stick = true;

  protected override willUpdate(): void {
    this.stick = this.scrollHeight - this.scrollTop - this.clientHeight < STICK_PX;
  }

  protected override updated(changed: PropertyValues): void {
    super.updated(changed);
    if (this.stick && this.live) this.scrollTop = this.scrollHeight;
  }

  override render(): TemplateResult {
    const byAnswer = new Map(this.turns.map((turn) => [turn.answerItemId, turn]));
    return html`<ol aria-label="Transcript" aria-live="polite" tabindex="0">
      ${repeat(
        this.messages,
        (message) => message.id,
        (message) => this.message(message, byAnswer.get(message.id)),
      )}
    </ol>`;
  }

  private message(message: Message, turn: Turn | undefined): TemplateResult {
    if (message.role === "note") return html`<li class="note ${message.state}">${textOf(message)}</li>`;
    const [glyph, name] = { user: ["mic", "You"], assistant: ["audio-lines", "Parley"], tool: ["wrench", "Tool"] }[message.role] as [string, string];
    const wait = turn && latency(turn);
    return html`<li class="${message.role} ${message.state}">
      <span class="face" aria-hidden="true">${icon(message.role === "user" && !message.spoken ? "messages-square" : glyph)}</span>
      <div>
        <div class="who">
          <b>${name}</b><time class="num">${clock(message.at - this.epoch)}</time>
          ${wait === undefined ? nothing : html`<span class="pill num" title="From the end of speech to the first sound">${icon("zap")}${ms(wait)}</span>`}
          ${message.role === "assistant" && spokenParts(message, this.pace).now ? html`<span class="quiet small num" aria-hidden="true" title=${ESTIMATED}>≈ ${ms(message.playedMs)} heard</span>` : nothing}
          ${message.state === "interrupted" && message.role === "assistant"
            ? html`<span class="pill bad">${icon("scissors")}interrupted${message.spoken && message.playedMs ? html` at <span class="num">${ms(message.playedMs)}</span>` : nothing}</span>`
            : nothing}
        </div>
        ${message.image ? html`<img src=${message.image} alt="Sent picture" />` : nothing}
        ${message.tool ? this.call(message.tool) : this.text(message)}
      </div>
    </li>`;
  }

  private text(message: Message): TemplateResult {
    const text = textOf(message);
    const waiting = message.state === "listening" || message.state === "working" || (message.state === "open" && !text);
    if (!text && waiting) return html`<div class="dots" role="img" aria-label=${message.state === "listening" ? "Listening" : "Working"}><i></i><i></i><i></i></div>`;
    if (!text) return html`<div class="text quiet">${message.state === "failed" ? "Could not be understood." : message.image ? nothing : "Speech without transcript."}</div>`;
    if (message.role !== "assistant" || !message.spoken) return html`<div class="text">${text}</div>`;
    const { before, now, after } = spokenParts(message, this.pace);
    const rest = !after ? nothing : message.state === "interrupted" ? html`<s>${after}</s>` : html`<span class="later">${after}</span>`;
    return html`<div class="text">${before}${now ? html`<mark title=${ESTIMATED}>${now}</mark>` : nothing}${rest}</div>`;
  }

  private call(tool: ToolCall): TemplateResult {
    return html`<div class="card call">
      <pre><b>${tool.name || "…"}</b>(${tool.args})</pre>
      ${tool.answer !== undefined
        ? html`<pre class="quiet">${tool.scripted ? "Script: " : "Answer: "}${tool.answer}</pre>`
        : this.live
          ? html`<form @submit=${(event: SubmitEvent) => this.answer(event, tool)}>
              <textarea class="control" name="output" rows="1" aria-label="Answer to ${tool.name}" placeholder='{"ok": true}'></textarea>
              <button class="button">Send answer</button>
            </form>`
          : nothing}
    </div>`;
  }

  private answer(event: SubmitEvent, tool: ToolCall): void {
    event.preventDefault();
    const output = String(new FormData(event.target as HTMLFormElement).get("output") ?? "");
    this.dispatchEvent(new CustomEvent("answer", { detail: { callId: tool.callId, output } }));
  }
}
