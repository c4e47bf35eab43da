import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";
import "../ui/turns-view.js";
import { Watch } from "../watch.js";

@customElement("parley-turns-page")
export class TurnsPage extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid !important;
        grid-template-rows: auto minmax(0, 1fr);
        height: 100%;
      }
      .body {
        overflow: auto;
        padding: 24px;
      }
      parley-turns {
        max-width: 1120px;
        margin: 0 auto;
      }
      @media (max-width: 760px) {
        .body {
          padding: 12px;
        }
      }
    `,
  ];

  @property({ attribute: false }) talk!: Talk;

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, this.talk);
  }

  override render(): TemplateResult {
    const { talk } = this;
    return html`
      <header class="page-head">
        <h1>Turns</h1>
        <span class="quiet wide">Where the time goes, from your last word to the first sound</span>
      </header>
      <div class="body">
        <parley-turns .turns=${talk.turns.turns} .usage=${talk.usage} .now=${talk.busy ? performance.now() : 0}></parley-turns>
      </div>
    `;
  }
}
