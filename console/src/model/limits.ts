/** The four limits that an account or a key may have. */

import type { Limit } from "../management.js";

export const LIMITS: { name: Limit["name"]; label: string }[] = [
  { name: "requests_per_minute", label: "Requests a minute" },
  { name: "tokens_per_minute", label: "Tokens a minute" },
  { name: "audio_minutes_per_day", label: "Minutes of sound a day" },
  { name: "sessions_at_once", label: "Sessions at once" },
];

/** "in 12 s", "in 3 min", "in 5 h"; rounded up, for before that it is not all there. */
export function untilReset(seconds: number): string {
  if (seconds <= 0) return "now";
  if (seconds <= 99) return `in ${Math.ceil(seconds)} s`;
  return seconds <= 99 * 60 ? `in ${Math.ceil(seconds / 60)} min` : `in ${Math.ceil(seconds / 3600)} h`;
}
