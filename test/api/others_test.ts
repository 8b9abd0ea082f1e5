/**
 * What others do to a file while a map of it is opened or flushed, and what a map must
 * not do to their data.
 *
 * @module
 */

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

/** A file, its content as text, and the names of the files beside it. */
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

test("a failed append undoes nothing that another program wrote after it", () => {
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

test("an append overwrites nothing that another program writes meanwhile", () => {
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

test("an append that fails undisturbed is undone completely", () => {
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

test("if blocks cannot be reserved, what others append meanwhile stays", () => {
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

test("a longer open cuts off nothing that others append, with or without fallocate", () => {
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
      // The map knows its end: what others wrote lies beyond it.
      map.insert(0, 1);
      map.flush();
      const times = content().split(LINE).length - 1;
      assert.ok(times > 0);
      assert.ok(content().startsWith(`\0old content\n${LINE}`));
    }
  }
});

test("without fallocate, zeros that do not fit are removed, but not what others appended", () => {
  const EOPNOTSUPP = process.platform === "darwin" ? 102 : 95;
  for (const others of [false, true]) {
    using folder = temporaryFolder();
    const { path, content, append } = fileIn(folder.path);
    const { measure } = MappedFile.prototype;
    let looks = 0;
    // When some of the zeros are written.
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

test("an in-place flush that fails before its first write undoes only its own changes", () => {
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

/** A flush of each kind, of a file of slightly more than 3 MiB. */
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

test("during a flush, no other flush changes the file under any of its names", () => {
  for (const [first, outer] of Object.entries(FLUSHES)) {
    if (first === "cut") continue; // a single call, during which no code of ours runs
    for (const [second, inner] of Object.entries(FLUSHES)) {
      for (const isLinked of [false, true]) {
        // A file with several names is not replaced.
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

test("another program's lock on the file makes every flush with pending edits fail", () => {
  const c = libc();
  for (const [name, { edit, options }] of Object.entries(FLUSHES)) {
    for (const durable of [true, false]) {
      using folder = temporaryFolder();
      const { path, beside } = fileIn(folder.path, new Uint8Array(1000));
      using map = open(path);
      edit(map);
      const { length } = map;
      // Anyone who may read the file may lock it.
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

test("a failed longer open gives back the blocks that it reserved", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  const { blocks } = fs.statSync(path);
  const real = libc();
  const { fallocate } = real;
  let isRefused = false;
  withLibc({
    // Reserving succeeds, and lengthening fails.
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
  "a path in /proc to an unlinked file never leads to another file",
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
  "a map opened by a path in /proc can be flushed repeatedly",
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

test("changes of permissions and names during a replace are kept", () => {
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
