import { describe, expect, it } from "vitest";
import { isOver, latency, nextStage, percentiles, segments, statistics, TurnBook, type Turn } from "../src/model/turns.js";

/** A spoken turn as the server tells it; times in ms. */
function spoken(book: TurnBook, n: number, start: number): void {
  book.server({ type: "input_audio_buffer.speech_started", item_id: `u${n}`, audio_start_ms: 1000 }, start + 200);
  book.server({ type: "input_audio_buffer.speech_stopped", item_id: `u${n}`, audio_end_ms: 3000 }, start + 2010);
  book.server({ type: "input_audio_buffer.committed", item_id: `u${n}` }, start + 2012);
  book.server({ type: "conversation.item.input_audio_transcription.completed", item_id: `u${n}`, transcript: " Hello. " }, start + 2100);
  book.server({ type: "response.created", response: { id: `r${n}` } }, start + 2110);
  book.server({ type: "response.output_item.added", response_id: `r${n}`, item: { id: `a${n}`, type: "message" } }, start + 2300);
  book.server({ type: "response.output_audio_transcript.delta", response_id: `r${n}`, delta: "Hi!" }, start + 2400);
  book.server({ type: "response.output_audio.delta", response_id: `r${n}` }, start + 2400);
}

const done = (n: number, status = "completed", more = {}) => ({ type: "response.done", response: { id: `r${n}`, status, output: [], ...more } });
const sum = (turn: Turn) => segments(turn).reduce((total, { start, end }) => total + end - start, 0);

describe("a spoken turn", () => {
  it("has its stamps, and segments that add up", () => {
    const book = new TurnBook();
    book.detection = { prefixMs: 300, silenceMs: 500 };
    book.clock = (audioMs) => 10_000 - 1000 + audioMs; // position 1000 was captured at 10,000
    spoken(book, 1, 10_100);
    book.playing("a1", 12_550);
    book.server(done(1), 12_700);
    const [turn] = book.turns;
    expect(turn!.stamps).toMatchObject({ speechStart: 10_300, speechStop: 11_500, committed: 12_112, transcript: 12_200, responseCreated: 12_210, firstSent: 12_500, firstPlayed: 12_550, generated: 12_700 });
    expect(isOver(turn!)).toBe(false);
    expect(nextStage(turn!)).toBe("speak");
    book.played("a1", 14_000);
    expect(turn).toMatchObject({ status: "completed", userText: "Hello.", answerText: "Hi!" });
    expect(segments(turn!).map(({ stage }) => stage)).toEqual(["speech", "wait", "transcribe", "dispatch", "respond", "deliver", "speak"]);
    expect(sum(turn!)).toBe(14_000 - 10_300);
    expect(latency(turn!)).toBe(12_550 - 11_500);
  });

  it("without a clock is timed from the moment the silence was noticed", () => {
    const book = new TurnBook();
    spoken(book, 1, 0);
    expect(book.last!.stamps).toMatchObject({ speechStart: 10, speechStop: 2010 });
    book.detection = { prefixMs: 300, silenceMs: 500 };
    spoken(book, 2, 10_000);
    expect(book.last!.stamps).toMatchObject({ speechStart: 10_310, speechStop: 11_510, committed: 12_012 });
  });

  it("shows a transcript that comes late as a mark, not as a segment", () => {
    const book = new TurnBook();
    spoken(book, 1, 0);
    book.server({ type: "conversation.item.input_audio_transcription.completed", item_id: "u1", transcript: "Hello." }, 2600);
    book.playing("a1", 2700);
    book.server(done(1), 2800);
    book.played("a1", 3000);
    expect(segments(book.last!).map(({ stage }) => stage)).not.toContain("transcribe");
    expect(sum(book.last!)).toBe(3000 - 10);
  });

  it("that is interrupted ends where it was cut, and the next one begins", () => {
    const book = new TurnBook();
    spoken(book, 1, 0);
    book.playing("a1", 2500);
    book.server({ type: "input_audio_buffer.speech_started", item_id: "u2" }, 3000);
    book.server(done(1, "cancelled"), 3001);
    book.cut("a1", 480, 3010);
    expect(book.turns[0]).toMatchObject({ status: "interrupted", interruptedAtMs: 480 });
    expect(book.turns[0]!.stamps).toMatchObject({ interrupted: 3010 });
    expect(book.turns[0]!.stamps.done).toBeUndefined();
    expect(sum(book.turns[0]!)).toBe(3010 - 10);
    expect(book.turns).toHaveLength(2);
  });

  it("that is cancelled before any sound ends at once", () => {
    const book = new TurnBook();
    book.server({ type: "input_audio_buffer.committed", item_id: "u1" }, 10);
    book.server({ type: "response.created", response: { id: "r1" } }, 20);
    book.server(done(1, "cancelled"), 30);
    expect(book.last).toMatchObject({ status: "cancelled" });
  });

  it("that failed says why", () => {
    const book = new TurnBook();
    spoken(book, 1, 0);
    book.server(done(1, "failed", { status_details: { error: { message: "No backend." } } }), 3000);
    expect(book.last).toMatchObject({ status: "failed", error: "No backend." });
  });
});

describe("other turns", () => {
  it("a tool call is one turn of two responses", () => {
    const book = new TurnBook();
    spoken(book, 1, 0);
    const turn = book.last!;
    turn.stamps.firstSent = undefined;
    book.server({ type: "response.function_call_arguments.done", response_id: "r1", call_id: "c1", name: "look" }, 2500);
    book.server(done(1, "completed", { output: [{ type: "function_call" }], usage: { total_tokens: 10, input_token_details: { text_tokens: 4 } } }), 2510);
    expect(nextStage(turn)).toBe("tool");
    book.client({ type: "conversation.item.create", item: { type: "function_call_output", call_id: "c1" } }, 3000);
    book.client({ type: "response.create" }, 3001);
    book.server({ type: "response.created", response: { id: "r2" } }, 3005);
    book.server({ type: "response.output_item.added", response_id: "r2", item: { id: "a2", type: "message" } }, 3100);
    book.server({ type: "response.output_audio.delta", response_id: "r2" }, 3200);
    book.playing("a2", 3250);
    book.server(done(2, "completed", { usage: { total_tokens: 5, input_token_details: { text_tokens: 1 } } }), 3300);
    book.played("a2", 4000);
    expect(book.turns).toHaveLength(1);
    expect(turn.tools).toEqual([{ callId: "c1", name: "look", start: 2500, end: 3000 }]);
    expect(segments(turn).map(({ stage }) => stage)).toEqual(["speech", "wait", "transcribe", "dispatch", "think", "tool", "respond", "deliver", "speak"]);
    expect(turn.usage).toMatchObject({ total_tokens: 15, input_token_details: { text_tokens: 5 } });
    expect(sum(turn)).toBe(3990);
  });

  it("a written message counts from its sending", () => {
    const book = new TurnBook();
    book.silent = true;
    book.client({ type: "conversation.item.create", item: { type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] } }, 100);
    book.client({ type: "response.create" }, 101);
    book.server({ type: "response.created", response: { id: "r1" } }, 110);
    book.server({ type: "response.output_item.added", response_id: "r1", item: { id: "a1", type: "message" } }, 120);
    book.server({ type: "response.output_text.delta", response_id: "r1", delta: "Hello" }, 150);
    book.server(done(1), 200);
    expect(book.turns).toHaveLength(1);
    expect(book.last).toMatchObject({ kind: "text", userText: "Hi", answerText: "Hello", status: "completed" });
    expect(latency(book.last!)).toBe(50);
  });

  it("push to talk counts from the button", () => {
    const book = new TurnBook();
    book.pressed(100, 900);
    book.server({ type: "input_audio_buffer.committed", item_id: "u1" }, 910);
    book.client({ type: "response.create" }, 911);
    book.server({ type: "response.created", response: { id: "r1" } }, 920);
    expect(book.turns).toHaveLength(1);
    expect(book.last).toMatchObject({ kind: "push", itemId: "u1", stamps: { speechStart: 100, speechStop: 900, committed: 910 } });
  });

  it("speech that is not answered is passed over", () => {
    const book = new TurnBook();
    book.server({ type: "input_audio_buffer.speech_started", item_id: "u1" }, 0);
    book.close(500);
    expect(book.last).toMatchObject({ status: "skipped" });
    expect(statistics(book.turns)).toEqual([]);
  });
});

it("percentiles are nearest ranks", () => {
  expect(percentiles([])).toBeUndefined();
  expect(percentiles([5])).toEqual({ count: 1, p50: 5, p90: 5, p99: 5, max: 5 });
  expect(percentiles(Array.from({ length: 100 }, (_, i) => 100 - i))).toEqual({ count: 100, p50: 50, p90: 90, p99: 99, max: 100 });
});

it("segments add up whatever the order of events", () => {
  let seed = 7;
  const chance = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  for (let round = 0; round < 300; round++) {
    const book = new TurnBook();
    const events = [
      { type: "input_audio_buffer.speech_started", item_id: "u1" },
      { type: "input_audio_buffer.speech_stopped", item_id: "u1" },
      { type: "input_audio_buffer.committed", item_id: "u1" },
      { type: "conversation.item.input_audio_transcription.completed", item_id: "u1", transcript: "x" },
      { type: "response.created", response: { id: "r1" } },
      { type: "response.output_item.added", response_id: "r1", item: { id: "a1", type: "message" } },
      { type: "response.output_audio.delta", response_id: "r1" },
      done(1),
    ].sort(() => chance(3) - 1);
    let at = 0;
    for (const event of events) {
      book.server(event, (at += chance(50)));
      if (chance(4) === 0) book.playing("a1", at);
      if (chance(6) === 0) book.cut("a1", chance(100), at);
    }
    book.played("a1", at + 10);
    book.close(at + 20);
    for (const turn of book.turns) {
      const parts = segments(turn);
      if (parts.length) expect(sum(turn)).toBe(parts.at(-1)!.end - parts[0]!.start);
      parts.slice(1).forEach((part, index) => expect(part.start).toBe(parts[index]!.end));
    }
  }
});
