/**
 * Shapes and strides: the arithmetic of n-dimensional arrays, in bytes.
 *
 * A stride is the distance from one index to the next. It may be negative, or zero,
 * or smaller than an element. Pure: knows no memory and no element type but its size.
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

/**
 * The strides with which a shape's elements of `size` bytes lie side by side, the last
 * axis fastest.
 */
export function rowMajor(shape: Axes, size: number): Axes {
  const strides: number[] = [];
  let stride = size;
  for (const length of shape.toReversed()) {
    strides.push(stride);
    stride *= Math.max(length, 1);
  }
  return strides.reverse();
}

/** The same, the first axis fastest. */
export function columnMajor(shape: Axes, size: number): Axes {
  return rowMajor(shape.toReversed(), size).toReversed();
}

/**
 * Where the elements' bytes begin and end, counted from the first element: `low` is
 * not positive. Empty arrays have none.
 */
export function boundsOf(
  shape: Axes,
  strides: Axes,
  size: number,
): { readonly low: number; readonly high: number } {
  let [low, high] = [0, 0];
  if (shape.includes(0)) return { low, high };
  for (const [axis, length] of shape.entries()) {
    const reach = (length - 1) * strides[axis]!;
    if (reach < 0) low += reach;
    else if (reach > 0) high += reach;
  }
  return { low, high: high + size };
}

/** Whether the elements lie side by side in row-major order. */
export function isContiguous(
  shape: Axes,
  strides: Axes,
  size: number,
): boolean {
  const [first, ...others] = mergeAxes(shape, strides, size);
  return first === undefined || (others.length === 0 && first.stride === size);
}

/**
 * The strides that give the same elements another shape, in the same row-major
 * order. `undefined` if no strides do.
 */
export function reshaped(
  shape: Axes,
  strides: Axes,
  target: Axes,
  size: number,
): Axes | undefined {
  if (shape.includes(0)) return rowMajor(target, size);
  const merged = mergeAxes(shape, strides, size);
  const result: number[] = [];
  // From the last axis on, each new axis must divide what is left of an old one.
  let { length: left, stride } = merged.pop() ?? { length: 1, stride: size };
  for (const length of target.toReversed()) {
    if (length !== 1) {
      if (left === 1) {
        ({ length: left, stride } = merged.pop() ?? { length: 1, stride });
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
export interface Axis {
  length: number;
  stride: number;
}

/** The same elements in the same order, with as few axes as their strides allow. */
export function mergeAxes(shape: Axes, strides: Axes, size: number): Axis[] {
  if (shape.includes(0)) return [{ length: 0, stride: size }];
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
 * line is a run of elements that are `stride` bytes apart. Elements that lie side by
 * side are one line, whatever their shape.
 */
export class Lines {
  /** The axes but the last, with the line's index on each; the last of them first. */
  readonly #outer: { length: number; stride: number; index: number }[];
  /** The length of the last axis. */
  readonly #length: number;
  /** Where the line's axis begins, in bytes from the first element. */
  #start = 0;
  /** The first element of the next line on the last axis. */
  #column = 0;
  #left: number;
  /** Where the current line begins, in bytes from the first element. */
  at = 0;
  /** Elements on the current line. */
  count = 0;
  /** Bytes from one element of a line to the next. */
  readonly stride: number;

  constructor(
    shape: Axes,
    strides: Axes,
    size: number,
    begin: number,
    end: number,
  ) {
    const axes = mergeAxes(shape, strides, size);
    const { length, stride } = axes.pop() ?? { length: 1, stride: size };
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
