import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import { loudness } from "../audio/pcm.js";
import type { Levels } from "../talk.js";
import { shared } from "../styles/shared.js";

/** How loud it is right now. */
@customElement("parley-meter")
export class Meter extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      .track {
        height: 4px;
        border-radius: 2px;
        background: var(--selected);
        overflow: hidden;
      }
      .fill {
        height: 100%;
        border-radius: 2px;
        background: var(--good);
        transform-origin: left;
        transform: scaleX(0);
      }
    `,
  ];

  @property() label = "Level";
  @property({ attribute: false }) levels!: Levels;
  private frame = 0;
  private shown = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    this.frame = requestAnimationFrame(this.draw);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    cancelAnimationFrame(this.frame);
  }

  override render(): TemplateResult {
    return html`<div class="track" role="meter" aria-label=${this.label} aria-valuemin="0" aria-valuemax="100" aria-valuenow="0">
      <div class="fill"></div>
    </div>`;
  }

  private draw = (): void => {
    this.frame = requestAnimationFrame(this.draw);
    const level = loudness(this.levels?.get(0) ?? 0);
    this.shown = Math.max(level, this.shown * 0.92);
    const fill = this.renderRoot.querySelector<HTMLElement>(".fill");
    if (fill) fill.style.transform = `scaleX(${this.shown.toFixed(3)})`;
    fill?.parentElement?.setAttribute("aria-valuenow", String(Math.round(this.shown * 100)));
  };
}
