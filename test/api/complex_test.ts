/**
 * Complex elements: two floats in a row, each of which has the array's byte order.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Complex,
  type MemmapArray,
  type MemmapSlice,
  open,
  type PartOf,
} from "../../mod.ts";
import { temporaryFolder } from "../support/support.ts";

const TYPES = [["complex64", 4], ["complex128", 8]] as const;
const ORDERS = ["little", "big"] as const;
const TYPE_ERROR = { name: "TypeError" };
const RANGE_ERROR = { name: "RangeError" };

function withSlice(length: number, use: (slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "complex.dat"), "w+", { length });
  use(map.slice());
}

/** The float at a byte, read by a DataView. */
function partAt(slice: MemmapSlice, unit: 4 | 8, at: number, order: string) {
  const view = new DataView(slice.buffer);
  const isLittle = order === "little";
  return unit === 4
    ? view.getFloat32(at, isLittle)
    : view.getFloat64(at, isLittle);
}

for (const [dtype, unit] of TYPES) {
  test(`${dtype}: an element is its real part and then its imaginary part`, () => {
    withSlice(300, (slice) => {
      for (const byteOrder of ORDERS) {
        for (const byteOffset of [0, 3]) {
          const options = { byteOrder, byteOffset, shape: [3, 4] };
          const a = slice.array(dtype, options);
          assert.equal(a.itemSize, 2 * unit);
          assert.deepEqual(a.set(1, 2, [1.5, -0.25]), [1.5, -0.25]);
          assert.deepEqual(a.get(1, 2), [1.5, -0.25]);
          const at = byteOffset + 6 * 2 * unit;
          assert.equal(partAt(slice, unit, at, byteOrder), 1.5);
          assert.equal(partAt(slice, unit, at + unit, byteOrder), -0.25);
          a.real.set(0, 0, 7);
          a.imag.set(0, 0, 8);
          assert.deepEqual(a.get(0, 0), [7, 8]);
          assert.deepEqual(a.real.strides, a.strides);
          assert.equal(a.real.itemSize, unit);
          assert.equal(a.imag.get(1, 2), -0.25);
          assert.equal(a.real.size, 12);
        }
      }
    });
  });

  test(`${dtype}: all that copies elements keeps both parts`, () => {
    withSlice(600, (slice) => {
      for (const byteOrder of ORDERS) {
        const a = slice.array(dtype, { byteOrder, shape: [3, 4] });
        const elements = Array.from(
          { length: 12 },
          (_, i): Complex => [i + 0.5, -i],
        );
        const flat = elements.flat();
        assert.equal(a.copyFrom(elements), a);
        assert.deepEqual([...a].map((x) => [...x]), elements);
        const typed = a.toTypedArray();
        assert.equal(typed.BYTES_PER_ELEMENT, unit);
        assert.deepEqual([...typed], flat);
        assert.deepEqual([...a.toTypedArray(2, 4)], flat.slice(4, 8));
        a.fill([0, 1]);
        assert.deepEqual([...a.toTypedArray(1, 2)], [0, 1]);
        a.copyFrom(typed.subarray(4) as never, 2);
        assert.deepEqual([...a.toTypedArray(0, 3)], [0, 1, 0, 1, 2.5, -2]);
        // Another type's numbers are parts, too.
        const other = unit === 4
          ? new Float64Array(flat)
          : new Float32Array(flat);
        a.copyFrom(other as never);
        assert.deepEqual([...a.toTypedArray()], flat);
        const target = typed.slice(0, 5);
        assert.equal(a.copyTo(target, 3), 2);
        assert.deepEqual([...target], [3.5, -3, 4.5, -4, 2.5]);
        a.apply(([real, imaginary], i) => [imaginary, real + i]);
        assert.deepEqual(a.get(2, 3), [-11, 22.5]);
        a.copyFrom(typed as never);
        const transposed = a.transpose();
        assert.deepEqual(
          [...transposed.toTypedArray()].slice(0, 6),
          [0.5, -0, 4.5, -4, 8.5, -8],
        );
        const b = slice.array(unit === 4 ? "complex128" : "complex64", {
          byteOffset: 301,
          shape: 12,
        });
        b.copyFrom(a);
        assert.deepEqual([...b].flat(), flat.map((x) => x));
        b.copyFrom(transposed);
        assert.deepEqual(b.get(1), [4.5, -4]);
        a.copyFrom(b);
        a.resize([4, 4]);
        assert.deepEqual(a.get(3, 0), a.get(0, 0));
        a.resize([3, 4]);
        a.resize([4, 4], { fill: 0 });
        assert.deepEqual(a.get(3, 3), [0, 0]);
        a.resize([5, 4], { fill: [1, 2] });
        assert.deepEqual(a.get(4, 1), [1, 2]);
        slice.resize(600);
      }
    });
  });

  test(`${dtype}: what is no list of two numbers is a TypeError, and nothing is written`, () => {
    withSlice(64, (slice) => {
      slice.fill(1);
      const before = slice.slice();
      // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
      const a: any = slice.array(dtype, { shape: 2 });
      for (
        const wrong of [
          ...[1, 1n, true, "12", null, undefined, {}, [], [1], [1, 2, 3]],
          ...[[1, "2"], [1n, 2n], [, 1], [[1, 2]], Symbol("x")],
        ]
      ) {
        assert.throws(() => a.set(0, wrong), TYPE_ERROR);
        assert.throws(() => a.fill(wrong), TYPE_ERROR);
        assert.throws(() => a.apply(() => wrong), TYPE_ERROR);
        assert.throws(() => a.copyFrom([wrong]), TYPE_ERROR);
      }
      assert.throws(() => a.copyFrom(slice.array("float32")), /TypeError|fit/);
      assert.throws(() => a.copyFrom(new Float32Array(3)), RANGE_ERROR);
      assert.throws(() => a.copyTo(new Int32Array(4)), TYPE_ERROR);
      assert.deepEqual(slice.slice(), before);
    });
  });

  test(`${dtype}: data has both parts in turn`, () => {
    withSlice(128, (slice) => {
      const a = slice.array(dtype, { shape: 3 });
      a.set(2, [5, 6]);
      assert.deepEqual([...a.data!], [0, 0, 0, 0, 5, 6]);
      assert.equal(slice.array(dtype, { byteOffset: 3 }).data, null);
      // Aligned as its parts are.
      const b = slice.array(dtype, { byteOffset: unit, shape: 2 });
      assert.equal(b.data!.length, 4);
      const parts = slice.array(dtype, { shape: 2, strides: [unit] });
      assert.equal(parts.data, null);
    });
  });
}

test("only complex arrays have real and imaginary parts", () => {
  withSlice(64, (slice) => {
    for (const dtype of ["bool", "int64", "float64"] as const) {
      const a: MemmapArray = slice.array(dtype);
      assert.throws(() => a.real, TYPE_ERROR);
      assert.throws(() => a.imag, TYPE_ERROR);
    }
    const real: MemmapArray<"float32"> = slice.array("c8").real;
    const part: PartOf<"complex128"> = slice.array("c16").imag.dtype;
    assert.deepEqual([real.dtype, part], ["float32", "float64"]);
  });
});

test("complex arrays print as numpy's", () => {
  withSlice(64, (slice) => {
    const print = (...values: Complex[]) =>
      String(
        slice.array("c16", { shape: values.length }).copyFrom(values),
      );
    assert.equal(print([1, 2]), "array([1.+2.j], type=Complex64)");
    assert.equal(
      print([1, 2], [10, -20.5]),
      "array([ 1. +2.j , 10.-20.5j], type=Complex64)",
    );
    assert.equal(
      print([0.25, -0], [1e10, 3]),
      "array([2.5e-01-0.j, 1.0e+10+3.j], type=Complex64)",
    );
    assert.match(String(slice.array("c8", { shape: 1 })), /type=Complex32\)$/);
    assert.equal(
      String(slice.array("c8", { shape: 0 })),
      "array([], type=Complex32)",
    );
  });
});

test("a list whose getters resize the slice does no harm", () => {
  withSlice(64, (slice) => {
    const a = slice.array("complex128", { shape: 4 });
    let times = 0;
    const list = {
      length: 2,
      get 0() {
        slice.resize(64 - 16 * ++times);
        return 1;
      },
      1: 2,
    } as unknown as Complex;
    assert.throws(() => a.set(3, list), RANGE_ERROR);
    assert.throws(() => a.fill(list), RANGE_ERROR);
    slice.resize(64);
    assert.equal(a.get(0)[0], 0);
  });
});
