import "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import * as api from "../api.js";
import { fromJsonLines, type EventStore } from "../model/event-store.js";
import { clock, count, when } from "../model/format.js";
import * as db from "../model/session-db.js";
import { textOf } from "../model/transcript.js";
import { segments, type Turn } from "../model/turns.js";
import { go } from "../router.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";
import { download } from "../ui/download.js";
import "../ui/events-view.js";
import { icon } from "../ui/icon.js";
import { switchOn } from "../ui/kept-session.js";
import "../ui/recording.js";
import type { Mark } from "../ui/recording.js";
import "../ui/segmented.js";
import "../ui/transcript-view.js";
import "../ui/turns-view.js";
import { Watch } from "../watch.js";

type Tab = "transcript" | "turns" | "events";

const LOOK_AGAIN_MS = 5_000;

@customElement("parley-sessions-page")
export class SessionsPage extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: grid !important;
        grid-template: auto minmax(0, 1fr) / 320px minmax(0, 1fr);
        height: 100%;
      }
      .page-head {
        grid-column: 1 / -1;
      }
      .list {
        overflow-y: auto;
        padding: 12px;
        border-right: 1px solid var(--line);
      }
      .list h2 {
        padding: 12px 8px 4px;
        color: var(--quiet);
        font-size: 12px;
        font-weight: 500;
      }
      .list button {
        display: grid;
        grid-template-columns: minmax(0, 1fr) auto;
        gap: 0 8px;
        width: 100%;
        padding: 8px;
        border: 0;
        border-radius: var(--radius-s);
        background: none;
        text-align: left;
        cursor: pointer;
      }
      .list button:hover {
        background: var(--hover);
      }
      .list button[aria-current="true"] {
        background: var(--selected);
      }
      .list b {
        font-weight: 500;
      }
      .detail {
        display: grid;
        grid-template-rows: auto auto auto minmax(0, 1fr);
        min-width: 0;
        min-height: 0;
      }
      .title {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px;
        padding: 16px 24px;
      }
      .title h2 {
        font-size: 16px;
        line-height: 24px;
      }
      .sound {
        margin: 0 24px 16px;
        overflow: hidden;
      }
      .tabs {
        grid-row: 3;
        padding: 0 24px 12px;
        border-bottom: 1px solid var(--line);
      }
      .tabs parley-segmented {
        max-width: 320px;
      }
      .content {
        grid-row: 4;
        min-height: 0;
        overflow-y: auto;
      }
      .content > parley-events {
        height: 100%;
      }
      .content > parley-turns {
        padding: 16px 24px 24px;
      }
      .list .more {
        justify-content: center;
        color: var(--accent-text);
      }
      .list .policy {
        margin: 12px 8px 4px;
        padding-top: 12px;
        border-top: 1px solid var(--line);
        color: var(--quiet);
        font-size: 12px;
        line-height: 18px;
      }
      .list .policy code {
        font-size: 11px;
      }
      .server {
        display: grid;
        min-width: 0;
        min-height: 0;
      }
      .back {
        display: none;
      }
      .all {
        grid-column: 1 / -1;
      }
      .live {
        width: 8px;
        height: 8px;
        border-radius: 4px;
        background: var(--good);
        display: inline-block;
        margin-right: 6px;
      }
      @media (max-width: 900px) {
        :host {
          grid-template-columns: minmax(0, 1fr);
        }
        .list {
          border: 0;
        }
        :host([detail]) .list,
        :host(:not([detail])) .detail,
        :host(:not([detail])) .server {
          display: none;
        }
        .back {
          display: inline-flex;
        }
        .title,
        .tabs {
          padding-left: 16px;
          padding-right: 16px;
        }
        .sound {
          margin: 0 16px 12px;
        }
        .content > parley-turns {
          padding: 12px;
        }
      }
    `,
  ];

  @property({ attribute: false }) talk!: Talk;
  @property() chosen = "";
  @property({ type: Boolean, reflect: true }) detail = false;
  @state() private stored: db.StoredSession[] = [];
  @state() private remote: api.ServerSession[] = [];
  @state() private next: string | null = null;
  /** Of a session that is here and there, what the server has is looked at. */
  @state() private there = false;
  @state() private events: EventStore | undefined;
  @state() private sound: Blob | undefined;
  @state() private tab: Tab = "transcript";
  @state() private deleting = false;
  private loaded = "";
  private looking: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, this.talk);
    this.talk.addEventListener("ended", this.refresh);
    this.refresh();
    this.looking = setInterval(() => document.hidden || void this.look(), LOOK_AGAIN_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.talk.removeEventListener("ended", this.refresh);
    clearInterval(this.looking);
  }

  private refresh = (): void => {
    void db.list().then((found) => (this.stored = found), () => undefined);
    void this.look();
  };

  /** The newest of the server's; older ones that were loaded before stay. */
  private async look(): Promise<void> {
    const found = await api.serverSessions().catch(() => undefined);
    if (!found) return;
    const last = found.data.at(-1)?.opened_at ?? Infinity;
    const older = found.next ? this.remote.filter(({ opened_at }) => opened_at < last) : [];
    if (!older.length) this.next = found.next;
    this.remote = [...found.data, ...older];
  }

  private async more(): Promise<void> {
    const found = await api.serverSessions(this.next ?? undefined).catch(() => undefined);
    if (!found) return;
    this.remote = [...this.remote, ...found.data];
    this.next = found.next;
  }

  /** The chosen session; where there is room, the newest if none is chosen. */
  private get current(): string {
    return this.chosen || (this.wide.matches ? (this.stored[0]?.id ?? this.remote[0]?.id ?? "") : "");
  }

  private wide = matchMedia("(min-width: 901px)");

  protected override willUpdate(): void {
    this.detail = this.chosen !== "";
    if (this.current !== this.loaded) void this.load();
  }

  private async load(): Promise<void> {
    const wanted = this.current;
    this.loaded = wanted;
    this.events = this.sound = undefined;
    this.deleting = this.there = false;
    if (!wanted) return;
    const [events, sound] = await Promise.all([db.events(wanted), db.sound(wanted)]).catch(() => []);
    if (wanted !== this.current) return;
    this.sound = sound;
    this.events = events && fromJsonLines(await events.text());
  }

  override render(): TemplateResult {
    const { talk } = this;
    const ours = new Set([...this.stored.map(({ id }) => id), talk.sessionId]);
    const others = this.remote.filter(({ id }) => !ours.has(id));
    const nothingAtAll = !this.stored.length && !others.length && !talk.busy;
    return html`
      <header class="page-head">
        <h1>Sessions</h1>
        <span class="quiet wide">What this browser keeps of its own calls, and what the server keeps of all</span>
        <span class="grow"></span>
        <button type="button" class="button icon" aria-label="Look again" @click=${this.refresh}>${icon("refresh-cw")}</button>
      </header>
      ${nothingAtAll
        ? html`<div class="empty all">
            <span class="badge-icon">${icon("history")}</span>
            <h2>No sessions yet</h2>
            <p>A call under Talk is kept here when it ends: what was said, its turns and its events.</p>
            ${this.policy()}
          </div>`
        : html`
            <div class="list" role="region" aria-label="List of sessions" tabindex="-1">
              ${talk.busy
                ? html`<h2>Now</h2>
                    <button type="button" @click=${() => go("talk")}><b><span class="live"></span>This call</b><span class="quiet num">${clock(talk.elapsed)}</span><span class="quiet small">${talk.settings.model}</span></button>`
                : nothing}
              ${this.stored.length ? html`<h2>This browser</h2>${this.stored.map((session) => this.entry(session.id, firstWords(session), clock(session.durationMs), when(session.startedAt), session.soundUntil > 0))}` : nothing}
              ${others.length
                ? html`<h2>On the server</h2>
                    ${others.map((session) => this.kept(session))}`
                : nothing}
              ${this.next ? html`<button type="button" class="more" @click=${() => this.more()}>Show older ones</button>` : nothing}
              ${this.policy()}
            </div>
            ${this.details()}
          `}
    `;
  }

  /** What the server keeps, and for how long. */
  private policy(): TemplateResult | typeof nothing {
    const recording = this.talk.about?.recording;
    if (!recording) return nothing;
    const days = `${recording.days} ${recording.days === 1 ? "day" : "days"}`;
    if (recording.record === "off") return html`<p class="policy">Recording is off: of a session the server keeps figures for ${days}, and neither words nor sound. ${switchOn}</p>`;
    return html`<p class="policy">Recording is on: the server keeps what both sides say${recording.record === "audio" ? " and how it sounds" : ""} for ${days}.</p>`;
  }

  private kept(session: api.ServerSession): TemplateResult {
    const live = session.ended_at === null;
    const length = live ? html`<span class="live"></span>live` : clock((session.ended_at! - session.opened_at) * 1000);
    const more = `${when(session.opened_at * 1000)} · ${session.turns} ${session.turns === 1 ? "turn" : "turns"}`;
    return this.entry(session.id, session.model || "Transcription", length, more, session.sound === "whole" || session.sound === "incomplete");
  }

  private entry(id: string, name: string, length: string | TemplateResult, more: string, sound: boolean): TemplateResult {
    return html`<button type="button" aria-current=${this.current === id} @click=${() => go("sessions", id)}>
      <b class="cut">${name}</b><span class="quiet num">${length}</span>
      <span class="quiet small cut">${more}</span><span class="quiet small">${sound ? icon("audio-lines", "with sound") : nothing}</span>
    </button>`;
  }

  private details(): TemplateResult {
    const session = this.stored.find(({ id }) => id === this.current);
    if (session && !this.there) return this.local(session);
    if (!this.current) return html`<div class="detail empty"><p>Choose a session.</p></div>`;
    return html`<section class="server" aria-label="Session">
      <parley-kept-session
        .session=${this.current}
        .recording=${this.talk.about?.recording}
        @gone=${this.gone}
        @back=${() => (session ? (this.there = false) : go("sessions"))}
      ></parley-kept-session>
    </section>`;
  }

  private gone = (): void => {
    this.remote = this.remote.filter(({ id }) => id !== this.current);
    this.there = false;
    go("sessions");
  };

  private local(session: db.StoredSession): TemplateResult {
    return html`<section class="detail" aria-label="Session">
      <div class="title">
        <button type="button" class="button plain icon back" aria-label="Back to the list" @click=${() => go("sessions")}>${icon("chevron-left")}</button>
        <h2>${when(session.startedAt)}</h2>
        <span class="pill">${String(session.config.model)}</span>
        <span class="pill">${session.transport === "webrtc" ? "WebRTC" : "WebSocket"}</span>
        <span class="pill num">${clock(session.durationMs)}</span>
        <span class="pill num">${count(session.usage.total_tokens)} tokens</span>
        <span class="grow"></span>
        ${this.sound ? html`<button type="button" class="button" @click=${() => download(`${session.id}.wav`, this.sound!)}>${icon("download")}Sound</button>` : nothing}
        <button type="button" class="button" @click=${() => download(`${session.id}.txt`, plainText(session), "text/plain")}>${icon("download")}Text</button>
        ${this.remote.some(({ id }) => id === session.id) ? html`<button type="button" class="button" @click=${() => (this.there = true)}>What the server keeps</button>` : nothing}
        <button type="button" class="button icon" aria-label="Delete this session" @click=${() => (this.deleting = true)}>${icon("trash-2")}</button>
      </div>
      ${this.sound
        ? html`<div class="card sound"><parley-recording .sound=${this.sound} .marks=${marks(session.turns, session.epoch)}></parley-recording></div>`
        : html`<span></span>`}
      <div class="tabs">
        <parley-segmented
          label="View"
          .value=${this.tab}
          .choices=${[
            { value: "transcript", label: "Transcript" },
            { value: "turns", label: "Turns" },
            { value: "events", label: "Events" },
          ]}
          @change=${(event: Event) => (this.tab = (event.target as unknown as { value: Tab }).value)}
        ></parley-segmented>
      </div>
      <div class="content">${this.content(session)}</div>
      <wa-dialog label="Delete this session?" ?open=${this.deleting} light-dismiss @wa-after-hide=${() => (this.deleting = false)}>
        <p>Transcript, events and sound are removed from this browser. This cannot be undone.</p>
        <div slot="footer" class="row">
          <button type="button" class="button" @click=${() => (this.deleting = false)}>Keep it</button>
          <button type="button" class="button danger" @click=${() => this.forget(session.id)}>Delete</button>
        </div>
      </wa-dialog>
    </section>`;
  }

  private content(session: db.StoredSession): TemplateResult {
    switch (this.tab) {
      case "transcript":
        return html`<parley-transcript .messages=${session.messages} .turns=${session.turns} .epoch=${session.epoch} .pace=${session.pace ?? 0}></parley-transcript>`;
      case "turns":
        return html`<parley-turns .turns=${session.turns} .usage=${session.usage}></parley-turns>`;
      case "events":
        return this.events ? html`<parley-events .store=${this.events} .name=${session.id}></parley-events>` : html`<p class="empty">No events were kept.</p>`;
    }
  }

  private async forget(id: string): Promise<void> {
    await db.remove(id);
    this.deleting = false;
    go("sessions");
    this.refresh();
  }
}

const firstWords = (session: db.StoredSession): string =>
  session.messages.filter(({ role }) => role === "user").map(textOf).find(Boolean) ?? "Call";

const plainText = (session: db.StoredSession): string =>
  session.messages
    .map((message) => `${clock(message.at - session.epoch)} ${{ user: "You", assistant: "Parley", tool: "Tool", note: "" }[message.role]}: ${message.tool ? `${message.tool.name}(${message.tool.args}) -> ${message.tool.answer ?? ""}` : textOf(message)}\n`)
    .join("");

/** The parts of the turns, on the axis of the sound. */
const marks = (turns: Turn[], epoch: number): Mark[] =>
  turns.flatMap((turn) => segments(turn).map(({ stage, start, end }) => ({ start: start - epoch, end: end - epoch, colour: `--stage-${stage}` })));
