/**
 * Arrays in the model. An array is a list of offsets into a slice, one for each element,
 * and what a DataView reads there.
 *
 * @module
 */

import {
  joined,
  type ModelSlice,
  rangeError,
  typeError,
  within,
} from "./model.ts";

/** Each element type: its DataView name, its size in bytes, and its kind of value. */
const ELEMENTS = {
  bool: ["Uint8", 1, "boolean"],
  int8: ["Int8", 1, "number"],
  uint8: ["Uint8", 1, "number"],
  int16: ["Int16", 2, "number"],
  uint16: ["Uint16", 2, "number"],
  int32: ["Int32", 4, "number"],
  uint32: ["Uint32", 4, "number"],
  int64: ["BigInt64", 8, "bigint"],
  uint64: ["BigUint64", 8, "bigint"],
  float16: ["Float16", 2, "number"],
  float32: ["Float32", 4, "number"],
  float64: ["Float64", 8, "number"],
} as const;

/** The name of an element type. */
export type ModelType = keyof typeof ELEMENTS;
/** All of them. */
export const MODEL_TYPES = Object.keys(ELEMENTS) as ModelType[];
type Value = number | bigint | boolean;

/** The byte order of this machine. */
export const NATIVE_ORDER: "little" | "big" =
  new Uint16Array(Uint8Array.of(1, 0).buffer)[0] === 1 ? "little" : "big";

/** The size of an element in bytes. */
export function elementSize(type: ModelType): number {
  return ELEMENTS[type][1];
}

function decode(bytes: Uint8Array, type: ModelType, order: string): Value {
  const view = new DataView(bytes.slice().buffer);
  const value = view[`get${ELEMENTS[type][0]}`](0, order === "little");
  return type === "bool" ? value !== 0 : value;
}

function encode(value: unknown, type: ModelType, order: string): Uint8Array {
  const kind: string = typeof value;
  if (kind !== ELEMENTS[type][2]) throw typeError();
  const view = new DataView(new ArrayBuffer(elementSize(type)));
  const given = typeof value === "boolean" ? Number(value) : value as never;
  view[`set${ELEMENTS[type][0]}`](0, given as never, order === "little");
  return new Uint8Array(view.buffer);
}

/** A value of a type, determined by a number. Never NaN, which has many bit patterns. */
export function someValue(type: ModelType, number: number): Value {
  const bits = Uint8Array.from({ length: 8 }, (_, i) => number >>> (i * 5));
  const value = decode(bits, type, "little");
  return Number.isNaN(value) ? 0.5 : value;
}

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

function sideBySide(shape: readonly number[], size: number): number[] {
  return shape.map((_, axis) =>
    product(shape.slice(axis + 1).map((n) => Math.max(n, 1))) * size
  );
}

/** A shape as given, with a -1 replaced by what `available` elements allow. */
function shapeOf(shape: unknown, available?: number): number[] {
  const given = typeof shape === "number" ? [shape] : [...shape as number[]];
  const unknown = available === undefined ? -1 : given.indexOf(-1);
  if (unknown !== -1) {
    given[unknown] = 1;
    const others = product(given);
    if (others <= 0) throw rangeError();
    given[unknown] = Math.floor(available! / others);
  }
  if (given.some((n) => !Number.isSafeInteger(n) || n < 0)) throw rangeError();
  if (!given.includes(0) && !Number.isSafeInteger(product(given))) {
    throw rangeError();
  }
  return given;
}

/** An array over a slice. */
export class ModelArray {
  readonly slice: ModelSlice;
  readonly dtype: ModelType;
  readonly byteOrder: "little" | "big";
  readonly byteOffset: number;
  shape: number[];
  strides: number[];

  constructor(
    slice: ModelSlice,
    dtype: ModelType,
    byteOrder: "little" | "big",
    byteOffset: number,
    shape: number[],
    strides: number[],
  ) {
    this.slice = slice;
    this.dtype = dtype;
    this.byteOrder = byteOrder;
    this.byteOffset = byteOffset;
    this.shape = shape;
    this.strides = strides;
    this.#look();
  }

  /** Models `MemmapSlice.array()`. */
  static of(
    slice: ModelSlice,
    dtype: ModelType,
    byteOrder: "little" | "big",
    byteOffset?: unknown,
    shape?: unknown,
  ): ModelArray {
    slice.use();
    if (!Object.hasOwn(ELEMENTS, dtype)) throw typeError();
    const offset = within(byteOffset ?? 0, slice.length);
    const room = Math.floor((slice.length - offset) / elementSize(dtype));
    const axes = shapeOf(shape ?? room, room);
    if (product(axes) > room) throw rangeError();
    const strides = sideBySide(axes, elementSize(dtype));
    return new ModelArray(slice, dtype, byteOrder, offset, axes, strides);
  }

  get itemSize(): number {
    return elementSize(this.dtype);
  }

  get size(): number {
    return product(this.shape);
  }

  get isNative(): boolean {
    return this.itemSize === 1 || this.byteOrder === NATIVE_ORDER;
  }

  get #isSideBySide(): boolean {
    return this.offsets().every((at, i) =>
      at === this.byteOffset + i * this.itemSize
    );
  }

  /** Whether no element comes before the first. */
  get isForwards(): boolean {
    return this.size === 0 ||
      this.strides.every((stride, axis) =>
        stride >= 0 || this.shape[axis] === 1
      );
  }

  /** Where each element is in the slice, in row-major order. */
  offsets(
    shape: readonly number[] = this.shape,
    strides: readonly number[] = this.strides,
  ): number[] {
    let offsets = this.size === 0 ? [] : [this.byteOffset];
    shape.forEach((length, axis) => {
      const step = strides[axis]!;
      offsets = offsets.flatMap((at) =>
        Array.from({ length }, (_, i) => at + i * step)
      );
    });
    return offsets;
  }

  /** Throws unless the slice can be used and contains all elements. */
  #look(): void {
    this.slice.use();
    const reach = this.shape.map((n, axis) => (n - 1) * this.strides[axis]!);
    const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
    const low = sum(reach.filter((bytes) => bytes < 0));
    const high = sum(reach.filter((bytes) => bytes > 0));
    const begin = this.byteOffset + low;
    const end = this.byteOffset + high + this.itemSize;
    if (this.size > 0 && (begin < 0 || end > this.slice.length)) {
      throw rangeError();
    }
    this.slice.checkFaults();
  }

  /** Models the getter. */
  lookAtData(): void {
    this.#look();
  }

  #edit(): void {
    this.#look();
    this.slice.edit();
  }

  /** Notes that these elements were accessed. */
  #meet(offsets: readonly number[]): void {
    for (const at of offsets) this.slice.meet(at, at + this.itemSize);
  }

  /** The bytes of each element in the machine's order, read without counting as an access. */
  #peek(offsets: readonly number[]): Uint8Array[] {
    const bytes = this.slice.peek();
    return offsets.map((at) => {
      const bits = bytes.slice(at, at + this.itemSize);
      return this.isNative ? bits : bits.reverse();
    });
  }

  #decode(bits: Uint8Array): Value {
    return decode(bits, this.dtype, NATIVE_ORDER);
  }

  bits(offsets: readonly number[] = this.offsets()): Uint8Array[] {
    this.#look();
    this.#meet(offsets);
    return this.#peek(offsets);
  }

  values(): Value[] {
    return this.bits().map((bits) => this.#decode(bits));
  }

  /** As {@linkcode values}, without counting as an access; for the tests themselves. */
  peekValues(): Value[] {
    this.#look();
    return this.#peek(this.offsets()).map((bits) => this.#decode(bits));
  }

  #poke(at: number, bits: Uint8Array): void {
    this.slice.poke(at, this.isNative ? bits : bits.slice().reverse());
  }

  #encode(value: unknown): Uint8Array {
    return encode(value, this.dtype, NATIVE_ORDER);
  }

  #locate(index: readonly number[]): number {
    if (index.length !== this.shape.length) throw rangeError();
    return index.reduce((at, i, axis) => {
      if (!Number.isInteger(i) || i < 0 || i >= this.shape[axis]!) {
        throw rangeError();
      }
      return at + i * this.strides[axis]!;
    }, this.byteOffset);
  }

  get(...index: number[]): Value {
    const at = this.#locate(index);
    return this.#decode(this.bits([at])[0]!);
  }

  set(...indexThenValue: unknown[]): unknown {
    const at = this.#locate(indexThenValue.slice(0, -1) as number[]);
    const value = indexThenValue.at(-1);
    // It is optimized for loops, so it notices faults only after it has written.
    const isSwift = this.shape.length === 1 &&
      typeof value === ELEMENTS[this.dtype][2];
    const { state, isFaulted, map } = this.slice;
    if (isSwift && state === "mapped" && isFaulted && map.mode !== "r") {
      this.#poke(at, this.#encode(value));
    }
    this.#edit();
    this.#poke(at, this.#encode(value));
    this.#meet([at]);
    return value;
  }

  fill(value: unknown): void {
    this.#edit();
    const bits = this.#encode(value);
    for (const at of this.offsets()) this.#poke(at, bits);
    this.#meet(this.offsets());
  }

  apply(f: (value: Value, flatIndex: number) => Value): void {
    this.#edit();
    const offsets = this.offsets();
    const values = this.#peek(offsets).map((bits) => this.#decode(bits));
    offsets.forEach((at, i) => {
      this.#meet([at]);
      this.#poke(at, this.#encode(f(values[i]!, i)));
    });
  }

  toTypedArray(begin?: number, end?: number): Uint8Array {
    return joined(this.bits(this.offsets().slice(begin, end)));
  }

  copyFrom(source: ModelArray | readonly unknown[], offset = 0): void {
    this.#edit();
    const isArray = source instanceof ModelArray;
    const count = isArray ? source.size : source.length;
    if (!Number.isSafeInteger(offset) || offset < 0) throw rangeError();
    if (offset + count > this.size) throw rangeError();
    if (count === 0) return;
    const bits = isArray && source.dtype === this.dtype
      ? source.bits()
      : (isArray ? source.values() : source).map((v) => this.#encode(v));
    const offsets = this.offsets().slice(offset, offset + count);
    bits.forEach((one, i) => this.#poke(offsets[i]!, one));
    this.#meet(offsets);
  }

  subarray(begin?: number, end?: number): ModelArray {
    const [length, ...others] = this.shape;
    if (length === undefined) throw rangeError();
    const rows = Array.from({ length }, (_, i) => i).slice(begin, end);
    // An empty part begins where it would begin if it were not empty.
    const whole = Math.trunc(begin ?? 0);
    const first = whole < 0
      ? Math.max(whole + length, 0)
      : Math.min(whole, length);
    return this.#as(
      [rows.length, ...others],
      this.strides,
      this.byteOffset + first * this.strides[0]!,
    );
  }

  /** Throws unless there is at most one choice for each axis, within limits. */
  #choose(
    given: readonly (number | null)[],
    least: (length: number) => number,
    most: (length: number) => number,
  ): void {
    if (given.length > this.shape.length) throw rangeError();
    given.forEach((choice, axis) => {
      const length = this.shape[axis]!;
      if (choice === null) return;
      if (choice < least(length) || choice > most(length)) throw rangeError();
    });
  }

  /** As far from the first element as these indices are. */
  #at(index: readonly (number | null)[]): number {
    return index.reduce<number>(
      (at, i, axis) => at + (i ?? 0) * this.strides[axis]!,
      this.byteOffset,
    );
  }

  pick(...index: (number | null)[]): ModelArray {
    this.#choose(index, () => 0, (length) => length - 1);
    const kept = <T>(list: readonly T[]) =>
      list.filter((_, axis) => (index[axis] ?? null) === null);
    return this.#as(kept(this.shape), kept(this.strides), this.#at(index));
  }

  lo(...begin: (number | null)[]): ModelArray {
    this.#choose(begin, () => 0, (length) => length);
    const shape = this.shape.map((length, axis) => length - (begin[axis] ?? 0));
    return this.#as(shape, this.strides, this.#at(begin));
  }

  hi(...lengths: (number | null)[]): ModelArray {
    this.#choose(lengths, () => 0, (length) => length);
    const shape = this.shape.map((length, axis) => lengths[axis] ?? length);
    return this.#as(shape, this.strides);
  }

  step(...steps: (number | null)[]): ModelArray {
    this.#choose(steps, () => -Infinity, () => Infinity);
    if (steps.includes(0)) throw rangeError();
    const all = this.shape.map((_, axis) => steps[axis] ?? 1);
    const first = all.map((step, axis) =>
      step < 0 ? Math.max(this.shape[axis]! - 1, 0) : 0
    );
    return this.#as(
      this.shape.map((n, axis) => Math.ceil(n / Math.abs(all[axis]!))),
      this.strides.map((stride, axis) => stride * all[axis]!),
      this.#at(first),
    );
  }

  transpose(...axes: number[]): ModelArray {
    const all = this.shape.map((_, axis) => axis);
    const order = axes.length === 0 ? all.toReversed() : axes;
    if (`${order.toSorted((a, b) => a - b)}` !== `${all}`) throw rangeError();
    return this.#as(
      order.map((axis) => this.shape[axis]!),
      order.map((axis) => this.strides[axis]!),
    );
  }

  reshape(...shape: number[]): ModelArray {
    const target = shapeOf(shape, this.size);
    if (product(target) !== this.size) throw rangeError();
    const offsets = this.offsets();
    // The only possible strides: the distances between the elements now.
    const strides = target.map((length, axis) => {
      const next = product(target.slice(axis + 1));
      return length > 1 && this.size > 0
        ? offsets[next]! - offsets[0]!
        : this.itemSize;
    });
    if (`${this.offsets(target, strides)}` !== `${offsets}`) throw rangeError();
    return this.#as(target, strides);
  }

  resize(shape: unknown): void {
    this.#edit();
    const target = shapeOf(shape);
    if (!this.#isSideBySide) throw rangeError();
    const before = this.size * this.itemSize;
    const after = product(target) * this.itemSize;
    const { slice, byteOffset } = this;
    // Only growing reads the bytes, which may have been lost.
    const old = before === 0 || after <= before
      ? new Uint8Array(0)
      : slice.read(byteOffset, byteOffset + before);
    if (byteOffset + before === slice.length) slice.resize(byteOffset + after);
    else if (after > before) {
      slice.splice(byteOffset + before, 0, after - before);
    } else if (after < before) slice.splice(byteOffset + after, before - after);
    // New elements repeat the old ones.
    if (old.length > 0) {
      const added = new Uint8Array(after - before);
      for (let i = 0; i < added.length; i++) added[i] = old[i % before]!;
      slice.set(added, byteOffset + before);
    }
    this.shape = target;
    this.strides = sideBySide(target, this.itemSize);
  }

  #as(
    shape: number[],
    strides: number[],
    byteOffset: number = this.byteOffset,
  ): ModelArray {
    const { slice, dtype, byteOrder } = this;
    return new ModelArray(
      slice,
      dtype,
      byteOrder,
      byteOffset,
      shape,
      strides,
    );
  }
}
