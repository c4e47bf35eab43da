/** Pages are paths under /console/: /console/events, /console/sessions/{id}, /console/credits/{account}. */

export const BASE = "/console/";
export const PAGES = [
  "talk", "turns", "events", "sessions", "code", "playground",
  "api-keys", "credits", "usage", "limits", "prices", "upstreams", "phone", "users", "account",
] as const;
export type Page = (typeof PAGES)[number];

export interface Place {
  page: Page;
  rest: string;
}

export function place(path = location.pathname): Place {
  const [first = "", ...rest] = path.slice(BASE.length).split("/");
  const page = (PAGES as readonly string[]).includes(first) ? (first as Page) : "talk";
  return { page, rest: decodeURIComponent(rest.join("/")) };
}

export const href = (page: Page, rest = ""): string => BASE + page + (rest ? `/${encodeURIComponent(rest)}` : "");

export function go(page: Page, rest = ""): void {
  history.pushState(null, "", href(page, rest));
  dispatchEvent(new PopStateEvent("popstate"));
}
