/**
 * `MemmapArray`: one slice's bytes as a typed, shaped array of numbers.
 *
 * Owns what is done to elements. Where they are is the window's to know (`window.ts`),
 * how one is read the codec's (`codecs.ts`), what all arrays have in common is in
 * `ndarray.ts`, and the loops' own `get` and `set` in `elements.generated.ts`. Must not
 * know a type's name or where a slice's bytes are.
 *
 * @module
 */

import {
  checkCount,
  clampRange,
  printAsString,
  setBytes,
} from "../base/mod.ts";
import { checkShape, Lines, rowMajor } from "../geometry/mod.ts";
import { LARGE_PIECE, PIECE } from "./bulk.ts";
import { adviseHuge } from "./byteswap.ts";
import { type Codec, type Encoded, partOf } from "./codecs.ts";
import {
  APPLY,
  type Apply,
  type ElementClasses,
  elementClasses,
  type MakeWalk,
  type RealType,
  WALK,
} from "./elements.generated.ts";
import { MAKERS, NDArray } from "./ndarray.ts";
import {
  type ArrayOptions,
  checkFunction,
  readLength,
  readOptions,
  readRange,
  readResize,
  readTarget,
} from "./options.ts";
import type { Extent } from "./place.ts";
import { printArray } from "./print.ts";
import type {
  DType,
  DTypeOf,
  Element,
  PartOf,
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
  dataOf,
  newView,
  resizeSlice,
  type View,
} from "./views.ts";
import { applyWith, walk } from "./walk.ts";
import { NO_BYTES, Window } from "./window.ts";

/** A number of an index or, after the last one, the value: TypeScript cannot say which. */
// deno-lint-ignore no-explicit-any
type Any = any;

/** Creates an array over a slice; {@linkcode MemmapArray}'s constructor is private. */
export function makeArray<N extends TypeName>(
  extent: Extent,
  name: N,
  options: ArrayOptions,
): MemmapArray<DTypeOf<N>> {
  const read = readOptions(name, options);
  return construct<DTypeOf<N>>(newView(extent, read.codec, read));
}

let construct: <T extends DType>(view: View<Codec>) => MemmapArray<T>;

/** Points an array's `get` and `set` at its bytes; see `elements.generated.ts`. */
let point: ElementClasses<MemmapArray, never>["point"];

/**
 * A typed, shaped view of one slice: numarray's arrays on portable binary files,
 * misaligned and in either byte order.
 *
 * Made by {@linkcode MemmapSlice.array}. Elements are numbers, bigints for 64-bit
 * integers, booleans for `bool`, and lists of two numbers for complex types. The
 * array follows its slice: after the slice was
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
export class MemmapArray<T extends DType = DType> extends NDArray
  implements Iterable<Element<T>> {
  readonly #window: Window<Codec>;
  #data: Values | null = null;

  private constructor(view: View<Codec>) {
    const window = new Window(view);
    super(window);
    this.#window = window;
  }

  /** The elements' type, by its canonical name. */
  get dtype(): T {
    return this.#window.codec.name as T;
  }

  /**
   * The elements as a typed array over the same memory, or `null` where there
   * cannot be one: where the byte order is not the machine's, or the elements are not
   * aligned: `byteOffset`, and `slice.begin` unless the slice floats, must be multiples
   * of their size. So must be the strides, and not negative. Element `(i, j)` is
   * `data[(i * strides[0] + j * strides[1]) / itemSize]`; of complex elements, whose
   * parts are in turn, this is at twice that index.
   *
   * The same object until the slice's bytes move, which detaches it.
   */
  get data(): TypedArrayOf<T> | null {
    this.#window.look(); // throws if the slice is gone or has become too short
    if (!this.#window.isNative) return null;
    this.#data = dataOf(this.#window.view, this.#data);
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
    const window = this.#window;
    return window.read(window.locate(i, j, k, more)) as Element<T>;
  }

  /**
   * Sets the element at an index to the last argument: `a.set(i, j, value)`.
   * Integers wrap as those of typed arrays do. Returns the value, as scijs expects of
   * the stores of its arrays.
   *
   * @throws {RangeError} if the index is none of the array's.
   * @throws {TypeError} if the value is not of the element's kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  set(...indexThenValue: [...index: number[], value: Element<T>]): Element<T>;
  set(i?: Any, j?: Any, k?: Any, ...more: Any[]): Any {
    return this.#setAny(arguments.length, i, j, k, more);
  }

  /**
   * Sets every element to `value`.
   *
   * @throws {TypeError} if the value is not of the element's kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  fill(value: Element<T>): this {
    checkCount(arguments.length, 1, "fill(value), of all elements");
    this.#window.edit();
    this.#fillFrom(this.#window.codec.encode(value), 0);
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
    this.#window.edit();
    // A window of its own: `f` may resize this array.
    const window = new Window(this.#window.view);
    window.lookAgain();
    const { codec, shape, strides, size } = window;
    const lines = new Lines(shape, strides, codec.size, 0, size);
    const write = (at: number, value: unknown) =>
      writeElement(window, at, value);
    const run = applyOf(codec);
    let flat = 0;
    while (lines.next()) {
      for (let done = 0; done < lines.count;) {
        const values = window.edit();
        const { isLittle, faults } = window;
        const at = window.first + lines.at + done * lines.stride;
        const left = lines.count - done;
        let now = run(
          ...[values, at, lines.stride, left, isLittle, faults] as const,
          ...[flat, f, write] as const,
        );
        if (now === 0) {
          // It did not get anywhere: the stack may be at its end.
          write(at, f(window.read(at) as Element<T>, flat));
          now = 1;
        }
        flat += now;
        done += now;
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
    this.#window.look();
    const [from, to] = clampRange(first, last, this.#window.size);
    return valuesOf(this.#window, from, to) as TypedArrayOf<T>;
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
    const window = this.#window;
    const { codec } = window;
    const { extent } = window.view.place;
    const bytes = readTarget(codec, target);
    window.look();
    const [from, to] = clampRange(first, last, window.size);
    const count = Math.min(to - from, Math.floor(bytes.length / codec.size));
    const isOwn = bytes.buffer === extent.view().buffer;
    if (isOwn || extent.isMappedTwice) {
      // The target is in this memory too, or may be, and may overlap the elements.
      setBytes(bytes, bytesOf(valuesOf(window, from, from + count)));
    } else {
      window.load(bytes.subarray(0, count * codec.size), from);
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
    const window = this.#window;
    window.edit();
    if (typeof source === "object" && source !== null && #window in source) {
      checkRoom(source.#window.size, at, window.size);
      this.#copyArray(source.#window, at);
      return this;
    }
    const { codec } = window;
    const { extent } = window.view.place;
    const view = plainView(source);
    const count = view === undefined
      ? readLength(source)
      : elementsIn(view.length, codec);
    checkRoom(count, at, window.size);
    if (view === undefined) {
      const values = new codec.Values(count * codec.parts);
      codec.encodeAll(values, source, 0, count); // may run the caller's code
      checkRoom(count, at, window.size);
      window.store(bytesOf(values), at);
      return this;
    }
    const isOwn = view.buffer === extent.view().buffer;
    extent.copyChecked(() => {
      const values = isOwn || extent.isMappedTwice ? copyOf(view) : view;
      if (isValuesOf(values, codec.Values)) {
        window.store(bytesOf(values), at);
      } else this.#storeEach(codec.elementsOf(values), count, at);
    });
    return this;
  }

  /**
   * The real parts of complex elements, as an array of their own. Nothing is copied.
   *
   * @throws {TypeError} if the elements are not complex.
   */
  get real(): MemmapArray<PartOf<T>> {
    return construct(partView(this.#window.view, 0));
  }

  /**
   * The imaginary parts of complex elements, as an array of their own: numarray's and
   * numpy's `imag`. Nothing is copied.
   *
   * @throws {TypeError} if the elements are not complex.
   */
  get imag(): MemmapArray<PartOf<T>> {
    return construct(partView(this.#window.view, 1));
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
    const window = this.#window;
    const { codec } = window;
    const read = readResize(codec, shape, options, arguments.length);
    window.edit();
    const target = checkShape(read.shape);
    const before = window.size;
    const { place } = window.view;
    resizeSlice(window.view, target, read.repeats);
    window.become({
      place,
      shape: target,
      strides: rowMajor(target, codec.size),
    });
    if (window.size > before && read.fill !== undefined) {
      this.#fillFrom(read.fill, before);
    }
    return this;
  }

  /**
   * The elements in row-major order, each as it is when its turn comes. To
   * allocate nothing, `next()` returns the same object each time: read it before
   * you call again, as `for…of` and spread do.
   */
  [Symbol.iterator](): IteratorObject<Element<T>, undefined> {
    const window = new Window(this.#window.view);
    window.lookAgain();
    const { codec, shape, strides, size, first } = window;
    const lines = new Lines(shape, strides, codec.size, 0, size);
    return walkOf(codec)(window, lines, first, size);
  }

  /**
   * `array([1, 1, 1, 1], type=Int32)`: numarray's form, laid out as numpy lays
   * it out. Of more than 1000 elements, those in the middle are left out.
   */
  override toString(): string {
    const window = this.#window;
    const absence = absenceOf(window.view, "MemmapArray");
    if (absence !== undefined) return absence;
    return printArray({
      shape: window.shape,
      prefix: "array(",
      suffix: `type=${window.codec.title}`,
      words: window.codec.words,
      at: (index) => this.get(...index),
    });
  }

  /** Sets an element; the last of `count` arguments is the value. */
  #setAny(count: number, i: Any, j: Any, k: Any, more: Any[]): Any {
    const window = this.#window;
    if (count === 2) {
      return writeElement(
        window,
        window.locate(i, undefined, undefined, []),
        j,
      );
    }
    if (count === 3) {
      return writeElement(window, window.locate(i, j, undefined, []), k);
    }
    if (count < 2) {
      const at = window.locate(undefined, undefined, undefined, []);
      return writeElement(window, at, i);
    }
    const value = more.pop();
    return writeElement(window, window.locate(i, j, k, more), value);
  }

  /** Points the fast way at the bytes, if there is one for this type and shape. */
  #point(): void {
    const { values, shape, strides, first } = this.#window;
    const { isLittle, faults, isWritable } = this.#window;
    // Without a stride, any index would be an element.
    const isVector = shape.length === 1 && strides[0] !== 0;
    point(
      this as unknown as MemmapArray,
      isVector ? values : NO_BYTES,
      isVector && isWritable ? values : NO_BYTES,
      isVector ? strides[0]! : 0,
      isVector ? first : 0,
      isLittle,
      faults,
    );
  }

  /** Sets the elements from flat index `begin` on. */
  #fillFrom(encoded: Encoded, begin: number): void {
    const window = this.#window;
    const { codec, size } = window;
    const piece = new codec.Values(
      Math.min(PIECE, size - begin) * codec.parts,
    );
    codec.fill(piece, encoded);
    const bytes = bytesOf(piece);
    const each = bytes.length / codec.size;
    for (let at = begin; at < size; at += each) {
      const count = Math.min(each, size - at);
      window.store(bytes.subarray(0, count * codec.size), at);
    }
  }

  /** Copies all elements of another array; of the same type, bit by bit. */
  #copyArray(source: Window<Codec>, offset: number): void {
    const from = source.view.place;
    const { codec, view } = this.#window;
    const { extent } = view.place;
    // Within one slice all of it is copied first: storing a piece could change the
    // elements that are still to be read.
    const isOwn = from.extent === extent || extent.isMappedTwice;
    const { size } = source;
    const piece = isOwn ? size : LARGE_PIECE;
    for (let at = 0; at < size; at += piece) {
      const end = Math.min(at + piece, size);
      const values = valuesOf(source, at, end);
      if (from.codec === codec) {
        this.#window.store(bytesOf(values), offset + at);
      } else {
        const elements = from.codec.decodeAll(values);
        this.#storeEach(elements, end - at, offset + at);
      }
    }
  }

  /** Stores the first `count` elements of a list, each checked. */
  #storeEach(
    elements: ArrayLike<unknown>,
    count: number,
    offset: number,
  ): void {
    const { codec } = this.#window;
    const each = Math.min(PIECE, count);
    const piece = new codec.Values(each * codec.parts);
    const bytes = bytesOf(piece);
    for (let at = 0; at < count; at += each) {
      const length = Math.min(each, count - at);
      codec.encodeAll(piece, elements, at, length);
      this.#window.store(bytes.subarray(0, length * codec.size), offset + at);
    }
  }

  static {
    const Root = MemmapArray as unknown as new (
      view: View<Codec>,
    ) => MemmapArray;
    const { classes, point: pointElements } = elementClasses(
      Root,
      (array, i, j, k, more) => {
        const window = array.#window;
        return window.read(window.locate(i, j, k, more));
      },
      (array, count, i, j, k, more) => array.#setAny(count, i, j, k, more),
    );
    point = pointElements;
    construct = <T extends DType>(view: View<Codec>): MemmapArray<T> => {
      const { name } = view.place.codec;
      const Class = name in classes ? classes[name as RealType] : Root;
      const array = new Class(view);
      if (Class !== Root) {
        array.#window.onMove = () => array.#point();
      }
      array.#window.lookAgain();
      return array as MemmapArray<Any>;
    };
    MAKERS.number = construct;
    printAsString(MemmapArray, (value) => #window in value);
  }
}

/** A copy of the elements from flat index `from` to `to`. */
function valuesOf(window: Window<Codec>, from: number, to: number): Values {
  const { Values, parts } = window.codec;
  const values = new Values((to - from) * parts);
  const bytes = bytesOf(values);
  adviseHuge(bytes);
  window.load(bytes, from);
  return values;
}

/** The real parts of complex elements, or the imaginary ones: `part` is 0 or 1. */
function partView({ place, shape, strides }: View<Codec>, part: 0 | 1) {
  const codec = partOf(place.codec);
  const byteOffset = place.byteOffset + part * codec.size;
  return { place: { ...place, codec, byteOffset }, shape, strides };
}

/** Writes the element at byte `at` of the window, and returns the value. */
function writeElement<V>(window: Window<Codec>, at: number, value: V): V {
  const { codec } = window;
  let values = window.edit();
  const encoded = codec.encode(value);
  if (codec.parts > 1) values = window.edit(); // that may have run the caller's code
  codec.write(values, at, encoded, window.isLittle);
  if (window.faults[0] !== 0) window.memory.checkFaults();
  return value;
}

/** How many elements a typed array of `length` numbers holds. */
function elementsIn(length: number, { parts, name }: Codec): number {
  if (length % parts === 0) return length / parts;
  throw new RangeError(
    `${length} numbers are not the parts of elements of ${name}, each of which ` +
      `has ${parts}.`,
  );
}

function applyOf({ name, read }: Codec): Apply {
  return name in APPLY ? APPLY[name as RealType] : applyWith(read);
}

function walkOf({ name }: Codec): MakeWalk {
  return name in WALK ? WALK[name as RealType] : walk;
}
