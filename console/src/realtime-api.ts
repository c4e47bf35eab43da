/** The endpoints of /api/realtime (protocol.md 1.8), asked with a key, or as the one who is signed in. */

import { fetchSignedIn } from "./api.js";
import { problem, ProblemError } from "./model/problems.js";

export const PIPELINE_MODEL = "starter-voice";
export const CALL_MODELS = ["realtime-mini", "realtime-pro"];
export const VOICES = ["marin", "cedar", "coral", "sage", "ash", "verse"];

export interface Answer {
  ok: boolean;
  status: number;
  text: string;
  callId: string;
  /** From the request to the whole answer, ms. */
  took: number;
}

/** Raises `ProblemError` where there is no answer at all. */
export const post = (path: "session" | "charge", body: object, key: string): Promise<Answer> =>
  ask(path, JSON.stringify(body), key, { "content-type": "application/json" });

export function postForm(parts: readonly (readonly [string, string])[], audio: File | undefined, key: string): Promise<Answer> {
  const form = new FormData();
  for (const [name, value] of parts) if (value !== "") form.append(name, value);
  if (audio) form.append("audio", audio);
  return ask("pipeline", form, key, {});
}

async function ask(path: string, body: BodyInit, key: string, headers: Record<string, string>): Promise<Answer> {
  const url = `/api/realtime/${path}`;
  const began = performance.now();
  try {
    const response = key
      ? await fetch(url, { method: "POST", body, credentials: "omit", headers: { ...headers, authorization: `Bearer ${key.trim()}` } })
      : await fetchSignedIn(url, { method: "POST", body, headers });
    const text = await response.text();
    const callId = response.headers.get("x-openai-call-id") ?? "";
    return { ok: response.ok, status: response.status, text, callId, took: performance.now() - began };
  } catch (error) {
    throw new ProblemError(problem("server_unreachable", error instanceof Error ? error.message : String(error)));
  }
}
