/**
 * Arrays over one slice, compared with a model: a list of bytes, and strides. After each
 * random operation, every byte of the slice and every element of every array is
 * compared.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  type ByteOrder,
  type DType as AnyDType,
  type Element,
  type Memmap,
  type MemmapArray as AnyArray,
  type MemmapSlice,
  open,
  type TypedArrayOf,
} from "../../mod.ts";
import {
  below,
  isThorough,
  type Random,
  randomFrom,
  SEED,
  temporaryFolder,
} from "../support/support.ts";

const RUNS = isThorough ? 3000 : 150;
const STEPS = 40;
const NATIVE: ByteOrder = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
  ? "little"
  : "big";

/** The types that DataView has; complex_test.ts is about the others. */
type DType = Exclude<AnyDType, "complex64" | "complex128">;
type MemmapArray<T extends DType = DType> = AnyArray<T>;
type Value = Element<DType>;

/** The DataView methods and the typed array of each type. */
const TYPES = {
  bool: ["Uint8", Uint8Array],
  int8: ["Int8", Int8Array],
  uint8: ["Uint8", Uint8Array],
  int16: ["Int16", Int16Array],
  uint16: ["Uint16", Uint16Array],
  int32: ["Int32", Int32Array],
  uint32: ["Uint32", Uint32Array],
  int64: ["BigInt64", BigInt64Array],
  uint64: ["BigUint64", BigUint64Array],
  float16: ["Float16", Float16Array],
  float32: ["Float32", Float32Array],
  float64: ["Float64", Float64Array],
} as const;
const NAMES = Object.keys(TYPES) as DType[];

function sizeOf(type: DType): number {
  return TYPES[type][1].BYTES_PER_ELEMENT;
}

function kindOf(type: DType): "boolean" | "bigint" | "number" {
  if (type === "bool") return "boolean";
  return type.endsWith("int64") ? "bigint" : "number";
}

function decoded(
  bytes: readonly number[],
  type: DType,
  order: ByteOrder,
): Value {
  const view = new DataView(Uint8Array.from(bytes).buffer);
  const value = view[`get${TYPES[type][0]}`](0, order === "little");
  return type === "bool" ? value !== 0 : value;
}

function encoded(value: Value, type: DType, order: ByteOrder): number[] {
  const bytes = new Uint8Array(sizeOf(type));
  const given = typeof value === "boolean" ? Number(value) : value;
  new DataView(bytes.buffer)[`set${TYPES[type][0]}`](
    0,
    given as never,
    order === "little",
  );
  return [...bytes];
}

/** An array, and what it should look like. */
class Model {
  readonly array: MemmapArray;
  readonly type: DType;
  readonly order: ByteOrder;
  readonly byteOffset: number;
  shape: readonly number[];
  strides: readonly number[];

  constructor(
    array: MemmapArray,
    type: DType,
    order: ByteOrder,
    byteOffset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.array = array;
    this.type = type;
    this.order = order;
    this.byteOffset = byteOffset;
    this.shape = shape;
    this.strides = strides;
  }

  get itemSize(): number {
    return sizeOf(this.type);
  }

  /** All indices, in row-major order. */
  get indices(): number[][] {
    return this.shape.reduce<number[][]>(
      (all, length) =>
        all.flatMap((index) =>
          [...Array(length).keys()].map((i) => [...index, i])
        ),
      [[]],
    );
  }

  /** The byte offset of each element in the slice. */
  get offsets(): number[] {
    return this.indices.map((index) =>
      this.byteOffset +
      index.reduce((at, i, axis) => at + i * this.strides[axis]!, 0)
    );
  }

  get isContiguous(): boolean {
    return this.offsets.every((at, i) =>
      at === this.byteOffset + i * this.itemSize
    );
  }

  fits(bytes: readonly number[]): boolean {
    return this.offsets.every((at) =>
      at >= 0 && at + this.itemSize <= bytes.length
    );
  }

  /** Whether elements share bytes: it is not said then which write is the last. */
  get overlaps(): boolean {
    const sorted = this.offsets.toSorted((a, b) => a - b);
    return sorted.some((at, i) => i > 0 && at - sorted[i - 1]! < this.itemSize);
  }

  /** The part of the same bytes that these numbers describe. */
  part(
    array: MemmapArray,
    byteOffset: number,
    shape: readonly number[],
    strides: readonly number[],
  ): Model {
    return new Model(array, this.type, this.order, byteOffset, shape, strides);
  }

  bitsOf(bytes: readonly number[], flat: number): number[] {
    const at = this.offsets[flat]!;
    return bytes.slice(at, at + this.itemSize);
  }

  /** The elements' bytes in row-major order and the machine's byte order. */
  nativeBits(bytes: readonly number[]): number[] {
    return this.offsets.flatMap((at) => {
      const bits = bytes.slice(at, at + this.itemSize);
      return this.order === NATIVE ? bits : bits.reverse();
    });
  }

  values(bytes: readonly number[]): Value[] {
    return this.offsets.map((_, i) =>
      decoded(this.bitsOf(bytes, i), this.type, this.order)
    );
  }

  write(bytes: number[], flat: number, value: Value): void {
    const bits = encoded(value, this.type, this.order);
    bytes.splice(this.offsets[flat]!, bits.length, ...bits);
  }
}

interface Scene {
  readonly map: Memmap;
  readonly slice: MemmapSlice;
  readonly bytes: number[];
  readonly models: Model[];
  readonly random: Random;
}

/** Any value of the type but NaN: engines may write any of its bit patterns. */
function someValue(type: DType, random: Random): Value {
  const bits = Array.from({ length: 8 }, () => below(random, 256));
  const value = decoded(bits, type, "big");
  return Number.isNaN(value) ? 1.5 : value;
}

function someShape(random: Random, most: number): number[] {
  const shape: number[] = [];
  for (let ndim = below(random, 4), left = most; ndim > 0; ndim--) {
    const length = below(random, Math.min(left, 5) + 1);
    shape.push(length);
    left = Math.floor(left / Math.max(length, 1));
  }
  return shape;
}

function rowMajor(shape: readonly number[], size: number): number[] {
  return shape.map((_, axis) =>
    shape.slice(axis + 1).reduce((a, b) => a * Math.max(b, 1), size)
  );
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

const RANGE_ERROR = { name: "RangeError" };

/** What these operations do to elements that share bytes depends on their order. */
const WRITES = ["fill", "copyFromBits", "copyFromList", "copyFromArray"];

/** Operations on one array. */
const ON_AN_ARRAY: Record<string, (scene: Scene, model: Model) => void> = {
  get: ({ bytes, random }, model) => {
    const values = model.values(bytes);
    for (let i = 0; i < 3 && values.length > 0; i++) {
      const flat = below(random, values.length);
      const value = model.array.get(...model.indices[flat]!);
      assert.ok(Object.is(value, values[flat]), `${value}, ${values[flat]}`);
    }
  },
  set: ({ bytes, random }, model) => {
    const { indices } = model;
    for (let i = 0; i < 3 && indices.length > 0; i++) {
      const flat = below(random, indices.length);
      const value = someValue(model.type, random);
      model.array.set(...[...indices[flat]!, value] as [...number[], Value]);
      model.write(bytes, flat, value);
    }
  },
  fill: ({ bytes, random }, model) => {
    const value = someValue(model.type, random);
    model.array.fill(value);
    model.indices.forEach((_, i) => model.write(bytes, i, value));
  },
  apply: ({ bytes, random }, model) => {
    let next = 0;
    model.array.apply((x, i) => {
      assert.equal(i, next++);
      const [before] = model.values(bytes).slice(i, i + 1);
      assert.ok(Object.is(x, before));
      const after = i % 2 === 0 && !Number.isNaN(x)
        ? x
        : someValue(model.type, random);
      model.write(bytes, i, after);
      return after;
    });
    assert.equal(next, model.indices.length);
  },
  copyFromBits: ({ bytes, random }, model) => {
    const { offsets, itemSize, type } = model;
    const offset = below(random, offsets.length + 1);
    const count = below(random, offsets.length - offset + 1);
    const source = Uint8Array.from(
      { length: count * itemSize },
      () => below(random, 256),
    );
    // A typed array cannot be misaligned, but it can begin in the middle of a buffer.
    const padded = new Uint8Array(source.length + itemSize);
    padded.set(source, itemSize);
    const values = new TYPES[type][1](padded.buffer, itemSize, count);
    model.array.copyFrom(values as TypedArrayOf<DType>, offset);
    for (let i = 0; i < count; i++) {
      const bits = [...source.subarray(i * itemSize, (i + 1) * itemSize)];
      if (model.order !== NATIVE) bits.reverse();
      bytes.splice(offsets[offset + i]!, itemSize, ...bits);
    }
  },
  copyFromList: ({ bytes, random }, model) => {
    const { length } = model.indices;
    const offset = below(random, length + 1);
    const count = below(random, length - offset + 2);
    const values = Array.from(
      { length: count },
      () => someValue(model.type, random),
    );
    if (offset + count > length) {
      assert.throws(() => model.array.copyFrom(values, offset), RANGE_ERROR);
      return;
    }
    model.array.copyFrom(values, offset);
    values.forEach((value, i) => model.write(bytes, offset + i, value));
  },
  copyFromArray: ({ bytes, models, random }, model) => {
    const source = models[below(random, models.length)]!;
    if (!source.fits(bytes)) return;
    const { length } = model.indices;
    const offset = below(random, length + 1);
    const values = source.values(bytes);
    const copy = () => model.array.copyFrom(source.array, offset);
    if (offset + values.length > length) {
      assert.throws(copy, RANGE_ERROR);
    } else if (source.type === model.type) {
      const bits = values.map((_, i) => source.bitsOf(bytes, i));
      copy();
      bits.forEach((one, i) => {
        if (source.order !== model.order) one.reverse();
        bytes.splice(model.offsets[offset + i]!, one.length, ...one);
      });
    } else if (kindOf(source.type) !== kindOf(model.type)) {
      if (values.length > 0) assert.throws(copy, { name: "TypeError" });
    } else if (!values.some(Number.isNaN)) {
      copy();
      values.forEach((value, i) => model.write(bytes, offset + i, value));
    }
  },
  copyTo: ({ bytes, random }, model) => {
    const { length } = model.indices;
    const [begin, end] = [below(random, length + 1), below(random, length + 2)];
    const target = new TYPES[model.type][1](below(random, length + 3));
    const count = Math.min(
      Math.max(Math.min(end, length) - begin, 0),
      target.length,
    );
    const answer = model.array.copyTo(
      target as TypedArrayOf<DType>,
      begin,
      end,
    );
    assert.equal(answer, count);
    const expected = new Uint8Array(target.byteLength);
    expected.set(
      model.nativeBits(bytes)
        .slice(begin * model.itemSize, (begin + count) * model.itemSize),
    );
    assert.deepEqual(new Uint8Array(target.buffer), expected);
  },
  subarray: ({ models, random }, model) => {
    const [length, ...others] = model.shape;
    if (length === undefined) {
      assert.throws(() => model.array.subarray(), RANGE_ERROR);
      return;
    }
    const begin = below(random, length + 1);
    const end = begin + below(random, length - begin + 1);
    models.push(
      new Model(
        model.array.subarray(begin, end),
        model.type,
        model.order,
        model.byteOffset + begin * model.strides[0]!,
        [end - begin, ...others],
        model.strides,
      ),
    );
  },
  pick: ({ models, random }, model) => {
    const index = model.shape.map((length) =>
      length === 0 || random() < 0.5 ? null : below(random, length)
    );
    const kept = <T>(list: readonly T[]) =>
      list.filter((_, axis) => index[axis] === null);
    models.push(
      model.part(
        model.array.pick(...index),
        index.reduce<number>(
          (at, i, axis) => at + (i ?? 0) * model.strides[axis]!,
          model.byteOffset,
        ),
        kept(model.shape),
        kept(model.strides),
      ),
    );
  },
  loAndHi: ({ models, random }, model) => {
    const begin = model.shape.map((length) =>
      random() < 0.5 ? null : below(random, length + 1)
    );
    const most = model.shape.map((length, axis) => length - (begin[axis] ?? 0));
    const lengths = most.map((length) =>
      random() < 0.5 ? null : below(random, length + 1)
    );
    models.push(
      model.part(
        model.array.lo(...begin).hi(...lengths),
        begin.reduce<number>(
          (at, i, axis) => at + (i ?? 0) * model.strides[axis]!,
          model.byteOffset,
        ),
        most.map((length, axis) => lengths[axis] ?? length),
        model.strides,
      ),
    );
  },
  step: ({ models, random }, model) => {
    const steps = model.shape.map(() =>
      [null, 1, 2, 3, -1, -2, -5][below(random, 7)]!
    );
    const along = model.shape.map((length, axis) => {
      const all = Array.from({ length }, (_, i) => i);
      if ((steps[axis] ?? 1) < 0) all.reverse();
      return all.filter((_, i) => i % Math.abs(steps[axis] ?? 1) === 0);
    });
    const array = model.array.step(...steps);
    models.push(
      model.part(
        array,
        along.reduce(
          (at, indices, axis) => at + (indices[0] ?? 0) * model.strides[axis]!,
          model.byteOffset,
        ),
        along.map((indices) => indices.length),
        // That of an axis with one element may be any.
        along.map((indices, axis) =>
          indices.length < 2
            ? array.strides[axis]!
            : (indices[1]! - indices[0]!) * model.strides[axis]!
        ),
      ),
    );
  },
  transpose: ({ models, random }, model) => {
    const axes = [...model.shape.keys()];
    for (let i = axes.length - 1; i > 0; i--) {
      const j = below(random, i + 1);
      [axes[i], axes[j]] = [axes[j]!, axes[i]!];
    }
    models.push(
      new Model(
        model.array.transpose(...axes),
        model.type,
        model.order,
        model.byteOffset,
        axes.map((axis) => model.shape[axis]!),
        axes.map((axis) => model.strides[axis]!),
      ),
    );
  },
  reshape: ({ models, random }, model) => {
    const { offsets, type, order, byteOffset, itemSize } = model;
    const shape: number[] = [];
    let left = offsets.length;
    while (left > 1 || random() < 0.3) {
      const divisors = Array.from({ length: left }, (_, i) => i + 1)
        .filter((divisor) => left % divisor === 0);
      const divisor = divisors[below(random, divisors.length)] ?? 0;
      shape.push(divisor);
      if (divisor === 0) break;
      left /= divisor;
    }
    if (left === 0 && !shape.includes(0)) shape.push(0);
    // The only possible strides.
    const strides = shape.map((length, axis) => {
      const next = countOf(shape.slice(axis + 1));
      return length > 1 ? offsets[next]! - offsets[0]! : itemSize;
    });
    const reshaped = (strides: readonly number[]) =>
      new Model(model.array, type, order, byteOffset, shape, strides);
    if (`${reshaped(strides).offsets}` !== `${offsets}`) {
      assert.throws(() => model.array.reshape(...shape), RANGE_ERROR);
      return;
    }
    const array = model.array.reshape(...shape);
    // An axis with one element may have any stride.
    assert.deepEqual(reshaped(array.strides).offsets, offsets);
    models.push(
      new Model(array, type, order, byteOffset, shape, array.strides),
    );
  },
  resize: ({ bytes, random }, model) => {
    const shape = someShape(random, 20);
    const before = model.indices.length * model.itemSize;
    const after = countOf(shape) * model.itemSize;
    const end = model.byteOffset + Math.min(before, after);
    if (!model.isContiguous || (before !== after && end > bytes.length)) {
      assert.throws(() => model.array.resize(shape), RANGE_ERROR);
      return;
    }
    assert.equal(model.array.resize(shape), model.array);
    const old = before > 0 ? bytes.slice(model.byteOffset, end) : [0];
    bytes.splice(
      end,
      Math.max(before - after, 0),
      // New elements repeat the old ones.
      ...Array.from(
        { length: Math.max(after - before, 0) },
        (_, i) => old[i % old.length]!,
      ),
    );
    model.shape = shape;
    model.strides = rowMajor(shape, model.itemSize);
  },
};

/** Operations on the slice and the map. */
const ON_THE_SLICE: Record<string, (scene: Scene) => void> = {
  create: ({ slice, bytes, models, random }) => {
    const type = NAMES[below(random, NAMES.length)]!;
    const order = random() < 0.5 ? "little" : "big";
    const byteOffset = below(random, Math.min(bytes.length, 20) + 1);
    const most = Math.floor((bytes.length - byteOffset) / sizeOf(type));
    const shape = someShape(random, Math.min(most, 30));
    const options = { byteOrder: order, byteOffset, shape } as const;
    if (countOf(shape) > most) {
      assert.throws(() => slice.array(type, options), RANGE_ERROR);
      return;
    }
    const array: MemmapArray = slice.array(type, options);
    models.push(
      new Model(
        array,
        type,
        order,
        byteOffset,
        shape,
        rowMajor(shape, sizeOf(type)),
      ),
    );
  },
  createStrided: ({ slice, bytes, models, random }) => {
    const type = NAMES[below(random, NAMES.length)]!;
    const order = random() < 0.5 ? "little" : "big";
    const shape = someShape(random, 30);
    const strides = shape.map(() => below(random, 60) - 20);
    const byteOffset = below(random, bytes.length + 1);
    const options = { byteOrder: order, byteOffset, shape, strides } as const;
    const make = (): MemmapArray => slice.array(type, options);
    const model = (array: MemmapArray) =>
      new Model(array, type, order, byteOffset, shape, strides);
    if (!model(undefined as unknown as MemmapArray).fits(bytes)) {
      assert.throws(make, RANGE_ERROR);
    } else models.push(model(make()));
  },
  createInColumns: ({ slice, bytes, models, random }) => {
    const type = NAMES[below(random, NAMES.length)]!;
    const shape = someShape(random, 12);
    if (countOf(shape) * sizeOf(type) > bytes.length) return;
    const options = { byteOrder: "big", shape, order: "F" } as const;
    const array: MemmapArray = slice.array(type, options);
    const strides = rowMajor(shape.toReversed(), sizeOf(type)).reverse();
    models.push(new Model(array, type, "big", 0, shape, strides));
  },
  sliceResize: ({ slice, bytes, random }) => {
    const length = below(random, 200);
    slice.resize(length);
    while (bytes.length > length) bytes.pop();
    while (bytes.length < length) bytes.push(0);
  },
  sliceSplice: ({ slice, bytes, random }) => {
    const offset = below(random, bytes.length + 1);
    const count = below(random, Math.min(bytes.length - offset, 10) + 1);
    const content = Uint8Array.from(
      { length: below(random, 15) },
      () => below(random, 256),
    );
    slice.splice(offset, count, content);
    bytes.splice(offset, count, ...content);
  },
  sliceBytes: ({ slice, bytes, random }) => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = below(random, 256);
    slice.set(bytes);
  },
  neighbourResize: ({ map, slice, random }) => {
    const others = map.slices.filter((other) => other !== slice);
    others[below(random, others.length)]!.resize(below(random, 100));
  },
  insert: ({ map, slice, random }) => {
    if (map.slices.length > 8) return;
    map.insert(random() < 0.5 ? slice.begin : slice.end, below(random, 20));
  },
  transfer: ({ slice }) => {
    slice.buffer.transfer();
  },
  flush: ({ map, random }) => {
    const strategy = (["auto", "replace", "in-place"] as const)[
      below(random, 3)
    ]!;
    map.flush({ strategy, durable: false });
    const content = fs.readFileSync(map.path);
    const expected = Buffer.concat(map.slices.map(({ bytes }) => bytes));
    assert.ok(content.equals(expected), "the file differs from the slices");
  },
};

const OPERATIONS = [
  ...Object.keys(ON_THE_SLICE),
  ...Object.keys(ON_AN_ARRAY),
];

function check(scene: Scene): void {
  const { slice, bytes, models } = scene;
  const same = Buffer.compare(slice.bytes, Uint8Array.from(bytes)) === 0;
  if (!same) assert.deepEqual([...slice.bytes], bytes);
  for (const model of models) {
    const { array, shape } = model;
    assert.deepEqual(array.shape, shape);
    assert.deepEqual(array.strides, model.strides);
    assert.equal(array.byteOffset, model.byteOffset);
    assert.equal(array.size, countOf(shape));
    if (!model.fits(bytes)) {
      assert.throws(() => array.toTypedArray(), RANGE_ERROR);
      assert.throws(() => array.get(...model.indices[0]!), RANGE_ERROR);
      assert.throws(() => array.data, RANGE_ERROR);
      continue;
    }
    ON_AN_ARRAY["get"]!(scene, model);
    const values = array.toTypedArray();
    const actual = new Uint8Array(values.buffer);
    const expected = Uint8Array.from(model.nativeBits(bytes));
    if (Buffer.compare(actual, expected) !== 0) {
      assert.deepEqual([...actual], [...expected]);
    }
    const decodedValues = model.values(bytes);
    let flat = 0;
    for (const value of array) {
      assert.ok(Object.is(value, decodedValues[flat++]));
    }
    assert.equal(flat, decodedValues.length);
    const isNative = model.order === NATIVE || model.itemSize === 1;
    const isEven = model.strides.every((stride, axis) =>
      model.indices.length === 0 || shape[axis] === 1 ||
      (stride >= 0 && stride % model.itemSize === 0)
    );
    const { slice, byteOffset } = array;
    const isAligned = byteOffset % model.itemSize === 0 &&
      (slice.state === "floating" || slice.begin % model.itemSize === 0);
    assert.equal(array.data !== null, isNative && isAligned && isEven);
  }
}

function run(operations: readonly string[], seed: number): void {
  using folder = temporaryFolder();
  const path = join(folder.path, "model.dat");
  fs.writeFileSync(path, Uint8Array.from({ length: 300 }, (_, i) => i * 31));
  const map = open(path);
  try {
    map.slice(0, 77);
    const slice = map.slice(77, 200);
    map.slice(200, 300);
    const random = randomFrom(seed);
    const bytes = [...slice.bytes];
    const scene = { map, slice, bytes, models: [] as Model[], random };
    ON_THE_SLICE["create"]!(scene);
    for (const name of operations) {
      const { models } = scene;
      const model = models[below(random, models.length)];
      ON_THE_SLICE[name]?.(scene);
      const isVague = WRITES.includes(name) && model?.overlaps;
      if (model?.fits(bytes) && !isVague) ON_AN_ARRAY[name]?.(scene, model);
      check(scene);
      while (models.length > 6) models.splice(below(random, 6), 1);
    }
  } finally {
    map.close({ discard: true });
  }
}

test("after random operations, bytes and elements are those of a plain model", {
  timeout: 600_000,
}, () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...OPERATIONS), {
        minLength: 5,
        maxLength: STEPS,
      }),
      fc.nat(),
      run,
    ),
    { numRuns: RUNS, seed: SEED },
  );
});
