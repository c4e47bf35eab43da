import { describe, expect, it } from "vitest";
import type { Used } from "../src/management.js";
import { environment, jsonCurl, pipelineCurl } from "../src/model/curl.js";
import { untilReset } from "../src/model/limits.js";
import { credits, microOf, plainCredits } from "../src/model/money.js";
import { days, lastDays } from "../src/model/moments.js";
import { allTokens, grouped, KINDS, moneyBands, tokenBands, total } from "../src/model/usage.js";

describe("credits", () => {
  it("are written exactly", () => {
    expect([0, 1, 901, 500_000, 12_500_000, 1_000_000_000_001].map(credits)).toEqual(["0.00", "0.000001", "0.000901", "0.50", "12.50", "1,000,000.000001"]);
    expect(credits(-1_500_000)).toBe("−1.50");
    expect(credits(2n ** 63n)).toBe("9,223,372,036,854.775808");
  });

  it("are read exactly, or not at all", () => {
    expect(["12.5", " 0.000001 ", "7", "0.1"].map(microOf)).toEqual([12_500_000, 1, 7_000_000, 100_000]);
    expect(["", "-1", "1,5", "1e3", "0.0000001", ".5", "1.", "999999999999"].map(microOf)).toEqual(Array(8).fill(undefined));
  });

  it("come back from a field as they went into it", () => {
    for (const micro of [0, 1, 17_000, 100_000_000, 1_234_567_890]) expect(microOf(plainCredits(micro))).toBe(micro);
    expect(plainCredits(1_234_500_000)).toBe("1234.5");
  });
});

const used = (change: Partial<Used>): Used => ({
  ...{ day: "2026-12-01", model: "gpt-realtime", api_key: null, project: null, kind: "response", lines: 1, milliseconds: 0, calls: 0, micro: 0, cost_micro: null, margin_micro: null },
  ...(Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<(typeof KINDS)[number], number>),
  ...change,
});
const ROWS = [
  used({ day: "2026-12-03", micro: 5, input_text: 10, cached_text: 4, api_key: "key_1" }),
  used({ day: "2026-12-01", micro: 7, output_audio: 20 }),
  used({ day: "2026-12-01", micro: 1, model: "whisper-1", kind: "transcription", input_audio: 3 }),
];
const SPAN = days("2026-12-01", "2026-12-03");

describe("usage", () => {
  it("adds up, with cached tokens as part of the input", () => {
    const sum = total(ROWS);
    expect([sum.micro, sum.lines, allTokens(sum)]).toEqual([13n, 3, 33]);
  });

  it("is grouped by day in order, and otherwise by what it cost", () => {
    expect(grouped(ROWS, "day").map(({ name, micro }) => [name, micro])).toEqual([["2026-12-03", 5n], ["2026-12-01", 8n]]);
    expect(grouped(ROWS, "model").map(({ name }) => name)).toEqual(["gpt-realtime", "whisper-1"]);
    expect(grouped(ROWS, "api_key").map(({ name }) => name)).toEqual(["", "key_1"]);
  });

  it("is drawn for every day, the rest as one band", () => {
    expect(moneyBands(ROWS, SPAN, "model", 5)).toEqual([{ name: "gpt-realtime", values: [7, 0, 5] }, { name: "whisper-1", values: [1, 0, 0] }]);
    expect(moneyBands(ROWS, SPAN, "model", 0)).toEqual([{ name: "Others", values: [8, 0, 5] }]);
    expect(tokenBands(ROWS, SPAN).map(({ name }) => name)).toEqual(["Text in", "Audio in", "Audio out"]);
  });

  it("counts days across months", () => {
    expect(days("2026-11-29", "2026-12-02")).toEqual(["2026-11-29", "2026-11-30", "2026-12-01", "2026-12-02"]);
    expect(lastDays(7, Date.UTC(2026, 11, 3, 23))).toEqual({ since: "2026-11-27", until: "2026-12-03" });
    expect(days("2026-12-02", "2026-12-01")).toEqual([]);
  });
});

describe("limits", () => {
  it("say when all of them is there again", () => {
    expect([0, 8.2, 60, 600, 21_600].map(untilReset)).toEqual(["now", "in 9 s", "in 60 s", "in 10 min", "in 6 h"]);
  });
});

describe("curl", () => {
  it("is what the guide shows", () => {
    expect(pipelineCurl([["model", "starter-voice"], ["voice", "marin"], ["text", "Give me a 20-second product update."], ["messages", ""]])).toBe(
      ['curl "$APP_URL/api/realtime/pipeline"', '  -H "Authorization: Bearer $GPTREALTIME_API_KEY"', '  -F "model=starter-voice"', '  -F "voice=marin"', '  -F "text=Give me a 20-second product update."'].join(" \\\n"),
    );
    expect(jsonCurl("charge", { model: "realtime-mini", callId: "call_abc123" })).toContain(`-d '{"model":"realtime-mini","callId":"call_abc123"}'`);
    expect(environment("http://127.0.0.1:8000")).toContain("export APP_URL='http://127.0.0.1:8000'");
  });

  it("takes every text as it is", () => {
    const line = (text: string) => pipelineCurl([["text", text]]).split("\n").at(-1)!.trim();
    expect(line("$(reboot) `id` \"hi\"")).toBe("-F 'text=$(reboot) `id` \"hi\"'");
    expect(line("it's $5")).toBe("-F 'text=it'\\''s $5'");
    expect(line("@/etc/passwd")).toBe('--form-string "text=@/etc/passwd"');
    expect(line("one; type=text/html")).toBe('--form-string "text=one; type=text/html"');
    expect(pipelineCurl([], { name: "message.webm", type: "audio/webm" })).toContain('-F "audio=@./message.webm;type=audio/webm"');
  });
});
