import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { NO_FILTER, toJsonLines, type EventStore, type Filter, type Row } from "../model/event-store.js";
import { bytes, count, seconds } from "../model/format.js";
import { code } from "../styles/code.js";
import { shared } from "../styles/shared.js";
import "./copy.js";
import { download } from "./download.js";
import "./event-list.js";
import { highlight } from "./highlight.js";
import { icon } from "./icon.js";
import "./segmented.js";

const GROUPS = ["", "session", "input", "conversation", "response", "output", "error"];

/** Events with their filter, and the whole of the one that is chosen. */
@customElement("parley-events")
export class EventsView extends LitElement {
  static override styles = [
    shared,
    code,
    css`
      :host {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
        min-height: 0;
      }
      .bar {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        padding: 10px 24px;
        border-bottom: 1px solid var(--line);
        background: var(--surface);
      }
      .search {
        position: relative;
        flex: 1 1 160px;
        max-width: 320px;
      }
      .search wa-icon {
        position: absolute;
        left: 10px;
        top: 8px;
        color: var(--quiet);
      }
      .search input {
        padding-left: 32px;
      }
      .kind {
        width: 132px;
      }
      .split {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        min-height: 0;
      }
      .split.open {
        grid-template-columns: minmax(0, 1fr) minmax(320px, 38%);
      }
      parley-event-list {
        background: var(--surface);
      }
      aside {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
        border-left: 1px solid var(--line);
        background: var(--surface);
        min-height: 0;
        min-width: 0;
      }
      aside header {
        display: flex;
        align-items: center;
        gap: 4px;
        padding: 10px 12px 10px 20px;
        border-bottom: 1px solid var(--line);
      }
      aside h2 {
        font-family: var(--mono);
        overflow-wrap: anywhere;
      }
      aside .code {
        padding: 16px 20px;
        overflow: auto;
        background: var(--sunken);
      }
      .new {
        position: absolute;
        bottom: 16px;
        left: 50%;
        translate: -50%;
      }
      @media (max-width: 900px) {
        .split.open {
          grid-template-columns: minmax(0, 1fr);
        }
        .split.open parley-event-list {
          display: none;
        }
        .bar {
          padding: 8px 16px;
        }
      }
    `,
  ];

  @property({ attribute: false }) store!: EventStore;
  /** New events may come: they can be held back. */
  @property({ type: Boolean }) growing = false;
  @property() name = "session";
  @state() private filter: Filter = { ...NO_FILTER, hideAudio: true };
  @state() private paused = false;
  @state() private chosen: Row | undefined;
  @state() private shown = 0;
  @state() private total = 0;
  private held = 0;

  private empty = true;
  private unwatch: (() => void) | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.unwatch?.();
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("store")) {
      this.unwatch?.();
      this.unwatch = this.store.watch(() => {
        if (this.empty !== !this.store.rows.length) this.requestUpdate();
      });
    }
    this.empty = !this.store.rows.length;
  }

  override render(): TemplateResult {
    return html`
      <div class="bar" role="toolbar" aria-label="Filter">
        <label class="search">${icon("search")}<span class="hidden">Search</span>
          <input class="control" type="search" placeholder="Search in events" .value=${this.filter.search} @input=${(event: Event) => this.set({ search: (event.target as HTMLInputElement).value.trim().toLowerCase() })} />
        </label>
        <parley-segmented
          label="Direction"
          .value=${this.filter.direction}
          .choices=${[
            { value: "both", label: "All" },
            { value: "out", label: "Sent" },
            { value: "in", label: "Received" },
          ]}
          @change=${(event: Event) => this.set({ direction: (event.target as unknown as { value: Filter["direction"] }).value })}
        ></parley-segmented>
        <select class="control kind" aria-label="Kind" @change=${(event: Event) => this.set({ group: (event.target as HTMLSelectElement).value })}>
          ${GROUPS.map((group) => html`<option value=${group} ?selected=${group === this.filter.group}>${group || "Every kind"}</option>`)}
        </select>
        <button type="button" class="button" aria-pressed=${this.filter.hideAudio} @click=${() => this.set({ hideAudio: !this.filter.hideAudio })}>${icon("audio-lines")}<span class="wide">Hide sound</span></button>
        <span class="grow"></span>
        <span class="quiet small num wide">${this.shown === this.total ? count(this.total) : `${count(this.shown)} of ${count(this.total)}`} events</span>
        ${this.growing
          ? html`<button type="button" class="button" aria-pressed=${this.paused} @click=${this.pause}>${icon(this.paused ? "play" : "pause")}<span class="wide">${this.paused ? "Go on" : "Pause"}</span></button>`
          : nothing}
        <button type="button" class="button" ?disabled=${!this.total} @click=${this.save}>${icon("download")}<span class="wide">JSONL</span></button>
      </div>
      <div class="split ${this.chosen ? "open" : ""}">
        ${!this.empty
          ? html`<parley-event-list .store=${this.store} .filter=${this.filter} ?paused=${this.paused} .chosen=${this.chosen} @choose=${(event: CustomEvent<Row>) => (this.chosen = event.detail)} @shown=${this.counted} @keydown=${(event: KeyboardEvent) => event.key === "Escape" && (this.chosen = undefined)}></parley-event-list>`
          : html`<div class="empty">
              <span class="badge-icon">${icon("list")}</span>
              <h2>No events yet</h2>
              <p>Start a call under Talk: everything that goes over the wire, in both directions, is listed here.</p>
            </div>`}
        ${this.chosen ? this.detail(this.chosen) : nothing}
      </div>
    `;
  }

  private detail(row: Row): TemplateResult {
    const text = JSON.stringify(JSON.parse(row.text), null, 2);
    return html`<aside aria-label="Event">
      <header>
        <div class="grow">
          <h2>${row.type}</h2>
          <p class="quiet small num">${row.direction === "out" ? "Sent" : "Received"} at ${seconds(row.at - (this.store.rows[0]?.at ?? 0))} s · ${bytes(row.bytes)}</p>
        </div>
        <parley-copy plain label="Copy the event" .text=${text}></parley-copy>
        <button type="button" class="button plain icon small" aria-label="Close" @click=${() => (this.chosen = undefined)}>${icon("x")}</button>
      </header>
      <pre class="code" tabindex="0">${highlight(text, "json")}</pre>
    </aside>`;
  }

  private set(part: Partial<Filter>): void {
    this.filter = { ...this.filter, ...part };
  }

  private pause(): void {
    this.paused = !this.paused;
    this.held = this.store.rows.length;
  }

  private counted(event: CustomEvent<number>): void {
    this.shown = event.detail;
    this.total = this.paused ? this.held : this.store.rows.length;
  }

  private save(): void {
    download(`${this.name}.jsonl`, toJsonLines(this.store.rows), "application/jsonl");
  }
}
