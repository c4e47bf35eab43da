/** A name for an order, so that giving it twice is giving it once. Works on plain http, too. */
export const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
