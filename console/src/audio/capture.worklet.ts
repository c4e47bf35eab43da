/** The microphone: pieces of 20 ms, PCM16 at 24 kHz, each with the context time of its end. */

import { RATE_HZ, toPcm16 } from "./pcm.js";
import { Resampler } from "./resampler.js";

const PIECE = RATE_HZ / 50;

class Capture extends AudioWorkletProcessor {
  private resampler = new Resampler(sampleRate, RATE_HZ);
  private piece = new Float32Array(PIECE);
  private filled = 0;

  override process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0] ?? [];
    if (!channels.length) return true;
    const mono = channels.length === 1 ? channels[0]! : channels[0]!.map((s, i) => (s + channels[1]![i]!) / 2);
    for (const sample of this.resampler.push(mono)) {
      this.piece[this.filled++] = sample;
      if (this.filled === PIECE) {
        const pcm = toPcm16(this.piece);
        this.port.postMessage(pcm, [pcm.buffer]);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("parley-capture", Capture);
