import { describe, expect, it } from "vitest";
import { fromBase64, level, loudness, peaks, RATE_HZ, toBase64, toPcm16, wav } from "../src/audio/pcm.js";
import { Recorder } from "../src/audio/recorder.js";
import { Resampler } from "../src/audio/resampler.js";

const sine = (hz: number, rate: number, seconds: number) => Float32Array.from({ length: rate * seconds }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rate));

describe("resampling", () => {
  for (const [from, to] of [[48_000, 24_000], [44_100, 24_000], [24_000, 48_000]] as const) {
    it(`${from} to ${to} keeps a tone, in pieces of any size`, () => {
      const input = sine(440, from, 0.5);
      const resampler = new Resampler(from, to);
      const out: number[] = [];
      for (let i = 0; i < input.length; i += 128) out.push(...resampler.push(input.subarray(i, i + 128)));
      expect(Math.abs(out.length - to / 2)).toBeLessThan(40);
      // The first samples lean on the silence before them.
      const wanted = sine(440, to, 0.5);
      for (let i = 200; i < out.length - 200; i++) expect(Math.abs(out[i]! - wanted[i]!)).toBeLessThan(0.02);
    });
  }

  it("lets nothing through that would fold back", () => {
    const resampler = new Resampler(48_000, 24_000);
    const out = resampler.push(sine(17_000, 48_000, 0.2));
    expect(Math.max(...out.slice(100).map(Math.abs))).toBeLessThan(0.03);
  });
});

it("PCM survives base64", () => {
  const pcm = toPcm16(Float32Array.from([0, 0.5, -1, 2, -2]));
  expect([...pcm]).toEqual([0, 16384, -32767, 32767, -32767]);
  expect([...fromBase64(toBase64(pcm))]).toEqual([...pcm]);
});

it("levels", () => {
  expect(level(new Int16Array(10))).toBe(0);
  expect(loudness(0)).toBe(0);
  expect(loudness(1)).toBe(1);
  expect([...peaks([0, 16384, 0, -32768], 2)]).toEqual([0.5, 1]);
});

it("a recording has both sides on one time axis", async () => {
  const recorder = new Recorder(1000);
  const tone = (value: number) => new Int16Array(480).fill(value);
  recorder.heard(tone(1), 1020);
  recorder.heard(tone(2), 1041); // a millisecond late: joins
  recorder.played(tone(7), 1500);
  const bytes = await recorder.finish().arrayBuffer();
  const view = new DataView(bytes);
  expect(view.getUint32(24, true)).toBe(RATE_HZ);
  const data = new Int16Array(bytes, 44);
  expect([data[0], data[2 * 480], data[2 * 960]]).toEqual([1, 2, 0]);
  expect([data[2 * 11_999 + 1], data[2 * 12_000 + 1]]).toEqual([0, 7]);
  expect(wav(new Int16Array(2), new Int16Array(3)).size).toBe(44 + 12);
});
