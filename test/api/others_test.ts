// What others do to the file while a map of it is opened or flushed, and what a map must
// not do to theirs.

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { type FlushOptions, type Memmap, open } from "../../mod.ts";
import { MappedFile } from "../../src/storage/mapped_file.ts";
import { FULL_DISK, temporaryFolder, withLibc } from "../support/support.ts";

const LINE = "another program's line\n";
const MIB = 2 ** 20;
const skipWithoutProc = fs.existsSync("/proc/self/fd")
  ? false
  : "there is no /proc here";

/** A file, its content as text, and the names beside it. */
function fileIn(
  folder: string,
  content: string | Uint8Array = "old content\n",
) {
  const path = join(folder, "file.dat");
  fs.writeFileSync(path, content);
  return {
    path,
    content: () => fs.readFileSync(path, "latin1"),
    beside: () => fs.readdirSync(folder).filter((name) => name !== "file.dat"),
    append: () => fs.appendFileSync(path, LINE),
  };
}

const conflict = { name: "ConflictError", code: "ERR_MEMMAP_CONFLICT" };
const busy = { name: "SystemError", code: "EBUSY" };
const bytesOf = (text: string) => new TextEncoder().encode(text);

test("a failed append takes back nothing that another program wrote behind it", () => {
  using folder = temporaryFolder();
  const { path, content, append, beside } = fileIn(folder.path);
  const map = open(path);
  for (let i = 0; i < 3; i++) map.insert(map.mappedLength, new Uint8Array(MIB));
  const thenFail = () => {
    append();
    throw new Error("enough");
  };
  assert.throws(() => map.flush({ onProgress: thenFail }), {
    message: "enough",
  });
  assert.equal(map.dirty, true);
  map.close({ discard: true });
  assert.ok(content().startsWith("old content\n"));
  assert.ok(content().endsWith(LINE));
  open(path).close();
  assert.ok(content().endsWith(LINE));
  assert.deepEqual(beside(), []);
});

test("an append writes over nothing that another program wrote in the midst of it", () => {
  using folder = temporaryFolder();
  const { path, content, append } = fileIn(folder.path);
  const map = open(path);
  for (let i = 0; i < 3; i++) map.insert(map.mappedLength, new Uint8Array(MIB));
  let isFirst = true;
  const onProgress = () => {
    if (isFirst) append();
    isFirst = false;
  };
  assert.throws(() => map.flush({ onProgress }), conflict);
  assert.equal(map.dirty, true);
  map.close({ discard: true });
  assert.ok(content().endsWith(LINE));
});

test("an append that fails on its own is taken back as a whole", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  using map = open(path);
  for (let i = 0; i < 3; i++) map.insert(map.mappedLength, new Uint8Array(MIB));
  const onProgress = () => {
    throw new Error("enough");
  };
  assert.throws(() => map.flush({ onProgress }), { message: "enough" });
  assert.equal(content(), "old content\n");
  assert.deepEqual(beside(), []);
});

test("where blocks cannot be reserved, what others append meanwhile stays", () => {
  const { fallocate } = FULL_DISK;
  const acts: Record<string, (path: string) => void> = {
    "a longer open": (path) => open(path, "r+", { length: MIB }).close(),
    "an in-place flush": (path) => {
      const map = open(path);
      try {
        map.insert(3, MIB);
        map.flush({ strategy: "in-place" });
      } finally {
        map.close({ discard: true });
      }
    },
  };
  for (const [what, act] of Object.entries(acts)) {
    using folder = temporaryFolder();
    const { path, content, append } = fileIn(folder.path);
    withLibc({
      ...FULL_DISK,
      fallocate: (...values) => {
        append();
        return fallocate!(...values);
      },
    }, () => assert.throws(() => act(path), { code: "ENOSPC" }, what));
    assert.equal(content(), `old content\n${LINE}`, what);
  }
});

test("a longer open cuts off nothing that others append, with fallocate and without", () => {
  const real = libc();
  const EOPNOTSUPP = process.platform === "darwin" ? 102 : 95;
  for (const reserve of [true, false]) {
    for (const isThere of [true, false]) {
      using folder = temporaryFolder();
      const { path, content, append } = fileIn(folder.path);
      const length = content().length + 3;
      let isRefused = false;
      using map = withLibc({
        fallocate: (...values) => {
          append();
          if (isThere && real.fallocate) return real.fallocate(...values);
          isRefused = true;
          return -1;
        },
        errno: () => {
          const errno = isRefused ? EOPNOTSUPP : real.errno();
          isRefused = false;
          return errno;
        },
      }, () => open(path, "r+", { length, reserve }));
      assert.equal(map.mappedLength, length);
      // The books are right: what others wrote is behind the map.
      map.insert(0, 1);
      map.flush();
      const times = content().split(LINE).length - 1;
      assert.ok(times > 0);
      assert.ok(content().startsWith(`\0old content\n${LINE}`));
    }
  }
});

test("without fallocate, zeros that do not fit are taken back, and never what others appended", () => {
  const EOPNOTSUPP = process.platform === "darwin" ? 102 : 95;
  for (const others of [false, true]) {
    using folder = temporaryFolder();
    const { path, content, append } = fileIn(folder.path);
    const { measure } = MappedFile.prototype;
    let looks = 0;
    // Once some of the zeros are there.
    MappedFile.prototype.measure = function () {
      measure.call(this);
      if (this.size <= MIB || looks++ > 0) return;
      if (others) append();
      throw new Error("the disk failed");
    };
    try {
      withLibc(
        { fallocate: () => -1, errno: () => EOPNOTSUPP },
        () =>
          assert.throws(() => open(path, "r+", { length: 5 * MIB }), {
            message: "the disk failed",
          }),
      );
    } finally {
      MappedFile.prototype.measure = measure;
    }
    assert.ok(looks > 0);
    assert.ok(content().startsWith("old content\n"));
    assert.equal(content().endsWith(LINE), others);
    if (!others) assert.equal(content(), "old content\n");
  }
});

test("an in-place flush that fails before its first write takes back only its own", () => {
  for (const others of [true, false]) {
    using folder = temporaryFolder();
    const { path, content, append } = fileIn(folder.path);
    const map = open(path);
    map.insert(3, 5);
    const { lengthen } = MappedFile.prototype;
    MappedFile.prototype.lengthen = function (...values) {
      lengthen.apply(this, values);
      if (others) append();
      throw new Error("enough");
    };
    try {
      assert.throws(() => map.flush({ strategy: "in-place" }), {
        message: "enough",
      });
    } finally {
      MappedFile.prototype.lengthen = lengthen;
    }
    map.close({ discard: true });
    const grown = `old content\n\0\0\0\0\0${LINE}`;
    assert.equal(content(), others ? grown : "old content\n");
  }
});

/** Flushes of each kind, of a file of 3 MiB and a bit. */
const FLUSHES: Record<
  string,
  { edit: (map: Memmap) => void; options?: FlushOptions }
> = {
  append: { edit: (map) => void map.insert(map.mappedLength, 5) },
  cut: { edit: (map) => map.slice(10).resize(5) },
  "in-place": {
    edit: (map) => void map.insert(5, 7),
    options: { strategy: "in-place" },
  },
  replace: {
    edit: (map) => void map.insert(5, 7),
    options: { strategy: "replace" },
  },
};

test("while a flush is under way, no other changes the file, by whatever name", () => {
  for (const [first, outer] of Object.entries(FLUSHES)) {
    if (first === "cut") continue; // one call, and nothing of ours within
    for (const [second, inner] of Object.entries(FLUSHES)) {
      for (const isLinked of [false, true]) {
        // A file of several names is not replaced.
        if (isLinked && [first, second].includes("replace")) continue;
        const where = `${second} within ${first}, two names: ${isLinked}`;
        using folder = temporaryFolder();
        const { path } = fileIn(folder.path, new Uint8Array(3 * MIB).fill(1));
        const other = isLinked ? `${path} too` : path;
        if (isLinked) fs.linkSync(path, other);
        const map = open(path);
        const map2 = open(other);
        outer.edit(map);
        inner.edit(map2);
        let tries = 0;
        const size = map.length;
        map.flush({
          ...outer.options,
          durable: false,
          onProgress() {
            if (tries++ > 0) return;
            const is = (error: unknown) => {
              const { code } = error as { code: string };
              return code === "EBUSY" || code === "ERR_MEMMAP_CONFLICT";
            };
            const flush = () =>
              map2.flush({ ...inner.options, durable: false });
            assert.throws(flush, is, where);
            assert.throws(() => open(other, "w+", { length: 1 }), busy, where);
          },
        });
        assert.equal(tries > 0, true, where);
        assert.equal(fs.statSync(path).size, size, where);
        assert.equal(map2.dirty, true, where);
        assert.throws(() => map2.flush(inner.options), conflict, where);
        map.close();
        map2.close({ discard: true });
        const again = open(other);
        inner.edit(again);
        again.flush(inner.options);
        again.close();
      }
    }
  }
});

test("a lock that another program holds keeps every flush out, with edits pending", () => {
  const c = libc();
  for (const [name, { edit, options }] of Object.entries(FLUSHES)) {
    for (const durable of [true, false]) {
      using folder = temporaryFolder();
      const { path, beside } = fileIn(folder.path, new Uint8Array(1000));
      using map = open(path);
      edit(map);
      const { length } = map;
      // Whoever may read the file may lock it.
      const fd = fs.openSync(path, "r");
      assert.equal(c.flock(fd, c.constants.LOCK_EX), 0);
      assert.throws(() => map.flush({ ...options, durable }), busy, name);
      assert.equal(map.dirty, true);
      assert.equal(fs.statSync(path).size, 1000);
      const longer = { length: 2000 };
      assert.throws(() => open(path, "r+", longer), busy);
      for (const mode of ["r", "c", "r+"] as const) open(path, mode).close();
      fs.closeSync(fd);
      map.flush({ ...options, durable });
      assert.equal(fs.statSync(path).size, length, name);
      assert.deepEqual(beside(), []);
    }
  }
});

test("a file that is being flushed is not replaced by a save of another map", () => {
  for (const [name, { edit, options }] of Object.entries(FLUSHES)) {
    if (name === "cut") continue;
    using folder = temporaryFolder();
    using elsewhere = temporaryFolder();
    const { path, beside } = fileIn(folder.path, new Uint8Array(3 * MIB));
    using other = open(fileIn(elsewhere.path).path, "r");
    const map = open(path);
    edit(map);
    const { length } = map;
    let tries = 0;
    map.flush({
      ...options,
      durable: false,
      onProgress() {
        if (tries++ === 0) assert.throws(() => other.flush({ path }), busy);
      },
    });
    map.close();
    assert.ok(tries > 0);
    assert.equal(fs.statSync(path).size, length, name);
    other.flush({ path });
    assert.equal(fs.readFileSync(path, "utf8"), "old content\n");
    assert.deepEqual(beside(), []);
  }
});

test("a longer open that is too long gives back the blocks that it reserved", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  const { blocks } = fs.statSync(path);
  const real = libc();
  const { fallocate } = real;
  let isRefused = false;
  withLibc({
    // What reserves is done, and what lengthens is refused.
    fallocate: (...values) => {
      isRefused = values[1] === 0;
      return isRefused || fallocate === null ? -1 : fallocate(...values);
    },
    errno: () => isRefused ? FULL_DISK.errno!() : real.errno(),
  }, () => {
    if (fallocate === null) return; // macOS
    assert.throws(() => open(path, "r+", { length: MIB }), { code: "ENOSPC" });
  });
  assert.equal(content(), "old content\n");
  assert.equal(fs.statSync(path).blocks, blocks);
});

test(
  "a path in /proc that leads to a file without a name never leads to another",
  {
    skip: skipWithoutProc,
  },
  () => {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path, "0123456789");
    const stranger = `${path} (deleted)`;
    for (const isThere of [true, false]) {
      fs.writeFileSync(path, "0123456789");
      if (isThere) fs.writeFileSync(stranger, "not ours");
      else fs.rmSync(stranger);
      const fd = fs.openSync(path, "r+");
      fs.unlinkSync(path);
      const content = () => {
        const bytes = new Uint8Array(fs.fstatSync(fd).size);
        fs.readSync(fd, bytes, 0, bytes.length, 0);
        return new TextDecoder().decode(bytes);
      };
      const link = `/proc/self/fd/${fd}`;
      const map = open(link);
      map.insert(5, bytesOf("abc"));
      for (const strategy of ["auto", "replace"] as const) {
        assert.throws(() => map.flush({ strategy }), {
          ...conflict,
          message: /has no name.*in-place/,
        });
      }
      assert.throws(() => map.flush({ path: link }), conflict);
      using elsewhere = open(fileIn(folder.path).path, "r");
      assert.throws(() => elsewhere.flush({ path: link }), conflict);
      assert.equal(content(), "0123456789");
      map.flush({ strategy: "in-place" });
      assert.equal(content(), "01234abc56789");
      map.insert(map.mappedLength, bytesOf("end"));
      assert.equal(map.flush().strategy, "extend");
      assert.equal(content(), "01234abc56789end");
      for (const slice of map.slices) slice.delete();
      map.slice(10).resize(0);
      map.close();
      assert.equal(content(), "01234abc56");
      fs.closeSync(fd);
      const names = ["file.dat", ...(isThere ? ["file.dat (deleted)"] : [])];
      assert.deepEqual(fs.readdirSync(folder.path).sort(), names);
      if (isThere) assert.equal(fs.readFileSync(stranger, "utf8"), "not ours");
    }
  },
);

test(
  "a path in /proc that leads to a file with a name is flushed again and again",
  {
    skip: skipWithoutProc,
  },
  () => {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path, "0123456789");
    const fd = fs.openSync(path, "r+");
    using map = open(`/proc/self/fd/${fd}`);
    for (let turn = 1; turn <= 3; turn++) {
      map.insert(5, bytesOf("-"));
      assert.equal(map.flush().strategy, "replace");
      assert.equal(content(), `01234${"-".repeat(turn)}56789`);
      map.insert(map.mappedLength, bytesOf("!"));
      map.slices.forEach((slice) => slice.delete());
    }
    assert.deepEqual(beside(), []);
    fs.closeSync(fd);
  },
);

test("what others do to permissions and names while a file is replaced is kept", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  {
    fs.chmodSync(path, 0o644);
    using map = open(path);
    map.insert(3, bytesOf("abc"));
    map.flush({ onProgress: () => fs.chmodSync(path, 0o600) });
    assert.equal(content(), "oldabc content\n");
    assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  }
  const map = open(path);
  map.insert(0, 1);
  const onProgress = () => fs.linkSync(path, `${path} too`);
  assert.throws(() => map.flush({ onProgress }), { code: "EMLINK" });
  assert.equal(fs.statSync(path).nlink, 2);
  fs.unlinkSync(`${path} too`);
  const exchange = () => {
    const [name] = beside().filter((name) => !name.endsWith(".journal"));
    fs.rmSync(join(folder.path, name!));
    fs.writeFileSync(join(folder.path, name!), "somebody else's");
  };
  assert.throws(() => map.flush({ onProgress: exchange }), {
    ...conflict,
    message: /removed or exchanged/,
  });
  assert.equal(content(), "oldabc content\n");
  assert.equal(map.dirty, true);
  map.close({ discard: true });
});
