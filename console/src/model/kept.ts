/** Sessions as the server keeps them. */

import type { KeptLine, KeptSession } from "../api.js";
import { clock } from "./format.js";

export interface Peaks {
  user: Float32Array;
  parley: Float32Array;
}

/** Loudness of both sides, 0 to 1; it comes as bytes of user and assistant in turn, in base64. */
export function peaksOf(text: string): Peaks {
  const raw = atob(text);
  const pieces = raw.length >> 1;
  const [user, parley] = [new Float32Array(pieces), new Float32Array(pieces)];
  for (let i = 0; i < pieces; i++) {
    user[i] = raw.charCodeAt(2 * i) / 255;
    parley[i] = raw.charCodeAt(2 * i + 1) / 255;
  }
  return { user, parley };
}

/** Which line is heard at a position, ms; the later one where both sides speak. */
export const lineAt = (lines: KeptLine[], at: number): KeptLine | undefined =>
  lines.findLast(({ start_ms: start, end_ms: end }) => start != null && end != null && start <= at && at < end);

/** What was said and not heard. */
export const unheard = (line: KeptLine): string =>
  line.heard != null && line.text?.startsWith(line.heard) ? line.text.slice(line.heard.length) : "";

export const NAMES = { user: "You", assistant: "Parley", tool: "Tool" } as const;

export const plainText = (session: KeptSession): string =>
  (session.transcript ?? [])
    .map((line) => {
      const said = line.role === "tool" ? `${line.name}(${line.text ?? ""}) -> ${line.output ?? ""}` : (line.heard ?? line.text ?? "");
      return `${clock(line.start_ms ?? 0)} ${NAMES[line.role]}: ${said}\n`;
    })
    .join("");
