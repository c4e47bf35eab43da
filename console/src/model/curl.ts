/** Requests to /api/realtime as a shell writes them (protocol.md 1.8). */

import { shellQuote } from "./snippets.js";

export const KEY_VARIABLE = "GPTREALTIME_API_KEY";

/** What the lines below read. */
export const environment = (origin: string): string => `export APP_URL=${shellQuote(origin)}\nexport ${KEY_VARIABLE}='sk-gptr2-…'\n\n`;

/** A form with these parts, in order; empty ones are left out. `audio` is the name of a file. */
export function pipelineCurl(parts: readonly (readonly [string, string])[], audio?: { name: string; type: string }): string {
  const sent = parts.filter(([, value]) => value !== "").map(([name, value]) => `  ${flag(value)} ${quoted(`${name}=${value}`)}`);
  const file = audio ? [`  -F ${quoted(`audio=@./${audio.name};type=${audio.type}`)}`] : [];
  return [`curl "$APP_URL/api/realtime/pipeline"`, `  -H "Authorization: Bearer $${KEY_VARIABLE}"`, ...sent, ...file].join(" \\\n");
}

export function jsonCurl(path: "session" | "charge", body: object): string {
  return [
    `curl "$APP_URL/api/realtime/${path}"`,
    `  -H "Authorization: Bearer $${KEY_VARIABLE}"`,
    `  -H "Content-Type: application/json"`,
    `  -d ${shellQuote(JSON.stringify(body))}`,
  ].join(" \\\n");
}

/** To -F some characters mean more than themselves. */
const flag = (value: string): string => (/^[@<]|;/.test(value) ? "--form-string" : "-F");

/** In double quotes where that is safe, as people write it. */
const quoted = (text: string): string => (/[$`"\\!\n]/.test(text) ? shellQuote(text) : `"${text}"`);
