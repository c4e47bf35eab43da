import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";
import { fromVideo } from "./picture.js";

const PROBLEMS: Record<string, string> = {
  insecure: "The browser gives the camera to secure pages only: open the console on localhost or over HTTPS.",
  NotFoundError: "No camera was found. Plug one in, or choose a picture from a file.",
  NotAllowedError: "The camera is blocked for this page. Click the icon at the left end of the address bar and allow it.",
  NotReadableError: "The camera is in use elsewhere. Close the program that holds it.",
};

/** A still from the camera. It is on only while this is open. Events: `picture` (detail: data URL), `close`. */
@customElement("parley-camera")
export class Camera extends LitElement {
  static override styles = [
    shared,
    css`
      dialog {
        width: min(560px, calc(100vw - 32px));
        padding: 0;
        border: 1px solid var(--line-strong);
        border-radius: 12px;
        background: var(--raised);
        color: inherit;
      }
      dialog::backdrop {
        background: rgb(0 0 0 / 50%);
      }
      header,
      footer {
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 12px 16px;
      }
      footer {
        justify-content: flex-end;
      }
      .view {
        display: grid;
        place-content: center;
        aspect-ratio: 4 / 3;
        background: #000;
        color: #fff;
        text-align: center;
      }
      .view p {
        max-width: 40ch;
        padding: 16px;
      }
      video {
        display: block;
        width: 100%;
        aspect-ratio: 4 / 3;
        object-fit: contain;
      }
    `,
  ];

  @property({ type: Number }) charsMax = 0;
  @state() private problem = "";
  @state() private ready = false;
  private stream: MediaStream | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.off();
  }

  protected override firstUpdated(): void {
    this.renderRoot.querySelector("dialog")!.showModal();
    void this.on();
  }

  override render(): TemplateResult {
    return html`<dialog aria-label="Camera" @close=${this.closed}>
      <header>
        <h2 class="grow">Camera</h2>
        <button type="button" class="button plain icon" aria-label="Close the camera" @click=${this.close}>${icon("x")}</button>
      </header>
      <div class="view">
        ${this.problem ? html`<p role="alert">${this.problem}</p>` : html`<video autoplay playsinline muted aria-label="What the camera sees" @loadeddata=${() => (this.ready = true)}></video>`}
      </div>
      <footer>
        <button type="button" class="button" @click=${this.close}>Cancel</button>
        ${this.problem ? nothing : html`<button type="button" class="button primary" ?disabled=${!this.ready} @click=${this.take}>${icon("camera")}Take the picture</button>`}
      </footer>
    </dialog>`;
  }

  private async on(): Promise<void> {
    if (!window.isSecureContext || !navigator.mediaDevices) {
      this.problem = PROBLEMS.insecure!;
      return;
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: { ideal: "environment" } } });
    } catch (error) {
      const { name, message } = error as Error;
      this.problem = PROBLEMS[name] ?? message;
      return;
    }
    const video = this.renderRoot.querySelector("video");
    if (video && this.isConnected) video.srcObject = this.stream;
    else this.off();
  }

  private off(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = undefined;
  }

  private take(): void {
    const video = this.renderRoot.querySelector("video")!;
    this.dispatchEvent(new CustomEvent("picture", { detail: fromVideo(video, this.charsMax) }));
    this.close();
  }

  private close(): void {
    this.renderRoot.querySelector("dialog")!.close();
  }

  private closed(): void {
    this.off();
    this.dispatchEvent(new Event("close"));
  }
}
