/** Credits as text, exactly: the server counts whole micro-credits, a millionth of a credit each. */

const MICRO = 1_000_000n;
const PLACES = 6;
const SHOWN_MIN = 2;
const AMOUNT = /^(\d{1,12})(?:[.](\d{1,6}))?$/;

/** "1,234.50", "0.000001". At least two places, at most six, nothing rounded. */
export function credits(micro: number | bigint): string {
  const amount = BigInt(micro);
  const size = amount < 0n ? -amount : amount;
  const places = String(size % MICRO).padStart(PLACES, "0").replace(/0+$/, "").padEnd(SHOWN_MIN, "0");
  return `${amount < 0n ? "−" : ""}${(size / MICRO).toLocaleString("en")}.${places}`;
}

/** The same, as one writes it into a field: "1234.5". */
export const plainCredits = (micro: number): string => credits(micro).replaceAll(",", "").replace("−", "-").replace(/\.?0+$/, "");

/** Micro-credits of "12.5"; nothing where it is no amount that can be told exactly. */
export function microOf(text: string): number | undefined {
  const [, whole, places = ""] = AMOUNT.exec(text.trim()) ?? [];
  if (whole === undefined) return undefined;
  const micro = BigInt(whole) * MICRO + BigInt(places.padEnd(PLACES, "0"));
  return micro <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(micro) : undefined;
}

/** What a field for an amount accepts. */
export const AMOUNT_PATTERN = "\\d{1,12}([.]\\d{1,6})?";
