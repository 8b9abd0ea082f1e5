/** Arguments from callers: what is rejected, with which message, and what is copied first. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  close,
  isMemmapError,
  type Memmap,
  type MemmapSlice,
  open,
} from "../../mod.ts";
import { temporaryFolder } from "../support/support.ts";

/** Runs `use` with a file of 100 bytes: 0, 1, 2 … */
function withFile(use: (map: Memmap, slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, Uint8Array.from({ length: 100 }, (_, i) => i));
  const map = open(path);
  try {
    use(map, map.slice(10, 20));
  } finally {
    map.close({ discard: true });
  }
}

// deno-lint-ignore no-explicit-any -- TypeScript would reject these calls
type Any = any;

test("too many arguments are a TypeError, and nothing happens", () => {
  withFile((map: Any, slice: Any) => {
    const calls: (() => unknown)[] = [
      () => slice.delete(1, 2),
      () => slice.sync(0, 5),
      () => slice.resize(5, 6),
      () => slice.fill(1, 0, 5, 6),
      () => slice.set([1], 0, 1),
      () => slice.splice(0, 1, 0, 0),
      () => slice.slice(0, 1, 2),
      () => slice.find("a", 0, 1, 2),
      () => slice.array("int8", {}, 1),
      () => map.slice(0, 5, 6),
      () => map.insert(0, 5, 6),
      () => map.delete(slice, 5),
      () => map.delete(10, 20, 30),
      () => map.move(0, 1, 2, 3),
      () => map.layout(1),
      () => map.advise("normal", 0, 1, 2),
      () => map.sync(0, 1, 2),
      () => map.flush({}, 1),
      () => map.close({ discard: true }, 1),
      () => (close as Any)(map, { discard: true }),
      () => (open as Any)(map.path, "r", {}, 1),
      () => slice.array("int8").fill(1, 2),
      () => slice.array("int8").copyFrom([1], 0, 1),
      () => slice.array("int8").resize(5, 6),
    ];
    for (const call of calls) {
      assert.throws(call, { name: "TypeError" }, String(call));
    }
    assert.deepEqual(map.slices, [slice]);
    assert.equal(map.dirty, false);
    assert.throws(() => slice.delete(1, 2), { message: /splice\(/ });
  });
});

test("close and isMemmapError can be callbacks of any collection", () => {
  using folder = temporaryFolder();
  const maps = () =>
    ["a", "b"].map((name) =>
      open(join(folder.path, name), "w+", { length: 1 })
    );
  const ways: ((maps: Memmap[]) => unknown)[] = [
    (maps) => maps.forEach(close),
    (maps) => maps.map(close),
    (maps) => Array.from(maps, close),
    (maps) => new Set(maps).forEach(close),
    (maps) => new Map(maps.map((map) => [map.path, map])).forEach(close),
    (maps) => maps.values().forEach(close),
    (maps) => {
      using stack = new DisposableStack();
      for (const map of maps) stack.adopt(map, close);
    },
  ];
  for (const way of ways) {
    const opened = maps();
    way(opened);
    assert.ok(opened.every((map) => map.closed), String(way));
  }
  const errors: unknown[] = [new Error("of somebody else")];
  for (const use of [() => maps()[0]!.slice(2), () => open(folder.path)]) {
    try {
      use();
    } catch (error) {
      errors.push(error);
    }
  }
  const ours = errors.filter(isMemmapError);
  assert.deepEqual(ours.map(({ code }) => code), ["EISDIR"]);
  assert.equal(errors.findIndex(isMemmapError), 2);
});

test("options in the wrong place, or with an unknown name, are a TypeError that says so", () => {
  withFile((map: Any, slice: Any) => {
    assert.throws(() => open(map.path, { length: 5 } as Any), {
      name: "TypeError",
      message: /Options come third: open\(path, "r\+", \{ length: 4096 \}\)/,
    });
    const unknown: [() => unknown, string][] = [
      [
        () => open(map.path, "r", { lenght: 5 } as Any),
        'Unknown option "lenght"; there are: length, reserve, guard, create, atomic.',
      ],
      [
        () => map.flush({ stategy: "auto" }),
        'Unknown option "stategy"; there are: path, strategy, durable, onProgress.',
      ],
      [
        () => map.close({ discord: true }),
        'Unknown option "discord"; there are: discard, durable.',
      ],
      [
        () => slice.array("int8", { shap: 3 }),
        'Unknown option "shap"; there are: shape, byteOrder, byteOffset, strides, order.',
      ],
    ];
    for (const [call, message] of unknown) {
      assert.throws(call, { name: "TypeError", message });
    }
  });
});

test("what a program puts into Object.prototype is no option", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  const planted: Record<string, unknown> = {
    path: join(folder.path, "planted"),
    strategy: "in-place",
    durable: false,
    onProgress: () => assert.fail("called"),
    discard: true,
    length: 7,
    reserve: false,
    guard: false,
    shape: [1],
    byteOrder: "big",
    byteOffset: 1,
    fill: 9,
    created: "planted",
    size: 0,
    added: 0,
  };
  const bytes = new TextEncoder().encode("new");
  for (const [name, value] of Object.entries(planted)) {
    for (const [close, options] of [[undefined], [{}, {}]] as const) {
      fs.writeFileSync(path, "old, ");
      Object.defineProperty(Object.prototype, name, {
        configurable: true,
        writable: true,
        value,
      });
      try {
        const map = open(path, "r+", options);
        map.insert(map.mappedLength, bytes);
        assert.equal(map.flush(options).strategy, "extend", name);
        map.slices[0]!.delete();
        const array = map.slice().array("int8", options);
        assert.equal(array.size, 8, name);
        map.insert(0, bytes);
        map.close(close);
      } finally {
        delete (Object.prototype as Any)[name];
      }
      assert.equal(fs.readFileSync(path, "latin1"), "newold, new", name);
      assert.deepEqual(fs.readdirSync(folder.path), ["file"], name);
    }
  }
  // A class of the caller's may have options on its own prototype.
  class Options {
    get length(): number {
      return 2;
    }
  }
  Object.defineProperty(Object.prototype, "length", {
    configurable: true,
    writable: true,
    value: 7,
  });
  try {
    using map = open(path, "r", new Options());
    assert.equal(map.length, 2);
  } finally {
    delete (Object.prototype as Any).length;
  }
});

test("numbers in messages have a singular", () => {
  withFile((map: Any, slice: Any) => {
    const array = slice.array("int8");
    const calls: [() => unknown, RegExp][] = [
      [() => array.get(1, 2), /takes 1 number\.$/],
      [() => array.reshape(5, 2).get(1), /takes 2 numbers\.$/],
      [() => map.layout(1), /^1 argument was given where 0 would do/],
      [() => array.fill(1, 2), /^2 arguments were given where 1 would do/],
    ];
    for (const [call, message] of calls) assert.throws(call, { message });
    fs.truncateSync(map.path, 1);
    assert.throws(() => open(map.path, "r", { length: 2 }), {
      message: /has 1 byte, fewer than the length 2/,
    });
  });
});

test("a link to nothing is called one, and where it leads is said", () => {
  using folder = temporaryFolder();
  const link = join(folder.path, "link");
  const other = join(folder.path, "other link");
  const target = join(folder.path, "not", "there");
  fs.symlinkSync("not/there", link);
  fs.symlinkSync(link, other);
  for (const path of [link, other]) {
    for (const mode of ["r", "c", "r+"] as const) {
      assert.throws(() => open(path, mode), (error: Any) => {
        assert.equal(error.code, "ENOENT");
        assert.equal(error.path, path);
        assert.match(error.message, /this is a link that leads to /);
        assert.ok(error.message.includes(`'${target}'`), error.message);
        return true;
      });
    }
  }
  assert.throws(() => open(target), { message: /^ENOENT: no such file/ });
});

test("a range that is too long is rejected with the numbers that were given", () => {
  withFile((map, slice) => {
    assert.throws(() => slice.splice(7, 5), {
      name: "RangeError",
      message:
        "Invalid slice range: 5 bytes at 7. There are 3 from there on, " +
        "since the slice's length is 10.",
    });
    for (const call of [() => map.move(95, 0, 10), () => map.move(0, 95, 10)]) {
      assert.throws(call, {
        name: "RangeError",
        message: "Invalid memmap range: 10 bytes at 95. There are 5 from " +
          "there on, since the map's mappedLength is 100.",
      });
    }
  });
});

test("set() and fill() accept numbers only, and set() no negative offset", () => {
  withFile((_, slice) => {
    const before = [...slice.bytes];
    const wrong = [["a"], [1, "2"], [null], [[1]], [1n], new BigInt64Array(1)];
    for (const source of wrong as Any[]) {
      assert.throws(() => slice.set(source), { name: "TypeError" });
    }
    for (const value of ["a", "1", null, undefined, 1n, [1]] as Any[]) {
      assert.throws(() => slice.fill(value), { name: "TypeError" });
    }
    assert.throws(() => new Uint8Array(4).set([66], -1), {
      name: "RangeError",
    });
    assert.throws(() => slice.set([66], -1), {
      name: "RangeError",
      message: /-1.*Uint8Array/s,
    });
    assert.deepEqual([...slice.bytes], before);
    slice.set([257, -1, 1.9], 2);
    assert.deepEqual([...slice.bytes.subarray(2, 5)], [1, 255, 1]);
  });
});

test("a source whose last element is wrong is not copied at all", () => {
  withFile((_, slice) => {
    const before = [...slice.bytes];
    assert.throws(() => slice.set([1, 2, "3"] as Any), { name: "TypeError" });
    const array = slice.array("uint8");
    const long = [...Array(9).fill(1), "x"];
    assert.throws(() => array.copyFrom(long), { name: "TypeError" });
    assert.deepEqual([...slice.bytes], before);
  });
});

test("a path that ends in a slash never names a file", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, "content");
  for (const wrong of ["/", "//", "/.", "/./"]) {
    for (const mode of ["r", "c", "r+"] as const) {
      assert.throws(() => open(path + wrong, mode), { name: "SystemError" });
    }
    for (const name of ["file", "other"]) {
      const made = join(folder.path, name) + wrong;
      const make = () => open(made, "w+", { length: 3 });
      assert.throws(make, { name: "SystemError" }, made);
      using map = open(path, "r");
      assert.throws(() => map.flush({ path: made }), { name: "SystemError" });
    }
  }
  assert.equal(fs.readFileSync(path, "utf8"), "content");
  assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
  assert.throws(() => open(folder.path + "/"), { code: "EISDIR" });
});

test("copying between two maps of one file is right even if the ranges overlap", () => {
  // More than one piece of an element-wise copy, so that the direction matters.
  const length = 2 ** 16;
  const content = Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8));
  const shift = 4096;
  const copies: Record<string, (from: MemmapSlice, to: MemmapSlice) => void> = {
    set: (from, to) => to.set(from.bytes),
    "set as words": (from, to) =>
      to.set(new Uint8Array(from.buffer, 0, from.length)),
    copyFrom: (from, to) =>
      void to.array("int32").copyFrom(from.array("int32")),
    "copyFrom a view": (from, to) =>
      void to.array("int32").copyFrom(from.array("int32").data!),
    "copyFrom, converted": (from, to) =>
      void to.array("uint8").copyFrom(from.bytes as Any),
    copyTo: (from, to) => {
      const target = new Int32Array(to.buffer);
      assert.equal(from.array("int32").copyTo(target), target.length);
    },
  };
  for (const [name, copy] of Object.entries(copies)) {
    for (const [source, target] of [[0, shift], [shift, 0]] as const) {
      for (const mode of ["r+", "r", "c"] as const) {
        using folder = temporaryFolder();
        const path = join(folder.path, "file");
        fs.writeFileSync(path, content);
        using one = open(path, mode);
        using other = open(path, "r+");
        const from = one.slice(source, source + length - shift);
        const to = other.slice(target, target + length - shift);
        copy(from, to);
        const wanted = content.slice();
        wanted.copyWithin(target, source, source + length - shift);
        other.sync();
        assert.ok(
          Buffer.from(wanted).equals(fs.readFileSync(path)),
          `${name} from ${source} to ${target}, from a map in mode ${mode}`,
        );
      }
    }
  }
});
