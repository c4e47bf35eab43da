/** One connection to Parley. WebSocket and WebRTC look the same from here. */

import type { RealtimeEvent } from "../model/events.js";
import type { Problem } from "../model/problems.js";
import type { SessionConfig } from "../model/settings.js";
import type { Microphone } from "../audio/microphone.js";

export interface CallListener {
  /** An event in either direction; `at` on the page's clock. */
  event(direction: "in" | "out", event: RealtimeEvent, bytes: number, at: number): void;
  started(item: string, at: number): void;
  playing(item: string, playedMs: number, at: number): void;
  ended(item: string, at: number): void;
  /** The answer was cut: `playedMs` of `item` were heard. */
  cut(item: string, playedMs: number, at: number): void;
  /** What came out of the loudspeaker. */
  sound(pcm: Int16Array, at: number): void;
  /** The connection ended by itself. `lost`: worth opening again. */
  closed(problem: Problem, lost: boolean): void;
  /** Figures about the network, now and then. */
  network(figures: Network): void;
}

export interface Network {
  rttMs?: number;
  lossPercent?: number;
  jitterMs?: number;
}

export interface CallOptions {
  session: SessionConfig;
  microphone: Microphone | null;
  speakerId: string;
  /** For WebRTC; asked for every call, since their credentials expire. */
  iceServers: () => Promise<RTCIceServer[]>;
  /** A short-lived credential for this call. */
  secret: (session: SessionConfig) => Promise<string>;
  listener: CallListener;
}

export interface Call {
  /** Resolves when the session was created. Rejects with `ProblemError`. */
  open(): Promise<void>;
  send(event: RealtimeEvent): void;
  /** Sound of the microphone, where the call does not take it from the stream itself. */
  hear(pcm: Int16Array, at: number): void;
  /** Sound that was captured while there was no connection, before any that `hear` brings. */
  replay(pcm: Int16Array, at: number): void;
  /** The user speaks: the answer falls silent. */
  interrupt(): void;
  /** When a position of the audio that was sent was captured, on the page's clock. */
  captured(audioMs: number): number | undefined;
  chooseSpeaker(deviceId: string): void;
  close(): void;
}
