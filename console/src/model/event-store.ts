/** Every event of a call, both directions, as text: small enough to keep an hour, ready to be searched and exported. */

import type { RealtimeEvent } from "./events.js";

export type Direction = "in" | "out";

export interface Row {
  /** Position in the whole stream, from 0. */
  n: number;
  /** Milliseconds on the page's clock (`performance.now`). */
  at: number;
  direction: Direction;
  type: string;
  /** On the wire. */
  bytes: number;
  /** The event as JSON, sound and pictures left out. */
  text: string;
}

export interface Filter {
  direction: Direction | "both";
  /** First part of the type, such as `response`; empty: all. */
  group: string;
  /** Lower case; every word must occur. */
  search: string;
  hideAudio: boolean;
}

export const NO_FILTER: Filter = { direction: "both", group: "", search: "", hideAudio: false };
export const ROWS_MAX = 50_000;
const DROPPED_AT_ONCE = 5_000;
const LONG = 400;
const AUDIO_TYPES = new Set(["response.output_audio.delta", "input_audio_buffer.append"]);

export class EventStore {
  rows: Row[] = [];
  /** Rows that were dropped at the front. */
  dropped = 0;
  bytes = 0;
  private listeners = new Set<() => void>();

  add(direction: Direction, event: RealtimeEvent, bytes: number, at: number): Row {
    const row = { n: this.dropped + this.rows.length, at, direction, type: event.type, bytes, text: toText(event) };
    this.rows.push(row);
    this.bytes += bytes;
    if (this.rows.length > ROWS_MAX) {
      this.rows = this.rows.slice(DROPPED_AT_ONCE);
      this.dropped += DROPPED_AT_ONCE;
    }
    for (const listener of this.listeners) listener();
    return row;
  }

  clear(): void {
    this.dropped += this.rows.length;
    this.rows = [];
    this.bytes = 0;
    for (const listener of this.listeners) listener();
  }

  /** Returns how to stop listening. */
  watch(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** The store that `toJsonLines` wrote. Lines that cannot be read are left out. */
export function fromJsonLines(text: string): EventStore {
  const store = new EventStore();
  for (const line of text.split("\n")) {
    if (!line) continue;
    try {
      const { at_ms, direction, bytes, event } = JSON.parse(line) as { at_ms: number; direction: string; bytes: number; event: RealtimeEvent };
      store.add(direction === "client" ? "out" : "in", event, bytes, at_ms);
    } catch {
      continue;
    }
  }
  return store;
}

/** The rows that pass a filter, kept up to date at the price of the new rows only. */
export class EventView {
  rows: Row[] = [];
  private seen = 0;

  constructor(
    private store: EventStore,
    private filter: Filter = NO_FILTER,
  ) {
    this.restart();
  }

  setFilter(filter: Filter): void {
    this.filter = filter;
    this.restart();
  }

  /** Takes in what is new. */
  update(): void {
    const { rows, dropped } = this.store;
    if (this.rows.length && this.rows[0]!.n < dropped) this.rows = this.rows.filter((row) => row.n >= dropped);
    for (let index = Math.max(0, this.seen - dropped); index < rows.length; index++) {
      const row = rows[index]!;
      if (passes(row, this.filter)) this.rows.push(row);
    }
    this.seen = dropped + rows.length;
  }

  private restart(): void {
    this.rows = [];
    this.seen = this.store.dropped;
    this.update();
  }
}

export function passes(row: Row, filter: Filter): boolean {
  if (filter.direction !== "both" && row.direction !== filter.direction) return false;
  if (filter.hideAudio && AUDIO_TYPES.has(row.type)) return false;
  if (filter.group && groupOf(row.type) !== filter.group) return false;
  if (!filter.search) return true;
  const text = row.text.toLowerCase();
  return filter.search.split(/\s+/).every((word) => text.includes(word));
}

/** `session`, `input`, `conversation`, `response`, `output`, `error`. */
export function groupOf(type: string): string {
  const first = type.split(".")[0]!;
  return first.startsWith("input_audio") ? "input" : first.startsWith("output_audio") ? "output" : first;
}

/** JSON with every long piece of base64 replaced by its size. */
export function toText(event: RealtimeEvent): string {
  return JSON.stringify(event, (key, value: unknown) => {
    if (typeof value !== "string" || value.length < LONG) return value;
    if (key === "audio" || (key === "delta" && event.type.endsWith("audio.delta")))
      return `‹${Math.round((value.length * 3) / 4).toLocaleString("en")} bytes of audio›`;
    if (value.startsWith("data:")) return `${value.slice(0, 40)}… ‹${value.length.toLocaleString("en")} characters›`;
    return value;
  });
}

/** A word or two about what an event says. */
export function summary(row: Row): string {
  const event = JSON.parse(row.text) as Record<string, any>;
  const text =
    event.error?.message ??
    event.transcript ??
    event.text ??
    event.delta ??
    event.audio ??
    event.arguments ??
    event.item?.content?.map((part: { text?: string; transcript?: string }) => part.text ?? part.transcript).filter(Boolean).join(" ");
  if (typeof text === "string" && text) return text;
  if (event.response?.status) return [event.response.status, event.response.status_details?.reason].filter(Boolean).join(" · ");
  if (event.item?.type) return [event.item.type, event.item.role, event.item.name].filter(Boolean).join(" · ");
  if (event.audio_start_ms !== undefined) return `from ${event.audio_start_ms} ms`;
  if (event.audio_end_ms !== undefined) return `until ${event.audio_end_ms} ms`;
  if (event.session) return [event.session.model, event.session.audio?.output?.voice].filter(Boolean).join(" · ");
  return "";
}

/** One JSON object a line: `at_ms` from the first event, direction, bytes, event. */
export function toJsonLines(rows: Row[]): string {
  const start = rows[0]?.at ?? 0;
  return rows
    .map((row) => `{"at_ms":${(row.at - start).toFixed(1)},"direction":"${row.direction === "in" ? "server" : "client"}","bytes":${row.bytes},"event":${row.text}}\n`)
    .join("");
}
