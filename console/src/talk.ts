/**
 * The call of this page: settings, connection, everything that is known about it. One object; pages only show it.
 *
 * Events: `change` (anything but sound levels and events), `ended` (a call is over and stored).
 */

import * as api from "./api.js";
import { level } from "./audio/pcm.js";
import { Microphone } from "./audio/microphone.js";
import { Recorder } from "./audio/recorder.js";
import { Backlog } from "./call/backlog.js";
import type { Call, CallListener, Network } from "./call/call.js";
import { WebRtcCall } from "./call/webrtc-call.js";
import { WebSocketCall } from "./call/websocket-call.js";
import { answerFor } from "./model/answers.js";
import { EventStore, toJsonLines } from "./model/event-store.js";
import { itemOf, responseOf, str, type Item, type RealtimeEvent, type Usage } from "./model/events.js";
import { asProblem, problem, ProblemError, type Problem } from "./model/problems.js";
import * as db from "./model/session-db.js";
import { DEFAULTS, patch, restore, sessionConfig, SettingsError, type SessionConfig, type Settings } from "./model/settings.js";
import { recall, remember } from "./model/storage.js";
import { Transcript } from "./model/transcript.js";
import { addUsage, isOver, nextStage, TurnBook } from "./model/turns.js";

export type State = "idle" | "connecting" | "live" | "reconnecting";
export type Activity = "ready" | "listening" | "thinking" | "tool" | "speaking" | "muted";

export interface Sound {
  inputId: string;
  outputId: string;
  record: boolean;
  /** How long a recording is kept. */
  keepDays: number;
}

/** The waits before one attempt after the other to open a lost connection; the last is repeated. */
const RETRY_MS = [100, 300, 600, 1000];
const RETRY_MS_MAX = 120_000;
/** Speech is noticed at most so long after it began, ms. */
const NOTICED_MS_MAX = 1_000;
const UPDATE_AFTER_MS = 400;
const COMPARE_AFTER_MS = 250;
export const PEAKS_KEPT = 1_500;

/** Loudness of the last 30 s, in pieces of 20 ms; a ring. */
export class Levels {
  values = new Float32Array(PEAKS_KEPT);
  count = 0;

  push(value: number): void {
    this.values[this.count++ % PEAKS_KEPT] = value;
  }

  /** `back` pieces ago. */
  get(back: number): number {
    return back >= this.count || back >= PEAKS_KEPT ? 0 : this.values[(this.count - 1 - back) % PEAKS_KEPT]!;
  }
}

export class Talk extends EventTarget {
  settings: Settings = restore(recall("settings"), DEFAULTS);
  sound: Sound = { inputId: "", outputId: "", record: false, keepDays: 7, ...recall<Partial<Sound>>("sound") };
  about: api.About | undefined;

  state: State = "idle";
  problem: Problem | undefined;
  events = new EventStore();
  transcript = new Transcript();
  turns = new TurnBook();
  usage: Usage = {};
  network: Network = {};
  /** Levels of the two sides, newest last. */
  mine = new Levels();
  theirs = new Levels();
  sessionId = "";
  /** Page time and Unix time at which the call began. */
  began = 0;
  beganAt = 0;
  endedAt = 0;
  muted = false;
  talking = false;
  /** The session that the server confirmed. */
  effective: Record<string, unknown> | undefined;

  private call: Call | undefined;
  private microphone: Microphone | undefined;
  private sent: SessionConfig | undefined;
  private backlog = new Backlog();
  private recorder: Recorder | undefined;
  private updating: ReturnType<typeof setTimeout> | undefined;
  private pressedAt = 0;
  private responding = false;
  private wanted = false;
  private generation = 0;
  private ticking: ReturnType<typeof setInterval> | undefined;

  get live(): boolean {
    return this.state === "live";
  }

  get busy(): boolean {
    return this.state !== "idle";
  }

  /** What is written is sent, now or as soon as the connection is back. */
  get writable(): boolean {
    return this.live || this.state === "reconnecting";
  }

  /** Turns are ended by the button. */
  get byButton(): boolean {
    return this.settings.turn.type === "none";
  }

  get elapsed(): number {
    return this.began ? (this.busy ? performance.now() : this.endedAt) - this.began : 0;
  }

  get activity(): Activity {
    const turn = this.turns.last;
    if (turn && !isOver(turn)) {
      const stage = nextStage(turn);
      if (stage === "speech") return "listening";
      if (stage === "speak") return "speaking";
      return stage === "tool" ? "tool" : "thinking";
    }
    return this.byButton || !this.microphone ? "ready" : this.muted ? "muted" : "listening";
  }

  // ---- settings

  change(how: (settings: Settings) => void): void {
    how(this.settings);
    remember("settings", this.settings);
    clearTimeout(this.updating);
    if (this.live) this.updating = setTimeout(() => this.update(), UPDATE_AFTER_MS);
    this.changed();
  }

  changeSound(part: Partial<Sound>): void {
    Object.assign(this.sound, part);
    remember("sound", this.sound);
    if (part.outputId !== undefined) this.call?.chooseSpeaker(part.outputId);
    if (part.inputId !== undefined && this.microphone) void this.reopenMicrophone();
    this.changed();
  }

  /** The session that the settings mean, or what is wrong with them. */
  config(): SessionConfig | SettingsError {
    try {
      return sessionConfig(this.settings);
    } catch (error) {
      return error as SettingsError;
    }
  }

  // ---- the call

  async start(): Promise<void> {
    if (this.busy) return;
    this.reset();
    this.wanted = true;
    const generation = ++this.generation;
    this.become("connecting");
    try {
      const config = this.config();
      if (config instanceof SettingsError) throw new ProblemError(problem("bad_tools", config.message));
      // No microphone is no reason not to talk by text; say so and go on.
      try {
        await this.openMicrophone();
      } catch (error) {
        this.problem = asProblem(error);
      }
      if (generation !== this.generation) return this.dropMicrophone();
      await this.connect(config);
      if (generation !== this.generation) return;
      if (this.sound.record) this.recorder = new Recorder(performance.now());
    } catch (error) {
      if (generation !== this.generation) return;
      this.problem = error instanceof api.SignedOut ? problem("refused", "You are signed out; reload the page.") : asProblem(error);
      this.wanted = false;
      this.dropMicrophone();
      this.become("idle");
    }
  }

  async stop(): Promise<void> {
    this.wanted = false;
    this.generation++;
    this.call?.close();
    this.call = undefined;
    this.dropMicrophone();
    const began = this.began;
    this.endedAt = performance.now();
    this.turns.close(this.endedAt);
    this.transcript.close();
    this.mine.push(0);
    this.theirs.push(0);
    this.become("idle");
    if (began && this.transcript.messages.length) await this.store();
    this.dispatchEvent(new Event("ended"));
  }

  send(event: RealtimeEvent): void {
    if (this.state !== "reconnecting") this.call?.send(event);
    else this.backlog.hold(event);
  }

  say(text: string, imageUrl?: string): void {
    const content: Record<string, unknown>[] = [];
    if (imageUrl) content.push({ type: "input_image", image_url: imageUrl });
    if (text) content.push({ type: "input_text", text });
    if (!content.length || !this.writable) return;
    this.silence();
    this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    this.send({ type: "response.create" });
  }

  /** The answer to a tool call, by hand or from the script. */
  answer(callId: string, output: string, scripted = false): void {
    this.send({ type: "conversation.item.create", item: { type: "function_call_output", call_id: callId, output } });
    this.transcript.answered(callId, output, scripted);
    if (!this.transcript.messages.some(({ tool }) => tool && tool.answer === undefined)) this.continueAfterTools();
    this.changed();
  }

  mute(muted: boolean): void {
    this.muted = muted;
    if (this.microphone) this.microphone.muted = muted || (this.byButton && !this.talking);
    this.changed();
  }

  /** Push to talk: the button goes down. */
  press(): void {
    if (!this.live || this.talking) return;
    this.talking = true;
    this.pressedAt = performance.now();
    this.silence();
    this.send({ type: "input_audio_buffer.clear" });
    if (this.microphone) this.microphone.muted = false;
    this.changed();
  }

  release(): void {
    if (!this.talking) return;
    this.talking = false;
    const now = performance.now();
    this.turns.pressed(this.pressedAt, now);
    this.send({ type: "input_audio_buffer.commit" });
    this.send({ type: "response.create" });
    if (this.microphone) this.microphone.muted = true;
    this.changed();
  }

  /** Stops the answer. */
  silence(): void {
    if (this.responding) this.send({ type: "response.cancel" });
    this.call?.interrupt();
  }

  report(problem: Problem): void {
    this.problem = problem;
    this.changed();
  }

  dismiss(): void {
    this.problem = undefined;
    this.changed();
  }

  jsonLines(): string {
    return toJsonLines(this.events.rows);
  }

  // ---- connection

  private async connect(config: SessionConfig): Promise<void> {
    const generation = this.generation;
    const Kind = this.settings.transport === "webrtc" ? WebRtcCall : WebSocketCall;
    const call: Call = new Kind({
      session: config,
      microphone: this.microphone ?? null,
      speakerId: this.sound.outputId,
      iceServers: async () => (await api.about()).ice_servers as RTCIceServer[],
      secret: api.secret,
      listener: this.listener(() => this.call === call),
    });
    this.call = call;
    this.turns.clock = (audioMs) => call.captured(audioMs);
    await call.open();
    if (generation !== this.generation) return call.close();
    this.follow();
    this.sent = config;
    call.send({ type: "session.update", session: config });
    this.began ||= performance.now();
    this.beganAt ||= Date.now();
    if (this.microphone) this.microphone.muted = this.muted || (this.byButton && !this.talking);
    this.become("live");
  }

  private listener(current: () => boolean): CallListener {
    return {
      event: (direction, event, bytes, at) => this.happened(direction, event, bytes, at),
      started: (item, at) => {
        this.turns.playing(item, at);
        this.changed();
      },
      playing: (item, playedMs) => {
        this.transcript.playing(item, playedMs);
        this.changed();
      },
      ended: (item, at) => {
        this.turns.played(item, at);
        this.transcript.played(item);
        this.changed();
      },
      cut: (item, playedMs, at) => {
        this.turns.cut(item, playedMs, at);
        this.transcript.cut(item, playedMs);
        this.changed();
      },
      sound: (pcm, at) => {
        this.theirs.push(level(pcm));
        this.lastHeard = performance.now();
        this.recorder?.played(pcm, at);
      },
      closed: (why, lost) => {
        if (current()) void (lost && this.wanted ? this.reconnect(why) : this.end(why));
      },
      network: (figures) => {
        this.network = figures;
        this.changed();
      },
    };
  }

  private lastHeard = 0;

  private async end(why: Problem): Promise<void> {
    this.problem = why;
    await this.stop();
  }

  /** Opens the call again and tells the new session what was said. */
  private async reconnect(why: Problem): Promise<void> {
    const generation = this.generation;
    const lostAt = performance.now();
    const unheard = this.transcript.forget();
    const missing = unheard !== undefined ? unheard - NOTICED_MS_MAX : this.talking ? this.pressedAt : lostAt;
    this.problem = why;
    this.responding = false;
    this.turns.close(lostAt);
    this.transcript.close();
    this.become("reconnecting");
    const until = lostAt + RETRY_MS_MAX;
    for (let attempt = 0; performance.now() < until; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
      if (generation !== this.generation) return;
      try {
        const config = this.config();
        await this.connect(config instanceof SettingsError ? this.sent! : config);
        if (generation !== this.generation) return;
        this.handOver(this.call!, missing);
        this.transcript.note("Connected again; the conversation so far was handed over.", performance.now());
        this.problem = undefined;
        this.changed();
        return;
      } catch (error) {
        if (error instanceof api.SignedOut) break;
      }
    }
    if (generation === this.generation) await this.end(problem("server_unreachable"));
  }

  /** The conversation, the sound since then, what the user sent meanwhile, and the question that got no answer. */
  private handOver(call: Call, since: number): void {
    const history = this.transcript.history();
    for (const item of history) this.restore(call, item);
    const busy = this.backlog.giveTo(call, since);
    const last = history.at(-1);
    const unanswered = last?.role === "user" || last?.type === "function_call_output";
    if (unanswered && !busy && this.settings.turn.create_response) call.send({ type: "response.create" });
  }

  private restored = new Set<string>();

  private restore(call: Call, item: Item): void {
    const id = `item_restored_${this.restored.size + 1}`;
    this.restored.add(id);
    call.send({ type: "conversation.item.create", item: { ...item, id } });
  }

  // ---- what happens

  private happened(direction: "in" | "out", event: RealtimeEvent, bytes: number, at: number): void {
    this.events.add(direction, event, bytes, at);
    if (this.restored.has(str(itemOf(event).id))) return;
    if (direction === "out") this.turns.client(event, at);
    else {
      this.turns.server(event, at);
      this.transcript.server(event, at);
      this.react(event);
    }
    if (!event.type.endsWith("audio.delta") && event.type !== "input_audio_buffer.append") this.changed();
  }

  private react(event: RealtimeEvent): void {
    switch (event.type) {
      case "session.created":
      case "session.updated":
        this.effective = event.session as Record<string, unknown>;
        this.sessionId = str(this.effective?.id) || this.sessionId;
        return;
      case "input_audio_buffer.speech_started":
        // Over WebRTC the server does it.
        if (this.settings.turn.interrupt_response && this.settings.transport === "websocket") this.call?.interrupt();
        return;
      case "response.created":
        this.responding = true;
        return;
      case "response.done":
        this.responding = false;
        this.usage = addUsage(this.usage, responseOf(event).usage ?? {});
        if (this.answersWaiting) this.continueAfterTools();
        clearTimeout(this.asking);
        this.asking = setTimeout(() => void this.compare(), COMPARE_AFTER_MS);
        return;
      case "response.output_item.done": {
        const item = itemOf(event);
        if (item.type !== "function_call" || item.status !== "completed") return;
        const output = answerFor(this.settings.answers, str(item.name), str(item.arguments));
        if (output !== null) queueMicrotask(() => this.answer(str(item.call_id), output, true));
        return;
      }
      case "error": {
        const { code, message } = event.error as { code?: string; message?: string };
        if (code === "response_cancel_not_active" || code?.startsWith("item_truncate") || code === "item_already_truncated") return;
        this.problem = { code: code ?? "error", title: message ?? "The server reported an error.", advice: [] };
      }
    }
  }

  private asking: ReturnType<typeof setTimeout> | undefined;

  /** Lays what the server measured beside what the page saw. Without it the picture is as good. */
  private async compare(): Promise<void> {
    if (!this.sessionId) return;
    const turns = await api.serverTurns(this.sessionId).catch(() => []);
    if (turns.filter((turn) => this.turns.measured(turn.id, turn)).length) this.changed();
  }

  private answersWaiting = false;

  /** A response must have ended before the next is asked for. */
  private continueAfterTools(): void {
    this.answersWaiting = this.responding;
    if (!this.responding) this.send({ type: "response.create" });
  }

  private hear = (pcm: Int16Array, at: number): void => {
    this.mine.push(this.microphone?.muted ? 0 : level(pcm));
    // Both waveforms run at the pace of the microphone.
    if (performance.now() - this.lastHeard > 60) this.theirs.push(0);
    if (!this.busy) return;
    this.recorder?.heard(pcm, at);
    if (this.byButton && !this.talking) return;
    this.backlog.heard(pcm, at);
    if (this.state !== "reconnecting") this.call?.hear(pcm, at);
  };

  private async openMicrophone(): Promise<void> {
    this.microphone = await Microphone.open(this.sound.inputId, this.hear);
    this.microphone.onGone(() => {
      this.problem = problem("no_microphone", "The microphone was unplugged.");
      this.changed();
    });
  }

  private async reopenMicrophone(): Promise<void> {
    this.dropMicrophone();
    try {
      await this.openMicrophone();
      if (this.microphone) this.microphone.muted = this.muted || (this.byButton && !this.talking);
    } catch (error) {
      this.problem = asProblem(error);
    }
    this.changed();
  }

  private dropMicrophone(): void {
    this.microphone?.close();
    this.microphone = undefined;
  }

  get hasMicrophone(): boolean {
    return this.microphone !== undefined;
  }

  // ---- inside

  private update(): void {
    const config = this.config();
    if (config instanceof SettingsError || !this.sent) return;
    const part = patch(this.sent, config);
    if (part) {
      this.send({ type: "session.update", session: part });
      this.sent = config;
      this.follow();
      if (this.microphone) this.microphone.muted = this.muted || (this.byButton && !this.talking);
    }
  }

  /** What the picture of the turns depends on. */
  private follow(): void {
    const { turn, output } = this.settings;
    const server = turn.type === "server_vad";
    this.turns.detection = { prefixMs: server ? turn.prefix_padding_ms : 0, silenceMs: server ? turn.silence_duration_ms : 0 };
    this.turns.silent = output === "text";
  }

  private reset(): void {
    this.problem = undefined;
    this.events.clear();
    this.transcript = new Transcript();
    this.turns = new TurnBook();
    this.usage = {};
    this.network = {};
    this.sessionId = "";
    this.began = this.beganAt = this.endedAt = 0;
    this.talking = this.responding = false;
    this.recorder = undefined;
    this.backlog = new Backlog();
    this.restored.clear();
  }

  private async store(): Promise<void> {
    const sound = this.recorder?.finish();
    this.recorder = undefined;
    const config = this.config();
    try {
      await db.save(
        {
          id: this.sessionId || `local_${this.beganAt}`,
          startedAt: this.beganAt,
          epoch: this.began,
          durationMs: this.elapsed,
          transport: this.settings.transport,
          config: config instanceof SettingsError ? this.sent! : config,
          messages: this.transcript.messages,
          turns: this.turns.turns,
          pace: this.transcript.pace,
          usage: this.usage,
          eventCount: this.events.rows.length,
          soundUntil: sound ? Date.now() + this.sound.keepDays * 86_400_000 : 0,
        },
        this.jsonLines(),
        sound,
      );
      await db.tidy();
    } catch {
      // private windows have no database; the session is on screen until the next one
    }
  }

  private become(state: State): void {
    this.state = state;
    clearInterval(this.ticking);
    if (this.busy) this.ticking = setInterval(() => this.changed(), 250);
    this.changed();
  }

  private changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}

export const talk = new Talk();
