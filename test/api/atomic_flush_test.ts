/**
 * Flushes of atomic maps that are stopped, that fail, or that let the event loop go on, and
 * what others do to the file meanwhile.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { type FlushAsyncOptions, type Memmap, open } from "../../mod.ts";
import {
  ATOMIC,
  eachWay,
  fileIn,
  killCommit,
  noise,
} from "../support/atomic.ts";
import { atOnce, withLater } from "../support/later.ts";
import { temporaryFolder, withLibc } from "../support/support.ts";

const PAGE = libc().pageSize;
const MIB = 2 ** 20;
const LENGTH = 5 * PAGE + 123;
const OLD = noise(LENGTH);
const NEW = noise(3 * PAGE, 2);
const CONFLICT = { name: "ConflictError", code: "ERR_MEMMAP_CONFLICT" };
const FAULT = { name: "FaultError", code: "ERR_MEMMAP_FAULT" };
const BUSY = { name: "BusyError", code: "ERR_MEMMAP_BUSY" };

/** Large enough for several steps in each half of a commit. */
const LARGE = noise(9 * MIB + 5);
const OTHER = noise(9 * MIB + 5, 2);

/** Flushes in one way or the other. */
type Driver = (map: Memmap, options: FlushAsyncOptions) => Promise<void>;
const DRIVERS: Readonly<Record<string, Driver>> = {
  flush: async (map, options) => await void map.flush(options),
  flushAsync: async (map, options) => void await map.flushAsync(options),
};

test("what onProgress throws before a commit counts stops it, and later it is thrown at the end", async () => {
  for (const [name, flush] of Object.entries(DRIVERS)) {
    for (const part of [0.1, 0.7]) {
      using folder = temporaryFolder();
      const { path, content, beside } = fileIn(folder.path, LARGE);
      const map = open(path, "r+", ATOMIC);
      map.write(OTHER, 0);
      const onProgress = (done: number, total: number) => {
        if (done > part * total) throw new Error("enough");
      };
      const about = `${name}, ${part}`;
      await assert.rejects(flush(map, { onProgress }), { message: "enough" });
      const counts = part > 0.5;
      assert.deepEqual(content(), counts ? OTHER : LARGE, about);
      assert.equal(map.dirty, !counts, about);
      assert.deepEqual(map.read(0, 9), OTHER.slice(0, 9), about);
      if (!counts) assert.deepEqual(beside(), [], about);
      await flush(map, {});
      assert.deepEqual(content(), OTHER, about);
      map.close();
      assert.deepEqual(beside(), [], about);
    }
  }
});

test("a commit is aborted before it counts, and goes on to its end after that", async () => {
  for (const part of [0.1, 0.7]) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path, LARGE);
    const map = open(path, "r+", ATOMIC);
    map.write(OTHER, 0);
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = (done: number, total: number) => {
      if (done > part * total) controller.abort(new Error("aborted"));
    };
    const flushed = map.flushAsync({ signal, onProgress });
    if (part > 0.5) await flushed;
    else {
      await assert.rejects(flushed, { message: "aborted" });
      assert.deepEqual(content(), LARGE);
      assert.equal(map.dirty, true);
      assert.deepEqual(beside(), []);
      assert.equal((await map.flushAsync()).strategy, "in-place");
    }
    assert.deepEqual(content(), OTHER);
    map.close();
  }
});

test("while a commit lets the event loop go on, the map is read, and not written", async () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  using map = open(path, "r+", ATOMIC);
  const slice = map.slice(0, 2 * PAGE);
  const array = slice.array("uint8");
  const before = slice.bytes;
  map.write(NEW, 5);
  const expected = map.read();
  let turns = 0;
  let meanwhile: Uint8Array | undefined;
  const look = () => {
    turns++;
    assert.equal(before.length, 0);
    assert.deepEqual(map.read(), expected);
    assert.equal(array.get(6), expected[6]);
    assert.equal(map.find(NEW.subarray(0, 50)), 5);
    for (
      const change of [
        () => map.write([1], 0),
        () => map.revert(),
        () => map.append(NEW),
        () => map.flush(),
        () => map.close(),
        () => slice.fill(5),
        () => array.set(5, 5),
      ]
    ) assert.throws(change, BUSY);
    if (map.dirty) {
      // A copy: what is written to it is nobody's.
      meanwhile ??= slice.bytes;
      assert.deepEqual(
        meanwhile.slice(10),
        expected.slice(10, 2 * PAGE),
      );
      meanwhile[7] = 99;
    }
  };
  const failures: unknown[] = [];
  const turn = () => {
    try {
      look();
    } catch (error) {
      failures.push(error);
    }
  };
  const { strategy } = await withLater(atOnce(turn), () => map.flushAsync());
  assert.deepEqual(failures, []);
  assert.equal(strategy, "in-place");
  assert.ok(turns > 3, `${turns} turns`);
  assert.equal(meanwhile?.length, 0);
  assert.deepEqual(content(), expected);
  assert.equal(array.get(7), expected[7]);
  assert.equal(map.dirty, false);
});

test("syncAsync() writes nothing of an atomic map", async () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  const map = open(path, "r+", ATOMIC);
  map.write(NEW, 0);
  await map.syncAsync();
  await map.syncAsync(3, PAGE);
  assert.deepEqual(content(), OLD);
  assert.equal(map.dirty, true);
  await map.closeAsync();
  assert.deepEqual(content().slice(0, NEW.length), NEW);
});

test("an append is whole, also where a page of its own was made meanwhile, in which it begins", async () => {
  const old = OLD.subarray(0, 100);
  for (const [name, flush] of Object.entries(DRIVERS)) {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path, old);
    const map = open(path, "r+", ATOMIC);
    const { bytes } = map.slice();
    const added = noise(3 * MIB, 5);
    map.append(added);
    let turns = 0;
    const write = () => {
      if (turns++ === 0) bytes[0] = 99;
    };
    await withLater(
      atOnce(write),
      () => flush(map, { onProgress: write }),
    );
    assert.ok(turns > 0, name);
    assert.deepEqual(map.read(100), added, name);
    // Written to a detached view, or pending now: the file has nothing of it.
    assert.equal(content()[0], old[0], name);
    assert.equal(map.dirty, bytes.length > 0, name);
    assert.equal(map.read(0, 1)[0], bytes.length > 0 ? 99 : old[0], name);
    map.close();
    assert.deepEqual(content().subarray(100), added, name);
  }
});

test("what is written through a view while a commit is made is pending after it", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, LARGE);
  const map = open(path, "r+", ATOMIC);
  const { bytes } = map.slice();
  bytes.fill(1);
  let calls = 0;
  const onProgress = () => {
    // Of both halves: its block is in the journal, or in the file.
    bytes[PAGE * ++calls] = 9;
  };
  map.flush({ onProgress });
  assert.ok(calls > 4);
  const last = calls * PAGE;
  assert.equal(bytes[last], 9);
  assert.equal(content()[last], 1);
  assert.equal(map.dirty, true);
  map.close();
  for (let at = PAGE; at <= last; at += PAGE) assert.equal(content()[at], 9);
});

test("an atomic map of a file that was cut says so, and stays until it is discarded", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  const map = open(path, "r+", ATOMIC);
  map.write([1], 0);
  fs.truncateSync(path, 0);
  // The page went with the file's: nobody can tell that it was written.
  assert.throws(() => map.flush(), CONFLICT);
  assert.throws(() => map.close(), CONFLICT);
  if (!map.guarded) return map.close({ discard: true });
  assert.throws(() => map.read(), FAULT);
  assert.ok(map.faults > 0);
  assert.equal(map.dirty, true); // nobody can tell
  for (
    const use of [
      () => map.modified(),
      () => map.revert(),
      () => map.flush(),
      () => map.close(),
      () => map[Symbol.dispose](),
    ]
  ) assert.throws(use, FAULT);
  assert.equal(map.closed, false);
  map.close({ discard: true });
  map[Symbol.dispose]();
  assert.equal(content().length, 0);
});

test("a file that others made shorter, longer, or replaced is left as it is, and nothing is lost", () => {
  const acts: Record<string, (path: string) => void> = {
    cut: (path) => fs.truncateSync(path, 4 * PAGE),
    grown: (path) => fs.appendFileSync(path, "more"),
    replaced: (path) => {
      fs.writeFileSync(`${path}.new`, "another file");
      fs.renameSync(`${path}.new`, path);
    },
    unlinked: (path) => fs.unlinkSync(path),
  };
  for (const [name, act] of Object.entries(acts)) {
    for (const edited of [false, true]) {
      using folder = temporaryFolder();
      const { path, content } = fileIn(folder.path, OLD);
      const map = open(path, "r+", ATOMIC);
      map.write([1, 2, 3], PAGE);
      if (edited) map.insert(7, NEW);
      act(path);
      assert.equal(map.stale, name);
      const there = fs.existsSync(path) ? content() : undefined;
      const about = `${name}, ${edited}`;
      assert.throws(() => map.flush(), CONFLICT, about);
      assert.throws(() => map.refresh(), CONFLICT, about);
      assert.throws(() => map.close(), CONFLICT, about);
      assert.equal(map.dirty, true, about);
      assert.deepEqual(map.read(PAGE, PAGE + 3), new Uint8Array([1, 2, 3]));
      if (there === undefined) assert.equal(fs.existsSync(path), false);
      else assert.deepEqual(content(), there, about);
      const saved = `${path}.saved`;
      if (name !== "cut") {
        map.flush({ path: saved });
        assert.equal(map.length, fs.statSync(saved).size);
        assert.ok(fs.readFileSync(saved).includes(new Uint8Array([1, 2, 3])));
      }
      map.close({ discard: true });
    }
  }
});

test("a revert of bytes that the file has no more changes nothing", () => {
  eachWay((way) => {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path, OLD);
    const map = open(path, "r+", ATOMIC);
    map.write(NEW, PAGE);
    fs.truncateSync(path, 3 * PAGE + 100);
    assert.throws(() => map.revert(PAGE, 4 * PAGE - 10), CONFLICT, way);
    assert.deepEqual(map.read(PAGE, 3 * PAGE), NEW.slice(0, 2 * PAGE), way);
    map.revert(PAGE, 2 * PAGE);
    assert.deepEqual(map.read(PAGE, 2 * PAGE), OLD.slice(PAGE, 2 * PAGE), way);
    map.close({ discard: true });
  });
});

test("refresh() follows where nothing was written, and refuses where something was", () => {
  eachWay((way) => {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path, OLD);
    const map = open(path, "r+", ATOMIC);
    assert.equal(map.refresh(), false, way);
    fs.appendFileSync(path, "more");
    assert.equal(map.refresh(), true, way);
    assert.equal(map.atomic, true, way);
    map.write([1], LENGTH); // in what is new
    assert.equal(map.modified().length, 1, way);
    fs.appendFileSync(path, "more");
    assert.throws(() => map.refresh(), CONFLICT, way);
    map.revert();
    assert.equal(map.refresh(), true, way);
    assert.equal(map.length, LENGTH + 8, way);
    fs.writeFileSync(`${path}.new`, "another");
    fs.renameSync(`${path}.new`, path);
    map.write([1], 0);
    assert.throws(() => map.refresh(), CONFLICT, way);
    map.revert();
    assert.equal(map.refresh(), true, way);
    map.write([65], 0);
    assert.equal(fs.readFileSync(path, "latin1"), "another", way);
    map.close();
    assert.equal(fs.readFileSync(path, "latin1"), "Another", way);
  });
});

test("two atomic maps of a file: what one commits, the other sees in the pages that it has not written", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path, OLD);
  using one = open(path, "r+", ATOMIC);
  using other = open(path, "r+", ATOMIC);
  const expected = OLD.slice();
  for (let turn = 1; turn < 5; turn++) {
    one.write([turn], 0);
    other.write([turn + 9], 2 * PAGE);
    assert.notEqual(other.read(0, 1)[0], turn);
    one.flush();
    assert.equal(other.read(0, 1)[0], turn);
    assert.notEqual(one.read(2 * PAGE, 2 * PAGE + 1)[0], turn + 9);
    other.flush();
    assert.equal(one.read(2 * PAGE, 2 * PAGE + 1)[0], turn + 9);
    expected[0] = turn;
    expected[2 * PAGE] = turn + 9;
    assert.deepEqual(content(), expected);
  }
});

test("a flush that fails before it counts leaves the file, the edits and no journal", async () => {
  const real = libc();
  for (const [name, flush] of Object.entries(DRIVERS)) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path, OLD);
    fs.truncateSync(path, 40 * PAGE);
    const before = content();
    const map = open(path, "r+", ATOMIC);
    map.write(NEW, 20 * PAGE);
    if (real.fallocate !== null) {
      const failing = withLibc(
        { fallocate: () => -1, errno: () => 28 },
        () => flush(map, {}),
      );
      // flushAsync() goes on after this, with the real one.
      if (name === "flush") {
        await assert.rejects(failing, { code: "ENOSPC" });
        assert.deepEqual(content(), before);
        assert.equal(map.dirty, true);
        assert.deepEqual(beside(), []);
      } else await failing.catch(() => {});
    }
    await flush(map, {});
    assert.deepEqual(content().subarray(20 * PAGE, 23 * PAGE), NEW);
    map.close();
  }
});

test("a map that reads follows a commit that was killed when it takes the lock", async () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path, OLD);
  const killed = killCommit(file, (map) => map.write(NEW, 700));
  const { place, journal, before, after, mix } = killed;
  fs.unlinkSync(place);
  using map = open(file.path, "r");
  using early = open(file.path, "c");
  early.write([99], 3 * PAGE);
  assert.deepEqual(map.read(), before);
  fs.writeFileSync(place, journal, { mode: 0o600 });
  mix((sector) => sector % 2 === 1);
  {
    using _ = await map.lock({ shared: true });
    assert.deepEqual(map.read(), after);
  }
  assert.equal(map.refresh(), false); // nothing new
  assert.deepEqual(map.read(), after);
  assert.ok(file.beside().length > 0);
  // Somebody finishes it, and goes on.
  {
    using writer = open(file.path, "r+", ATOMIC);
    assert.deepEqual(writer.read(), after);
    writer.write([1, 2, 3], 700);
  }
  assert.deepEqual(file.beside(), []);
  {
    using _ = await map.lock({ shared: true });
    assert.deepEqual(map.read(700, 703), new Uint8Array([1, 2, 3]));
  }
  assert.deepEqual(map.read(), file.content());
  // What a copy of one's own has is not touched.
  using _ = await early.lock({ shared: true });
  assert.equal(early.read(3 * PAGE, 3 * PAGE + 1)[0], 99);
});

test("refresh() lays a killed commit over a map that reads, and has a map that writes finish it", () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path, OLD);
  const { place, journal, after, mix } = killCommit(
    file,
    (map) => map.write(NEW, 700),
  );
  fs.unlinkSync(place);
  using reader = open(file.path, "r");
  using writer = open(file.path, "r+");
  fs.writeFileSync(place, journal, { mode: 0o600 });
  mix((sector) => sector % 2 === 1);
  assert.equal(reader.refresh(), true);
  assert.deepEqual(reader.read(), after);
  assert.notDeepEqual(file.content(), after);
  assert.equal(writer.refresh(), true);
  assert.deepEqual(file.content(), after);
  assert.deepEqual(writer.read(), after);
  assert.deepEqual(file.beside(), []);
  assert.equal(reader.refresh(), true);
  assert.deepEqual(reader.read(), after);
});
