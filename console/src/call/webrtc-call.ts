import { Tap } from "../audio/microphone.js";
import { level, toBase64 } from "../audio/pcm.js";
import { itemOf, str, type RealtimeEvent } from "../model/events.js";
import { problem, ProblemError } from "../model/problems.js";
import type { Call, CallOptions } from "./call.js";

const CHANNEL = "oai-events";
const OPEN_MS_MAX = 10_000;
const GATHER_MS_MAX = 1_500;
const STATS_MS = 1_000;
/** After so many measurements without a packet the server has forgotten the call. */
const SILENT_MAX = 3;
const POSITION_MS = 50;
const PIECE_MS = 20;
/** Root mean square below which nothing is heard. */
const SILENCE = 0.002;
/** After that long an announced answer counts as heard, even if it began with silence. */
const UNHEARD_MS_MAX = 600;

/** Media by WebRTC, events over the data channel. The server manages its output buffer itself (protocol.md 7.4). */
export class WebRtcCall implements Call {
  private peer: RTCPeerConnection | undefined;
  private channel: RTCDataChannel | undefined;
  private sound = document.createElement("audio");
  private tap: Tap | undefined;
  private timers: ReturnType<typeof setInterval>[] = [];
  private packets = 0;
  /** Measurements since the last packet. */
  private silent = 0;
  private over = false;
  /** Response -> the item whose sound it is. */
  private items = new Map<string, string>();
  /** What the server plays; `since`: page time of its beginning, first as announced, then as heard. */
  private playing: { item: string; since: number; heard: boolean } | undefined;

  constructor(private options: CallOptions) {
    this.sound.autoplay = true;
  }

  async open(): Promise<void> {
    const { session, microphone } = this.options;
    const [secret, iceServers] = await Promise.all([this.options.secret(session), this.options.iceServers()]);
    const peer = new RTCPeerConnection({ iceServers });
    this.peer = peer;
    if (microphone) for (const track of microphone.stream.getAudioTracks()) peer.addTrack(track, microphone.stream);
    else peer.addTransceiver("audio", { direction: "recvonly" });
    peer.ontrack = ({ streams, track }) => void this.listen(streams[0] ?? new MediaStream([track]));
    const channel = peer.createDataChannel(CHANNEL);
    this.channel = channel;
    const opened = new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new ProblemError(problem("ice_failed", "No event within 10 s."))), OPEN_MS_MAX);
      channel.onmessage = ({ data }) => {
        clearTimeout(late);
        this.received(String(data));
        resolve();
      };
      peer.onconnectionstatechange = () => {
        if (peer.connectionState === "failed") reject(new ProblemError(problem("ice_failed")));
      };
    });
    opened.catch(() => undefined);
    try {
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      await peer.setRemoteDescription({ type: "answer", sdp: await this.exchange(peer.localDescription!.sdp, secret) });
      await opened;
    } catch (error) {
      this.close();
      throw error;
    }
    peer.onconnectionstatechange = () => this.changed();
    channel.onclose = () => this.lost("The data channel was closed.");
    this.timers.push(setInterval(() => void this.measure(), STATS_MS), setInterval(() => this.position(), POSITION_MS));
  }

  send(event: RealtimeEvent): void {
    if (this.channel?.readyState !== "open") return;
    const text = JSON.stringify(event);
    this.channel.send(text);
    this.options.listener.event("out", event, text.length, performance.now());
  }

  hear(): void {
    // the track is already on its way
  }

  /** The track knows only the present, so what is past goes as events. */
  replay(pcm: Int16Array): void {
    this.send({ type: "input_audio_buffer.append", audio: toBase64(pcm) });
  }

  captured(): number | undefined {
    return undefined;
  }

  interrupt(): void {
    if (!this.playing) return;
    this.send({ type: "response.cancel" });
    this.send({ type: "output_audio_buffer.clear" });
  }

  chooseSpeaker(deviceId: string): void {
    const element = this.sound as HTMLAudioElement & { setSinkId?: (id: string) => Promise<void> };
    void element.setSinkId?.(deviceId).catch(() => undefined);
  }

  close(): void {
    this.over = true;
    for (const timer of this.timers) clearInterval(timer);
    this.tap?.close();
    this.sound.srcObject = null;
    this.channel?.close();
    this.peer?.close();
  }

  // ---- inside

  /** Offer out, answer back (protocol.md 1.3). */
  private async exchange(sdp: string, secret: string): Promise<string> {
    let response: Response;
    try {
      response = await fetch("/v1/realtime/calls", {
        method: "POST",
        headers: { Authorization: `Bearer ${secret}`, "Content-Type": "application/sdp" },
        body: sdp,
      });
    } catch (error) {
      throw new ProblemError(problem("server_unreachable", String(error)));
    }
    const text = await response.text();
    if (response.ok) return text;
    const code = response.status === 404 || response.status === 405 || response.status === 426 ? "webrtc_not_offered" : "refused";
    throw new ProblemError(problem(code, errorMessage(text) || `HTTP ${response.status}`));
  }

  private async listen(stream: MediaStream): Promise<void> {
    this.sound.srcObject = stream;
    if (this.options.speakerId) this.chooseSpeaker(this.options.speakerId);
    await this.sound.play().catch(() => undefined);
    if (!window.isSecureContext) return; // heard, but not seen
    const tap = await Tap.open(stream, (pcm, at) => this.heard(pcm, at - PIECE_MS));
    if (this.over) tap.close();
    else this.tap = tap;
  }

  private received(text: string): void {
    const at = performance.now();
    const event = JSON.parse(text) as RealtimeEvent;
    const { listener } = this.options;
    listener.event("in", event, text.length, at);
    const response = str(event.response_id);
    switch (event.type) {
      case "response.output_item.added":
        if (itemOf(event).type === "message") this.items.set(response, str(itemOf(event).id));
        return;
      case "output_audio_buffer.started": {
        const item = this.items.get(response);
        if (!item) return;
        this.playing = { item, since: at, heard: false };
        return;
      }
      case "output_audio_buffer.stopped":
        return this.stopped(at);
      case "output_audio_buffer.cleared":
        if (this.playing) listener.cut(this.playing.item, at - this.playing.since, at);
        this.playing = undefined;
    }
  }

  private heard(pcm: Int16Array, at: number): void {
    this.options.listener.sound(pcm, at);
    if (this.playing && !this.playing.heard && level(pcm) > SILENCE) this.begin(at);
  }

  private begin(at: number): void {
    Object.assign(this.playing!, { since: Math.max(at, this.playing!.since), heard: true });
    this.options.listener.started(this.playing!.item, this.playing!.since);
  }

  private stopped(at: number): void {
    if (!this.playing) return;
    if (!this.playing.heard) this.begin(this.playing.since);
    this.options.listener.playing(this.playing.item, at - this.playing.since, at);
    this.options.listener.ended(this.playing.item, at);
    this.playing = undefined;
  }

  private position(): void {
    const at = performance.now();
    if (!this.playing) return;
    if (!this.playing.heard && at - this.playing.since > UNHEARD_MS_MAX) this.begin(this.playing.since);
    if (this.playing.heard) this.options.listener.playing(this.playing.item, at - this.playing.since, at);
  }

  private async measure(): Promise<void> {
    const report = await this.peer?.getStats().catch(() => undefined);
    let rttMs: number | undefined;
    let jitterMs: number | undefined;
    let lossPercent: number | undefined;
    let packets: number | undefined;
    report?.forEach((entry: Record<string, any>) => {
      if (entry.type === "candidate-pair" && entry.nominated && entry.currentRoundTripTime !== undefined) rttMs = entry.currentRoundTripTime * 1000;
      if (entry.type === "inbound-rtp" && entry.kind === "audio") {
        jitterMs = (entry.jitter ?? 0) * 1000;
        packets = entry.packetsReceived ?? 0;
        const all = (entry.packetsReceived ?? 0) + (entry.packetsLost ?? 0);
        lossPercent = all ? (100 * (entry.packetsLost ?? 0)) / all : undefined;
      }
    });
    if (this.over) return;
    this.options.listener.network({ rttMs, jitterMs, lossPercent });
    if (packets !== undefined) await this.expect(packets);
  }

  /** Parley sends sound all the time, if only silence. Where none comes any more, HTTP tells whether Parley is there. */
  private async expect(packets: number): Promise<void> {
    this.silent = packets > this.packets ? 0 : this.silent + 1;
    this.packets = packets;
    if (!this.silent) return;
    try {
      await fetch("/health", { cache: "no-store" });
    } catch {
      return this.lost("The server does not answer.");
    }
    if (this.silent >= SILENT_MAX) this.lost("No sound comes any more.");
  }

  private changed(): void {
    const state = this.peer?.connectionState;
    if (state === "failed" || state === "closed") this.lost(`The connection is ${state}.`);
  }

  private lost(detail: string): void {
    if (this.over) return;
    this.close();
    this.options.listener.closed(problem("server_gone", detail), true);
  }
}

/** Candidates are sent inside the offer: there is no endpoint for later ones. */
function gathered(peer: RTCPeerConnection): Promise<void> {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    setTimeout(resolve, GATHER_MS_MAX);
    peer.onicegatheringstatechange = () => {
      if (peer.iceGatheringState === "complete") resolve();
    };
  });
}

function errorMessage(text: string): string {
  try {
    return String((JSON.parse(text) as { error?: { message?: string } }).error?.message ?? "");
  } catch {
    return text.slice(0, 300);
  }
}
