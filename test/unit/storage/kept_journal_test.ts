import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { libc } from "../../../ffi/libc.ts";
import { type FlushOptions, type Memmap, open } from "../../../mod.ts";
import {
  HEADER_SIZE,
  headerOf,
  journalPath,
  KEPT_SIZE,
  sumOf,
} from "../../../src/storage/journal/format.ts";
import { Journal } from "../../../src/storage/journal/journal.ts";
import { MappedFile } from "../../../src/storage/mapped_file.ts";
import { OpenFile } from "../../../src/storage/open_file.ts";
import {
  descriptorsOf,
  isDeno,
  runChild,
  temporaryFolder,
  withLibc,
} from "../../support/support.ts";

const OLD = "the old content";
/** More than fits into what is left of a page, and less. */
const LONG = "x".repeat(5000);
const SHORT = "a line\n";

/** A file, and the journal that may be beside it. */
function fileIn(folder: string, content = OLD) {
  const path = join(folder, "log");
  fs.writeFileSync(path, content);
  return {
    path,
    place: journalPath(fs.realpathSync(path)),
    content: () => fs.readFileSync(path, "latin1"),
    beside: () => fs.readdirSync(folder).filter((name) => name !== "log"),
  };
}

function append(map: Memmap, text: string, options: FlushOptions = {}): void {
  using _ = map.insert(map.mappedLength, Buffer.from(text));
  assert.equal(map.flush(options).strategy, "extend");
}

/** What a journal says that is kept. */
function noteOf(place: string): unknown {
  return JSON.parse(fs.readFileSync(place, "latin1").slice(0, HEADER_SIZE));
}

test("from the second durable append on a journal is kept, idle, until close()", () => {
  using folder = temporaryFolder();
  const { path, place, content, beside } = fileIn(folder.path);
  const map = open(path);
  append(map, "1");
  assert.deepEqual(beside(), []);
  append(map, "2");
  const { ino, size } = fs.statSync(place);
  assert.equal(size, HEADER_SIZE + KEPT_SIZE);
  // The file, the journal, and what the file is locked by. In Bun, the last two have
  // another each, by which they are unlocked if their thread is stopped.
  const open_ = isDeno ? 3 : 5;
  assert.equal(descriptorsOf(folder.path)?.length ?? open_, open_);
  for (const text of ["3", LONG, SHORT]) {
    let noted: unknown;
    append(map, text, { onProgress: () => noted = noteOf(place) });
    assert.equal((noted as { added: number }).added, text.length);
    assert.deepEqual(noteOf(place), { idle: true });
    const { ino: now, size: sizeNow } = fs.statSync(place);
    assert.deepEqual([now, sizeNow], [ino, size]);
    using reader = open(path, "r");
    assert.equal(reader.length, map.length);
  }
  assert.deepEqual(beside(), [basename(place)]);
  map.close();
  assert.deepEqual(beside(), []);
  assert.equal(descriptorsOf(folder.path)?.length ?? 0, 0);
  assert.equal(content(), `${OLD}123${LONG}${SHORT}`);
});

test("a durable append with a journal kept waits twice for the disk, for data alone", () => {
  using folder = temporaryFolder();
  const { path } = fileIn(folder.path);
  using map = open(path);
  for (const text of ["1", "2"]) append(map, text);
  const waits: string[] = [];
  const { prototype } = OpenFile;
  const { sync, syncData } = prototype;
  prototype.sync = function () {
    waits.push("fsync");
    sync.call(this);
  };
  prototype.syncData = function () {
    waits.push("fdatasync");
    syncData.call(this);
  };
  try {
    append(map, "3");
  } finally {
    Object.assign(prototype, { sync, syncData });
  }
  assert.deepEqual(waits, ["fdatasync", "fdatasync"]);
});

/** Counts the calls of this thread that wait for the disk while `run` goes on. */
async function waitsOf(run: () => unknown): Promise<number> {
  let waits = 0;
  const { prototype } = OpenFile;
  const { sync, syncData } = prototype;
  prototype.sync = function () {
    waits++;
    sync.call(this);
  };
  prototype.syncData = function () {
    waits++;
    syncData.call(this);
  };
  try {
    await run();
  } finally {
    Object.assign(prototype, { sync, syncData });
  }
  return waits;
}

/** What a map does that has a journal and no use for it. */
const ENDS: Record<string, {
  edit: (map: Memmap) => unknown;
  flush: FlushOptions;
}> = {
  replace: {
    edit: (map) => map.insert(3, 5),
    flush: { strategy: "replace" },
  },
  "in-place": {
    edit: (map) => map.insert(3, 5),
    flush: { strategy: "in-place" },
  },
  "a large append": { edit: (map) => map.append(KEPT_SIZE + 1), flush: {} },
  "a cut": { edit: (map) => map.slice(10).resize(0), flush: {} },
  "an insert": { edit: (map) => map.insert(3, 5), flush: {} },
  nothing: { edit: () => {}, flush: {} },
};

test("this thread waits for no kept journal, unless it waits for the disk anyway", async () => {
  for (const [name, { edit, flush }] of Object.entries(ENDS)) {
    using folder = temporaryFolder();
    const { path, beside } = fileIn(folder.path);
    const opened = () => {
      const map = open(path);
      for (const text of ["1", "2", "3"]) append(map, text);
      return map;
    };
    const durable = false;
    const closed = opened();
    edit(closed);
    if (name === "nothing") closed.sync();
    const waits = await waitsOf(() => {
      if (name !== "nothing") closed.flush({ ...flush, durable });
      closed.close({ durable });
    });
    assert.equal(waits, 0, name);
    const later = opened();
    edit(later);
    const waitsLater = await waitsOf(async () => {
      if (name !== "nothing") await later.flushAsync(flush);
      await later.closeAsync();
    });
    assert.equal(waitsLater, 0, `${name}, later`);
    assert.deepEqual(beside(), []);
  }
});

const IS_WHOLE = process.platform === "linux"
  ? false
  : "only on Linux are writes known to be made as a whole";

test(
  "an append that need not be durable has a journal only where a kill could cut it",
  { skip: IS_WHOLE },
  () => {
    using folder = temporaryFolder();
    const { path, place, content, beside } = fileIn(folder.path);
    const map = open(path);
    const journalOf = (text: string) => {
      let names: string[] = [];
      const onProgress = () => {
        names = beside().filter((name) =>
          !fs.readFileSync(join(folder.path, name), "latin1")
            .startsWith('{"idle"')
        );
      };
      append(map, text, { durable: false, onProgress });
      return names;
    };
    assert.deepEqual(journalOf(SHORT), []);
    assert.deepEqual(journalOf("x".repeat(4096 - map.length)), []);
    assert.equal(map.length, 4096);
    assert.deepEqual(journalOf("x".repeat(4096)), []);
    assert.deepEqual(beside(), []);
    assert.deepEqual(journalOf("x".repeat(4097)), [basename(place)]);
    assert.deepEqual(beside(), []);
    assert.deepEqual(journalOf(LONG), [basename(place)]);
    assert.deepEqual(noteOf(place), { idle: true });
    assert.deepEqual(journalOf(SHORT), []);
    assert.equal(content().length, map.length);
    map.close();
    assert.deepEqual(beside(), []);
  },
);

test("where nobody says that writes are made as a whole, each append has a journal", () => {
  using folder = temporaryFolder();
  const { path, place, beside } = fileIn(folder.path);
  withLibc({ fstatfs: null }, () => {
    using map = open(path);
    for (let i = 0; i < 3; i++) {
      let names: string[] = [];
      append(map, SHORT, {
        durable: false,
        onProgress: () => names = beside(),
      });
      assert.deepEqual(names, [basename(place)]);
    }
  });
});

test("a journal that others removed or replaced is not used, and not removed by close()", () => {
  const other = '{"what":"ever"}'.padEnd(HEADER_SIZE);
  const ways: Record<string, (path: string, place: string) => void> = {
    opened: (path) => open(path).close(),
    unlinked: (_, place) => fs.unlinkSync(place),
    // As a process does that has just died.
    replaced(_, place) {
      fs.unlinkSync(place);
      fs.writeFileSync(place, other);
    },
  };
  for (const [way, act] of Object.entries(ways)) {
    for (const durable of [true, false]) {
      using folder = temporaryFolder();
      const { path, place, content, beside } = fileIn(folder.path);
      const map = open(path);
      for (const text of [LONG, LONG, LONG]) append(map, text, { durable });
      const fd = fs.openSync(place, "r");
      act(path, place);
      append(map, LONG, { durable });
      assert.notEqual(fs.statSync(place).ino, fs.fstatSync(fd).ino, way);
      append(map, SHORT, { durable });
      assert.equal(content(), OLD + LONG.repeat(4) + SHORT);
      act(path, place);
      map.close();
      assert.deepEqual(
        beside().map((name) =>
          fs.readFileSync(join(folder.path, name), "utf8")
        ),
        way === "replaced" ? [other] : [],
        way,
      );
      fs.closeSync(fd);
    }
  }
});

test("maps of one file that append in turn end each other's journals", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  let expected = OLD;
  const maps = [open(path), open(path)];
  for (let turn = 0; turn < 8; turn++) {
    const durable = turn % 3 > 0;
    for (const text of [`${turn}`, LONG, `${turn}`, LONG]) {
      append(maps[0]!, text, { durable });
      expected += text;
    }
    // The other one is behind: it may not write, and is opened again.
    const behind = maps[1]!;
    behind.insert(behind.mappedLength, Buffer.from("?"));
    assert.throws(() => behind.flush({ durable }), { name: "ConflictError" });
    behind.close({ discard: true });
    maps.reverse();
    maps[0] = open(path);
    assert.equal(maps[0].length, expected.length);
  }
  for (const map of maps) map.close();
  assert.equal(content(), expected);
  assert.deepEqual(beside(), []);
});

test("every strategy works with a journal kept, and afterwards", () => {
  using folder = temporaryFolder();
  const { path, beside, content } = fileIn(folder.path);
  const map = open(path);
  let expected = OLD;
  const appendAll = () => {
    for (const text of ["a", "b", LONG]) {
      append(map, text);
      expected += text;
    }
  };
  for (const strategy of ["replace", "in-place", "auto"] as const) {
    appendAll();
    map.insert(3, Buffer.from("new"));
    map.flush({ strategy });
    // What it says may still be on the disk, about bytes that have moved.
    assert.deepEqual(beside(), [], strategy);
    expected = expected.slice(0, 3) + "new" + expected.slice(3);
    for (const slice of map.slices) slice.delete();
  }
  appendAll();
  map.slice(10, map.mappedLength).resize(5);
  map.flush();
  assert.deepEqual(beside(), []);
  for (const slice of map.slices) slice.delete();
  expected = expected.slice(0, 15);
  appendAll();
  append(map, "y".repeat(KEPT_SIZE + 1));
  expected += "y".repeat(KEPT_SIZE + 1);
  appendAll();
  assert.equal(content(), expected);
  map.close();
  assert.deepEqual(beside(), []);
});

test("the bytes of a dead append are not taken for those of one without a journal", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  const bytes = Buffer.from(`${SHORT}and another one\n`);
  const map = open(path);
  {
    // Another process notes an append, and dies before it begins.
    const { file } = MappedFile.open(path, path, "r+", true);
    const journal = Journal.begin(fs.realpathSync(path), file)!;
    const memory = Buffer.alloc(HEADER_SIZE + bytes.length);
    memory.set(bytes, HEADER_SIZE);
    const { identity, size } = file;
    const added = bytes.length;
    const sum = sumOf(bytes);
    journal.noteWhole(
      { ...identity, size, added, before: "", boot: undefined, sum },
      memory,
    );
    journal.leave();
    file.close();
  }
  append(map, SHORT, { durable: false });
  open(path).close();
  assert.equal(content(), OLD + SHORT);
  map.close();
  assert.deepEqual(beside(), []);
});

test("a journal that has not all the bytes it notes says nothing", () => {
  const bytes = Buffer.from("all of what is appended");
  for (const damage of [false, true]) {
    using folder = temporaryFolder();
    const { path, place, content, beside } = fileIn(folder.path);
    const { file } = MappedFile.open(path, path, "r+", true);
    const note = {
      ...file.identity,
      size: OLD.length,
      added: bytes.length,
      before: "",
      boot: undefined,
      sum: sumOf(bytes),
    };
    file.close();
    const kept = Buffer.alloc(HEADER_SIZE + KEPT_SIZE, "what was before");
    kept.set(headerOf(note));
    kept.set(bytes, HEADER_SIZE);
    if (damage) kept[HEADER_SIZE + bytes.length - 1]! ^= 1;
    fs.writeFileSync(place, kept);
    fs.appendFileSync(path, bytes.subarray(0, 5));
    {
      using reader = open(path, "r");
      assert.equal(reader.length, OLD.length + (damage ? 5 : 0));
    }
    open(path).close();
    assert.equal(content(), OLD + bytes.subarray(0, damage ? 5 : undefined));
    assert.deepEqual(beside(), []);
  }
});

test("who may read the file changes who may read the journal that is kept", () => {
  using folder = temporaryFolder();
  const { path, place } = fileIn(folder.path);
  fs.chmodSync(path, 0o644);
  using map = open(path);
  for (const text of ["1", "2"]) append(map, text);
  for (const mode of [0o600, 0o640, 0o644]) {
    fs.chmodSync(path, mode);
    let during = 0;
    append(map, "3", { onProgress: () => during = fs.statSync(place).mode });
    assert.equal(during & 0o777, mode);
  }
});

test("a journal is left by a process that is killed when nothing is under way", () => {
  using folder = temporaryFolder();
  const { path, place, content, beside } = fileIn(folder.path);
  const { signal } = runChild(
    `
    import process from "node:process";
    import { open } from "../mod.ts";
    const map = open(process.argv[2]);
    for (let i = 0; i < 3; i++) {
      map.insert(map.mappedLength, new Uint8Array(1).fill(65));
      map.flush();
    }
    process.kill(process.pid, "SIGKILL");
    for (;;);
  `,
    { args: [path] },
  );
  assert.equal(signal, "SIGKILL");
  assert.deepEqual(beside(), [basename(place)]);
  for (const mode of ["r", "c"] as const) {
    using map = open(path, mode);
    assert.equal(map.length, OLD.length + 3);
  }
  assert.deepEqual(beside(), [basename(place)]);
  {
    using map = open(path);
    append(map, "B", { durable: false });
    assert.deepEqual(beside(), []);
  }
  assert.equal(content(), `${OLD}AAAB`);
});

test("while somebody looks at the journal that is kept, an append waits a moment", () => {
  using folder = temporaryFolder();
  const { path, place, content, beside } = fileIn(folder.path);
  const map = open(path);
  for (const text of ["1", "2"]) append(map, text);
  const c = libc();
  const fd = fs.openSync(place, "r+");
  assert.equal(c.flock(fd, c.constants.LOCK_EX), 0);
  const failing = map.insert(map.mappedLength, Buffer.from("3"));
  assert.throws(() => map.flush(), { name: "SystemError", code: "EBUSY" });
  assert.equal(failing.state, "floating");
  fs.closeSync(fd);
  map.flush();
  map.close();
  assert.equal(content(), `${OLD}123`);
  assert.deepEqual(beside(), []);
});

test("flushAsync() waits for whoever looks at it without holding this thread", async () => {
  using folder = temporaryFolder();
  const { path, place, content, beside } = fileIn(folder.path);
  const map = open(path);
  for (const text of ["1", "2"]) append(map, text);
  const { ino } = fs.statSync(place);
  const c = libc();
  const fd = fs.openSync(place, "r+");
  assert.equal(c.flock(fd, c.constants.LOCK_EX), 0);
  map.append(Buffer.from("3"));
  const aborted = map.flushAsync({ signal: AbortSignal.timeout(20) });
  await assert.rejects(aborted, { name: "TimeoutError" });
  assert.equal(map.dirty, true);
  const flushed = map.flushAsync();
  setTimeout(() => fs.closeSync(fd), 20);
  assert.equal((await flushed).atomic, true);
  assert.equal(fs.statSync(place).ino, ino);
  await map.closeAsync();
  assert.equal(content(), `${OLD}123`);
  assert.deepEqual(beside(), []);
});
