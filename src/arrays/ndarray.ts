/**
 * `NDArray`: what all arrays over slices have in common, whatever their elements are.
 *
 * Owns the way to other arrays of the same elements. Must not know what an element is.
 *
 * @module
 */

import { checkCount } from "../base/mod.ts";
import type { Axes } from "../geometry/mod.ts";
import type { MemmapSlice } from "../map/mod.ts";
import type { Kind } from "./items.ts";
import { readRange } from "./options.ts";
import type { ByteOrder } from "./type_names.ts";
import {
  cut,
  first,
  from,
  inShape,
  picked,
  stepped,
  turned,
  type View,
} from "./views.ts";
import type { Window } from "./window.ts";

/** Makes the arrays of each kind of element. The classes' own modules fill it in. */
// deno-lint-ignore no-explicit-any -- each takes the views of its own codecs
export const MAKERS: Partial<Record<Kind, (view: View<any>) => any>> = {};

/** An array of a view's elements. */
export function construct(view: View): unknown {
  return MAKERS[view.place.codec.kind]!(view);
}

/** A view's shape and strides for users. */
interface Shown {
  readonly of: View;
  readonly shape: Axes;
  readonly strides: Axes;
}

/** The window of an array; `undefined` for anything else. Asks none of its properties. */
export let windowOf: (value: unknown) => Window | undefined;

/**
 * What {@linkcode MemmapArray}, {@linkcode MemmapStrings} and
 * {@linkcode MemmapRecords} have in common: a shape, strides, and the ways to other
 * arrays of the same elements, none of which copies anything. The name is that of
 * numarray's base class and of numpy's arrays.
 *
 * An array follows its slice: after the slice was resized or flushed it works on the
 * new bytes. What other views of the same slice write, it reads.
 *
 * Everything that touches bytes throws what the slice throws: a
 * {@linkcode DeletedSliceError}, a {@linkcode ClosedError}; and a `RangeError`
 * once the slice has become too short for the array.
 */
export abstract class NDArray {
  readonly #window: Window;
  #shown: Shown | null = null;

  /** Arrays are made by `slice.array()` and its like. */
  protected constructor(window: Window) {
    this.#window = window;
  }

  static {
    windowOf = (value) =>
      typeof value === "object" && value !== null && #window in value
        ? value.#window
        : undefined;
  }

  /** The slice whose bytes these are. */
  get slice(): MemmapSlice {
    return this.#window.view.place.extent.slice;
  }

  /** Bytes of one element: numarray's and numpy's `itemsize`. */
  get itemSize(): number {
    return this.#window.codec.size;
  }

  /** Elements along each axis. */
  get shape(): readonly number[] {
    return this.#frozen.shape;
  }

  /**
   * For each axis, BYTES from one index to the next, as numarray's and numpy's. They
   * may be negative, or 0.
   */
  get strides(): readonly number[] {
    return this.#frozen.strides;
  }

  /** How many axes there are. */
  get ndim(): number {
    return this.#window.shape.length;
  }

  /** How many elements there are. */
  get size(): number {
    return this.#window.size;
  }

  /** Elements along the first axis, and 1 if there is no axis. */
  get length(): number {
    return this.#window.shape[0] ?? 1;
  }

  /**
   * Where in the slice the first element is, in bytes. With a negative stride, others
   * are before it.
   */
  get byteOffset(): number {
    return this.#window.view.place.byteOffset;
  }

  /** The elements' byte order. */
  get byteOrder(): ByteOrder {
    return this.#window.view.place.byteOrder;
  }

  /**
   * The part from `begin` to `end` of the first axis, by the rules of
   * `TypedArray.prototype.subarray`. Nothing is copied. For parts of other axes, see
   * {@linkcode NDArray.lo} and {@linkcode NDArray.hi}.
   *
   * @throws {RangeError} if the array has no axis.
   */
  subarray(begin?: number, end?: number): this {
    checkCount(arguments.length, 2, "subarray(begin, end)");
    const [first, last] = readRange(begin, end);
    return construct(cut(this.#window.view, first, last)) as this;
  }

  /**
   * The elements at an index of some axes, which the result does not have any more:
   * `a.pick(3)` is row 3 of a table, and `a.pick(null, 3)` column 3. `null` keeps an
   * axis, and so does leaving it out. scijs's `pick`, numpy's `a[3]`, `a[:, 3]`.
   * Nothing is copied.
   *
   * @throws {RangeError} if an index is not on its axis.
   */
  pick(...index: (number | null | undefined)[]): this {
    return construct(picked(this.#window.view, index)) as this;
  }

  /**
   * The elements from an index on, along each axis: `a.lo(1, 2)` is numpy's
   * `a[1:, 2:]`. `null` leaves an axis as it is. scijs's `lo`. Nothing is copied.
   *
   * @throws {RangeError} if an index is beyond the end of its axis.
   */
  lo(...begin: (number | null | undefined)[]): this {
    return construct(from(this.#window.view, begin)) as this;
  }

  /**
   * The first elements along each axis: `a.hi(2, 3)` is numpy's `a[:2, :3]`, and
   * `a.lo(1, 2).hi(2, 3)` a block of 2 rows and 3 columns. `null` leaves an axis as it
   * is. scijs's `hi`. Nothing is copied.
   *
   * @throws {RangeError} if a length is more than that of its axis.
   */
  hi(...length: (number | null | undefined)[]): this {
    return construct(first(this.#window.view, length)) as this;
  }

  /**
   * Every n-th element along each axis, from the first on, or from the last on if n is
   * negative: `a.step(2, -1)` is numpy's `a[::2, ::-1]`. `null` leaves an axis as it
   * is. scijs's `step`. Nothing is copied.
   *
   * @throws {RangeError} if a step is 0 or no whole number.
   */
  step(...steps: (number | null | undefined)[]): this {
    return construct(stepped(this.#window.view, steps)) as this;
  }

  /**
   * The same elements with the axes in another order: reversed, or as given.
   * Nothing is copied.
   *
   * @throws {RangeError} unless each axis is named once.
   */
  transpose(...axes: number[]): this {
    return construct(turned(this.#window.view, axes)) as this;
  }

  /**
   * The same elements in another shape, one length of which may be -1. Nothing
   * is copied.
   *
   * @throws {RangeError} if the number of elements differs, or if no strides
   * give that shape, as after a transpose.
   */
  reshape(...shape: number[]): this {
    return construct(inShape(this.#window.view, shape)) as this;
  }

  /** Shape and strides for users. Engines read frozen lists three times slower. */
  get #frozen(): Shown {
    const { view } = this.#window;
    if (this.#shown?.of === view) return this.#shown;
    return this.#shown = {
      of: view,
      shape: Object.freeze(view.shape.slice()),
      strides: Object.freeze(view.strides.slice()),
    };
  }
}
