/** The loudspeaker of a WebSocket call: plays what it is given, knows what was heard. */

import playerUrl from "./player.worklet.ts?worker&url";
import { problem, ProblemError } from "../model/problems.js";
import { fromBase64, RATE_HZ, SAMPLES_PER_MS } from "./pcm.js";

export interface SpeakerListener {
  started(item: string, at: number): void;
  playing(item: string, playedMs: number, at: number): void;
  ended(item: string, playedMs: number, at: number): void;
  /** Exactly what was played, and when on the page's clock it began. */
  sound(pcm: Int16Array, at: number): void;
}

export interface Cut {
  item: string;
  playedMs: number;
}

interface Report {
  heard?: string;
  samples?: number;
  started?: boolean;
  ended?: boolean;
  cleared?: number;
  item?: string;
  sound?: Int16Array;
  frame?: number;
}

const CLEAR_MS_MAX = 200;

export class Speaker {
  private clears = new Map<number, (cut: Cut | null) => void>();
  private nextClear = 0;
  /** Page time of context time 0. */
  private zero = 0;

  private constructor(
    private context: AudioContext,
    private node: AudioWorkletNode,
    private listener: SpeakerListener,
  ) {
    this.zero = performance.now() - context.currentTime * 1000;
    node.port.onmessage = ({ data }: MessageEvent<Report>) => this.told(data);
  }

  static async open(deviceId: string, listener: SpeakerListener): Promise<Speaker> {
    if (!window.isSecureContext) throw new ProblemError(problem("insecure_context"));
    const context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    await context.audioWorklet.addModule(playerUrl);
    const node = new AudioWorkletNode(context, "parley-player", { numberOfInputs: 0, outputChannelCount: [1] });
    node.connect(context.destination);
    await context.resume();
    const speaker = new Speaker(context, node, listener);
    if (deviceId) await speaker.choose(deviceId);
    return speaker;
  }

  async choose(deviceId: string): Promise<void> {
    const context = this.context as AudioContext & { setSinkId?: (id: string) => Promise<void> };
    await context.setSinkId?.(deviceId).catch(() => undefined); // unplugged meanwhile: the default goes on
  }

  push(item: string, base64: string): void {
    const pcm = fromBase64(base64);
    this.node.port.postMessage({ push: pcm, item }, [pcm.buffer]);
  }

  /** No more of this item will come. */
  end(item: string): void {
    this.node.port.postMessage({ end: item });
  }

  /** Silence, now. What was heard of which item, or null if nothing was playing. */
  clear(): Promise<Cut | null> {
    const id = this.nextClear++;
    return new Promise((resolve) => {
      this.clears.set(id, resolve);
      this.node.port.postMessage({ clear: id });
      setTimeout(() => this.cleared(id, null), CLEAR_MS_MAX);
    });
  }

  close(): void {
    this.node.port.onmessage = null;
    void this.context.close();
    for (const id of [...this.clears.keys()]) this.cleared(id, null);
  }

  // ---- inside

  private told(report: Report): void {
    const at = performance.now() + this.latencyMs;
    this.zero = Math.min(this.zero, performance.now() - this.context.currentTime * 1000);
    if (report.sound) this.listener.sound(report.sound, this.zero + (report.frame! / this.context.sampleRate) * 1000);
    else if (report.cleared !== undefined) {
      const playedMs = Math.max(0, report.samples! / SAMPLES_PER_MS - this.latencyMs);
      this.cleared(report.cleared, report.item ? { item: report.item, playedMs: Math.floor(playedMs) } : null);
    } else if (report.heard) {
      const playedMs = report.samples! / SAMPLES_PER_MS;
      if (report.started) this.listener.started(report.heard, at);
      if (report.ended) this.listener.ended(report.heard, playedMs, at);
      else this.listener.playing(report.heard, playedMs, at);
    }
  }

  private cleared(id: number, cut: Cut | null): void {
    this.clears.get(id)?.(cut);
    this.clears.delete(id);
  }

  /** Between the worklet and the ear. */
  private get latencyMs(): number {
    return ((this.context.outputLatency || this.context.baseLatency || 0) as number) * 1000;
  }
}
