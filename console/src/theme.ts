/** Light, dark, or as the system has it. */

import { recall, remember } from "./model/storage.js";

export type Theme = "system" | "light" | "dark";

const dark = matchMedia("(prefers-color-scheme: dark)");

export const theme = (): Theme => recall<Theme>("theme") ?? "system";

export function setTheme(wanted: Theme): void {
  remember("theme", wanted);
  applyTheme();
}

export const isDark = (): boolean => (theme() === "system" ? dark.matches : theme() === "dark");

export function applyTheme(): void {
  document.documentElement.classList.toggle("wa-dark", isDark());
  document.documentElement.classList.toggle("wa-light", !isDark());
  dispatchEvent(new Event("parley-theme"));
}

dark.addEventListener("change", applyTheme);
