/**
 * Checks on the offsets and lengths that users give, in bytes.
 *
 * @module
 */

/** Answers `length`, or throws unless it is a safe integer of at least 0. */
export function checkLength(length: number, what: string): number {
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new RangeError(
    `Invalid ${what}: ${shown(length)}. It must be a whole number of bytes ` +
      "from 0 to 2^53 - 1.",
  );
}

/**
 * Answers `offset` as counted from the start: negative ones count from `length`.
 * Throws where it lies outside `0..length`; nothing is ever clamped.
 */
export function checkOffset(
  offset: number,
  length: number,
  what: "memmap" | "slice",
): number {
  // An object that counts as a number could run code of its own when asked to.
  const at = typeof offset !== "number"
    ? NaN
    : offset < 0
    ? offset + length
    : offset;
  if (Number.isSafeInteger(at) && at >= 0 && at <= length) return at + 0; // never -0
  throw new RangeError(
    `Invalid ${what} offset: ${
      shown(offset)
    }. Offsets are whole numbers from 0 to ` +
      (what === "slice"
        ? `${length} here.`
        : `${length} here, mappedLength; pending edits do not shift them.`),
  );
}

/** A value as it would stand in source text: a bigint and a string are no numbers. */
function shown(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/**
 * Checks a half-open range, by default the whole; see {@linkcode checkOffset}.
 */
export function checkRange(
  begin: number = 0,
  end: number | undefined,
  length: number,
  what: "memmap" | "slice",
): [begin: number, end: number] {
  const from = checkOffset(begin, length, what);
  const to = checkOffset(end === undefined ? length : end, length, what);
  if (from <= to) return [from, to];
  throw new RangeError(
    `Invalid ${what} range: ${begin} to ${end} ends before it begins.`,
  );
}

/**
 * A range as `TypedArray.prototype.slice` counts: fractions are cut off, negative
 * numbers count from the end, and what lies outside is clamped.
 */
export function clampRange(
  begin: number,
  end: number,
  length: number,
): [from: number, to: number] {
  const from = clampIndex(begin, length);
  return [from, Math.max(clampIndex(end, length), from)];
}

function clampIndex(index: number, length: number): number {
  const whole = Math.trunc(index) || 0; // NaN counts as 0
  return whole < 0 ? Math.max(whole + length, 0) : Math.min(whole, length);
}
