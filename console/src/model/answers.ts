/**
 * The small script that answers tool calls: a JSON object, tool name -> answer. In its strings `{{name}}` stands for an
 * argument of the call, `{{now}}` for the time. Data, not code: what the page runs is only what it was shipped with.
 */

export function answerFor(script: string, name: string, args: string, now = () => new Date().toISOString()): string | null {
  const table = parse(script);
  if (!table || !(name in table)) return null;
  const given = parse(args) ?? {};
  const filled = fill(table[name], { now: now(), ...given });
  return typeof filled === "string" ? filled : JSON.stringify(filled);
}

/** What is wrong with the script, for the reader; null when nothing is. */
export function problemOf(script: string): string | null {
  if (!script.trim()) return null;
  try {
    const table: unknown = JSON.parse(script);
    return typeof table === "object" && table && !Array.isArray(table) ? null : 'Expected an object: {"tool name": answer}.';
  } catch (error) {
    return (error as Error).message;
  }
}

function fill(value: unknown, args: Record<string, unknown>): unknown {
  if (typeof value === "string") {
    const whole = /^\{\{\s*([\w.]+)\s*\}\}$/.exec(value);
    if (whole) return lookUp(args, whole[1]!) ?? "";
    return value.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_, path: string) => {
      const found = lookUp(args, path);
      return typeof found === "object" ? JSON.stringify(found) : String(found ?? "");
    });
  }
  if (Array.isArray(value)) return value.map((entry) => fill(entry, args));
  if (typeof value === "object" && value)
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, fill(entry, args)]));
  return value;
}

function lookUp(args: Record<string, unknown>, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (value as Record<string, unknown> | null | undefined)?.[key], args);
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
