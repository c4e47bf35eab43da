import "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import type WaDialog from "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property, query } from "lit/decorators.js";
import { shared } from "../styles/shared.js";
import "./copy.js";

/** Something that is shown this once, to be copied: a key, a link. Open while there is a `value`. Event: `closed`. */
@customElement("parley-once")
export class Once extends LitElement {
  static override styles = [
    shared,
    css`
      wa-dialog {
        --width: min(560px, calc(100vw - 32px));
      }
      wa-dialog::part(title) {
        font-size: 16px;
        font-weight: 600;
      }
      .value {
        display: flex;
        align-items: center;
        gap: 8px;
        margin: 16px 0;
        padding: 8px 8px 8px 12px;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius-s);
        background: var(--sunken);
      }
      code {
        flex: 1;
        min-width: 0;
        overflow-wrap: anywhere;
        user-select: all;
      }
      .end {
        display: flex;
        justify-content: flex-end;
        margin-top: 16px;
      }
    `,
  ];

  @property() label = "";
  @property() value = "";
  @query("wa-dialog") private dialog!: WaDialog;

  override render(): TemplateResult {
    return html`<wa-dialog label=${this.label} ?open=${this.value !== ""} @wa-after-hide=${() => this.dispatchEvent(new Event("closed"))}>
      <slot></slot>
      <div class="value"><code>${this.value}</code><parley-copy .text=${this.value}></parley-copy></div>
      <slot name="more"></slot>
      <div class="end"><button type="button" class="button primary" @click=${() => (this.dialog.open = false)}>I have copied it</button></div>
    </wa-dialog>`;
  }
}
