import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  close,
  type FlushOptions,
  type FlushResult,
  type Memmap,
  type MemmapSlice,
  open,
} from "../../mod.ts";
import { later } from "../../src/storage/later.ts";
import { atOnce, withLater } from "../support/later.ts";
import {
  descriptorsOf,
  mappingsOf,
  runChild,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

const MIB = 2 ** 20;
const BUSY = { name: "BusyError", code: "ERR_MEMMAP_BUSY" };

function bytes(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const made = new Uint8Array(length);
  for (let i = 0; i < length; i++) made[i] = (i * 31 + seed * 17) >> 3;
  return made;
}

async function withFile(
  content: Uint8Array,
  use: (path: string, folder: string) => Promise<void>,
): Promise<void> {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, content);
  await use(path, folder.path);
  assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
  assert.deepEqual(mappingsOf(folder.path) ?? [], []);
}

/** Edits by the strategy that they lead to. */
const EDITS: Record<string, {
  edit: (map: Memmap) => void;
  options?: FlushOptions;
}> = {
  replace: { edit: (map) => void map.insert(700, bytes(99, 2)) },
  extend: { edit: (map) => void map.insert(map.mappedLength, bytes(99, 2)) },
  cut: { edit: (map) => map.slice(3000).resize(5) },
  "in-place": {
    edit: (map) => void map.insert(700, bytes(99, 2)),
    options: { strategy: "in-place" },
  },
  "replace of much": {
    edit: (map) => void map.insert(700, bytes(9 * MIB + 5, 2)),
    options: { durable: false },
  },
  "extend by much": {
    edit: (map) => void map.insert(map.mappedLength, bytes(9 * MIB + 5, 2)),
  },
  none: { edit: () => {} },
};

test("flushAsync() makes of a file what flush() makes of it, and says the same", async () => {
  for (const [name, { edit, options }] of Object.entries(EDITS)) {
    const results: FlushResult[] = [];
    const contents: Uint8Array[] = [];
    const progress: number[][] = [];
    for (const isAsync of [false, true]) {
      await withFile(bytes(5000), async (path, folder) => {
        const map = open(path);
        edit(map);
        const done: number[] = [];
        const given = { ...options, onProgress: (n: number) => done.push(n) };
        results.push(
          isAsync ? await map.flushAsync(given) : map.flush(given),
        );
        assert.equal(map.dirty, false);
        assert.equal(map.find(fs.readFileSync(path)), 0);
        contents.push(fs.readFileSync(path));
        progress.push(done.slice(-1));
        map.close();
        assert.deepEqual(fs.readdirSync(folder), ["file"], name);
      }).catch((error) => {
        throw new Error(name, { cause: error });
      });
    }
    assert.deepEqual(results[1], results[0], name);
    assert.deepEqual(contents[1], contents[0], name);
    assert.deepEqual(progress[1], progress[0], name);
  }
});

test("flushAsync({ path }) saves from every mode, and goes on with the new file", async () => {
  for (const mode of ["r", "c", "r+"] as const) {
    await withFile(bytes(5000), async (path, folder) => {
      const map = open(path, mode);
      const expected = bytes(5000);
      if (mode !== "r") {
        map.slice(0, 10).fill(9);
        expected.fill(9, 0, 10);
      }
      const target = join(folder, "saved");
      const { strategy } = await map.flushAsync({ path: target });
      assert.equal(strategy, "replace");
      assert.equal(map.path, target);
      assert.equal(map.mode, "r+");
      assert.deepEqual(new Uint8Array(fs.readFileSync(target)), expected);
      map.close();
    });
  }
});

/** Runs `use` in each turn of the event loop during a flush; returns how many there were. */
async function during(
  map: Memmap,
  options: FlushOptions | undefined,
  use: (turn: number) => void,
): Promise<number> {
  let turns = 0;
  const failures: unknown[] = [];
  const look = () => {
    try {
      use(turns++);
    } catch (error) {
      failures.push(error);
    }
  };
  await withLater(atOnce(look), () => map.flushAsync(options));
  if (failures.length > 0) throw failures[0];
  return turns;
}

test("a flush begins at once: what would change the map throws BusyError from then on", async () => {
  for (const name of ["replace", "extend", "replace of much"]) {
    const { edit, options } = EDITS[name]!;
    await withFile(bytes(5000), async (path) => {
      const map = open(path);
      const slice = map.slice(0, 16);
      const array = slice.array("int32");
      array.get(0);
      edit(map);
      const changes: Record<string, () => unknown> = {
        slice: () => map.slice(100, 200),
        insert: () => map.insert(0, 5),
        "delete range": () => map.delete(0, 16),
        "delete slice": () => map.delete(slice),
        "slice.delete": () => slice.delete(),
        dispose: () => slice[Symbol.dispose](),
        move: () => map.move(0, 5, 5),
        flush: () => map.flush(),
        close: () => map.close(),
        discard: () => map.close({ discard: true }),
        "dispose map": () => map[Symbol.dispose](),
        "close()": () => close(map),
        sync: () => map.sync(),
        "slice.sync": () => slice.sync(),
        set: () => slice.set([1]),
        fill: () => slice.fill(1),
        resize: () => slice.resize(5),
        splice: () => slice.splice(0, 1),
        "array.set": () => array.set(0, 5),
        "array.fill": () => array.fill(5),
        "array.apply": () => array.apply((x) => x + 1),
        "array.copyFrom": () => array.copyFrom([1]),
        "array.resize": () => array.resize(2),
        "a new array": () => slice.array("int8").set(0, 1),
      };
      const refuseAll = () => {
        for (const [what, change] of Object.entries(changes)) {
          assert.throws(change, { ...BUSY, message: /flushAsync/ }, what);
        }
      };
      let looks = 0;
      const promise = withLater(
        atOnce(() => {
          looks++;
          refuseAll();
        }),
        () => map.flushAsync(options),
      );
      refuseAll();
      await promise;
      assert.ok(looks > 3, `${looks}`);
      assert.deepEqual(slice.slice(), bytes(5000).subarray(0, 16));
      // And afterwards everything works again, the fast ways of arrays among it.
      array.set(0, 77);
      assert.equal(array.get(0), 77);
      assert.equal(new DataView(slice.buffer).getInt32(0, true), 77);
      slice.fill(3);
      assert.equal(array.get(0), 0x03030303);
      map.close();
    });
  }
});

test("while a flush is under way, the map can be read as it was", async () => {
  for (const name of ["replace", "extend", "replace of much"]) {
    const { edit, options } = EDITS[name]!;
    await withFile(bytes(5000), async (path) => {
      const map = open(path);
      const slice = map.slice(0, 16);
      const other = map.slice(1000, 1016);
      const array = slice.array("uint8");
      array.get(0);
      const before = bytes(5000);
      edit(map);
      const inserted = map.slices.find(({ dirty }) => dirty)!;
      const expected = inserted.slice();
      const { commits } = countCommits(map);
      const turns = await during(map, options, () => {
        const isOld = commits() === 0;
        assert.equal(map.path, path);
        assert.equal(map.closed, false);
        assert.equal(map.writable, true);
        assert.equal(slice.writable, true);
        assert.equal(map.dirty, isOld);
        assert.equal(map.slices.length, 3);
        assert.equal(map.layout().length > 3, true);
        assert.deepEqual(slice.slice(), before.subarray(0, 16));
        assert.deepEqual(slice.bytes, before.subarray(0, 16));
        assert.equal(slice.bytes.buffer, slice.buffer);
        assert.equal(slice.bytes, slice.bytes);
        assert.deepEqual(other.bytes, before.subarray(1000, 1016));
        assert.equal(array.get(3), before[3]);
        assert.equal(array.data![3], before[3]);
        assert.deepEqual(array.toTypedArray(), before.subarray(0, 16));
        assert.deepEqual(inserted.bytes, expected);
        assert.deepEqual(inserted.slice(0, 50), expected.subarray(0, 50));
        assert.equal(inserted.find(expected.subarray(3, 20)), 3);
        assert.equal(map.find(before.subarray(0, 300)), 0);
        assert.match(String(map), /3 slices/);
      });
      assert.ok(turns > 3);
      map.close();
    });
  }
});

/** Tells whether the flush counts: the map has its new length then. */
function countCommits(map: Memmap) {
  const { mappedLength } = map;
  return { commits: () => map.mappedLength === mappedLength ? 0 : 1 };
}

test("a write through a view is never lost unseen: it is detached, private, or in the file", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    const slice = map.slice(0, 16);
    const before = slice.bytes;
    const inserted = map.insert(700, 5);
    const floating = inserted.bytes;
    const taken: Uint8Array[] = [];
    const turns = await during(map, undefined, (turn) => {
      if (turn === 0) return; // it is just beginning
      assert.equal(floating.length, 0);
      if (map.mappedLength > 5000) return;
      for (const one of [slice, inserted]) {
        const view = one.bytes;
        if (view.length > 0) view[0] = 222;
        taken.push(view);
      }
      assert.equal(slice.bytes[0], 222, "the view is the reader's own");
      assert.equal(slice.slice()[0], bytes(1)[0], "and nobody else's");
    });
    assert.ok(turns > 3 && taken.length > 2);
    assert.equal(before.length, 0);
    for (const view of taken) assert.equal(view.length, 0);
    assert.equal(fs.readFileSync(path)[0], bytes(1)[0]);
    assert.equal(fs.readFileSync(path)[700], 0);
    assert.equal(slice.bytes[0], bytes(1)[0]);
    slice.bytes[0] = 221;
    assert.equal(fs.readFileSync(path)[0], 221);
    map.close();
  });
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    const slice = map.slice(0, 16);
    const view = slice.bytes;
    map.insert(map.mappedLength, 500);
    await during(map, undefined, (turn) => {
      assert.equal(slice.bytes, view, "an extended file keeps its views");
      view[1] = turn;
    });
    assert.equal(slice.bytes, view);
    assert.equal(fs.readFileSync(path)[1], view[1]);
    map.close();
  });
});

test("views of a private copy that is saved are copies as well", async () => {
  await withFile(bytes(5000), async (path, folder) => {
    const map = open(path, "c");
    const slice = map.slice(0, 16);
    slice.fill(7);
    const target = join(folder, "saved");
    await during(map, { path: target }, () => {
      assert.equal(slice.bytes[15], 7);
      if (map.path === path) slice.bytes[0] = 222;
    });
    assert.deepEqual([...fs.readFileSync(target).subarray(0, 2)], [7, 7]);
    map.close();
  });
});

test("while bytes are moved in the file itself, or cut off, the map cannot be read", async () => {
  for (const name of ["in-place", "cut"]) {
    const { edit, options } = EDITS[name]!;
    await withFile(bytes(5000), async (path) => {
      const map = open(path);
      const slice = map.slice(0, 16);
      const array = slice.array("int8");
      array.get(0);
      edit(map);
      let refused = 0;
      await during(map, options, () => {
        assert.throws(() => map.insert(0, 1), BUSY);
        assert.throws(() => array.set(0, 1), BUSY);
        try {
          slice.slice();
        } catch (error) {
          refused++;
          assert.equal((error as Error).name, "BusyError");
          assert.match((error as Error).message, /await it first/);
          assert.throws(() => map.find("a"), BUSY);
          assert.throws(() => map.length, BUSY);
          assert.throws(() => array.get(0), BUSY);
        }
      });
      assert.ok(refused > 0, name);
      array.set(0, 1);
      map.close();
    });
  }
});

test("a second flush waits for the first, and closeAsync() for both", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    map.insert(700, 9 * MIB);
    const ended: string[] = [];
    const flush = (name: string) =>
      map.flushAsync({ durable: false })
        .then(({ strategy }) => ended.push(`${name}: ${strategy}`));
    const all = [flush("first"), flush("second")];
    assert.throws(() => map.flush(), BUSY);
    assert.throws(() => map.close(), BUSY);
    all.push(map.closeAsync().then(() => ended.push("closed")));
    all.push(map.closeAsync().then(() => ended.push("closed")));
    await assert.rejects(async () => {
      await all[3];
      await map.flushAsync();
    }, { name: "ClosedError" });
    await Promise.all(all);
    assert.deepEqual(ended, [
      "first: replace",
      "second: none",
      "closed",
      "closed",
    ]);
    assert.equal(fs.statSync(path).size, 5000 + 9 * MIB);
  });
});

test("closeAsync() loses no edit that is made while it waits", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    map.insert(0, 3 * MIB);
    const first = map.flushAsync({ durable: false }).then(() =>
      map.insert(0, 10)
    );
    await Promise.all([first, map.closeAsync()]);
    assert.ok(map.closed);
    assert.equal(fs.statSync(path).size, 5010 + 3 * MIB);
  });
});

test("closeAsync() and await using flush and close, and discard what close() would", async () => {
  await withFile(bytes(5000), async (path) => {
    let slice: MemmapSlice;
    {
      await using map = open(path);
      slice = map.insert(0, 10);
      map.slice(100, 200).bytes[0] = 1;
    }
    assert.equal(slice.state, "closed");
    assert.equal(fs.statSync(path).size, 5010);
    const map = open(path);
    map.insert(0, 10);
    await map.closeAsync({ discard: true });
    await map.closeAsync();
    assert.equal(fs.statSync(path).size, 5010);
    for (const mode of ["r", "c"] as const) {
      const map = open(path, mode);
      if (mode === "c") map.insert(0, 10);
      await map.closeAsync();
      assert.ok(map.closed);
    }
    assert.equal(fs.statSync(path).size, 5010);
  });
});

test("an abort before the flush counts leaves everything as it was", async () => {
  for (const name of ["replace", "extend", "replace of much", "cut"]) {
    const { edit, options } = EDITS[name]!;
    // At every turn, until the flush comes to its end before that.
    let isOver = false;
    for (let at = 0; !isOver; at++) {
      await withFile(bytes(5000), async (path, folder) => {
        const map = open(path);
        edit(map);
        const length = map.length;
        const controller = new AbortController();
        const reason = new Error("The client is gone.");
        let turns = 0;
        let hadCommitted = false;
        const turn = () => {
          if (turns++ !== at) return;
          hadCommitted = isCommitted(map);
          controller.abort(reason);
        };
        const { signal } = controller;
        const flushed = withLater(
          atOnce(turn),
          () => map.flushAsync({ ...options, signal }),
        );
        try {
          await flushed;
          assert.ok(hadCommitted || turns <= at, `${name}, turn ${at}`);
          isOver = turns <= at;
          assert.equal(fs.statSync(path).size, length);
        } catch (error) {
          if (error !== reason) throw error;
          assert.equal(hadCommitted, false);
          assert.deepEqual(
            new Uint8Array(fs.readFileSync(path)),
            bytes(5000),
            `${name}, turn ${at}`,
          );
          assert.equal(map.length, length);
          assert.equal(map.dirty, true);
          assert.deepEqual(fs.readdirSync(folder), ["file"]);
          map.flush(options);
          assert.equal(fs.statSync(path).size, length);
        }
        map.close();
      });
    }
  }
});

function isCommitted(map: Memmap): boolean {
  try {
    return !map.dirty;
  } catch {
    return true; // readers are kept out while the file's end is cut off
  }
}

test("who is aborted before it begins does nothing, nor who waits", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    map.insert(700, 5);
    const reason = { whatever: "it is" };
    await assert.rejects(
      map.flushAsync({ signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
    assert.equal(map.dirty, true);
    map.insert(700, 9 * MIB);
    const first = map.flushAsync();
    const controller = new AbortController();
    const second = map.flushAsync({ signal: controller.signal });
    const closing = map.closeAsync({ signal: controller.signal });
    controller.abort(reason);
    for (const promise of [second, closing]) {
      await assert.rejects(promise, (error) => error === reason);
    }
    await first;
    assert.equal(map.closed, false);
    map.close();
  });
});

test("a flush waits for another map of the file, or for one that saves to its path", async () => {
  await withFile(bytes(5000), async (path, folder) => {
    const map = open(path);
    const other = open(path);
    map.insert(700, 9 * MIB);
    other.insert(700, 5);
    const first = map.flushAsync();
    assert.throws(() => other.flush(), { code: "EBUSY" });
    const controller = new AbortController();
    const aborted = other.flushAsync({ signal: controller.signal });
    controller.abort(); // before it looks again
    await assert.rejects(aborted, { name: "AbortError" });
    assert.ok(other.dirty);
    // It waits, and then finds another file at its path.
    const refused = assert.rejects(other.flushAsync(), {
      name: "ConflictError",
    });
    const { strategy } = await first;
    assert.equal(strategy, "replace");
    await refused;
    const saved = join(folder, "saved");
    await other.flushAsync({ path: saved });
    map.insert(0, 5);
    const [one, two] = [other, map].map((map) => {
      map.insert(0, 3 * MIB);
      return map.flushAsync({ path: saved, durable: false });
    });
    await Promise.allSettled([one, two]);
    await two;
    for (const map_ of [map, other]) map_.close({ discard: true });
  });
});

/** What others may do to a file. */
const OTHERS: Record<string, (path: string) => void> = {
  grow: (path) => fs.appendFileSync(path, "more"),
  cut: (path) => fs.truncateSync(path, 4000),
  replace: (path) => {
    fs.writeFileSync(`${path}.new`, "another");
    fs.renameSync(`${path}.new`, path);
  },
  remove: (path) => fs.unlinkSync(path),
};

test("what others do to the file between any two steps is a conflict, until the flush counts", async () => {
  for (const [name, doIt] of Object.entries(OTHERS)) {
    for (const strategy of ["replace", "extend"]) {
      // Bytes that are mapped and cut off cannot be compared any more.
      if (name === "cut" && strategy === "extend") continue;
      let isOver = false;
      for (let at = 0; !isOver; at++) {
        await withFile(bytes(5000), async (path, folder) => {
          const map = open(path);
          EDITS[strategy]!.edit(map);
          const length = map.length;
          let turns = 0;
          let left: Uint8Array | undefined;
          let hadCommitted = false;
          const turn = () => {
            if (turns++ !== at) return;
            hadCommitted = isCommitted(map);
            doIt(path);
            if (fs.existsSync(path)) left = fs.readFileSync(path);
          };
          const flushed = withLater(atOnce(turn), () => map.flushAsync());
          const where = `${name} in ${strategy}, turn ${at}`;
          try {
            await flushed;
            isOver = turns <= at;
            assert.ok(hadCommitted || isOver, where);
          } catch (error) {
            assert.equal((error as Error).name, "ConflictError", where);
            assert.equal(hadCommitted, false, where);
            assert.equal(map.length, length);
            if (strategy === "replace" || name === "replace") {
              const there = fs.existsSync(path)
                ? fs.readFileSync(path)
                : undefined;
              assert.deepEqual(there, left, where);
              const names = fs.readdirSync(folder);
              assert.deepEqual(
                names.filter((other) => other !== "file"),
                [],
                where,
              );
            }
          }
          map.close({ discard: true });
        });
      }
    }
  }
});

test("two maps that save to the same new path do so one after the other", async () => {
  await withFile(bytes(5000), async (path, folder) => {
    const saved = join(folder, "saved");
    const [one, two] = [open(path, "r"), open(path, "c")];
    const first = one.flushAsync({ path: saved });
    const controller = new AbortController();
    const { signal } = controller;
    const three = open(path, "r");
    const aborted = three.flushAsync({ path: saved, signal });
    controller.abort();
    await assert.rejects(aborted, { name: "AbortError" });
    two.insert(0, 3 * MIB);
    const second = two.flushAsync({ path: saved });
    await first;
    const { strategy } = await second;
    assert.equal(strategy, "replace");
    assert.equal(fs.statSync(saved).size, 5000 + 3 * MIB);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["file", "saved"]);
    one.close({ discard: true });
    two.close();
    three.close();
  });
});

test("flushes of several files at once do not mix", async () => {
  using folder = temporaryFolder();
  const maps = Array.from({ length: 6 }, (_, i) => {
    const path = join(folder.path, `file ${i}`);
    fs.writeFileSync(path, bytes(5000, i));
    const map = open(path);
    map.insert(i % 2 === 0 ? 700 : 5000, bytes(MIB * (i + 1) + i, i + 10));
    return map;
  });
  const controller = new AbortController();
  const flushed = maps.map((map, i) =>
    map.flushAsync(i < 4 ? {} : { signal: controller.signal })
  );
  controller.abort();
  const ends = await Promise.allSettled(flushed);
  assert.deepEqual(
    ends.map(({ status }) => status),
    [..."ffffrr"].map((end) => end === "f" ? "fulfilled" : "rejected"),
  );
  for (const [i, map] of maps.entries()) {
    const before = bytes(5000, i);
    const at = i % 2 === 0 ? 700 : 5000;
    const added = bytes(MIB * (i + 1) + i, i + 10);
    const expected = i < 4
      ? Buffer.concat([before.subarray(0, at), added, before.subarray(at)])
      : Buffer.from(before);
    const found = fs.readFileSync(map.path);
    assert.ok(expected.equals(found), `${i}`);
    map.close({ discard: true });
  }
  assert.equal(fs.readdirSync(folder.path).length, 6);
});

test("a flush of another map within onProgress, or between two steps, is its own", async () => {
  await withFile(bytes(5000), async (path, folder) => {
    const map = open(path);
    map.insert(700, 9 * MIB);
    const other = open(join(folder, "other"), "w+", { length: 10 });
    const lengths = [10];
    await map.flushAsync({
      onProgress() {
        other.insert(10, 5);
        other.flush();
        lengths.push(other.length);
        other.insert(0, 1);
        other.flush({ durable: false });
      },
    });
    assert.ok(lengths.length > 1);
    const { length } = map;
    assert.equal(length, 5000 + 9 * MIB);
    map.close();
    other.close();
    assert.equal(fs.statSync(path).size, length);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["file", "other"]);
  });
});

test("onProgress may read the map, and what it throws stops a flush that does not count", async () => {
  for (const strategy of ["replace", "in-place"] as const) {
    await withFile(bytes(5000), async (path, folder) => {
      const map = open(path);
      map.insert(700, 5);
      const stop = () => {
        throw new Error("enough");
      };
      await assert.rejects(map.flushAsync({ strategy, onProgress: stop }), {
        message: "enough",
      });
      // In place, it is too late: all is done before that is thrown.
      assert.equal(map.dirty, strategy === "replace");
      let calls = 0;
      map.insert(0, 5);
      await map.flushAsync({
        onProgress() {
          calls++;
          assert.equal(map.find(bytes(200)) >= 0, true);
          assert.throws(() => map.flush(), BUSY);
        },
      });
      assert.ok(calls > 0);
      map.close();
      assert.deepEqual(fs.readdirSync(folder), ["file"]);
    });
  }
});

test("what is wrong with arguments rejects the promise, and never throws", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    // deno-lint-ignore no-explicit-any
    const any = map as any;
    const calls: Record<string, () => Promise<unknown>> = {
      "stategy": () => any.flushAsync({ stategy: "replace" }),
      "there are: path, strategy, durable, onProgress, signal": () =>
        any.flushAsync({ stategy: "replace" }),
      "signal must be an AbortSignal, not": () =>
        any.flushAsync({ signal: { aborted: true } }),
      "2 arguments": () => any.flushAsync({}, {}),
      "Options must be an object": () => any.closeAsync("yes"),
      "there are: discard, durable, signal, onProgress": () =>
        any.closeAsync({ discord: true }),
      "3 arguments": () => any.syncAsync(1, 2, 3),
      "Invalid": () => any.syncAsync(9999),
      "Unknown strategy": () => any.flushAsync({ strategy: "fast" }),
    };
    for (const [text, call] of Object.entries(calls)) {
      const promise = call();
      await assert.rejects(promise, (error) => {
        assert.match(String(error), RegExp(text));
        assert.match((error as Error).name, /^(Type|Range)Error$/);
        return true;
      });
    }
    await map.closeAsync();
    const closed = { name: "ClosedError" };
    await assert.rejects(map.flushAsync(), closed);
    await assert.rejects(map.syncAsync(), closed);
    await map.closeAsync();
    const readonly = open(path, "r");
    await assert.rejects(readonly.flushAsync(), { name: "ReadonlyError" });
    await assert.rejects(readonly.syncAsync(), { name: "ReadonlyError" });
    readonly.close();
  });
});

test("within onProgress of flush(), the asynchronous methods are refused", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    map.insert(700, 5);
    const refused: Promise<unknown>[] = [];
    map.flush({
      onProgress() {
        for (
          const call of [
            () => map.flushAsync(),
            () => map.closeAsync(),
            () => map.syncAsync(),
          ]
        ) refused.push(assert.rejects(call(), BUSY));
      },
    });
    await Promise.all(refused);
    assert.ok(refused.length >= 3);
    map.close();
  });
});

test("syncAsync() lets the map be used, and waits for what was written before", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    const slice = map.slice(0, 16);
    let syncs = 0;
    let proceed = () => {};
    const held = atOnce(() => {}, {
      fsync(fd) {
        syncs++;
        fs.fsyncSync(fd);
        return new Promise((resolve) => proceed = resolve);
      },
    });
    await withLater(held, async () => {
      await map.syncAsync();
      assert.equal(syncs, 0, "nothing was written");
      slice.fill(5);
      const promise = map.syncAsync();
      slice.fill(6); // not refused, and not on disk for sure
      map.insert(0, 5);
      assert.equal(syncs, 1);
      proceed();
      await promise;
      // What was written meanwhile is synced by the next.
      const next = map.syncAsync();
      assert.equal(syncs, 2);
      proceed();
      await next;
      await map.syncAsync(5, 5);
      assert.equal(syncs, 2);
    });
    map.close();
  });
});

test("where fsync does not write what was written through a map, msync does, in pieces", async () => {
  await withFile(bytes(20 * MIB), async (path) => {
    const synced: number[] = [];
    const changes = {
      fsyncCleansMaps: false,
      msync: (_: number, length: number) => synced.push(length) && 0,
    };
    const [map, promise] = withLibc(changes, () => {
      const map = open(path);
      map.slice().fill(1);
      return [map, map.syncAsync()] as const;
    });
    await promise;
    assert.ok(synced.length > 1, `${synced}`);
    assert.equal(synced.reduce((sum, length) => sum + length), 20 * MIB);
    map.close({ durable: false });
  });
});

test("a file that is closed or replaced while it is synced is closed after that", async () => {
  for (const how of ["close", "replace"]) {
    await withFile(bytes(5000), async (path) => {
      const map = open(path);
      const slice = map.slice(0, 16);
      slice.fill(5);
      let proceed = () => {};
      let synced = -1;
      const held = atOnce(() => {}, {
        fsync: (fd) =>
          new Promise((resolve) => {
            synced = fd;
            proceed = () => {
              fs.fsyncSync(fd);
              resolve();
            };
          }),
      });
      await withLater(held, async () => {
        const promise = map.syncAsync();
        const { ino } = fs.fstatSync(synced);
        if (how === "close") map.close();
        else {
          map.insert(0, 5);
          map.flush();
          map.close();
        }
        assert.equal(fs.fstatSync(synced).ino, ino, "it is still open");
        proceed();
        await promise;
      });
    });
  }
});

test("what the disk says rejects syncAsync(), and all is synced again", async () => {
  await withFile(bytes(5000), async (path) => {
    const map = open(path);
    map.slice().fill(1);
    let syncs = 0;
    const failing = atOnce(() => {}, {
      fsync: () => {
        syncs++;
        return Promise.reject(
          Object.assign(new Error("EIO: i/o error, fsync"), {
            code: "EIO",
            errno: -5,
          }),
        );
      },
    });
    await withLater(failing, async () => {
      for (let i = 0; i < 2; i++) {
        await assert.rejects(map.syncAsync(), {
          name: "SystemError",
          code: "EIO",
          path,
        });
      }
    });
    assert.equal(syncs, 2);
    await map.syncAsync();
    map.close();
  });
});

test("close({ durable: false }) does not wait for the disk", async () => {
  await withFile(bytes(5000), async (path) => {
    for (const durable of [true, false]) {
      let syncs = 0;
      withLibc({
        msync: () => {
          syncs++;
          return 0;
        },
      }, () => {
        const map = open(path);
        map.slice().fill(1);
        map.close({ durable });
      });
      assert.equal(syncs, durable ? 1 : 0);
      const fsyncs: number[] = [];
      const counted = atOnce(() => {}, {
        fsync: async (fd) => void await fsyncs.push(fd),
      });
      await withLater(counted, async () => {
        const map = open(path);
        map.insert(0, 5);
        await map.closeAsync({ durable });
      });
      assert.equal(fsyncs.length > 0, durable);
    }
  });
});

test("the event loop has its turn between the steps of a large flush", async () => {
  await withFile(bytes(130 * MIB), async (path) => {
    const map = open(path);
    map.insert(700, 2 * MIB);
    let steps = 0;
    let [turns, between, last] = [0, 0, -1];
    let isOver = false;
    const tick = () => {
      turns++;
      // Timers fire between two reports of progress, not only before and after all.
      if (steps !== last) between++;
      last = steps;
      if (!isOver) setTimeout(tick, 0);
    };
    setTimeout(tick, 0);
    await map.flushAsync({ durable: false, onProgress: () => steps++ });
    isOver = true;
    assert.ok(turns > 2 && between > 1, `${turns} turns, ${between} between`);
    map.close();
  });
});

test("the journal of a large append is given back elsewhere, and once it is, nothing stops the flush", async () => {
  await withFile(bytes(5000), async (path, folder) => {
    const map = open(path);
    map.append(bytes(MIB));
    const controller = new AbortController();
    let large = 0;
    const later = atOnce(() => {}, {
      async close(fd) {
        if (fs.fstatSync(fd).size > MIB) {
          large++;
          // Its name is gone, so that the file is what counts.
          assert.deepEqual(fs.readdirSync(folder), ["file"]);
          controller.abort();
        }
        await fs.closeSync(fd);
      },
    });
    const { atomic } = await withLater(
      later,
      () => map.flushAsync({ signal: controller.signal, durable: false }),
    );
    assert.ok(atomic);
    assert.equal(large, 1);
    assert.equal(map.dirty, false);
    assert.equal(fs.statSync(path).size, 5000 + MIB);
    map.close();
  });
});

test("a million slices are planned and written in pieces", async () => {
  await withFile(new Uint8Array(4 * 200_000).fill(1), async (path) => {
    const map = open(path);
    for (let i = 0; i < 200_000; i++) map.slice(4 * i, 4 * i + 4);
    map.slices[100]!.resize(5);
    let turns = 0;
    await withLater(
      { ...later(), isDue: () => true, turn: async () => void await turns++ },
      () => map.flushAsync({ durable: false }),
    );
    assert.ok(turns > 100, `${turns}`);
    assert.equal(fs.statSync(path).size, 800_001);
    map.close();
  });
});

const DROPPED = `
  import { open } from "../mod.ts";
  import { collectGarbage } from "./support/support.ts";
  import * as fs from "node:fs";
  import process from "node:process";
  const path = process.argv[2];
  fs.writeFileSync(path, new Uint8Array(9 * 2 ** 20));
  (() => {
    const map = open(path);
    map.insert(5, new Uint8Array(9 * 2 ** 20).fill(7));
    void map.flushAsync();
  })();
  for (let i = 0; i < 50; i++) {
    collectGarbage();
    new Uint8Array(2 ** 20).fill(i);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
`;

test("a flush that nobody awaits comes to its end, and keeps its map alive", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  const { status, stderr } = runChild(DROPPED, { args: [path] });
  assert.equal(status, 0, stderr);
  assert.equal(fs.statSync(path).size, 18 * MIB);
  assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
});

const EXITING = `
  import { open } from "../mod.ts";
  import * as fs from "node:fs";
  import process from "node:process";
  const [, , path, at] = process.argv;
  fs.writeFileSync(path, new Uint8Array(9 * 2 ** 20).fill(1));
  const map = open(path);
  map.insert(at === "end" ? map.mappedLength : 5, new Uint8Array(30 * 2 ** 20).fill(7));
  let calls = 0;
  await map.flushAsync({ onProgress: () => { if (++calls === 2) process.exit(); } });
`;

test("a process that exits in the midst of a flush leaves it to the next open", () => {
  for (const at of ["end", "middle"]) {
    using folder = temporaryFolder();
    const path = join(folder.path, "file");
    const { status, stderr } = runChild(EXITING, { args: [path, at] });
    assert.equal(status, 0, stderr);
    using map = open(path);
    assert.ok([9, 39].includes(map.length / MIB), `${map.length}`);
    assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
  }
});
