import "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import type WaDialog from "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, query, state } from "lit/decorators.js";
import { fields } from "../styles/desk.js";
import { shared } from "../styles/shared.js";
import { sentence } from "./asked.js";

/**
 * A form in a dialog: `fields` are drawn anew each time it opens, `submit` gets what was filled in. When that fails, the
 * form stays and says why. Event: `closed`.
 */
@customElement("parley-form-dialog")
export class FormDialog extends LitElement {
  static override styles = [
    shared,
    fields,
    css`
      wa-dialog {
        --width: min(520px, calc(100vw - 32px));
      }
      wa-dialog::part(title) {
        font-size: 16px;
        font-weight: 600;
      }
    `,
  ];

  @property() label = "";
  @property() action = "Save";
  @property({ type: Boolean }) danger = false;
  @property({ type: Boolean }) open = false;
  @property({ attribute: false }) fields: TemplateResult | typeof nothing = nothing;
  @property({ attribute: false }) submit!: (data: FormData) => Promise<unknown>;
  @state() private waiting = false;
  @state() private refusal = "";
  @query("wa-dialog") private dialog!: WaDialog;

  override render(): TemplateResult {
    return html`<wa-dialog label=${this.label} ?open=${this.open} @wa-after-hide=${this.afterHide}>
      ${this.open
        ? html`<form @submit=${this.send}>
            ${this.fields}
            ${this.refusal ? html`<p class="refusal" role="alert">${this.refusal}</p>` : nothing}
            <div class="end">
              <button type="button" class="button" @click=${() => (this.dialog.open = false)}>Cancel</button>
              <button class="button ${this.danger ? "danger" : "primary"}" ?disabled=${this.waiting}>${this.action}</button>
            </div>
          </form>`
        : nothing}
    </wa-dialog>`;
  }

  private async send(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    this.waiting = true;
    try {
      await this.submit(new FormData(event.target as HTMLFormElement));
      this.dialog.open = false;
    } catch (error) {
      this.refusal = sentence(error);
    } finally {
      this.waiting = false;
    }
  }

  private afterHide(event: Event): void {
    if (event.target !== this.dialog) return;
    this.refusal = "";
    this.dispatchEvent(new Event("closed"));
  }
}
