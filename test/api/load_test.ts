/** `load()`: bytes are brought into memory, and no thread waits. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Libc, libc } from "../../ffi/libc.ts";
import { type Memmap, open } from "../../mod.ts";
import { MappedFile } from "../../src/storage/mapped_file.ts";
import { ReadAhead } from "../../src/storage/read_ahead.ts";
import {
  descriptorsOf,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

// deno-lint-ignore no-explicit-any -- what TypeScript would refuse
type Any = any;

const SIZE = 5 * 2 ** 20 + 5;

function fileIn(folder: string): string {
  const path = join(folder, "file");
  fs.writeFileSync(path, new Uint8Array(SIZE));
  return path;
}

/** A library that says so of the pages, and counts what it was asked. */
function saying(resident: (look: number) => number) {
  const calls = { looks: 0, advised: 0 };
  const changes: Partial<Libc> = {
    madvise: (_, length) => {
      calls.advised += length;
      return 0;
    },
    mincore: (_, length, pages) => {
      const count = Math.ceil(length / libc().pageSize);
      const there = Math.round(count * resident(calls.looks++));
      pages.fill(1, 0, there).fill(0, there);
      return 0;
    },
  };
  const open_ = (path: string): Memmap =>
    withLibc(changes, () => open(path, "r+"));
  /** Asks while the file is not to be found, so that it is not read. */
  const load = (map: Memmap, ...asked: Parameters<Memmap["load"]>) => {
    const elsewhere = `${map.path}.elsewhere`;
    fs.renameSync(map.path, elsewhere);
    const loading = map.load(...asked);
    fs.renameSync(elsewhere, map.path);
    return loading;
  };
  return { calls, open: open_, load };
}

test("load() resolves when the bytes are there, and says how far it is", async () => {
  using folder = temporaryFolder();
  using map = open(fileIn(folder.path));
  const calls: [number, number][] = [];
  const onProgress = (done: number, total: number) => {
    calls.push([done, total]);
  };
  assert.equal(await map.load(0, undefined, { onProgress }), undefined);
  assert.equal(map.residency(), 1);
  assert.deepEqual(calls.at(-1), [SIZE, SIZE]);
  let before = 0;
  for (const [done, total] of calls) {
    assert.equal(total, SIZE);
    assert.ok(done > before);
    before = done;
  }
  calls.length = 0;
  await map.load(5, 5, { onProgress });
  assert.deepEqual(calls, []);
  await map.load(-5, -1, { onProgress });
  assert.deepEqual(calls, [[4, 4]]);
  await map.load();
});

test("while the system reads, everything else runs", async () => {
  using folder = temporaryFolder();
  const { calls, open, load } = saying((look) => Math.min(look / 20, 1));
  using map = open(fileIn(folder.path));
  let turns = 0;
  const count = () => {
    turns++;
    timer = setTimeout(count, 0);
  };
  let timer = setTimeout(count, 0);
  await load(map);
  clearTimeout(timer);
  assert.ok(calls.looks > 20, `${calls.looks} looks`);
  assert.ok(calls.advised >= SIZE);
  assert.ok(turns > 0);
});

type Load = (
  map: Memmap,
  ...asked: Parameters<Memmap["load"]>
) => Promise<void>;

/** Both manners: reading, and by advice, which never gets anything into memory here. */
function manners(): Record<string, { open: typeof open; load: Load }> {
  const advice = saying(() => 0);
  return {
    reading: { open, load: (map, ...asked) => map.load(...asked) },
    advice: { open: advice.open as typeof open, load: advice.load },
  };
}

/** Waits until what was begun has let go of the file. */
async function isLetGo(folder: string): Promise<boolean> {
  for (let turn = 0; turn < 1000; turn++) {
    if ((descriptorsOf(folder) ?? []).length === 0) return true;
    await new Promise((run) => setTimeout(run, 10));
  }
  return false;
}

test("an aborted load() is rejected with the signal's reason", async () => {
  const reason = new Error("enough");
  for (const [name, { open, load }] of Object.entries(manners())) {
    using folder = temporaryFolder();
    const map = open(fileIn(folder.path));
    let calls = 0;
    const onProgress = () => void calls++;
    const signal = AbortSignal.abort(reason);
    const never = load(map, 0, SIZE, { signal, onProgress });
    await assert.rejects(never, reason, name);
    const controller = new AbortController();
    const options = { signal: controller.signal, onProgress };
    const loading = load(map, 0, SIZE, options);
    controller.abort(reason);
    await assert.rejects(loading, reason, name);
    assert.ok(calls < 2, name);
    map.close();
    assert.ok(await isLetGo(folder.path), name);
  }
  using folder = temporaryFolder();
  using map = open(fileIn(folder.path));
  const onProgress = () => {
    throw reason;
  };
  await assert.rejects(map.load(0, SIZE, { onProgress }), reason);
});

test("a map that is closed meanwhile ends it, and no descriptor stays open", async () => {
  for (const [name, { open, load }] of Object.entries(manners())) {
    using folder = temporaryFolder();
    const map = open(fileIn(folder.path));
    const loading = load(map);
    map.close();
    const closed = { code: "ERR_MEMMAP_CLOSED" };
    await assert.rejects(loading, closed, name);
    await assert.rejects(load(map), closed, name);
    assert.ok(await isLetGo(folder.path), name);
  }
});

test("what a flush cuts off meanwhile is not waited for", async () => {
  for (const [name, { open, load }] of Object.entries(manners())) {
    using folder = temporaryFolder();
    using map = open(fileIn(folder.path));
    const loading = load(map, 110);
    const slice = map.slice(100);
    slice.resize(0);
    map.flush();
    await loading;
    assert.equal(map.mappedLength, 100, name);
  }
});

test("where a flush replaces the file meanwhile, the new one is loaded", async () => {
  using folder = temporaryFolder();
  using map = open(fileIn(folder.path));
  let last = 0;
  let total = 0;
  const loading = map.load(0, SIZE, {
    onProgress(done, all) {
      assert.ok(done > last);
      last = done;
      total = all;
      if (map.dirty || map.slices.length > 0) return;
      map.insert(0, 5);
      map.flush({ durable: false });
    },
  });
  await loading;
  assert.deepEqual([last, total], [SIZE, SIZE]);
  assert.equal(map.residency(0, SIZE), 1);
});

test("what never comes into memory is given up, once and for all of it", async () => {
  using folder = temporaryFolder();
  const { open, load } = saying(() => 0);
  using map = open(fileIn(folder.path));
  let done = 0;
  await load(map, 0, SIZE, { onProgress: (now) => done = now });
  assert.equal(done, SIZE);
  assert.equal(map.residency(), 0);
});

test("a file that has no name any more is loaded, too", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map = open(path);
  fs.unlinkSync(path);
  await map.load();
  assert.equal(map.residency(), 1);
});

test("wrong arguments reject", async () => {
  using folder = temporaryFolder();
  using map: Any = open(fileIn(folder.path));
  for (const [begin, end] of [[SIZE + 1], [0, SIZE + 1], [5, 4], [0.5]]) {
    await assert.rejects(map.load(begin, end), { name: "RangeError" });
  }
  const options = [5, { signl: 1 }, { onProgress: 5 }, { signal: {} }];
  const fakes = [Object.create(AbortSignal.prototype), null];
  const all = [...options, ...fakes.map((signal) => ({ signal }))];
  for (const wrong of all) {
    await assert.rejects(map.load(0, 1, wrong), { name: "TypeError" });
  }
  await assert.rejects(map.load(0, 1, {}, 1), { name: "TypeError" });
});

test("a disk that fails is a SystemError", async () => {
  using folder = temporaryFolder();
  using map = open(fileIn(folder.path));
  const { openReadAhead } = MappedFile.prototype;
  // A folder can be opened, and not be read.
  MappedFile.prototype.openReadAhead = function () {
    return new ReadAhead(fs.openSync(folder.path, "r"), this.path);
  };
  try {
    await assert.rejects(map.load(), {
      name: "SystemError",
      code: "EISDIR",
      syscall: "read",
      path: map.path,
    });
  } finally {
    MappedFile.prototype.openReadAhead = openReadAhead;
  }
});
