import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import type { Problem } from "../model/problems.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

/** What went wrong and what to do. Event: `dismiss`. */
@customElement("parley-problem")
export class ProblemNote extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      .note {
        display: flex;
        gap: 12px;
        padding: 12px 12px 12px 16px;
        border: 1px solid var(--warn-line);
        border-radius: var(--radius);
        background: var(--warn-soft);
      }
      .mark {
        flex: none;
        color: var(--warn-text);
        font-size: 16px;
        line-height: 20px;
        padding-top: 2px;
      }
      h2 {
        font-size: 14px;
        line-height: 22px;
      }
      ul {
        color: var(--soft);
      }
      .detail {
        margin-top: 4px;
        color: var(--soft);
        font: 12px/18px var(--mono);
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) problem!: Problem;

  override render(): TemplateResult {
    const { title, advice, detail } = this.problem;
    return html`<div class="note" role="alert">
      <span class="mark">${icon("triangle-alert")}</span>
      <div class="grow">
        <h2>${title}</h2>
        ${advice.length ? html`<ul>${advice.map((step) => html`<li>${step}</li>`)}</ul>` : nothing}
        ${detail ? html`<p class="detail">${detail}</p>` : nothing}
      </div>
      <button type="button" class="button plain icon small" aria-label="Dismiss" @click=${() => this.dispatchEvent(new Event("dismiss"))}>
        ${icon("x")}
      </button>
    </div>`;
  }
}
