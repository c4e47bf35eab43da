import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import { styleMap } from "lit/directives/style-map.js";
import { EventView, groupOf, NO_FILTER, summary, type EventStore, type Filter, type Row } from "../model/event-store.js";
import { bytes, seconds } from "../model/format.js";
import { shared } from "../styles/shared.js";
import { icon } from "./icon.js";

export const ROW_PX = 30;
const SPARE_ROWS = 8;
const FOLLOW_PX = 40;

/** A long list of which only the visible rows exist. Event: `choose` with the row. */
@customElement("parley-event-list")
export class EventList extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: block;
        position: relative;
        min-height: 0;
      }
      .scroll {
        height: 100%;
        overflow-y: auto;
        overflow-x: hidden;
        contain: strict;
      }
      .scroll:focus-visible {
        outline-offset: -2px;
      }
      .space {
        position: relative;
      }
      .event {
        position: absolute;
        left: 0;
        right: 0;
        display: grid;
        grid-template-columns: 84px 20px minmax(180px, 340px) minmax(0, 1fr) 72px;
        column-gap: 12px;
        align-items: center;
        height: ${ROW_PX}px;
        padding: 0 24px;
        border-bottom: 1px solid var(--line);
        font: 13px/20px var(--mono);
        cursor: default;
        white-space: nowrap;
      }
      .event:hover {
        background: var(--hover);
      }
      .event[aria-selected="true"] {
        background: var(--accent-soft);
      }
      .time,
      .size {
        color: var(--quiet);
        text-align: right;
        font-variant-numeric: tabular-nums;
      }
      .way {
        font-size: 14px;
        line-height: 1;
      }
      .out .way {
        color: var(--accent-text);
      }
      .in .way {
        color: var(--good-text);
      }
      .type {
        display: flex;
        min-width: 0;
        font-weight: 500;
      }
      .type .lead {
        flex: 0 1 auto;
        color: var(--quiet);
        font-weight: 400;
      }
      .error .type {
        color: var(--danger-text);
      }
      .said {
        color: var(--quiet);
        font-family: var(--font);
      }
      @media (max-width: 760px) {
        .event {
          grid-template-columns: 60px 16px minmax(0, 1fr) 64px;
          column-gap: 8px;
          padding: 0 16px;
        }
        .said {
          display: none;
        }
      }
    `,
  ];

  @property({ attribute: false }) store!: EventStore;
  @property({ attribute: false }) filter: Filter = NO_FILTER;
  @property({ type: Boolean }) paused = false;
  @property({ attribute: false }) chosen: Row | undefined;
  @state() private top = 0;
  private view: EventView | undefined;
  private unwatch: (() => void) | undefined;
  private frame = 0;
  private follow = true;
  private observer = new ResizeObserver(() => this.requestUpdate());

  override connectedCallback(): void {
    super.connectedCallback();
    this.observer.observe(this);
    this.unwatch = this.store?.watch(this.changed);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.observer.disconnect();
    this.unwatch?.();
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  get rows(): Row[] {
    return this.view?.rows ?? [];
  }

  private changed = (): void => {
    if (this.paused) return;
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.requestUpdate();
    });
  };

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has("store")) {
      this.unwatch?.();
      this.unwatch = this.store.watch(this.changed);
      this.view = new EventView(this.store, this.filter);
    } else if (changed.has("filter")) this.view?.setFilter(this.filter);
    if (!this.paused) this.view?.update();
  }

  protected override updated(): void {
    const scroll = this.scroller;
    if (scroll && this.follow && !this.paused) {
      const end = scroll.scrollHeight - scroll.clientHeight;
      if (Math.abs(scroll.scrollTop - end) > 1) scroll.scrollTop = end;
    }
    this.dispatchEvent(new CustomEvent("shown", { detail: this.rows.length }));
  }

  override render(): TemplateResult {
    const rows = this.rows;
    const first = Math.max(0, Math.floor(this.top / ROW_PX) - SPARE_ROWS);
    const count = Math.ceil((this.clientHeight || 600) / ROW_PX) + 2 * SPARE_ROWS;
    const start = this.store.rows[0]?.at ?? 0;
    return html`<div
      class="scroll"
      role="listbox"
      tabindex="0"
      aria-label="Events"
      aria-activedescendant=${this.chosen ? `event-${this.chosen.n}` : nothing}
      @scroll=${this.scrolled}
      @keydown=${this.key}
    >
      <div class="space" role="presentation" style=${styleMap({ height: `${rows.length * ROW_PX}px` })}>
        ${rows.slice(first, first + count).map((row, index) => this.row(row, first + index, rows.length, start))}
      </div>
    </div>`;
  }

  private row(row: Row, index: number, all: number, start: number): TemplateResult {
    const cut = row.type.lastIndexOf(".") + 1;
    return html`<div
      id="event-${row.n}"
      class="event ${row.direction} ${groupOf(row.type) === "error" ? "error" : ""}"
      role="option"
      aria-selected=${row === this.chosen}
      aria-posinset=${index + 1}
      aria-setsize=${all}
      style=${styleMap({ top: `${index * ROW_PX}px` })}
      @click=${() => this.choose(row)}
    >
      <span class="time">${seconds(row.at - start)}</span>
      <span class="way">${icon(row.direction === "out" ? "arrow-up" : "arrow-down", row.direction === "out" ? "sent" : "received")}</span>
      <span class="type"><span class="lead cut">${row.type.slice(0, cut)}</span><span>${row.type.slice(cut)}</span></span>
      <span class="said cut">${summary(row)}</span>
      <span class="size">${bytes(row.bytes)}</span>
    </div>`;
  }

  private get scroller(): HTMLElement | null {
    return this.renderRoot.querySelector(".scroll");
  }

  private scrolled(event: Event): void {
    const { scrollTop, scrollHeight, clientHeight } = event.target as HTMLElement;
    this.top = scrollTop;
    this.follow = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
  }

  private key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.clientHeight / ROW_PX) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    const rows = this.rows;
    if (step === undefined || !rows.length) return;
    event.preventDefault();
    const at = this.chosen ? rows.indexOf(this.chosen) : step > 0 ? -1 : rows.length;
    const next = Math.max(0, Math.min(rows.length - 1, at + step));
    this.choose(rows[next]!);
    this.reveal(next);
  }

  private reveal(index: number): void {
    const scroll = this.scroller!;
    const y = index * ROW_PX;
    if (y < scroll.scrollTop) scroll.scrollTop = y;
    else if (y + ROW_PX > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = y + ROW_PX - scroll.clientHeight;
  }

  private choose(row: Row): void {
    this.dispatchEvent(new CustomEvent("choose", { detail: row }));
  }
}
