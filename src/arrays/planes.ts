/**
 * Elements of a plane, which is rows of elements, copied one by one.
 *
 * For lines too short, or elements too far apart, for a copy of whole runs. Bytes are
 * moved as integers, never as floats, so that every bit survives. Each width has a
 * loop of its own text, since engines compile a function for what it has seen.
 *
 * @module
 */

import { runtime } from "../../ffi/mod.ts";

/** One side of a copy, in bytes. */
export interface Side {
  readonly view: DataView;
  /** From one row to the next. */
  readonly row: number;
  /** From one element of a row to the next. */
  readonly step: number;
}

/** How many bytes an element has, and whether they are to be reversed. */
export interface Unit {
  readonly width: number;
  readonly isSwapped: boolean;
}

/** Numbers, not objects: blocks are small, and an object for each would cost more. */
type CopyPlane = (
  to: DataView,
  toAt: number,
  toRow: number,
  toStep: number,
  from: DataView,
  fromAt: number,
  fromRow: number,
  fromStep: number,
  rows: number,
  count: number,
) => void;

/**
 * Rows and columns of a block that is copied at a time where rows are close together
 * and columns far apart: every line of memory that it touches is used as a whole before
 * it leaves the cache.
 */
const BLOCK = 32;

/** What integers of engines can address. */
const MOST = 2 ** 31 - 1;

/**
 * Copies `rows` rows of `count` elements, from byte `fromAt` to byte `toAt`. The sides
 * do not overlap.
 */
export function copyPlane(
  to: Side,
  toAt: number,
  from: Side,
  fromAt: number,
  rows: number,
  count: number,
  unit: Unit,
): void {
  const copy = copierOf(unit);
  const isAcross = Math.abs(to.row) < Math.abs(to.step) ||
    Math.abs(from.row) < Math.abs(from.step);
  const [height, length] = isAcross ? [BLOCK, BLOCK] : [rows, count];
  for (let row = 0; row < rows; row += height) {
    for (let column = 0; column < count; column += length) {
      copyBlock(
        copy,
        to,
        toAt + row * to.row + column * to.step,
        from,
        fromAt + row * from.row + column * from.step,
        Math.min(height, rows - row),
        Math.min(length, count - column),
      );
    }
  }
}

/** Copies a block, in parts if engines cannot address all of it with integers. */
function copyBlock(
  copy: CopyPlane,
  to: Side,
  toAt: number,
  from: Side,
  fromAt: number,
  rows: number,
  count: number,
): void {
  if (to.view.byteLength <= MOST && from.view.byteLength <= MOST) {
    // `| 0` changes no number. But what came out of a division, or was -0 on its way, is
    // a double even if it is whole, and a loop that was once called with doubles
    // calculates with doubles ever after: up to 20 times slower in JavaScriptCore.
    copy(
      to.view,
      toAt | 0,
      to.row | 0,
      to.step | 0,
      from.view,
      fromAt | 0,
      from.row | 0,
      from.step | 0,
      rows | 0,
      count | 0,
    );
    return;
  }
  const toPart = partOf(to, toAt, rows, count);
  const fromPart = partOf(from, fromAt, rows, count);
  if (toPart !== undefined && fromPart !== undefined) {
    copyBlock(copy, ...toPart, ...fromPart, rows, count);
  } else if (rows > 1) {
    const half = rows >> 1;
    copyBlock(copy, to, toAt, from, fromAt, half, count);
    const [toNext, fromNext] = [toAt + half * to.row, fromAt + half * from.row];
    copyBlock(copy, to, toNext, from, fromNext, rows - half, count);
  } else {
    const half = Math.floor(count / 2);
    copyBlock(copy, to, toAt, from, fromAt, 1, half);
    const [toNext, fromNext] = [
      toAt + half * to.step,
      fromAt + half * from.step,
    ];
    copyBlock(copy, to, toNext, from, fromNext, 1, count - half);
  }
}

/** A view of a block alone, and where its first element is; none if that is too large. */
function partOf(
  { view, row, step }: Side,
  at: number,
  rows: number,
  count: number,
): [Side, number] | undefined {
  const [down, along] = [(rows - 1) * row, (count - 1) * step];
  const low = at + Math.min(down, 0) + Math.min(along, 0);
  const high = at + Math.max(down, 0) + Math.max(along, 0) + 8;
  if (high - low > MOST) return undefined;
  const length = Math.min(high, view.byteLength) - low;
  const part = new DataView(view.buffer, view.byteOffset + low, length);
  return [{ view: part, row, step }, at - low];
}

// What is reversed is read in one order and written in the other.

const copy8: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt8(target, from.getInt8(source));
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const copy16: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt16(target, from.getInt16(source, true), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const swap16: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt16(target, from.getInt16(source, false), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const copy32: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt32(target, from.getInt32(source, true), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const swap32: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt32(target, from.getInt32(source, false), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const copy64: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setBigUint64(target, from.getBigUint64(source, true), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const swap64: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setBigUint64(target, from.getBigUint64(source, false), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

// JavaScriptCore makes an object of a 64-bit integer, at least now and then.

const copyHalves: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt32(target, from.getInt32(source, true), true);
      to.setInt32(target + 4, from.getInt32(source + 4, true), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

const swapHalves: CopyPlane = (
  to,
  toAt,
  toRow,
  toStep,
  from,
  fromAt,
  fromRow,
  fromStep,
  rows,
  count,
) => {
  for (let row = 0; row < rows; row++) {
    let target = toAt;
    let source = fromAt;
    for (let left = count; left > 0; left--) {
      to.setInt32(target, from.getInt32(source + 4, false), true);
      to.setInt32(target + 4, from.getInt32(source, false), true);
      target += toStep;
      source += fromStep;
    }
    toAt += toRow;
    fromAt += fromRow;
  }
};

/** The loops for each width, without and with reversing. */
type Copiers = Readonly<Record<number, readonly [CopyPlane, CopyPlane]>>;

const NARROW: Copiers = {
  1: [copy8, copy8],
  2: [copy16, swap16],
  4: [copy32, swap32],
};

function copierOf({ width, isSwapped }: Unit): CopyPlane {
  const which = isSwapped ? 1 : 0;
  if (width < 8) return NARROW[width]![which];
  const isV8 = runtime().swapInPlace === null;
  return (isV8 ? [copy64, swap64] : [copyHalves, swapHalves])[which]!;
}
