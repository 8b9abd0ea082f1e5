/**
 * `MemmapArray`. Elements are compared with what a DataView finds in the file, and views
 * with index arithmetic. Then there is everything that can happen to the slice meanwhile.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { runtime } from "../../ffi/mod.ts";
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
  assertPrints,
  isDeno,
  isThorough,
  runChild,
  temporaryFolder,
} from "../support/support.ts";

const ORDERS = ["little", "big"] as const;
const NATIVE: ByteOrder = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1
  ? "little"
  : "big";
const OTHER: ByteOrder = NATIVE === "little" ? "big" : "little";

/** The types that DataView has; complex_test.ts is about the others. */
type DType = Exclude<AnyDType, "complex64" | "complex128">;
type MemmapArray<T extends DType = DType> = AnyArray<T>;
type Value = Element<DType>;

/** The DataView methods of each type. */
const ACCESS = {
  bool: "Uint8",
  int8: "Int8",
  uint8: "Uint8",
  int16: "Int16",
  uint16: "Uint16",
  int32: "Int32",
  uint32: "Uint32",
  int64: "BigInt64",
  uint64: "BigUint64",
  float16: "Float16",
  float32: "Float32",
  float64: "Float64",
} as const;

const CONSTRUCTORS = {
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float16: Float16Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

const TYPES = Object.keys(ACCESS) as DType[];

/** Reads an element at a byte offset with a DataView. */
function readAt(
  bytes: Uint8Array,
  type: DType,
  at: number,
  order: ByteOrder,
): Value {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value = view[`get${ACCESS[type]}`](at, order === "little");
  return type === "bool" ? value !== 0 : value;
}

/** Writes an element at a byte offset with a DataView. */
function writeAt(
  bytes: Uint8Array,
  type: DType,
  at: number,
  order: ByteOrder,
  value: Value,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const given = typeof value === "boolean" ? Number(value) : value;
  view[`set${ACCESS[type]}`](at, given as never, order === "little");
}

/** A value as an element of the type stores it. */
function rounded(type: DType, value: Value): Value {
  const bytes = new Uint8Array(8);
  writeAt(bytes, type, 0, "big", value);
  return readAt(bytes, type, 0, "big");
}

/** The number `n` as an element of a type. */
function numbered(type: DType, n: number): Value {
  if (type === "bool") return n % 2 !== 0;
  return type.endsWith("int64") ? BigInt(n) : n;
}

const SPECIAL = [0, -0, 1, -1.5, Infinity, -Infinity, NaN, 1 / 3, Math.PI];

/** The extremes of each type, and values beyond them. */
const SAMPLES: Record<DType, readonly Value[]> = {
  bool: [true, false, true],
  int8: [0, 1, -1, 127, -128, 128, -129, 1e9 + 7],
  uint8: [0, 1, 255, 256, -1, 1000],
  int16: [0, 1, -1, 0x1234, 32767, -32768, 32768, -40000],
  uint16: [0, 1, 0x1234, 65535, 65536, -1],
  int32: [0, 1, -1, 0x12345678, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53],
  uint32: [0, 1, 0x12345678, 2 ** 32 - 1, 2 ** 32, -1],
  int64: [0n, 1n, -1n, 0x0123456789abcdefn, 2n ** 63n - 1n, -(2n ** 63n)],
  uint64: [0n, 1n, 0x0123456789abcdefn, 2n ** 64n - 1n, 2n ** 63n],
  float16: [...SPECIAL, 65504, -65504, 2 ** -24, 2 ** -14, 65520, 65519.99],
  float32: [...SPECIAL, 3.4028234663852886e38, 2 ** -149, 1e39, 2 ** -126],
  float64: [
    ...SPECIAL,
    Number.MAX_VALUE,
    -Number.MAX_VALUE,
    Number.MIN_VALUE,
    2 ** -1022,
  ],
};

/** A new file of zeros, mapped. */
function zeros(folder: string, length: number, name = "array.dat"): Memmap {
  return open(join(folder, name), "w+", { length });
}

/** Runs `use` with a slice of zero bytes that is a whole file. */
function withSlice(
  length: number,
  use: (slice: MemmapSlice, map: Memmap) => void,
): void {
  using folder = temporaryFolder();
  const map = zeros(folder.path, length);
  try {
    use(map.slice(), map);
  } finally {
    map.close({ discard: true });
  }
}

/** An int32 array that counts from 0 in row-major order. */
function counting(
  slice: MemmapSlice,
  shape: readonly number[],
): MemmapArray<"int32"> {
  return slice.array("int32", { shape }).apply((_, i) => i);
}

/** All indices of a shape, in row-major order. */
function indicesOf(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (all, length) =>
      all.flatMap((index) => Array.from({ length }, (_, i) => [...index, i])),
    [[]],
  );
}

/** The elements, read one by one with `get()`. */
function elementsOf<T extends DType>(a: MemmapArray<T>): Element<T>[] {
  return indicesOf(a.shape).map((index) => a.get(...index));
}

/** The elements, after asserting that all ways to read them agree. */
function valuesOf<T extends DType>(a: MemmapArray<T>): Element<T>[] {
  const values = elementsOf(a);
  assert.deepEqual([...a], values);
  const typed: unknown[] = Array.from<unknown>(a.toTypedArray());
  assert.deepEqual(
    a.dtype === "bool" ? typed.map((value) => value !== 0) : typed,
    values,
  );
  return values;
}

/** Asserts equality without printing a hundred thousand bytes. */
function assertBytes(a: Uint8Array, b: Uint8Array, message: string): void {
  assert.ok(Buffer.compare(a, b) === 0, message);
}

const RANGE_ERROR = { name: "RangeError" };
const TYPE_ERROR = { name: "TypeError" };
const DELETED = { name: "DeletedSliceError", code: "ERR_MEMMAP_DELETED" };
const CLOSED = { name: "ClosedError", code: "ERR_MEMMAP_CLOSED" };
const READONLY = { name: "ReadonlyError", code: "ERR_MEMMAP_READONLY" };

// Elements

for (const type of TYPES) {
  test(`${type}: a DataView reads in the file what set() writes, and get() reads what it writes`, () => {
    using folder = temporaryFolder();
    using map = zeros(folder.path, 600);
    const samples = SAMPLES[type];
    const file = fs.openSync(map.path, "r+");
    for (const slice of [map.slice(0, 250), map.slice(301, 551)]) {
      for (const byteOrder of ORDERS) {
        for (let byteOffset = 0; byteOffset <= 8; byteOffset++) {
          const options = { byteOrder, byteOffset };
          const line = slice.array(type, options);
          const column = slice.array(type, { ...options, shape: [-1, 1] });
          const at = (i: number) =>
            slice.begin + byteOffset + i * line.itemSize;
          for (const [i, sample] of samples.entries()) {
            const expected = rounded(type, sample);
            const content = new Uint8Array(600);
            line.set(i, sample);
            fs.readSync(file, content, 0, 600, 0);
            const found = readAt(content, type, at(i), byteOrder);
            assert.ok(Object.is(found, expected), `${found}, ${expected}`);
            // The other byte order, in the next element.
            writeAt(content, type, at(i + 1), byteOrder, sample);
            fs.writeSync(file, content, 0, 600, 0);
            assert.ok(Object.is(line.get(i + 1), expected));
            assert.ok(Object.is(line.get(i), expected));
            // The slower path, for arrays of several axes.
            assert.ok(Object.is(column.get(i + 1, 0), expected));
            column.set(i + 2, 0, sample);
            assert.ok(Object.is(line.get(i + 2), expected));
            line.set(i + 1, numbered(type, 0) as never);
          }
        }
      }
    }
    fs.closeSync(file);
  });

  test(`${type}: fill(), apply() and copyFrom() write the same bytes as set()`, () => {
    withSlice(300, (slice) => {
      for (const byteOrder of ORDERS) {
        for (const byteOffset of [0, 3]) {
          const a = slice.array(type, { shape: 12, byteOrder, byteOffset });
          const others = [a, a.reshape(3, 4), a.reshape(3, 4).transpose()];
          for (const sample of SAMPLES[type]) {
            const expected = Array(12).fill(rounded(type, sample));
            for (const b of others) {
              for (
                const write of [
                  () => b.fill(sample),
                  () => b.apply(() => sample),
                  () => b.copyFrom(Array(12).fill(sample)),
                ]
              ) {
                slice.bytes.fill(0x5a);
                assert.equal(write(), b);
                assert.deepEqual(valuesOf(a), expected);
                assert.equal(
                  readAt(slice.bytes, type, byteOffset, byteOrder),
                  expected[0],
                );
                assert.ok(
                  slice.bytes.subarray(0, byteOffset)
                    .every((byte) => byte === 0x5a),
                );
                assert.equal(slice.bytes[byteOffset + 12 * a.itemSize], 0x5a);
              }
            }
          }
        }
      }
    });
  });
}

test("float16 and float32 round as Math.f16round and Math.fround", () => {
  withSlice(8, (slice) => {
    const half = slice.array(">f2");
    const single = slice.array("<f4");
    let value = 2 ** -26;
    for (let i = 0; i < 600; i++, value *= -1.0823) {
      half.set(0, value);
      assert.equal(half.get(0), Math.f16round(value));
      half.fill(value);
      assert.equal(half.get(3), Math.f16round(value));
      single.set(1, value);
      assert.equal(single.get(1), Math.fround(value));
      single.copyFrom([value]);
      assert.equal(single.get(0), Math.fround(value));
    }
  });
});

test("integers wrap and drop fractions as in typed arrays", () => {
  const numbers = [
    ...[0.9, -0.9, 1.5, -1.5, 127.9, 255.5, NaN, Infinity, -Infinity, -0],
    ...[2 ** 31 + 5, -(2 ** 31) - 5, 2 ** 32 + 3, 2 ** 53, 1e20, -1e300],
  ];
  const bigints = [
    2n ** 63n,
    -(2n ** 63n) - 1n,
    2n ** 64n + 5n,
    -7n,
    3n ** 90n,
  ];
  withSlice(64, (slice) => {
    for (const type of TYPES) {
      if (type === "bool" || type.startsWith("float")) continue;
      const values: Value[] = type.endsWith("64") ? bigints : numbers;
      for (const value of values) {
        const [expected] = CONSTRUCTORS[type].of(value as never) as Iterable<
          Value
        >;
        for (const byteOrder of ORDERS) {
          const a: MemmapArray = slice.array(type, { byteOrder });
          a.set(1, value);
          assert.equal(a.get(1), expected, `${type} ${value}`);
          assert.equal(a.fill(value).get(0), expected);
          assert.equal(a.fill(a.get(0)).copyFrom([value], 2).get(2), expected);
        }
      }
    }
  });
});

test("a value of the wrong kind is a TypeError, and nothing is written", () => {
  const kindOf = (type: DType): string =>
    type === "bool" ? "boolean" : type.endsWith("int64") ? "bigint" : "number";
  const values = [1, 1n, true, "1", null, {}, [1], Symbol("1"), () => 1];
  withSlice(64, (slice) => {
    slice.fill(1);
    const before = slice.slice();
    for (const type of TYPES) {
      for (const shape of [[4], [2, 2], [1, 2, 2, 1]]) {
        // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
        const a: any = slice.array(type, { shape });
        for (const value of values) {
          const kind: string = typeof value;
          if (kind === kindOf(type)) continue;
          const error = {
            name: "TypeError",
            message: new RegExp(
              `^An element of type ${type} must be a ${kindOf(type)}, not `,
            ),
          };
          const zero = shape.map(() => 0);
          assert.throws(() => a.set(...zero, value), error);
          assert.throws(() => a.fill(value), error);
          assert.throws(() => a.apply(() => value), error);
          assert.throws(() => a.copyFrom([value]), error);
        }
      }
    }
    assert.deepEqual(slice.slice(), before);
  });
});

test("fill() and copyFrom() reject undefined like any other wrong value", () => {
  withSlice(64, (slice) => {
    // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
    const a: any = slice.array("int32");
    assert.throws(() => a.fill(), TYPE_ERROR);
    assert.throws(() => a.fill(undefined), TYPE_ERROR);
    assert.throws(() => a.copyFrom([undefined]), TYPE_ERROR);
    // deno-lint-ignore no-sparse-arrays
    assert.throws(() => a.copyFrom([, 1]), TYPE_ERROR);
    assert.throws(() => a.copyFrom("12"), TYPE_ERROR);
    assert.throws(() => a.copyFrom(null), TYPE_ERROR);
    assert.throws(() => a.copyFrom(), TYPE_ERROR);
  });
});

test("set() and apply() reject undefined", () => {
  withSlice(64, (slice) => {
    slice.fill(1);
    for (const shape of [[], [4], [2, 2], [1, 2, 2], [1, 1, 2, 2]]) {
      // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
      const a: any = slice.array("int32", { shape });
      const zero = shape.map(() => 0);
      assert.throws(() => a.set(...zero, undefined), TYPE_ERROR);
      assert.throws(() => a.apply(() => {}), TYPE_ERROR);
    }
    assert.ok(slice.bytes.every((byte) => byte === 1));
  });
});

/** Bit patterns of quiet and signalling NaNs that arithmetic would change. */
const NANS = {
  float16: [0x7c01n, 0x7d55n, 0xfc01n, 0xfdffn, 0x7e00n, 0xfe01n],
  float32: [0x7f800001n, 0x7fa55555n, 0xff800001n, 0xffbfffffn, 0xffc00005n],
  float64: [
    0x7ff0000000000001n,
    0x7ff4deadbeef0123n,
    0xfff0000000000001n,
    0xfff7ffffffffffffn,
    0xfff8000000000005n,
  ],
} as const;

for (const type of ["float16", "float32", "float64"] as const) {
  test(`${type}: every bit of a NaN survives every copy`, () => {
    using folder = temporaryFolder();
    using map = zeros(folder.path, 1000);
    const size = CONSTRUCTORS[type].BYTES_PER_ELEMENT;
    // Twelve elements make rows and columns.
    const patterns = Array.from(
      { length: 12 },
      (_, i) => NANS[type][i % NANS[type].length]!,
    );
    const bitsType = { 2: "uint16", 4: "uint32", 8: "uint64" }[size] as DType;
    const asValue = (bits: bigint) => size === 8 ? bits : Number(bits);
    const bitsOf = (values: TypedArrayOf<typeof type, ArrayBufferLike>) => {
      const bytes = new Uint8Array(values.buffer, values.byteOffset);
      return Array.from(
        values,
        (_, i) => BigInt(readAt(bytes, bitsType, i * size, NATIVE)),
      );
    };
    const source = new Uint8Array(12 * size);
    for (const [i, bits] of patterns.entries()) {
      writeAt(source, bitsType, i * size, NATIVE, asValue(bits));
    }
    const nans = new CONSTRUCTORS[type](source.buffer) as TypedArrayOf<
      typeof type
    >;
    assert.deepEqual(bitsOf(nans), patterns);
    const slice = map.slice(1, 301);
    const second = map.slice(400, 700);
    for (const byteOrder of ORDERS) {
      for (const byteOffset of [0, 5, 8]) {
        const a = slice.array(type, { shape: [3, 4], byteOrder, byteOffset });
        const inFile = () =>
          patterns.map((_, i) =>
            BigInt(
              readAt(slice.bytes, bitsType, byteOffset + i * size, byteOrder),
            )
          );
        a.copyFrom(nans);
        assert.deepEqual(inFile(), patterns);
        assert.deepEqual(bitsOf(a.toTypedArray()), patterns);
        const target = new CONSTRUCTORS[type](13).subarray(1) as TypedArrayOf<
          typeof type
        >;
        assert.equal(a.copyTo(target), 12);
        const copied = target.slice();
        assert.deepEqual(bitsOf(copied), patterns);
        for (const otherOrder of ORDERS) {
          // To another slice, back by columns, and within the slice.
          const b = second.array(type, {
            shape: [4, 3],
            byteOrder: otherOrder,
            byteOffset: 3,
          });
          b.copyFrom(a);
          assert.deepEqual(bitsOf(b.toTypedArray()), patterns);
          b.transpose().copyFrom(a);
          assert.deepEqual(bitsOf(b.transpose().toTypedArray()), patterns);
          b.fill(0).transpose().copyFrom(nans);
          assert.deepEqual(bitsOf(b.transpose().toTypedArray()), patterns);
          a.fill(0).copyFrom(b.transpose());
          assert.deepEqual(inFile(), patterns);
          const c = slice.array(type, {
            shape: 12,
            byteOrder: otherOrder,
            byteOffset: 150,
          });
          c.copyFrom(a);
          assert.deepEqual(bitsOf(c.toTypedArray()), patterns);
        }
        slice.resize(301);
        assert.deepEqual(inFile(), patterns);
        map.insert(0, 3);
        map.flush({ durable: false });
        assert.deepEqual(inFile(), patterns);
        assert.deepEqual(bitsOf(a.toTypedArray()), patterns);
        slice.resize(300);
      }
    }
  });
}

test("reading or writing one element leaves its neighbours alone", () => {
  withSlice(40, (slice) => {
    for (const type of TYPES) {
      for (const byteOrder of ORDERS) {
        slice.fill(0xff);
        const a = slice.array(type, { byteOrder, byteOffset: 1, shape: 3 });
        a.set(1, numbered(type, 0) as never);
        const zeroed = [...slice.bytes.keys()]
          .filter((i) => slice.bytes[i] === 0);
        const expected = Array.from(
          { length: a.itemSize },
          (_, i) => 1 + a.itemSize + i,
        );
        assert.deepEqual(zeroed, expected);
      }
    }
  });
});

test("any byte but 0 is true, and true is written as 1", () => {
  withSlice(4, (slice) => {
    slice.set([0, 1, 2, 255]);
    const a = slice.array("bool");
    assert.deepEqual(valuesOf(a), [false, true, true, true]);
    assert.deepEqual(valuesOf(a.reshape(2, 2)), [...a]);
    a.apply((x) => x);
    assert.deepEqual([...slice.bytes], [0, 1, 1, 1]);
    a.copyFrom([true, false]);
    a.fill(a.get(1)).set(3, true);
    assert.deepEqual([...slice.bytes], [0, 0, 0, 1]);
  });
});

// Indices

test("an invalid index is a RangeError that gives the shape", () => {
  withSlice(960, (slice) => {
    slice.fill(1);
    for (const type of TYPES) {
      const value = numbered(type, 0);
      for (
        const shape of [[], [5], [3, 4], [2, 3, 4], [1, 2, 3, 4], [0], [2, 0]]
      ) {
        // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
        const a: any = slice.array(type, { shape });
        const zero = shape.map(() => 0);
        const wrong: unknown[][] = [[...zero, 0], [...zero, 0, 0]];
        if (shape.length > 0) wrong.push(zero.slice(1));
        for (const [axis, length] of shape.entries()) {
          for (
            const index of [
              ...[-1, length, length + 1, 0.5, -0.5, NaN, Infinity, -Infinity],
              ...[2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 32), 1e300],
              ...["0", "", null, true, [0], {}, { valueOf: () => 0 }],
            ]
          ) {
            wrong.push(zero.with(axis, index as number));
          }
        }
        for (const index of wrong) {
          const expected = (error: Error) => {
            assert.ok(error instanceof RangeError, String(error));
            assert.ok(
              error.message.includes(`shape [${shape.join(", ")}]`),
              error.message,
            );
            return true;
          };
          assert.throws(() => a.get(...index), expected);
          assert.throws(() => a.set(...index, value), expected);
        }
      }
    }
    assert.ok(slice.bytes.every((byte) => byte === 1));
  });
});

test("an index of -0 is 0", () => {
  withSlice(16, (slice) => {
    const a = counting(slice, [4]);
    assert.equal(a.get(-0), 0);
    a.set(-0, 9);
    assert.equal(a.reshape(2, 2).get(-0, -0), 9);
  });
});

// Shapes

test("elements of up to six axes lie in row-major order", () => {
  withSlice(4 * 144, (slice) => {
    const all = [2, 3, 1, 2, 4, 3];
    for (let ndim = 0; ndim <= 6; ndim++) {
      const shape = all.slice(0, ndim);
      for (const byteOrder of ORDERS) {
        const a = slice.array("int32", { shape, byteOrder });
        slice.fill(0);
        for (const [flat, index] of indicesOf(shape).entries()) {
          a.set(...index, flat + 1);
          assert.equal(
            readAt(slice.bytes, "int32", 4 * flat, byteOrder),
            flat + 1,
          );
          assert.equal(a.get(...index), flat + 1);
        }
        assert.deepEqual(valuesOf(a), [...a.toTypedArray()]);
        assert.equal(a.ndim, ndim);
        assert.deepEqual(a.shape, shape);
        assert.equal(a.size, indicesOf(shape).length);
        assert.deepEqual(
          a.strides,
          shape.map((_, i) => shape.slice(i + 1).reduce((x, y) => x * y, 4)),
        );
      }
    }
  });
});

test("an array without axes has one element", () => {
  withSlice(8, (slice) => {
    const a = slice.array(">f8", { shape: [] });
    assert.deepEqual([a.ndim, a.size, a.shape, a.strides], [0, 1, [], []]);
    a.set(Math.PI);
    assert.equal(a.get(), Math.PI);
    assert.equal(new DataView(slice.buffer).getFloat64(0), Math.PI);
    assert.deepEqual([...a.apply((x, i) => x + i)], [Math.PI]);
    assert.equal(a.fill(2).get(), 2);
    assert.equal(a.copyFrom([3]).toTypedArray()[0], 3);
    assert.equal(a.transpose().get(), 3);
    assert.deepEqual(a.reshape(1, 1).shape, [1, 1]);
    assert.equal(a.reshape(1).reshape().get(), 3);
    assert.equal(slice.array("=f8", { shape: [] }).data?.length, 1);
    assert.throws(() => a.subarray(), RANGE_ERROR);
    assert.throws(
      () => slice.array("f8", { shape: [], byteOffset: 1 }),
      RANGE_ERROR,
    );
  });
});

test("an array without elements can be used, and does nothing", () => {
  withSlice(8, (slice, map) => {
    slice.fill(7);
    const empty = map.insert(0, 0);
    for (const from of [slice, empty]) {
      for (const shape of [[0], [0, 3], [2, 0], [2, 0, 5]]) {
        for (const byteOrder of ORDERS) {
          const a = from.array("int32", { shape, byteOrder });
          assert.deepEqual([a.size, a.shape, a.ndim], [0, shape, shape.length]);
          assert.deepEqual(valuesOf(a), []);
          a.fill(1).apply(() => assert.fail()).copyFrom([]).copyFrom(a);
          assert.equal(a.copyTo(new Int32Array(3)), 0);
          assert.equal(a.data?.length, byteOrder === NATIVE ? 0 : undefined);
          assert.deepEqual(a.transpose().shape, shape.toReversed());
          assert.deepEqual(a.reshape(5, 0).shape, [5, 0]);
          assert.equal(a.subarray(0, 1).size, 0);
          assert.equal(a.subarray(1).size, 0);
          assert.match(String(a), /^array\(\[\], /);
        }
      }
    }
    assert.ok(slice.bytes.every((byte) => byte === 7));
  });
});

test("shape defaults to all elements that fit, and -1 stands for what fits", () => {
  withSlice(50, (slice) => {
    assert.deepEqual(slice.array("int32").shape, [12]);
    assert.deepEqual(slice.array("int64", { byteOffset: 3 }).shape, [5]);
    assert.deepEqual(slice.array("int8", { byteOffset: 50 }).shape, [0]);
    assert.deepEqual(slice.array("int64", { byteOffset: -7 }).shape, [0]);
    assert.equal(slice.array("int8", { byteOffset: -7 }).byteOffset, 43);
    const shapeOf = (shape: number | number[], byteOffset = 0) =>
      slice.array("int16", { shape, byteOffset }).shape;
    assert.deepEqual(shapeOf(-1), [25]);
    assert.deepEqual(shapeOf(3), [3]);
    assert.deepEqual(shapeOf([-1, 4]), [6, 4]);
    assert.deepEqual(shapeOf([2, -1, 3], 1), [2, 4, 3]);
    assert.deepEqual(shapeOf([26, -1]), [26, 0]);
    assert.deepEqual(shapeOf([5, 5]), [5, 5]);
    assert.deepEqual(shapeOf([1000, 0]), [1000, 0]);
  });
});

test("a shape or a byteOffset that does not fit is a RangeError", () => {
  withSlice(50, (slice) => {
    for (
      const [shape, byteOffset] of [
        [26, 0],
        [25, 1],
        [[5, 6], 0],
        [[-1, -1], 0],
        [[-1, 0], 0],
        [-2, 0],
        [1.5, 0],
        [NaN, 0],
        [[2 ** 30, 2 ** 30], 0],
        [[2 ** 52], 0],
        [[], 49],
        [0, 51],
        [0, -51],
        [0, 0.5],
        [0, NaN],
        [0, Infinity],
        [0, "0"],
      ] as [number | number[], number][]
    ) {
      assert.throws(
        () => slice.array("int16", { shape, byteOffset }),
        RANGE_ERROR,
        `${shape} ${byteOffset}`,
      );
    }
    assert.throws(() => slice.array("int16", { shape: [5, 6] }), {
      name: "RangeError",
      message: /int16 of shape \[5, 6\] has 60 bytes.* slice of 50 /,
    });
    assert.equal(slice.state, "mapped");
  });
});

test("shape and strides are read-only copies of the caller's lists", () => {
  withSlice(96, (slice) => {
    const given = [2, 3];
    const a = slice.array("float64", { shape: given });
    given[0] = 99;
    assert.deepEqual(a.shape, [2, 3]);
    const lists = [a, a.transpose(), a.subarray(1), a.reshape(6), a.resize(4)]
      .flatMap(({ shape, strides }) => [shape, strides]);
    for (const list of lists) {
      assert.throws(() => (list as number[])[0] = 99, TYPE_ERROR);
    }
    assert.equal(a.shape, a.shape);
    assert.equal(a.strides, a.strides);
    assert.equal(a.slice, slice);
  });
});

// Views

test("subarray() takes a part of the first axis, by the rules of typed arrays", () => {
  withSlice(480, (slice) => {
    for (const shape of [[10], [10, 3], [10, 2, 2]]) {
      const a = counting(slice, shape);
      const row = a.size / 10;
      const model = Array.from({ length: 10 }, (_, i) => i);
      for (
        const range of [
          [],
          [3],
          [3, 7],
          [-4],
          [-4, -1],
          [0, 99],
          [-99, 5],
          [7, 3],
          [10],
          [NaN, 2],
          [1.9, 3.9],
        ]
      ) {
        const part = a.subarray(...range);
        const rows = [...Uint8Array.from(model).subarray(...range)];
        assert.deepEqual(part.shape, [rows.length, ...shape.slice(1)]);
        assert.deepEqual(part.strides, a.strides);
        assert.deepEqual(
          valuesOf(part),
          rows.flatMap((i) =>
            Array.from({ length: row }, (_, j) => i * row + j)
          ),
        );
        assert.equal(part.slice, slice);
      }
      const part = a.subarray(2).subarray(3, 5);
      assert.equal(part.byteOffset, 5 * row * 4);
      part.fill(-1);
      assert.equal([...a].filter((x) => x === -1).length, 2 * row);
    }
  });
});

test("transpose() reorders the axes without copying", () => {
  withSlice(4 * 120, (slice) => {
    const shape = [2, 3, 4, 5];
    const a = counting(slice, shape);
    const orders = indicesOf([4, 4, 4, 4])
      .filter((order) => new Set(order).size === 4);
    for (const order of [[], ...orders]) {
      const axes = order.length === 0 ? [3, 2, 1, 0] : order;
      const b = a.transpose(...order);
      assert.deepEqual(b.shape, axes.map((axis) => shape[axis]));
      assert.deepEqual(b.strides, axes.map((axis) => a.strides[axis]));
      const expected = indicesOf(b.shape).map((index) =>
        a.get(...shape.map((_, axis) => index[axes.indexOf(axis)]!))
      );
      assert.deepEqual(valuesOf(b), expected);
    }
    a.transpose().set(4, 3, 2, 1, -1);
    assert.equal(a.get(1, 2, 3, 4), -1);
    for (
      const wrong of [
        [0],
        [0, 1, 2],
        [0, 1, 2, 2],
        [0, 1, 2, 4],
        [0, 1, 2, -1],
        [0, 1, 2, 3, 3],
        [0, 1, 2, 0.5],
        [0, 1, 2, NaN],
      ]
    ) {
      assert.throws(() => a.transpose(...wrong), RANGE_ERROR);
    }
  });
});

test("reshape() keeps the flat order, or is a RangeError", () => {
  withSlice(4 * 24, (slice) => {
    const a = counting(slice, [24]);
    for (
      const shape of [[24], [4, 6], [2, -1, 3], [1, 24, 1], [2, 2, 2, 3], [-1]]
    ) {
      const b = a.reshape(...shape);
      assert.deepEqual(valuesOf(b), [...a]);
      assert.equal(b.reshape(-1).get(17), 17);
      assert.equal(b.size, 24);
    }
    for (
      const shape of [
        [],
        [23],
        [5, 5],
        [-1, 5],
        [-1, -1],
        [0, -1],
        [2.5, 2],
        [24, 0],
        [-24],
      ]
    ) {
      assert.throws(() => a.reshape(...shape), RANGE_ERROR, String(shape));
    }
    const t = a.reshape(4, 6).transpose(); // [6, 4]
    assert.deepEqual(valuesOf(t.reshape(2, 3, 4)), [...t]);
    assert.deepEqual(valuesOf(t.reshape(3, 2, 2, 2)), [...t]);
    for (const shape of [[24], [4, 6], [8, 3], [-1]]) {
      assert.throws(() => t.reshape(...shape), {
        name: "RangeError",
        message: /needs a copy/,
      });
    }
    const columns = a.reshape(4, 6).transpose().subarray(1, 3).transpose();
    assert.throws(() => columns.reshape(8), RANGE_ERROR);
    assert.deepEqual([...columns], [1, 2, 7, 8, 13, 14, 19, 20]);
    assert.deepEqual([...columns.reshape(2, 2, 2)], [...columns]);
  });
});

test("a column is an array of one axis, with gaps between its elements", () => {
  withSlice(250, (slice) => {
    for (const type of TYPES) {
      for (const byteOrder of ORDERS) {
        for (const byteOffset of [0, 5]) {
          const options = { shape: [6, 5], byteOrder, byteOffset };
          const table = slice.array(type, options);
          table.apply((_, i) => numbered(type, i));
          const values = [...table];
          for (let j = 0; j < 5; j++) {
            const column = table.transpose().subarray(j, j + 1).reshape(6);
            assert.deepEqual(column.shape, [6]);
            assert.deepEqual(column.strides, [5 * column.itemSize]);
            const expected = values.filter((_, i) => i % 5 === j);
            assert.deepEqual(valuesOf(column), expected);
            for (const wrong of [-1, 6, 7, 0.5, 1 / 5, 6 / 5]) {
              assert.throws(() => column.get(wrong), RANGE_ERROR);
              const value = numbered(type, 1);
              assert.throws(() => column.set(wrong, value), RANGE_ERROR);
            }
            for (let i = 0; i < 6; i++) column.set(i, numbered(type, 60 + i));
            for (let i = 0; i < 6; i++) values[5 * i + j] = column.get(i);
            assert.equal(values[5 + j], numbered(type, 61));
            assert.deepEqual(valuesOf(table), values);
            const part = column.subarray(2, 4);
            assert.deepEqual(valuesOf(part), [values[10 + j], values[15 + j]]);
            part.copyFrom(part.toTypedArray().toReversed() as never);
            [values[10 + j], values[15 + j]] = [
              values[15 + j]!,
              values[10 + j]!,
            ];
            assert.deepEqual(elementsOf(table), values);
            assert.deepEqual(
              column.reshape(2, 3).strides,
              [15 * column.itemSize, 5 * column.itemSize],
            );
            assert.equal(column.subarray(1, 2).resize(1).size, 1);
            assert.throws(() => column.resize(7), RANGE_ERROR);
          }
        }
      }
    }
  });
});

// data

test("data is null where the slice begins at an address that forbids a typed array", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "file"), "w+", { length: 300 });
  for (let begin = 0; begin < 16; begin++) {
    using slice = map.slice(begin, begin + 100);
    for (const type of TYPES) {
      for (let byteOffset = 0; byteOffset < 9; byteOffset++) {
        const array = slice.array(type, { byteOffset });
        const { itemSize, data } = array;
        const isAligned = begin % itemSize === 0 && byteOffset % itemSize === 0;
        assert.equal(data !== null, isAligned, `${type} at ${begin}`);
        // Bun ends the process when it prints one that is not aligned.
        if (data !== null) assert.ok(inspect(data).length > 0);
        array.fill(array.get(0)).toTypedArray();
      }
    }
    slice.resize(101); // floating bytes begin at a multiple of 64
    assert.notEqual(slice.array("float64").data, null);
  }
});

test("data is null exactly when byte order or alignment forbids a typed array", () => {
  withSlice(100, (slice) => {
    for (const type of TYPES) {
      for (const byteOrder of ORDERS) {
        for (let byteOffset = 0; byteOffset <= 16; byteOffset++) {
          const a = slice.array(type, { byteOrder, byteOffset, shape: [2, 3] });
          const { data, itemSize } = a;
          const isPossible = (byteOrder === NATIVE || itemSize === 1) &&
            byteOffset % itemSize === 0;
          assert.equal(data !== null, isPossible, `${type} ${byteOffset}`);
          if (data === null) continue;
          assert.ok(data instanceof CONSTRUCTORS[type]);
          assert.equal(data.length, 6);
          assert.equal(data.byteOffset, byteOffset);
          assert.equal(data.buffer, slice.buffer);
          assert.equal(a.data, data);
        }
      }
    }
  });
});

test("the array sees writes through data, and data sees the array's", () => {
  withSlice(100, (slice) => {
    const a = slice.array("float32", { byteOffset: 4, shape: [4, 5] });
    const data = a.data!;
    a.set(2, 3, 1.5);
    assert.equal(data[2 * 5 + 3], 1.5);
    data[7] = -0.25;
    assert.equal(a.get(1, 2), -0.25);
    const part = a.transpose().subarray(1, 4); // strided
    assert.equal(part.data!.length, 3 * 5 + 3);
    for (const [i, j] of indicesOf(part.shape) as [number, number][]) {
      const at = (i * part.strides[0]! + j * part.strides[1]!) / 4;
      part.set(i, j, 10 * i + j);
      assert.equal(part.data![at], 10 * i + j);
      assert.equal(data[part.byteOffset / 4 - 1 + at], 10 * i + j);
    }
  });
});

test("data is the same object until the bytes move, which detaches it", () => {
  using folder = temporaryFolder();
  using map = zeros(folder.path, 64);
  const slice = map.slice(0, 32);
  const a = slice.array("int32");
  const first = a.data!;
  a.set(0, 1);
  map.slice(32, 64).fill(1);
  map.sync();
  map.insert(64, 4);
  assert.equal(map.flush().strategy, "extend");
  assert.equal(a.data, first);
  slice.resize(40);
  assert.equal(first.length, 0);
  const second = a.data!;
  assert.notEqual(second, first);
  assert.deepEqual([...second], [1, 0, 0, 0, 0, 0, 0, 0]);
  map.flush();
  assert.equal(second.length, 0);
  assert.equal(a.data, a.data);
  slice.buffer.transfer();
  assert.equal(a.data![0], 1);
});

// resize

test("resize() keeps the flat order, repeats the elements, and moves what follows", () => {
  const shapes = [[3, 5], 4, [2, 2], [0], [2, 3, 2], [], 40, 1, [1, 7]];
  for (const byteOrder of ORDERS) {
    for (const byteOffset of [0, 3]) {
      for (const flushes of [false, true]) {
        using folder = temporaryFolder();
        using map = zeros(folder.path, 200);
        const slice = map.slice(20, 70);
        slice.fill(0xee);
        const options = { shape: [2, 5], byteOrder, byteOffset };
        const a = slice.array("int16", options).apply((_, i) => i - 1000);
        let model = [...a];
        for (const shape of shapes) {
          const { size } = a;
          assert.equal(a.resize(shape), a);
          const list = typeof shape === "number" ? [shape] : shape;
          assert.deepEqual(a.shape, list);
          assert.equal(a.ndim, list.length);
          const old = model.length > 0 ? model : [0];
          model = Array.from(
            { length: a.size },
            (_, i) => old[i % old.length]!,
          );
          assert.deepEqual(valuesOf(a), model);
          if (a.size !== size) assert.equal(slice.state, "floating");
          // 20 bytes of the slice belonged to the array, and 30 did not.
          assert.equal(slice.length, 30 + 2 * a.size);
          assert.equal(map.length, 180 + 2 * a.size);
          const others = [...slice.bytes].toSpliced(byteOffset, 2 * a.size);
          assert.deepEqual(others, Array(30).fill(0xee));
          if (flushes) map.flush({ durable: false });
        }
        map.flush();
        assert.deepEqual(valuesOf(a), model);
        assert.equal(fs.statSync(map.path).size, 180 + 14);
      }
    }
  }
});

test("resize() with a fill value writes it, in any type, and repeats nothing", () => {
  withSlice(48, (slice) => {
    const a = counting(slice, [12]);
    assert.deepEqual([...a.resize(14, { fill: 0 }).subarray(10)], [
      ...[10, 11, 0, 0],
    ]);
    assert.deepEqual([...a.resize(16, { fill: -7 }).subarray(13)], [
      ...[0, -7, -7],
    ]);
    a.resize(2, { fill: 5 });
    assert.deepEqual([...a], [0, 1]);
    const wrong = [1n, "5", true, null] as unknown as number[];
    for (const fill of wrong) {
      assert.throws(() => a.resize(3, { fill }), { name: "TypeError" });
    }
    assert.throws(() => a.resize(3, { full: 0 } as object), {
      name: "TypeError",
      message: 'Unknown option "full"; there are: fill.',
    });
    assert.deepEqual([...a], [0, 1]);
  });
  withSlice(16, (slice) => {
    const a = slice.array(">i8");
    a.set(0, 1n);
    assert.deepEqual([...a.resize(3, { fill: 0 })], [1n, 0n, 0n]);
    assert.deepEqual([...a.resize(4, { fill: 9n })], [1n, 0n, 0n, 9n]);
    assert.deepEqual([...a.resize(6)], [1n, 0n, 0n, 9n, 1n, 0n]);
    assert.deepEqual([...a.resize(0).resize(2)], [0n, 0n]);
  });
});

test("resize() to the same number of elements only reshapes: the slice stays mapped", () => {
  withSlice(48, (slice) => {
    const a = counting(slice, [3, 4]);
    const { buffer } = slice;
    for (const shape of [[4, 3], 12, [2, 3, 2], [12, 1]]) {
      a.resize(shape);
      assert.deepEqual(a.shape, typeof shape === "number" ? [shape] : shape);
      assert.deepEqual(valuesOf(a), Array.from({ length: 12 }, (_, i) => i));
      assert.equal(slice.state, "mapped");
      assert.equal(slice.buffer, buffer);
    }
  });
});

test("resize() rejects an invalid shape, and an array with gaps between its elements", () => {
  withSlice(48, (slice) => {
    const a = counting(slice, [3, 4]);
    for (
      const wrong of [-1, [3, -1], 0.5, NaN, [2, NaN], 2 ** 53, [
        2 ** 27,
        2 ** 27,
      ], [
        2 ** 52,
      ]]
    ) {
      assert.throws(() => a.resize(wrong), RANGE_ERROR, String(wrong));
      assert.deepEqual(a.shape, [3, 4]);
    }
    const t = a.transpose();
    for (const shape of [5, 12, [4, 3], [3, 4]]) {
      assert.throws(() => t.resize(shape), {
        name: "RangeError",
        message: /side by side/,
      });
      assert.throws(() => t.subarray(1).resize(shape), RANGE_ERROR);
    }
    assert.equal(slice.state, "mapped");
    assert.equal(t.reshape(4, 3, 1).get(1, 2, 0), 9);
    // A contiguous part can be resized: what follows it moves.
    const row = a.subarray(1, 2);
    row.resize([1, 6]);
    assert.deepEqual([...slice.array("int32")], [
      ...[0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 8, 9, 10, 11],
    ]);
    assert.deepEqual([...row], [4, 5, 6, 7, 4, 5]);
  });
});

test("resize() of one array leaves others of its slice at their byte offsets", () => {
  withSlice(32, (slice) => {
    const all = slice.array("uint8").apply((_, i) => i);
    const tail = slice.array("uint8", { byteOffset: 16 });
    const head = slice.array("uint8", { shape: 16 });
    head.resize(20);
    assert.deepEqual([...head.subarray(14)], [14, 15, 0, 1, 2, 3]);
    assert.deepEqual([...tail], [
      0,
      1,
      2,
      3,
      ...[...Array(12).keys()].map((i) => 16 + i),
    ]);
    assert.equal(all.get(20), 16);
    head.resize(16);
    assert.deepEqual([...all], [...Array(32).keys()]);
    head.resize(0);
    assert.deepEqual(
      [...slice.bytes],
      [...Array(16).keys()].map((i) => 16 + i),
    );
    assert.throws(() => tail.get(0), RANGE_ERROR);
    assert.throws(() => all.get(0), RANGE_ERROR);
    head.resize(16);
    assert.equal(tail.get(0), 16);
    assert.equal(all.get(0), 0);
  });
});

// Following the slice

/** Ways in which a slice's bytes move. */
const MOVES: Record<string, (slice: MemmapSlice, map: Memmap) => void> = {
  "slice.resize()": (slice) => slice.resize(slice.length + 100),
  "slice.resize() far": (slice) => slice.resize(2 ** 21),
  "slice.resize() twice": (slice) => {
    slice.resize(slice.length + 7);
    slice.resize(slice.length - 7);
  },
  "slice.splice() behind": (slice) => slice.splice(slice.length, 0, 5),
  "flush() by replace": (slice, map) => {
    slice.resize(slice.length + 1);
    map.insert(0, 3);
    map.flush({ strategy: "replace", durable: false });
  },
  "flush() in place": (slice, map) => {
    slice.resize(slice.length + 1);
    map.insert(0, 3);
    map.flush({ strategy: "in-place", durable: false });
  },
  "flush() of an append": (_, map) => {
    map.insert(map.mappedLength, 3);
    map.flush({ durable: false });
  },
  "flush() by replace, moved by another slice": (_, map) => {
    map.slices[0]!.resize(777);
    map.flush({ strategy: "replace", durable: false });
  },
  "flush() in place, moved by another slice": (_, map) => {
    map.slices[0]!.resize(map.slices[0]!.length + 13);
    map.flush({ strategy: "in-place", durable: false });
  },
  "flush() in place, moved back by another slice": (_, map) => {
    map.slices[0]!.resize(0);
    map.flush({ strategy: "in-place", durable: false });
  },
  "flush() to another file": (slice, map) => {
    slice.resize(slice.length + 1);
    const { path } = map;
    const other = path.endsWith("2") ? path.slice(0, -1) : `${path}2`;
    map.flush({ path: other, durable: false });
  },
  "buffer.transfer()": (slice) => void slice.buffer.transfer(),
  "data.buffer.transfer()": (slice) => {
    void slice.array("uint8").data!.buffer.transfer();
  },
  "structuredClone()": (slice) => {
    const { buffer } = slice;
    structuredClone(buffer, { transfer: [buffer] });
  },
};

test("an array follows its slice wherever the bytes move", () => {
  using folder = temporaryFolder();
  using map = zeros(folder.path, 5000);
  map.slice(0, 1000);
  const slice = map.slice(1001, 2001);
  for (const type of TYPES) {
    for (const byteOrder of ORDERS) {
      for (const [name, move] of Object.entries(MOVES)) {
        if (!isThorough && byteOrder === NATIVE && type !== "float32") continue;
        slice.fill(0);
        const element = (i: number) => numbered(type, i);
        const line = slice.array(type, { shape: 6, byteOrder, byteOffset: 5 });
        const table = line.reshape(2, 3);
        const turned = table.transpose();
        line.apply((_, i) => element(i));
        const values = [...line];
        move(slice, map);
        const message = `${type} ${byteOrder} ${name}`;
        assert.deepEqual(elementsOf(line), values, message);
        assert.deepEqual(elementsOf(table), values, message);
        assert.deepEqual([...table], values, message);
        assert.deepEqual([...turned.transpose()], values, message);
        move(slice, map);
        line.set(1, element(1)); // before any read
        move(slice, map);
        table.set(1, 2, element(1));
        assert.equal(line.get(5), line.get(1), message);
        move(slice, map);
        assert.deepEqual(
          [...turned.toTypedArray()],
          [...line.reshape(2, 3).transpose().toTypedArray()],
          message,
        );
        move(slice, map);
        line.copyFrom(values.toReversed());
        assert.deepEqual([...table], values.toReversed(), message);
        move(slice, map);
        line.fill(element(0));
        assert.equal(
          readAt(slice.bytes, type, 5, byteOrder),
          element(0),
          message,
        );
        move(slice, map);
        turned.apply(() => element(1));
        assert.ok(elementsOf(line).every((value) => value === element(1)));
      }
      slice.resize(1000);
    }
  }
});

test("writes to an array after a move reach the file", () => {
  for (const [name, move] of Object.entries(MOVES)) {
    using folder = temporaryFolder();
    const map = zeros(folder.path, 300);
    map.slice(0, 100);
    const slice = map.slice(100, 200);
    const a = slice.array(">i4");
    a.fill(1);
    move(slice, map);
    a.set(3, 0x01020304);
    const data = slice.array("int32").data;
    if (data === null) slice.array("int32").set(5, 0x05060708); // moved to odd bytes
    else data[5] = 0x05060708;
    map.flush();
    const { begin } = slice;
    map.close();
    const file = fs.readFileSync(map.path);
    assert.equal(file.readInt32BE(begin + 12), 0x01020304, name);
    assert.equal(
      new DataView(file.buffer, file.byteOffset + begin + 20)
        .getInt32(0, NATIVE === "little"),
      0x05060708,
      name,
    );
    assert.equal(file.readInt32BE(begin + 16), 1, name);
  }
});

test("splice() before an array's elements moves the elements, but not the array", () => {
  withSlice(16, (slice) => {
    const a = counting(slice, [4]);
    slice.splice(0, 0, new Uint8Array(Int32Array.of(99).buffer));
    assert.deepEqual([...a], [99, 0, 1, 2]);
    slice.splice(0, 8);
    assert.throws(() => a.get(0), RANGE_ERROR);
    slice.splice(12, 0, 4);
    assert.deepEqual([...a], [1, 2, 3, 0]);
  });
});

test("two arrays of different types see each other's writes", () => {
  withSlice(16, (slice) => {
    const bytes = slice.array("uint8");
    const little = slice.array("<u4");
    const big = slice.array(">u2", { byteOffset: 1 });
    little.set(0, 0x04030201);
    assert.deepEqual([...bytes.subarray(0, 5)], [1, 2, 3, 4, 0]);
    assert.equal(big.get(0), 0x0203);
    bytes.set(4, 9);
    assert.equal(big.get(1), 0x0409);
    slice.resize(32);
    big.set(1, 0xabcd);
    assert.equal(little.get(1), 0xcd);
    assert.equal(slice.bytes[3], 0xab);
  });
});

// Errors of the slice

/** Every method that touches bytes, each with valid arguments. */
const READS: Record<string, (a: MemmapArray<"int32">) => unknown> = {
  "get()": (a) => a.get(0),
  "get() of two axes": (a) => a.get(0, 0),
  "data": (a) => a.data,
  "toTypedArray()": (a) => a.toTypedArray(),
  "toTypedArray() of nothing": (a) => a.toTypedArray(0, 0),
  "copyTo()": (a) => a.copyTo(new Int32Array(2)),
  "for of": (a) => [...a],
  "subarray()": (a) => a.subarray(1),
  "transpose()": (a) => a.transpose(),
  "reshape()": (a) => a.reshape(-1),
  "another's copyFrom()": (a) => {
    using folder = temporaryFolder();
    using map = zeros(folder.path, 100);
    map.slice().array("int32").copyFrom(a);
  },
};

const WRITES: Record<string, (a: MemmapArray<"int32">) => unknown> = {
  "set()": (a) => a.set(0, 5),
  "set() of two axes": (a) => a.set(0, 0, 5),
  "fill()": (a) => a.fill(5),
  "apply()": (a) => a.apply(() => 5),
  "copyFrom()": (a) => a.copyFrom([5]),
  "copyFrom() a typed array": (a) => a.copyFrom(new Int32Array([5])),
  "copyFrom() an array": (a) => {
    using folder = temporaryFolder();
    using map = zeros(folder.path, 100);
    a.copyFrom(map.slice().array("int32", { shape: 1 }));
  },
  "copyFrom() nothing": (a) => a.copyFrom([]),
  "resize()": (a) => a.resize(3),
  "resize() to another": (a) => a.resize(4),
};

/** Asserts that every method throws `expected`, on arrays of one axis and of two. */
function assertAllThrow(
  arrays: readonly MemmapArray<"int32">[],
  methods: typeof READS,
  expected: object,
): void {
  for (const [name, method] of Object.entries(methods)) {
    for (const a of arrays) {
      if (/get|set/.test(name)) {
        if (name.includes("two axes") !== (a.ndim === 2)) continue;
      }
      assert.throws(() => method(a), expected, `${name}, ${a.ndim}-d`);
    }
  }
}

type Int32s = MemmapArray<"int32">;

/** Arrays of four elements: of one axis, of two, and of two transposed. */
function someArrays(
  slice: MemmapSlice,
): [line: Int32s, table: Int32s, turned: Int32s] {
  const line = slice.array("int32", { shape: 4 });
  return [line, line.reshape(2, 2), slice.array(">i4", { shape: [2, 2] })];
}

test("an array of a deleted slice throws the slice's error from every method", () => {
  for (const floats of [false, true]) {
    withSlice(16, (slice, map) => {
      const arrays = someArrays(slice);
      if (floats) slice.resize(17);
      for (const a of arrays) assert.equal([...a].length, 4);
      slice.delete();
      assertAllThrow(arrays, { ...READS, ...WRITES }, DELETED);
      const [a, b] = arrays;
      assert.deepEqual([a.size, b.shape, a.dtype, a.byteOffset], [
        ...[4, [2, 2], "int32", 0],
      ]);
      assert.throws(() => slice.array("int32"), DELETED);
      map.slice().fill(9); // a new slice of the same bytes does not revive the old one
      assertAllThrow(arrays, READS, DELETED);
    });
  }
});

test("an array of a closed map throws the slice's error from every method", () => {
  for (const floats of [false, true]) {
    for (const discard of [false, true]) {
      withSlice(16, (slice, map) => {
        const arrays = someArrays(slice);
        if (floats) slice.resize(17);
        map.close({ discard });
        assertAllThrow(arrays, { ...READS, ...WRITES }, CLOSED);
        assert.equal(arrays[1].size, 4);
        assert.throws(() => slice.array("int32"), CLOSED);
      });
    }
  }
});

test("an empty array from before a flush still notices that its map is closed", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "empty.dat");
  const map = open(path, "w+", { length: 0 });
  const slice = map.slice();
  const before = slice.array("uint8");
  const { buffer } = slice;
  map.insert(0, 1);
  map.flush({ strategy: "replace" });
  // An empty buffer belongs to no mapping. Its successor must still detach it.
  slice.array("uint8");
  assert.notEqual(slice.buffer, buffer);
  assert.ok(buffer.detached);
  map.close();
  assert.throws(() => before.toTypedArray(), CLOSED);
});

test("every method of an array beyond its slice's new end throws a RangeError", () => {
  withSlice(16, (slice) => {
    const arrays = someArrays(slice);
    arrays[0].apply((_, i) => i);
    const { shape } = arrays[0];
    slice.resize(15);
    assertAllThrow(arrays, { ...READS, ...WRITES }, {
      name: "RangeError",
      message: /slice of 15 /,
    });
    assert.equal(arrays[0].shape, shape);
    slice.resize(0);
    assertAllThrow(arrays, { ...READS, ...WRITES }, RANGE_ERROR);
    slice.resize(16);
    assert.deepEqual([...arrays[0]], [0, 0, 0, 0]);
  });
});

test("an empty array beyond its slice's new end is still empty", () => {
  withSlice(16, (slice) => {
    for (const byteOrder of ORDERS) {
      const a = slice.array("int32", { shape: 0, byteOffset: 12, byteOrder });
      slice.resize(3);
      assert.deepEqual(valuesOf(a), []);
      assert.equal(a.data?.length, byteOrder === NATIVE ? 0 : undefined);
      assert.equal(a.fill(1).copyFrom([]).size, 0);
      slice.resize(16);
    }
  });
});

// Modes

test("in mode r, every write throws a ReadonlyError and nothing is written", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "readonly.dat");
  fs.writeFileSync(path, new Uint8Array(32).fill(7));
  using map = open(path, "r");
  const arrays = someArrays(map.slice());
  assertAllThrow(arrays, WRITES, READONLY);
  for (const a of arrays) {
    for (const write of Object.values(READS)) {
      // A read with the wrong number of indices throws a RangeError.
      try {
        write(a);
      } catch (error) {
        assert.ok(error instanceof RangeError);
      }
    }
    assert.ok([...a].every((x) => x === 0x07070707));
  }
  assert.throws(() => arrays[0].set(0, 1n as never), READONLY);
  assert.ok(map.slices[0]!.bytes.every((byte) => byte === 7));
  assert.ok(fs.readFileSync(path).every((byte) => byte === 7));
});

test("arrays become writable when a mode r map is saved as another file", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "readonly.dat");
  const copy = join(folder.path, "copy.dat");
  fs.writeFileSync(path, new Uint8Array(32).fill(7));
  for (const first of ["set", "get", "fill"] as const) {
    using map = open(path, "r");
    const slice = map.slice();
    const line = slice.array("uint8");
    const table = slice.array(">u2", { shape: [4, 4] });
    assert.equal(line.get(0) + table.get(0, 0), 7 + 0x0707);
    assert.throws(() => line.set(0, 1), READONLY);
    assert.throws(() => table.set(0, 0, 1), READONLY);
    map.flush({ path: copy });
    if (first === "get") assert.equal(line.get(0), 7);
    if (first === "fill") line.fill(7);
    for (let i = 0; i < 3; i++) {
      line.set(i, i + 1);
      table.set(3, i, 0x0102);
    }
    line.resize(33);
    map.flush();
    const content = fs.readFileSync(copy);
    assert.equal(content.length, 33);
    assert.deepEqual([...content.subarray(0, 4)], [1, 2, 3, 7]);
    assert.deepEqual([...content.subarray(24, 28)], [1, 2, 1, 2]);
    assert.ok(fs.readFileSync(path).every((byte) => byte === 7));
  }
});

test("in mode c, arrays can be written without changing the file", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "private.dat");
  const copy = join(folder.path, "copy.dat");
  fs.writeFileSync(path, new Uint8Array(32).fill(7));
  using map = open(path, "c");
  const a = map.slice().array(">i4");
  a.fill(1).set(3, 5);
  a.apply((x) => x * 2).copyFrom([9], 1).data?.fill(0);
  a.resize(10);
  assert.deepEqual([...a], [2, 9, 2, 10, 2, 2, 2, 2, 2, 9]);
  assert.ok(fs.readFileSync(path).every((byte) => byte === 7));
  map.flush({ path: copy });
  a.set(0, -1);
  map.sync();
  assert.ok(fs.readFileSync(path).every((byte) => byte === 7));
  assert.equal(fs.readFileSync(copy).readInt32BE(0), -1);
  assert.equal(fs.readFileSync(copy).readInt32BE(12), 10);
});

// Iterating over elements

test("apply() and for…of see changes made meanwhile", () => {
  withSlice(24, (slice) => {
    for (const byteOrder of ORDERS) {
      const line = slice.array("int32", { byteOrder });
      for (const a of [line, line.reshape(2, 3)]) {
        line.fill(1);
        const seen: number[] = [];
        for (const x of a) {
          seen.push(x);
          if (seen.length < 6) line.set(seen.length, 10 * seen.length);
        }
        assert.deepEqual(seen, [1, 10, 20, 30, 40, 50]);
        line.fill(1);
        a.apply((x, i) => {
          if (i < 5) line.set(i + 1, x + 1);
          return x;
        });
        assert.deepEqual([...line], [1, 2, 3, 4, 5, 6]);
      }
    }
  });
});

test("apply() numbers the elements in row-major order, strided or not", () => {
  withSlice(96, (slice) => {
    const a = slice.array("float64", { shape: [3, 4] });
    const indices: number[] = [];
    a.transpose().apply((_, i) => (indices.push(i), i));
    assert.deepEqual(indices, [...Array(12).keys()]);
    assert.deepEqual([...a], [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    a.transpose().subarray(1, 3).apply((x, i) => x + 100 * i);
    assert.deepEqual([...a], [
      ...[0, 3, 306, 9, 1, 104, 407, 10, 2, 205, 508, 11],
    ]);
  });
});

test("apply() keeps what it has written if the callback throws", () => {
  withSlice(16, (slice) => {
    const a = slice.array("int32");
    const stop = new Error("stop");
    const attempt = () =>
      a.apply((_, i) => {
        if (i === 2) throw stop;
        return 7;
      });
    assert.throws(attempt, stop);
    assert.deepEqual([...a], [7, 7, 0, 0]);
  });
});

/** What a callback does half-way, and the error that the next element throws. */
const INTERRUPTIONS: Record<
  string,
  [(slice: MemmapSlice, map: Memmap) => void, object | null]
> = {
  "slice.resize()": [(slice) => slice.resize(1000), null],
  "slice.resize() below": [(slice) => slice.resize(4), RANGE_ERROR],
  "slice.resize(0)": [(slice) => slice.resize(0), RANGE_ERROR],
  "slice.splice()": [(slice) => slice.splice(40, 0, 9), null],
  "flush()": [(_, map) => void map.flush({ durable: false }), null],
  "flush() that moves": [(_, map) => {
    map.insert(0, 5);
    map.flush({ durable: false, strategy: "in-place" });
  }, null],
  "flush() that replaces": [(_, map) => {
    map.insert(0, 5);
    map.flush({ durable: false, strategy: "replace" });
  }, null],
  "buffer.transfer()": [(slice) => void slice.buffer.transfer(), null],
  "delete()": [(slice) => slice.delete(), DELETED],
  "delete() of a floating slice": [(slice) => {
    slice.resize(99);
    slice.delete();
  }, DELETED],
  "close()": [(_, map) => map.close(), CLOSED],
  "close({ discard })": [(slice, map) => {
    slice.resize(99);
    map.close({ discard: true });
  }, CLOSED],
};

for (const [name, [interrupt, error]] of Object.entries(INTERRUPTIONS)) {
  const outcome = error === null ? "continues" : "ends with an error";
  test(`a loop over an array ${outcome} after ${name}`, () => {
    for (const type of ["int32", ">i4", ">f8", "int8"] as const) {
      for (const shape of [[5], [1, 5], [5, 1, 1]]) {
        for (const way of ["apply", "iterate", "copyFrom"] as const) {
          withSlice(100, (slice, map) => {
            const a: MemmapArray = slice.array(type, { shape });
            a.apply((_, i) => i + 1);
            const seen: Value[] = [];
            const run = {
              apply: () =>
                a.apply((x, i) => {
                  seen.push(x);
                  if (i === 2) interrupt(slice, map);
                  return x;
                }),
              iterate: () => {
                for (const x of a) {
                  seen.push(x);
                  if (seen.length === 3) interrupt(slice, map);
                }
              },
              copyFrom: () =>
                a.copyFrom({
                  length: 5,
                  0: 1,
                  1: 2,
                  get 2() {
                    interrupt(slice, map);
                    seen.push(1, 2, 3, 4, 5);
                    return 3;
                  },
                  3: 4,
                  4: 5,
                }),
            }[way];
            if (error === null) {
              run();
              assert.deepEqual(seen, [1, 2, 3, 4, 5]);
              assert.deepEqual(elementsOf(a), [1, 2, 3, 4, 5]);
            } else {
              assert.throws(run, error, `${way} ${type}`);
              if (way !== "copyFrom") assert.deepEqual(seen, [1, 2, 3]);
            }
          });
        }
      }
    }
  });
}

test("apply() continues in the old shape if its callback resizes the array", () => {
  withSlice(16, (slice) => {
    const a = counting(slice, [4]);
    let calls = 0;
    a.apply((x) => {
      if (calls++ === 1) a.resize([2, 4]);
      return x + 10;
    });
    assert.equal(calls, 4);
    assert.deepEqual([...a], [10, 11, 12, 13, 10, 1, 2, 3]);
    const seen: number[] = [];
    for (const x of a) {
      seen.push(x);
      if (seen.length === 2) a.resize(9);
    }
    assert.deepEqual(seen, [10, 11, 12, 13, 10, 1, 2, 3]);
  });
});

// Copies

test("copyTo() and toTypedArray() copy a range, by the rules of typed arrays", () => {
  withSlice(4 * 12, (slice) => {
    for (const byteOrder of ORDERS) {
      const line = slice.array("int32", { byteOrder }).apply((_, i) => i);
      for (
        const a of [line, line.reshape(3, 4), line.reshape(3, 4).transpose()]
      ) {
        const model = Int32Array.from(elementsOf(a));
        for (
          const range of [
            [],
            [0, 12],
            [3],
            [2, 7],
            [-5],
            [-5, -2],
            [7, 3],
            [0, 99],
            [-99, 4],
            [1.9, 4.9],
            [NaN, 5],
            [12],
            [99],
          ]
        ) {
          const expected = model.slice(...range);
          assert.deepEqual(a.toTypedArray(...range), expected);
          for (const length of [0, 1, 5, 12, 20]) {
            const target = new Int32Array(length).fill(-1);
            const count = Math.min(length, expected.length);
            assert.equal(a.copyTo(target, ...range), count);
            assert.deepEqual(
              target,
              Int32Array.from(
                { length },
                (_, i) => i < count ? expected[i]! : -1,
              ),
            );
          }
        }
      }
    }
  });
});

test("copyTo() accepts only typed arrays of the array's own type", () => {
  withSlice(64, (slice) => {
    for (const type of TYPES) {
      // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
      const a: any = slice.array(type, { shape: 8 });
      for (const [other, Other] of Object.entries(CONSTRUCTORS)) {
        const target = new Other(8);
        if (Other === CONSTRUCTORS[type]) {
          assert.equal(a.copyTo(target), 8, other);
          continue;
        }
        assert.throws(() => a.copyTo(target), {
          name: "TypeError",
          message: new RegExp(CONSTRUCTORS[type].name),
        });
      }
      for (
        const wrong of [
          ...[undefined, null, [], [0, 0], 5, "target", {}, new ArrayBuffer(8)],
          ...[new DataView(new ArrayBuffer(8)), new Uint8ClampedArray(8)],
          ...[{ length: 8, buffer: new ArrayBuffer(64) }, a],
        ]
      ) {
        assert.throws(() => a.copyTo(wrong), TYPE_ERROR);
      }
    }
  });
});

test("copyTo() and copyFrom() accept shared memory, and a Buffer as uint8", () => {
  withSlice(103, (slice) => {
    for (const byteOrder of ORDERS) {
      const line = slice.array("int32", {
        shape: 24,
        byteOrder,
        byteOffset: 3,
      });
      for (const a of [line, line.reshape(4, 6).transpose()]) {
        line.apply((_, i) => i * 1e6);
        const shared = new Int32Array(new SharedArrayBuffer(104), 4, 25);
        assert.equal(a.copyTo(shared), 24);
        assert.deepEqual([...shared], [...a, 0]);
        line.fill(0);
        a.copyFrom(shared.subarray(0, 24));
        assert.deepEqual([...line], [...Array(24).keys()].map((i) => i * 1e6));
      }
    }
    for (const type of ["uint8", "bool"] as const) {
      const a: MemmapArray = slice.array(type, { shape: 5 });
      // deno-lint-ignore no-explicit-any -- of bool, too
      a.copyFrom(Buffer.from([1, 0, 1, 0, 5]) as any);
      assert.deepEqual([...slice.bytes.subarray(0, 5)], [1, 0, 1, 0, 5]);
      const target = Buffer.alloc(4);
      assert.equal(a.copyTo(target), 4);
      assert.deepEqual([...target], [1, 0, 1, 0]);
    }
  });
});

test("copyFrom() writes at an offset, and rejects what does not fit", () => {
  withSlice(40, (slice) => {
    for (const byteOrder of ORDERS) {
      const line = slice.array("int32", { byteOrder });
      for (
        const a of [line, line.reshape(2, 5), line.reshape(2, 5).transpose()]
      ) {
        a.copyFrom(new Int32Array(10));
        a.copyFrom([1, 2, 3], 4);
        assert.deepEqual(elementsOf(a), [0, 0, 0, 0, 1, 2, 3, 0, 0, 0]);
        a.copyFrom(Int32Array.of(8, 9), 8);
        a.copyFrom([], 10);
        a.copyFrom(new Int32Array(0));
        const before = slice.slice();
        const other = a.reshape(5, 2).subarray(0, 3);
        for (
          const [source, offset] of [
            [[1, 2], 9],
            [new Array(11).fill(1), 0],
            [new Int32Array(11), 0],
            [Int32Array.of(1), 10],
            [[], 11],
            [[1], -1],
            [[1], 0.5],
            [[1], NaN],
            [[1], Infinity],
            [[1], "0"],
            [[1], null],
            [other, 5],
            [{ length: 11 }, 0],
            [{ length: Infinity }, 0],
            [{ length: NaN }, 0],
            [{ length: -1 }, 0],
          ] as [number[], number][]
        ) {
          assert.throws(() => a.copyFrom(source, offset), RANGE_ERROR);
          assert.deepEqual(slice.slice(), before);
        }
        assert.throws(() => a.copyFrom([1, 2], 9), {
          message: "2 elements do not fit at 9 into an array of 10.",
        });
      }
    }
  });
});

test("copyFrom() converts between types as typed arrays do", () => {
  withSlice(800, (slice, map) => {
    const other = map.insert(0, 800);
    for (const to of TYPES) {
      for (const from of TYPES) {
        for (const isNear of [true, false]) {
          const options = { shape: 6, byteOrder: OTHER } as const;
          const source: MemmapArray = (isNear ? slice : other).array(from, {
            ...options,
            byteOffset: 401,
          });
          const samples = SAMPLES[from];
          source.apply((_, i) => samples[i % samples.length]!);
          const target: MemmapArray = slice.array(to, options);
          const values = [...source];
          const isSame = numbered(to, 0) === numbered(from, 0);
          if (!isSame) {
            assert.throws(() => target.copyFrom(source), TYPE_ERROR);
            assert.throws(() => target.copyFrom(values), TYPE_ERROR);
            continue;
          }
          const expected = values.map((value) => rounded(to, value));
          target.copyFrom(source);
          assert.deepEqual([...target], expected, `${from} to ${to}`);
          target.copyFrom(values);
          assert.deepEqual([...target], expected, `${from} to ${to}`);
          if (from === "bool") continue; // its data is of numbers
          target.copyFrom(source.toTypedArray());
          assert.deepEqual([...target], expected, `${from} to ${to}`);
        }
      }
    }
  });
});

test("copyFrom() converts more than one piece of elements, in every way", () => {
  const size = 10_000;
  withSlice(8 * size + 3, (slice, map) => {
    const other = map.insert(0, 8 * size + 3);
    const plain = Array.from({ length: size }, (_, i) => (i * 7919) % 30_000);
    const assertPlain = (a: Iterable<number>) =>
      assert.ok([...a].every((x, i) => x === plain[i]));
    for (const type of ["int16", "float64"] as const) {
      for (const byteOrder of ORDERS) {
        const options = { byteOrder, byteOffset: 3 };
        const line = slice.array(type, { ...options, shape: size });
        for (const a of [line, line.reshape(100, 100).transpose()]) {
          const sources = [
            plain,
            Int16Array.from(plain),
            Float64Array.from(plain),
            other.array("float64", { shape: size }).copyFrom(plain),
          ];
          for (const source of sources) {
            a.fill(0).copyFrom(source as number[]);
            assertPlain(a);
            const tail = a.toTypedArray(5000);
            assert.ok(tail.every((x, i) => x === plain[5000 + i]));
          }
          a.fill(0).copyFrom(
            other.array(">i2", { shape: [100, 100] })
              .transpose().copyFrom(plain),
          );
          assertPlain(a);
          assert.ok(a.fill(3).toTypedArray().every((x) => x === 3));
        }
      }
    }
  });
});

test("overlapping copies within a slice behave as if made through a temporary", () => {
  // Small, and larger than the pieces in which elements are converted.
  for (const n of [6, 100]) {
    withSlice(8 * n * n + 3, (slice) => {
      for (
        const [type, byteOrder] of [
          ["int32", "little"],
          ["int32", "big"],
          ["int16", OTHER],
          ["float64", NATIVE],
        ] as const
      ) {
        const a = slice.array(type, { shape: [n, n], byteOrder });
        const line = a.reshape(-1);
        const sources: Record<string, () => ArrayLike<number> | MemmapArray> = {
          "itself": () => a,
          "its transpose": () => a.transpose(),
          "its part": () => line.subarray(1),
          "its own first part": () => line.subarray(0, n * n - 3),
          "its rows": () => a.subarray(2),
          "its columns": () => a.transpose().subarray(1),
          "another type": () => slice.array("int8", { shape: n * n }),
          "another order": () =>
            slice.array(type, {
              shape: n * n - 1,
              byteOrder: byteOrder === "big" ? "little" : "big",
              byteOffset: 3,
            }),
          "its data": () => a.data ?? [],
          "a part of its data": () => a.data?.subarray(3, n * n) ?? [],
          "a list of its own elements": () => [...line],
        };
        for (const [name, source] of Object.entries(sources)) {
          for (const target of [a, a.transpose()]) {
            const restart = () =>
              line.apply((_, i) => (i * 2654435761) % 32_749);
            restart();
            const from = source();
            const size = "size" in from ? from.size : from.length;
            for (const offset of [0, n * n - size]) {
              restart();
              const values = Array.from(from as Iterable<number>);
              target.copyFrom(values, offset);
              const expected = slice.slice();
              restart();
              target.copyFrom(from as number[], offset);
              assertBytes(slice.bytes, expected, `${name} at ${offset}`);
            }
          }
        }
      }
    });
  }
});

for (const size of [1000, 10_000]) {
  test(
    `copies of ${size} elements from views of the slice also behave as if through a temporary`,
    {},
    () => {
      withSlice(4 * size, (slice) => {
        for (const type of ["int16", "uint8", "float32", ">u4"] as const) {
          const a = slice.array(type, { shape: size });
          const sources: Record<string, () => ArrayLike<number>> = {
            "bytes": () => slice.bytes.subarray(0, size),
            "later bytes": () => slice.bytes.subarray(1, size + 1),
            "int16": () => new Int16Array(slice.buffer, 2, size),
            "array's data": () => slice.array("uint16", { shape: size }).data!,
          };
          for (const [name, source] of Object.entries(sources)) {
            const restart = () =>
              slice.bytes.forEach((_, i, all) => all[i] = i * 7);
            restart();
            a.copyFrom(Array.from(source()));
            const expected = slice.slice();
            restart();
            a.copyFrom(source());
            assertBytes(slice.bytes, expected, `${name} to ${type}`);
          }
        }
      });
    },
  );
}

test("copyTo() may copy into the array's own memory", () => {
  withSlice(400, (slice) => {
    for (const byteOrder of ORDERS) {
      const line = slice.array("int32", { byteOrder, shape: 90 });
      for (const a of [line, line.reshape(9, 10).transpose()]) {
        for (const at of [0, 1, 40]) {
          line.apply((_, i) => i);
          const expected = elementsOf(a).slice(2, 52);
          const target = new Int32Array(slice.buffer, 4 * at, 50);
          assert.equal(a.copyTo(target, 2, 80), 50);
          assert.deepEqual([...target], expected);
        }
      }
    }
  });
});

test(
  "arguments that run code of their own lead to an error or a result, never to a crash",
  {
    timeout: 60_000,
  },
  () => {
    const attacks: Record<string, string> = {
      "half an element": "a.copyFrom({ length: 0.5 })",
      "a negative length": "a.copyFrom({ length: -1 })",
      "a getter that empties": `a.copyFrom({
      length: 4, get 0() { a.resize(0); return 1; }, 1: 2, 2: 3, 3: 4 })`,
      "a getter that cuts": `a.copyFrom({
      length: 4, get 0() { a.resize(2); return 1; }, 1: 2, 2: 3, 3: 4 })`,
      "a length that empties":
        "a.copyFrom({ get length() { a.resize(0); return 4 } })",
      "a begin that empties": "a.toTypedArray(empties)",
      "an end that empties": "a.toTypedArray(0, empties)",
      "a begin that cuts": "a.toTypedArray(cuts)",
      "copyTo that empties": "a.copyTo(new Int32Array(8), empties)",
      "copyTo that cuts": "a.copyTo(new Int32Array(8), cuts)",
      "copyTo that closes": "a.copyTo(new Int32Array(8), closes)",
      "a begin that closes": "a.toTypedArray(closes)",
      "subarray that empties": "a.subarray(empties)",
      "subarray that closes": "a.subarray(closes)",
      "resize that closes": "a.resize([closes])",
      "a growing target": "a.copyTo(new Growing(8))",
      "a growing source": "a.copyFrom(new Growing(8))",
      "a growing source, strided": "t.copyFrom(new Growing(2))",
      "a growing length": `{
      let asked = 0;
      a.copyFrom({ get length() { return asked++ < 2 ? 4 : 2 ** 28; } }) }`,
    };
    const cases = Object.entries(attacks).map(([name, attack]) => `
    console.log(${JSON.stringify(name)});
    attempt((map, slice, a, t) => {
      const does = (act) => ({ valueOf() { act(); return 0; } });
      const empties = does(() => a.resize(0));
      const cuts = does(() => a.resize(2));
      const closes = does(() => map.close());
      ${attack};
    });
  `);
    using folder = temporaryFolder();
    const child = runChild(
      `
      import process from "node:process";
      import { open } from "../mod.ts";
      class Growing extends Int32Array {
        #asked = 0;
        get length() { return this.#asked++ < 2 ? 4 : 2 ** 28; }
      }
      function attempt(attack) {
        const map = open(process.argv[2] + "/hostile", "w+", { length: 4096 });
        const slice = map.slice(0, 64);
        const a = slice.array("int32");
        const t = slice.array(">i4", { shape: [4, 4] }).transpose();
        try {
          attack(map, slice, a, t);
        } catch (error) {
          const known = ["RangeError", "TypeError", "ClosedError"];
          if (!known.includes(error.name)) throw error;
        }
        map.close();
      }
      ${cases.join("")}
      console.log("done");
    `,
      { args: [folder.path], timeout: 20_000 },
    );
    // The last line names the attack that crashed the process.
    assert.equal(child.stdout.trim().split("\n").at(-1), "done", child.stderr);
    assert.deepEqual([child.status, child.signal], [0, null]);
  },
);

test("each option of array() is read once, before the slice's length", () => {
  withSlice(64, (slice) => {
    const seen: string[] = [];
    const read = <T>(name: string, value: T): T => {
      seen.push(name);
      slice.resize(64 + seen.length * 8);
      return value;
    };
    const a = slice.array("int32", {
      get shape() {
        return read("shape", [-1, 2]);
      },
      get byteOrder() {
        return read("byteOrder", "big" as const);
      },
      get byteOffset() {
        return read("byteOffset", -40);
      },
    });
    assert.deepEqual(seen.toSorted(), ["byteOffset", "byteOrder", "shape"]);
    assert.equal(slice.length, 88);
    assert.deepEqual([a.byteOffset, ...a.shape, a.byteOrder], [
      48,
      5,
      2,
      "big",
    ]);
  });
});

test("copyFrom() reads a source's memory, whatever the source claims", () => {
  withSlice(64, (slice) => {
    class Short extends Int32Array<ArrayBuffer> {
      override get length(): number {
        return 1;
      }
    }
    const a = slice.array("int32", { shape: [4] });
    a.copyFrom(new Short(new Int32Array([1, 2, 3]).buffer));
    assert.deepEqual([...a], [1, 2, 3, 0]);
    const doubles = slice.array("float64", { byteOffset: 16, shape: [4] });
    doubles.copyFrom(new Short(new Int32Array([1, 2, 3]).buffer));
    assert.deepEqual([...doubles], [1, 2, 3, 0]);
    assert.throws(
      () => a.copyFrom(new Short(new ArrayBuffer(20))),
      RANGE_ERROR,
    );
  });
});

test("messages show arguments as source text", () => {
  withSlice(48, (slice) => {
    const a = slice.array("int32", { shape: [3, 4] });
    const says = (call: () => unknown, message: RegExp) =>
      assert.throws(call, { message });
    says(
      () => a.get("1" as unknown as number, 0),
      /^Index "1" is not on axis 0/,
    );
    says(
      () => a.transpose([1, 0] as unknown as number),
      /^transpose\(\[1,0\]\) must name each axis once, one by one, as transpose\(1, 0\) does\.$/,
    );
    says(
      () => a.copyTo(new Float64Array(1) as unknown as Int32Array<ArrayBuffer>),
      /must have the array's own type, Int32Array\.$/,
    );
  });
});

// Iterators

test("iterators work with spread, Array.from, destructuring and helpers", () => {
  withSlice(48, (slice) => {
    for (const byteOrder of ORDERS) {
      const line = slice.array("int32", { byteOrder }).apply((_, i) => i);
      for (const a of [line, line.reshape(3, 4)]) {
        const all = [...Array(12).keys()];
        assert.deepEqual([...a], all);
        assert.deepEqual(Array.from(a), all);
        assert.deepEqual(Array.from(a, (x) => x * 2), all.map((x) => x * 2));
        const [first, second, ...rest] = a;
        assert.deepEqual([first, second, rest], [0, 1, all.slice(2)]);
        assert.equal(Math.max(...a), 11);
        assert.deepEqual([...new Set(a)], all);
        const it = () => a[Symbol.iterator]();
        assert.deepEqual(
          it().map((x) => x + 1).toArray(),
          all.map((x) => x + 1),
        );
        assert.deepEqual(it().take(3).toArray(), [0, 1, 2]);
        assert.deepEqual(it().drop(10).toArray(), [10, 11]);
        assert.deepEqual(it().filter((x) => x % 5 === 0).toArray(), [0, 5, 10]);
        assert.equal(it().reduce((x, y) => x + y), 66);
        assert.equal(it().find((x) => x > 6), 7);
        assert.equal(it().some((x) => x === 11), true);
        assert.deepEqual(
          it().flatMap((x) => [x, x]).take(4).toArray(),
          [0, 0, 1, 1],
        );
        assert.equal(it()[Symbol.iterator]().next().value, 0);
        assert.deepEqual(Int32Array.from(a), a.toTypedArray());
        assert.deepEqual(Object.fromEntries([...a].entries()), { ...all });
      }
    }
    const bigints = slice.array("<i8", { shape: 2 }).copyFrom([1n, -2n]);
    assert.deepEqual([...bigints], [1n, -2n]);
    assert.deepEqual([...slice.array("bool", { shape: 2 })], [true, false]);
  });
});

test("a finished iterator stays finished, and two iterators are independent", () => {
  withSlice(12, (slice) => {
    const a = counting(slice, [3]);
    const [one, two] = [a[Symbol.iterator](), a[Symbol.iterator]()];
    const next = (it: Iterator<number>) => {
      const { value, done } = it.next();
      return [value, done];
    };
    assert.deepEqual(next(one), [0, false]);
    assert.deepEqual(next(two), [0, false]);
    assert.deepEqual(next(one), [1, false]);
    assert.deepEqual(next(one), [2, false]);
    assert.deepEqual(next(two), [1, false]);
    for (let i = 0; i < 3; i++) assert.deepEqual(next(one), [undefined, true]);
    assert.deepEqual(next(two), [2, false]);
    for (const x of a) {
      if (x === 1) break;
    }
    assert.deepEqual([...a], [0, 1, 2]);
    const pairs = [...a].flatMap((x) => [...a].map((y) => 3 * x + y));
    assert.deepEqual(pairs, [...Array(9).keys()]);
  });
});

// Printing

test("an array prints as numarray's do, in each REPL", () => {
  withSlice(64, (slice) => {
    const a = slice.array(">i4", { shape: 4 }).apply((_, i) => i);
    assertPrints(a, "array([0, 1, 2, 3], type=Int32)");
    assertPrints(
      a.reshape(2, 2).transpose(),
      "array([[0, 2],\n       [1, 3]], type=Int32)",
    );
    assertPrints(slice.array(">u8", { shape: [] }), "array(1, type=UInt64)");
    assertPrints(
      slice.array("bool", { shape: 2 }),
      "array([false, false], type=Bool)",
    );
    assertPrints(slice.array("f8", { shape: 0 }), "array([], type=Float64)");
    const float = slice.array("float32", { shape: 2, byteOffset: 1 });
    float.copyFrom([0.1, -2]);
    assertPrints(float, "array([ 0.1, -2. ], type=Float32)");
    const half = slice.array("float16", { shape: 1 }).fill(0.1);
    assertPrints(half, "array([0.1], type=Float16)");
  });
});

test("a long array prints without its middle, which is not read", () => {
  withSlice(4 * 5000, (slice) => {
    const a = counting(slice, [5000]);
    assertPrints(
      a,
      "array([   0,    1,    2, ..., 4997, 4998, 4999], type=Int32)",
    );
  });
});

test("arrays of deleted slices and closed maps print without an error", () => {
  withSlice(64, (slice, map) => {
    const a = slice.array("int32");
    slice.delete();
    assertPrints(a, "<MemmapArray of a deleted slice>");
    const b = map.slice().array("int32");
    map.close();
    assertPrints(b, "<MemmapArray of a closed slice>");
  });
});

test("an array beyond its slice's new end prints without an error", () => {
  withSlice(64, (slice) => {
    const a = slice.array("int32");
    slice.resize(8);
    assert.doesNotThrow(() => String(a));
    assert.doesNotThrow(() => inspect(a));
  });
});

// Flushing

test("during onProgress an array works or throws a BusyError, and is right afterwards", () => {
  for (const strategy of ["replace", "in-place"] as const) {
    using folder = temporaryFolder();
    using map = zeros(folder.path, 3 * 2 ** 20);
    const slice = map.slice(2 ** 20, 2 ** 21);
    const floating = map.insert(0, 100);
    const arrays = [...someArrays(slice), ...someArrays(floating)];
    let calls = 0;
    const onProgress = () => {
      calls++;
      for (const a of arrays) {
        const methods = { ...READS, "toString()": String };
        for (const method of Object.values(methods)) {
          try {
            method(a);
          } catch (error) {
            const { name } = error as Error;
            assert.ok(
              ["BusyError", "RangeError"].includes(name),
              String(error),
            );
          }
        }
        for (
          const method of [
            () => a.resize(50),
            () => a.fill(0),
            () => a.apply((x) => x),
            () => a.copyFrom([0, 0, 0, 0]),
          ]
        ) {
          try {
            method();
          } catch (error) {
            assert.equal((error as Error).name, "BusyError", String(error));
          }
        }
      }
    };
    map.flush({ strategy, durable: false, onProgress });
    assert.ok(calls > 0);
    for (const a of arrays) {
      assert.deepEqual(elementsOf(a), [0, 0, 0, 0]);
    }
    for (const a of arrays) a.fill(-1);
    assert.equal(slice.bytes[15], 255);
    assert.equal(floating.bytes[15], 255);
    assert.equal(floating.state, "mapped");
  }
});

test("a write to an array during onProgress is rejected or may be lost, but does no harm", () => {
  for (const strategy of ["replace", "in-place"] as const) {
    using folder = temporaryFolder();
    using map = zeros(folder.path, 1000);
    const a = map.slice(0, 16).array("int32");
    map.insert(0, 8);
    let written: number | null = null;
    const onProgress = (done: number) => {
      try {
        a.set(0, done);
        written = done;
      } catch (error) {
        assert.equal((error as Error).name, "BusyError");
      }
    };
    map.flush({ strategy, durable: false, onProgress });
    const kept = a.get(0);
    assert.ok(kept === 0 || kept === written, `${kept}`);
  }
});

// Pinned buffers

test("an array reads the new bytes while an operation holds the old buffer", {
  skip: isDeno ? "Deno cannot pin buffers" : false,
}, async () => {
  using folder = temporaryFolder();
  using map = zeros(folder.path, 2 ** 22);
  const slice = map.slice(0, 2 ** 21);
  const a = slice.array("int32", { shape: 8 });
  const table = a.reshape(2, 4);
  for (let i = 1; i <= 10; i++) {
    const { bytes } = slice;
    const pending = fs.promises.writeFile(join(folder.path, "copy"), bytes);
    slice.resize(slice.length + 4096);
    slice.bytes.fill(i);
    const expected = 0x01010101 * i;
    assert.equal(a.get(0), expected);
    assert.equal(table.get(1, 3), expected);
    a.set(1, i);
    assert.equal(new Int32Array(slice.buffer, 0, 8)[1], i);
    if (i % 3 === 0) map.flush({ durable: false });
    assert.equal(a.get(1), i);
    assert.equal(a.data![1], i);
    await pending;
    assert.equal(a.get(1), i);
  }
});

const HUGE_PAGES = "/sys/kernel/mm/transparent_hugepage/enabled";

test(
  "a large copy uses huge pages if there are any, and has the same values",
  { skip: fs.existsSync(HUGE_PAGES) ? false : "this system has no huge pages" },
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "large.dat");
    const count = 2 ** 20;
    using map = open(path, "w+", { length: 1 + 8 * count });
    const view = new DataView(map.slice().buffer, 1);
    for (let i = 0; i < count; i++) view.setFloat64(8 * i, i / 3);
    const array = map.slices[0]!.array(">f8", { byteOffset: 1 });
    const copy = array.toTypedArray();
    assert.ok(copy.every((value, i) => value === i / 3));
    const address = runtime().addressOf(new Uint8Array(copy.buffer));
    const flags = flagsAt(address + copy.byteLength / 2);
    assert.match(flags, / hg\b/);
    assert.equal(copy.at(-1), (count - 1) / 3); // keeps the copy from being collected
  },
);

/** What the kernel reports about the mapping at an address. */
function flagsAt(address: number): string {
  const smaps = fs.readFileSync("/proc/self/smaps", "latin1");
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, begin = "", end = ""] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(
      mapping,
    )!;
    if (parseInt(begin, 16) <= address && address < parseInt(end, 16)) {
      return /^VmFlags:.*$/m.exec(mapping)?.[0] ?? "";
    }
  }
  throw new Error(`Nothing is mapped at ${address}.`);
}

test("copyFrom() a Buffer over the array's own slice copies the old content", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "own.dat"), "w+", { length: 1000 });
  const slice = map.slice();
  const own = () => Buffer.from(slice.buffer, 0, 9);
  slice.set(Array.from({ length: 1000 }, (_, i) => i));
  slice.array("uint8", { shape: [3, 3] }).transpose().copyFrom(own());
  const flat = slice.array("uint8", { shape: 9 }).toTypedArray();
  assert.deepEqual([...flat], [0, 3, 6, 1, 4, 7, 2, 5, 8]);
  slice.set(Array.from({ length: 1000 }, (_, i) => i));
  const wide = slice.array("int16", { shape: 9, byteOffset: 2 });
  wide.copyFrom(own());
  assert.deepEqual([...wide], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test("a stale view is rejected as a source", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "stale.dat"), "w+", { length: 100 });
  const first = map.slice(0, 50);
  const slice = map.slice(50, 100);
  const { bytes } = first;
  first.resize(60);
  const stale = { name: "TypeError", message: /stale/ };
  assert.throws(() => slice.array("uint8").copyFrom(bytes), stale);
  assert.throws(() => slice.array("int32").copyFrom(bytes), stale);
  assert.throws(() => slice.set(bytes), stale);
  assert.throws(() => slice.splice(0, 0, bytes), stale);
  assert.throws(() => map.insert(0, bytes), stale);
});
