/**
 * Memmap: opening, modes, slices, errors, and closing.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { close, Memmap, type Mode, open } from "../../mod.ts";
import { libc } from "../../ffi/libc.ts";
import {
  countingFile,
  skipWithoutProc,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

test("the long names of the modes are those of numarray", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 4);
  const names = {
    readonly: "r",
    copyonwrite: "c",
    readwrite: "r+",
    write: "w+",
  };
  for (const [long, short] of Object.entries(names)) {
    using map = open(path, long as Mode, { length: 4 });
    assert.equal(map.mode, short);
  }
});

test("an unknown mode is a TypeError that lists the modes", () => {
  for (const mode of ["rw", "w", "", "toString"]) {
    assert.throws(() => open("x", mode as Mode), {
      name: "TypeError",
      message: /'r\+'/,
    });
  }
});

test("r+ extends the file with zeros if length is larger", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 4);
  for (const [length, reserve] of [[8, true], [10_000, false]] as const) {
    using map = open(path, "r+", { length, reserve });
    assert.equal(map.mappedLength, length);
    assert.equal(map.slice(0, 8).bytes.join(), "0,1,2,3,0,0,0,0");
    assert.equal(fs.statSync(path).size, length);
  }
});

test("w+ truncates the file: no byte of the old content is left", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 64);
  for (const reserve of [true, false]) {
    fs.writeFileSync(path, new Uint8Array(64).fill(9));
    using map = open(path, "w+", { length: 32, reserve });
    assert.deepEqual(map.slice().bytes, new Uint8Array(32));
  }
  assert.deepEqual(fs.readFileSync(path), Buffer.alloc(32));
});

test("reserve allocates blocks, and without it a new file is sparse", () => {
  using folder = temporaryFolder();
  const length = 2 ** 20;
  const blocksOf = (reserve: boolean) => {
    const path = join(folder.path, `reserve-${reserve}`);
    open(path, "w+", { length, reserve }).close();
    return fs.statSync(path).blocks;
  };
  assert.ok(blocksOf(true) * 512 >= length);
  assert.ok(blocksOf(false) * 512 < length);
});

test("modes r and c never change the file, whatever is written", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 5000);
  const before = fs.readFileSync(path);
  for (const mode of ["r", "c"] as const) {
    using map = open(path, mode);
    const slice = map.slice(10, 4990);
    slice.bytes.fill(0xee);
    new DataView(slice.buffer).setFloat64(3, Math.PI);
    if (mode === "c") {
      slice.set([1, 2, 3], 7);
      map.move(0, 100, 50);
      slice.resize(9999);
    }
    assert.equal(slice.bytes[0], 0xee);
    map.close();
    assert.deepEqual(fs.readFileSync(path), before);
  }
});

test("in mode r, everything that writes throws a ReadonlyError and changes nothing", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 48);
  using map = open(path, "r");
  const slice = map.slice(0, 16);
  const writes: (() => unknown)[] = [
    () => map.insert(20, 1),
    () => map.move(0, 8, 8),
    () => map.flush(),
    () => map.sync(),
    () => slice.set([1]),
    () => slice.fill(1),
    () => slice.resize(1),
    () => slice.resize(16),
    () => slice.splice(0, 1),
    () => slice.sync(),
  ];
  for (const write of writes) {
    assert.throws(write, {
      name: "ReadonlyError",
      code: "ERR_MEMMAP_READONLY",
      message: /counting\.dat/,
    });
  }
  assert.equal(map.writable, false);
  assert.equal(slice.writable, false);
  assert.equal(map.dirty, false);
  assert.equal(
    slice.bytes.join(),
    Array.from({ length: 16 }, (_, i) => i).join(),
  );
});

test("in mode c, edits are allowed, but flush() and sync() throw a ReadonlyError", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48), "c");
  const slice = map.slice(0, 16);
  slice.resize(20);
  assert.throws(() => map.flush(), {
    name: "ReadonlyError",
    message: /flush\(\{ path \}\)/,
  });
  assert.throws(() => map.sync(), { name: "ReadonlyError" });
  assert.equal(map.writable, false);
  assert.equal(slice.writable, true);
});

test("length maps a prefix of a larger file", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 48);
  for (const mode of ["r", "c", "r+"] as const) {
    using map = open(path, mode, { length: 10 });
    assert.equal(map.mappedLength, 10);
    assert.equal(map.length, 10);
    assert.throws(() => map.slice(0, 11), { name: "RangeError" });
  }
  assert.equal(fs.statSync(path).size, 48);
});

test("an empty file can be mapped in every mode, and insert() gives it content", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 0);
  for (const mode of ["r", "c", "r+", "w+"] as const) {
    using map = open(path, mode, { length: 0 });
    assert.equal(map.length, 0);
    const slice = map.slice();
    assert.equal(slice.bytes.length, 0);
    assert.equal(map.find("x"), -1);
    assert.equal(map.find(""), 0);
    assert.deepEqual(map.layout().map(({ length }) => length), [0]);
  }
  using map = open(path);
  map.insert(0, 3);
  assert.equal(map.flush().bytesWritten, 3);
  assert.deepEqual(fs.readFileSync(path), Buffer.alloc(3));
});

test("paths may have spaces or Unicode, and may be relative, links, or file: URLs", () => {
  using folder = temporaryFolder();
  const before = process.cwd();
  const name = "with space, ünïcödé % # ? 漢字\t\n.dat";
  const path = join(folder.path, name);
  fs.writeFileSync(path, "content");
  fs.symlinkSync(name, join(folder.path, "link"));
  try {
    process.chdir(folder.path);
    for (
      const given of [path, name, `./${name}`, "link", pathToFileURL(path)]
    ) {
      using map = open(given, "r");
      assert.equal(new TextDecoder().decode(map.slice().bytes), "content");
      assert.ok(fs.realpathSync(map.path).endsWith(name));
    }
    using map = open(name);
    process.chdir(before);
    map.insert(0, 1);
    map.flush();
    assert.equal(
      fs.readFileSync(path).length,
      8,
      "the path was resolved when the map was opened",
    );
  } finally {
    process.chdir(before);
  }
});

// A signal tells the holder of a lease, who then gives it up.
const LEASE = `
import fcntl, os, signal, sys, tempfile, time
def lease(fd, kind):
    fcntl.fcntl(fd, fcntl.F_SETLEASE, kind)
def release(*_):
    time.sleep(0.05)
    lease(fd, fcntl.F_UNLCK)
if len(sys.argv) == 2:
    with tempfile.NamedTemporaryFile(dir=sys.argv[1]) as file:
        lease(file.fileno(), fcntl.F_WRLCK)
    sys.exit()
fd = os.open(sys.argv[1], os.O_RDWR)
signal.signal(signal.SIGIO, release)
lease(fd, fcntl.F_WRLCK)
os.close(os.open(sys.argv[2], os.O_CREAT))
while True:
    signal.pause()
`;
const hasLeases = spawnSync("python3", ["-c", LEASE, tmpdir()]).status === 0;

test("opening waits for another process's lease on the file", {
  skip: hasLeases
    ? false
    : "there is no python3 that can take a lease on a file",
}, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "leased.dat");
  const taken = join(folder.path, "taken");
  fs.writeFileSync(path, "content");
  const holder = spawn("python3", ["-c", LEASE, path, taken], {
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => holder.once("exit", resolve));
  try {
    while (!fs.existsSync(taken)) {
      assert.equal(holder.exitCode, null);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    using map = open(path);
    assert.equal(map.length, 7);
  } finally {
    holder.kill("SIGKILL");
    await ended;
  }
});

test("wrong values in place of options are a TypeError, and no file is written", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 40);
  const before = fs.readFileSync(path);
  const other = join(folder.path, "other.dat");
  const wrong = (value: unknown) => value as Record<string, never>;
  const expected = { name: "TypeError", message: /^Options must be an object/ };
  using map = open(path);
  map.slice(0, 8);
  const inserted = map.insert(20, 3);
  assert.throws(() => map.flush(wrong(other)), expected);
  assert.throws(() => map.close(wrong(true)), expected);
  assert.throws(() => open(path, "r", wrong(8)), expected);
  assert.throws(() => map.slices[0]!.array("int8", wrong([2, 2])), expected);
  assert.deepEqual(fs.readdirSync(folder.path), ["counting.dat"]);
  assert.deepEqual(fs.readFileSync(path), before);
  assert.throws(() => inserted.set(wrong("abc") as never), {
    name: "TypeError",
    message: /TextEncoder/,
  });
  assert.throws(() => map.insert(0, wrong("abc") as never), {
    name: "TypeError",
    message: /TextEncoder/,
  });
  map.close({ discard: true });
});

test("errors say what to do instead", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 40);
  const map = open(path);
  const says = (message: RegExp, call: () => unknown) =>
    assert.throws(call, { message }, String(message));
  const any = (value: unknown) => value as number;
  map.slice(10, 20);
  map.insert(40, 3);
  says(/map.*mappedLength; pending edits/, () => map.insert(map.length, 1));
  says(/offset: 3n\. Offsets are whole/, () => map.slice(any(3n), 5));
  says(/offset: "3"\. Offsets are whole/, () => map.slice(any("3"), 5));
  says(/in slices, or delete\(\) it/, () => map.slice(0, 11));
  says(/use its splice\(\)/, () => map.insert(15, 1));
  says(/from 0 to 2\^53 - 1/, () => map.insert(0, 2 ** 53));
  const missing = join(folder.path, "missing.dat");
  says(
    /ENOENT.*'r\+' with \{ create: true \}, or 'w\+'.*creates it/,
    () => open(missing),
  );
  says(/ENOENT.*new URL/, () => open("file:///missing.dat", "r"));
  const array = map.slices[0]!.array("uint8", { shape: [2, 5] });
  says(/Index 5 .* whose length is 5/, () => array.get(0, 5));
  says(/index \[\[0,1\]\]: it takes 2/, () => array.get(any([0, 1])));
  says(/reshape\(2, 3\)/, () => array.reshape(any([5, 2])));
  const resize = array.resize as (...lengths: number[]) => unknown;
  says(/one shape/, () => resize.call(array, 5, 3));
  assert.deepEqual(array.shape, [2, 5]);
  says(/resize\(\) it/, () => map.slices[0]!.array("float64", { shape: 2 }));
  map.close({ discard: true });
});

test("slice() counts negative offsets from the end, and never clamps", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48));
  const slice = map.slice(-16, -8);
  assert.deepEqual([slice.begin, slice.end, slice.bytes[0]], [32, 40, 32]);
  for (
    const [begin, end] of [[0, 49], [-49, 2], [60, 60], [0, NaN], [0.5, 2], [
      9,
      3,
    ]]
  ) {
    assert.throws(() => map.slice(begin, end), { name: "RangeError" });
  }
  assert.throws(() => map.slice(60), { message: /^Invalid memmap offset: 60/ });
  assert.equal(map.slices.length, 1);
});

test("slices may touch but not overlap", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48));
  map.slice(10, 20);
  map.slice(20, 30);
  map.slice(0, 10);
  map.slice(10, 10);
  map.slice(20, 20);
  for (
    const [begin, end] of [[9, 11], [19, 21], [5, 40], [15, 15], [29, 48], [
      10,
      20,
    ]]
  ) {
    assert.throws(() => map.slice(begin, end), {
      name: "OverlapError",
      code: "ERR_MEMMAP_OVERLAP",
      message: /^Slice overlaps prior slice of same file\./,
    });
  }
  map.insert(40, 4);
  assert.throws(
    () => map.slice(35, 45),
    { name: "OverlapError" },
    "an inserted slice lies inside",
  );
  assert.throws(() => map.insert(25, 4), { name: "OverlapError" });
  assert.deepEqual(
    map.slices.map(({ begin, end }) => [begin, end]),
    [[0, 10], [10, 10], [10, 20], [20, 20], [20, 30], [40, 40]],
  );
});

test("inserts at one offset keep their order and come before the slice there", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 4);
  using map = open(path);
  map.slice(2, 4);
  map.insert(2, new Uint8Array([0xa]));
  map.insert(2, new Uint8Array([0xb]));
  map.insert(4, new Uint8Array([0xd]));
  map.insert(2, new Uint8Array([0xc]));
  map.flush();
  assert.deepEqual([...fs.readFileSync(path)], [
    0,
    1,
    0xa,
    0xb,
    0xc,
    2,
    3,
    0xd,
  ]);
});

test("insert() copies ArrayBuffers and views of any type", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 0);
  using map = open(path);
  const words = new Uint16Array([0x0101, 0x0202, 0x0303]);
  map.insert(0, words.subarray(1, 2));
  map.insert(0, new DataView(words.buffer, 4, 1));
  map.insert(0, words.buffer);
  words.fill(0);
  map.flush();
  assert.deepEqual([...fs.readFileSync(path)], [2, 2, 3, 1, 1, 2, 2, 3, 3]);
  for (const content of [-1, 1.5, NaN, 2 ** 60]) {
    assert.throws(() => map.insert(0, content), { name: "RangeError" });
  }
  for (const content of ["abc", null, [1, 2]]) {
    assert.throws(() => map.insert(0, content as never), { name: "TypeError" });
  }
  assert.equal(map.dirty, false);
});

test("delete() frees the region, keeps the bytes, and invalidates the slice", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48));
  const slice = map.slice(0, 20);
  map.delete(0, 20);
  assert.equal(map.slice(0, 30).bytes[19], 19);
  assert.equal(slice.state, "deleted");
  assert.equal(String(slice), "<MemmapSlice deleted>");
  const uses: (() => unknown)[] = [
    () => slice.length,
    () => slice.begin,
    () => slice.buffer,
    () => slice.bytes,
    () => slice.resize(1),
    () => slice.find("x"),
    () => slice.delete(),
    () => map.delete(slice),
  ];
  for (const use of uses) {
    assert.throws(use, {
      name: "DeletedSliceError",
      code: "ERR_MEMMAP_DELETED",
      message: /^A deleted MemmapSlice has been used\./,
    });
  }
  slice[Symbol.dispose]();
  assert.throws(() => map.delete(0, 20), { name: "RangeError" });
  assert.throws(() => map.delete(0, undefined as never), {
    name: "RangeError",
  });
});

test("delete() refuses a slice of another map", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 48);
  using map = open(path);
  using other = open(path);
  const slice = other.slice();
  assert.throws(() => map.delete(slice), { name: "RangeError" });
  assert.equal(slice.state, "mapped");
});

test("deleting a floating slice drops its pending edits", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 48);
  using map = open(path);
  const resized = map.slice(0, 16);
  const inserted = map.insert(20, 100);
  resized.resize(1000);
  assert.equal(map.length, 48 + 984 + 100);
  resized.delete();
  inserted.delete();
  assert.equal(map.length, 48);
  assert.equal(map.dirty, false);
  assert.equal(map.slice(0, 16).bytes[15], 15);
  assert.equal(map.flush().strategy, "none");
});

test("length includes pending edits, and offsets stay as of the last flush", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48));
  const a = map.slice(0, 16);
  const b = map.slice(24, 48);
  a.resize(100);
  assert.deepEqual([map.length, map.mappedLength], [132, 48]);
  assert.deepEqual([b.begin, b.end], [24, 48]);
  map.flush();
  assert.deepEqual([map.length, map.mappedLength], [132, 132]);
  assert.deepEqual([a.begin, a.end, b.begin, b.end], [0, 100, 108, 132]);
});

test("layout() shows what flush() will write", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48));
  const a = map.slice(8, 16);
  const b = map.slice(24, 48);
  a.resize(2);
  const c = map.insert(24, 5);
  assert.deepEqual(map.layout(), [
    { slice: null, state: "gap", begin: 0, end: 8, offset: 0, length: 8 },
    { slice: a, state: "floating", begin: 8, end: 16, offset: 8, length: 2 },
    { slice: null, state: "gap", begin: 16, end: 24, offset: 10, length: 8 },
    { slice: c, state: "floating", begin: 24, end: 24, offset: 18, length: 5 },
    { slice: b, state: "mapped", begin: 24, end: 48, offset: 23, length: 24 },
  ]);
});

test("move() copies like memmove within the map", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  using map = open(path);
  map.move(2, 0, 8);
  map.move(0, 4, 2);
  map.sync();
  assert.deepEqual([...fs.readFileSync(path)], [2, 3, 0, 1, 2, 3, 4, 5, 6, 7]);
  for (
    const [target, source, count] of [
      [5, 0, 6],
      [0, 5, 6],
      [0, 0, -1],
      [0, 11, 0],
    ] as const
  ) {
    assert.throws(() => map.move(target, source, count), {
      name: "RangeError",
    });
  }
});

test("advise() accepts any range, and dontneed keeps private writes in mode c", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 20_000);
  for (const mode of ["r", "c", "r+"] as const) {
    using map = open(path, mode);
    const slice = map.slice();
    if (mode !== "r") slice.bytes[9000] = 0xaa;
    for (
      const advice of [
        "normal",
        "random",
        "sequential",
        "willneed",
        "dontneed",
        "hugepage",
        "cold",
        "pageout",
      ] as const
    ) {
      map.advise(advice, 5, 19_999);
      map.advise(advice);
      if (mode !== "r") assert.equal(slice.bytes[9000], 0xaa, advice);
    }
    assert.throws(() => map.advise("maybe" as never), { name: "TypeError" });
    assert.throws(() => map.advise("normal", 0, 20_001), {
      name: "RangeError",
    });
  }
});

test("an advice that the system lacks does nothing, and POSIX's own are never lacking", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 48);
  const EINVAL = libc().errnoNumber("EINVAL");
  const refuses = { madvise: () => -1, errno: () => EINVAL };
  withLibc(refuses, () => {
    using map = open(path);
    for (const advice of ["hugepage", "cold", "pageout"] as const) {
      map.advise(advice);
    }
    assert.throws(() => map.advise("willneed"), { code: "EINVAL" });
  });
  const { constants } = libc();
  const madvise = () => {
    throw new Error("was called");
  };
  const none = {
    MADV_HUGEPAGE: undefined,
    MADV_COLD: undefined,
    MADV_PAGEOUT: undefined,
  };
  withLibc({ madvise, constants: { ...constants, ...none } }, () => {
    using map = open(path);
    for (const advice of ["hugepage", "cold", "pageout"] as const) {
      map.advise(advice);
    }
    assert.throws(() => map.advise("normal"), { message: "was called" });
  });
});

test("a closed map throws a ClosedError, but still knows its path and mode", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 48);
  const map = open(path);
  const slice = map.slice(0, 8);
  const { bytes } = slice;
  close(map);
  map.close();
  assert.equal(bytes.length, 0);
  assert.equal(map.closed, true);
  assert.equal(map.path, path);
  assert.equal(map.mode, "r+");
  assert.equal(
    String(map),
    `<Memmap on file '${path}' with mode='r+', closed>`,
  );
  assert.equal(slice.state, "closed");
  slice[Symbol.dispose]();
  const uses: (() => unknown)[] = [
    () => map.length,
    () => map.slices,
    () => map.slice(),
    () => map.insert(0, 1),
    () => map.delete(0, 8),
    () => map.find("x"),
    () => map.layout(),
    () => map.advise("normal"),
    () => map.flush(),
    () => map.sync(),
    () => slice.bytes,
    () => slice.length,
    () => slice.delete(),
  ];
  for (const use of uses) {
    assert.throws(use, {
      name: "ClosedError",
      code: "ERR_MEMMAP_CLOSED",
      message: /counting/,
    });
  }
});

test("using closes the map, which flushes it", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 2);
  {
    using map = new Memmap(path);
    map.insert(1, new Uint8Array([7]));
  }
  assert.deepEqual([...fs.readFileSync(path)], [0, 7, 1]);
});

test("close({ discard: true }) drops pending edits, and keeps what views wrote", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 2);
  const map = open(path);
  map.slice(0, 1).bytes[0] = 9;
  map.insert(1, new Uint8Array([7]));
  map.close({ discard: true });
  assert.deepEqual([...fs.readFileSync(path)], [9, 1]);
});

test("consoles print maps and slices as toString() does", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "m.tst"), "w+", { length: 48 });
  map.slice(0, 16);
  const text =
    `<Memmap on file '${folder.path}/m.tst' with mode='w+', length=48, 1 slices>`;
  assert.equal(String(map), text);
  assert.equal(inspect(map), text);
  assert.equal(inspect(map.slices[0]), "<MemmapSlice of length:16 writable>");
  const { Deno: deno, Bun: bun } = globalThis as unknown as Record<
    string,
    { inspect(value: unknown): string } | undefined
  >;
  assert.equal((deno ?? bun)!.inspect(map), text);
  assert.doesNotThrow(() => inspect(Memmap.prototype));
  assert.doesNotThrow(() => (deno ?? bun)!.inspect(Memmap.prototype));
});

test("slices is a frozen array, which a change replaces by a new one", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 48));
  const b = map.slice(20, 30);
  const first = map.slices;
  assert.equal(map.slices, first);
  const a = map.slice(0, 10);
  assert.deepEqual(first, [b]);
  assert.deepEqual(map.slices, [a, b]);
  assert.throws(() => (map.slices as unknown[]).push(1), { name: "TypeError" });
});

test("files with content but no size are ENODEV in every mode", {
  skip: skipWithoutProc,
}, () => {
  const files = ["/proc/self/maps", "/proc/version", "/proc/self/mem"];
  for (const path of files) {
    for (const mode of ["r", "c", "r+", "w+"] as const) {
      if (!canOpen(path, mode)) continue;
      assert.throws(() => open(path, mode, { length: 0 }), {
        name: "SystemError",
        code: "ENODEV",
        message: /readFileSync/,
      });
    }
  }
});

function canOpen(path: string, mode: "r" | "c" | "r+" | "w+"): boolean {
  try {
    fs.closeSync(fs.openSync(path, mode === "r" || mode === "c" ? "r" : "r+"));
    return true;
  } catch {
    return false;
  }
}
