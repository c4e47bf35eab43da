import { describe, expect, it } from "vitest";
import { answerFor, problemOf } from "../src/model/answers.js";
import { DEFAULTS, parseTools, patch, restore, sessionConfig, SettingsError, type Settings } from "../src/model/settings.js";
import { minimal, pythonLiteral, shellQuote, snippet } from "../src/model/snippets.js";

const make = (change: Partial<Settings> = {}): Settings => ({ ...structuredClone(DEFAULTS), ...change });
const ORIGIN = "http://127.0.0.1:8000";

describe("the session", () => {
  it("has every setting", () => {
    const config = sessionConfig(make({ voice: "cedar", speed: 1.2, instructions: "Be brief.", output: "text", max_output_tokens: "100", noise_reduction: "far_field" }));
    expect(config).toMatchObject({ type: "realtime", model: "gpt-realtime", instructions: "Be brief.", output_modalities: ["text"], max_output_tokens: 100 });
    expect(config.audio).toMatchObject({ input: { noise_reduction: { type: "far_field" } }, output: { voice: "cedar", speed: 1.2 } });
  });

  it("has the three ways to end a turn", () => {
    const detection = (type: Settings["turn"]["type"]) => (sessionConfig(make({ turn: { ...DEFAULTS.turn, type } })) as any).audio.input.turn_detection;
    expect(detection("none")).toBeNull();
    expect(detection("semantic_vad")).toEqual({ type: "semantic_vad", eagerness: "auto", create_response: true, interrupt_response: true });
    expect(Object.keys(detection("server_vad"))).toEqual(["type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms", "create_response", "interrupt_response"]);
  });

  it("takes tools in either spelling", () => {
    expect(parseTools('{"type":"function","function":{"name":"f","parameters":{}}}')).toEqual([{ type: "function", name: "f", parameters: {} }]);
    expect(() => parseTools("[{}]")).toThrow(SettingsError);
    expect(() => parseTools("[")).toThrow(/not JSON/);
  });

  it("is updated by what changed", () => {
    const before = sessionConfig(make());
    expect(patch(before, sessionConfig(make()))).toBeNull();
    expect(patch(before, sessionConfig(make({ model: "gpt-realtime-2" })))).toBeNull();
    expect(patch(before, sessionConfig(make({ voice: "ash" })))).toEqual({ type: "realtime", audio: { output: { voice: "ash" } } });
    expect(patch(sessionConfig(make({ instructions: "x" })), before)).toEqual({ type: "realtime", instructions: "" });
    const quieter = sessionConfig(make({ turn: { ...DEFAULTS.turn, threshold: 0.9 } }));
    expect((patch(before, quieter) as any).audio.input.turn_detection).toMatchObject({ type: "server_vad", threshold: 0.9, silence_duration_ms: 500 });
  });

  it("survives what an older version stored", () => {
    expect(restore({ voice: "ash", speed: "fast", gone: 1, turn: { threshold: 0.7, type: 4 } })).toMatchObject({ voice: "ash", speed: 1, turn: { threshold: 0.7, type: "server_vad" } });
    expect(restore(null)).toEqual(DEFAULTS);
  });
});

describe("answers by script", () => {
  const script = JSON.stringify({ weather: { city: "{{city}}", note: "It is {{now}} in {{place.name}}", n: "{{days}}" }, ping: "pong" });

  it("fills in arguments", () => {
    expect(answerFor(script, "weather", '{"city":"Paris","days":3,"place":{"name":"X"}}', () => "noon")).toBe('{"city":"Paris","note":"It is noon in X","n":3}');
    expect(answerFor(script, "ping", "not json")).toBe("pong");
    expect(answerFor(script, "other", "{}")).toBeNull();
    expect(answerFor("", "ping", "{}")).toBeNull();
  });

  it("says what is wrong with it", () => {
    expect(problemOf("")).toBeNull();
    expect(problemOf(script)).toBeNull();
    expect(problemOf("[]")).toMatch(/object/);
    expect(problemOf("{")).toBeTruthy();
  });
});

describe("snippets", () => {
  it("say only what differs from the protocol", () => {
    expect(minimal(sessionConfig(make({ transcription_model: "" })))).toEqual({ type: "realtime", model: "gpt-realtime", audio: { output: { voice: "marin" } } });
    expect(minimal(sessionConfig(make({ transcription_model: "", turn: { ...DEFAULTS.turn, threshold: 0.9 } }))).audio).toEqual({
      input: { turn_detection: { type: "server_vad", threshold: 0.9 } },
      output: { voice: "marin" },
    });
    expect((minimal(sessionConfig(make({ turn: { ...DEFAULTS.turn, type: "none" } }))) as any).audio.input.turn_detection).toBeNull();
  });

  it("quote what must be quoted", () => {
    const nasty = make({ instructions: `It's "so"\nnew \\ $HOME \`x\` \${1}` });
    const said = minimal(sessionConfig(nasty)).instructions;
    const javascript = snippet("javascript", nasty, ORIGIN);
    const literal = /const session = (\{[\s\S]*?\n\});/.exec(javascript)![1]!;
    expect(JSON.parse(literal).instructions).toBe(said);
    expect(shellQuote("it's")).toBe(`'it'\\''s'`);
    expect(pythonLiteral({ a: [true, null, 1.5, "x"], b: {} })).toBe('{\n    "a": [\n        True,\n        None,\n        1.5,\n        "x",\n    ],\n    "b": {},\n}');
  });

  it("follow the transport", () => {
    expect(snippet("browser", make({ transport: "webrtc" }), ORIGIN)).toContain("RTCPeerConnection");
    expect(snippet("browser", make({ transport: "websocket" }), "https://x.example")).toContain("wss://x.example/v1/realtime?model=gpt-realtime");
  });
});
