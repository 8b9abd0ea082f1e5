/** `load()`: bytes are brought into memory, and no thread waits. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Libc, libc } from "../../ffi/libc.ts";
import { type Memmap, open } from "../../mod.ts";
import { temporaryFolder, withLibc } from "../support/support.ts";

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
  return { calls, open: open_ };
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
  const { calls, open } = saying((look) => Math.min(look / 20, 1));
  using map = open(fileIn(folder.path));
  let turns = 0;
  const count = () => {
    turns++;
    timer = setTimeout(count, 0);
  };
  let timer = setTimeout(count, 0);
  await map.load();
  clearTimeout(timer);
  assert.ok(calls.looks > 20, `${calls.looks} looks`);
  assert.ok(calls.advised >= SIZE);
  assert.ok(turns > 0);
});

test("an aborted load() is rejected with the signal's reason", async () => {
  using folder = temporaryFolder();
  const { calls, open } = saying(() => 0);
  using map = open(fileIn(folder.path));
  const reason = new Error("enough");
  await assert.rejects(
    map.load(0, SIZE, { signal: AbortSignal.abort(reason) }),
    reason,
  );
  assert.deepEqual(calls, { looks: 0, advised: 0 });
  const controller = new AbortController();
  const { signal } = controller;
  const loading = map.load(0, SIZE, { signal });
  controller.abort(reason);
  await assert.rejects(loading, reason);
  assert.ok(calls.looks < 3);
  const onProgress = () => {
    throw reason;
  };
  await assert.rejects(
    saying(() => 1).open(map.path).load(0, 9, { onProgress }),
    reason,
  );
});

test("a map that is closed meanwhile is not looked at again", async () => {
  using folder = temporaryFolder();
  const { calls, open } = saying(() => 0);
  const map = open(fileIn(folder.path));
  const loading = map.load();
  const { looks } = calls;
  map.close();
  await assert.rejects(loading, { code: "ERR_MEMMAP_CLOSED" });
  assert.equal(calls.looks, looks);
  await assert.rejects(map.load(), { code: "ERR_MEMMAP_CLOSED" });
});

test("what a flush cuts off meanwhile is not waited for", async () => {
  using folder = temporaryFolder();
  let isCut = false;
  const { open } = saying(() => isCut ? 1 : 0);
  using map = open(fileIn(folder.path));
  const loading = map.load(10);
  const slice = map.slice(100);
  slice.resize(0);
  map.flush();
  isCut = true;
  await loading;
  assert.equal(map.mappedLength, 100);
});

test("what never comes into memory is given up, once and for all of it", async () => {
  using folder = temporaryFolder();
  const { open } = saying(() => 0);
  using map = open(fileIn(folder.path));
  let done = 0;
  await map.load(0, SIZE, { onProgress: (now) => done = now });
  assert.equal(done, SIZE);
  assert.equal(map.residency(), 0);
});

test("wrong arguments reject, and nothing is asked", async () => {
  using folder = temporaryFolder();
  const { calls, open } = saying(() => 1);
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
  assert.deepEqual(calls, { looks: 0, advised: 0 });
});
