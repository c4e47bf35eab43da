/**
 * The loudspeaker of a WebSocket call: a queue of sound, piece by piece, each piece belonging to an item.
 *
 * In:  {push: Int16Array, item}, {end: item} (no more will come), {clear: id}
 * Out: {heard: item, samples, started?, ended?} as it plays, {cleared: id, item, samples}, {sound: Int16Array, frame}
 *      with exactly what was played
 */

import { RATE_HZ, toPcm16 } from "./pcm.js";
import { Resampler } from "./resampler.js";

interface Piece {
  item: string;
  samples: Float32Array;
}

const REPORT_FRAMES = sampleRate / 25;
const SOUND_SAMPLES = RATE_HZ / 50;

class Player extends AudioWorkletProcessor {
  private queue: Piece[] = [];
  private offset = 0;
  private item = "";
  private played = 0;
  private reported = 0;
  private ended = new Set<string>();
  private up = new Resampler(RATE_HZ, sampleRate);
  private down = new Resampler(sampleRate, RATE_HZ);
  private sound: number[] = [];
  private soundFrame = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.told(data);
  }

  private told(data: { push?: Int16Array; item?: string; end?: string; clear?: number }): void {
    if (data.push) {
      const samples = new Float32Array(data.push.length);
      for (let i = 0; i < samples.length; i++) samples[i] = data.push[i]! / 32768;
      this.queue.push({ item: data.item!, samples: this.up.push(samples) });
    } else if (data.end !== undefined) {
      this.ended.add(data.end);
      if (this.item === data.end && !this.queue.length) this.finish();
    } else if (data.clear !== undefined) {
      this.port.postMessage({ cleared: data.clear, item: this.item || this.queue[0]?.item || "", samples: this.samples() });
      this.queue = [];
      this.offset = 0;
      this.item = "";
    }
  }

  override process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const channels = outputs[0]!;
    const out = channels[0]!;
    let at = 0;
    while (at < out.length && this.queue.length) {
      const piece = this.queue[0]!;
      if (piece.item !== this.item) this.begin(piece.item);
      const count = Math.min(out.length - at, piece.samples.length - this.offset);
      out.set(piece.samples.subarray(this.offset, this.offset + count), at);
      at += count;
      this.offset += count;
      this.played += count;
      if (this.offset === piece.samples.length) {
        this.queue.shift();
        this.offset = 0;
      }
    }
    for (const other of channels.slice(1)) other.set(out);
    if (at) this.keep(out.subarray(0, at));
    if (this.item && !this.queue.length && this.ended.has(this.item)) this.finish();
    else if (this.item && this.played - this.reported >= REPORT_FRAMES) this.report({});
    return true;
  }

  private begin(item: string): void {
    if (this.item) this.finish();
    this.item = item;
    this.played = this.reported = 0;
    this.report({ started: true });
  }

  private finish(): void {
    this.flushSound();
    this.report({ ended: true });
    this.ended.delete(this.item);
    this.item = "";
  }

  private report(more: object): void {
    this.reported = this.played;
    this.port.postMessage({ heard: this.item, samples: this.samples(), ...more });
  }

  /** Played of the current item, at the rate of the wire. */
  private samples(): number {
    return Math.round((this.played * RATE_HZ) / sampleRate);
  }

  private keep(out: Float32Array): void {
    if (!this.sound.length) this.soundFrame = currentFrame;
    for (const sample of this.down.push(out)) this.sound.push(sample);
    if (this.sound.length >= SOUND_SAMPLES) this.flushSound();
  }

  private flushSound(): void {
    if (!this.sound.length) return;
    const sound = toPcm16(Float32Array.from(this.sound));
    this.port.postMessage({ sound, frame: this.soundFrame }, [sound.buffer]);
    this.sound = [];
  }
}

registerProcessor("parley-player", Player);
