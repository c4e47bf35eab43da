/** Numbers for people. */

export const ms = (value: number | undefined): string =>
  value === undefined ? "–" : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;

export const bytes = (value: number): string =>
  value < 1000 ? `${value} B` : value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;

export const clock = (value: number): string => {
  const s = Math.max(0, Math.floor(value / 1000));
  const pad = (n: number) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${pad(s % 60)}` : `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
};

export const seconds = (value: number): string => (value / 1000).toFixed(3);
export const count = (value: number | undefined): string => (value ?? 0).toLocaleString("en");
export const when = (unixMs: number): string =>
  new Date(unixMs).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
