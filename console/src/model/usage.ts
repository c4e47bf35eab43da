/** What was used, added up for people: by day, model, key or kind of work, and tokens by kind. */

import type { Used } from "../management.js";

export const TOKENS = ["input_text", "input_audio", "input_image", "output_text", "output_audio"] as const;
/** Part of the input. */
export const CACHED = ["cached_text", "cached_audio", "cached_image"] as const;
export const KINDS = [...TOKENS, ...CACHED] as const;
export type TokenKind = (typeof KINDS)[number];
export const KIND_NAMES: Record<TokenKind, string> = {
  input_text: "Text in",
  input_audio: "Audio in",
  input_image: "Image in",
  output_text: "Text out",
  output_audio: "Audio out",
  cached_text: "Text in, cached",
  cached_audio: "Audio in, cached",
  cached_image: "Image in, cached",
};

export type By = "day" | "model" | "api_key" | "kind";

export interface Sum {
  /** What they have in common; empty for work without a key. */
  name: string;
  micro: bigint;
  /** Pieces of work. */
  lines: number;
  milliseconds: number;
  calls: number;
  tokens: Record<TokenKind, number>;
}

const nothing = (name: string): Sum => ({
  name,
  micro: 0n,
  lines: 0,
  milliseconds: 0,
  calls: 0,
  tokens: Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<TokenKind, number>,
});

function add(sum: Sum, row: Used): Sum {
  sum.micro += BigInt(row.micro);
  sum.lines += row.lines;
  sum.milliseconds += row.milliseconds;
  sum.calls += row.calls;
  for (const kind of KINDS) sum.tokens[kind] += row[kind];
  return sum;
}

export const total = (rows: readonly Used[]): Sum => rows.reduce(add, nothing(""));

/** One sum for each value; days in order, the latest first, all else by what it cost. */
export function grouped(rows: readonly Used[], by: By): Sum[] {
  const sums = new Map<string, Sum>();
  for (const row of rows) {
    const name = row[by] ?? "";
    sums.set(name, add(sums.get(name) ?? nothing(name), row));
  }
  const compare = by === "day" ? (a: Sum, b: Sum) => (a.name < b.name ? 1 : -1) : (a: Sum, b: Sum) => (a.micro < b.micro ? 1 : -1);
  return [...sums.values()].sort(compare);
}

export const allTokens = (sum: Sum): number => TOKENS.reduce((count, kind) => count + sum.tokens[kind], 0);

/** Something to draw: a value for each day. */
export interface Band {
  name: string;
  values: number[];
}

const REST = "Others";

/** Micro-credits by day, one band for each of the dearest; what is left over is one more. */
export function moneyBands(rows: readonly Used[], days: readonly string[], by: Exclude<By, "day">, most: number): Band[] {
  const named = grouped(rows, by).map(({ name }) => name);
  const bands = named.slice(0, most).map((name) => band(name, rows.filter((row) => (row[by] ?? "") === name), days));
  const rest = new Set(named.slice(most));
  return rest.size ? [...bands, band(REST, rows.filter((row) => rest.has(row[by] ?? "")), days)] : bands;
}

/** Tokens by day and kind; kinds of which there is none are left out. */
export const tokenBands = (rows: readonly Used[], days: readonly string[]): Band[] =>
  TOKENS.map((kind) => ({ name: KIND_NAMES[kind], values: byDay(rows, days, (row) => row[kind]) })).filter(({ values }) => values.some(Boolean));

const band = (name: string, rows: readonly Used[], days: readonly string[]): Band => ({ name, values: byDay(rows, days, (row) => row.micro) });

function byDay(rows: readonly Used[], days: readonly string[], value: (row: Used) => number): number[] {
  const sums = new Map<string, number>();
  for (const row of rows) sums.set(row.day, (sums.get(row.day) ?? 0) + value(row));
  return days.map((day) => sums.get(day) ?? 0);
}
