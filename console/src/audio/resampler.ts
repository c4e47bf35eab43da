const HALF = 16;

/** Streaming change of rate by a windowed sinc; what does not fit yet waits for the next piece. */
export class Resampler {
  private kept = new Float32Array(HALF);
  /** Of the next output sample, in input samples from the start of `kept`. */
  private position = HALF;

  constructor(
    private readonly from: number,
    private readonly to: number,
  ) {}

  push(piece: Float32Array): Float32Array {
    if (this.from === this.to) return piece;
    const input = new Float32Array(this.kept.length + piece.length);
    input.set(this.kept);
    input.set(piece, this.kept.length);
    const step = this.from / this.to;
    // Below the lower of the two Nyquist frequencies.
    const cut = Math.min(1, this.to / this.from) * 0.92;
    const out: number[] = [];
    while (this.position + HALF < input.length) {
      const centre = Math.floor(this.position);
      let sum = 0;
      let weight = 0;
      for (let i = Math.max(0, centre - HALF + 1); i <= centre + HALF; i++) {
        const distance = i - this.position;
        const w = sinc(distance * cut) * (0.5 + 0.5 * Math.cos((Math.PI * distance) / (HALF + 1)));
        sum += input[i]! * w;
        weight += w;
      }
      out.push(sum / weight);
      this.position += step;
    }
    const drop = Math.max(0, Math.floor(this.position) - HALF);
    this.kept = input.slice(drop);
    this.position -= drop;
    return Float32Array.from(out);
  }
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
