/**
 * Elements in bulk: between memory where they lie in any order, some bytes apart, and
 * memory where they lie side by side.
 *
 * Bits are kept. Knows nothing of slices or of where memory comes from.
 *
 * @module
 */

import type { Box, BoxAxis } from "../geometry/mod.ts";
import { copySwapped } from "./byteswap.ts";
import { copyPlane, type Side, type Unit } from "./planes.ts";
import { viewOf } from "./values.ts";

/** Elements that are converted at a time when they go through memory of our own. */
export const PIECE = 4096;

/**
 * Elements that are copied at a time from array to array: several rows of most arrays,
 * so that columns are copied side by side. As 8 bytes each, they fit into most caches.
 */
export const LARGE_PIECE = 65_536;

/** How elements lie in memory, apart from where. */
export interface Elements {
  /** Bytes of one. */
  readonly size: number;
  /** Bytes of each of the equal parts of one, which are reversed by themselves. */
  readonly unit: number;
  /** Whether the bytes of each part are to be reversed on the way. */
  readonly isSwapped: boolean;
}

/**
 * A run of so many bytes is copied as a whole: its views cost less than its elements,
 * one by one. Reversing takes more calls.
 */
const [RUN, SWAPPED_RUN] = [256, 2048];

/** Copies the elements of `boxes`, the first at byte `first` of `from`, to `to`. */
export function gather(
  to: Uint8Array,
  from: Uint8Array,
  first: number,
  boxes: readonly Box[],
  elements: Elements,
): void {
  for (const { at, packedAt, axes } of boxes) {
    const [lengths, strides, packed] = sidesOf(axes, elements);
    copyBox(
      { bytes: to, at: packedAt, strides: packed },
      { bytes: from, at: first + at, strides },
      lengths,
      elements,
    );
  }
}

/** Copies elements from `from` to those of `boxes`, the first at byte `first` of `to`. */
export function scatter(
  to: Uint8Array,
  from: Uint8Array,
  first: number,
  boxes: readonly Box[],
  elements: Elements,
): void {
  for (const { at, packedAt, axes } of boxes) {
    const [lengths, strides, packed] = sidesOf(axes, elements);
    copyBox(
      { bytes: to, at: first + at, strides },
      { bytes: from, at: packedAt, strides: packed },
      lengths,
      elements,
    );
  }
}

type Numbers = readonly number[];

/** The axes as lists; those of several units have one more axis. */
function sidesOf(
  axes: readonly BoxAxis[],
  { size, unit }: Elements,
): [lengths: Numbers, strides: Numbers, packed: Numbers] {
  const all = size === unit
    ? axes
    : [...axes, { length: size / unit, stride: unit, packed: unit }];
  return [
    all.map(({ length }) => length),
    all.map(({ stride }) => stride),
    all.map(({ packed }) => packed),
  ];
}

/** One side of the copy of a box. */
interface BoxSide {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly strides: Numbers;
}

function copyBox(
  to: BoxSide,
  from: BoxSide,
  lengths: Numbers,
  { unit, isSwapped }: Elements,
): void {
  const last = lengths.length - 1;
  const isRun = last >= 0 && to.strides[last] === unit &&
    from.strides[last] === unit;
  const run = isRun ? lengths[last]! * unit : 0;
  if (run >= (isSwapped ? SWAPPED_RUN : RUN)) {
    eachPlane(to, from, lengths.slice(0, last), [], (toAt, fromAt) => {
      const line = from.bytes.subarray(fromAt, fromAt + run);
      copyRun(to.bytes, toAt, line, unit, isSwapped);
    });
    return;
  }
  // What is not reversed can be copied by more bytes at a time.
  const width = isRun && !isSwapped ? widest(run) : unit;
  const count = isRun ? run / width : lengths[last] ?? 1;
  const row = rowAxis(to, from, lengths, last);
  const [target, source] = [viewOf(to.bytes), viewOf(from.bytes)];
  const copied: Unit = { width, isSwapped: isSwapped && width > 1 };
  const side = (view: DataView, { strides }: BoxSide): Side => ({
    view,
    row: row < 0 ? 0 : strides[row]!,
    step: isRun ? width : strides[last] ?? 0,
  });
  const [toSide, fromSide] = [side(target, to), side(source, from)];
  const rows = row < 0 ? 1 : lengths[row]!;
  eachPlane(to, from, lengths, [row, last], (toAt, fromAt) => {
    copyPlane(toSide, toAt, fromSide, fromAt, rows, count, copied);
  });
}

/** The largest width of an integer that divides a run of bytes. */
function widest(run: number): number {
  return run % 8 === 0 ? 8 : run % 4 === 0 ? 4 : run % 2 === 0 ? 2 : 1;
}

/**
 * The axis whose indices are rows; -1 if there is none. Where the elements of another
 * axis than the last are nearest to each other, that: a block of rows and columns takes
 * few lines of the cache then. Otherwise the longest, so that there are few planes.
 */
function rowAxis(
  to: BoxSide,
  from: BoxSide,
  lengths: Numbers,
  last: number,
): number {
  const distance = (axis: number) =>
    Math.min(Math.abs(to.strides[axis]!), Math.abs(from.strides[axis]!));
  let [nearest, longest] = [last, last - 1];
  for (let axis = 0; axis < last; axis++) {
    if (distance(axis) < distance(nearest)) nearest = axis;
    if (lengths[axis]! > lengths[longest]!) longest = axis;
  }
  return nearest < last ? nearest : longest;
}

/** Calls `copy` for each index on all axes but `without`, with the byte on each side. */
function eachPlane(
  to: BoxSide,
  from: BoxSide,
  lengths: Numbers,
  without: Numbers,
  copy: (toAt: number, fromAt: number) => void,
): void {
  const axes = [...lengths.keys()].filter((axis) => !without.includes(axis))
    .reverse();
  const index = axes.map(() => 0);
  let [toAt, fromAt] = [to.at, from.at];
  for (;;) {
    copy(toAt, fromAt);
    let depth = 0;
    for (; depth < axes.length; depth++) {
      const axis = axes[depth]!;
      toAt += to.strides[axis]!;
      fromAt += from.strides[axis]!;
      if (++index[depth]! < lengths[axis]!) break;
      toAt -= lengths[axis]! * to.strides[axis]!;
      fromAt -= lengths[axis]! * from.strides[axis]!;
      index[depth] = 0;
    }
    if (depth === axes.length) return;
  }
}

/** Copies all of `from`, whose elements lie side by side, to byte `at` of `to`. */
function copyRun(
  to: Uint8Array,
  at: number,
  from: Uint8Array,
  width: number,
  isSwapped: boolean,
): void {
  if (!isSwapped || width === 1) to.set(from, at);
  else copySwapped(to.subarray(at, at + from.length), from, width);
}
