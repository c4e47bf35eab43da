import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { KeptLine } from "../api.js";
import { clock, ms } from "../model/format.js";
import { lineAt, NAMES, unheard } from "../model/kept.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

const GLYPHS = { user: "mic", assistant: "audio-lines", tool: "wrench" } as const;

/** The transcript that the server keeps. A line is a button: it leads to its place in the sound. Event: `seek`, ms. */
@customElement("parley-kept-lines")
export class KeptLines extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      ol {
        max-width: 808px;
        margin: 0 auto;
        padding: 16px 24px 24px;
      }
      .line {
        display: grid;
        grid-template-columns: 28px minmax(0, 1fr);
        gap: 0 12px;
        width: 100%;
        padding: 10px 12px;
        border: 0;
        border-radius: var(--radius-s);
        background: none;
        text-align: left;
      }
      button.line {
        cursor: pointer;
      }
      button.line:hover {
        background: var(--hover);
      }
      .line[aria-current="true"] {
        background: var(--selected);
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
      .who {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 4px 8px;
        min-height: 22px;
        font-size: 13px;
      }
      .who b {
        font-weight: 600;
      }
      .text {
        display: block;
        font-size: 15px;
        line-height: 24px;
        overflow-wrap: anywhere;
        white-space: pre-wrap;
      }
      .tool .text {
        font: 13px/20px var(--mono);
      }
      s {
        color: var(--quiet);
        text-decoration-color: var(--danger);
      }
      @media (max-width: 760px) {
        ol {
          padding: 8px 4px 16px;
        }
      }
    `,
  ];

  @property({ attribute: false }) lines: KeptLine[] = [];
  /** Position that is being played, ms. */
  @property({ type: Number }) time = 0;
  /** There is sound to go to. */
  @property({ type: Boolean }) sound = false;

  override render(): TemplateResult {
    const current = this.time ? lineAt(this.lines, this.time) : undefined;
    return html`<ol aria-label="Transcript">${this.lines.map((line) => html`<li>${this.line(line, line === current)}</li>`)}</ol>`;
  }

  private line(line: KeptLine, current: boolean): TemplateResult {
    const inside = html`
      <span class="face" aria-hidden="true">${icon(line.role === "user" && !line.spoken ? "messages-square" : GLYPHS[line.role])}</span>
      <span>
        <span class="who">
          <b>${NAMES[line.role]}</b>
          ${line.start_ms == null ? nothing : html`<span class="quiet small num">${clock(line.start_ms)}</span>`}
          ${line.spoken && line.start_ms != null && line.end_ms != null ? html`<span class="quiet small num">${ms(line.end_ms - line.start_ms)}</span>` : nothing}
          ${line.heard != null ? html`<span class="pill bad">${icon("scissors")}interrupted</span>` : nothing}
        </span>
        <span class="text">${words(line)}</span>
      </span>
    `;
    const start = line.start_ms;
    return this.sound && start != null
      ? html`<button type="button" class="line ${line.role}" aria-current=${current} @click=${() => this.seek(start)}>${inside}</button>`
      : html`<div class="line ${line.role}">${inside}</div>`;
  }

  private seek(at: number): void {
    this.dispatchEvent(new CustomEvent("seek", { detail: at }));
  }
}

function words(line: KeptLine): TemplateResult {
  if (line.role === "tool") return html`${line.name}(${line.text})${line.output ? html` → ${line.output}` : nothing}`;
  if (!line.text) return html`<span class="quiet">${line.failed ? "Could not be understood." : line.spoken ? "Speech without transcript." : ""}</span>`;
  const rest = unheard(line);
  return rest ? html`${line.heard}<s>${rest}</s>` : html`${line.text}`;
}
