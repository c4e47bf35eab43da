/** Past sessions of this browser. They stay here: nothing of it is sent anywhere. */

import type { Message } from "./transcript.js";
import type { Turn } from "./turns.js";
import type { SessionConfig, Transport } from "./settings.js";
import type { Usage } from "./events.js";

export interface StoredSession {
  id: string;
  /** Unix ms. */
  startedAt: number;
  /** Page time of the start: what the times of turns and messages count from. */
  epoch: number;
  durationMs: number;
  transport: Transport;
  config: SessionConfig;
  messages: Message[];
  turns: Turn[];
  /** Characters in a millisecond of speech. */
  pace?: number;
  usage: Usage;
  eventCount: number;
  /** Unix ms at which the sound is deleted; 0: there is none. */
  soundUntil: number;
}

const NAME = "parley-console";
const VERSION = 1;
export const SESSIONS_KEPT = 100;

let opening: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("sessions", { keyPath: "id" });
      request.result.createObjectStore("events");
      request.result.createObjectStore("sounds");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function stores(mode: IDBTransactionMode): Promise<(name: "sessions" | "events" | "sounds") => IDBObjectStore> {
  const transaction = (await open()).transaction(["sessions", "events", "sounds"], mode);
  return (name) => transaction.objectStore(name);
}

export async function save(session: StoredSession, events?: string, sound?: Blob): Promise<void> {
  const store = await stores("readwrite");
  if (events !== undefined) store("events").put(new Blob([events], { type: "application/jsonl" }), session.id);
  if (sound) store("sounds").put(sound, session.id);
  await done(store("sessions").put(session));
}

/** Newest first. */
export async function list(): Promise<StoredSession[]> {
  const found = await done((await stores("readonly"))("sessions").getAll() as IDBRequest<StoredSession[]>);
  return found.sort((a, b) => b.startedAt - a.startedAt);
}

export const events = async (id: string): Promise<Blob | undefined> => done((await stores("readonly"))("events").get(id));
export const sound = async (id: string): Promise<Blob | undefined> => done((await stores("readonly"))("sounds").get(id));

export async function remove(id: string): Promise<void> {
  const store = await stores("readwrite");
  store("events").delete(id);
  store("sounds").delete(id);
  await done(store("sessions").delete(id));
}

/** Deletes sound whose time is over, and the oldest sessions beyond the limit. */
export async function tidy(now = Date.now()): Promise<void> {
  const all = await list();
  for (const session of all.slice(SESSIONS_KEPT)) await remove(session.id);
  for (const session of all) {
    if (!session.soundUntil || session.soundUntil > now) continue;
    const store = await stores("readwrite");
    store("sounds").delete(session.id);
    await done(store("sessions").put({ ...session, soundUntil: 0 }));
  }
}
