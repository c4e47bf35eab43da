import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import { shared } from "../styles/shared.js";

export interface Choice {
  value: string;
  label: string;
}

/** One of a few: a radio group that looks like a switch. Event: `change`. */
@customElement("parley-segmented")
export class Segmented extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
    `,
  ];

  @property() label = "";
  @property() value = "";
  @property({ attribute: false }) choices: Choice[] = [];
  @property({ type: Boolean }) disabled = false;

  override render(): TemplateResult {
    return html`<div class="segments" role="radiogroup" aria-label=${this.label} @keydown=${this.key}>
      ${this.choices.map(
        ({ value, label }) =>
          html`<button
            type="button"
            role="radio"
            aria-checked=${value === this.value}
            tabindex=${value === this.value ? 0 : -1}
            ?disabled=${this.disabled}
            @click=${() => this.choose(value)}
          >
            ${label}
          </button>`,
      )}
    </div>`;
  }

  private key(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = this.choices.findIndex(({ value }) => value === this.value);
    this.choose(this.choices.at((at + step) % this.choices.length)!.value);
    void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>('[aria-checked="true"]')?.focus());
  }

  private choose(value: string): void {
    if (value === this.value) return;
    this.value = value;
    this.dispatchEvent(new Event("change"));
  }
}
