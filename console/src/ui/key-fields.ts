/** The form of an API key: what it is called, and what it may do. */

import { html, nothing, type TemplateResult } from "lit";
import type { About } from "../api.js";
import type { KeyRules, NewKey, Scope } from "../management.js";
import { LIMITS } from "../model/limits.js";
import { AMOUNT_PATTERN } from "../model/money.js";
import { maybeAmount, maybeWhole, text, texts } from "./form-fields.js";

const NAME_CHARS_MAX = 200;
const DAY_S = 86_400;
const EXPIRIES = [
  ["", "Never"],
  ["7", "In 7 days"],
  ["30", "In 30 days"],
  ["90", "In 90 days"],
  ["365", "In a year"],
] as const;
const SCOPES: { value: Scope; label: string; admins?: boolean }[] = [
  { value: "realtime", label: "realtime: calls, /v1 and /api/realtime" },
  { value: "pipeline", label: "pipeline: one question, one answer" },
  { value: "admin", label: "admin: manage accounts, keys and money", admins: true },
];
export const newKeyFields = (about: About): TemplateResult => html`
  <label class="field">Name<input class="control" name="name" maxlength=${NAME_CHARS_MAX} placeholder="What it is for, such as: kitchen speaker" required autofocus autocomplete="off" /></label>
  <div class="two">
    <label class="field">Expires
      <select class="control" name="days">${EXPIRIES.map(([days, label]) => html`<option value=${days}>${label}</option>`)}</select>
    </label>
    <label class="field">Budget in credits
      <input class="control num" name="budget" inputmode="decimal" pattern=${AMOUNT_PATTERN} placeholder="none of its own" autocomplete="off" />
    </label>
  </div>
  ${keyFields(about, { scopes: ["realtime", "pipeline"] })}
`;

export const keyFields = (about: About, rules: KeyRules): TemplateResult => html`
  <fieldset>
    <legend>It may</legend>
    <div>
      ${SCOPES.filter(({ admins }) => !admins || about.user.role === "admin").map(
        ({ value, label }) => html`<label class="check"><input type="checkbox" name="scopes" value=${value} ?checked=${rules.scopes?.includes(value)} />${label}</label><br />`,
      )}
    </div>
  </fieldset>
  <details ?open=${Boolean(rules.models?.length || rules.voices?.length)}>
    <summary>Only some models or voices</summary>
    <div class="stack">
      ${choices("models", "Models; none chosen: all", [...about.models, ...about.transcription_models], rules.models ?? [])}
      ${choices("voices", "Voices; none chosen: all", about.voices, rules.voices ?? [])}
    </div>
  </details>
  <details ?open=${LIMITS.some(({ name }) => rules[name] != null)}>
    <summary>Limits of its own</summary>
    <div class="two">
      ${LIMITS.map(
        ({ name, label }) => html`<label class="field">${label}<input class="control num" name=${name} inputmode="numeric" pattern="\\d{1,10}" value=${rules[name] ?? nothing} placeholder="no limit" autocomplete="off" /></label>`,
      )}
    </div>
  </details>
`;

const choices = (name: string, legend: string, values: readonly string[], chosen: readonly string[]): TemplateResult => html`
  <fieldset>
    <legend>${legend}</legend>
    <div class="list grow" tabindex="0" role="group" aria-label=${legend}>
      ${values.map((value) => html`<label class="check"><input type="checkbox" name=${name} value=${value} ?checked=${chosen.includes(value)} />${value}</label><br />`)}
    </div>
  </fieldset>
`;

export function rulesOf(data: FormData): KeyRules {
  const scopes = texts(data, "scopes") as Scope[];
  if (!scopes.length) throw new Error("Choose at least one thing that the key may do.");
  return {
    scopes,
    models: texts(data, "models"),
    voices: texts(data, "voices"),
    ...Object.fromEntries(LIMITS.map(({ name }) => [name, maybeWhole(data, name)])),
  };
}

export function newKeyOf(data: FormData, now = Date.now()): NewKey {
  const days = maybeWhole(data, "days");
  return {
    name: text(data, "name"),
    rules: rulesOf(data),
    expires_at: days === null ? null : Math.floor(now / 1000) + days * DAY_S,
    budget_micro: maybeAmount(data, "budget"),
  };
}
