/**
 * Boxes: a part of an array in row-major order, as blocks that can be copied in any
 * order.
 *
 * A range of flat indices need not be a block: it may begin and end within a row. It
 * is at most two blocks an axis, less one. Pure arithmetic, in bytes.
 *
 * @module
 */

import { type Axes, type Axis, mergeAxes } from "./shape.ts";

/** One axis of a box, on both sides of a copy. */
export interface BoxAxis {
  readonly length: number;
  /** Bytes from one index to the next, where the elements are apart. */
  readonly stride: number;
  /** The same where they lie side by side. */
  readonly packed: number;
}

/** A block of elements. */
export interface Box {
  /** Where its first element is, in bytes from the array's first. */
  readonly at: number;
  /** Where it is among the packed elements of the range, in bytes. */
  readonly packedAt: number;
  /** Its axes, of which none has the length 1; the last is the fastest. */
  readonly axes: readonly BoxAxis[];
}

/** The boxes of the elements `begin` to `end` of an array of elements of `size` bytes. */
export function boxesOf(
  shape: Axes,
  strides: Axes,
  size: number,
  begin: number,
  end: number,
): Box[] {
  const boxes: Box[] = [];
  if (begin >= end) return boxes;
  const axes = mergeAxes(shape, strides, size);
  addBoxes(boxes, axes, size, { depth: 0, at: 0, begin, end, packedAt: 0 });
  return boxes;
}

/** The elements `begin` to `end` of the axes from `depth` on. */
interface Part {
  readonly depth: number;
  readonly at: number;
  readonly begin: number;
  readonly end: number;
  readonly packedAt: number;
}

function addBoxes(
  boxes: Box[],
  axes: readonly Axis[],
  size: number,
  { depth, at, begin, end, packedAt }: Part,
): void {
  const axis = axes[depth];
  if (axis === undefined) {
    boxes.push({ at, packedAt, axes: [] });
    return;
  }
  const inner = axes.slice(depth + 1);
  const each = inner.reduce((count, { length }) => count * length, 1);
  const first = Math.floor(begin / each);
  const last = Math.floor(end / each); // it may be cut, or empty
  const within = (index: number, from: number, to: number, done: number) => {
    if (from === to) return;
    addBoxes(boxes, axes, size, {
      depth: depth + 1,
      at: at + index * axis.stride,
      begin: from,
      end: to,
      packedAt: packedAt + done * size,
    });
  };
  const [head, tail] = [begin - first * each, end - last * each];
  if (first === last) return within(first, head, tail, 0);
  const whole = head === 0 ? first : first + 1;
  if (whole > first) within(first, head, each, 0);
  if (last > whole) {
    const count = last - whole;
    boxes.push({
      at: at + whole * axis.stride,
      packedAt: packedAt + (whole * each - begin) * size,
      axes: packed([{ length: count, stride: axis.stride }, ...inner], size),
    });
  }
  within(last, 0, tail, last * each - begin);
}

/** The axes with their strides where the elements lie side by side. */
function packed(axes: readonly Axis[], size: number): BoxAxis[] {
  const result: BoxAxis[] = [];
  let stride = size;
  for (const axis of axes.toReversed()) {
    if (axis.length !== 1) result.push({ ...axis, packed: stride });
    stride *= axis.length;
  }
  return result.reverse();
}
