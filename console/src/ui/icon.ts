import { registerIconLibrary } from "@awesome.me/webawesome/dist/components/icon/library.js";
import { html, type TemplateResult } from "lit";
import "@awesome.me/webawesome/dist/components/icon/icon.js";
import sprite from "../assets/icons.svg?url";

/** Names that Web Awesome's own elements use -> names in our sprite. */
const ALIASES: Record<string, string> = {
  xmark: "x",
  "circle-xmark": "circle-x",
  "eye-slash": "eye-off",
  "chevron-up": "chevron-down",
  "grip-vertical": "ellipsis",
  indeterminate: "minus",
  "magnifying-glass": "search",
  star: "circle",
  user: "circle",
  "play": "play",
};

const resolver = (name: string): string => `${sprite}#${ALIASES[name] ?? name}`;
// Both libraries: Web Awesome would fetch the first from a server of its own.
for (const library of ["default", "system"]) registerIconLibrary(library, { resolver, spriteSheet: true });

/** An icon of the sprite, as large as the text beside it asks for. Decoration: what it means is said in words. */
export const icon = (name: string, label = ""): TemplateResult =>
  html`<wa-icon name=${name} label=${label} canvas="square"></wa-icon>`;
