/** Sound as arithmetic: mono PCM16 at 24 kHz, which is what both ends of the wire speak. */

export const RATE_HZ = 24_000;
export const SAMPLES_PER_MS = RATE_HZ / 1000;

export function toPcm16(samples: Float32Array): Int16Array {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    const s = Math.max(-1, Math.min(1, samples[i]!));
    pcm[i] = Math.round(s * 32767);
  }
  return pcm;
}

export function toBase64(pcm: Int16Array): string {
  const bytes = new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

export function fromBase64(text: string): Int16Array {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length & ~1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Int16Array(bytes.buffer);
}

/** Root mean square, 0 to 1. */
export function level(pcm: Int16Array): number {
  let sum = 0;
  for (let i = 0; i < pcm.length; i++) sum += pcm[i]! * pcm[i]!;
  return pcm.length ? Math.sqrt(sum / pcm.length) / 32768 : 0;
}

/** What an eye expects of a level: 0 at -60 dB, 1 at full scale. */
export const loudness = (rms: number): number => Math.max(0, Math.min(1, 1 + Math.log10(Math.max(rms, 1e-6)) / 3));

/** A WAV file of two channels: the user left, Parley right. */
export function wav(left: Int16Array, right: Int16Array): Blob {
  const frames = Math.max(left.length, right.length);
  const data = new Int16Array(frames * 2);
  for (let i = 0; i < frames; i++) {
    data[2 * i] = left[i] ?? 0;
    data[2 * i + 1] = right[i] ?? 0;
  }
  const head = new DataView(new ArrayBuffer(44));
  const text = (at: number, s: string) => [...s].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, 36 + data.byteLength, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 2, true);
  head.setUint32(24, RATE_HZ, true);
  head.setUint32(28, RATE_HZ * 4, true);
  head.setUint16(32, 4, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, data.byteLength, true);
  return new Blob([head.buffer, data.buffer], { type: "audio/wav" });
}

/** Loudest sample of each of `columns` equal parts, 0 to 1. */
export function peaks(samples: ArrayLike<number>, columns: number, scale = 1 / 32768): Float32Array {
  const found = new Float32Array(columns);
  const size = samples.length / columns;
  for (let column = 0; column < columns; column++) {
    let top = 0;
    const end = Math.min(samples.length, Math.ceil((column + 1) * size));
    for (let i = Math.floor(column * size); i < end; i++) top = Math.max(top, Math.abs(samples[i]!));
    found[column] = top * scale;
  }
  return found;
}
