/**
 * flush(): its strategies, what it writes, what others may do to the file meanwhile, and
 * what is left after a failure.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type FlushOptions, type Memmap, open } from "../../mod.ts";
import { libc } from "../../ffi/libc.ts";
import { MappedFile } from "../../src/storage/mapped_file.ts";
import { Journal } from "../../src/storage/journal/journal.ts";
import {
  below,
  countingFile,
  FULL_DISK,
  isThorough,
  randomFrom,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

const STRATEGIES = ["auto", "replace", "in-place"] as const;

/** Returns a whole number below `limit`, from a sequence that `seed` determines. */
function generator(seed: number): (limit: number) => number {
  const random = randomFrom(seed);
  return (limit) => below(random, limit);
}

/** Cuts slices and edits them at random. Returns the content to expect. */
function editAtRandom(
  map: Memmap,
  random: (limit: number) => number,
): Uint8Array {
  const cuts = Array.from(
    { length: random(12) },
    () => random(map.mappedLength + 1),
  );
  cuts.sort((a, b) => a - b);
  for (let i = 0; i + 1 < cuts.length; i += 1 + random(2)) {
    const begin = cuts[i]!;
    if (map.slices.every(({ end }) => end <= begin)) {
      map.slice(begin, cuts[i + 1]);
    }
  }
  for (let i = random(6); i > 0; i--) {
    const content = Uint8Array.from({ length: random(50) }, () => random(256));
    try {
      map.insert(
        random(3) === 0 ? map.mappedLength : random(map.mappedLength + 1),
        content,
      );
    } catch (error) {
      assert.equal((error as Error).name, "OverlapError");
    }
  }
  for (const slice of map.slices) {
    const choice = random(6);
    if (choice === 0) slice.resize(random(3) === 0 ? 0 : random(3000));
    else if (choice === 1) {
      slice.splice(random(slice.length + 1), 0, random(200));
    } else if (choice === 2) slice.bytes.fill(random(256));
    else if (choice === 3) slice.delete();
  }
  const content = new Uint8Array(map.length);
  const file = fs.readFileSync(map.path);
  for (const { slice, begin, end, offset } of map.layout()) {
    content.set(
      slice === null ? file.subarray(begin, end) : slice.bytes,
      offset,
    );
  }
  return content;
}

for (const strategy of STRATEGIES) {
  test(`flush({ strategy: "${strategy}" }) writes what layout() says, whatever the edits`, () => {
    using folder = temporaryFolder();
    for (let seed = 1; seed <= (isThorough ? 150 : 50); seed++) {
      const random = generator(seed);
      const behind = random(2) * random(500);
      const path = countingFile(
        folder.path,
        random(4) === 0 ? 0 : random(20_000),
      );
      const rest = Buffer.from(
        Array.from({ length: behind }, () => random(256)),
      );
      const length = fs.statSync(path).size;
      fs.appendFileSync(path, rest);
      using map = open(path, "r+", { length });
      for (let round = 0; round < 3; round++) {
        const content = editAtRandom(map, random);
        const { slices } = map;
        const bytes = slices.map((slice) => slice.slice());
        const result = map.flush({ strategy, durable: false });
        const message = `seed ${seed}, round ${round}, ${result.strategy}`;
        assert.ok(
          fs.readFileSync(path).equals(Buffer.concat([content, rest])),
          message,
        );
        assert.equal(map.mappedLength, content.length, message);
        assert.equal(map.length, content.length, message);
        assert.equal(map.dirty, false, message);
        assert.deepEqual(map.slices, slices, message);
        slices.forEach((slice, i) => {
          assert.equal(slice.state, "mapped", message);
          assert.deepEqual(slice.bytes, bytes[i], message);
          assert.deepEqual(
            slice.slice(),
            content.slice(slice.begin, slice.end),
            message,
          );
        });
      }
      assert.deepEqual(fs.readdirSync(folder.path), ["counting.dat"]);
    }
  });
}

test("flush({ path }) saves the edits in every mode, and does not change the original", () => {
  using folder = temporaryFolder();
  for (const mode of ["r", "c", "r+"] as const) {
    const path = countingFile(folder.path, 10_000);
    const before = fs.readFileSync(path);
    const target = join(folder.path, `saved from ${mode}`);
    using map = open(path, mode, { length: 9000 });
    const expected = Buffer.from(before);
    const slice = map.slice(100, 200);
    if (mode === "c") {
      slice.bytes.fill(7);
      expected.fill(7, 100, 200);
    }
    if (mode !== "r") map.insert(5000, new Uint8Array([1, 2, 3]));
    const inserted = mode === "r" ? [] : [1, 2, 3];
    const { strategy } = map.flush({ path: target });
    assert.equal(strategy, "replace");
    assert.deepEqual(
      fs.readFileSync(target),
      Buffer.concat([
        expected.subarray(0, 5000),
        Buffer.from(inserted),
        expected.subarray(5000),
      ]),
    );
    assert.deepEqual(fs.readFileSync(path), before);
    assert.deepEqual([map.mode, map.path, map.writable], ["r+", target, true]);
    slice.bytes[0] = 0x55;
    map.flush();
    assert.equal(fs.readFileSync(target)[100], 0x55);
    assert.deepEqual(fs.readFileSync(path), before);
  }
});

test("flush({ path }) replaces an existing file, and keeps its permissions", () => {
  using folder = temporaryFolder();
  const target = join(folder.path, "target");
  fs.writeFileSync(target, "old");
  fs.chmodSync(target, 0o604);
  using map = open(countingFile(folder.path, 3), "r");
  map.flush({ path: target });
  assert.deepEqual([...fs.readFileSync(target)], [0, 1, 2]);
  assert.equal(fs.statSync(target).mode & 0o7777, 0o604);
});

test("flush({ path }) onto a folder, or into a missing one, fails and changes nothing", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 3);
  using map = open(path);
  map.insert(1, new Uint8Array([9]));
  assert.throws(() => map.flush({ path: folder.path }), {
    name: "SystemError",
    code: "EISDIR",
  });
  assert.throws(() => map.flush({ path: join(folder.path, "no", "file") }), {
    name: "SystemError",
    code: "ENOENT",
  });
  assert.throws(() => map.flush({ path: "x", strategy: "in-place" }), {
    name: "TypeError",
  });
  assert.deepEqual([map.dirty, map.path], [true, path]);
  map.flush();
  assert.deepEqual([...fs.readFileSync(path)], [0, 9, 1, 2]);
});

test("a flush with nothing pending has strategy none", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 3));
  map.slice().bytes.fill(8);
  assert.deepEqual(map.flush(), {
    strategy: "none",
    bytesWritten: 0,
    atomic: true,
    stale: "no",
  });
});

test("writes reach the file at once and survive discard, and pending edits do neither", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 100);
  const writes: Record<string, (map: Memmap) => void> = {
    bytes: (map) => map.slice(0, 10).bytes.fill(200),
    set: (map) => map.slice(0, 10).set(new Array(10).fill(200)),
    fill: (map) => map.slice(0, 10).fill(200),
    array: (map) => void map.slice(0, 10).array("uint8").fill(200),
    copyFrom: (map) =>
      void map.slice(0, 10).array("uint8").copyFrom(new Array(10).fill(200)),
    move(map) {
      map.slice(50, 60).bytes.fill(200);
      map.move(0, 50, 10);
    },
  };
  for (const [name, write] of Object.entries(writes)) {
    fs.writeFileSync(path, Uint8Array.from({ length: 100 }, (_, i) => i));
    const map = open(path);
    write(map);
    const expected = new Array(10).fill(200);
    assert.deepEqual(
      [...fs.readFileSync(path).subarray(0, 10)],
      expected,
      name,
    );
    map.close({ discard: true });
    assert.deepEqual(
      [...fs.readFileSync(path).subarray(0, 10)],
      expected,
      name,
    );
  }
  const before = fs.readFileSync(path);
  const edits: Record<string, (map: Memmap) => void> = {
    splice: (map) => map.slice(0, 50).splice(0, 4, new Uint8Array(4)),
    resize(map) {
      const slice = map.slice(0, 50);
      slice.resize(51);
      slice.bytes.fill(7);
    },
    insert: (map) => void map.insert(5, new Uint8Array(5)),
  };
  for (const [name, edit] of Object.entries(edits)) {
    const map = open(path);
    edit(map);
    assert.ok(fs.readFileSync(path).equals(before), name);
    map.close({ discard: true });
    assert.ok(fs.readFileSync(path).equals(before), name);
  }
  // What splice() changes is committed as a whole.
  using map = open(path);
  edits["splice"]!(map);
  assert.equal(map.flush().strategy, "replace");
  assert.deepEqual([...fs.readFileSync(path).subarray(0, 4)], [0, 0, 0, 0]);
});

test("stale, and a flush with nothing pending, tell what others did to the file", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  const other = join(folder.path, "other");
  fs.copyFileSync(path, other);
  const changes: Record<string, () => void> = {
    no: () => fs.writeFileSync(path, "others", { flag: "r+" }),
    grown: () => fs.appendFileSync(path, "x"),
    cut: () => fs.truncateSync(path, 9),
    replaced: () => fs.renameSync(other, path),
    unlinked: () => fs.unlinkSync(path),
  };
  using map = open(path);
  map.slice().bytes[3] = 99;
  for (const [stale, change] of Object.entries(changes)) {
    change();
    assert.equal(map.stale, stale);
    for (const durable of [true, false]) {
      const { atomic, ...result } = map.flush({ durable });
      assert.ok(atomic);
      assert.deepEqual(result, { strategy: "none", bytesWritten: 0, stale });
    }
  }
  // A map that cannot write can ask, too.
  fs.writeFileSync(path, "0123456789");
  assert.equal(map.stale, "replaced");
  using reader = open(path, "r");
  assert.equal(reader.stale, "no");
  fs.rmSync(path);
  fs.mkdirSync(path);
  assert.equal(reader.stale, "replaced");
  fs.rmdirSync(path);
  fs.rmdirSync(folder.path);
  assert.equal(reader.stale, "unlinked");
  fs.mkdirSync(folder.path);
  const saved = join(folder.path, "saved");
  assert.throws(() => map.flush({ path: saved }), { name: "ConflictError" });
  map.close();
});

test("an append, a cut at the end, and a resize that was undone use strategy extend", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10_000);
  using map = open(path);
  const first = map.slice(0, 100);
  const last = map.slice(9000, 10_000);
  const { bytes } = first;
  const { ino } = fs.statSync(path);
  const flush = () => {
    const { stale, atomic, ...result } = map.flush();
    assert.equal(stale, "no");
    assert.ok(atomic);
    return result;
  };

  map.insert(10_000, 5000);
  assert.deepEqual(flush(), { strategy: "extend", bytesWritten: 5000 });
  last.resize(1001);
  last.resize(1000);
  assert.deepEqual(flush(), { strategy: "extend", bytesWritten: 0 });
  map.slices[2]!.resize(10);
  assert.deepEqual(flush(), { strategy: "extend", bytesWritten: 0 });
  map.slices[2]!.resize(30);
  assert.deepEqual(flush(), { strategy: "extend", bytesWritten: 20 });
  assert.equal(fs.statSync(path).size, 10_030);
  assert.equal(fs.statSync(path).ino, ino);
  assert.equal(
    bytes[99],
    99,
    "views of slices that did not move stay attached",
  );

  last.resize(1001);
  last.resize(1000);
  last.bytes[0]!++;
  assert.equal(flush().strategy, "replace", "bytes of the file have changed");
  assert.notEqual(fs.statSync(path).ino, ino);
  assert.equal(bytes.length, 0);
});

test("an append of any size writes only the new bytes", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 1000);
  const before = fs.readFileSync(path);
  const added = new Uint8Array(2 ** 24 + 5).map((_, i) => i * 7);
  using map = open(path);
  map.insert(1000, added.subarray(0, 10));
  map.insert(1000, added.subarray(10));
  assert.deepEqual(map.flush(), {
    strategy: "extend",
    bytesWritten: added.length,
    atomic: true,
    stale: "no",
  });
  assert.ok(fs.readFileSync(path).equals(Buffer.concat([before, added])));
});

test("w+ through a dangling symbolic link creates its target", () => {
  using folder = temporaryFolder();
  const link = join(folder.path, "link");
  fs.symlinkSync("made", link);
  open(link, "w+", { length: 5 }).close();
  assert.equal(fs.statSync(join(folder.path, "made")).size, 5);
  assert.ok(fs.lstatSync(link).isSymbolicLink());
});

test("in-place keeps the inode, its hard links, and the views of slices that do not move", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10_000);
  fs.linkSync(path, join(folder.path, "second name"));
  using map = open(path);
  const [a, b, c] = [map.slice(0, 10), map.slice(10, 20), map.slice(20, 30)];
  const views = [a.bytes, c.bytes] as const;
  b.resize(5000);
  assert.throws(() => map.flush(), {
    name: "SystemError",
    code: "EMLINK",
    message: /in-place/,
  });
  assert.equal(map.dirty, true);
  const { ino } = fs.statSync(path);
  map.flush({ strategy: "in-place" });
  assert.equal(fs.statSync(path).ino, ino);
  assert.equal(
    fs.readFileSync(join(folder.path, "second name")).length,
    14_990,
  );
  assert.equal(views[0][9], 9);
  assert.equal(views[1].length, 0);
  assert.equal(c.bytes[0], 20);
});

test("replace keeps permissions, and a symbolic link stays a link", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  fs.chmodSync(path, 0o640);
  fs.mkdirSync(join(folder.path, "links"));
  const link = join(folder.path, "links", "link");
  fs.symlinkSync("../counting.dat", link);
  using map = open(link);
  map.insert(0, 1);
  assert.equal(map.flush().strategy, "replace");
  assert.equal(fs.readlinkSync(link), "../counting.dat");
  assert.equal(fs.statSync(path).mode & 0o7777, 0o640);
  assert.equal(fs.readFileSync(path).length, 11);
  assert.deepEqual(fs.readdirSync(join(folder.path, "links")), ["link"]);
});

test("symbolic links are followed as the system follows them, with .., and loops are an error", () => {
  using folder = temporaryFolder();
  const at = (...names: string[]) => join(folder.path, ...names);
  fs.mkdirSync(at("real", "deep"), { recursive: true });
  fs.symlinkSync(at("real", "deep"), at("short"));
  fs.writeFileSync(at("real", "data"), "right");
  fs.writeFileSync(at("data"), "wrong");
  fs.symlinkSync("../data", at("real", "deep", "link"));
  {
    using map = open(at("short", "link"));
    map.insert(0, new Uint8Array([0x3e]));
  }
  assert.equal(fs.readFileSync(at("real", "data"), "utf8"), ">right");
  assert.equal(fs.readFileSync(at("data"), "utf8"), "wrong");
  // Bun's own file functions drop ".." before the system sees the path.
  const dots = `${at("short")}/../data`;
  assert.equal(open(dots, "r").length, fs.readFileSync(dots).length);
  fs.symlinkSync("loop", at("loop"));
  fs.symlinkSync("new", at("dangling"));
  using map = open(at("data"));
  assert.throws(() => map.flush({ path: at("loop") }), { code: "ELOOP" });
  map.flush({ path: at("dangling") });
  assert.equal(fs.readlinkSync(at("dangling")), "new");
  assert.equal(fs.readFileSync(at("new"), "utf8"), "wrong");
});

test("a link to a name that is not valid text never leads to another name", (t) => {
  using folder = temporaryFolder();
  const at = (...names: string[]) => join(folder.path, ...names);
  // 0xFF in octal, for printf, and what a runtime turns it into as text.
  const made = spawnSync("sh", [
    "-c",
    'cd "$1" && name=$(printf "\\377") && printf old > "$name" && ' +
    'ln -s "$name" link && ln -s "new$name" dangling && ' +
    'mkdir "d$name" && ln -s "d$name" folder && printf old > folder/file',
    "sh",
    folder.path,
  ]);
  if (made.status !== 0) {
    return t.skip("this file system only allows names that are text");
  }
  const text = "\ufffd";
  fs.mkdirSync(at(`d${text}`));
  const others = [at(text), at(`new${text}`), at(`d${text}`, "file")];
  for (const other of others) fs.writeFileSync(other, "other");
  fs.symlinkSync(text, at("link to text"));
  const refused = { name: "SystemError", code: "EILSEQ" };
  for (const path of [at("link"), at("folder", "file")]) {
    using map = open(path);
    map.insert(3, new Uint8Array([65]));
    assert.equal(map.flush().strategy, "extend");
    map.insert(0, new Uint8Array([66]));
    assert.throws(() => map.flush(), refused);
    for (const target of [at("link"), at("dangling"), at("folder", "new")]) {
      assert.throws(() => map.flush({ path: target }), refused);
    }
    assert.equal(map.dirty, true);
    map.flush({ strategy: "in-place" });
    assert.equal(fs.readFileSync(path, "utf8"), "BoldA");
  }
  for (const path of [at("dangling"), at("folder", "new")]) {
    assert.throws(() => open(path, "w+", { length: 1 }), refused);
  }
  for (const other of others) {
    assert.equal(fs.readFileSync(other, "utf8"), "other");
  }
  assert.equal(fs.existsSync(at(`d${text}`, "new")), false);
  // U+FFFD itself is a valid name.
  using map = open(at("link to text"));
  map.insert(0, new Uint8Array([66]));
  assert.equal(map.flush().strategy, "replace");
  assert.equal(fs.readFileSync(at(text), "utf8"), "Bother");
});

test("a file that others have changed is a ConflictError, and is not touched", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "counting.dat");
  const changes: Record<string, () => void> = {
    "has 8 bytes": () => fs.truncateSync(path, 8),
    "has 11 bytes": () => fs.appendFileSync(path, "x"),
    "is gone": () => fs.unlinkSync(path),
    "was replaced": () => {
      fs.writeFileSync(path + "2", new Uint8Array(10));
      fs.renameSync(path + "2", path);
    },
  };
  for (const [message, change] of Object.entries(changes)) {
    countingFile(folder.path, 10);
    const map = open(path);
    map.insert(0, new Uint8Array([1]));
    change();
    const before = fs.existsSync(path) ? fs.readFileSync(path) : null;
    const expected = {
      name: "ConflictError",
      code: "ERR_MEMMAP_CONFLICT",
      message: new RegExp(`${message}.*close\\(\\{ discard: true \\}\\)`),
    };
    for (const strategy of STRATEGIES) {
      assert.throws(() => map.flush({ strategy }), expected);
    }
    assert.throws(() => map.close(), expected);
    assert.equal(map.closed, false);
    assert.equal(map.dirty, true);
    assert.deepEqual(
      fs.existsSync(path) ? fs.readFileSync(path) : null,
      before,
    );
    map.close({ discard: true });
  }
});

test("a flush to its own path does not lose bytes that another process appends", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  const map = open(path);
  map.insert(5, 2);
  const append = () => fs.appendFileSync(path, "other");
  const isConflict = { name: "ConflictError" };
  assert.throws(
    () => map.flush({ strategy: "replace", onProgress: append }),
    isConflict,
  );
  assert.throws(() => map.flush({ path }), isConflict);
  assert.equal(fs.readFileSync(path).subarray(10).toString(), "other");
  assert.deepEqual(fs.readdirSync(folder.path), ["counting.dat"]);
  map.close({ discard: true });
});

test("saving a file that is cut meanwhile is a ConflictError, and saves nothing", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "cut.dat");
  const length = 4 * 2 ** 20;
  for (const inserted of [0, 5]) {
    fs.writeFileSync(path, new Uint8Array(length).fill(7));
    const map = open(path);
    if (inserted > 0) map.insert(3, inserted);
    let isCut = false;
    const onProgress = () => {
      if (!isCut) fs.truncateSync(path, length / 4);
      isCut = true;
    };
    assert.throws(
      () => map.flush({ path: path + ".saved", onProgress }),
      { name: "ConflictError", message: /1048576 bytes where it had 4194304/ },
    );
    assert.ok(isCut);
    assert.deepEqual(fs.readdirSync(folder.path), ["cut.dat"]);
    assert.deepEqual([map.path, map.dirty], [path, inserted > 0]);
    map.close({ discard: true });
  }
});

test("a change by others while an append is noted or written is a ConflictError", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  const before = fs.readFileSync(path);
  const isConflict = { name: "ConflictError" };
  {
    const map = open(path);
    map.insert(10, new Uint8Array([1, 2, 3]));
    const { noteWhole } = Journal.prototype;
    Journal.prototype.noteWhole = function (note, journal) {
      fs.appendFileSync(path, "other");
      return noteWhole.call(this, note, journal);
    };
    try {
      assert.throws(() => map.flush(), isConflict);
    } finally {
      Journal.prototype.noteWhole = noteWhole;
    }
    map.close({ discard: true });
  }
  assert.deepEqual(
    fs.readFileSync(path),
    Buffer.concat([before, Buffer.from("other")]),
  );
  fs.writeFileSync(path, before);
  {
    const map = open(path);
    const slice = map.insert(10, new Uint8Array([1, 2, 3]));
    const onProgress = () => {
      fs.writeFileSync(path + "2", "new");
      fs.renameSync(path + "2", path);
    };
    assert.throws(() => map.flush({ onProgress }), isConflict);
    assert.deepEqual([...slice.bytes], [1, 2, 3]);
    assert.equal(map.dirty, true);
    map.close({ discard: true });
  }
  assert.equal(fs.readFileSync(path, "utf8"), "new");
  assert.deepEqual(fs.readdirSync(folder.path), ["counting.dat"]);
});

test("an in-place flush cuts off nothing that another process appends, even if it fails", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 3 * 2 ** 20);
  let line = "";
  const append = () => {
    if (line === "") fs.appendFileSync(path, line = "another's line");
  };
  {
    const map = open(path);
    map.slice(0, 100).resize(10);
    assert.throws(
      () => map.flush({ strategy: "in-place", onProgress: append }),
      { name: "ConflictError", message: /while it was being written/ },
    );
    map.close({ discard: true });
  }
  assert.ok(fs.readFileSync(path).toString("latin1").endsWith(line));
  const map = open(path);
  const before = map.length;
  line = "";
  map.insert(before, 5);
  const thenFail = () => {
    append();
    throw new Error("enough");
  };
  assert.throws(() => map.flush({ onProgress: thenFail }), {
    message: "enough",
  });
  assert.throws(() => map.flush(), { name: "ConflictError" });
  map.close({ discard: true });
  const after = fs.readFileSync(path).toString("latin1");
  assert.ok(after.endsWith(line));
});

test("a save to the map's own path does not overwrite a file that took its place", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  for (const mode of ["r", "c", "r+"] as const) {
    countingFile(folder.path, 10);
    const map = open(path, mode);
    fs.writeFileSync(path + "2", "another's");
    fs.renameSync(path + "2", path);
    assert.throws(() => map.flush({ path }), { name: "ConflictError" });
    assert.equal(fs.readFileSync(path, "utf8"), "another's");
    map.close({ discard: true });
  }
});

test("a durable flush or sync also waits for earlier flushes that did not wait", () => {
  using folder = temporaryFolder();
  for (const strategy of STRATEGIES) {
    using map = open(countingFile(folder.path, 100_000), "r+", { length: 10 });
    map.insert(strategy === "auto" ? 10 : 5, new Uint8Array(10));
    map.flush({ strategy, durable: false });
    let waits = 0;
    using _ = beforeFirst("sync", () => waits++);
    map.flush();
    assert.equal(waits, 1, strategy);
  }
});

test("a kernel copy that copies nothing and gives no reason is replaced by our own", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 3 * 2 ** 20);
  const before = fs.readFileSync(path);
  using map = open(path);
  map.insert(2 ** 20, new Uint8Array([1, 2, 3]));
  let asked = 0;
  withLibc({
    copy_file_range: libc().copy_file_range && (() => (asked++, 0)),
  }, () => map.flush({ strategy: "replace" }));
  assert.equal(asked > 0, libc().copy_file_range !== null);
  const after = fs.readFileSync(path);
  assert.ok(after.subarray(0, 2 ** 20).equals(before.subarray(0, 2 ** 20)));
  assert.deepEqual([...after.subarray(2 ** 20, 2 ** 20 + 3)], [1, 2, 3]);
  assert.ok(after.subarray(2 ** 20 + 3).equals(before.subarray(2 ** 20)));
});

test("a file that was replaced or removed can still be saved elsewhere", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 3);
  const saved = join(folder.path, "saved");
  using map = open(path);
  map.insert(0, new Uint8Array([9]));
  fs.unlinkSync(path);
  map.flush({ path: saved });
  assert.deepEqual([...fs.readFileSync(saved)], [9, 0, 1, 2]);
});

test("onProgress counts up to the total, and an error that it throws leaves the old content", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 5 * 2 ** 20);
  const content = fs.readFileSync(path);
  using map = open(path);
  const edits: [string, () => void, FlushOptions][] = [
    ["replace", () => map.insert(0, 2 ** 21), {}],
    ["extend", () => map.insert(map.mappedLength, 10), {}],
    ["in-place", () => map.insert(2 ** 21, 10), { strategy: "in-place" }],
  ];
  for (const [strategy, edit, options] of edits) {
    edit();
    const calls: [number, number][] = [];
    const onProgress = (done: number, total: number) =>
      void calls.push([done, total]);
    const result = map.flush({ ...options, onProgress });
    assert.equal(result.strategy, strategy);
    assert.deepEqual(calls.at(-1), [result.bytesWritten, result.bytesWritten]);
    assert.ok(calls.every(([done], i) => i === 0 || done > calls[i - 1]![0]));
  }
  map.flush({ path: join(folder.path, "other") });
  fs.writeFileSync(path, content);

  using again = open(path);
  const stop = () => {
    throw new Error("stop");
  };
  for (const offset of [0, content.length]) {
    const slice = again.insert(offset, 10);
    assert.throws(() => again.flush({ onProgress: stop }), { message: "stop" });
    assert.equal(again.dirty, true);
    assert.ok(fs.readFileSync(path).equals(content));
    slice.delete();
  }
  assert.deepEqual(fs.readdirSync(folder.path).sort(), [
    "counting.dat",
    "other",
  ]);
});

test("onProgress cannot use the map that is being flushed", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 10));
  const slice = map.slice(0, 5);
  map.insert(0, 1);
  const onProgress = () => {
    for (
      const use of [() => map.close(), () => slice.resize(9), () => map.flush()]
    ) {
      assert.throws(use, { name: "BusyError", code: "ERR_MEMMAP_BUSY" });
    }
  };
  map.flush({ onProgress });
  assert.equal(slice.begin, 1);
});

test("a sparse file stays sparse with reserve: false", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "sparse");
  const length = 2 ** 28;
  using map = open(path, "w+", { length, reserve: false });
  map.slice(length - 3).bytes.set([1, 2, 3]);
  map.insert(4096 * 5, new Uint8Array([9]));
  assert.equal(map.flush().strategy, "replace");
  const { size, blocks } = fs.statSync(path);
  assert.equal(size, length + 1);
  assert.ok(blocks * 512 < 2 ** 21, `${blocks} blocks`);
  assert.equal(map.find(new Uint8Array([1, 2, 3])), length - 2);
  assert.equal(map.find(new Uint8Array([9])), 4096 * 5);
});

test("in-place reserves what it writes, and nothing with reserve: false", () => {
  const real = libc();
  const { fallocate, posix_fallocate } = real;
  for (const reserve of [true, false]) {
    for (const holes of [0, 2 ** 20]) {
      using folder = temporaryFolder();
      const path = join(folder.path, "file");
      fs.writeFileSync(path, new Uint8Array(10_000).fill(1));
      fs.truncateSync(path, 10_000 + holes);
      let reserved = 0;
      withLibc({
        fallocate: fallocate && ((fd, mode, offset, length) => {
          // To lengthen a file safely, one byte at its end gets a block.
          // And what is to be a hole gives blocks back.
          if (length > 1 && (mode & 2) === 0) reserved += length;
          return fallocate(fd, mode, offset, length);
        }),
        posix_fallocate: posix_fallocate && ((fd, offset, length) => {
          reserved += length;
          return posix_fallocate(fd, offset, length);
        }),
      }, () => {
        using map = open(path, "r+", { reserve });
        map.insert(5, new Uint8Array(100_000).fill(2));
        map.flush({ strategy: "in-place" });
      });
      const what = `reserve: ${reserve}, ${holes} bytes of holes`;
      if (!reserve) assert.equal(reserved, 0, what);
      else if (fallocate !== null) assert.ok(reserved >= 100_000, what);
      const found = fs.readFileSync(path);
      assert.equal(found.length, 110_000 + holes);
      assert.equal(found.indexOf(1, 5), 100_005);
      assert.equal(found.lastIndexOf(1), 109_999);
    }
  }
});

test("with reserve: false, in-place asks a full disk before it writes", () => {
  const real = libc();
  const { fstatfs } = real;
  if (fstatfs === null) return; // macOS
  for (const holes of [0, 2 ** 20]) {
    using folder = temporaryFolder();
    const path = join(folder.path, "file");
    fs.writeFileSync(path, new Uint8Array(10_000).fill(1));
    fs.truncateSync(path, 10_000 + holes);
    const before = fs.readFileSync(path);
    withLibc({
      fstatfs: (fd, found) => {
        const result = fstatfs(fd, found);
        found[3] = found[4] = 10n; // blocks: nothing like 100,000 bytes
        found[1] = 4096n;
        return result;
      },
    }, () => {
      using map = open(path, "r+", { reserve: false });
      map.insert(5, new Uint8Array(100_000).fill(2));
      assert.throws(() => map.flush({ strategy: "in-place" }), {
        code: "ENOSPC",
        message: /40960 (bytes )?are free/,
      });
      assert.ok(map.dirty);
      assert.deepEqual(fs.readFileSync(path), before);
      map.close({ discard: true });
    });
  }
});

test("a hundred thousand floating slices are flushed in a few writes", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 200_000);
  const before = fs.readFileSync(path);
  using map = open(path);
  for (let i = 0; i < 100_000; i++) map.insert(2 * i, new Uint8Array([0xaa]));
  const calls: number[] = [];
  map.flush({ durable: false, onProgress: (done) => calls.push(done) });
  assert.ok(calls.length < 10, `${calls.length} pieces`);
  const after = fs.readFileSync(path);
  assert.equal(after.length, 300_000);
  for (let i = 0; i < 100_000; i += 997) {
    assert.deepEqual([...after.subarray(3 * i, 3 * i + 3)], [
      0xaa,
      before[2 * i],
      before[2 * i + 1],
    ]);
  }
});

test("an unknown strategy is a TypeError", () => {
  using folder = temporaryFolder();
  using map = open(countingFile(folder.path, 10));
  assert.throws(() => map.flush({ strategy: "extend" as never }), {
    name: "TypeError",
  });
});

/** Replaces an inherited method of mapped files, until disposed. */
function replacing(
  method: "append" | "write" | "sync" | "syncData" | "truncate",
  value: (this: MappedFile, ...args: never[]) => void,
): Disposable {
  const { prototype } = MappedFile;
  const own = Object.getOwnPropertyDescriptor(prototype, method);
  Object.defineProperty(prototype, method, { value, configurable: true });
  return {
    [Symbol.dispose]: () => {
      if (own !== undefined) Object.defineProperty(prototype, method, own);
      else delete (prototype as Partial<MappedFile>)[method];
    },
  };
}

/** Runs `act` before the next call of a file's method, until disposed. */
function beforeFirst(method: "sync", act: () => void): Disposable {
  const replaced = replacing(method, function () {
    replaced[Symbol.dispose]();
    act();
    this[method]();
  });
  return replaced;
}

/** Makes the `nth` next call of a file's method fail, until disposed. */
function failing(
  method: "append" | "write" | "sync" | "syncData" | "truncate",
  nth = 1,
): Disposable {
  const original = MappedFile.prototype[method] as (...args: never[]) => void;
  let calls = 0;
  return replacing(method, function (...args) {
    if (++calls === nth) throw new Error("The disk failed.");
    original.apply(this, args);
  });
}

test("an append or a replace that fails keeps file and edits, and can be retried", () => {
  using folder = temporaryFolder();
  for (
    const [offset, methods] of [
      [0, ["write", "sync"]],
      [10, ["append", "syncData"]],
    ] as const
  ) {
    for (const method of methods) {
      const path = countingFile(folder.path, 10);
      const before = fs.readFileSync(path);
      using map = open(path);
      const slice = map.insert(offset, new Uint8Array([9, 9]));
      {
        using _ = failing(method);
        assert.throws(() => map.flush(), { message: "The disk failed." });
      }
      assert.deepEqual(fs.readFileSync(path), before);
      assert.deepEqual(fs.readdirSync(folder.path), ["counting.dat"]);
      assert.deepEqual([map.dirty, slice.state, map.length], [
        true,
        "floating",
        12,
      ]);
      map.flush();
      assert.deepEqual(
        [...fs.readFileSync(path).subarray(offset, offset + 2)],
        [9, 9],
      );
      assert.equal(map.length, 12);
    }
  }
});

test("a cut whose fsync fails has happened, and the map knows", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 100_000);
  using map = open(path);
  map.slice(10, 100_000).resize(5);
  {
    using _ = failing("sync");
    assert.throws(() => map.flush(), { message: "The disk failed." });
  }
  assert.equal(fs.statSync(path).size, 15);
  assert.deepEqual([map.mappedLength, map.length, map.dirty], [15, 15, false]);
  assert.equal(map.find(new Uint8Array([14])), 14);
  assert.equal(map.flush().strategy, "none");
});

test("after an in-place flush that failed half-way, the map refuses to flush", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 3 * 2 ** 20);
  const map = open(path);
  const slice = map.insert(100, new Uint8Array([1, 2, 3]));
  {
    using _ = failing("write", 2);
    assert.throws(() => map.flush({ strategy: "in-place" }), {
      message: "The disk failed.",
    });
  }
  assert.throws(() => map.flush(), {
    name: "ConflictError",
    message: /half-way/,
  });
  assert.throws(() => map.flush({ path: path + "2" }), {
    name: "ConflictError",
  });
  assert.throws(() => map.close(), { name: "ConflictError" });
  assert.deepEqual([...slice.bytes], [1, 2, 3]);
  map.close({ discard: true });
});

test("an in-place flush that fails before its first write changes nothing", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 1000);
  const before = fs.readFileSync(path);
  using map = open(path);
  map.insert(100, 3);
  withLibc(FULL_DISK, () => {
    assert.throws(() => map.flush({ strategy: "in-place" }), {
      code: "ENOSPC",
    });
  });
  assert.deepEqual(fs.readFileSync(path), before);
  assert.equal(map.flush({ strategy: "in-place" }).strategy, "in-place");
  assert.equal(fs.statSync(path).size, 1003);
});

test("the first error is reported, even if undoing the flush fails too", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 1000);
  using map = open(path);
  map.insert(100, 3);
  withLibc(FULL_DISK, () => {
    using _ = failing("truncate");
    assert.throws(() => map.flush({ strategy: "in-place" }), {
      code: "ENOSPC",
    });
  });
  assert.equal(map.dirty, true);
  map.flush();
  assert.equal(fs.statSync(path).size, 1003);
});

test("if closing the replaced file fails, the flush still counts, and the next one works", () => {
  using folder = temporaryFolder();
  const path = countingFile(folder.path, 10);
  using map = open(path);
  map.insert(0, new Uint8Array([1]));
  const { close } = MappedFile.prototype;
  MappedFile.prototype.close = function () {
    MappedFile.prototype.close = close;
    close.call(this);
    throw new Error("The server is away.");
  };
  assert.throws(() => map.flush(), { message: "The server is away." });
  assert.equal(MappedFile.prototype.close, close);
  assert.equal(map.dirty, false);
  assert.deepEqual(fs.readdirSync(folder.path), ["counting.dat"]);
  map.insert(0, new Uint8Array([2]));
  assert.equal(map.flush().strategy, "replace");
  assert.deepEqual([...fs.readFileSync(path).subarray(0, 3)], [2, 1, 0]);
});
