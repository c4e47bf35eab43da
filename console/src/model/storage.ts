/** Small things that this browser remembers. Storage may be switched off; then they are forgotten. */

export function recall<T>(name: string): T | undefined {
  try {
    const text = localStorage.getItem(`parley.${name}`);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined;
  }
}

export function remember(name: string, value: unknown): void {
  try {
    localStorage.setItem(`parley.${name}`, JSON.stringify(value));
  } catch {
    // full or forbidden
  }
}
