import { describe, expect, it } from "vitest";
import { heardChars, spokenParts, textOf, Transcript } from "../src/model/transcript.js";

const sound = (ms: number) => "A".repeat((ms * 48 * 4) / 3);

function answer(): Transcript {
  const transcript = new Transcript();
  transcript.server({ type: "conversation.item.added", item: { id: "a", type: "message", role: "assistant" } }, 0);
  transcript.server({ type: "response.output_audio_transcript.delta", item_id: "a", delta: "First part." }, 1);
  transcript.server({ type: "response.output_audio.delta", item_id: "a", delta: sound(1000) }, 2);
  transcript.server({ type: "response.output_audio_transcript.delta", item_id: "a", delta: " And more." }, 3);
  transcript.server({ type: "response.output_audio.delta", item_id: "a", delta: sound(2000) }, 4);
  return transcript;
}

describe("what was heard of an answer", () => {
  it("follows the sound", () => {
    const transcript = answer();
    const message = transcript.get("a")!;
    expect(message.audioMs).toBe(3000);
    expect(heardChars(message)).toBe(0);
    transcript.playing("a", 500);
    expect(heardChars(message)).toBe(6); // half of the first
    transcript.playing("a", 1000);
    expect(heardChars(message)).toBe(11);
    transcript.playing("a", 2000);
    expect(heardChars(message)).toBe(16);
    transcript.playing("a", 3000);
    expect(heardChars(message)).toBe(textOf(message).length);
  });

  it("is guessed where the sound comes another way, until it has ended", () => {
    const transcript = new Transcript();
    transcript.server({ type: "conversation.item.added", item: { id: "a", type: "message", role: "assistant" } }, 0);
    transcript.server({ type: "response.output_audio_transcript.delta", item_id: "a", delta: "x".repeat(100) }, 1);
    const message = transcript.get("a")!;
    transcript.playing("a", 1000);
    expect(heardChars(message, 0.02)).toBe(20);
    transcript.playing("a", 4000);
    transcript.played("a");
    expect(heardChars(message, 0.02)).toBe(100);
    expect(transcript.pace).toBe(0.025);
  });

  it("does not run ahead of sound that is still coming", () => {
    const transcript = new Transcript();
    transcript.server({ type: "conversation.item.added", item: { id: "a", type: "message", role: "assistant" } }, 0);
    transcript.server({ type: "response.output_audio_transcript.delta", item_id: "a", delta: "x".repeat(100) }, 1);
    transcript.server({ type: "response.output_audio.delta", item_id: "a", delta: sound(100) }, 2);
    transcript.playing("a", 50);
    const message = transcript.get("a")!;
    expect(heardChars(message, 0.02)).toBe(1); // 5000 ms are expected
    transcript.server({ type: "response.output_audio.done", item_id: "a" }, 3);
    expect(heardChars(message, 0.02)).toBe(50);
  });

  it("ends in the word that is being heard", () => {
    const transcript = answer();
    const message = transcript.get("a")!;
    const parts = () => spokenParts(message, transcript.pace);
    expect(parts()).toEqual({ before: "", now: "", after: "First part. And more." });
    message.coming = false;
    transcript.playing("a", 300);
    expect(parts()).toEqual({ before: "", now: "First", after: " part. And more." });
    transcript.playing("a", 800);
    expect(parts()).toEqual({ before: "First ", now: "part.", after: " And more." });
    transcript.playing("a", 2990);
    transcript.played("a");
    expect(parts()).toEqual({ before: "First part. And more.", now: "", after: "" });
    transcript.cut("a", 800);
    expect(parts()).toEqual({ before: "First part.", now: "", after: " And more." });
  });

  it("is what a new session is told", () => {
    const transcript = answer();
    transcript.cut("a", 1000);
    expect(transcript.get("a")).toMatchObject({ state: "interrupted", playedMs: 1000 });
    expect(transcript.history()).toEqual([{ type: "message", role: "assistant", content: [{ type: "output_text", text: "First part." }] }]);
  });
});

it("speech becomes text as it is understood", () => {
  const transcript = new Transcript();
  transcript.server({ type: "input_audio_buffer.speech_started", item_id: "u" }, 10);
  expect(transcript.get("u")).toMatchObject({ role: "user", state: "listening", spoken: true });
  transcript.server({ type: "input_audio_buffer.speech_stopped", item_id: "u" }, 20);
  transcript.server({ type: "input_audio_buffer.committed", item_id: "u" }, 21);
  transcript.server({ type: "conversation.item.added", item: { id: "u", type: "message", role: "user", content: [{ type: "input_audio" }] } }, 22);
  transcript.server({ type: "conversation.item.input_audio_transcription.delta", item_id: "u", delta: "Hel" }, 23);
  expect(textOf(transcript.get("u")!)).toBe("Hel");
  transcript.server({ type: "conversation.item.input_audio_transcription.completed", item_id: "u", transcript: " Hello. " }, 24);
  expect(transcript.messages).toHaveLength(1);
  expect(transcript.get("u")).toMatchObject({ state: "done" });
  expect(textOf(transcript.get("u")!)).toBe("Hello.");
});

it("tool calls wait for their answer", () => {
  const transcript = new Transcript();
  transcript.server({ type: "conversation.item.added", item: { id: "f", type: "function_call", name: "look", call_id: "c", arguments: "" } }, 0);
  transcript.server({ type: "response.output_item.done", item: { id: "f", type: "function_call", name: "look", call_id: "c", arguments: "{}", status: "completed" } }, 1);
  expect(transcript.messages[0]!.tool).toEqual({ callId: "c", name: "look", args: "{}" });
  transcript.answered("c", "42", true);
  expect(transcript.messages[0]!.tool).toMatchObject({ answer: "42", scripted: true });
});

describe("a lost connection", () => {
  it("leaves out what was not understood, and says since when", () => {
    const transcript = new Transcript();
    expect(transcript.forget()).toBeUndefined();
    transcript.server({ type: "input_audio_buffer.speech_started", item_id: "one" }, 10);
    transcript.server({ type: "conversation.item.input_audio_transcription.completed", item_id: "one", transcript: "Hello." }, 20);
    transcript.server({ type: "input_audio_buffer.speech_started", item_id: "two" }, 30);
    transcript.server({ type: "input_audio_buffer.committed", item_id: "two" }, 40);
    transcript.server({ type: "input_audio_buffer.speech_started", item_id: "three" }, 50);
    expect(transcript.forget()).toBe(30);
    expect(transcript.messages.map(({ id }) => id)).toEqual(["one"]);
  });

  it("hands over pictures, calls and their answers", () => {
    const transcript = new Transcript();
    const image = "data:image/png;base64,AAAA";
    const add = (item: object) => transcript.server({ type: "conversation.item.added", item }, 0);
    add({ id: "u", type: "message", role: "user", content: [{ type: "input_image", image_url: image }, { type: "input_text", text: "What is it?" }] });
    add({ id: "f", type: "function_call", name: "look", call_id: "c1", arguments: "{}" });
    add({ id: "g", type: "function_call", name: "look", call_id: "c2", arguments: "{}" });
    transcript.answered("c1", "A cat.", false);
    expect(transcript.history()).toEqual([
      { type: "message", role: "user", content: [{ type: "input_image", image_url: image }, { type: "input_text", text: "What is it?" }] },
      { type: "function_call", call_id: "c1", name: "look", arguments: "{}" },
      { type: "function_call_output", call_id: "c1", output: "A cat." },
      { type: "function_call", call_id: "c2", name: "look", arguments: "{}" },
    ]);
  });
});
