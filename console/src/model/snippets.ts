/** Programs that recreate exactly these settings. Pure: settings and address in, text out. */

import { DEFAULTS, sessionConfig, type SessionConfig, type Settings } from "./settings.js";

export type Language = "python" | "javascript" | "browser" | "curl";
export const LANGUAGES: { id: Language; label: string; about: string; grammar: "python" | "javascript" | "shell" }[] = [
  { id: "python", label: "Python", about: "pip install 'openai[realtime]'", grammar: "python" },
  { id: "javascript", label: "JavaScript", about: "Node 22 or newer, Deno, Bun; no packages", grammar: "javascript" },
  { id: "browser", label: "Browser", about: "A page that talks", grammar: "javascript" },
  { id: "curl", label: "curl", about: "A client secret that carries the session", grammar: "shell" },
];

/** What the protocol says when nothing is said (protocol.md 2.2); the voice is named always. */
const SERVER_DEFAULTS = sessionConfig({ ...DEFAULTS, transcription_model: "", voice: "" });

export function snippet(language: Language, settings: Settings, origin: string): string {
  const session = minimal(sessionConfig(settings));
  switch (language) {
    case "python":
      return python(settings, session, origin);
    case "javascript":
      return javascript(settings, session, origin);
    case "browser":
      return settings.transport === "webrtc" ? browserWebRtc(session, origin) : browserWebSocket(settings, session, origin);
    case "curl":
      return curl(session, origin);
  }
}

/** Without what the server does anyway. */
export function minimal(config: SessionConfig): SessionConfig {
  const rest = strip(config, SERVER_DEFAULTS) as Record<string, unknown>;
  return { type: "realtime", model: config.model, ...without(rest, "type", "model") };
}

function strip(value: unknown, usual: unknown): unknown {
  if (JSON.stringify(value) === JSON.stringify(usual)) return undefined;
  if (!isObject(value) || !isObject(usual)) return value;
  if ("type" in value && "type" in usual && value.type !== usual.type) return value;
  const kept: Record<string, unknown> = {};
  for (const [key, entry] of Object.entries(value)) {
    const rest = key === "type" ? entry : strip(entry, usual[key]);
    if (rest !== undefined) kept[key] = rest;
  }
  return kept;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

const without = (object: Record<string, unknown>, ...names: string[]) =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));

const said = (settings: Settings) => (settings.output === "text" ? "response.output_text.delta" : "response.output_audio_transcript.delta");
const update = (session: SessionConfig) => without(session, "model") as SessionConfig;
const json = (value: unknown, indent = 0) => JSON.stringify(value, null, 2).replaceAll("\n", `\n${" ".repeat(indent)}`);

// ---- Python

function python(settings: Settings, session: SessionConfig, origin: string): string {
  return `import asyncio
import os

from openai import AsyncOpenAI

SESSION = ${pythonLiteral(update(session))}


async def main() -> None:
    client = AsyncOpenAI(base_url=${JSON.stringify(`${origin}/v1`)}, api_key=os.environ["PARLEY_API_KEY"])
    async with client.realtime.connect(model=${JSON.stringify(settings.model)}) as connection:
        await connection.session.update(session=SESSION)
        await connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
        )
        await connection.response.create()
        async for event in connection:
            if event.type == "${said(settings)}":
                print(event.delta, end="", flush=True)
            elif event.type == "error":
                raise SystemExit(event.error.message)
            elif event.type == "response.done":
                break
    print()


asyncio.run(main())
`;
}

export function pythonLiteral(value: unknown, indent = 0): string {
  const pad = " ".repeat(indent + 4);
  const close = " ".repeat(indent);
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return value.length ? `[\n${value.map((entry) => `${pad}${pythonLiteral(entry, indent + 4)},\n`).join("")}${close}]` : "[]";
  if (typeof value === "object") {
    const entries = Object.entries(value);
    return entries.length ? `{\n${entries.map(([key, entry]) => `${pad}${JSON.stringify(key)}: ${pythonLiteral(entry, indent + 4)},\n`).join("")}${close}}` : "{}";
  }
  return JSON.stringify(value); // strings and numbers are spelt alike
}

// ---- JavaScript

function javascript(settings: Settings, session: SessionConfig, origin: string): string {
  return `const session = ${json(update(session))};

const socket = new WebSocket(${JSON.stringify(socketUrl(origin, settings))}, [
  "realtime",
  "openai-insecure-api-key." + process.env.PARLEY_API_KEY,
]);

const send = (event) => socket.send(JSON.stringify(event));

socket.onopen = () => {
  send({ type: "session.update", session });
  send({
    type: "conversation.item.create",
    item: { type: "message", role: "user", content: [{ type: "input_text", text: "Hello!" }] },
  });
  send({ type: "response.create" });
};

socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.type === "${said(settings)}") process.stdout.write(event.delta);
  if (event.type === "error") console.error(event.error.message);
  if (event.type === "response.done") socket.close();
};

socket.onerror = () => {
  console.error("The connection failed: is the key right, and is Parley running?");
  process.exitCode = 1;
};
`;
}

// ---- browser

function browserWebRtc(session: SessionConfig, origin: string): string {
  return `// A key for browsers, made on your server: see curl. It carries the model and the settings.
const secret = "ek_…";
const session = ${json(update(session))};

const peer = new RTCPeerConnection();
peer.ontrack = ({ streams }) => {
  const sound = document.createElement("audio");
  sound.autoplay = true;
  sound.srcObject = streams[0];
};
const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
for (const track of microphone.getTracks()) peer.addTrack(track, microphone);

const channel = peer.createDataChannel("oai-events");
channel.onopen = () => channel.send(JSON.stringify({ type: "session.update", session }));
channel.onmessage = ({ data }) => console.log(JSON.parse(data));

await peer.setLocalDescription(await peer.createOffer());
const answer = await fetch(${JSON.stringify(`${origin}/v1/realtime/calls`)}, {
  method: "POST",
  headers: { Authorization: \`Bearer \${secret}\`, "Content-Type": "application/sdp" },
  body: peer.localDescription.sdp,
});
await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
`;
}

function browserWebSocket(settings: Settings, session: SessionConfig, origin: string): string {
  return `// A key for browsers, made on your server: see curl.
const secret = "ek_…";
const session = ${json(update(session))};

const socket = new WebSocket(${JSON.stringify(socketUrl(origin, settings))}, [
  "realtime",
  "openai-insecure-api-key." + secret,
]);
const context = new AudioContext({ sampleRate: 24000 });
let playUntil = 0;

socket.onopen = async () => {
  socket.send(JSON.stringify({ type: "session.update", session }));
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true } });
  const source = context.createMediaStreamSource(microphone);
  const worklet = "registerProcessor('mic', class extends AudioWorkletProcessor { process([[s]]) { if (s) this.port.postMessage(s.slice()); return true; } });";
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([worklet], { type: "text/javascript" })));
  const node = new AudioWorkletNode(context, "mic");
  node.port.onmessage = ({ data }) => {
    const pcm = Int16Array.from(data, (sample) => Math.max(-1, Math.min(1, sample)) * 32767);
    const audio = btoa(String.fromCharCode(...new Uint8Array(pcm.buffer)));
    socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio }));
  };
  source.connect(node);
};

socket.onmessage = ({ data }) => {
  const event = JSON.parse(data);
  if (event.type === "response.output_audio.delta") play(event.delta);
  else console.log(event);
};

function play(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const samples = Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768);
  const buffer = context.createBuffer(1, samples.length, 24000);
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  playUntil = Math.max(playUntil, context.currentTime);
  source.start(playUntil);
  playUntil += buffer.duration;
}
`;
}

// ---- curl

function curl(session: SessionConfig, origin: string): string {
  const body = json({ expires_after: { anchor: "created_at", seconds: 600 }, session });
  return `# The answer's "value" is a key for browsers and apps; a call opened with it has this session.
curl ${shellQuote(`${origin}/v1/realtime/client_secrets`)} \\
  --header "Authorization: Bearer $PARLEY_API_KEY" \\
  --header "Content-Type: application/json" \\
  --data ${shellQuote(body)}
`;
}

export const shellQuote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

const socketUrl = (origin: string, settings: Settings) =>
  `${origin.replace(/^http/, "ws")}/v1/realtime?model=${encodeURIComponent(settings.model)}`;
