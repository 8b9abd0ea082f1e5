/**
 * The examples of numarray's manual, chapter "Memory Mapping", in the same order. Above
 * each assertion is the line of the manual that it translates.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { close, Memmap, open } from "../../mod.ts";
import { assertPrints, temporaryFolder } from "../support/support.ts";

/** A fresh working folder: the manual's file is simply called "memmap.tst". */
function workingFolder(): Disposable {
  const folder = temporaryFolder();
  const before = process.cwd();
  process.chdir(folder.path);
  return {
    [Symbol.dispose]: () => {
      process.chdir(before);
      folder[Symbol.dispose]();
    },
  };
}

test("opening a Memmap: w+ creates the file and prints as the manual says", () => {
  using _ = workingFolder();
  // >>> m = open("memmap.tst","w+",len=48)
  using m = open("memmap.tst", "w+", { length: 48 });
  // >>> m
  assertPrints(
    m,
    "<Memmap on file 'memmap.tst' with mode='w+', length=48, 0 slices>",
  );
  assert.equal(readFileSync("memmap.tst").length, 48);
});

test("opening a Memmap: w+ truncates a file that is there", () => {
  using _ = workingFolder();
  writeFileSync("memmap.tst", "x".repeat(1000));
  using m = open("memmap.tst", "w+", { length: 48 });
  assert.equal(m.length, 48);
  assert.equal(readFileSync("memmap.tst").length, 48);
});

test("slicing a Memmap: n and p print their lengths and are writable", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  // >>> n = m[0:16]
  const n = m.slice(0, 16);
  assertPrints(n, "<MemmapSlice of length:16 writable>");
  // >>> p = m[24:48]
  const p = m.slice(24, 48);
  assertPrints(p, "<MemmapSlice of length:24 writable>");
  assertPrints(
    m,
    "<Memmap on file 'memmap.tst' with mode='w+', length=48, 2 slices>",
  );
  assert.equal(n.bytes.length, 16);
  assert.equal(p.bytes.length, 24);
});

test("slicing a Memmap: overlapping slices cannot be made", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  m.slice(0, 16);
  m.slice(24, 48);
  // >>> q = m[20:28]
  assert.throws(() => m.slice(20, 28), {
    name: "OverlapError",
    code: "ERR_MEMMAP_OVERLAP",
    // IndexError: Slice overlaps prior slice of same file.
    message: /^Slice overlaps prior slice of same file\./,
  });
  assert.throws(() => m.slice(20, 28), RangeError);
  assert.equal(m.slices.length, 2);
  assert.equal(m.slice(16, 24).length, 8); // slices may touch
});

test("deleting a slice: its region is free, and the slice cannot be used", () => {
  using _ = workingFolder();
  // >>> m = Memmap("memmap.tst",mode="w+",len=100)
  using m = new Memmap("memmap.tst", "w+", { length: 100 });
  // >>> m1 = m[0:50]
  const m1 = m.slice(0, 50);
  const view = m1.bytes;
  view[49] = 7;
  // >>> del m[0:50]
  m.delete(0, 50);
  // >>> m2 = m[0:70]
  const m2 = m.slice(0, 70);
  assert.equal(m2.length, 70);
  assert.equal(m2.bytes[49], 7);
  assert.deepEqual(m.slices, [m2]);
  // >>> m1; RuntimeError: A deleted MemmapSlice has been used.
  const error = {
    name: "DeletedSliceError",
    code: "ERR_MEMMAP_DELETED",
    message: /^A deleted MemmapSlice has been used\./,
  };
  assert.throws(() => m1.length, error);
  assert.throws(() => m1.bytes, error);
  assert.throws(() => m1.buffer, error);
  assert.throws(() => m1.resize(10), error);
  assert.throws(() => m1.delete(), error);
  assert.equal(view.length, 0);
  // Here printing must not throw: it would break a REPL or a log.
  assertPrints(m1, "<MemmapSlice deleted>");
  assert.equal(m1.state, "deleted");
});

test("creating an array from a slice: a[:] = 0, a += 1", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  // >>> a = num.NumArray(buffer=n, shape=(len(n)/4,), type=num.Int32)
  const a = n.array("Int32", { shape: n.length / 4 });
  assert.deepEqual([a.shape, a.dtype, a.slice], [[4], "int32", n]);
  // >>> a[:] = 0 # Since the initial contents of 'n' are undefined.
  a.fill(0);
  assertPrints(a, "array([0, 0, 0, 0], type=Int32)");
  // >>> a += 1
  a.apply((x) => x + 1);
  // array([1, 1, 1, 1], type=Int32)
  assertPrints(a, "array([1, 1, 1, 1], type=Int32)");
  m.sync();
  const content = readFileSync("memmap.tst");
  assert.equal(
    new Int32Array(new Uint8Array(content).buffer).join(),
    "1,1,1,1,0,0,0,0,0,0,0,0",
  );
});

test("an array of the slice's own buffer: a[:] = 0, a += 1", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  // >>> a = num.NumArray(buffer=n, shape=(len(n)/4,), type=num.Int32)
  const a = new Int32Array(n.buffer);
  assert.equal(a.length, 4);
  // >>> a[:] = 0
  a.fill(0);
  // >>> a += 1
  a.forEach((x, i) => a[i] = x + 1);
  assert.deepEqual([...a], [1, 1, 1, 1]);
  assert.equal(new Int32Array(n.buffer).join(), "1,1,1,1");
});

test("resizing an array: its slice floats, and its parent's length follows", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  const p = m.slice(24, 48);
  p.bytes.fill(0x50);
  const a = n.array("Int32", { shape: n.length / 4 }).fill(1);
  // >>> a.resize(6)
  assert.equal(a.resize(6), a);
  // array([1, 1, 1, 1, 1, 1], type=Int32)
  assertPrints(a, "array([1, 1, 1, 1, 1, 1], type=Int32)");
  // "As soon as they're resized, slices become un-mapped or ``free floating''."
  assert.equal(n.state, "floating");
  assertPrints(n, "<MemmapSlice of length:24 writable>");
  // "Resizing a slice affects the parent Memmap."
  assertPrints(
    m,
    "<Memmap on file 'memmap.tst' with mode='w+', length=56, 2 slices>",
  );
  assert.equal(readFileSync("memmap.tst").length, 48);
  assert.ok(p.bytes.every((byte) => byte === 0x50));
});

test("flush, sync and close: arrays are mapped again, until the map is closed", () => {
  using _ = workingFolder();
  const m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  const p = m.slice(24, 48);
  const a = n.array("Int32", { shape: n.length / 4 }).fill(1);
  const b = p.array(">i2").fill(0x5051);
  a.resize(6).apply((x) => x + 1);
  // >>> m.flush()
  m.flush();
  // "After calling flush, all slices are once again memory mapped"
  assert.deepEqual([n.state, p.state], ["mapped", "mapped"]);
  assertPrints(a, "array([2, 2, 2, 2, 2, 2], type=Int32)");
  assert.deepEqual([...b], Array(12).fill(0x5051));
  a.set(5, -1);
  b.set(11, 0x4142);
  // >>> m.sync()
  m.sync();
  // "Now "a" and "b" are both memory mapped on "memmap.tst" again."
  const content = readFileSync("memmap.tst");
  assert.equal(content.length, 56);
  assert.deepEqual(
    [...content],
    [
      ...new Uint8Array(Int32Array.of(2, 2, 2, 2, 2, -1).buffer),
      ...new Array(8).fill(0),
      ...new Array(11).fill([0x50, 0x51]).flat(),
      ...[0x41, 0x42],
    ],
  );
  // >>> m.close()
  m.close();
  // "It is an error to use "m" (or slices of m) any further after closing it."
  const error = { name: "ClosedError", code: "ERR_MEMMAP_CLOSED" };
  assert.throws(() => a.get(0), error);
  assert.throws(() => a.set(0, 1), error);
  assert.throws(() => a.fill(0), error);
  assert.throws(() => a.resize(4), error);
  assert.throws(() => [...b], error);
  assertPrints(a, "<MemmapArray of a closed slice>");
});

test("resizing a slice: it floats, and its parent's length follows", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  new Int32Array(n.buffer).fill(1);
  const before = n.buffer;
  assert.equal(n.state, "mapped");
  // >>> a.resize(6); an array repeats its ones, a slice grows with zeros
  n.resize(6 * 4);
  assert.equal(n.state, "floating");
  assert.equal(before.detached, true);
  assert.deepEqual([...new Int32Array(n.buffer)], [1, 1, 1, 1, 0, 0]);
  assert.equal(n.length, 24);
  assert.equal(m.length, 56);
  assert.equal(m.dirty, true);
  assertPrints(n, "<MemmapSlice of length:24 writable>");
  assertPrints(
    m,
    "<Memmap on file 'memmap.tst' with mode='w+', length=56, 1 slices>",
  );
  assert.equal(readFileSync("memmap.tst").length, 48);
});

test("flush, sync and close: the manual's session to its end", () => {
  using _ = workingFolder();
  const m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  const p = m.slice(24, 48);
  new Int32Array(n.buffer).fill(1);
  p.bytes.fill(0x50);
  n.resize(24);
  new Int32Array(n.buffer).fill(1);
  // >>> m.flush()
  m.flush();
  assert.equal(n.state, "mapped");
  assert.equal(p.state, "mapped");
  assert.equal(m.dirty, false);
  assert.deepEqual([n.begin, n.end], [0, 24]);
  assert.deepEqual([p.begin, p.end], [32, 56]);
  assert.equal(new Int32Array(n.buffer).join(), "1,1,1,1,1,1");
  assert.ok(p.bytes.every((byte) => byte === 0x50));
  const content = readFileSync("memmap.tst");
  assert.equal(content.length, 56);
  assert.deepEqual(
    [...content],
    [
      ...new Uint8Array(Int32Array.of(1, 1, 1, 1, 1, 1).buffer),
      ...new Array(8).fill(0),
      ...new Array(24).fill(0x50),
    ],
  );
  // >>> m.sync()
  new Int32Array(n.buffer)[5] = -1;
  m.sync();
  assert.equal(readFileSync("memmap.tst").readInt8(20), -1);
  // sync() leaves floating slices floating
  p.resize(30);
  m.sync();
  assert.equal(p.state, "floating");
  assert.equal(readFileSync("memmap.tst").length, 56);
  // >>> m.close(): flushes first
  m.close();
  assert.equal(readFileSync("memmap.tst").length, 62);
  // "It is an error to use m (or slices of m) any further"
  const error = { name: "ClosedError", code: "ERR_MEMMAP_CLOSED" };
  assert.throws(() => m.slice(0, 1), error);
  assert.throws(() => m.length, error);
  assert.throws(() => m.flush(), error);
  assert.throws(() => n.bytes, error);
  assert.throws(() => p.resize(1), error);
  assert.equal(n.state, "closed");
  assertPrints(m, "<Memmap on file 'memmap.tst' with mode='w+', closed>");
  assertPrints(n, "<MemmapSlice closed>");
  m.close();
});

test("open's modes have the manual's four names, and r+ is the default", () => {
  using _ = workingFolder();
  writeFileSync("memmap.tst", "this is a test");
  // open(filename, mode='r+', len=None)
  using byDefault = open("memmap.tst");
  assert.equal(byDefault.mode, "r+");
  assert.equal(byDefault.length, 14);
  for (
    const [name, mode] of [
      ["readonly", "r"],
      ["copyonwrite", "c"],
      ["readwrite", "r+"],
      ["r", "r"],
      ["c", "c"],
      ["r+", "r+"],
    ] as const
  ) {
    using m = open("memmap.tst", name);
    assert.equal(m.mode, mode);
    assert.equal(m.find("test"), 10);
  }
  using written = open("memmap.tst", "write", { length: 3 });
  assert.equal(written.mode, "w+");
  assert.deepEqual([...readFileSync("memmap.tst")], [0, 0, 0]);
});

test("modes r and c never change the file, and r throws on an attempt", () => {
  using _ = workingFolder();
  writeFileSync("memmap.tst", "this is a test");
  const r = open("memmap.tst", "r");
  const readonly = r.slice(0, 4);
  assertPrints(readonly, "<MemmapSlice of length:4 readonly>");
  assert.throws(() => readonly.set([1]), { name: "ReadonlyError" });
  assert.throws(() => readonly.resize(5), { name: "ReadonlyError" });
  r.close();
  const c = open("memmap.tst", "c");
  const copied = c.slice(0, 4);
  assertPrints(copied, "<MemmapSlice of length:4 writable>");
  copied.bytes.set([0x54, 0x48]);
  assert.equal(c.find("THis"), 0);
  c.close();
  assert.equal(readFileSync("memmap.tst", "utf8"), "this is a test");
});

test("writes to a readwrite map reach the file", () => {
  using _ = workingFolder();
  writeFileSync("memmap.tst", "this is a test");
  {
    using m = open("memmap.tst", "readwrite");
    m.slice(0, 4).bytes.set([0x54, 0x48]);
  }
  assert.equal(readFileSync("memmap.tst", "utf8"), "THis is a test");
});

test("the close function closes a map", () => {
  using _ = workingFolder();
  const m = open("memmap.tst", "w+", { length: 8 });
  const slice = m.slice();
  // close(map)
  close(m);
  assert.equal(m.closed, true);
  assert.throws(() => slice.length, { name: "ClosedError" });
  assert.ok(existsSync("memmap.tst"));
});

test("find returns the first index, or -1", () => {
  using _ = workingFolder();
  // >>> _open("memmap.tst","w+").write("this is a test")
  writeFileSync("memmap.tst", "this is a test");
  {
    // >>> Memmap("memmap.tst",len=14).find("is")
    using m = new Memmap("memmap.tst", "r+", { length: 14 });
    assert.equal(m.find("is"), 2);
  }
  {
    // >>> Memmap("memmap.tst",len=14).find("is", 3)
    using m = new Memmap("memmap.tst", "r+", { length: 14 });
    assert.equal(m.find("is", 3), 5);
  }
  // >>> _open("memmap.tst","w+").write("x")
  writeFileSync("memmap.tst", "x");
  {
    // >>> Memmap("memmap.tst",len=1).find("is")
    using m = new Memmap("memmap.tst", "r+", { length: 1 });
    assert.equal(m.find("is"), -1);
  }
  assert.equal(readFileSync("memmap.tst", "utf8"), "x");
});

test("insert takes a size or a buffer, and flush puts the slice into the file", () => {
  using _ = workingFolder();
  writeFileSync("memmap.tst", "this is a test");
  using m = open("memmap.tst");
  // insert(offset, size=None, buffer=None)
  const sized = m.insert(0, 2);
  const filled = m.insert(14, new TextEncoder().encode("!?"));
  assert.equal(sized.state, "floating");
  assertPrints(sized, "<MemmapSlice of length:2 writable>");
  assert.equal(m.length, 18);
  assert.equal(readFileSync("memmap.tst", "utf8"), "this is a test");
  m.flush();
  assert.equal(readFileSync("memmap.tst", "utf8"), "\0\0this is a test!?");
  assert.deepEqual([sized.begin, sized.end], [0, 2]);
  assert.deepEqual([filled.begin, filled.end], [16, 18]);
});

test("flush and sync work on write and readwrite maps only", () => {
  using _ = workingFolder();
  writeFileSync("memmap.tst", "this is a test");
  for (const mode of ["r", "c"] as const) {
    using m = open("memmap.tst", mode);
    assert.throws(() => m.flush(), { name: "ReadonlyError" });
    assert.throws(() => m.sync(), { name: "ReadonlyError" });
  }
  for (const mode of ["r+", "w+"] as const) {
    using m = open("memmap.tst", mode, { length: 14 });
    m.sync();
    assert.equal(m.flush().strategy, "none");
  }
});

test("a slice is a buffer: its memory is the file's", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  // __buffer__()
  assert.ok(n.buffer instanceof ArrayBuffer);
  assert.equal(n.buffer.byteLength, 16);
  new DataView(n.buffer).setInt16(14, 0x4142);
  assert.equal(m.find("AB"), 14);
});

test("resize expands and contracts a slice", () => {
  using _ = workingFolder();
  using m = open("memmap.tst", "w+", { length: 48 });
  const n = m.slice(0, 16);
  // resize(newsize)
  for (const size of [24, 8, 0, 16, 1000, 1]) {
    n.resize(size);
    assert.equal(n.length, size);
    assert.equal(n.bytes.length, size);
    assert.equal(m.length, 32 + size);
  }
  m.flush();
  assert.equal(readFileSync("memmap.tst").length, 33);
});
