/** What the signed-in page may ask Parley for, besides the Realtime API itself. */

import createClient from "openapi-fetch";
import type { components, paths } from "./api-schema.js";
import type { paths as ManagementPaths } from "./management-schema.js";
import { problem, ProblemError } from "./model/problems.js";
import type { SessionConfig } from "./model/settings.js";

export type About = components["schemas"]["About"];
export type ServerSession = components["schemas"]["SessionSummary"];
export type ServerTurn = components["schemas"]["TurnFigures"];
export type KeptSession = components["schemas"]["Session"];
export type KeptLine = components["schemas"]["Line"];

export type Credential = { token: string } | { key: string } | { email: string; password: string };

/** Event of the window: the server no longer knows who is here. */
export const SIGNED_OUT = "parley-signed-out";

let csrf = "";
/** What `management.ts` asks with, too. */
export const client = createClient<paths & ManagementPaths>({ baseUrl: location.origin });
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

/** The answer, or: `SignedOut`, or `ProblemError` with the server's sentence; `code` is what a refusal is called. */
export async function answer<T>(request: Promise<{ data?: T; error?: unknown; response: Response }>, code = "refused"): Promise<T> {
  let result;
  try {
    result = await request;
  } catch (error) {
    throw new ProblemError(problem("server_unreachable", error instanceof Error ? error.message : String(error)));
  }
  if (result.response.ok) return result.data as T;
  const message = (result.error as Refusal | undefined)?.error?.message ?? `HTTP ${result.response.status}`;
  if (result.response.status === 401) {
    if (csrf) dispatchEvent(new Event(SIGNED_OUT));
    throw new SignedOut(message);
  }
  throw new ProblemError(problem(result.response.status === 503 ? "server_draining" : code, message));
}

export async function about(): Promise<About> {
  const found = await answer(client.GET("/api/console"));
  csrf = found.csrf;
  return found;
}

/** For what is no JSON: a request of the one who is signed in. */
export const fetchSignedIn = (path: string, init: RequestInit): Promise<Response> =>
  fetch(path, { ...init, headers: { ...init.headers, "x-parley-csrf": csrf } });

/** The name of the provider that people may sign in with, if the operator has set one. */
export const provider = async (): Promise<string | null> => (await answer(client.GET("/api/console/sign-in"))).oidc;

export const signIn = (credential: Credential): Promise<unknown> =>
  answer(client.POST("/api/console/sign-in", { body: credential }));

export async function signOut(): Promise<void> {
  await answer(client.POST("/api/console/sign-out"));
  csrf = "";
}

/** A short-lived credential for one call. */
export const secret = async (session: SessionConfig): Promise<string> =>
  (await answer(client.POST("/api/console/secret", { body: { session } }))).value;

/** Sessions that the server keeps, newest first; `next` is where the following page begins. */
export const serverSessions = (after?: string): Promise<{ data: ServerSession[]; next: string | null }> =>
  answer(client.GET("/api/sessions", { params: { query: after ? { after } : {} } }));

export const keptSession = (id: string): Promise<KeptSession> =>
  answer(client.GET("/api/sessions/{session_id}", { params: { path: { session_id: id } } }));

export const forgetSession = (id: string): Promise<unknown> =>
  answer(client.DELETE("/api/sessions/{session_id}", { params: { path: { session_id: id } } }));

/** Where the sound of a kept session is. */
export const soundUrl = (id: string): string => `/api/sessions/${encodeURIComponent(id)}/audio`;

export const serverTurns = async (id: string): Promise<ServerTurn[]> =>
  (await answer(client.GET("/api/sessions/{session_id}", { params: { path: { session_id: id } } }))).turns;
