/**
 * Strides in bytes, whatever they are, and the arrays that are made of an array: what
 * `a[1:, ::-1]` is in numpy.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { test } from "node:test";
import {
  type DType,
  isTypeName,
  type MemmapArray,
  type MemmapSlice,
  open,
  type TypedArrayOf,
} from "../../mod.ts";
import { ourShare, temporaryFolder } from "../support/support.ts";

const RANGE_ERROR = { name: "RangeError" };
const TYPE_ERROR = { name: "TypeError" };

/** Runs `use` with a slice of so many bytes, which count up from 0. */
function withSlice(length: number, use: (slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "strides.dat"), "w+", { length });
  const slice = map.slice();
  for (let i = 0; i < length; i++) slice.bytes[i] = i;
  use(slice);
}

/** The elements as nested lists. */
function nested(a: MemmapArray, index: number[] = []): unknown {
  if (index.length === a.ndim) return a.get(...index);
  return Array.from(
    { length: a.shape[index.length]! },
    (_, i) => nested(a, [...index, i]),
  );
}

test("strides are bytes: one field of packed records is every 37th byte", () => {
  withSlice(37 * 10, (slice) => {
    const column = slice.array("<f8", { byteOffset: 5, strides: [37] });
    assert.deepEqual([column.shape, column.strides], [[10], [37]]);
    const view = new DataView(slice.buffer);
    for (let i = 0; i < 10; i++) view.setFloat64(37 * i + 5, i / 3, true);
    for (let i = 0; i < 10; i++) assert.equal(column.get(i), i / 3);
    assert.deepEqual([...column.toTypedArray()], [...column]);
    assert.equal(column.set(4, 1.5), 1.5);
    assert.equal(view.getFloat64(37 * 4 + 5, true), 1.5);
    assert.equal(column.data, null);
    assert.throws(() => column.get(10), RANGE_ERROR);
    assert.throws(() => column.get(-1), RANGE_ERROR);
    assert.throws(() => column.get(1 / 37), RANGE_ERROR);
    const last = slice.array("<f8", { byteOffset: 30, strides: [37] });
    assert.equal(last.size, 9); // the tenth would end behind the slice
    assert.equal(
      slice.array("<f8", { byteOffset: 29, strides: [37] }).size,
      10,
    );
  });
});

test("a stride may be negative, zero, or smaller than an element", () => {
  withSlice(32, (slice) => {
    const back = slice.array("u1", { byteOffset: 31, strides: [-1] });
    assert.equal(back.size, 32);
    assert.deepEqual([back.get(0), back.get(31)], [31, 0]);
    assert.deepEqual(
      [...back.toTypedArray()],
      [...slice.bytes.toReversed()],
    );
    assert.throws(() => back.get(32), RANGE_ERROR);
    assert.throws(() => back.get(-1), RANGE_ERROR);
    assert.equal(back.data, null);
    const same = slice.array("u1", { byteOffset: 7, shape: 5, strides: [0] });
    assert.deepEqual([...same], [7, 7, 7, 7, 7]);
    assert.deepEqual([...same.toTypedArray()], [7, 7, 7, 7, 7]);
    for (const wrong of [5, -1, 0.5, 2 ** 40]) {
      assert.throws(() => same.get(wrong), RANGE_ERROR);
      assert.throws(() => same.set(wrong, 1), RANGE_ERROR);
    }
    same.set(3, 9);
    assert.deepEqual([...same], [9, 9, 9, 9, 9]);
    const windows = slice.array(">u2", { strides: [1] });
    assert.equal(windows.size, 31);
    assert.deepEqual([...windows.subarray(0, 3)], [1, 258, 515]);
    const table = slice.array("u1", {
      shape: [-1, 3],
      strides: [-8, 2],
      byteOffset: 24,
    });
    assert.deepEqual(nested(table), [
      [24, 26, 28],
      [16, 18, 20],
      [8, 10, 12],
      [0, 2, 4],
    ]);
    assert.deepEqual(String(table.data), "null");
  });
});

test("order: 'F' lays the first axis out fastest", () => {
  withSlice(24, (slice) => {
    const a = slice.array("u1", { shape: [2, 3], order: "F" });
    assert.deepEqual(a.strides, [1, 2]);
    assert.deepEqual(nested(a), [[0, 2, 4], [1, 3, 5]]);
    assert.deepEqual([...a.toTypedArray()], [0, 2, 4, 1, 3, 5]);
    assert.deepEqual(a.data?.length, 6);
    const b = slice.array(">i2", { shape: [-1, 3], order: "F" });
    assert.deepEqual([b.shape, b.strides], [[4, 3], [2, 8]]);
    const c = slice.array(">i2", { shape: [-1, 3], order: "C" });
    assert.deepEqual(c.strides, [6, 2]);
  });
});

test("strides that reach outside of the slice are a RangeError, and wrong ones say why", () => {
  withSlice(100, (slice) => {
    const refused: [object, object][] = [
      [{ shape: 3, strides: [50] }, RANGE_ERROR],
      [{ shape: 3, strides: [-1] }, RANGE_ERROR],
      [{ shape: 3, strides: [-8], byteOffset: 15 }, RANGE_ERROR],
      [{ shape: [3, 3], strides: [40, 10] }, RANGE_ERROR],
      [{ shape: 2, strides: [2 ** 53] }, RANGE_ERROR],
      [{ shape: [3, 3], strides: [2 ** 53 - 1, 2 ** 53 - 1] }, RANGE_ERROR],
      [{ shape: 2, strides: [-(2 ** 52)] }, RANGE_ERROR],
      [{ shape: 2, strides: [0.5] }, RANGE_ERROR],
      [{ shape: 2, strides: [NaN] }, RANGE_ERROR],
      [{ shape: 2, strides: [8, 8] }, RANGE_ERROR],
      [{ shape: [2, 2], strides: [8] }, RANGE_ERROR],
      [{ strides: [0] }, RANGE_ERROR],
      [{ strides: [8, 8] }, RANGE_ERROR],
      [{ shape: [-1, -1], strides: [8, 8] }, RANGE_ERROR],
      [{ shape: 2, strides: ["8"] }, TYPE_ERROR],
      [{ shape: 2, strides: 8 }, TYPE_ERROR],
      [{ shape: 2, strides: [8], order: "C" }, TYPE_ERROR],
      [{ shape: 2, order: "A" }, TYPE_ERROR],
    ];
    for (const [options, error] of refused) {
      const name = JSON.stringify(options);
      assert.throws(() => slice.array("float64", options), error, name);
    }
    assert.throws(() => slice.array("i2", { shape: 5, strides: [-2] }), {
      message: /from -8 to 2, and the slice has 100/,
    });
    // None at all reach nowhere.
    const none = slice.array("f8", { shape: [0, 5], strides: [2 ** 50, -99] });
    assert.deepEqual([...none.toTypedArray()], []);
    assert.equal(slice.array("f8", { byteOffset: 95, strides: [9] }).size, 0);
  });
});

test("pick(), lo(), hi() and step() are numpy's basic indexing", () => {
  withSlice(24, (slice) => {
    const a = slice.array("u1", { shape: [4, 6] });
    assert.deepEqual(nested(a.pick(2)), [12, 13, 14, 15, 16, 17]);
    assert.deepEqual(nested(a.pick(null, 1)), [1, 7, 13, 19]);
    assert.equal(a.pick(3, 5).get(), 23);
    assert.deepEqual(a.pick().shape, [4, 6]);
    assert.deepEqual(nested(a.lo(2, 4)), [[16, 17], [22, 23]]);
    assert.deepEqual(nested(a.hi(2, 2)), [[0, 1], [6, 7]]);
    assert.deepEqual(nested(a.lo(1, 2).hi(2, 3)), [[8, 9, 10], [14, 15, 16]]);
    assert.deepEqual(nested(a.lo(null, 5)), [[5], [11], [17], [23]]);
    assert.deepEqual(nested(a.hi(null, 1).pick(null, 0)), [0, 6, 12, 18]);
    assert.deepEqual(nested(a.step(2, 3)), [[0, 3], [12, 15]]);
    assert.deepEqual(nested(a.step(-1, -4)), [
      [23, 19],
      [17, 13],
      [11, 7],
      [5, 1],
    ]);
    assert.deepEqual(nested(a.step(-1).step(-1)), nested(a));
    assert.deepEqual(nested(a.step(-9)), [[18, 19, 20, 21, 22, 23]]);
    assert.deepEqual(a.lo(4).shape, [0, 6]);
    assert.deepEqual(a.hi(0).step(-1).shape, [0, 6]);
    assert.deepEqual(nested(a.step(2 ** 53 - 1)), [[0, 1, 2, 3, 4, 5]]);
    a.step(-1, -1).copyFrom(a.toTypedArray());
    assert.deepEqual([...slice.bytes], [...Array(24).keys()].reverse());
    for (
      const wrong of [
        () => a.pick(4),
        () => a.pick(-1),
        () => a.pick(0.5),
        () => a.pick(0, 0, 0),
        () => a.lo(5),
        () => a.lo(-1),
        () => a.hi(5),
        () => a.hi(null, 7),
        () => a.step(0),
        () => a.step(1.5),
        () => a.step(NaN),
        () => a.step("1" as unknown as number),
        () => a.lo(null, null, null),
      ]
    ) assert.throws(wrong, RANGE_ERROR);
  });
});

test("what is made of an array follows the slice, and writes into the array", () => {
  withSlice(24, (slice) => {
    const a = slice.array("u1", { shape: [4, 6] });
    const back = a.pick(null, 2).step(-1);
    slice.resize(30);
    assert.deepEqual([...back], [20, 14, 8, 2]);
    back.set(0, 99);
    assert.equal(a.get(3, 2), 99);
    slice.resize(20);
    assert.throws(() => back.get(3), RANGE_ERROR); // its first element is gone
    assert.match(String(back), /beyond the end/);
  });
});

test("length is that of the first axis", () => {
  withSlice(24, (slice) => {
    assert.equal(slice.array("u1").length, 24);
    assert.equal(slice.array("u1", { shape: [4, 6] }).length, 4);
    assert.equal(slice.array("u1", { shape: [] }).length, 1);
  });
});

test("set() returns the value, in every type and shape", () => {
  withSlice(64, (slice) => {
    const values: Partial<Record<DType, unknown>> = { bool: true, int64: 5n };
    for (const dtype of ["bool", "int8", "int64", "float64"] as const) {
      const value = (values[dtype] ?? 5) as never;
      for (const shape of [[], [2], [2, 2], [1, 1, 2, 2]]) {
        const a: MemmapArray = slice.array(dtype, { shape });
        assert.equal(a.set(...shape.map(() => 0), value), value);
      }
    }
  });
});

test("isTypeName() tells the names of types from all else", () => {
  for (const name of [">f8", "|u1", "Int32", "complex64", "c16", "Complex64"]) {
    assert.ok(isTypeName(name), name);
  }
  for (
    const other of ["f9", ">Int32", "", "S16", 4, null, undefined, {}, ["f8"]]
  ) assert.ok(!isTypeName(other), String(other));
  const found: unknown = "<i4";
  withSlice(8, (slice) => {
    if (isTypeName(found)) assert.equal(slice.array(found).size, 2);
  });
});

/** Tables of many sizes, so that runs, blocks and what is left over are all met. */
const SIZES = [1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100];

/** The bytes of each element in row-major order, in the machine's order. */
function bytesOf(a: MemmapArray, bytes: Uint8Array): Uint8Array {
  const [rows, columns] = a.shape as [number, number];
  const [down, along] = a.strides as [number, number];
  const parts = a.dtype.startsWith("complex") ? 2 : 1;
  const unit = a.itemSize / parts;
  const isLittle = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  const isNative = (a.byteOrder === "little") === isLittle;
  const packed = new Uint8Array(a.size * a.itemSize);
  let to = 0;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = a.byteOffset + i * down + j * along;
      for (let byte = 0; byte < a.itemSize; byte++) {
        const within = byte % unit;
        const first = byte - within;
        const from = isNative ? within : unit - 1 - within;
        packed[to++] = bytes[at + first + from]!;
      }
    }
  }
  return packed;
}

function same(a: ArrayBufferView, b: Uint8Array): boolean {
  return Buffer.compare(new Uint8Array(a.buffer), b) === 0;
}

const COPIED = ["u1", ">u2", "<u4", ">u8", "<c16", ">c8"] as const;

for (const dtype of ourShare(COPIED)) {
  test(`${dtype}: copies of tables, transposed and in part, are right bit by bit`, () => {
    withSlice(100 * 103 * 16, (slice) => {
      const { bytes } = slice;
      for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 7919) >> 3;
      const whole: MemmapArray = slice.array(dtype, { shape: [100, 103] });
      for (const rows of SIZES) {
        for (const columns of SIZES) {
          const table = whole.lo(0, 1).hi(rows, columns);
          for (
            const a of [
              table,
              table.transpose(),
              table.step(-1, 2),
              table.step(1, -1).transpose(),
            ]
          ) {
            const { size, itemSize } = a;
            const expected = bytesOf(a, bytes);
            assert.ok(same(a.toTypedArray(), expected), `${a.shape}`);
            const [from, to] = [size >> 1, size - (size >> 2)];
            const part = expected.slice(from * itemSize, to * itemSize);
            assert.ok(same(a.toTypedArray(from, to), part), `${a.shape}`);
            // There, and back from behind the table.
            const kept = a.toTypedArray();
            const before = bytes.slice();
            a.copyFrom(new Uint8Array(0) as unknown as TypedArrayOf<DType>);
            a.copyFrom(a.toTypedArray(0, size).reverse() as never);
            a.copyFrom(kept as never);
            assert.ok(same(bytes, before), "wrote elsewhere");
          }
        }
      }
    });
  });
}

test("arrays are copied from arrays in any order", () => {
  withSlice(2 * 300 * 300, (slice) => {
    const other = slice.map.insert(0, 2 * 300 * 300);
    for (const [from, to] of [[slice, other], [slice, slice]] as const) {
      const source = from.array("<u2", { shape: [300, 300] });
      source.apply((_, i) => i * 31);
      const expected = source.transpose().toTypedArray();
      const target = to.array(">u2", { shape: [300, 300] });
      target.copyFrom(source.transpose());
      assert.deepEqual(target.toTypedArray(), expected);
    }
  });
});
