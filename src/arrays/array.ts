/**
 * `MemmapArray`: one slice's bytes as a typed, shaped array.
 *
 * The array keeps no bytes. It asks its slice for the newest ones whenever those
 * that it saw last are gone; elements are read and written by `codecs.ts`, moved
 * in bulk by `byteswap.ts`, and found by `shape.ts`.
 *
 * @module
 */

import { checkAttached } from "../base/mod.ts";
import { adviseHuge, copyElement, copySwapped, viewOf } from "./byteswap.ts";
import {
  type ByteOrder,
  checkElement,
  type DType,
  type DTypeOf,
  type Element,
  type ElementType,
  NATIVE,
  parseTypeName,
  type TypedArrayOf,
  type TypeName,
  type Values,
  type ValuesConstructor,
} from "./codecs.ts";
import type { SliceExtent } from "../map/mod.ts";
import { printAsString } from "../base/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import { checkOffset, clampRange } from "../base/mod.ts";
import { printArray } from "./print.ts";
import {
  type Axes,
  checkShape,
  countOf,
  isContiguous,
  Lines,
  printed,
  reshaped,
  rowMajor,
  spanOf,
} from "../geometry/mod.ts";
import type { MemmapSlice } from "../map/mod.ts";

/** Options of {@linkcode MemmapSlice.array}. */
export interface ArrayOptions {
  /**
   * Elements along each axis. One length may be -1: as many as fit. The default
   * is one axis, of as many whole elements as fit.
   */
  shape?: number | readonly number[];
  /** The elements' byte order; the machine's by default. */
  byteOrder?: ByteOrder;
  /**
   * Where in the slice the first element is, in bytes: any value, aligned or
   * not. Negative ones count from the slice's end.
   */
  byteOffset?: number;
}

/** What an array is a view of: a place in a slice, and how its bytes are read. */
interface Place {
  readonly slice: MemmapSlice;
  readonly extent: SliceExtent;
  readonly type: ElementType;
  readonly byteOrder: ByteOrder;
  readonly byteOffset: number;
}

/** A number of an index or, behind those, the value: TypeScript cannot say which. */
// deno-lint-ignore no-explicit-any
type Any = any;

/** What an array's view is where a view of the whole is not wanted. */
const NO_BYTES: DataView = new DataView(new ArrayBuffer(0));

/**
 * Open for 0, closed for any other number of faults: there is one byte here, and
 * to read another throws. A plain `if` would do, but V8 lifts what does not change
 * out of a loop only where no branch leads out of it, and is three times slower.
 * JavaScriptCore lifts the number itself out of a loop of nothing but reads; to make
 * it look each time costs 30 % of them.
 */
const GATE: DataView = new DataView(new ArrayBuffer(1));

/** Elements converted at a time where they go through memory of our own. */
const PIECE = 4096;

/** Creates an array over a slice; {@linkcode MemmapArray}'s constructor is private. */
export function makeArray<N extends TypeName>(
  slice: MemmapSlice,
  extent: SliceExtent,
  name: N,
  options: ArrayOptions,
): MemmapArray<DTypeOf<N>> {
  const [type, signed] = parseTypeName(name);
  const byteOrder = checkByteOrder(name, signed, options.byteOrder);
  const byteOffset = checkOffset(
    options.byteOffset ?? 0,
    extent.length,
    "slice",
  );
  const room = extent.length - byteOffset;
  const available = Math.floor(room / type.size);
  const shape = checkShape(options.shape ?? available, available);
  const place = { slice, extent, type, byteOrder, byteOffset };
  checkFits(shape, countOf(shape), place);
  return construct<DTypeOf<N>>(place, shape, rowMajor(shape));
}

let construct: <T extends DType>(
  place: Place,
  shape: Axes,
  strides: Axes,
) => MemmapArray<T>;

/**
 * A typed, shaped view of one slice: numarray's arrays on portable binary files,
 * misaligned and in either byte order.
 *
 * Made by {@linkcode MemmapSlice.array}. Elements are numbers, bigints for 64-bit
 * integers, booleans for `bool`. The array follows its slice: after the slice was
 * resized or flushed it works on the new bytes. What other views of the same
 * slice write, it reads.
 *
 * Flat indices count elements in row-major order, the last axis fastest.
 *
 * Everything that touches bytes throws what the slice throws: a
 * {@linkcode DeletedSliceError}, a {@linkcode ClosedError}; and a `RangeError`
 * once the slice has become too short for the array.
 *
 * @example
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * using map = open("example.dat", "w+", { length: 48 });
 * const a = map.slice(0, 16).array("Int32");
 * a.fill(0).apply((x) => x + 1);
 * a.resize(6);
 * assert.equal(String(a), "array([1, 1, 1, 1, 0, 0], type=Int32)");
 * map.flush();
 * assert.equal(map.length, 56);
 * ```
 */
export class MemmapArray<T extends DType = DType>
  implements Iterable<Element<T>> {
  readonly #place: Place;
  readonly #type: ElementType;
  readonly #isLittle: boolean;
  #shape: Axes;
  #strides: Axes;
  #size: number;
  /** The array's bytes, detached once they are elsewhere; see SliceExtent.ownView. */
  #values: DataView<ArrayBuffer>;
  /** The same if there is one axis, else no bytes; see the classes at the end. */
  #vector: DataView = NO_BYTES;
  /** The same if they may be written, too. */
  #writable: DataView = NO_BYTES;
  /** Bytes from one element to the next, if there is one axis. */
  #step = 0;
  /** The memory that the bytes are in, and how many of its pages were found lost. */
  #memory: Mapping;
  #faults: Int32Array;
  #data: Values | null = null;
  #shown: { shape: Axes; strides: Axes } | null = null;

  private constructor(place: Place, shape: Axes, strides: Axes) {
    this.#place = place;
    this.#type = place.type;
    this.#isLittle = place.byteOrder === "little";
    this.#shape = shape;
    this.#strides = strides;
    this.#size = countOf(shape);
    this.#memory = place.extent.mapping;
    this.#faults = this.#memory.faultCount;
    this.#values = this.#lookAgain();
  }

  /** The slice whose bytes these are. */
  get slice(): MemmapSlice {
    return this.#place.slice;
  }

  /** The elements' type, by its canonical name. */
  get dtype(): T {
    return this.#place.type.name as T;
  }

  /** The elements' byte order. */
  get byteOrder(): ByteOrder {
    return this.#place.byteOrder;
  }

  /** Bytes of one element. */
  get itemSize(): number {
    return this.#place.type.size;
  }

  /** Elements along each axis. */
  get shape(): readonly number[] {
    return this.#frozen.shape;
  }

  /** For each axis, elements of memory from one index to the next. */
  get strides(): readonly number[] {
    return this.#frozen.strides;
  }

  /** How many axes there are. */
  get ndim(): number {
    return this.#shape.length;
  }

  /** How many elements there are. */
  get size(): number {
    return this.#size;
  }

  /** Where in the slice the first element is, in bytes. */
  get byteOffset(): number {
    return this.#place.byteOffset;
  }

  /**
   * The elements as a typed array over the same memory, or `null` where there
   * cannot be one: where the byte order is not the machine's, or `byteOffset` is
   * no multiple of the element's size. Element `(i, j)` is
   * `data[i * strides[0] + j * strides[1]]`.
   *
   * The same object until the slice's bytes move, which detaches it.
   */
  get data(): TypedArrayOf<T> | null {
    const { buffer } = this.#place.slice;
    const { type, byteOffset } = this.#place;
    this.#look(); // that the array is within it
    if (!this.#isNative || byteOffset % type.size !== 0) return null;
    const length = spanOf(this.#shape, this.#strides);
    if (this.#data?.buffer !== buffer || this.#data.length !== length) {
      // Without elements, byteOffset may lie behind a slice that was cut short.
      const at = length === 0 ? 0 : byteOffset;
      this.#data = new type.Values(buffer, at, length);
    }
    return this.#data as TypedArrayOf<T>;
  }

  /**
   * The element at an index, which has a number for each axis.
   *
   * In Bun, a loop of nothing but reads may be compiled so that it looks once, and
   * not for each element, whether pages were lost ({@linkcode Memmap.faults}): what
   * comes after the loop throws then.
   *
   * @throws {RangeError} if it is none of the array's.
   */
  get(...index: number[]): Element<T>;
  get(i: number, j?: number, k?: number, ...more: number[]): Element<T> {
    return this.#read(this.#locate(i, j, k, more));
  }

  /**
   * Sets the element at an index to the last argument: `a.set(i, j, value)`.
   * Integers wrap as those of typed arrays do.
   *
   * @throws {RangeError} if the index is none of the array's.
   * @throws {TypeError} if the value is not of the element's kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  set(...indexThenValue: [...index: number[], value: Element<T>]): void;
  set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
    this.#setAny(arguments.length, i, j, k, more);
  }

  /**
   * Sets every element to `value`.
   *
   * @throws {TypeError} if the value is not of the element's kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  fill(value: Element<T>): this {
    this.#edit();
    const { type } = this.#place;
    checkElement(type, value);
    const piece = new type.Values(Math.min(PIECE, this.#size));
    (piece as Values & { fill(value: unknown): void }).fill(
      type.typeOf === "boolean" ? Number(value) : value,
    );
    for (let at = 0; at < this.#size; at += piece.length) {
      const left = this.#size - at;
      this.#store(left < piece.length ? piece.subarray(0, left) : piece, at);
    }
    return this;
  }

  /**
   * Sets every element, in place, to what `f` makes of it and its flat index.
   * numarray's `a += 1` is `a.apply((x) => x + 1)`.
   *
   * @throws {TypeError} if `f` answers something of another kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  apply(f: (value: Element<T>, flatIndex: number) => Element<T>): this {
    this.#edit();
    const lines = new Lines(this.#shape, this.#strides, 0, this.#size);
    const memory = this.#flat();
    let flatIndex = 0;
    while (lines.next()) {
      let { at } = lines;
      for (let left = lines.count; left > 0; left--) {
        memory.set(at, f(memory.get(at), flatIndex++));
        at += lines.stride;
      }
    }
    return this;
  }

  /**
   * A copy of the elements `begin` to `end` (flat; by the rules of
   * `TypedArray.prototype.slice`) in the machine's byte order.
   */
  toTypedArray(begin = 0, end: number = this.#size): TypedArrayOf<T> {
    this.#look();
    const [from, to] = clampRange(begin, end, this.#size);
    const copy = new this.#place.type.Values(to - from);
    const bytes = bytesOf(copy);
    adviseHuge(bytes);
    this.#load(bytes, from);
    return copy as TypedArrayOf<T>;
  }

  /**
   * Copies the elements `begin` to `end` (as in
   * {@linkcode MemmapArray.toTypedArray}), or as many as fit, to the start of
   * `target`, in the machine's byte order.
   *
   * @returns how many elements were copied.
   * @throws {TypeError} if the target's type is not the array's.
   */
  copyTo(
    target: TypedArrayOf<T, ArrayBufferLike>,
    begin = 0,
    end: number = this.#size,
  ): number {
    const { buffer } = this.#place.slice;
    const { type } = this.#place;
    if (!isValuesOf(target, type)) {
      throw new TypeError(
        `The target of copyTo() must be a ${
          nameOf(type)
        }, the array's own type.`,
      );
    }
    const [from, to] = clampRange(begin, end, this.#size);
    const count = Math.min(to - from, target.length);
    if (target.buffer === buffer) {
      // The target is this slice's memory too.
      const copy = new type.Values(count);
      this.#load(bytesOf(copy), from);
      bytesOf(target).set(bytesOf(copy));
    } else {
      this.#load(bytesOf(target).subarray(0, count * type.size), from);
    }
    return count;
  }

  /**
   * Copies all of `source` here, from flat index `offset` on. Between arrays and
   * typed arrays of the same element type, bits are kept; other values are
   * converted as typed arrays convert.
   *
   * A source that is this very memory is copied first.
   *
   * @throws {RangeError} if it does not fit; nothing is written then.
   * @throws {TypeError} if elements are not of the array's kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  copyFrom(
    source:
      | ArrayLike<Element<T>>
      | TypedArrayOf<T, ArrayBufferLike>
      | MemmapArray,
    offset = 0,
  ): this {
    this.#edit();
    const { type } = this.#place;
    const count = source instanceof MemmapArray
      ? source.size
      : lengthOf(source);
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new RangeError(`Invalid offset ${offset} of elements.`);
    }
    if (count > this.#size - offset) {
      throw new RangeError(
        `${count} elements do not fit at ${offset} into an array of ` +
          `${this.#size}.`,
      );
    }
    if (source instanceof MemmapArray) {
      this.#copyArray(source, offset);
      return this;
    }
    if (ArrayBuffer.isView(source)) checkAttached(source);
    const isOwn = ArrayBuffer.isView(source) &&
      source.buffer === this.#place.slice.buffer;
    this.#place.extent.copyChecked(() => {
      const values = isOwn ? copyOf(source) : source;
      if (isValuesOf(values, type)) this.#store(values, offset);
      else this.#copyElements((i) => values[i] as Element<T>, count, offset);
    });
    return this;
  }

  /**
   * The part from `begin` to `end` of the first axis, by the rules of
   * `TypedArray.prototype.subarray`. Nothing is copied. For a part of the second
   * axis as well: `a.subarray(2, 4).transpose().subarray(1, 3).transpose()`.
   *
   * @throws {RangeError} if the array has no axis.
   */
  subarray(begin = 0, end: number = this.#shape[0]): MemmapArray<T> {
    if (this.ndim === 0) {
      throw new RangeError("An array without axes has no subarray.");
    }
    const [from, to] = clampRange(begin, end, this.#shape[0]);
    const { type, byteOffset } = this.#place;
    const skipped = from * this.#strides[0] * type.size;
    const place = { ...this.#place, byteOffset: byteOffset + skipped };
    const shape = [to - from, ...this.#shape.slice(1)];
    return construct(place, shape, this.#strides);
  }

  /**
   * The same elements with the axes in another order: reversed, or as given.
   * Nothing is copied.
   *
   * @throws {RangeError} unless each axis is named once.
   */
  transpose(...axes: number[]): MemmapArray<T> {
    const all = this.#shape.map((_, axis) => axis);
    const order = axes.length === 0 ? all.toReversed() : axes;
    if (
      order.length !== all.length || !all.every((axis) => order.includes(axis))
    ) {
      throw new RangeError(
        `transpose(${axes.join(", ")}) must name each of the axes ` +
          `${printed(all)} once.`,
      );
    }
    return construct(
      this.#place,
      order.map((axis) => this.#shape[axis]),
      order.map((axis) => this.#strides[axis]),
    );
  }

  /**
   * The same elements in another shape, one length of which may be -1. Nothing
   * is copied.
   *
   * @throws {RangeError} if the number of elements differs, or if no strides
   * give that shape, as after a transpose.
   */
  reshape(...shape: number[]): MemmapArray<T> {
    if (shape.some((length) => typeof length === "object")) {
      throw new TypeError("reshape() takes lengths one by one: reshape(2, 3).");
    }
    const target = checkShape(shape, this.#size);
    if (countOf(target) !== this.#size) {
      throw new RangeError(
        `${this.#size} elements do not have shape ${printed(shape)}.`,
      );
    }
    const strides = reshaped(this.#shape, this.#strides, target);
    if (strides === undefined) {
      throw new RangeError(
        `Shape ${printed(shape)} needs a copy, since the elements do not lie ` +
          "side by side; use toTypedArray().",
      );
    }
    return construct(this.#place, target, strides);
  }

  /**
   * Gives the array another shape, of more or fewer elements, and resizes the
   * slice with it: elements keep their flat index, new ones are 0. Bytes of the
   * slice behind the array stay behind it.
   *
   * The slice floats from then on, if the number of elements changes. The other
   * arrays of this slice stay at their byte offsets.
   *
   * @throws {RangeError} if the elements do not lie side by side.
   * @throws {ReadonlyError} in mode `r`.
   */
  resize(shape: number | readonly number[]): this {
    this.#edit();
    if (arguments.length > 1) {
      throw new TypeError("resize() takes one shape: resize([2, 3]).");
    }
    const target = checkShape(shape);
    if (!isContiguous(this.#shape, this.#strides)) {
      throw new RangeError(
        "The elements of this array do not lie side by side; resize the one " +
          "that it was made of.",
      );
    }
    const { slice, type, byteOffset } = this.#place;
    const before = this.#size * type.size;
    const after = countOf(target) * type.size;
    const change = Math.abs(after - before);
    if (byteOffset + before === slice.length) slice.resize(byteOffset + after);
    else if (after > before) slice.splice(byteOffset + before, 0, change);
    else if (after < before) slice.splice(byteOffset + after, change);
    this.#shown = null;
    this.#shape = target;
    this.#strides = rowMajor(target);
    this.#size = countOf(target);
    this.#lookAgain();
    return this;
  }

  /**
   * The elements in row-major order, each as it is when its turn comes. To
   * allocate nothing, `next()` answers the same object each time: read it before
   * you call again, as `for…of` and spread do.
   */
  [Symbol.iterator](): IteratorObject<Element<T>, undefined> {
    const lines = new Lines(this.#shape, this.#strides, 0, this.#size);
    // Not a whole number, so that V8 makes room for any: a later change of the
    // kind would cost the boxes again.
    const first = this.#type.typeOf === "number" ? 0.5 : undefined;
    const walk: unknown = new Walk<T>(this.#flat(), lines, first as Element<T>);
    return walk as IteratorObject<Element<T>, undefined>;
  }

  /**
   * `array([1, 1, 1, 1], type=Int32)`: numarray's form, laid out as numpy lays
   * it out. Of more than 1000 elements, those in the middle are left out.
   */
  toString(): string {
    const { type, slice, extent } = this.#place;
    const { state } = slice;
    if (state === "deleted" || state === "closed") {
      return `<MemmapArray of a ${state} slice>`;
    }
    if (extent.hasLostBytes) {
      return "<MemmapArray of lost bytes>";
    }
    const span = spanOf(this.#shape, this.#strides);
    if (!isWithin(span, this.#place)) {
      return "<MemmapArray beyond the end of its slice>";
    }
    return printArray({
      shape: this.#shape,
      typeName: type.title,
      kind: type.kind,
      round: rounding(type),
      at: (index) => this.get(...index),
    });
  }

  /** Shape and strides for users: engines read frozen lists three times slower. */
  get #frozen(): { shape: Axes; strides: Axes } {
    return this.#shown ??= {
      shape: Object.freeze(this.#shape.slice()),
      strides: Object.freeze(this.#strides.slice()),
    };
  }

  /** Do the bytes of an element lie as the machine has them? */
  get #isNative(): boolean {
    const { type, byteOrder } = this.#place;
    return byteOrder === NATIVE || type.size === 1;
  }

  /** All elements of memory from the first to the last, side by side, as an array. */
  #flat(): MemmapArray<T> {
    const length = spanOf(this.#shape, this.#strides);
    return construct<T>(this.#place, [length], [1]);
  }

  /** The array's bytes, wherever they are now. */
  #look(): DataView<ArrayBuffer> {
    // An array without bytes has nothing that could be detached.
    if (this.#values.buffer.detached || this.#memory.isReleased) {
      return this.#lookAgain();
    }
    this.#memory.checkFaults();
    return this.#values;
  }

  #lookAgain(): DataView<ArrayBuffer> {
    const { slice, extent, type, byteOffset } = this.#place;
    const { writable } = slice; // what is wrong with the slice, it says itself
    const span = spanOf(this.#shape, this.#strides);
    checkFits(this.#shape, span, this.#place);
    const { mapping, buffer } = extent.ownView();
    // An array of no elements may have been left behind by a slice cut short.
    const at = Math.min(byteOffset, buffer.byteLength);
    const values = new DataView(buffer, at, span * type.size);
    this.#memory = mapping;
    this.#faults = mapping.faultCount;
    this.#values = values;
    this.#vector = this.ndim === 1 ? values : NO_BYTES;
    this.#writable = writable ? this.#vector : NO_BYTES;
    this.#step = this.ndim === 1 ? this.#strides[0] * type.size : 0;
    return values;
  }

  /**
   * Reads the element at byte `at` of the array. Nothing is looked up first: a
   * view that is no longer right is detached, and finds that out by itself.
   */
  #read(at: number): Element<T> {
    const { read } = this.#type;
    let value: Element<T>;
    try {
      value = read(this.#values, at, this.#isLittle) as Element<T>;
    } catch (error) {
      if (!this.#values.buffer.detached) throw error;
      value = read(this.#look(), at, this.#isLittle) as Element<T>;
    }
    if (this.#faults[0] !== 0) this.#memory.checkFaults();
    return value;
  }

  /** Sets an element; the last of `count` arguments is the value. */
  #setAny(count: number, i: Any, j: Any, k: Any, more: Any[]): void {
    if (count === 2) {
      this.#write(this.#locate(i, undefined, undefined, []), j);
    } else if (count === 3) {
      this.#write(this.#locate(i, j, undefined, []), k);
    } else if (count < 2) {
      this.#write(this.#locate(undefined, undefined, undefined, []), i);
    } else {
      const value = more.pop();
      this.#write(this.#locate(i, j, k, more), value);
    }
  }

  /** Writes the element at byte `at` of the array. */
  #write(at: number, value: Element<T>): void {
    const values = this.#edit();
    checkElement(this.#type, value);
    this.#type.write(values, at, value, this.#isLittle);
    if (this.#faults[0] !== 0) this.#memory.checkFaults();
  }

  /** The array's bytes, to be written. */
  #edit(): DataView<ArrayBuffer> {
    const values = this.#look();
    this.#place.extent.checkEditable();
    return values;
  }

  /**
   * The byte of the element at an index. Up to three numbers come one by one,
   * since a list of them would be made for every element.
   */
  #locate(
    i: number | undefined,
    j: number | undefined,
    k: number | undefined,
    more: readonly number[],
  ): number {
    const axes = this.#shape.length;
    const count = i === undefined
      ? 0
      : j === undefined
      ? 1
      : k === undefined
      ? 2
      : 3 + more.length;
    if (count !== axes) this.#refuse([i, j, k, ...more].slice(0, count));
    let at = 0;
    if (count > 0) at += this.#along(0, i!);
    if (count > 1) at += this.#along(1, j!);
    if (count > 2) at += this.#along(2, k!);
    for (let axis = 3; axis < axes; axis++) {
      at += this.#along(axis, more[axis - 3]);
    }
    return at;
  }

  /** Bytes from the first element to that at `index` along an axis. */
  #along(axis: number, index: number): number {
    const length = this.#shape[axis];
    if (!(index >= 0 && index < length && Math.floor(index) === index)) {
      throw new RangeError(
        `Index ${
          String(index)
        } is not on axis ${axis}, whose length is ${length}, ` +
          `of an array of shape ${printed(this.#shape)}.`,
      );
    }
    return index * this.#strides[axis] * this.#type.size;
  }

  #refuse(index: readonly unknown[]): never {
    throw new RangeError(
      `An array of shape ${printed(this.#shape)} has no element at index ` +
        `[${index.map(shownIndex).join(", ")}]: it takes ${this.ndim} numbers.`,
    );
  }

  /** Copies elements from flat index `begin` on to all of `to`, bit by bit. */
  #load(to: Uint8Array, begin: number): void {
    const { size } = this.#place.type;
    const from = bytesOf(this.#look());
    const end = begin + to.length / size;
    this.#checkEnd(end);
    const lines = new Lines(this.#shape, this.#strides, begin, end);
    for (let at = 0; lines.next(); at += lines.count * size) {
      const [begin, step] = [lines.at * size, lines.stride * size];
      this.#copyLine(to, at, size, from, begin, step, lines.count);
    }
    this.#memory.checkFaults();
  }

  /** Copies all of `source`, which is no memory of this slice, to flat index `begin` on. */
  #store(source: Values<ArrayBufferLike>, begin: number): void {
    const { size } = this.#place.type;
    const to = bytesOf(this.#edit());
    const from = bytesOf(source);
    const end = begin + from.length / size;
    this.#checkEnd(end);
    const lines = new Lines(this.#shape, this.#strides, begin, end);
    for (let at = 0; lines.next(); at += lines.count * size) {
      const [begin, step] = [lines.at * size, lines.stride * size];
      this.#copyLine(to, begin, step, from, at, size, lines.count);
    }
    this.#memory.checkFaults();
  }

  /** Throws if the array has become shorter: to look at an argument may run code. */
  #checkEnd(end: number): void {
    if (end <= this.#size) return;
    throw new RangeError(
      `The array was resized meanwhile, to ${this.#size} elements.`,
    );
  }

  /** Copies elements that are as many bytes apart as the steps say. */
  #copyLine(
    to: Uint8Array,
    toAt: number,
    toStep: number,
    from: Uint8Array,
    fromAt: number,
    fromStep: number,
    count: number,
  ): void {
    const { size } = this.#place.type;
    if (toStep === size && fromStep === size) {
      const source = from.subarray(fromAt, fromAt + count * size);
      if (this.#isNative) to.set(source, toAt);
      else {copySwapped(
          to.subarray(toAt, toAt + source.length),
          source,
          size,
        );}
      return;
    }
    const [target, source] = [viewOf(to), viewOf(from)];
    const isSwapped = !this.#isNative;
    for (; count > 0; count--) {
      copyElement(target, toAt, source, fromAt, size, isSwapped);
      toAt += toStep;
      fromAt += fromStep;
    }
  }

  /** Copies all elements of another array; of the same type, bit by bit. */
  #copyArray(source: MemmapArray, offset: number): void {
    const { type, extent } = this.#place;
    // A copy of all of it, where storing the first piece could change the rest.
    const isOwn = source.#place.extent === extent;
    const piece = isOwn ? source.size : PIECE;
    for (let at = 0; at < source.size; at += piece) {
      const values = source.toTypedArray(at, at + piece);
      if (source.dtype === type.name) this.#store(values, offset + at);
      else {
        const isBoolean = source.dtype === "bool";
        this.#copyElements(
          (i) => (isBoolean ? values[i] !== 0 : values[i]) as Element<T>,
          values.length,
          offset + at,
        );
      }
    }
  }

  /** Copies elements one by one, each checked. */
  #copyElements(
    element: (i: number) => Element<T>,
    count: number,
    offset: number,
  ): void {
    const { type } = this.#place;
    const piece = new type.Values(Math.min(PIECE, count));
    for (let at = 0; at < count; at += piece.length) {
      const length = Math.min(piece.length, count - at);
      for (let i = 0; i < length; i++) {
        const value = element(at + i);
        checkElement(type, value);
        piece[i] = typeof value === "boolean" ? Number(value) : value;
      }
      this.#store(piece.subarray(0, length), offset + at);
    }
  }

  // One class for each element type, with the two methods that loops call, made
  // for arrays of one axis. Why so much of the same: engines compile a method for
  // what it has seen, so that one for all types is fast until a program uses a
  // second type, and then three times slower for all of them.
  //
  // And why so bare: a read from memory takes long, and the processor starts the
  // next ones meanwhile, as far as it can see ahead. In a loop, what is asked here
  // is known beforehand and compiles to nothing: that `i` is a whole number, and
  // that there is no second one. All else is found out by the DataView, which
  // throws where there is no such element, where the bytes have moved, and where
  // there is more than one axis, since it has no bytes then; and at the gate, behind
  // the access, which may have been the one that found its page lost. The way of
  // all, `#locate` and `#read`, comes after that, and knows why. The `+`, and the
  // `BigInt.asIntN`, say of it that it answers the same kind of number; without
  // them V8 puts each element into a box. And `+ 0` makes of -0 a plain 0, which
  // spares the engines looking for it.
  static {
    const classes: Record<DType, unknown> = {
      bool: class extends MemmapArray<"bool"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): boolean {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getUint8(i * this.#step + 0) !== 0;
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], boolean]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (
            k === undefined && typeof j === "boolean" && Math.floor(i) === i
          ) {
            try {
              this.#writable.setUint8(i * this.#step + 0, j ? 1 : 0);
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      int8: class extends MemmapArray<"int8"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getInt8(i * this.#step + 0);
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setInt8(i * this.#step + 0, j);
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      uint8: class extends MemmapArray<"uint8"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getUint8(i * this.#step + 0);
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setUint8(i * this.#step + 0, j);
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      int16: class extends MemmapArray<"int16"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getInt16(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setInt16(i * this.#step + 0, j, this.#isLittle);
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      uint16: class extends MemmapArray<"uint16"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getUint16(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setUint16(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      int32: class extends MemmapArray<"int32"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getInt32(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setInt32(i * this.#step + 0, j, this.#isLittle);
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      uint32: class extends MemmapArray<"uint32"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getUint32(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setUint32(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      int64: class extends MemmapArray<"int64"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): bigint {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getBigInt64(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return BigInt.asIntN(64, this.#read(this.#locate(i, j, k, more)));
        }

        override set(...indexThenValue: [...number[], bigint]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "bigint" && Math.floor(i) === i) {
            try {
              this.#writable.setBigInt64(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      uint64: class extends MemmapArray<"uint64"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): bigint {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getBigUint64(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return BigInt.asUintN(64, this.#read(this.#locate(i, j, k, more)));
        }

        override set(...indexThenValue: [...number[], bigint]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "bigint" && Math.floor(i) === i) {
            try {
              this.#writable.setBigUint64(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      float16: class extends MemmapArray<"float16"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getFloat16(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setFloat16(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      float32: class extends MemmapArray<"float32"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getFloat32(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setFloat32(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
      float64: class extends MemmapArray<"float64"> {
        override get(
          i: number,
          j?: number,
          k?: number,
          ...more: number[]
        ): number {
          if (j === undefined && Math.floor(i) === i) {
            try {
              const value = this.#vector.getFloat64(
                i * this.#step + 0,
                this.#isLittle,
              );
              GATE.getUint8(this.#faults[0]);
              return value;
            } catch { /* below */ }
          }
          return +this.#read(this.#locate(i, j, k, more));
        }

        override set(...indexThenValue: [...number[], number]): void;
        override set(i?: Any, j?: Any, k?: Any, ...more: Any[]): void {
          if (k === undefined && typeof j === "number" && Math.floor(i) === i) {
            try {
              this.#writable.setFloat64(
                i * this.#step + 0,
                j,
                this.#isLittle,
              );
              return void GATE.getUint8(this.#faults[0]);
            } catch { /* below */ }
          }
          this.#setAny(arguments.length, i, j, k, more);
        }
      },
    };
    construct = <T extends DType>(place: Place, shape: Axes, strides: Axes) =>
      new (classes[place.type.name] as typeof MemmapArray<T>)(
        place,
        shape,
        strides,
      );
    printAsString(MemmapArray, (value) => #place in value);
  }
}

/**
 * An iterator's last answer, with its properties in another order than the other
 * answers have them: to V8 these are then two kinds of objects, of which the
 * others hold numbers only and need no box for them.
 */
const END: IteratorReturnResult<undefined> = Object.freeze({
  value: undefined,
  done: true,
});

/**
 * Goes from line to line, from element to element. It answers the same object
 * each time, which every loop of the language reads at once: V8 would allocate
 * one for each element, and a box for the number in it.
 */
class Walk<T extends DType> {
  readonly #flat: MemmapArray<T>;
  readonly #lines: Lines;
  readonly #answer: { done: false; value: Element<T> };
  #at = 0;
  #left = 0;

  static {
    // What all iterators have: `[Symbol.iterator]`, and in newer runtimes `map` and
    // its like. Runtimes too old to open a file may have no `Iterator` to extend.
    const arrayIterator = Object.getPrototypeOf([][Symbol.iterator]());
    Object.setPrototypeOf(
      Walk.prototype,
      Object.getPrototypeOf(arrayIterator),
    );
  }

  constructor(flat: MemmapArray<T>, lines: Lines, first: Element<T>) {
    this.#flat = flat;
    this.#lines = lines;
    this.#answer = { done: false, value: first };
  }

  next(): IteratorResult<Element<T>, undefined> {
    if (this.#left === 0 && !this.#nextLine()) return END;
    const at = this.#at;
    this.#at = at + this.#lines.stride;
    this.#left--;
    this.#answer.value = this.#flat.get(at);
    return this.#answer;
  }

  #nextLine(): boolean {
    if (!this.#lines.next()) return false;
    this.#at = this.#lines.at;
    this.#left = this.#lines.count;
    return true;
  }
}

function checkByteOrder(
  name: string,
  signed: ByteOrder | undefined,
  option: ByteOrder | undefined,
): ByteOrder {
  if (option !== undefined && option !== "little" && option !== "big") {
    throw new TypeError(
      `Invalid byteOrder ${JSON.stringify(option)}: it is "little" or "big".`,
    );
  }
  if (signed !== undefined && option !== undefined && signed !== option) {
    throw new TypeError(
      `Type '${name}' is ${signed}-endian, and byteOrder says "${option}".`,
    );
  }
  return signed ?? option ?? NATIVE;
}

/** An array that is given as an index is seen to be one. */
function shownIndex(index: unknown): string {
  return Array.isArray(index) ? `[${index.map(String)}]` : String(index);
}

function checkFits(shape: Axes, span: number, place: Place): void {
  if (isWithin(span, place)) return;
  const { extent, byteOffset, type } = place;
  throw new RangeError(
    `An array of ${type.name} of shape ${printed(shape)} has ` +
      `${span * type.size} bytes, ` +
      `and the slice of ${extent.length} has ` +
      `${
        Math.max(extent.length - byteOffset, 0)
      } from byte ${byteOffset} on. ` +
      "resize() it first.",
  );
}

function isWithin(span: number, { extent, byteOffset, type }: Place): boolean {
  const bytes = span * type.size;
  return bytes === 0 || bytes <= extent.length - byteOffset;
}

function lengthOf(source: ArrayLike<unknown>): number {
  const { length } = source;
  if (typeof length !== "number") {
    throw new TypeError(
      "The source of copyFrom() must be an array, a typed array, another " +
        "MemmapArray, or something that has a length as they have.",
    );
  }
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new RangeError(`A source of ${length} elements cannot be copied.`);
}

function isValuesOf(
  values: unknown,
  type: ElementType,
): values is Values<ArrayBufferLike> {
  return ArrayBuffer.isView(values) &&
    Object.prototype.toString.call(values) === `[object ${nameOf(type)}]`;
}

function nameOf(type: ElementType): string {
  return (type.Values as unknown as { name: string }).name;
}

/** A typed array of the same kind; `slice()` of a Buffer is no copy. */
function copyOf(view: ArrayBufferView): Values {
  const [, kind] = /^\[object (\w+)\]$/.exec(
    Object.prototype.toString.call(view),
  )!;
  const Kind =
    (globalThis as unknown as Record<string, ValuesConstructor>)[kind];
  return new Kind(new Uint8Array(bytesOf(view)).buffer);
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function rounding(type: ElementType): (value: number) => number {
  if (type.name === "float32") return Math.fround;
  if (type.name === "float16") return Math.f16round;
  return (value) => value;
}
