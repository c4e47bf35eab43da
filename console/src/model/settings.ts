/** What the Talk page lets you set, and the session that it means (protocol.md 2.2, GA spelling). */

export type Transport = "webrtc" | "websocket";
export type TurnMode = "server_vad" | "semantic_vad" | "none";

export interface TurnSettings {
  type: TurnMode;
  threshold: number;
  prefix_padding_ms: number;
  silence_duration_ms: number;
  /** 0: off. */
  idle_timeout_ms: number;
  eagerness: "auto" | "low" | "medium" | "high";
  create_response: boolean;
  interrupt_response: boolean;
}

export interface Settings {
  transport: Transport;
  model: string;
  voice: string;
  speed: number;
  instructions: string;
  output: "audio" | "text";
  /** "inf" or 1 to 4096. */
  max_output_tokens: string;
  turn: TurnSettings;
  /** Empty: off. */
  transcription_model: string;
  transcription_language: string;
  noise_reduction: "" | "near_field" | "far_field";
  /** JSON text: an array of function tools. */
  tools: string;
  tool_choice: "auto" | "none" | "required";
  /** JSON text: tool name -> answer. */
  answers: string;
}

export interface SessionConfig {
  type: "realtime";
  model?: string;
  [key: string]: unknown;
}

export const DEFAULTS: Settings = {
  transport: "webrtc",
  model: "gpt-realtime",
  voice: "marin",
  speed: 1,
  instructions: "",
  output: "audio",
  max_output_tokens: "inf",
  turn: {
    type: "server_vad",
    threshold: 0.5,
    prefix_padding_ms: 300,
    silence_duration_ms: 500,
    idle_timeout_ms: 0,
    eagerness: "auto",
    create_response: true,
    interrupt_response: true,
  },
  transcription_model: "gpt-4o-mini-transcribe",
  transcription_language: "",
  noise_reduction: "",
  tools: "",
  tool_choice: "auto",
  answers: "",
};

export class SettingsError extends Error {}

/** The tools as the session takes them. Throws `SettingsError` with a sentence for the reader. */
export function parseTools(text: string): Record<string, unknown>[] {
  if (!text.trim()) return [];
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SettingsError(`This is not JSON: ${(error as Error).message}`);
  }
  const list = Array.isArray(parsed) ? parsed : [parsed];
  return list.map((tool, index) => {
    const inner = (tool as Record<string, unknown> | null)?.function;
    // Chat Completions nests it; people paste what they have.
    const flat = { type: "function", ...(typeof inner === "object" && inner ? inner : (tool as object)) } as Record<string, unknown>;
    delete flat.function;
    if (flat.type === "function" && typeof flat.name !== "string")
      throw new SettingsError(`Tool ${index + 1} has no "name".`);
    return flat;
  });
}

export function turnDetection(turn: TurnSettings): Record<string, unknown> | null {
  const { create_response, interrupt_response } = turn;
  switch (turn.type) {
    case "none":
      return null;
    case "semantic_vad":
      return { type: "semantic_vad", eagerness: turn.eagerness, create_response, interrupt_response };
    case "server_vad":
      return {
        type: "server_vad",
        threshold: turn.threshold,
        prefix_padding_ms: turn.prefix_padding_ms,
        silence_duration_ms: turn.silence_duration_ms,
        idle_timeout_ms: turn.idle_timeout_ms || null,
        create_response,
        interrupt_response,
      };
  }
}

/** The whole session. Throws `SettingsError`. */
export function sessionConfig(settings: Settings): SessionConfig {
  const tools = parseTools(settings.tools);
  const limit = Number(settings.max_output_tokens);
  return {
    type: "realtime",
    model: settings.model,
    output_modalities: [settings.output],
    ...(settings.instructions.trim() ? { instructions: settings.instructions } : {}),
    audio: {
      input: {
        format: { type: "audio/pcm", rate: 24000 },
        transcription: settings.transcription_model
          ? {
              model: settings.transcription_model,
              ...(settings.transcription_language ? { language: settings.transcription_language } : {}),
            }
          : null,
        noise_reduction: settings.noise_reduction ? { type: settings.noise_reduction } : null,
        turn_detection: turnDetection(settings.turn),
      },
      output: { format: { type: "audio/pcm", rate: 24000 }, voice: settings.voice, speed: settings.speed },
    },
    tools,
    tool_choice: tools.length ? settings.tool_choice : "auto",
    max_output_tokens: Number.isInteger(limit) && limit > 0 ? limit : "inf",
  };
}

/** What differs between two sessions, as a patch; null when nothing does. The model is fixed at connection. */
export function patch(before: SessionConfig, after: SessionConfig): SessionConfig | null {
  const changed = difference(before, after) as Record<string, unknown> | undefined;
  if (changed) delete changed.model;
  if (!changed || Object.keys(changed).length === 0) return null;
  return { ...changed, type: "realtime" };
}

/** Kept whole where a part alone would mean something else. */
const WHOLE = new Set(["turn_detection", "transcription", "noise_reduction", "format", "tools", "tool_choice"]);

function difference(before: unknown, after: unknown, name = ""): unknown {
  if (JSON.stringify(before) === JSON.stringify(after)) return undefined;
  const objects = isObject(before) && isObject(after);
  if (!objects || WHOLE.has(name)) return after;
  const changed: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const value = key in after ? difference(before[key], after[key], key) : "";
    if (value !== undefined) changed[key] = value;
  }
  return changed;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Settings from an untrusted place (storage of an older version): unknown keys dropped, wrong types defaulted. */
export function restore(stored: unknown, defaults: Settings = DEFAULTS): Settings {
  const settings = structuredClone(defaults);
  merge(settings as unknown as Record<string, unknown>, stored);
  return settings;
}

function merge(target: Record<string, unknown>, source: unknown): void {
  if (!isObject(source)) return;
  for (const [key, value] of Object.entries(target)) {
    const given = source[key];
    if (isObject(value)) merge(value, given);
    else if (typeof given === typeof value) target[key] = given;
  }
}
