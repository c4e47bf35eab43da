import "@awesome.me/webawesome/dist/components/dialog/dialog.js";
import { css, html, LitElement, nothing, type TemplateResult } from "lit";
import { customElement, property, state } from "lit/decorators.js";
import * as api from "../api.js";
import { fromJsonLines, type EventStore } from "../model/event-store.js";
import { clock, count, ms, when } from "../model/format.js";
import * as db from "../model/session-db.js";
import { textOf } from "../model/transcript.js";
import { go } from "../router.js";
import { shared } from "../styles/shared.js";
import type { Talk } from "../talk.js";
import { download } from "../ui/download.js";
import "../ui/events-view.js";
import { icon } from "../ui/icon.js";
import "../ui/recording.js";
import "../ui/segmented.js";
import "../ui/transcript-view.js";
import "../ui/turns-view.js";
import { Watch } from "../watch.js";

type Tab = "transcript" | "turns" | "events";

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
      table {
        width: 100%;
        border-collapse: collapse;
        font-variant-numeric: tabular-nums;
        font-size: 13px;
      }
      th,
      td {
        height: 36px;
        padding: 0 12px;
        border-bottom: 1px solid var(--line);
        text-align: right;
        font-weight: 400;
      }
      thead th {
        color: var(--quiet);
        font-size: 12px;
      }
      th:nth-child(-n + 2),
      td:nth-child(-n + 2) {
        text-align: left;
      }
      .server {
        padding: 0 24px 24px;
        overflow: auto;
        grid-row: 2 / -1;
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
        :host(:not([detail])) .detail {
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
  @state() private remoteTurns: api.ServerTurn[] = [];
  @state() private events: EventStore | undefined;
  @state() private sound: Blob | undefined;
  @state() private tab: Tab = "transcript";
  @state() private deleting = false;
  private loaded = "";

  override connectedCallback(): void {
    super.connectedCallback();
    new Watch(this, this.talk);
    this.talk.addEventListener("ended", this.refresh);
    this.refresh();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.talk.removeEventListener("ended", this.refresh);
  }

  private refresh = (): void => {
    void db.list().then((found) => (this.stored = found), () => undefined);
    void api.serverSessions().then((found) => (this.remote = found), () => undefined);
  };

  /** The chosen session; where there is room, the newest if none is chosen. */
  private get current(): string {
    return this.chosen || (this.wide.matches ? (this.stored[0]?.id ?? "") : "");
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
    this.remoteTurns = [];
    this.deleting = false;
    if (!wanted) return;
    const [events, sound] = await Promise.all([db.events(wanted), db.sound(wanted)]).catch(() => []);
    if (wanted !== this.current) return;
    this.sound = sound;
    this.events = events && fromJsonLines(await events.text());
    if (!events) this.remoteTurns = await api.serverTurns(wanted).catch(() => []);
  }

  override render(): TemplateResult {
    const { talk } = this;
    const ours = new Set([...this.stored.map(({ id }) => id), talk.sessionId]);
    const others = this.remote.filter(({ id }) => !ours.has(id));
    const nothingAtAll = !this.stored.length && !others.length && !talk.busy;
    return html`
      <header class="page-head">
        <h1>Sessions</h1>
        <span class="quiet wide">Calls of this browser stay in this browser; of others the server keeps figures, not words</span>
        <span class="grow"></span>
        <button type="button" class="button icon" aria-label="Look again" @click=${this.refresh}>${icon("refresh-cw")}</button>
      </header>
      ${nothingAtAll
        ? html`<div class="empty all">
            <span class="badge-icon">${icon("history")}</span>
            <h2>No sessions yet</h2>
            <p>A call under Talk is kept here when it ends: what was said, its turns and its events.</p>
          </div>`
        : html`
            <div class="list" role="region" aria-label="List of sessions" tabindex="-1">
              ${talk.busy
                ? html`<h2>Now</h2>
                    <button type="button" @click=${() => go("talk")}><b><span class="live"></span>This call</b><span class="quiet num">${clock(talk.elapsed)}</span><span class="quiet small">${talk.settings.model}</span></button>`
                : nothing}
              ${this.stored.length ? html`<h2>This browser</h2>${this.stored.map((session) => this.entry(session.id, firstWords(session), clock(session.durationMs), when(session.startedAt), session.soundUntil > 0))}` : nothing}
              ${others.length
                ? html`<h2>Elsewhere on this server</h2>
                    ${others.map((session) => this.entry(session.id, session.model || "Transcription", session.ended_at ? clock((session.ended_at - session.opened_at) * 1000) : "live", `${when(session.opened_at * 1000)} · ${session.turns} turns`, false))}`
                : nothing}
            </div>
            ${this.details()}
          `}
    `;
  }

  private entry(id: string, name: string, length: string, more: string, sound: boolean): TemplateResult {
    return html`<button type="button" aria-current=${this.current === id} @click=${() => go("sessions", id)}>
      <b class="cut">${name}</b><span class="quiet num">${length}</span>
      <span class="quiet small cut">${more}</span><span class="quiet small">${sound ? icon("audio-lines", "with sound") : nothing}</span>
    </button>`;
  }

  private details(): TemplateResult {
    const session = this.stored.find(({ id }) => id === this.current);
    const remote = this.remote.find(({ id }) => id === this.current);
    if (session) return this.local(session);
    if (remote) return this.server(remote);
    return html`<div class="detail empty"><p>Choose a session.</p></div>`;
  }

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
        <button type="button" class="button icon" aria-label="Delete this session" @click=${() => (this.deleting = true)}>${icon("trash-2")}</button>
      </div>
      ${this.sound
        ? html`<div class="card sound"><parley-recording .sound=${this.sound} .turns=${session.turns} .epoch=${session.epoch}></parley-recording></div>`
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

  private server(session: api.ServerSession): TemplateResult {
    const figure = (value: number | undefined) => html`<td>${ms(value)}</td>`;
    return html`<section class="detail" aria-label="Session">
      <div class="title">
        <button type="button" class="button plain icon back" aria-label="Back to the list" @click=${() => go("sessions")}>${icon("chevron-left")}</button>
        <h2>${session.model}</h2>
        <span class="pill ${session.ended_at ? "" : "good"}">${session.ended_at ? "ended" : "live"}</span>
        <code class="quiet cut">${session.id}</code>
      </div>
      <div class="server">
        <table>
          <thead>
            <tr><th scope="col">Kind</th><th scope="col">Status</th><th scope="col">Transcription</th><th scope="col">First sound</th><th scope="col">Voice to voice</th><th scope="col">Tokens in</th><th scope="col">out</th></tr>
          </thead>
          <tbody>
            ${this.remoteTurns.map(
              (turn) => html`<tr><td>${turn.kind}</td><td>${turn.status}</td>${figure(turn.transcription_ms)}${figure(turn.first_audio_ms)}${figure(turn.voice_to_voice_ms)}<td>${count(turn.tokens_in)}</td><td>${count(turn.tokens_out)}</td></tr>`,
            )}
          </tbody>
        </table>
        ${this.remoteTurns.length ? nothing : html`<p class="empty">No turns yet.</p>`}
      </div>
    </section>`;
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
