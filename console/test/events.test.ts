import { expect, it } from "vitest";
import { EventStore, EventView, fromJsonLines, groupOf, NO_FILTER, ROWS_MAX, summary, toJsonLines, toText } from "../src/model/event-store.js";

const audio = "A".repeat(4000);

it("sound is left out, its size is not", () => {
  const store = new EventStore();
  const row = store.add("out", { type: "input_audio_buffer.append", audio }, 4050, 1);
  expect(row.text).toContain("3,000 bytes of audio");
  expect(row.text).not.toContain("AAAA");
  expect(row.bytes).toBe(4050);
  expect(store.bytes).toBe(4050);
  expect(toText({ type: "x", image_url: `data:image/png;base64,${audio}` }).length).toBeLessThan(200);
  expect(toText({ type: "response.output_text.delta", delta: audio })).toContain(audio);
});

it("views follow the store and its filter", () => {
  const store = new EventStore();
  const view = new EventView(store, { ...NO_FILTER, hideAudio: true });
  store.add("out", { type: "input_audio_buffer.append", audio: "" }, 10, 1);
  store.add("in", { type: "response.created", response: { id: "resp_ABC" } }, 20, 2);
  store.add("in", { type: "error", error: { message: "No." } }, 30, 3);
  view.update();
  expect(view.rows.map(({ type }) => type)).toEqual(["response.created", "error"]);
  view.setFilter({ ...NO_FILTER, search: "resp_abc created" });
  expect(view.rows).toHaveLength(1);
  view.setFilter({ ...NO_FILTER, direction: "out" });
  expect(view.rows).toHaveLength(1);
  view.setFilter({ ...NO_FILTER, group: "error" });
  expect(view.rows.map(summary)).toEqual(["No."]);
});

it("is bounded, and views forget what the store forgot", () => {
  const store = new EventStore();
  const view = new EventView(store);
  for (let i = 0; i <= ROWS_MAX; i++) store.add("in", { type: "t", i }, 1, i);
  view.update();
  expect(store.rows.length).toBeLessThanOrEqual(ROWS_MAX);
  expect(view.rows[0]).toBe(store.rows[0]);
  expect(view.rows.at(-1)).toBe(store.rows.at(-1));
  expect(view.rows).toHaveLength(store.rows.length);
  store.clear();
  view.update();
  expect(view.rows).toEqual([]);
});

it("is exported as JSON lines and read again", () => {
  const store = new EventStore();
  store.add("in", { type: "session.created", session: { id: "sess_1" } }, 60, 1000);
  store.add("out", { type: "response.create" }, 26, 1250.5);
  const lines = toJsonLines(store.rows).trim().split("\n").map((line) => JSON.parse(line));
  expect(lines).toEqual([
    { at_ms: 0, direction: "server", bytes: 60, event: { type: "session.created", session: { id: "sess_1" } } },
    { at_ms: 250.5, direction: "client", bytes: 26, event: { type: "response.create" } },
  ]);
  const again = fromJsonLines(`${toJsonLines(store.rows)}garbage\n`);
  expect(again.rows.map(({ direction, type }) => [direction, type])).toEqual([["in", "session.created"], ["out", "response.create"]]);
});

it("groups", () => {
  expect(["input_audio_buffer.append", "output_audio_buffer.started", "response.done", "error"].map(groupOf)).toEqual(["input", "output", "response", "error"]);
});
