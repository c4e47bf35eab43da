/** What the signed-in page may ask Parley for, besides the Realtime API itself. */

import createClient from "openapi-fetch";
import type { components, paths } from "./api-schema.js";
import { problem, ProblemError } from "./model/problems.js";
import type { SessionConfig } from "./model/settings.js";

export type About = components["schemas"]["About"];
export type ServerSession = components["schemas"]["SessionSummary"];
export type ServerTurn = components["schemas"]["TurnFigures"];

let csrf = "";
const client = createClient<paths>({ baseUrl: location.origin });
client.use({
  onRequest({ request }) {
    if (csrf) request.headers.set("x-parley-csrf", csrf);
    return request;
  },
});

export class SignedOut extends Error {}

interface Refusal {
  error?: { message?: string; code?: string | null };
}

/** The answer, or: `SignedOut`, or `ProblemError` with the server's sentence. */
async function answer<T>(request: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let result;
  try {
    result = await request;
  } catch (error) {
    throw new ProblemError(problem("server_unreachable", error instanceof Error ? error.message : String(error)));
  }
  if (result.response.ok) return result.data as T;
  const message = (result.error as Refusal | undefined)?.error?.message ?? `HTTP ${result.response.status}`;
  if (result.response.status === 401) throw new SignedOut(message);
  throw new ProblemError(problem(result.response.status === 503 ? "server_draining" : "refused", message));
}

export async function about(): Promise<About> {
  const found = await answer(client.GET("/api/console"));
  csrf = found.csrf;
  return found;
}

export const signIn = (credential: { token: string } | { key: string }): Promise<unknown> =>
  answer(client.POST("/api/console/sign-in", { body: credential }));

export async function signOut(): Promise<void> {
  await answer(client.POST("/api/console/sign-out"));
  csrf = "";
}

/** A short-lived credential for one call. */
export const secret = async (session: SessionConfig): Promise<string> =>
  (await answer(client.POST("/api/console/secret", { body: { session } }))).value;

export const serverSessions = async (): Promise<ServerSession[]> => (await answer(client.GET("/api/sessions"))).data;

export const serverTurns = async (id: string): Promise<ServerTurn[]> =>
  (await answer(client.GET("/api/sessions/{session_id}", { params: { path: { session_id: id } } }))).turns;
