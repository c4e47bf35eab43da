/** What must not be lost with a connection: the last minute of sound, and what the user sent while there was none. */

import type { RealtimeEvent } from "../model/events.js";
import type { Call } from "./call.js";

/** 60 s in pieces of 20 ms. */
const PIECES_MAX = 3_000;
const EVENTS_MAX = 100;

export class Backlog {
  private sound: { pcm: Int16Array; at: number }[] = [];
  private events: RealtimeEvent[] = [];

  /** A piece that ended at this page time. */
  heard(pcm: Int16Array, at: number): void {
    this.sound.push({ pcm, at });
    if (this.sound.length > PIECES_MAX) this.sound.shift();
  }

  /** An event that waits for the next connection. */
  hold(event: RealtimeEvent): void {
    if (this.events.length < EVENTS_MAX) this.events.push(event);
  }

  /** Gives a new connection the sound since then and the events that waited; whether there were any. */
  giveTo(call: Call, since: number): boolean {
    for (const { pcm, at } of this.sound) if (at > since) call.replay(pcm, at);
    const waiting = this.events.splice(0);
    for (const event of waiting) call.send(event);
    return waiting.length > 0;
  }
}
