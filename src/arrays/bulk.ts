/**
 * Elements in bulk: between memory where they lie in lines, some bytes apart, and
 * memory where they lie side by side.
 *
 * Bits are kept. Knows nothing of slices or of where memory comes from.
 *
 * @module
 */

import type { Lines } from "../geometry/mod.ts";
import { copyElement, copySwapped } from "./byteswap.ts";
import { viewOf } from "./values.ts";

/** Elements that are converted at a time when they go through memory of our own. */
export const PIECE = 4096;

/** How elements lie in memory, apart from where. */
export interface Elements {
  /** Bytes of one. */
  readonly size: number;
  /** Whether the bytes of each are to be reversed on the way. */
  readonly isSwapped: boolean;
}

/** Copies the elements of `lines`, which are in `from`, to the start of `to`. */
export function gather(
  to: Uint8Array,
  from: Uint8Array,
  lines: Lines,
  { size, isSwapped }: Elements,
): void {
  let at = 0;
  if (lines.stride === 1) {
    while (lines.next()) {
      const begin = lines.at * size;
      const line = from.subarray(begin, begin + lines.count * size);
      copyRun(to, at, line, size, isSwapped);
      at += line.length;
    }
    return;
  }
  const [target, source] = [viewOf(to), viewOf(from)];
  const step = lines.stride * size;
  while (lines.next()) {
    let from = lines.at * size;
    for (let left = lines.count; left > 0; left--) {
      copyElement(target, at, source, from, size, isSwapped);
      at += size;
      from += step;
    }
  }
}

/** Copies elements from the start of `from` to those of `lines`, which are in `to`. */
export function scatter(
  to: Uint8Array,
  from: Uint8Array,
  lines: Lines,
  { size, isSwapped }: Elements,
): void {
  let at = 0;
  if (lines.stride === 1) {
    while (lines.next()) {
      const line = from.subarray(at, at + lines.count * size);
      copyRun(to, lines.at * size, line, size, isSwapped);
      at += line.length;
    }
    return;
  }
  const [target, source] = [viewOf(to), viewOf(from)];
  const step = lines.stride * size;
  while (lines.next()) {
    let to = lines.at * size;
    for (let left = lines.count; left > 0; left--) {
      copyElement(target, to, source, at, size, isSwapped);
      at += size;
      to += step;
    }
  }
}

/** Copies all of `from`, whose elements lie side by side, to byte `at` of `to`. */
function copyRun(
  to: Uint8Array,
  at: number,
  from: Uint8Array,
  size: number,
  isSwapped: boolean,
): void {
  if (!isSwapped) to.set(from, at);
  else copySwapped(to.subarray(at, at + from.length), from, size);
}
