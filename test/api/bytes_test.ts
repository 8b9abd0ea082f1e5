/** A map's bytes without a slice: `read()` and `write()`. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { type Memmap, open } from "../../mod.ts";
import { temporaryFolder, withLibc } from "../support/support.ts";

// deno-lint-ignore no-explicit-any -- what TypeScript would refuse
type Any = any;

/** A file of `length` bytes that count up from 0. */
function countingFile(folder: string, length = 100): string {
  const path = join(folder, "file.dat");
  fs.writeFileSync(path, Uint8Array.from({ length }, (_, i) => i));
  return path;
}

test("read() copies across slices, and registers none", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path), "r");
  map.slice(0, 10);
  map.slice(10, 20);
  const copy = map.read(5, 15);
  assert.deepEqual([...copy], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
  assert.equal(map.slices.length, 2);
  assert.equal(map.read().length, 100);
  assert.deepEqual([...map.read(-3)], [97, 98, 99]);
  assert.deepEqual([...map.read(-3, -1)], [97, 98]);
  assert.equal(map.read(100).length, 0);
  copy.fill(7);
  assert.equal(map.read(5, 6)[0], 5);
});

test("what read() returns outlives the map, and is not the map's memory", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path);
  const map = open(path);
  const copy = map.read(0, 4);
  const { buffer } = copy;
  assert.equal(buffer.byteLength, 4);
  copy.fill(9);
  map.close();
  assert.deepEqual([...copy], [9, 9, 9, 9]);
  assert.deepEqual([...fs.readFileSync(path).subarray(0, 4)], [0, 1, 2, 3]);
});

test("read() and write() refuse what lies outside, and do nothing", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path);
  using map: Any = open(path);
  for (const [begin, end] of [[101], [0, 101], [-101], [5, 4], [0.5], [NaN]]) {
    assert.throws(() => map.read(begin, end), { name: "RangeError" });
  }
  for (const offset of [98, 101, -101, -2, 0.5, NaN, undefined, "1", null]) {
    assert.throws(() => map.write([1, 2, 3], offset), { name: "RangeError" });
  }
  assert.throws(() => map.write([1, 2, 3], 99), {
    message:
      "3 bytes do not fit at 99 into the 100 that are mapped; insert() and append() add bytes.",
  });
  assert.throws(() => map.write(Array(101).fill(0), 0), {
    message: /^101 bytes do not fit into the 100 that are mapped/,
  });
  for (const source of ["abc", 5, null, undefined, {}, ["1"], [1n]]) {
    assert.throws(() => map.write(source, 0), { name: "TypeError" });
  }
  assert.throws(() => map.write(new BigInt64Array(2), 0), {
    name: "TypeError",
  });
  assert.throws(() => map.read(0, 1, 2), { name: "TypeError" });
  assert.throws(() => map.write([1], 0, 2), { name: "TypeError" });
  assert.deepEqual(map.read(), new Uint8Array(fs.readFileSync(path)));
  assert.equal(map.read()[99], 99);
});

test("write() takes what set() takes, across slices, and counts negative offsets from the end", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path);
  using map = open(path);
  const [left, right] = [map.slice(0, 10), map.slice(10, 20)];
  const { bytes } = left;
  map.write([257, -1, 1.9, 4], 8);
  assert.deepEqual([...bytes.subarray(8)], [1, 255]);
  assert.deepEqual([...right.bytes.subarray(0, 2)], [1, 4]);
  map.write(new Float64Array([300, 2.5]), 0);
  assert.deepEqual([...bytes.subarray(0, 3)], [44, 2, 2]);
  const { buffer } = new Uint8Array([7, 8, 9]);
  map.write(buffer, -3);
  map.write(new DataView(buffer, 1), -5);
  map.write(new Uint8Array(new SharedArrayBuffer(1)), 50);
  map.write([], 100);
  const wanted = [8, 9, 7, 8, 9];
  assert.deepEqual([...fs.readFileSync(path).subarray(95)], wanted);
  assert.equal(map.read(50, 51)[0], 0);
  assert.equal(map.dirty, false);
});

test("write() obeys the mode", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path);
  using r = open(path, "r");
  assert.throws(() => r.write([1], 0), { code: "ERR_MEMMAP_READONLY" });
  // Before the source is looked at.
  assert.throws(() => r.write(null as Any, 0), {
    code: "ERR_MEMMAP_READONLY",
  });
  using c = open(path, "c");
  c.write([55], 3);
  assert.equal(c.read(3, 4)[0], 55);
  assert.equal(fs.readFileSync(path)[3], 3);
  const map = open(path);
  map.close();
  assert.throws(() => map.read(), { code: "ERR_MEMMAP_CLOSED" });
  assert.throws(() => map.write([1], 0), { code: "ERR_MEMMAP_CLOSED" });
});

test("the bytes of floating slices are not read's or write's business", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path));
  const slice = map.slice(10, 20);
  slice.resize(30);
  slice.fill(200);
  map.insert(50, new Uint8Array([201]));
  assert.deepEqual(map.read(10, 12), new Uint8Array([10, 11]));
  map.write([1, 2], 10);
  assert.equal(slice.bytes[0], 200);
  assert.deepEqual(map.read(10, 12), new Uint8Array([1, 2]));
  map.close({ discard: true });
});

test("a source that overlaps what is written is right, of this map or another of the file", () => {
  const length = 2 ** 16;
  const shift = 4096;
  const count = length - shift;
  const content = Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8));
  type Source = (map: Memmap, from: number) => ArrayBufferView;
  const sources: Record<string, Source> = {
    "its bytes": (map, from) => map.slice(from, from + count).bytes,
    "a part of all": (map, from) =>
      map.slice().bytes.subarray(from, from + count),
    "moved away": (map, from) =>
      new Uint8Array(map.slice().buffer.transfer(), from, count),
    "a DataView": (map, from) =>
      new DataView(map.slice(from, from + count).buffer),
  };
  for (const [name, source] of Object.entries(sources)) {
    for (const [from, to] of [[0, shift], [shift, 0]] as const) {
      for (const isOther of [false, true]) {
        using folder = temporaryFolder();
        const path = join(folder.path, "file");
        fs.writeFileSync(path, content);
        using map = open(path);
        using other = open(isOther ? path : countingFile(folder.path));
        map.write(source(isOther ? other : map, from), to);
        const wanted = content.slice();
        wanted.copyWithin(to, from, from + count);
        assert.ok(
          Buffer.from(wanted).equals(fs.readFileSync(path)),
          `${name} of ${
            isOther ? "another map" : "this map"
          }, ${from} to ${to}`,
        );
      }
    }
  }
  // Elements of two bytes: each becomes one, and none is written before it was read.
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, content);
  using map = open(path);
  const words = new Uint16Array(map.slice().buffer, 2 ** 12, 2 ** 13);
  const wanted = Uint8Array.from(words);
  map.write(words, 2 ** 13);
  assert.deepEqual(map.read(2 ** 13, 2 ** 14), wanted);
});

test("reading alone leaves nothing to be synced", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path);
  const { msync } = libc();
  let calls = 0;
  withLibc({
    msync: (...values) => {
      calls++;
      return msync(...values);
    },
  }, () => {
    using map = open(path);
    map.read();
    map.flush();
    assert.equal(calls, 0);
    map.write([1], 0);
    map.flush();
    assert.equal(calls, 1);
  });
});

test("more than a buffer can hold is a RangeError that says so", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "sparse");
  const length = 2 ** 42;
  fs.writeFileSync(path, "");
  fs.truncateSync(path, length);
  using map = open(path, "r");
  assert.throws(() => map.read(), {
    name: "RangeError",
    message:
      `${length} bytes are more than this runtime puts into one buffer; read() ` +
      "them in pieces.",
  });
  assert.equal(map.read(length - 5).length, 5);
});
