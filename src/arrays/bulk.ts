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
  elements: Elements,
): void {
  const { size } = elements;
  for (let at = 0; lines.next(); at += lines.count * size) {
    const [begin, step] = [lines.at * size, lines.stride * size];
    copyLine(to, at, size, from, begin, step, lines.count, elements);
  }
}

/** Copies elements from the start of `from` to those of `lines`, which are in `to`. */
export function scatter(
  to: Uint8Array,
  from: Uint8Array,
  lines: Lines,
  elements: Elements,
): void {
  const { size } = elements;
  for (let at = 0; lines.next(); at += lines.count * size) {
    const [begin, step] = [lines.at * size, lines.stride * size];
    copyLine(to, begin, step, from, at, size, lines.count, elements);
  }
}

/** Copies elements that are as many bytes apart as the steps say. */
function copyLine(
  to: Uint8Array,
  toAt: number,
  toStep: number,
  from: Uint8Array,
  fromAt: number,
  fromStep: number,
  count: number,
  { size, isSwapped }: Elements,
): void {
  if (toStep === size && fromStep === size) {
    const source = from.subarray(fromAt, fromAt + count * size);
    if (!isSwapped) to.set(source, toAt);
    else copySwapped(to.subarray(toAt, toAt + source.length), source, size);
    return;
  }
  const [target, source] = [viewOf(to), viewOf(from)];
  for (; count > 0; count--) {
    copyElement(target, toAt, source, fromAt, size, isSwapped);
    toAt += toStep;
    fromAt += fromStep;
  }
}
