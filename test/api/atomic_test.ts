/**
 * Atomic maps: nothing that is written reaches the file before a flush, which commits all
 * of it.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import {
  type FlushOptions,
  type FlushResult,
  type Memmap,
  open,
} from "../../mod.ts";
import { journalPath } from "../../src/storage/journal/format.ts";
import { ATOMIC, eachWay, fileIn, noise } from "../support/atomic.ts";
import {
  descriptorsOf,
  mappingsOf,
  temporaryFolder,
} from "../support/support.ts";

const PAGE = libc().pageSize;
const LENGTH = 5 * PAGE + 123;
const OLD = noise(LENGTH);
const NEW = noise(3 * PAGE, 2);

interface Edit {
  readonly edit: (map: Memmap) => void;
  readonly strategy: FlushResult["strategy"];
}

/** Edits of every kind, and how they are flushed. */
const EDITS: Readonly<Record<string, Edit>> = {
  "a view": {
    edit: (map) => map.slice(10, 20).bytes.fill(1),
    strategy: "in-place",
  },
  "set()": {
    edit: (map) => map.slice(PAGE - 3, PAGE + 9).set([1, 2, 3], 2),
    strategy: "in-place",
  },
  "fill()": {
    edit: (map) => map.slice().fill(7, 100, -100),
    strategy: "in-place",
  },
  "an array's set()": {
    edit: (map) => map.slice().array(">u2", { shape: [-1] }).set(PAGE, 9),
    strategy: "in-place",
  },
  "an array's copyFrom()": {
    edit: (map) => {
      map.slice(3, 3 + 8 * 900).array(">f8").copyFrom(new Float64Array(900));
    },
    strategy: "in-place",
  },
  "an array's apply()": {
    edit: (map) => void map.slice(1).array("uint8").apply((x) => x ^ 255),
    strategy: "in-place",
  },
  "an array's data": {
    edit: (map) => map.slice(0, 4 * PAGE).array("int32").data!.fill(-5),
    strategy: "in-place",
  },
  "move()": {
    edit: (map) => map.move(5, PAGE + 7, 2 * PAGE),
    strategy: "in-place",
  },
  "write()": {
    edit: (map) => map.write(NEW, PAGE - 1),
    strategy: "in-place",
  },
  "the last byte": {
    edit: (map) => map.write([9], -1),
    strategy: "in-place",
  },
  "a splice of as much, and what is written": {
    edit: (map) => {
      map.slice(100, 200).splice(10, 5, NEW.subarray(0, 5));
      map.write([1, 2], 3);
    },
    strategy: "replace",
  },
  "an insert, a resize, an append, and what is written": {
    edit: (map) => {
      map.write([1, 2, 3], 50);
      map.insert(60, NEW.subarray(0, 700));
      map.slice(PAGE, 2 * PAGE).resize(17);
      map.append(NEW.subarray(5, 900));
      map.write([4, 5, 6], PAGE - 3);
      map.slice(3 * PAGE).bytes.fill(3, 5, 50);
    },
    strategy: "replace",
  },
  "a cut, and what is written": {
    edit: (map) => {
      map.write([4, 5, 6], 7);
      map.slice(2 * PAGE + 5).resize(0);
    },
    strategy: "replace",
  },
  "an append": {
    edit: (map) => map.append(NEW),
    strategy: "extend",
  },
  "a cut": {
    edit: (map) => map.slice(PAGE + 5).resize(3),
    strategy: "extend",
  },
  "an insert": {
    edit: (map) => void map.insert(PAGE, NEW),
    strategy: "replace",
  },
};

test("no edit reaches the file before a flush, which makes of it what any flush does", () => {
  for (const [name, { edit, strategy }] of Object.entries(EDITS)) {
    eachWay((way) => {
      using folder = temporaryFolder();
      const plain = fileIn(folder.path, OLD, "plain.dat");
      {
        using map = open(plain.path);
        edit(map);
      }
      const expected = plain.content();
      fs.unlinkSync(plain.path);
      const { path, content, beside } = fileIn(folder.path, OLD);
      const about = `${name}, ${way}`;
      const map = open(path, "r+", ATOMIC);
      assert.equal(map.atomic, true);
      assert.equal(map.dirty, false, about);
      assert.deepEqual(map.modified(), [], about);
      edit(map);
      assert.equal(map.dirty, true, about);
      assert.equal(map.length, expected.length, about);
      map.sync();
      for (const slice of map.slices) slice.sync();
      assert.deepEqual(content(), OLD, about);
      assert.deepEqual(beside(), [], about);
      const result = map.flush();
      assert.equal(result.strategy, strategy, about);
      assert.equal(result.atomic, true, about);
      assert.equal(result.stale, "no", about);
      assert.deepEqual(content(), expected, about);
      assert.equal(map.dirty, false, about);
      assert.deepEqual(map.modified(), [], about);
      assert.deepEqual(map.read(), expected, about);
      assert.equal(map.flush().strategy, "none", about);
      // Once more, with what is kept.
      map.write([77], 1);
      assert.deepEqual(content(), expected, about);
      expected[1] = 77;
      assert.equal(map.flush({ durable: false }).strategy, "in-place", about);
      assert.deepEqual(content(), expected, about);
      map.close();
      assert.deepEqual(beside(), [], about);
      assert.deepEqual(descriptorsOf(folder.path) ?? [], [], about);
      assert.deepEqual(mappingsOf(folder.path) ?? [], [], about);
    });
  }
});

test("views survive a commit, and show what is written later", () => {
  using folder = temporaryFolder();
  const { path, content, put } = fileIn(folder.path, OLD);
  using map = open(path, "r+", ATOMIC);
  const { bytes } = map.slice();
  for (let turn = 1; turn < 5; turn++) {
    bytes[turn * 1000] = turn;
    assert.notEqual(content()[turn * 1000], turn);
    assert.equal(map.flush().strategy, "in-place");
    assert.equal(bytes[turn * 1000], turn);
    assert.equal(content()[turn * 1000], turn);
  }
  // The page is the file's again: others are seen there.
  put([99], 1001);
  assert.equal(bytes[1001], 99);
});

test("a commit writes the blocks that differ, and says how many bytes", () => {
  using folder = temporaryFolder();
  const { path } = fileIn(folder.path, noise(64 * PAGE));
  using map = open(path, "r+", ATOMIC);
  const calls: [number, number][] = [];
  const onProgress = (done: number, total: number) =>
    void calls.push([done, total]);
  map.write([1], 5);
  map.write([1], 10 * PAGE);
  map.move(20 * PAGE, 20 * PAGE, PAGE); // itself
  assert.equal(map.flush({ onProgress }).bytesWritten, 2 * 4096);
  const [done, total] = calls.at(-1)!;
  assert.equal(done, total);
  let before = 0;
  for (const [now, of] of calls) {
    assert.equal(of, total);
    assert.ok(now >= before && now <= of);
    before = now;
  }
  const byte = map.read(3, 4);
  map.write(byte, 3);
  assert.equal(map.dirty, process.platform === "linux");
  assert.equal(map.flush().bytesWritten, 0);
});

test("close() flushes, and close({ discard: true }) drops everything", async () => {
  const ends: Record<string, (map: Memmap) => void | Promise<void>> = {
    "close()": (map) => map.close(),
    "closeAsync()": (map) => map.closeAsync(),
    using: (map) => map[Symbol.dispose](),
    "await using": (map) => map[Symbol.asyncDispose](),
    "discard": (map) => map.close({ discard: true }),
    "discard, async": (map) => map.closeAsync({ discard: true }),
  };
  for (const [name, end] of Object.entries(ends)) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path, OLD);
    const map = open(path, "r+", ATOMIC);
    map.write([1, 2, 3], 0);
    map.append(NEW);
    await end(map);
    const expected = new Uint8Array(LENGTH + NEW.length);
    expected.set(OLD);
    expected.set([1, 2, 3]);
    expected.set(NEW, LENGTH);
    assert.deepEqual(
      content(),
      name.startsWith("discard") ? OLD : expected,
      name,
    );
    assert.deepEqual(beside(), [], name);
    // Once more, and at the end of a block: nothing happens.
    map.close();
    map[Symbol.dispose]();
    await map[Symbol.asyncDispose]();
    assert.throws(() => map.dirty, { name: "ClosedError" });
    assert.throws(() => map.modified(), { name: "ClosedError" });
    assert.throws(() => map.revert(), { name: "ClosedError" });
    assert.throws(() => map.atomic, { name: "ClosedError" });
  }
});

test("modified() tells the pages that were written, as far as they are asked for", () => {
  eachWay((way) => {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path, OLD);
    const map = open(path, "r+", ATOMIC);
    const change = (at: number) =>
      map.write([map.read(at, at + 1)[0]! ^ 1], at);
    map.read(); // looking at a page is not writing to it
    assert.deepEqual(map.modified(), [], way);
    change(PAGE + 5);
    assert.deepEqual(map.modified(), [{ begin: PAGE, end: 2 * PAGE }], way);
    change(LENGTH - 1);
    assert.deepEqual(map.modified(), [
      { begin: PAGE, end: 2 * PAGE },
      { begin: 5 * PAGE, end: LENGTH },
    ], way);
    change(2 * PAGE);
    assert.deepEqual(map.modified(0, -123), [{ begin: PAGE, end: 3 * PAGE }]);
    assert.deepEqual(map.modified(PAGE + 3, PAGE + 7), [
      { begin: PAGE + 3, end: PAGE + 7 },
    ], way);
    assert.deepEqual(map.modified(3, PAGE + 1), [
      { begin: PAGE, end: PAGE + 1 },
    ], way);
    assert.deepEqual(map.modified(3 * PAGE, 5 * PAGE), [], way);
    assert.deepEqual(map.modified(0, PAGE), [], way);
    assert.deepEqual(map.modified(PAGE, PAGE), [], way);
    assert.deepEqual(map.modified(-1), [{ begin: LENGTH - 1, end: LENGTH }]);
    assert.throws(() => map.modified(0, LENGTH + 1), { name: "RangeError" });
    assert.throws(() => map.modified(5, 4), { name: "RangeError" });
    assert.throws(() => map.revert(0, LENGTH + 1), { name: "RangeError" });
    assert.throws(
      () => (map.modified as (...values: number[]) => void)(1, 2, 3),
      { name: "TypeError" },
    );
    // What floats is not in the file.
    map.revert();
    map.insert(PAGE, 5).fill(1);
    assert.deepEqual(map.modified(), [], way);
    assert.equal(map.dirty, true, way);
    map.close({ discard: true });
  });
});

test("revert() drops what was written, to the byte, and nothing else", () => {
  const ranges: readonly (readonly number[])[] = [
    [],
    [0],
    [0, LENGTH],
    [10, 20],
    [PAGE - 1, PAGE + 1],
    [PAGE, 2 * PAGE],
    [5, 3 * PAGE + 5],
    [PAGE + 1],
    [-5],
    [-50, -5],
    [5 * PAGE],
    [4 * PAGE + 9, LENGTH],
    [7, 7],
    [LENGTH, LENGTH],
  ];
  eachWay((way) => {
    for (const range of ranges) {
      using folder = temporaryFolder();
      const { path, content } = fileIn(folder.path, OLD);
      const map = open(path, "r+", ATOMIC);
      const [first, floating] = [map.slice(0, 200), map.slice(300, 400)];
      floating.resize(150);
      floating.fill(5);
      const { bytes } = first;
      map.write(noise(LENGTH, 3), 0);
      const expected = noise(LENGTH, 3);
      const [begin, end] = [range[0] ?? 0, range[1] ?? LENGTH]
        .map((at) => at < 0 ? at + LENGTH : at);
      expected.set(OLD.subarray(begin, end), begin);
      map.revert(...range);
      const about = `${range}, ${way}`;
      assert.deepEqual(map.read(), expected, about);
      assert.deepEqual(bytes.slice(), expected.slice(0, 200), about);
      assert.equal(floating.bytes.every((byte) => byte === 5), true, about);
      assert.equal(map.dirty, true, about);
      assert.deepEqual(content(), OLD, about);
      floating.delete();
      map.flush();
      assert.deepEqual(content(), expected, about);
      assert.equal(bytes.length, 200, about);
      map.close();
    }
  });
});

test("after a revert of everything, nothing is pending", () => {
  eachWay((way) => {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path, OLD);
    using map = open(path, "r+", ATOMIC);
    map.write(NEW, 5);
    map.revert();
    assert.equal(map.dirty, false, way);
    assert.equal(map.flush().strategy, "none", way);
    assert.deepEqual(content(), OLD, way);
  });
});

test("an empty file, a file that is made, and one that is made longer are committed", () => {
  using folder = temporaryFolder();
  const { path, content, put } = fileIn(folder.path, OLD, "made");
  fs.unlinkSync(path);
  {
    using map = open(path, "r+", { atomic: true, create: true });
    assert.deepEqual(map.modified(), []);
    assert.equal(map.dirty, false);
    map.revert();
    map.append(NEW);
    assert.equal(fs.statSync(path).size, 0);
  }
  assert.deepEqual(content(), NEW);
  {
    const length = NEW.length + 100;
    using map = open(path, "r+", { atomic: true, length });
    map.write([1], -1);
    assert.equal(fs.statSync(path).size, length);
    assert.equal(content().at(-1), 0);
    assert.equal(map.flush().strategy, "in-place");
    assert.equal(content().at(-1), 1);
  }
  // A prefix, which ends within a page: the rest of the file is not ours.
  const length = PAGE + 100;
  fs.writeFileSync(path, OLD);
  {
    using map = open(path, "r+", { atomic: true, length });
    map.write([1, 2], -2);
    assert.deepEqual(map.modified(), [{ begin: PAGE, end: length }]);
    put([99], length);
    map.flush();
    assert.equal(map.dirty, false);
    map.write([3], 0);
    map.insert(length, NEW);
    map.flush();
  }
  const expected = OLD.slice();
  expected.set([1, 2, 99], length - 2);
  expected[0] = 3;
  assert.deepEqual(
    content(),
    new Uint8Array(Buffer.concat([
      expected.subarray(0, length),
      NEW,
      expected.subarray(length),
    ])),
  );
});

test("flush({ path }) saves what was written, and goes on there, atomically", () => {
  for (const edited of [false, true]) {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path, OLD);
    const saved = fileIn(folder.path, NEW, "saved.dat");
    const map = open(path, "r+", ATOMIC);
    map.write([1, 2, 3], PAGE);
    if (edited) map.append(NEW);
    assert.equal(map.flush({ path: saved.path }).strategy, "replace");
    assert.deepEqual(content(), OLD);
    assert.equal(map.path, saved.path);
    assert.equal(map.atomic, true);
    assert.equal(map.dirty, false);
    const expected = new Uint8Array(map.length);
    expected.set(OLD);
    expected.set([1, 2, 3], PAGE);
    if (edited) expected.set(NEW, LENGTH);
    assert.deepEqual(saved.content(), expected);
    map.write([4], 0);
    assert.deepEqual(saved.content(), expected);
    map.close();
    expected[0] = 4;
    assert.deepEqual(saved.content(), expected);
  }
});

test("an atomic map is replaced where that is asked for, and never written in place without a journal", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  const { ino } = fs.statSync(path);
  using map = open(path, "r+", ATOMIC);
  map.write([1, 2, 3], PAGE);
  for (const edited of [false, true]) {
    if (edited) map.insert(5, 7);
    assert.throws(() => map.flush({ strategy: "in-place" }), {
      name: "TypeError",
      message: /atomic: true/,
    });
    assert.equal(map.dirty, true);
    assert.deepEqual(content(), OLD);
  }
  map.slices[0]!.delete();
  const { strategy } = map.flush({ strategy: "replace" });
  assert.equal(strategy, "replace");
  assert.notEqual(fs.statSync(path).ino, ino);
  assert.deepEqual(
    content().subarray(PAGE, PAGE + 3),
    new Uint8Array([1, 2, 3]),
  );
  assert.equal(map.dirty, false);
});

test("{ atomic: true } goes with mode 'r+' alone, and only then are there modified() and revert()", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  for (const mode of ["r", "c", "w+"] as const) {
    assert.throws(() => open(path, mode, { atomic: true, length: 1 }), {
      name: "TypeError",
      message: /'r\+'/,
    });
  }
  for (const mode of ["r", "c", "r+"] as const) {
    using map = open(path, mode, { atomic: false });
    assert.equal(map.atomic, false);
    assert.throws(() => map.modified(), { name: "TypeError" });
    assert.throws(() => map.revert(), { name: "TypeError" });
  }
  assert.deepEqual(content(), OLD);
});

test("no advice loses what was written", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, noise(600 * PAGE));
  using map = open(path, "r+", ATOMIC);
  map.write(NEW, 5);
  map.write(NEW, 400 * PAGE);
  for (
    const advice of [
      "dontneed",
      "pageout",
      "cold",
      "willneed",
      "random",
    ] as const
  ) {
    map.advise(advice);
    map.advise(advice, 3, PAGE);
    assert.deepEqual(map.read(5, 5 + NEW.length), NEW, advice);
    assert.equal(map.modified().length, 2, advice);
  }
  map.flush();
  assert.deepEqual(content().subarray(5, 5 + NEW.length), NEW);
  assert.deepEqual(content().subarray(400 * PAGE).subarray(0, NEW.length), NEW);
});

test("where no journal can be made, the file is replaced, and onProgress counts that", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  fs.mkdirSync(journalPath(fs.realpathSync(path)));
  using map = open(path, "r+", ATOMIC);
  map.write([1, 2, 3], PAGE);
  const calls: [number, number][] = [];
  const options: FlushOptions = {
    onProgress: (...call) => void calls.push(call),
  };
  assert.equal(map.flush(options).strategy, "replace");
  assert.deepEqual(calls.at(-1), [LENGTH, LENGTH]);
  assert.equal(content()[PAGE], 1);
  assert.deepEqual(
    fs.readdirSync(folder.path).sort(),
    [basename(journalPath(path)), "file.dat"],
  );
});

test("a sparse file of 4 GiB keeps its holes, and little memory is taken", {
  timeout: 120_000,
}, () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "sparse");
  fs.writeFileSync(path, "");
  const length = 2 ** 32 + 5;
  fs.truncateSync(path, length);
  const before = fs.statSync(path).blocks;
  const { rss } = process.memoryUsage();
  using map = open(path, "r+", ATOMIC);
  const places = [7, 2 ** 31, length - 2];
  for (const at of places) map.write([1, 2], at);
  assert.equal(map.modified().length, 3);
  assert.equal(map.flush().strategy, "in-place");
  assert.deepEqual(map.modified(), []);
  const { blocks } = fs.statSync(path);
  if (before < 1000) assert.ok(blocks < 1000, `${blocks} blocks`);
  for (const at of places) {
    assert.deepEqual(map.read(at, at + 2), new Uint8Array([1, 2]));
  }
  const grown = process.memoryUsage().rss - rss;
  assert.ok(grown < 2 ** 28, `${grown} bytes`);
});
