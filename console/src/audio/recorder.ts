/** Both sides of a call on one time axis. In memory until the call ends; off unless the user switches it on. */

import { SAMPLES_PER_MS, wav } from "./pcm.js";

export const RECORD_MS_MAX = 30 * 60_000;

class Track {
  private pieces: { at: number; pcm: Int16Array }[] = [];
  private end = 0;

  /** `at`: sample position at which it began. A little too early or late is clock noise: it joins what is there. */
  add(at: number, pcm: Int16Array): void {
    const start = Math.abs(at - this.end) < 100 * SAMPLES_PER_MS ? this.end : Math.max(at, this.end);
    this.pieces.push({ at: start, pcm });
    this.end = start + pcm.length;
  }

  get length(): number {
    return this.end;
  }

  render(length: number): Int16Array {
    const whole = new Int16Array(length);
    for (const { at, pcm } of this.pieces) if (at < length) whole.set(pcm.subarray(0, length - at), at);
    return whole;
  }
}

export class Recorder {
  private user = new Track();
  private parley = new Track();

  /** `start`: page time of position 0. */
  constructor(readonly start: number) {}

  /** A piece that has just ended. */
  heard(pcm: Int16Array, endedAt: number): void {
    this.user.add(this.position(endedAt) - pcm.length, pcm);
  }

  played(pcm: Int16Array, beganAt: number): void {
    this.parley.add(this.position(beganAt), pcm);
  }

  finish(): Blob {
    const length = Math.min(Math.max(this.user.length, this.parley.length), RECORD_MS_MAX * SAMPLES_PER_MS);
    return wav(this.user.render(length), this.parley.render(length));
  }

  private position(at: number): number {
    return Math.max(0, Math.round((at - this.start) * SAMPLES_PER_MS));
  }
}
