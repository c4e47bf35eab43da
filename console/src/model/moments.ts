/** Days and moments. The server tells Unix seconds, and days of UTC as 2026-12-31. */

const DAY_MS = 86_400_000;

export const moment = (unixS: number): string =>
  new Date(unixS * 1000).toLocaleString([], { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

export const date = (unixS: number): string =>
  new Date(unixS * 1000).toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });

export const dayOf = (unixMs: number): string => new Date(unixMs).toISOString().slice(0, 10);

/** Every day from `since` to `until`, both included. */
export function days(since: string, until: string): string[] {
  const [first, last] = [Date.parse(since), Date.parse(until)];
  return Array.from({ length: Math.max(0, Math.round((last - first) / DAY_MS) + 1) }, (_, n) => dayOf(first + n * DAY_MS));
}

/** The last so many days, today included. */
export const lastDays = (count: number, now = Date.now()): { since: string; until: string } => ({
  since: dayOf(now - (count - 1) * DAY_MS),
  until: dayOf(now),
});

/** "Nov 21" */
export const shortDay = (day: string): string =>
  new Date(`${day}T00:00:00Z`).toLocaleDateString([], { month: "short", day: "numeric", timeZone: "UTC" });
