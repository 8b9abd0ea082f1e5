/** `append()`: bytes behind everything else, without a slice. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Memmap, open, type Strategy } from "../../mod.ts";
import {
  below,
  FULL_DISK,
  randomFrom,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

// deno-lint-ignore no-explicit-any -- what TypeScript would refuse
type Any = any;

const bytesOf = (text: string) => new TextEncoder().encode(text);

function fileIn(folder: string, content = "0123456789") {
  const path = join(folder, "file.dat");
  fs.writeFileSync(path, content);
  return { path, content: () => fs.readFileSync(path, "latin1") };
}

test("append() counts in length at once, and in the file after the flush", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  using map = open(path);
  map.append(bytesOf("ab"));
  map.append(2);
  map.append(bytesOf("cd").buffer);
  map.append(new DataView(bytesOf("xef").buffer, 1));
  assert.equal(map.length, 18);
  assert.equal(map.mappedLength, 10);
  assert.equal(map.dirty, true);
  assert.equal(map.slices.length, 0);
  assert.equal(map.find("ab"), -1);
  assert.equal(
    String(map),
    `<Memmap on file '${path}' with mode='r+', length=18, 0 slices>`,
  );
  assert.deepEqual(map.layout(), [
    { slice: null, state: "gap", begin: 0, end: 10, offset: 0, length: 10 },
    {
      slice: null,
      state: "floating",
      begin: 10,
      end: 10,
      offset: 10,
      length: 8,
    },
  ]);
  assert.equal(content(), "0123456789");
  assert.deepEqual(map.flush(), {
    strategy: "extend",
    atomic: true,
    bytesWritten: 8,
    stale: "no",
  });
  assert.equal(content(), "0123456789ab\0\0cdef");
  assert.equal(map.mappedLength, 18);
  assert.equal(map.dirty, false);
  assert.equal(map.slices.length, 0);
  assert.deepEqual(map.read(10, 12), bytesOf("ab"));
  assert.equal(map.slice(8, 12).length, 4);
});

test("what is appended comes behind inserts at the end, also later ones", () => {
  for (const strategy of ["auto", "replace", "in-place"] as Strategy[]) {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path);
    using map = open(path);
    map.append(bytesOf("tail"));
    map.insert(10, bytesOf("insert"));
    map.append(bytesOf("!"));
    const last = map.slice(8);
    last.resize(1);
    map.flush({ strategy });
    assert.equal(content(), "012345678inserttail!", strategy);
    assert.equal(map.mappedLength, 20);
    assert.deepEqual(last.bytes, bytesOf("8"));
  }
});

test("every strategy writes what was appended, and map after map goes on with it", () => {
  for (const strategy of ["auto", "replace", "in-place"] as Strategy[]) {
    for (const durable of [true, false]) {
      using folder = temporaryFolder();
      const { path, content } = fileIn(folder.path);
      using map = open(path);
      const first = map.slice(0, 4);
      let wanted = content();
      for (let turn = 0; turn < 3; turn++) {
        map.append(bytesOf(`turn ${turn}`));
        wanted += `turn ${turn}`;
        map.flush({ strategy, durable });
        assert.equal(content(), wanted);
        assert.equal(map.mappedLength, wanted.length);
      }
      first.splice(0, 0, bytesOf("-"));
      map.append(bytesOf("end"));
      map.flush({ strategy, durable });
      assert.equal(content(), `-${wanted}end`);
    }
  }
});

test("an append that is flushed leaves the views of slices alive", () => {
  using folder = temporaryFolder();
  using map = open(fileIn(folder.path).path);
  const { bytes } = map.slice(0, 5);
  map.append(bytesOf("abc"));
  assert.equal(map.flush().strategy, "extend");
  assert.deepEqual(bytes, bytesOf("01234"));
});

test("of a file of which a prefix is mapped, the rest stays behind what is appended", () => {
  for (const strategy of ["auto", "in-place"] as Strategy[]) {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path);
    using map = open(path, "r+", { length: 4 });
    map.append(bytesOf("ab"));
    assert.equal(map.length, 6);
    map.insert(4, bytesOf("-"));
    map.flush({ strategy });
    assert.equal(content(), "0123-ab456789");
    assert.equal(map.mappedLength, 7);
    map.append(bytesOf("c"));
    map.flush({ strategy });
    assert.equal(content(), "0123-abc456789");
  }
});

test("appends of any sizes come out in order, across all that they are kept in", () => {
  const random = randomFrom(5);
  using folder = temporaryFolder();
  const { path } = fileIn(folder.path, "");
  using map = open(path);
  for (let turn = 0; turn < 2; turn++) {
    const parts: Uint8Array[] = [new Uint8Array(fs.readFileSync(path))];
    for (let i = 0; i < 400; i++) {
      const most = [10, 1000, 70_000, 200_000, 2 ** 21][below(random, 5)]!;
      const length = below(random, most + 1);
      if (below(random, 4) === 0) {
        map.append(length);
        parts.push(new Uint8Array(length));
      } else {
        const bytes = new Uint8Array(length).fill(i + 1);
        map.append(bytes);
        parts.push(bytes.slice());
        bytes.fill(0); // it was copied
      }
    }
    const wanted = Buffer.concat(parts);
    assert.equal(map.length, wanted.length);
    assert.equal(map.layout().length, 1 + turn);
    map.flush({ durable: false });
    assert.ok(wanted.equals(fs.readFileSync(path)));
    assert.ok(wanted.equals(map.read()));
  }
});

for (const durable of [false, true]) {
  test(`lines flushed one by one, { durable: ${durable} }, come out whole, whatever is done in between`, () => {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path);
    const below_ = randomFrom(7);
    let expected = content();
    const map = open(path);
    const edits = [
      () => {
        const slice = map.insert(map.mappedLength, bytesOf("inserted"));
        expected += "inserted";
        map.flush({ durable });
        slice.delete();
      },
      () => map.insert(3, bytesOf("never flushed")).delete(),
      () => {
        map.append(3);
        expected += "\0\0\0";
      },
      () => {
        map.append(70_000);
        expected += "\0".repeat(70_000);
        map.flush({ durable });
      },
      () => {
        const length = expected.length - 5;
        const slice = map.slice(5);
        slice.resize(length - 7);
        expected = expected.slice(0, -7);
        map.flush({ durable });
        slice.delete();
      },
      () => {
        map.append(bytesOf("two"));
        expected += "two";
      },
    ];
    for (let round = 0; round < (durable ? 60 : 600); round++) {
      if (below(below_, 4) === 0) edits[below(below_, edits.length)]!();
      const line = `${round},`.repeat(1 + below(below_, 60));
      map.append(bytesOf(line));
      expected += line;
      const { strategy, atomic, stale } = map.flush({ durable });
      assert.deepEqual([strategy, atomic, stale], ["extend", true, "no"]);
      assert.equal(map.mappedLength, expected.length);
      assert.equal(map.dirty, false);
      if (round % 20 === 0) {
        assert.equal(content(), expected);
        const seen = map.read();
        assert.equal(Buffer.from(seen).toString("latin1"), expected);
      }
    }
    map.close();
    assert.equal(content(), expected);
    assert.deepEqual(fs.readdirSync(folder.path), ["file.dat"]);
  });

  test(`what others did to the file is seen by the next line, { durable: ${durable} }`, () => {
    using folder = temporaryFolder();
    const others: [what: RegExp, act: (path: string) => void][] = [
      [/has \d+ bytes where it had/, (path) => fs.appendFileSync(path, "x")],
      [/truncated behind the map's back/, (path) => fs.truncateSync(path, 4)],
      [/is gone/, (path) => fs.unlinkSync(path)],
      [/replaced by another file/, (path) => {
        fs.copyFileSync(path, `${path}.new`);
        fs.renameSync(`${path}.new`, path);
      }],
    ];
    for (const [message, act] of others) {
      const { path } = fileIn(folder.path);
      const map = open(path);
      for (let line = 0; line < 4; line++) {
        map.append(bytesOf("line"));
        map.flush({ durable });
      }
      act(path);
      const size = fs.statSync(path, { throwIfNoEntry: false })?.size;
      map.append(bytesOf("lost"));
      assert.throws(() => map.flush({ durable }), {
        name: "ConflictError",
        message,
      });
      assert.equal(map.dirty, true);
      assert.equal(fs.statSync(path, { throwIfNoEntry: false })?.size, size);
      map.close({ discard: true });
    }
  });
}

test("a view of the map itself can be appended", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  using map = open(path);
  map.append(map.slice(0, 3).bytes);
  const inserted = map.insert(0, bytesOf("xyz"));
  map.append(inserted.bytes);
  map.flush();
  assert.equal(content(), "xyz0123456789012xyz");
});

test("nothing appended is nothing pending, and wrong content changes nothing", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  const map: Memmap = open(path);
  map.append(0);
  map.append(new Uint8Array(0));
  assert.equal(map.dirty, false);
  assert.equal(map.layout().length, 1);
  for (const wrong of [-1, 0.5, NaN, 2 ** 53]) {
    assert.throws(() => map.append(wrong), { name: "RangeError" });
  }
  for (const wrong of ["abc", null, undefined, [1], {}] as Any[]) {
    assert.throws(() => map.append(wrong), { name: "TypeError" });
  }
  assert.throws(() => (map as Any).append(1, 2), { name: "TypeError" });
  const gone = new Uint8Array(8);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  assert.throws(() => map.append(gone), { name: "TypeError" });
  // More zeros than there are addresses.
  assert.throws(() => map.append(2 ** 52), { name: "SystemError" });
  assert.equal(map.dirty, false);
  assert.equal(map.length, 10);
  map.append(bytesOf("a"));
  assert.throws(() => map.append(2 ** 52), { name: "SystemError" });
  map.append(bytesOf("b"));
  map.close();
  assert.equal(content(), "0123456789ab");
  assert.throws(() => map.append(1), { code: "ERR_MEMMAP_CLOSED" });
});

test("a flush that fails leaves what was appended pending; close({ discard }) drops it", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  for (const strategy of ["auto", "replace", "in-place"] as Strategy[]) {
    withLibc(FULL_DISK, () => {
      const map = open(path);
      map.append(bytesOf("abc"));
      map.append(2 ** 21);
      const before = content();
      assert.throws(() => map.flush({ strategy }), { code: "ENOSPC" });
      assert.equal(map.dirty, true);
      assert.equal(map.length, before.length + 3 + 2 ** 21);
      assert.equal(content(), before);
      map.close({ discard: true });
      assert.equal(content(), before);
    });
  }
  const map = open(path);
  map.append(bytesOf("abc"));
  const onProgress = () => {
    throw new Error("enough");
  };
  assert.throws(() => map.flush({ onProgress }), { message: "enough" });
  assert.equal(content(), "0123456789");
  map.append(bytesOf("d"));
  map.close();
  assert.equal(content(), "0123456789abcd");
});

test("in mode c appends are saved elsewhere, and in mode r there are none", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  const other = join(folder.path, "other.dat");
  using c = open(path, "c");
  c.write(bytesOf("X"), 0);
  c.append(bytesOf("abc"));
  assert.throws(() => c.flush(), { code: "ERR_MEMMAP_READONLY" });
  c.flush({ path: other });
  assert.equal(fs.readFileSync(other, "utf8"), "X123456789abc");
  assert.equal(content(), "0123456789");
  using r = open(path, "r");
  assert.throws(() => r.append(1), { code: "ERR_MEMMAP_READONLY" });
  assert.throws(() => r.append("a" as Any), { code: "ERR_MEMMAP_READONLY" });
});

test("behind a cut at the end, appended bytes take its place", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  using map = open(path);
  map.slice(5).resize(0);
  map.append(bytesOf("abcdefgh"));
  assert.equal(map.flush().strategy, "replace");
  assert.equal(content(), "01234abcdefgh");
});

test("an empty insert beside an append is nothing to write", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  using map = open(path, "w+", { length: 4097 });
  map.append(bytesOf("a"));
  map.insert(0, 0);
  map.insert(4097, 0);
  const { strategy, bytesWritten } = map.flush({ durable: false });
  assert.deepEqual([strategy, bytesWritten], ["extend", 1]);
  assert.equal(fs.statSync(path).size, 4098);
});
