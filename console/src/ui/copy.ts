import { html, LitElement, css, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

/** Copies `text`, or what the function returns. */
@customElement("parley-copy")
export class Copy extends LitElement {
  static override styles = [shared, css``];

  @property({ attribute: false }) text: string | (() => string) = "";
  @property() label = "Copy";
  @property({ type: Boolean }) plain = false;
  @state() private done = false;

  override render(): TemplateResult {
    return html`<button type="button" class="button small ${this.plain ? "plain icon" : ""}" aria-label=${this.label} title=${this.label} @click=${this.copy}>
      ${icon(this.done ? "check" : "copy")}${this.plain ? "" : this.done ? "Copied" : this.label}
    </button>`;
  }

  private async copy(): Promise<void> {
    const text = typeof this.text === "function" ? this.text() : this.text;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return;
    }
    this.done = true;
    setTimeout(() => (this.done = false), 1500);
  }
}
