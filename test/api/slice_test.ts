/**
 * MemmapSlice: views, edits, and copies.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Memmap, open } from "../../mod.ts";
import { temporaryFolder } from "../support/support.ts";

function countingMap(folder: string, length = 48): Memmap {
  const path = join(folder, "counting.dat");
  fs.writeFileSync(path, Uint8Array.from({ length }, (_, i) => i));
  return open(path);
}

test("bytes and buffer cover exactly the slice, and stay the same until it changes", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(5, 9);
  assert.equal(slice.buffer.byteLength, 4);
  assert.deepEqual([...slice.bytes], [5, 6, 7, 8]);
  assert.equal(slice.bytes, slice.bytes);
  assert.equal(slice.bytes.buffer, slice.buffer);
});

test("writes through views reach the file", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  new DataView(map.slice(3, 20).buffer).setUint32(1, 0xdeadbeef);
  map.sync();
  assert.equal(fs.readFileSync(map.path).readUInt32BE(4), 0xdeadbeef);
});

test("resize() keeps the bytes, pads with zeros, and detaches the old view", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(4, 8);
  const { bytes } = slice;
  slice.resize(6);
  assert.equal(bytes.length, 0);
  assert.equal(bytes[0], undefined);
  assert.deepEqual([...slice.bytes], [4, 5, 6, 7, 0, 0]);
  slice.bytes.fill(9);
  slice.resize(2);
  slice.resize(5);
  assert.deepEqual([...slice.bytes], [9, 9, 0, 0, 0]);
  slice.resize(2 ** 21);
  slice.resize(3);
  assert.deepEqual([...slice.bytes], [9, 9, 0]);
  assert.deepEqual([slice.begin, slice.end, slice.state, slice.dirty], [
    4,
    8,
    "floating",
    true,
  ]);
});

test("resize() to the same size changes nothing", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(4, 8);
  const { bytes } = slice;
  slice.resize(4);
  assert.equal(slice.state, "mapped");
  assert.equal(slice.bytes, bytes);
  for (const length of [-1, 0.5, NaN, 2 ** 53]) {
    assert.throws(() => slice.resize(length), { name: "RangeError" });
  }
});

test("resize() of one slice leaves its neighbours' bytes in place", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const [a, b, c] = [map.slice(0, 16), map.slice(16, 32), map.slice(32, 48)];
  const { bytes } = c;
  b.resize(100);
  b.bytes.fill(0xff);
  a.resize(0);
  assert.equal(bytes[0], 32);
  assert.equal(a.bytes.length, 0);
  assert.equal(map.slices[2], c);
});

test("splice() inserts, removes and replaces as on an array", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path, 400);
  let seed = 1;
  const random = (limit: number) => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % limit;
  };
  const slice = map.slice(0, 200);
  const model = [...slice.bytes];
  for (let i = 0; i < 500; i++) {
    const offset = random(model.length + 1);
    const deleteCount = random(Math.min(40, model.length - offset) + 1);
    const added = random(2) === 0
      ? random(20)
      : Uint8Array.from({ length: random(60) }, () => random(256));
    model.splice(
      offset,
      deleteCount,
      ...(typeof added === "number" ? Array(added).fill(0) : added),
    );
    slice.splice(offset, deleteCount, added);
    assert.deepEqual([...slice.bytes], model, `step ${i}`);
    assert.equal(map.length, 200 + model.length);
  }
});

test("splice() accepts a view of the slice itself", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path, 4);
  const slice = map.slice();
  slice.splice(2, 0, slice.bytes);
  slice.splice(0, 0, slice.bytes.subarray(6));
  assert.deepEqual([...slice.bytes], [2, 3, 0, 1, 0, 1, 2, 3, 2, 3]);
});

test("splice() rejects ranges outside the slice, and does nothing for an empty edit", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(0, 10);
  for (
    const [offset, count] of [
      [11, 0],
      [5, 6],
      [-11, 1],
      [0, -1],
      [0, 0.5],
    ] as const
  ) {
    assert.throws(() => slice.splice(offset, count, 1), { name: "RangeError" });
  }
  slice.splice(5, 0);
  slice.splice(5, 0, new Uint8Array(0));
  assert.equal(slice.state, "mapped");
  slice.splice(-2, 1);
  assert.deepEqual([...slice.bytes], [0, 1, 2, 3, 4, 5, 6, 7, 9]);
});

test("set() copies arrays and buffers, and rejects what does not fit", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(0, 6);
  slice.set([300, -1], 1);
  slice.set(new Uint8Array([7, 8]).buffer, 4);
  slice.set(new Uint16Array([0x0102]));
  assert.deepEqual(
    [...slice.bytes],
    [2, 255, 2, 3, 7, 8].with(1, 44).with(2, 255),
  );
  assert.throws(() => slice.set([1, 2], 5), {
    name: "RangeError",
    message: /resize/,
  });
  assert.throws(() => slice.set([1], 7), { name: "RangeError" });
  slice.set([], 6);
});

test("set() works if source and target overlap", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(0, 6);
  slice.set(slice.bytes.subarray(0, 5), 1);
  assert.deepEqual([...slice.bytes], [0, 0, 1, 2, 3, 4]);
});

test("fill() sets a range to a value modulo 256", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(0, 4);
  slice.fill(257, 1, 3);
  assert.deepEqual([...slice.bytes], [0, 1, 1, 3]);
  slice.fill(-1, -1);
  assert.deepEqual([...slice.bytes], [0, 1, 1, 255]);
  slice.fill(0);
  assert.deepEqual([...slice.bytes], [0, 0, 0, 0]);
  assert.throws(() => slice.fill(0, 0, 5), { name: "RangeError" });
});

test("slice() copies by the rules of TypedArray.prototype.slice", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(10, 20);
  const model = slice.bytes;
  for (
    const [begin, end] of [[0, 10], [2, 5], [-3, 99], [-99, -2], [7, 3], [
      NaN,
      4,
    ], [1.9, 4.9]]
  ) {
    assert.deepEqual(slice.slice(begin, end), model.slice(begin, end));
  }
  const copy = slice.slice();
  slice.fill(0);
  assert.equal(copy[9], 19);
});

test("sync() does nothing on a floating slice, and waits for the disk on a mapped one", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  const slice = map.slice(1, 9);
  slice.fill(7);
  slice.sync();
  slice.resize(20);
  slice.sync();
  assert.equal(slice.state, "floating");
});

test("using deletes the slice", () => {
  using folder = temporaryFolder();
  using map = countingMap(folder.path);
  {
    using slice = map.slice(0, 10);
    assert.equal(map.slices.length, 1);
    assert.equal(slice.map, map);
  }
  assert.equal(map.slices.length, 0);
  map.slice(0, 20);
});

test("set() copies the bytes of buffers and DataViews, and rejects what has none", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "set.dat"), "w+", { length: 4 });
  const slice = map.slice();
  const bytes = new Uint8Array([0, 1, 2, 3, 4]);
  const shared = new SharedArrayBuffer(4);
  new Uint8Array(shared).set([1, 2, 3, 4]);
  for (
    const source of [new DataView(bytes.buffer, 1), shared, bytes.subarray(1)]
  ) {
    slice.fill(0);
    slice.set(source);
    assert.deepEqual([...slice.bytes], [1, 2, 3, 4]);
  }
  const nothing = [new Set([1]), {}, 5, null] as unknown[];
  for (const source of nothing) {
    assert.throws(() => slice.set(source as number[]), { name: "TypeError" });
  }
  const odd = { length: NaN, 0: 1 };
  assert.throws(() => slice.set(odd), { name: "RangeError" });
  assert.deepEqual([...slice.bytes], [1, 2, 3, 4]);
});
