/**
 * `MemmapStrings`: one slice's bytes as a shaped array of strings of a fixed length.
 *
 * Owns what is done to elements; how a string is read and padded is in `text.ts`, what
 * all arrays have in common in `ndarray.ts`.
 *
 * @module
 */

import { checkCount, clampRange, printAsString, shown } from "../base/mod.ts";
import { checkShape, Lines, rowMajor } from "../geometry/mod.ts";
import { agreedOrder } from "./byte_order.ts";
import { MAKERS, NDArray } from "./ndarray.ts";
import {
  type ArrayOptions,
  checkFunction,
  readLength,
  readPlace,
  readRange,
  readShapeAndFill,
} from "./options.ts";
import type { Extent } from "./place.ts";
import { printArray } from "./print.ts";
import {
  type Padding,
  parseStringName,
  type StringEncoding,
  type StringName,
  type TextCodec,
  textCodec,
  writeText,
} from "./text.ts";
import {
  absenceOf,
  checkRoom,
  newView,
  resizeSlice,
  type View,
} from "./views.ts";
import { walk } from "./walk.ts";
import { Window } from "./window.ts";
import { stringWords } from "./words.ts";

/** Options of {@linkcode MemmapSlice.strings}. */
export interface StringOptions extends ArrayOptions {
  /** How the bytes of `S` strings are read and written: `"utf-8"` by default. */
  encoding?: StringEncoding | undefined;
  /**
   * What follows a string that is shorter than its element, and is no part of it:
   * `"nul"`, numpy's and the default, or `"space"`, numarray's and that of FITS files.
   */
  padding?: Padding | undefined;
}

/** The names of the options of arrays of strings. */
export const STRING_OPTIONS: readonly (keyof StringOptions)[] = [
  ...["shape", "byteOrder", "byteOffset", "strides", "order"] as const,
  ...["encoding", "padding"] as const,
];

/** Creates an array of strings; {@linkcode MemmapStrings}'s constructor is private. */
export function makeStrings(
  extent: Extent,
  name: StringName,
  options: StringOptions,
): MemmapStrings {
  const { encoding, padding } = options;
  const parsed = parseStringName(name);
  if (parsed === undefined) {
    throw new TypeError(
      `Unknown type of strings ${
        shown(name)
      }. Known are "S16" or "a16", of 16 ` +
        'bytes, and "U16", of 16 code points, with other numbers as well; "<", ">", ' +
        '"=" or "|" may come before.',
    );
  }
  const { letter, count, order } = parsed;
  checkText(encoding, padding);
  if (letter === "U" && encoding !== undefined) {
    throw new TypeError(
      "Strings of type U are code points of 4 bytes each, and have no encoding.",
    );
  }
  const codec = textCodec(
    ...[letter, count, encoding ?? "utf-8", padding ?? "nul"] as const,
  );
  const byteOrder = agreedOrder(name, order, options.byteOrder);
  return construct(newView(extent, codec, readPlace(options, byteOrder)));
}

/** Throws unless these are an encoding and a padding. */
export function checkText(
  encoding: StringEncoding | undefined,
  padding: Padding | undefined,
): void {
  if (
    encoding !== undefined && encoding !== "utf-8" && encoding !== "latin1"
  ) {
    throw new TypeError(
      `Invalid encoding ${shown(encoding)}: it is "utf-8" or "latin1".`,
    );
  }
  if (padding !== undefined && padding !== "nul" && padding !== "space") {
    throw new TypeError(
      `Invalid padding ${shown(padding)}: it is "nul" or "space".`,
    );
  }
}

let construct: (view: View<TextCodec>) => MemmapStrings;

// deno-lint-ignore no-explicit-any -- an index or, after the last one, the value
type Any = any;

/**
 * A shaped view of one slice as strings of a fixed length: numarray's `CharArray`,
 * numpy's arrays of `S` and `U`.
 *
 * Made by {@linkcode MemmapSlice.strings}. What follows a string within its element is
 * its padding: NULs (numpy) or blanks (numarray, FITS). `get` strips it, so that a
 * string cannot end with it, and `set` adds it.
 *
 * Bytes that are no UTF-8, and numbers that are no code points, are read as U+FFFD, as
 * `TextDecoder` does. A string that is too long is a `RangeError`, and nothing is
 * written.
 *
 * The array follows its slice. Flat indices count elements in row-major order, the
 * last axis fastest.
 *
 * @example
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * using map = open("example.dat", "w+", { length: 15 });
 * const names = map.slice().strings("S5");
 * names.copyFrom(["red", "green", "blue"]);
 * assert.equal(names.get(1), "green");
 * assert.equal(String(names), "CharArray(['red', 'green', 'blue'])");
 * ```
 */
export class MemmapStrings extends NDArray implements Iterable<string> {
  readonly #window: Window<TextCodec>;

  private constructor(view: View<TextCodec>) {
    const window = new Window(view);
    super(window);
    this.#window = window;
  }

  static {
    construct = (view) => {
      const array = new MemmapStrings(view);
      array.#window.lookAgain();
      return array;
    };
    MAKERS.string = construct;
    printAsString(MemmapStrings, (value) => #window in value);
  }

  /** The elements' type in numpy's words, without the byte order: `"S16"`. */
  get dtype(): string {
    return this.#window.codec.name;
  }

  /** How bytes are read and written; `"ucs-4"` for code points of 4 bytes each. */
  get encoding(): StringEncoding | "ucs-4" {
    return this.#window.codec.encoding;
  }

  /** What follows a string within its element. */
  get padding(): Padding {
    return this.#window.codec.padding;
  }

  /**
   * The string at an index, which has a number for each axis, without its padding.
   *
   * @throws {RangeError} if it is none of the array's.
   */
  get(...index: number[]): string;
  get(i: number, j?: number, k?: number, ...more: number[]): string {
    const window = this.#window;
    return window.read(window.locate(i, j, k, more)) as string;
  }

  /**
   * Sets the string at an index to the last argument, which it returns:
   * `a.set(i, "text")`.
   *
   * @throws {RangeError} if the index is none of the array's, or the string is too long.
   * @throws {TypeError} if the value is no string.
   * @throws {ReadonlyError} in mode `r`.
   */
  set(...indexThenValue: [...index: number[], value: string]): string;
  set(...given: Any[]): string {
    const window = this.#window;
    const value = given.pop();
    window.edit();
    const [i, j, k, ...more] = given;
    this.#write(window, window.locate(i, j, k, more), value);
    return value;
  }

  /**
   * Sets every element to `value`.
   *
   * @throws {RangeError} if the string is too long.
   * @throws {TypeError} if the value is no string.
   * @throws {ReadonlyError} in mode `r`.
   */
  fill(value: string): this {
    checkCount(arguments.length, 1, "fill(value), of all elements");
    this.#window.edit();
    this.#fillFrom(this.#window.codec.encode(value), 0);
    return this;
  }

  /**
   * Sets every element, in place, to what `f` makes of it and its flat index.
   *
   * @throws {RangeError} if a string is too long.
   * @throws {TypeError} if `f` returns something else than a string.
   * @throws {ReadonlyError} in mode `r`.
   */
  apply(f: (value: string, flatIndex: number) => string): this {
    checkCount(arguments.length, 1, "apply(f)");
    checkFunction(f);
    this.#window.edit();
    const window = new Window(this.#window.view);
    window.lookAgain();
    const { codec, shape, strides, size, first } = window;
    const lines = new Lines(shape, strides, codec.size, 0, size);
    let flat = 0;
    while (lines.next()) {
      for (let i = 0; i < lines.count; i++) {
        const at = first + lines.at + i * lines.stride;
        this.#write(window, at, f(window.read(at) as string, flat++));
      }
    }
    return this;
  }

  /**
   * The strings `begin` to `end` (flat; by the rules of `Array.prototype.slice`) in a
   * list.
   */
  toArray(begin?: number, end?: number): string[] {
    checkCount(arguments.length, 2, "toArray(begin, end)");
    const [first, last] = readRange(begin, end);
    this.#window.look();
    const window = this.#window;
    const { codec, size, isLittle } = window;
    const [from, to] = clampRange(first, last, size);
    const bytes = new Uint8Array((to - from) * codec.size);
    window.load(bytes, from);
    const view = new DataView(bytes.buffer);
    const little = window.isNative ? isLittle : !isLittle;
    return Array.from(
      { length: to - from },
      (_, i) => codec.read(view, i * codec.size, little),
    );
  }

  /**
   * Copies all strings of `source` here, from flat index `offset` on.
   *
   * @throws {RangeError} if there is no room for them, or one is too long; nothing is
   * written then.
   * @throws {TypeError} if one is no string.
   * @throws {ReadonlyError} in mode `r`.
   */
  copyFrom(source: ArrayLike<string> | MemmapStrings, offset?: number): this {
    checkCount(arguments.length, 2, "copyFrom(source, offset)");
    const at = offset === undefined ? 0 : offset;
    const window = this.#window;
    window.edit();
    const isArray = typeof source === "object" && source !== null &&
      #window in source;
    const list: ArrayLike<unknown> = isArray
      ? source.#listFor(window, at)
      : source as ArrayLike<string>;
    const count = readLength(list);
    checkRoom(count, at, window.size);
    const { codec } = window;
    const bytes = new Uint8Array(count * codec.size);
    for (let i = 0; i < count; i++) {
      bytes.set(codec.encode(list[i]), i * codec.size); // may run the caller's code
    }
    window.store(bytes, at);
    return this;
  }

  /** All strings, once it is known that a window has room for them at `offset`. */
  #listFor({ size }: Window, offset: number): string[] {
    checkRoom(this.#window.size, offset, size);
    return this.toArray();
  }

  /**
   * Gives the array another shape, of more or fewer elements, and resizes the slice
   * with it, as {@linkcode MemmapArray.resize} does: new elements repeat the old, or are
   * `fill`.
   *
   * @throws {RangeError} if the elements do not lie side by side.
   * @throws {ReadonlyError} in mode `r`.
   */
  resize(
    shape: number | readonly number[],
    options?: { fill?: string },
  ): this {
    const window = this.#window;
    const { codec } = window;
    const read = readShapeAndFill(shape, options, arguments.length);
    const fill = read.fill === undefined ? undefined : codec.encode(read.fill);
    window.edit();
    const target = checkShape(read.shape);
    const before = window.size;
    const { place } = window.view;
    resizeSlice(window.view, target, fill === undefined);
    const strides = rowMajor(target, codec.size);
    window.become({ place, shape: target, strides });
    if (window.size > before && fill !== undefined) {
      this.#fillFrom(fill, before);
    }
    return this;
  }

  /** The strings in row-major order; see {@linkcode MemmapArray}'s iterator. */
  [Symbol.iterator](): IteratorObject<string, undefined> {
    const window = new Window(this.#window.view);
    window.lookAgain();
    const { codec, shape, strides, size, first } = window;
    const lines = new Lines(shape, strides, codec.size, 0, size);
    return walk(window, lines, first);
  }

  /**
   * `CharArray(['this', 'that'])`, as numarray prints it. Of more than 1000 elements,
   * those in the middle are left out.
   */
  override toString(): string {
    const window = this.#window;
    const absence = absenceOf(window.view, "MemmapStrings");
    if (absence !== undefined) return absence;
    return printArray({
      shape: window.shape,
      prefix: "CharArray(",
      suffix: "",
      words: stringWords,
      at: (index) => this.get(...index),
    });
  }

  #write(window: Window<TextCodec>, at: number, value: unknown): void {
    const { codec } = window;
    const encoded = codec.encode(value);
    writeText(window.edit(), at, encoded, codec, window.isNative);
    if (window.faults[0] !== 0) window.memory.checkFaults();
  }

  /** Sets the elements from flat index `begin` on. */
  #fillFrom(encoded: Uint8Array, begin: number): void {
    const window = this.#window;
    const { size } = window;
    const each = Math.min(
      Math.max(Math.floor(65_536 / encoded.length), 1),
      size,
    );
    const piece = new Uint8Array(each * encoded.length);
    for (let i = 0; i < each; i++) piece.set(encoded, i * encoded.length);
    for (let at = begin; at < size; at += each) {
      const count = Math.min(each, size - at);
      window.store(piece.subarray(0, count * encoded.length), at);
    }
  }
}
