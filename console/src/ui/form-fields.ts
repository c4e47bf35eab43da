/** What was filled into a form, as values; an `Error` says what is wrong with it. */

import { microOf } from "../model/money.js";

export const text = (data: FormData, name: string): string => String(data.get(name) ?? "").trim();
export const texts = (data: FormData, name: string): string[] => data.getAll(name).map(String);

/** Micro-credits. */
export function amountOf(data: FormData, name: string): number {
  const micro = microOf(text(data, name));
  if (micro === undefined) throw new Error("Write an amount with at most six places, such as 12.5.");
  return micro;
}

export const maybeAmount = (data: FormData, name: string): number | null => (text(data, name) ? amountOf(data, name) : null);

export function maybeWhole(data: FormData, name: string): number | null {
  const written = text(data, name);
  if (!written) return null;
  if (!/^\d{1,10}$/.test(written)) throw new Error(`“${written}” is no whole number.`);
  return Number(written);
}
