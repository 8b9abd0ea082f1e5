import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { libc, runtime } from "../../../ffi/mod.ts";
import {
  type FlushOptions,
  type Memmap,
  type MemmapSlice,
  open,
} from "../../../mod.ts";
import {
  descriptorsOf,
  fastFolder,
  FULL_DISK,
  isDeno,
  isThorough,
  mappingsOf,
  proof,
  runChild,
  skipWithoutProc,
  temporaryFolder,
  withLibc,
} from "../../support/support.ts";

/** Only a hang takes this long. */
const GUARDED = { timeout: 300_000 };

/** Runs `script` with a fresh folder, and returns its lines. It must exit normally. */
function linesOf(script: string | URL, ...args: string[]): string[] {
  using folder = temporaryFolder(fastFolder());
  const child = runChild(script, { args: [folder.path, ...args] });
  assert.deepEqual(
    { status: child.status, signal: child.signal },
    { status: 0, signal: null },
    child.stderr + child.stdout,
  );
  return child.stdout.split("\n").filter((line) => line !== "");
}

/** Makes every mmap fail for lack of memory; with `of`, only those of files or of memory. */
function withoutMemory<T>(use: () => T, of?: "files" | "memory"): T {
  const real = libc();
  let failed = false;
  return withLibc({
    mmap: (address, length, protection, flags, fd, offset) => {
      failed = of === undefined || (of === "files") === (fd !== -1);
      if (failed) return -1;
      return real.mmap(address, length, protection, flags, fd, offset);
    },
    errno: () => failed ? 12 : real.errno(),
  }, use);
}

const NO_MEMORY = {
  name: "SystemError",
  code: "ENOMEM",
  errno: -12,
  syscall: "mmap",
};

test(
  "using any kind of stale view does not end the process",
  GUARDED,
  () => {
    const lines = linesOf(
      new URL("./children/stale_views.ts", import.meta.url),
    );
    assert.equal(lines.filter((line) => line.startsWith("r+ ")).length, 24);
    assert.ok(lines.includes("r closed"));
    assert.ok(lines.includes("c floating, closed"));
  },
);

test(
  "using buffers that were moved out of reach does not end the process",
  GUARDED,
  () => {
    const lines = linesOf(
      new URL("./children/stolen_views.ts", import.meta.url),
    );
    assert.equal(lines.length, 7 * 9);
  },
);

test(
  "a worker may keep using a buffer after close() and a cut of the file",
  GUARDED,
  () => {
    const lines = linesOf(`
    import { truncateSync, writeFileSync } from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const path = process.argv[2] + "/worker.dat";
    writeFileSync(path, new Uint8Array(2 ** 20));
    const map = open(path);
    const { buffer } = map.slice();
    const worker = new Worker(new URL("./system/memory_safety/children/worker.ts"), { type: "module" });
    worker.postMessage(buffer, [buffer]);
    await new Promise((resolve) => worker.onmessage = resolve);
    map.close();
    truncateSync(path, 0);
    const { data } = await new Promise((resolve) => worker.onmessage = resolve);
    console.log(data);
    worker.terminate();
  `);
    assert.deepEqual(lines, [`used ${2 ** 20} bytes`]);
  },
);

test(
  "a map may be closed while an asynchronous operation uses its bytes",
  GUARDED,
  () => {
    const lines = linesOf(`
    import { promises, truncateSync, writeFileSync } from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const folder = process.argv[2];
    const uses = {
      writeFile: (bytes, i) => promises.writeFile(folder + "/copy" + i, bytes),
      digest: (bytes) => crypto.subtle.digest("SHA-256", bytes),
      appendFile: (bytes, i) => promises.appendFile(folder + "/copy" + i, bytes),
      compress: (bytes) => new Response(
        new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
      ).arrayBuffer(),
    };
    for (const [name, use] of Object.entries(uses)) {
      for (let i = 0; i < 10; i++) {
        const path = folder + "/" + name + i;
        writeFileSync(path, new Uint8Array(2 ** 22).fill(7));
        const map = open(path);
        const slice = map.slice();
        const { bytes } = slice;
        const pending = use(bytes, i).catch(() => {});
        if (i % 2) await undefined;
        if (i % 3 === 0) map.close();
        else if (i % 3 === 1) { slice.resize(0); map.flush({ durable: false }); }
        else { slice.resize(5); map.flush({ strategy: "replace", durable: false }); }
        if (i % 3 === 0) truncateSync(path, 0);
        await pending;
        for (let at = 0; at < bytes.length; at += 512) bytes[at] ^= 1;
        map.close();
      }
      console.log(name);
    }
  `);
    assert.deepEqual(lines, ["writeFile", "digest", "appendFile", "compress"]);
  },
);

test(
  "bytes may be let go while operations on other threads use them",
  GUARDED,
  () => {
    const lines = linesOf(
      new URL("./children/in_use.ts", import.meta.url),
      // Even in the sample, every operation takes some milliseconds.
      String(isThorough ? 2 ** 23 : 2 ** 21),
    );
    assert.equal(lines.length, 9 * 12);
    proof(
      `${lines.length} ways to let bytes go that an operation was using: 0 deaths`,
    );
  },
);

test(
  "in mode 'r', a write through slice.bytes stays in this process",
  GUARDED,
  () => {
    const lines = linesOf(`
    import assert from "node:assert/strict";
    import { readFileSync, writeFileSync } from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const path = process.argv[2] + "/readonly.dat";
    writeFileSync(path, new Uint8Array(100_000).fill(7));
    const map = open(path, "r");
    const slice = map.slice(0, 50_000);
    slice.bytes.fill(1);
    new DataView(slice.buffer).setFloat64(9, 3);
    map.slice(50_000, 100_000).bytes[49_999] = 5;
    assert.ok(readFileSync(path).every((byte) => byte === 7));
    map.advise("dontneed");
    map.close();
    assert.ok(readFileSync(path).every((byte) => byte === 7));
    console.log("unchanged");
  `);
    assert.deepEqual(lines, ["unchanged"]);
  },
);

test("a view stays attached if a flush neither moves nor resizes its bytes", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "stays.dat");
  fs.writeFileSync(path, new Uint8Array(10_000).fill(7));
  using map = open(path);
  const first = map.slice(0, 100);
  const { bytes } = first;
  map.insert(10_000, new Uint8Array(5));
  assert.equal(map.flush().strategy, "extend");
  assert.equal(first.bytes, bytes);
  map.insert(5000, 5);
  assert.equal(map.flush({ strategy: "in-place" }).strategy, "in-place");
  assert.equal(first.bytes, bytes);
  bytes[3] = 8;
  assert.equal(fs.readFileSync(path)[3], 8);
});

test("an unclosed map is released once nothing can reach it, and not before", {
  ...GUARDED,
  skip: skipWithoutProc,
}, () => {
  const lines = linesOf(new URL("./children/unclosed.ts", import.meta.url));
  assert.equal(lines.length, 3 * 7 + 7);
});

test(
  "an open() whose mmap fails leaves no descriptor, and does not change the file",
  {
    skip: skipWithoutProc,
  },
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "kept.dat");
    fs.writeFileSync(path, "old content");
    for (const mode of ["r", "c", "r+", "w+"] as const) {
      const longer = mode === "w+" || mode === "r+" ? { length: 5000 } : {};
      withoutMemory(() => {
        assert.throws(() => open(path, mode, longer), { ...NO_MEMORY, path });
        assert.throws(
          () => open(path, mode, { ...longer, reserve: false }),
          NO_MEMORY,
        );
      });
      assert.equal(fs.readFileSync(path, "utf8"), "old content", mode);
    }
    assert.deepEqual(descriptorsOf(path), []);
    assert.deepEqual(mappingsOf(path), []);
  },
);

test(
  "a closed map's addresses stay reserved while an operation may use them",
  {
    skip: isDeno ? false : "only Deno can detach buffers in use",
  },
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "kept.dat");
    fs.writeFileSync(path, new Uint8Array(5000));
    const closed = open(path);
    assert.equal(closed.slice().bytes.length, 5000);
    closed.close();
    for (const code of ["ENOMEM", "EAGAIN"] as const) {
      const errno = libc().errnoNumber(code);
      let unmapped = 0;
      withLibc({
        mmap: () => -1,
        munmap: () => ++unmapped,
        errno: () => errno,
      }, () => assert.throws(() => open(path), { code }));
      assert.equal(unmapped, 0);
    }
  },
);

test(
  "a refused request does not unmap memory that an operation is reading",
  GUARDED,
  () => {
    const lines = linesOf(`
    import { scrypt } from "node:crypto";
    import { truncateSync, writeFileSync } from "node:fs";
    import process from "node:process";
    import { setTimeout } from "node:timers/promises";
    import { open } from "../mod.ts";
    const path = process.argv[2] + "/large.dat", other = process.argv[2] + "/other.dat";
    const LENGTH = 2 ** 27;
    const refusals = {
      insert: () => open(other, "w+", { length: 10 }).insert(0, 2 ** 50),
      open: () => open(other, "w+", { length: 2 ** 50, reserve: false }),
      resize: () => open(other, "w+", { length: 10 }).slice().resize(2 ** 52),
      private: () => {
        writeFileSync(other, "");
        truncateSync(other, 2 ** 43);
        open(other, "c");
        throw new Error("the system grants any amount of memory");
      },
    };
    for (const [name, refuse] of Object.entries(refusals)) {
      const map = open(path, "w+", { length: LENGTH, reserve: false });
      const { bytes } = map.slice();
      const operation = new Promise((resolve) => scrypt(bytes, "salt", 64, resolve));
      await setTimeout(20);
      map.close();
      let problem;
      try { refuse(); } catch ({ message }) { problem = message; }
      await operation;
      console.log(name, problem === undefined ? "was not refused" : "was refused");
    }
  `);
    assert.deepEqual(lines, [
      "insert was refused",
      "open was refused",
      "resize was refused",
      "private was refused",
    ]);
  },
);

test("a buffer whose properties lie is still detached", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "liar.dat");
  fs.writeFileSync(path, new Uint8Array(10_000).fill(7));
  const lies = (isDetached: boolean): PropertyDescriptorMap => ({
    detached: { get: () => isDetached, configurable: true },
    transfer: { value: () => new ArrayBuffer(0), configurable: true },
    byteLength: { get: () => 0, configurable: true },
  });
  const { prototype } = ArrayBuffer;
  const truth = Object.getOwnPropertyDescriptors(prototype);
  for (const target of ["the buffer", "the prototype"]) {
    for (const isDetached of [true, false]) {
      const map = open(path);
      const views: Uint8Array[] = [];
      const look = (slice: MemmapSlice) => {
        const { bytes, buffer } = slice;
        views.push(bytes);
        if (target === "the buffer") {
          Object.defineProperties(buffer, lies(isDetached));
        }
        return slice;
      };
      const [first, second] = [map.slice(0, 5000), map.slice(5000, 10_000)];
      look(first);
      look(second);
      look(map.insert(0, 5000));
      if (target === "the prototype") {
        Object.defineProperties(prototype, lies(isDetached));
      }
      try {
        first.resize(5);
        map.close({ discard: true });
      } finally {
        Object.defineProperties(prototype, {
          detached: truth.detached,
          transfer: truth.transfer,
          byteLength: truth.byteLength,
        });
      }
      const lengths = views.map(({ length }) => length);
      assert.deepEqual(lengths, [0, 0, 0], `${target}, ${isDetached}`);
    }
  }
  assert.deepEqual(mappingsOf(path) ?? [], []);
});

test("a close() that throws half-way is finished by the next one", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "half.dat");
  fs.writeFileSync(path, new Uint8Array(10_000).fill(7));
  const real = libc();
  const failure = new Error("in the middle");
  let isFailing = false;
  const map = withLibc({
    mmap: (...values) => {
      if (isFailing) throw failure;
      return real.mmap(...values);
    },
  }, () => open(path));
  const { bytes } = map.slice(0, 5000);
  const moved = new Uint8Array(map.slice(5000).buffer.transfer());
  isFailing = true;
  assert.throws(() => map.close(), failure);
  assert.equal(map.closed, true);
  assert.equal(bytes.length, 0);
  isFailing = false;
  map.close();
  map.close();
  assert.ok(moved.every((byte) => byte === 0));
  assert.deepEqual(mappingsOf(path) ?? [], []);
  assert.deepEqual(descriptorsOf(path) ?? [], []);
});

test("advice for which the system lacks memory is skipped, and other failures are reported", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "advised.dat");
  fs.writeFileSync(path, new Uint8Array(5000));
  const real = libc();
  const advise = (name: string) => {
    const numbers = Array.from({ length: 40 }, (_, errno) => errno);
    const errno = numbers.find((errno) => real.errnoName(errno) === name)!;
    withLibc({ madvise: () => -1, errno: () => errno }, () => {
      using map = open(path);
      map.advise("random");
    });
  };
  advise("ENOMEM");
  advise("EAGAIN");
  assert.throws(() => advise("EINVAL"), {
    name: "SystemError",
    code: "EINVAL",
    syscall: "madvise",
  });
});

test("an open() in mode 'w+' whose mmap fails leaves no half-made file", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "new.dat");
  withoutMemory(() =>
    assert.throws(() => open(path, "w+", { length: 5000 }), NO_MEMORY)
  );
  assert.deepEqual(fs.readdirSync(folder.path), []);
});

test("an open() on a full disk leaves no half-made file, and does not change an old one", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "full.dat");
  const full = { name: "SystemError", code: "ENOSPC", errno: -28, path };
  const openFull = (mode: "r+" | "w+") =>
    withLibc(FULL_DISK, () => {
      assert.throws(() => open(path, mode, { length: 5000 }), full);
    });
  openFull("w+");
  assert.deepEqual(fs.readdirSync(folder.path), []);
  fs.writeFileSync(path, "old content");
  openFull("w+");
  openFull("r+");
  assert.equal(fs.readFileSync(path, "utf8"), "old content");
  assert.deepEqual(descriptorsOf(path) ?? [], []);
  assert.deepEqual(mappingsOf(path) ?? [], []);
});

/** What a flush is asked to write, and how it is made to fail. */
const FAILURES: Record<string, {
  edit?: (map: Memmap) => void;
  options?: FlushOptions;
  fail: (flush: () => void) => void;
}> = {
  "replace without memory for the new mapping": {
    options: { strategy: "replace" },
    fail: (flush) =>
      withoutMemory(() => assert.throws(flush, NO_MEMORY), "files"),
  },
  "replace without any memory": {
    options: { strategy: "replace" },
    fail: (flush) => withoutMemory(() => assert.throws(flush, NO_MEMORY)),
  },
  "in-place without memory": {
    options: { strategy: "in-place" },
    fail: (flush) => withoutMemory(() => assert.throws(flush, NO_MEMORY)),
  },
  "in-place that must map anew, without memory": {
    edit: (map) => void map.insert(map.mappedLength, 2 ** 27),
    options: { strategy: "in-place" },
    fail: (flush) =>
      withoutMemory(() => assert.throws(flush, NO_MEMORY), "files"),
  },
  "in-place on a full disk": {
    options: { strategy: "in-place" },
    fail: (flush) =>
      withLibc(
        FULL_DISK,
        () => assert.throws(flush, { name: "SystemError", code: "ENOSPC" }),
      ),
  },
  "replace on a full disk": {
    fail: (flush) =>
      withLibc(
        FULL_DISK,
        () => assert.throws(flush, { name: "SystemError", code: "ENOSPC" }),
      ),
  },
  "a folder that is not there": {
    options: { path: "missing/new.dat" },
    fail: (flush) =>
      assert.throws(flush, { name: "SystemError", code: "ENOENT", errno: -2 }),
  },
  "a target that is a folder": {
    options: { path: "." },
    fail: (flush) =>
      assert.throws(flush, { name: "SystemError", code: "EISDIR" }),
  },
  "a target inside a file": {
    options: { path: "edited.dat/new.dat" },
    fail: (flush) =>
      assert.throws(flush, { name: "SystemError", code: "ENOTDIR" }),
  },
};

for (const [name, { edit, options, fail }] of Object.entries(FAILURES)) {
  test(`a failed flush keeps file and edits, and a second one succeeds: ${name}`, () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "edited.dat");
    fs.writeFileSync(path, "0123456789".repeat(1000));
    const flushOptions = options?.path === undefined
      ? { ...options }
      : { ...options, path: join(folder.path, options.path as string) };
    const map = open(path);
    const before = { content: fs.readFileSync(path), stat: fs.statSync(path) };
    const middle = map.slice(10, 20);
    middle.splice(5, 0, new TextEncoder().encode("abc"));
    const { bytes } = map.slice(0, 10);
    const inserted = map.insert(30, new TextEncoder().encode("xyz"));
    edit?.(map);
    const { length } = map;
    const descriptors = descriptorsOf(folder.path);
    const mappings = mappingsOf(folder.path)?.length;

    fail(() => map.flush(flushOptions));

    assert.equal(fs.statSync(path).size, before.content.length);
    assert.ok(fs.readFileSync(path).equals(before.content));
    assert.equal(fs.statSync(path).ino, before.stat.ino);
    assert.deepEqual(fs.readdirSync(folder.path), ["edited.dat"]);
    assert.deepEqual(descriptorsOf(folder.path), descriptors);
    assert.equal(mappingsOf(folder.path)?.length, mappings);
    assert.equal(map.dirty, true);
    assert.equal(map.length, length);
    assert.equal(inserted.state, "floating");
    assert.equal(new TextDecoder().decode(inserted.bytes), "xyz");
    assert.equal(new TextDecoder().decode(middle.bytes), "01234abc56789");
    if (bytes.length > 0) assert.equal(bytes[9], 57); // unless the mapping had to be replaced

    const { path: _, ...ownFile } = options ?? {};
    map.flush(ownFile);
    assert.equal(map.dirty, false);
    const after = fs.readFileSync(path, "utf8");
    assert.equal(
      after.slice(0, 45),
      "012345678901234abc567890123456789xyz012345678",
    );
    assert.equal(after.length, length);
    map.close();
    assert.deepEqual(fs.readdirSync(folder.path), ["edited.dat"]);
    assert.deepEqual(mappingsOf(folder.path) ?? [], []);
  });
}

test("a close() whose flush finds a conflict leaves the map open", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "conflict.dat");
  fs.writeFileSync(path, "0123456789");
  const map = open(path);
  const slice = map.insert(5, new Uint8Array([65]));
  fs.appendFileSync(path, "by another");
  for (let i = 0; i < 2; i++) {
    assert.throws(() => map.close(), {
      name: "ConflictError",
      code: "ERR_MEMMAP_CONFLICT",
    });
    assert.equal(map.closed, false);
    assert.equal(map.dirty, true);
    assert.equal(slice.bytes[0], 65);
  }
  map.close({ discard: true });
  assert.equal(map.closed, true);
  assert.equal(slice.state, "closed");
  assert.equal(fs.readFileSync(path, "utf8"), "0123456789by another");
  assert.deepEqual(descriptorsOf(path) ?? [], []);
  assert.deepEqual(mappingsOf(path) ?? [], []);
});

test("after a conflict the edits can be saved to another file", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "conflict.dat");
  const other = join(folder.path, "other.dat");
  fs.writeFileSync(path, "0123456789");
  const map = open(path);
  map.insert(5, new TextEncoder().encode("abc"));
  fs.appendFileSync(path, "by another");
  assert.throws(() => map.flush(), { name: "ConflictError" });
  map.flush({ path: other });
  map.close();
  assert.equal(fs.readFileSync(other, "utf8"), "01234abc56789");
  assert.equal(fs.readFileSync(path, "utf8"), "0123456789by another");
});

test(
  "large files are mapped at addresses that allow huge pages, whatever is reserved",
  {
    skip: process.platform === "linux"
      ? false
      : "only Linux has huge pages of this kind",
  },
  () => {
    using folder = temporaryFolder();
    const large = join(folder.path, "large");
    const odd = join(folder.path, "odd");
    fs.writeFileSync(large, new Uint8Array(2 ** 21 + 1));
    fs.writeFileSync(odd, new Uint8Array(5000));
    let aligned = 0;
    for (let i = 0; i < 10; i++) {
      using small = open(odd);
      assert.equal(small.slice().bytes[0], 0);
      using map = open(large, i % 2 === 0 ? "r" : "r+");
      const address = runtime().addressOf(map.slice().bytes);
      if (address % 2 ** 21 === 0) aligned++;
    }
    // The system may have mapped something else there.
    assert.ok(aligned >= 8, `${aligned} of 10`);
  },
);
