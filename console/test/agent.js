/**
 * A page made with the official agents SDK, which knows nothing of Parley but its address. Built and opened by
 * tests/e2e/test_browser_agents.py; its server hands out client secrets at `/token`.
 */

import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession, tool } from "@openai/agents-realtime";

const weather = tool({
  name: "get_weather",
  description: "The weather of a place.",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  execute: ({ city }) => {
    window.seen.cities.push(city);
    return `There is heavy snow in ${city}, and nobody can walk to the park today.`;
  },
});

window.seen = { cities: [], interruptions: 0, errors: [] };

/** Resolves when the session has been set up. */
window.start = async (address, instructions) => {
  const { value } = await (await fetch("/token")).json();
  const agent = new RealtimeAgent({ name: "Guide", instructions, voice: "cedar", tools: [weather] });
  const transport = new OpenAIRealtimeWebRTC({ baseUrl: `${address}/v1/realtime/calls`, audioElement: document.querySelector("audio") });
  const session = new RealtimeSession(agent, { transport, model: "gpt-realtime" });
  session.on("audio_interrupted", () => window.seen.interruptions++);
  session.on("error", ({ error }) => window.seen.errors.push(error));
  await session.connect({ apiKey: value });
  window.session = session;
};
