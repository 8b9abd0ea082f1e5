/**
 * Shapes and strides: the arithmetic of n-dimensional arrays, in elements.
 *
 * Pure: knows no memory and no element type. Strides are never negative, so the
 * first element is also the first in memory.
 *
 * @module
 */

/** A list of lengths, or of strides, one for each axis. */
export type Axes = readonly number[];

/**
 * Returns `shape` as a list of whole numbers. One `-1` becomes as many as
 * `available` elements are enough for.
 */
export function checkShape(
  shape: number | Axes,
  available?: number,
): Axes {
  const axes = typeof shape === "number" ? [shape] : [...shape];
  const unknown = axes.indexOf(-1);
  if (unknown !== -1 && available !== undefined) {
    const others = axes.toSpliced(unknown, 1);
    const count = others.includes(-1) ? 0 : countOf(checkShape(others));
    if (count === 0) {
      throw new RangeError(
        `The -1 of shape ${printed(axes)} could be anything.`,
      );
    }
    axes[unknown] = Math.floor(available / count);
  }
  for (const length of axes) {
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new RangeError(
        `Invalid shape ${printed(axes)}: lengths are whole numbers, 0 or more` +
          (available === undefined ? "." : ", and at most one is -1."),
      );
    }
  }
  if (!Number.isSafeInteger(countOf(axes))) {
    throw new RangeError(`Shape ${printed(axes)} has too many elements.`);
  }
  return axes.map((length) => length + 0); // never -0
}

/** How many elements a shape has. */
export function countOf(shape: Axes): number {
  return shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1);
}

/** The strides with which a shape's elements lie side by side, the last axis fastest. */
export function rowMajor(shape: Axes): Axes {
  const strides: number[] = [];
  let stride = 1;
  for (const length of shape.toReversed()) {
    strides.push(stride);
    stride *= Math.max(length, 1);
  }
  return strides.reverse();
}

/** Elements of memory from the first element to the last, including those between. */
export function spanOf(shape: Axes, strides: Axes): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis]!, 1);
}

/** Whether the elements lie side by side in row-major order. */
export function isContiguous(shape: Axes, strides: Axes): boolean {
  const [first, ...others] = mergeAxes(shape, strides);
  return first === undefined || (others.length === 0 && first.stride === 1);
}

/**
 * The strides that give the same elements another shape, in the same row-major
 * order. `undefined` if no strides do.
 */
export function reshaped(
  shape: Axes,
  strides: Axes,
  target: Axes,
): Axes | undefined {
  if (shape.includes(0)) return rowMajor(target);
  const merged = mergeAxes(shape, strides);
  const result: number[] = [];
  // From the last axis on, each new axis must divide what is left of an old one.
  let { length: left, stride } = merged.pop() ?? ONE;
  for (const length of target.toReversed()) {
    if (length !== 1) {
      if (left === 1) {
        ({ length: left, stride } = merged.pop() ?? { ...ONE, stride });
      }
      if (left % length !== 0) return undefined;
      left /= length;
    }
    result.push(stride);
    stride *= length;
  }
  return result.reverse();
}

/** One axis: how many elements, and how far each is from the next. */
interface Axis {
  length: number;
  stride: number;
}

const ONE: Readonly<Axis> = { length: 1, stride: 1 };

/** The same elements in the same order, with as few axes as their strides allow. */
function mergeAxes(shape: Axes, strides: Axes): Axis[] {
  if (shape.includes(0)) return [{ length: 0, stride: 1 }];
  const merged: Axis[] = [];
  for (const [axis, length] of shape.entries()) {
    if (length === 1) continue;
    const stride = strides[axis]!;
    const last = merged.at(-1);
    if (last?.stride === length * stride) {
      last.length *= length;
      last.stride = stride;
    } else {
      merged.push({ length, stride });
    }
  }
  return merged;
}

/**
 * Walks over the elements `begin` to `end` of the row-major order, line by line. A
 * line is a run of elements that are `stride` apart. Elements that lie side by side
 * are one line, whatever their shape.
 */
export class Lines {
  /** The axes but the last, with the line's index on each; the last of them first. */
  readonly #outer: { length: number; stride: number; index: number }[];
  /** The length of the last axis. */
  readonly #length: number;
  /** Where the line's axis begins, in elements of memory. */
  #start = 0;
  /** The first element of the next line on the last axis. */
  #column = 0;
  #left: number;
  /** Where the current line begins, in elements of memory. */
  at = 0;
  /** Elements on the current line. */
  count = 0;
  /** Elements of memory from one element of a line to the next. */
  readonly stride: number;

  constructor(shape: Axes, strides: Axes, begin: number, end: number) {
    const axes = mergeAxes(shape, strides);
    const { length, stride } = axes.pop() ?? ONE;
    this.#length = length;
    this.stride = stride;
    this.#left = end - begin;
    this.#outer = [];
    if (this.#left <= 0) return;
    this.#column = begin % length;
    let line = Math.floor(begin / length);
    for (const { length, stride } of axes.reverse()) {
      const index = line % length;
      line = Math.floor(line / length);
      this.#outer.push({ length, stride, index });
      this.#start += index * stride;
    }
  }

  /** Goes to the next line. Returns false after the last. */
  next(): boolean {
    if (this.#left <= 0) return false;
    if (this.#column === this.#length) this.#nextStart();
    this.at = this.#start + this.#column * this.stride;
    this.count = Math.min(this.#length - this.#column, this.#left);
    this.#left -= this.count;
    this.#column = this.#length;
    return true;
  }

  #nextStart(): void {
    this.#column = 0;
    for (const axis of this.#outer) {
      this.#start += axis.stride;
      if (++axis.index < axis.length) return;
      this.#start -= axis.index * axis.stride;
      axis.index = 0;
    }
  }
}

/** A shape for messages: `[512, 512]`. */
export function printed(shape: Axes): string {
  return `[${shape.map(String).join(", ")}]`;
}
