import { Speaker } from "../audio/speaker.js";
import { SAMPLES_PER_MS, toBase64 } from "../audio/pcm.js";
import { str, type RealtimeEvent } from "../model/events.js";
import { problem, ProblemError, type Problem } from "../model/problems.js";
import type { Call, CallOptions } from "./call.js";

const OPEN_MS_MAX = 10_000;
const NORMAL = 1000;
/** Bytes that may wait in the socket; beyond it the network is gone and sound is dropped. */
const BUFFERED_MAX = 4_000_000;

export class WebSocketCall implements Call {
  private socket: WebSocket | undefined;
  private speaker: Speaker | undefined;
  private sentSamples = 0;
  /** Page time at which position 0 of the sent audio was captured. */
  private epoch: number | undefined;
  private over = false;
  /** Responses that were cut: what still comes of them is not played. */
  private cutItems = new Set<string>();

  constructor(private options: CallOptions) {}

  async open(): Promise<void> {
    const { session } = this.options;
    const [secret] = await Promise.all([this.options.secret(session), this.openSpeaker()]);
    if (this.over) return this.close();
    const url = new URL(`/v1/realtime?model=${encodeURIComponent(String(session.model))}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, ["realtime", `openai-insecure-api-key.${secret}`]);
    this.socket = socket;
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => fail(problem("server_unreachable", "No answer within 10 s.")), OPEN_MS_MAX);
      const fail = (why: Problem) => {
        clearTimeout(late);
        this.close();
        reject(new ProblemError(why));
      };
      socket.onmessage = (message) => {
        this.received(String(message.data));
        clearTimeout(late);
        resolve();
      };
      socket.onclose = (event) => {
        if (this.over) return;
        fail(closeProblem(event) ?? problem("server_unreachable", `The connection was refused (${event.code}).`));
      };
    });
    socket.onmessage = (message) => this.received(String(message.data));
    socket.onclose = (event) => this.gone(event);
  }

  send(event: RealtimeEvent): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const text = JSON.stringify(event);
    this.socket.send(text);
    this.options.listener.event("out", event, text.length, performance.now());
  }

  hear(pcm: Int16Array, at: number): void {
    if (this.socket?.readyState !== WebSocket.OPEN || this.socket.bufferedAmount > BUFFERED_MAX) return;
    const start = at - pcm.length / SAMPLES_PER_MS - this.sentSamples / SAMPLES_PER_MS;
    // The least delay seen is the truth; the rest is waiting of this thread.
    this.epoch = this.epoch === undefined ? start : Math.min(start, this.epoch);
    this.sentSamples += pcm.length;
    this.send({ type: "input_audio_buffer.append", audio: toBase64(pcm) });
  }

  replay(pcm: Int16Array, at: number): void {
    this.hear(pcm, at);
  }

  captured(audioMs: number): number | undefined {
    return this.epoch === undefined ? undefined : this.epoch + audioMs;
  }

  interrupt(): void {
    void this.speaker?.clear().then((cut) => {
      if (!cut) return;
      this.cutItems.add(cut.item);
      this.options.listener.cut(cut.item, cut.playedMs, performance.now());
      this.send({ type: "conversation.item.truncate", item_id: cut.item, content_index: 0, audio_end_ms: cut.playedMs });
    });
  }

  chooseSpeaker(deviceId: string): void {
    void this.speaker?.choose(deviceId);
  }

  close(): void {
    this.over = true;
    this.speaker?.close();
    this.socket?.close(NORMAL);
  }

  // ---- inside

  /** Rejects with `ProblemError`. A page that is not secure has none, and needs none for answers in writing. */
  private async openSpeaker(): Promise<void> {
    const { listener, session, speakerId } = this.options;
    if (!window.isSecureContext && !(session.output_modalities as string[]).includes("audio")) return;
    this.speaker = await Speaker.open(speakerId, {
      started: (item, at) => listener.started(item, at),
      playing: (item, playedMs, at) => listener.playing(item, playedMs, at),
      ended: (item, playedMs, at) => {
        listener.playing(item, playedMs, at);
        listener.ended(item, at);
      },
      sound: (pcm, at) => listener.sound(pcm, at),
    });
  }

  private received(text: string): void {
    const at = performance.now();
    const event = JSON.parse(text) as RealtimeEvent;
    const item = str(event.item_id);
    if (event.type === "response.output_audio.delta" && !this.cutItems.has(item)) this.speaker?.push(item, str(event.delta));
    if (event.type === "response.output_audio.done") this.speaker?.end(item);
    this.options.listener.event("in", event, text.length, at);
  }

  private gone(event: CloseEvent): void {
    if (this.over) return;
    this.close();
    const known = closeProblem(event);
    this.options.listener.closed(known ?? problem("server_gone", `Closed with ${event.code} ${event.reason}`.trim()), !known);
  }
}

/** Ends that opening again would not heal. */
function closeProblem(event: CloseEvent): Problem | null {
  if (event.reason.includes("session_expired") || event.reason.includes("60 minutes")) return problem("session_expired", event.reason);
  if (event.code === 4000) return problem("refused", event.reason);
  return null;
}
