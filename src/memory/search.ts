/**
 * Search in mapped bytes: find and rfind, by libc's `memmem`.
 *
 * Must not know whether the bytes are a file's or a floating slice's.
 *
 * @module
 */

import { bytesIn, isAnyView, shown, typedArrayName } from "../base/mod.ts";
import type { Mapping } from "./mapping.ts";

const UTF8 = new TextEncoder();

/**
 * A copy of the bytes of a pattern, which nobody can change while libc reads it. A
 * string is searched as its UTF-8.
 */
export function patternBytes(pattern: string | Uint8Array): Uint8Array {
  if (typeof pattern === "string") return UTF8.encode(pattern);
  if (isAnyView(pattern) && typedArrayName(pattern) === "Uint8Array") {
    return new Uint8Array(bytesIn(pattern)!);
  }
  throw new TypeError(
    `A pattern must be a string or a Uint8Array, not ${shown(pattern)}.`,
  );
}

/** The offset of the first occurrence within bytes `begin` to `end`, or -1. */
export function findFirst(
  memory: Mapping,
  pattern: Uint8Array,
  begin: number,
  end: number,
): number {
  if (pattern.length === 0) return begin;
  if (pattern.length > end - begin) return -1;
  return memory.find(pattern, begin, end);
}

/** Bytes of the first and of the largest window of {@linkcode findLast}. */
const FIRST_WINDOW = 4096;
const LARGEST_WINDOW = 2 ** 26;

/**
 * The offset of the last occurrence within bytes `begin` to `end`, or -1.
 *
 * No libc that we run on searches backwards for more than one byte. So windows are
 * searched from the end, each twice as large as the one before, up to a limit, and
 * never smaller than the pattern. Every byte is read about twice, in few calls.
 */
export function findLast(
  memory: Mapping,
  pattern: Uint8Array,
  begin: number,
  end: number,
): number {
  if (pattern.length === 0) return end;
  let size = Math.max(FIRST_WINDOW, pattern.length);
  // No occurrence starts at `starts` or later.
  let starts = end - pattern.length + 1;
  while (starts > begin) {
    const from = Math.max(begin, starts - size);
    const found = lastStart(memory, pattern, from, starts);
    if (found !== -1) return found;
    starts = from;
    size = Math.max(Math.min(size * 2, LARGEST_WINDOW), pattern.length);
  }
  return -1;
}

/**
 * The offset of the last occurrence that starts at `low` or later and before `high`,
 * or -1. Each step searches the upper half of the starts that are left, so that the
 * searches shrink geometrically even if everything matches.
 */
function lastStart(
  memory: Mapping,
  pattern: Uint8Array,
  low: number,
  high: number,
): number {
  const overhang = pattern.length - 1;
  let found = memory.find(pattern, low, high + overhang);
  while (found !== -1 && found + 1 < high) {
    const middle = Math.floor((found + 1 + high) / 2);
    const later = memory.find(pattern, middle, high + overhang);
    if (later !== -1) found = later;
    else if (middle === found + 1) break;
    else high = middle;
  }
  return found;
}
