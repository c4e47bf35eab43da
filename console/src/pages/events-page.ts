import { css, html, LitElement, type TemplateResult } from "lit";
import { customElement, property } from "lit/decorators.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";
import "../ui/events-view.js";
import { Watch } from "../watch.js";

@customElement("parley-events-page")
export class EventsPage extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid !important;
        grid-template-rows: auto minmax(0, 1fr);
        height: 100%;
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
        <h1>Events</h1>
        <span class="quiet wide">Everything on the wire, both ways</span>
        <span class="grow"></span>
        ${talk.live ? html`<span class="pill good">${talk.settings.transport === "webrtc" ? "WebRTC" : "WebSocket"} · live</span>` : ""}
      </header>
      <parley-events .store=${talk.events} ?growing=${talk.busy} .name=${talk.sessionId || "session"}></parley-events>
    `;
  }
}
