/**
 * Checks of the offsets, ranges and lengths that callers give, in bytes.
 *
 * Must not know a map or a slice: the length to check against comes with each call.
 *
 * @module
 */

import { shown } from "./shown.ts";

/** Returns `length`. Throws a `RangeError` unless it is a safe integer of at least 0. */
export function checkLength(length: number, what: string): number {
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new RangeError(
    `Invalid ${what}: ${shown(length)}. It must be a whole number of bytes ` +
      "from 0 to 2^53 - 1.",
  );
}

/**
 * Returns `offset` as counted from the start; negative offsets count from `length`.
 * Throws a `RangeError` if it lies outside `0..length`: nothing is clamped.
 */
export function checkOffset(
  offset: number,
  length: number,
  what: "memmap" | "slice",
): number {
  // Only primitive numbers: converting an object would run the caller's code.
  const at = typeof offset !== "number"
    ? NaN
    : offset < 0
    ? offset + length
    : offset;
  if (Number.isSafeInteger(at) && at >= 0 && at <= length) return at + 0; // turns -0 into 0
  const limit = what === "slice"
    ? `${length}, the slice's length`
    : `${length}, the map's mappedLength; pending edits do not change it`;
  throw new RangeError(
    `Invalid ${what} offset: ${shown(offset)}. ` +
      `Offsets are whole numbers from ${-length} to ${limit}. ` +
      "Negative ones count from the end.",
  );
}

/**
 * Returns an offset for something to be written at. As with
 * `Uint8Array.prototype.set`, negative ones are refused.
 */
export function checkTarget(offset: number, length: number): number {
  if (!(offset < 0)) return checkOffset(offset, length, "slice");
  throw new RangeError(
    `Invalid slice offset: ${
      shown(offset)
    }. As for Uint8Array.prototype.set, ` +
      "offsets to write at count from the start: they are whole numbers from 0 to " +
      `${length}, the slice's length.`,
  );
}

/**
 * Returns the offset of `count` bytes; negative ones count from `length`. Throws a
 * `RangeError` that gives both numbers unless all of them lie within.
 */
export function checkSpan(
  offset: number,
  count: number,
  length: number,
  what: "memmap" | "slice",
): number {
  const at = checkOffset(offset, length, what);
  checkLength(count, "count of bytes");
  if (count <= length - at) return at;
  throw new RangeError(
    `Invalid ${what} range: ${count} bytes at ${offset}. There are ` +
      `${length - at} from there on, since the ` +
      `${
        what === "slice" ? "slice's length" : "map's mappedLength"
      } is ${length}.`,
  );
}

/**
 * Checks both ends of a half-open range as {@linkcode checkOffset} does, and their
 * order. Where one is `undefined`, the whole begins or ends.
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
 * A range by the rules of `TypedArray.prototype.slice`: fractions are truncated,
 * negative numbers count from the end, and what lies outside is clamped.
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
