/**
 * `MemmapArray`: one slice's bytes as a typed, shaped array.
 *
 * Owns the way from an index to a byte. Keeps no bytes: when those that it last saw
 * are gone, it asks the slice's extent for the new ones. How an element is read is in
 * `codecs.ts`, what a view is in `views.ts`, and the loops' own `get` and `set` in
 * `elements.generated.ts`. Must not know a type's name or where a slice's bytes are.
 *
 * @module
 */

import {
  checkCount,
  clampRange,
  fillValues,
  printAsString,
  setBytes,
} from "../base/mod.ts";
import {
  type Axes,
  checkShape,
  countOf,
  Lines,
  rowMajor,
  spanOf,
} from "../geometry/mod.ts";
import type { MemmapSlice } from "../map/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import { gather, PIECE, scatter } from "./bulk.ts";
import { adviseHuge } from "./byteswap.ts";
import { type Codec, NATIVE } from "./codecs.ts";
import { type ElementClasses, elementClasses } from "./elements.generated.ts";
import {
  type ArrayOptions,
  checkFunction,
  readLength,
  readOptions,
  readRange,
  readResize,
  readTarget,
} from "./options.ts";
import { checkFits, type Extent, type Place } from "./place.ts";
import { printArray } from "./print.ts";
import type {
  ByteOrder,
  DType,
  DTypeOf,
  Element,
  TypedArrayOf,
  TypeName,
} from "./type_names.ts";
import {
  bytesOf,
  copyOf,
  isValuesOf,
  plainView,
  type Values,
} from "./values.ts";
import {
  absenceOf,
  checkRoom,
  cut,
  dataOf,
  inShape,
  newView,
  refuseAlong,
  refuseIndex,
  resizeSlice,
  turned,
  type View,
} from "./views.ts";
import { walk } from "./walk.ts";

/** A number of an index or, after the last one, the value: TypeScript cannot say which. */
// deno-lint-ignore no-explicit-any
type Any = any;

/** Stands for the bytes where they must not be used, or are not known yet. */
const NO_BYTES: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));

/** Creates an array over a slice; {@linkcode MemmapArray}'s constructor is private. */
export function makeArray<N extends TypeName>(
  extent: Extent,
  name: N,
  options: ArrayOptions,
): MemmapArray<DTypeOf<N>> {
  return construct<DTypeOf<N>>(newView(extent, readOptions(name, options)));
}

let construct: <T extends DType>(view: View) => MemmapArray<T>;

/** Points an array's `get` and `set` at its bytes; see `elements.generated.ts`. */
let point: ElementClasses<MemmapArray, never>["point"];

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
 * assert.equal(String(a), "array([1, 1, 1, 1, 1, 1], type=Int32)");
 * map.flush();
 * assert.equal(map.length, 56);
 * ```
 */
export class MemmapArray<T extends DType = DType>
  implements Iterable<Element<T>> {
  readonly #place: Place;
  readonly #codec: Codec;
  readonly #isLittle: boolean;
  #shape: Axes;
  #strides: Axes;
  #size: number;
  /** The array's bytes. Detached once they are elsewhere; see SliceExtent.ownView. */
  #values: DataView<ArrayBuffer> = NO_BYTES;
  /** The memory that the bytes are in. */
  #memory: Mapping;
  /**
   * Its count of lost pages. Asking #memory for every element is a call too many for
   * JavaScriptCore to inline, which makes `get(i, j)` four times slower.
   */
  #faults: Int32Array;
  #data: Values | null = null;
  #shown: { shape: Axes; strides: Axes } | null = null;

  private constructor({ place, shape, strides }: View) {
    this.#place = place;
    this.#codec = place.codec;
    this.#isLittle = place.byteOrder === "little";
    this.#shape = shape;
    this.#strides = strides;
    this.#size = countOf(shape);
    this.#memory = place.extent.mapping;
    this.#faults = this.#memory.faultCount;
  }

  /** The slice whose bytes these are. */
  get slice(): MemmapSlice {
    return this.#place.extent.slice;
  }

  /** The elements' type, by its canonical name. */
  get dtype(): T {
    return this.#codec.name as T;
  }

  /** The elements' byte order. */
  get byteOrder(): ByteOrder {
    return this.#place.byteOrder;
  }

  /** Bytes of one element. */
  get itemSize(): number {
    return this.#codec.size;
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
   * cannot be one: where the byte order is not the machine's, or the elements are not
   * aligned: `byteOffset`, and `slice.begin` unless the slice floats, must be multiples
   * of their size. Element `(i, j)` is
   * `data[i * strides[0] + j * strides[1]]`.
   *
   * The same object until the slice's bytes move, which detaches it.
   */
  get data(): TypedArrayOf<T> | null {
    this.#look(); // throws if the slice is gone or has become too short
    if (!this.#isNative) return null;
    this.#data = dataOf(this.#view, this.#data);
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
    checkCount(arguments.length, 1, "fill(value), of all elements");
    this.#edit();
    this.#fillFrom(this.#codec.encode(value), 0);
    return this;
  }

  /**
   * Sets every element, in place, to what `f` makes of it and its flat index.
   * numarray's `a += 1` is `a.apply((x) => x + 1)`.
   *
   * @throws {TypeError} if `f` returns something of another kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  apply(f: (value: Element<T>, flatIndex: number) => Element<T>): this {
    checkCount(arguments.length, 1, "apply(f)");
    checkFunction(f);
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
  toTypedArray(begin?: number, end?: number): TypedArrayOf<T> {
    checkCount(arguments.length, 2, "toTypedArray(begin, end)");
    const [first, last] = readRange(begin, end);
    this.#look();
    const [from, to] = clampRange(first, last, this.#size);
    return this.#valuesOf(from, to) as TypedArrayOf<T>;
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
    begin?: number,
    end?: number,
  ): number {
    checkCount(arguments.length, 3, "copyTo(target, begin, end)");
    const [first, last] = readRange(begin, end);
    const { extent, codec } = this.#place;
    const bytes = readTarget(codec, target);
    this.#look();
    const [from, to] = clampRange(first, last, this.#size);
    const count = Math.min(to - from, Math.floor(bytes.length / codec.size));
    const isOwn = bytes.buffer === extent.view().buffer;
    if (isOwn || extent.isMappedTwice) {
      // The target is in this memory too, or may be, and may overlap the elements.
      setBytes(bytes, bytesOf(this.#valuesOf(from, from + count)));
    } else {
      this.#load(bytes.subarray(0, count * codec.size), from);
    }
    return count;
  }

  /**
   * Copies all of `source` here, from flat index `offset` on. Between arrays and
   * typed arrays of the same element type, bits are kept; other values are
   * converted as typed arrays convert.
   *
   * A source in the same memory, or in another map of the file, is copied first.
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
    offset?: number,
  ): this {
    checkCount(arguments.length, 2, "copyFrom(source, offset)");
    const at = offset === undefined ? 0 : offset;
    this.#edit();
    if (typeof source === "object" && source !== null && #place in source) {
      checkRoom(source.#size, at, this.#size);
      this.#copyArray(source, at);
      return this;
    }
    const { extent, codec } = this.#place;
    const view = plainView(source);
    const count = view?.length ?? readLength(source);
    checkRoom(count, at, this.#size);
    if (view === undefined) {
      const values = new codec.Values(count);
      codec.encodeAll(values, source, 0, count); // may run the caller's code
      checkRoom(count, at, this.#size);
      this.#store(bytesOf(values), at);
      return this;
    }
    const isOwn = view.buffer === extent.view().buffer;
    extent.copyChecked(() => {
      const values = isOwn || extent.isMappedTwice ? copyOf(view) : view;
      if (isValuesOf(values, codec.Values)) {
        this.#store(bytesOf(values), at);
      } else this.#storeEach(values, count, at);
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
  subarray(begin?: number, end?: number): MemmapArray<T> {
    checkCount(arguments.length, 2, "subarray(begin, end)");
    const [first, last] = readRange(begin, end);
    return construct(cut(this.#view, first, last));
  }

  /**
   * The same elements with the axes in another order: reversed, or as given.
   * Nothing is copied.
   *
   * @throws {RangeError} unless each axis is named once.
   */
  transpose(...axes: number[]): MemmapArray<T> {
    return construct(turned(this.#view, axes));
  }

  /**
   * The same elements in another shape, one length of which may be -1. Nothing
   * is copied.
   *
   * @throws {RangeError} if the number of elements differs, or if no strides
   * give that shape, as after a transpose.
   */
  reshape(...shape: number[]): MemmapArray<T> {
    return construct(inShape(this.#view, shape));
  }

  /**
   * Gives the array another shape, of more or fewer elements, and resizes the
   * slice with it: elements keep their flat index, and new ones repeat those that
   * are there, as in numarray. With `fill` all new ones are that; without elements
   * to repeat they are 0. Bytes of the slice behind the array stay behind it.
   *
   * The slice floats from then on, if the number of elements changes. The other
   * arrays of this slice stay at their byte offsets.
   *
   * @throws {RangeError} if the elements do not lie side by side.
   * @throws {TypeError} if `fill` is not of the element's kind; 0 always is.
   * @throws {ReadonlyError} in mode `r`.
   */
  resize(
    shape: number | readonly number[],
    options?: { fill?: Element<T> | 0 },
  ): this {
    const read = readResize(this.#codec, shape, options, arguments.length);
    this.#edit();
    const target = checkShape(read.shape);
    const before = this.#size;
    resizeSlice(this.#view, target, read.repeats);
    this.#shown = null;
    this.#shape = target;
    this.#strides = rowMajor(target);
    this.#size = countOf(target);
    const hasNew = this.#size > before;
    if (hasNew && read.fill !== undefined) this.#fillFrom(read.fill, before);
    this.#lookAgain();
    return this;
  }

  /**
   * The elements in row-major order, each as it is when its turn comes. To
   * allocate nothing, `next()` returns the same object each time: read it before
   * you call again, as `for…of` and spread do.
   */
  [Symbol.iterator](): IteratorObject<Element<T>, undefined> {
    const lines = new Lines(this.#shape, this.#strides, 0, this.#size);
    return walk(this.#flat(), lines, this.#codec.placeholder);
  }

  /**
   * `array([1, 1, 1, 1], type=Int32)`: numarray's form, laid out as numpy lays
   * it out. Of more than 1000 elements, those in the middle are left out.
   */
  toString(): string {
    const absence = absenceOf(this.#view);
    if (absence !== undefined) return absence;
    return printArray({
      shape: this.#shape,
      typeName: this.#codec.title,
      words: this.#codec.words,
      at: (index) => this.get(...index),
    });
  }

  get #view(): View {
    return { place: this.#place, shape: this.#shape, strides: this.#strides };
  }

  /** Shape and strides for users. Engines read frozen lists three times slower. */
  get #frozen(): { shape: Axes; strides: Axes } {
    return this.#shown ??= {
      shape: Object.freeze(this.#shape.slice()),
      strides: Object.freeze(this.#strides.slice()),
    };
  }

  /** Whether elements have the machine's byte order. */
  get #isNative(): boolean {
    const { codec, byteOrder } = this.#place;
    return byteOrder === NATIVE || codec.size === 1;
  }

  /** All elements of memory from the first to the last, side by side, as an array. */
  #flat(): MemmapArray<T> {
    const length = spanOf(this.#shape, this.#strides);
    return construct<T>({ ...this.#view, shape: [length], strides: [1] });
  }

  /** The array's bytes, wherever they are now. */
  #look(): DataView<ArrayBuffer> {
    // An empty buffer cannot tell that its memory is gone: it is never detached.
    if (this.#values.buffer.detached || this.#memory.isReleased) {
      return this.#lookAgain();
    }
    this.#memory.checkFaults();
    return this.#values;
  }

  #lookAgain(): DataView<ArrayBuffer> {
    const { extent, codec, byteOffset } = this.#place;
    extent.checkUsable();
    const isWritable = extent.isEditable;
    const span = spanOf(this.#shape, this.#strides);
    checkFits(this.#shape, span, this.#place);
    const { mapping, buffer } = extent.ownView();
    // If there are no elements, byteOffset may lie past the end of the slice.
    const at = Math.min(byteOffset, buffer.byteLength);
    const bytes = new DataView(buffer, at, span * codec.size);
    this.#memory = mapping;
    this.#faults = mapping.faultCount;
    this.#values = bytes;
    const isVector = this.ndim === 1;
    point(
      this,
      isVector ? bytes : NO_BYTES,
      isVector && isWritable ? bytes : NO_BYTES,
      isVector ? this.#strides[0]! * codec.size : 0,
      this.#isLittle,
      mapping.faultCount,
    );
    return bytes;
  }

  /**
   * Reads the element at byte `at` of the array. Nothing is looked up first: if the
   * bytes are elsewhere by now, the view of them is detached and throws.
   */
  #read(at: number): Element<T> {
    const { read } = this.#codec;
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
    const encoded = this.#codec.encode(value);
    this.#codec.write(values, at, encoded, this.#isLittle);
    if (this.#faults[0] !== 0) this.#memory.checkFaults();
  }

  /** The array's bytes, to be written. */
  #edit(): DataView<ArrayBuffer> {
    const values = this.#look();
    this.#place.extent.checkEditable();
    return values;
  }

  /**
   * The byte of the element at an index. Up to three numbers come one by one: a list
   * would be allocated for every element.
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
    if (count !== axes) {
      refuseIndex(this.#shape, [i, j, k, ...more].slice(0, count));
    }
    let at = 0;
    if (count > 0) at += this.#along(0, i!);
    if (count > 1) at += this.#along(1, j!);
    if (count > 2) at += this.#along(2, k!);
    for (let axis = 3; axis < axes; axis++) {
      at += this.#along(axis, more[axis - 3]!);
    }
    return at;
  }

  /** Bytes from the first element to that at `index` along an axis. */
  #along(axis: number, index: number): number {
    const length = this.#shape[axis]!;
    if (!(index >= 0 && index < length && Math.floor(index) === index)) {
      refuseAlong(this.#shape, axis, index);
    }
    return index * this.#strides[axis]! * this.#codec.size;
  }

  /** A copy of the elements from flat index `from` to `to`. */
  #valuesOf(from: number, to: number): Values {
    const values = new this.#codec.Values(to - from);
    const bytes = bytesOf(values);
    adviseHuge(bytes);
    this.#load(bytes, from);
    return values;
  }

  /** Sets the elements from flat index `begin` on. */
  #fillFrom(encoded: number | bigint, begin: number): void {
    const { codec } = this.#place;
    const piece = new codec.Values(Math.min(PIECE, this.#size - begin));
    fillValues(piece, encoded);
    const bytes = bytesOf(piece);
    for (let at = begin; at < this.#size; at += piece.length) {
      const count = Math.min(piece.length, this.#size - at);
      this.#store(bytes.subarray(0, count * codec.size), at);
    }
  }

  /** Copies elements from flat index `begin` on to all of `to`, bit by bit. */
  #load(to: Uint8Array, begin: number): void {
    const bytes = bytesOf(this.#look());
    const { size } = this.#codec;
    const lines = this.#lines(begin, begin + to.length / size);
    gather(to, bytes, lines, { size, isSwapped: !this.#isNative });
    this.#memory.checkFaults();
  }

  /** Copies `from`, which is no memory of this slice, to flat index `begin` on. */
  #store(from: Uint8Array, begin: number): void {
    const bytes = bytesOf(this.#edit());
    const { size } = this.#codec;
    const lines = this.#lines(begin, begin + from.length / size);
    scatter(bytes, from, lines, { size, isSwapped: !this.#isNative });
    this.#memory.checkFaults();
  }

  /** The lines of the elements `begin` to `end`. */
  #lines(begin: number, end: number): Lines {
    checkRoom(end - begin, begin, this.#size); // the last look before memory
    return new Lines(this.#shape, this.#strides, begin, end);
  }

  /** Copies all elements of another array; of the same type, bit by bit. */
  #copyArray(source: MemmapArray, offset: number): void {
    const from = source.#place;
    const { codec, extent } = this.#place;
    // Within one slice all of it is copied first: storing a piece could change the
    // elements that are still to be read.
    const isOwn = from.extent === extent || extent.isMappedTwice;
    const piece = isOwn ? source.#size : PIECE;
    for (let at = 0; at < source.#size; at += piece) {
      const end = Math.min(at + piece, source.#size);
      const values = source.#valuesOf(at, end);
      if (from.codec === codec) this.#store(bytesOf(values), offset + at);
      else {
        const elements = from.codec.decodeAll(values);
        this.#storeEach(elements, values.length, offset + at);
      }
    }
  }

  /** Stores the first `count` elements of a list, each checked. */
  #storeEach(
    elements: ArrayLike<unknown>,
    count: number,
    offset: number,
  ): void {
    const { codec } = this.#place;
    const piece = new codec.Values(Math.min(PIECE, count));
    const bytes = bytesOf(piece);
    for (let at = 0; at < count; at += piece.length) {
      const length = Math.min(piece.length, count - at);
      codec.encodeAll(piece, elements, at, length);
      this.#store(bytes.subarray(0, length * codec.size), offset + at);
    }
  }

  static {
    const Root = MemmapArray as unknown as new (view: View) => MemmapArray;
    const { classes, point: pointElements } = elementClasses(
      Root,
      (array, i, j, k, more) => array.#read(array.#locate(i, j, k, more)),
      (array, count, i, j, k, more) => array.#setAny(count, i, j, k, more),
    );
    point = pointElements;
    construct = <T extends DType>(view: View): MemmapArray<T> => {
      const array = new classes[view.place.codec.name](view);
      array.#lookAgain();
      return array as MemmapArray<Any>;
    };
    printAsString(MemmapArray, (value) => #place in value);
  }
}
