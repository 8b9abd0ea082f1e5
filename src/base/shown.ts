/**
 * Arguments in messages.
 *
 * Must not know what they were given for.
 *
 * @module
 */

/** Elements of an array that a message shows. */
const MOST = 8;

/** A number of things, in words: "1 byte", "2 bytes", "2 axes". */
export function counted(
  count: number | bigint,
  what: string,
  many: string = `${what}s`,
): string {
  return `${count} ${Number(count) === 1 ? what : many}`;
}

/**
 * An argument as source text, so that `3n` and `"3"` do not read as the number 3. An
 * object's own idea of how it looks is not asked for, and its code does not run. Only
 * the elements of an array may be getters: an error follows, whatever they do.
 */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return Array.isArray(value) ? shownArray(value) : "an object";
  } catch {
    return "an object"; // a proxy
  }
}

function shownArray(values: readonly unknown[]): string {
  const count = Math.min(values.length, MOST);
  const items = Array.from({ length: count }, (_, i) => {
    const value = values[i];
    return typeof value === "object" && value !== null ? "…" : shown(value);
  });
  return `[${items.join(",")}${values.length > MOST ? ",…" : ""}]`;
}
