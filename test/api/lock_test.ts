/** `lock()`: a lock of the file that is held for as long as one wants. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { type Memmap, open, type Strategy } from "../../mod.ts";
import { atOnce, withLater } from "../support/later.ts";
import {
  descriptorsOf,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

// deno-lint-ignore no-explicit-any -- what TypeScript would refuse
type Any = any;

const busy = { name: "SystemError", code: "EBUSY" };

function fileIn(folder: string): string {
  const path = join(folder, "file");
  fs.writeFileSync(path, "0123456789");
  return path;
}

/** Has the promise not been settled, though everything else had its turn? */
async function isWaiting(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const settled = () => isSettled = true;
  promise.then(settled, settled);
  for (let i = 0; i < 5; i++) await new Promise((run) => setTimeout(run, 20));
  return !isSettled;
}

/** Lets everything else have its turn. */
async function turn(): Promise<void> {
  await new Promise((run) => setTimeout(run, 0));
}

/** Can any other program lock the file, exclusively or shared? */
function isFree(path: string, isShared = false): boolean {
  const { constants, flock } = libc();
  const fd = fs.openSync(path, "r");
  const how = isShared ? constants.LOCK_SH : constants.LOCK_EX;
  const is = flock(fd, how | constants.LOCK_NB) === 0;
  fs.closeSync(fd);
  return is;
}

test("while one map has the lock, it flushes, and no other map does", async () => {
  for (const strategy of ["auto", "replace", "in-place"] as Strategy[]) {
    using folder = temporaryFolder();
    const path = fileIn(folder.path);
    using map = open(path);
    using other = open(path);
    other.append(1);
    {
      using _ = await map.lock();
      assert.equal(isFree(path), false);
      assert.throws(() => other.flush({ strategy }), {
        ...busy,
        message: /locked the file/,
      });
      assert.throws(() => open(path, "r+", { length: 50 }), busy);
      open(path, "r").close();
      map.insert(3, 2);
      map.flush({ strategy });
      map.append(1);
      map.flush({ strategy });
      assert.equal(isFree(path), false, `after ${strategy}`);
    }
    assert.equal(isFree(path), true);
    other.close({ discard: true });
    map.append(1);
    map.flush();
  }
});

test("others wait for the lock, of the same map too, and get it one by one", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map = open(path);
  using other = open(path, "r");
  const first = await map.lock();
  const waiting = [map.lock(), other.lock(), other.lock({ shared: true })];
  for (const one of waiting) assert.equal(await isWaiting(one), true);
  first[Symbol.dispose]();
  first[Symbol.dispose](); // a second time, it lets go of nobody else's
  let holders = 0;
  await Promise.all(waiting.map(async (one) => {
    using _ = await one;
    assert.equal(holders++, 0);
    assert.equal(isFree(path), false);
    await new Promise((run) => setTimeout(run, 5));
    holders--;
  }));
  assert.equal(isFree(path), true);
});

test("a shared lock is shared, and keeps out every flush, of its own map too", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map = open(path);
  using other = open(path, "r");
  const shared = { shared: true };
  const locks = [await map.lock(shared), await other.lock(shared)];
  locks.push(await map.lock(shared));
  assert.equal(isFree(path), false);
  assert.equal(isFree(path, true), true);
  map.append(1);
  const own = { ...busy, message: /shared with others/ };
  assert.throws(() => map.flush(), own);
  // Waiting for what its own task releases afterwards would never end.
  const signal = AbortSignal.timeout(10_000);
  await assert.rejects(map.flushAsync({ signal }), own);
  await assert.rejects(map.closeAsync({ signal }), own);
  assert.equal(map.dirty, true);
  const exclusive = map.lock();
  for (const lock of locks) {
    assert.equal(await isWaiting(exclusive), true);
    lock[Symbol.dispose]();
  }
  using _ = await exclusive;
  map.flush();
  assert.equal(fs.statSync(path).size, 11);
});

test("a lock goes over to the file that takes the place of the locked one", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map = open(path);
  const lock = await map.lock();
  fs.renameSync(path, `${path}.old`);
  fs.writeFileSync(path, "another");
  assert.equal(isFree(path), true);
  using other = open(path);
  {
    using _ = await other.lock({ shared: true });
    assert.throws(() => map.refresh(), busy);
    assert.equal(map.stale, "replaced");
    assert.equal(map.mappedLength, 10);
  }
  assert.equal(map.refresh(), true);
  assert.equal(isFree(path), false);
  assert.equal(isFree(`${path}.old`), true);
  await turn(); // what only lasts for a task has ended by then
  assert.equal(isFree(path), false);
  const saved = join(folder.path, "saved");
  map.flush({ path: saved });
  assert.equal(isFree(path), true);
  assert.equal(isFree(saved), false);
  await turn();
  assert.equal(isFree(saved), false);
  lock[Symbol.dispose]();
  assert.equal(isFree(saved), true);
});

test("a flush that fails leaves the lock where it was", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map = open(path);
  const lock = await map.lock();
  map.insert(0, 2 ** 21);
  const onProgress = () => {
    throw new Error("enough");
  };
  for (const strategy of ["replace", "auto", "in-place"] as Strategy[]) {
    assert.throws(() => map.flush({ strategy, onProgress }), {
      message: "enough",
    });
    assert.equal(isFree(path), false, strategy);
  }
  fs.linkSync(path, `${path} too`);
  map.insert(0, 1);
  assert.throws(() => map.flush(), { code: "EMLINK" });
  assert.equal(isFree(path), false);
  lock[Symbol.dispose]();
  assert.equal(isFree(path), true);
  map.close({ discard: true });
});

test("a file that nobody else finds is a conflict, and not locked", async () => {
  for (const change of ["replaced", "unlinked"] as const) {
    using folder = temporaryFolder();
    const path = fileIn(folder.path);
    using map = open(path);
    fs.renameSync(path, `${path}.old`);
    if (change === "replaced") fs.writeFileSync(path, "another");
    await assert.rejects(map.lock(), {
      code: "ERR_MEMMAP_CONFLICT",
      message: new RegExp(`was ${change}.*refresh\\(\\)`),
    });
    assert.equal(isFree(`${path}.old`), true);
  }
});

test("who waits can be aborted, and ends when the map is closed", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map = open(path);
  const other = open(path);
  using _ = await map.lock();
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = map.lock({ signal });
  const ended = other.lock();
  assert.equal(await isWaiting(aborted), true);
  controller.abort(reason);
  await assert.rejects(aborted, reason);
  await assert.rejects(map.lock({ signal }), reason);
  other.close();
  await assert.rejects(ended, { code: "ERR_MEMMAP_CLOSED" });
  await assert.rejects(other.lock(), { code: "ERR_MEMMAP_CLOSED" });
});

test("close() lets go of the lock, and leaves no descriptor", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  for (const mode of ["r", "c", "r+"] as const) {
    const map = open(path, mode);
    const lock = await map.lock({ shared: mode === "c" });
    assert.equal(isFree(path), false);
    map.close();
    assert.equal(isFree(path), true);
    using other = open(path);
    using _ = await other.lock();
    lock[Symbol.dispose]();
    assert.equal(isFree(path), false);
  }
  assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
});

test("close() lets go of the lock while the file is synced, too", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  for (const isLater of [false, true]) {
    const map = open(path);
    await map.lock();
    map.append(1);
    map.flush({ durable: false });
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = atOnce(() => {}, { fsync: () => promise });
    let synced!: Promise<void>;
    await withLater(waiting, async () => {
      await null;
      synced = map.syncAsync();
    });
    if (isLater) await map.closeAsync({ discard: true });
    else map.close({ discard: true });
    assert.equal(isFree(path), true);
    resolve();
    await synced;
    assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
  }
});

test("where the file system has no locks, lock() says so", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  const EOPNOTSUPP = libc().errnoNumber("EOPNOTSUPP");
  const looked = withLibc({ flock: () => -1, errno: () => EOPNOTSUPP }, () => {
    const map: Memmap = open(path);
    return { map, lock: map.lock() };
  });
  await assert.rejects(looked.lock, { code: "EOPNOTSUPP", syscall: "flock" });
  looked.map.append(1);
  looked.map.close();
});

test("wrong options reject, and lock nothing", async () => {
  using folder = temporaryFolder();
  const path = fileIn(folder.path);
  using map: Any = open(path);
  for (const wrong of [5, { share: true }, { signal: 5 }, [], null]) {
    await assert.rejects(map.lock(wrong), { name: "TypeError" });
  }
  await assert.rejects(map.lock({}, 1), { name: "TypeError" });
  assert.equal(isFree(path), true);
});
