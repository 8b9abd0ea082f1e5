/**
 * Shapes and strides: the arithmetic of n-dimensional arrays, in elements.
 *
 * Pure: knows no memory and no element type. Strides are never negative, so that
 * the first element is also the first in memory.
 *
 * @module
 */

/** A list of lengths, or of strides, one for each axis. */
export type Axes = readonly number[];

/**
 * Answers `shape` as a list of whole numbers; one `-1` becomes as many as
 * `available` elements are enough for.
 */
export function checkShape(
  shape: number | Axes,
  available?: number,
): Axes {
  const axes = typeof shape === "number" ? [shape] : Array.from(shape);
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
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = strides[axis + 1] * Math.max(shape[axis + 1], 1);
  }
  return strides;
}

/** Elements from the first to the last in memory, and what lies between. */
export function spanOf(shape: Axes, strides: Axes): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis], 1);
}

/** Do the elements lie side by side in row-major order? */
export function isContiguous(shape: Axes, strides: Axes): boolean {
  const merged = mergeAxes(shape, strides);
  return merged.shape.length === 0 ||
    (merged.shape.length === 1 && merged.strides[0] === 1);
}

/**
 * The strides with which the same elements have another shape, in the same
 * row-major order; `undefined` where no strides do that.
 */
export function reshaped(
  shape: Axes,
  strides: Axes,
  target: Axes,
): Axes | undefined {
  if (shape.includes(0)) return rowMajor(target);
  const merged = mergeAxes(shape, strides);
  const result = target.map(() => 1);
  // From the last axis on: each new axis must divide what is left of an old one.
  let from = merged.shape.length - 1;
  let left = from >= 0 ? merged.shape[from] : 1;
  let stride = from >= 0 ? merged.strides[from] : 1;
  for (let axis = target.length - 1; axis >= 0; axis--) {
    const length = target[axis];
    if (length === 1) {
      result[axis] = stride;
      continue;
    }
    if (left === 1 && from > 0) {
      from--;
      [left, stride] = [merged.shape[from], merged.strides[from]];
    }
    if (left % length !== 0) return undefined;
    result[axis] = stride;
    stride *= length;
    left /= length;
  }
  return result;
}

/** The same elements in the same order with as few axes as their strides allow. */
function mergeAxes(
  shape: Axes,
  strides: Axes,
): { shape: number[]; strides: number[] } {
  if (shape.includes(0)) return { shape: [0], strides: [1] };
  const merged = { shape: [] as number[], strides: [] as number[] };
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis] === 1) continue;
    const last = merged.shape.length - 1;
    if (
      last >= 0 && merged.strides[last] === shape[axis] * strides[axis]
    ) {
      merged.shape[last] *= shape[axis];
      merged.strides[last] = strides[axis];
    } else {
      merged.shape.push(shape[axis]);
      merged.strides.push(strides[axis]);
    }
  }
  return merged;
}

/**
 * Walks over the elements `begin` to `end` of the row-major order, line by line:
 * a line is a run of elements that are `stride` apart. What lies side by side is
 * one line, whatever its shape.
 */
export class Lines {
  readonly #shape: readonly number[];
  readonly #strides: readonly number[];
  /** Where the line is on the axes but the last. */
  readonly #index: number[];
  /** Where the line begins, in elements of memory. */
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
    const merged = mergeAxes(shape, strides);
    if (merged.shape.length === 0) {
      merged.shape.push(1);
      merged.strides.push(1);
    }
    this.#shape = merged.shape;
    this.#strides = merged.strides;
    this.#left = end - begin;
    const last = merged.shape.length - 1;
    this.stride = merged.strides[last];
    this.#index = merged.shape.slice(0, last);
    if (this.#left <= 0) return;
    this.#column = begin % merged.shape[last];
    let line = Math.floor(begin / merged.shape[last]);
    for (let axis = last - 1; axis >= 0; axis--) {
      this.#index[axis] = line % merged.shape[axis];
      line = Math.floor(line / merged.shape[axis]);
      this.#start += this.#index[axis] * merged.strides[axis];
    }
  }

  /** Goes to the next line; false after the last. */
  next(): boolean {
    if (this.#left <= 0) return false;
    const length = this.#shape[this.#shape.length - 1];
    if (this.#column === length) this.#nextStart();
    this.at = this.#start + this.#column * this.stride;
    this.count = Math.min(length - this.#column, this.#left);
    this.#left -= this.count;
    this.#column = length;
    return true;
  }

  #nextStart(): void {
    this.#column = 0;
    for (let axis = this.#index.length - 1; axis >= 0; axis--) {
      this.#start += this.#strides[axis];
      if (++this.#index[axis] < this.#shape[axis]) return;
      this.#start -= this.#index[axis] * this.#strides[axis];
      this.#index[axis] = 0;
    }
  }
}

/** A shape for messages: `[512, 512]`. */
export function printed(shape: Axes): string {
  return `[${shape.map(String).join(", ")}]`;
}
