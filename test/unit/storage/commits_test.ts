/**
 * What an open makes of the journal of a commit that was killed, and of one that lies.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { open } from "../../../mod.ts";
import {
  HEADER_SIZE,
  headerOf,
  journalPath,
  type Redo,
  REDO_BLOCK,
  REDO_ENTRY,
  redoSize,
  sumOf,
} from "../../../src/storage/journal/format.ts";
import {
  fileIn,
  killCommit,
  type KilledCommit,
  noise,
  type TestFile,
} from "../../support/atomic.ts";
import {
  below,
  randomFrom,
  SEED,
  temporaryFolder,
} from "../../support/support.ts";

const LENGTH = 9 * REDO_BLOCK + 700;
const OLD = noise(LENGTH);
const CONFLICT = { name: "ConflictError", code: "ERR_MEMMAP_CONFLICT" };

/** A file, and a commit of several blocks, one of them the last, that was killed. */
function killed(folder: string): { file: TestFile; commit: KilledCommit } {
  const file = fileIn(folder, OLD);
  const commit = killCommit(file, (map) => {
    map.write(noise(3 * REDO_BLOCK, 2), 1000);
    map.write([1, 2, 3], 6 * REDO_BLOCK);
    map.write(noise(900, 3), LENGTH - 900);
  });
  return { file, commit };
}

function read(path: string, mode: "r" | "c" | "r+"): Uint8Array {
  using map = open(path, mode);
  return map.read();
}

/** Changed sectors of the commit, in order. */
function changedSectors({ before, after }: KilledCommit): number[] {
  const sectors: number[] = [];
  for (let at = 0; at < before.length; at += 512) {
    const [one, other] = [before, after].map((bytes) =>
      Buffer.from(bytes.subarray(at, at + 512))
    );
    if (!one!.equals(other!)) sectors.push(at / 512);
  }
  return sectors;
}

test("of a commit whose journal is whole, all modes see all, whatever of it is in the file", () => {
  const random = randomFrom(SEED);
  const mixtures: Record<string, (sector: number) => boolean> = {
    nothing: () => false,
    all: () => true,
    "every other sector": (sector) => sector % 2 === 0,
    "the first block": (sector) => sector < 8,
    "the last sector": (sector) => sector === Math.floor(LENGTH / 512),
    "all but the first": (sector) => sector > 8,
    "random sectors": () => random() < 0.5,
  };
  for (const [name, isNew] of Object.entries(mixtures)) {
    using folder = temporaryFolder();
    const { file, commit } = killed(folder.path);
    commit.mix(isNew);
    const mixed = file.content();
    for (const mode of ["r", "c", "r"] as const) {
      assert.deepEqual(read(file.path, mode), commit.after, `${name}, ${mode}`);
    }
    {
      using map = open(file.path, "r", { length: 2000 });
      assert.deepEqual(map.read(), commit.after.slice(0, 2000), name);
    }
    assert.deepEqual(file.content(), mixed, name);
    assert.deepEqual(file.beside(), [basename(commit.place)], name);
    assert.deepEqual(read(file.path, "r+"), commit.after, name);
    assert.deepEqual(file.content(), commit.after, name);
    assert.deepEqual(file.beside(), [], name);
    assert.deepEqual(read(file.path, "r"), commit.after, name);
  }
});

test("a journal that is cut or torn anywhere says nothing", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  const { place, journal, before } = commit;
  const torn: Record<string, Uint8Array> = {};
  for (
    const length of [
      0,
      1,
      511,
      512,
      HEADER_SIZE - 1,
      HEADER_SIZE,
      HEADER_SIZE + 1,
      journal.length - 81,
      journal.length - 80,
      journal.length - 1,
    ]
  ) torn[`cut to ${length}`] = journal.subarray(0, length);
  const blocks = Math.floor(
    (journal.length - HEADER_SIZE) / (REDO_BLOCK + 4 * REDO_ENTRY),
  );
  const table = HEADER_SIZE + blocks * REDO_BLOCK;
  for (
    const at of [
      3,
      HEADER_SIZE,
      HEADER_SIZE + 600,
      table - REDO_BLOCK + 3,
      table,
      table + 8,
      table + 20,
      journal.length - 1,
    ]
  ) {
    const changed = journal.slice();
    changed[at]! ^= 4;
    torn[`another byte at ${at}`] = changed;
  }
  const sector = journal.slice();
  sector.fill(0, HEADER_SIZE + 1024, HEADER_SIZE + 1536);
  torn["a sector of zeros"] = sector;
  for (const [name, bytes] of Object.entries(torn)) {
    fs.writeFileSync(place, bytes, { mode: 0o600 });
    for (const mode of ["r", "c"] as const) {
      assert.deepEqual(read(file.path, mode), before, `${name}, ${mode}`);
    }
    assert.deepEqual(read(file.path, "r+"), before, name);
    assert.deepEqual(file.content(), before, name);
    assert.deepEqual(file.beside(), [], name);
  }
});

test("another file that has the journal's name beside it is left as it is", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  const others: Record<string, Uint8Array> = {
    "of other bytes": noise(LENGTH, 9),
    shorter: noise(5000, 9),
    empty: new Uint8Array(0),
    longer: noise(2 * LENGTH, 9),
  };
  for (const [name, content] of Object.entries(others)) {
    fs.writeFileSync(`${file.path}.new`, content);
    fs.renameSync(`${file.path}.new`, file.path);
    fs.writeFileSync(commit.place, commit.journal, { mode: 0o600 });
    for (const mode of ["r", "c", "r+"] as const) {
      assert.deepEqual(read(file.path, mode), content, `${name}, ${mode}`);
    }
    assert.deepEqual(file.content(), content, name);
    assert.deepEqual(file.beside(), [], name);
  }
});

test("a copy of a file and its journal is finished if it was begun, and otherwise as before", () => {
  for (
    const [name, isNew, expected] of [
      ["not begun", () => false, "before"],
      ["half made", (sector: number) => sector % 3 === 0, "after"],
      ["made", () => true, "after"],
    ] as const
  ) {
    using folder = temporaryFolder();
    const { file, commit } = killed(folder.path);
    commit.mix(isNew);
    const copies = join(folder.path, "copies");
    fs.mkdirSync(copies);
    for (const path of [file.path, commit.place]) {
      fs.copyFileSync(path, join(copies, basename(path)));
    }
    const copy = join(copies, basename(file.path));
    for (const mode of ["r", "c", "r+", "r"] as const) {
      assert.deepEqual(read(copy, mode), commit[expected], `${name}, ${mode}`);
    }
    assert.deepEqual(fs.readdirSync(copies), [basename(file.path)], name);
  }
});

test("a mixture that others have written to since is a ConflictError that says how to look", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  const sectors = changedSectors(commit);
  const middle = sectors[sectors.length >> 1]!;
  commit.mix((sector) => sector < middle);
  file.put([99, 98], middle * 512 + 3);
  const there = file.content();
  for (const mode of ["r", "c", "r+"] as const) {
    assert.throws(() => open(file.path, mode), (error: Error) => {
      assert.equal(error.name, CONFLICT.name, mode);
      assert.ok(error.message.includes(`at ${middle * 512}`), error.message);
      assert.ok(error.message.includes(commit.place), error.message);
      assert.match(error.message, /Look at the file with another program/);
      return true;
    });
    assert.deepEqual(file.content(), there, mode);
    assert.deepEqual(file.beside(), [basename(commit.place)], mode);
  }
  // As it says: whoever has looked removes the journal.
  fs.unlinkSync(commit.place);
  assert.deepEqual(read(file.path, "r+"), there);
});

test("a flush of a map that was open already meets the same conflict, and keeps its edits", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  fs.unlinkSync(commit.place);
  const map = open(file.path, "r+", { atomic: true });
  map.write([5], 5);
  fs.writeFileSync(commit.place, commit.journal, { mode: 0o600 });
  const sectors = changedSectors(commit);
  commit.mix((sector) => sector < sectors[5]!);
  file.put([99], sectors[7]! * 512);
  const there = file.content();
  assert.throws(() => map.flush(), CONFLICT);
  assert.deepEqual(file.content(), there);
  assert.deepEqual(map.modified(), [{ begin: 0, end: REDO_BLOCK }]);
  map.close({ discard: true });
  assert.deepEqual(file.beside(), [basename(commit.place)]);
});

test("a flush first finishes what another left, and commits on top of it", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  fs.unlinkSync(commit.place);
  const map = open(file.path, "r+", { atomic: true });
  map.write([5], 5);
  fs.writeFileSync(commit.place, commit.journal, { mode: 0o600 });
  commit.mix((sector) => sector % 2 === 0 && sector > 8);
  map.flush();
  const expected = commit.after.slice();
  expected.set(commit.before.subarray(0, REDO_BLOCK));
  expected[5] = 5;
  assert.deepEqual(file.content(), expected);
  map.close();
  assert.deepEqual(file.beside(), []);
});

test("where others wrote to what was not begun, or to what was all made, theirs stays", () => {
  for (const isNew of [false, true]) {
    using folder = temporaryFolder();
    const { file, commit } = killed(folder.path);
    commit.mix(() => isNew);
    const [, sector] = changedSectors(commit);
    file.put([99, 98], sector! * 512);
    const there = file.content();
    for (const mode of ["r", "c", "r+"] as const) {
      assert.deepEqual(read(file.path, mode), there, `${isNew}, ${mode}`);
    }
    assert.deepEqual(file.content(), there);
    assert.deepEqual(file.beside(), []);
  }
});

test("a file that was cut or grew since keeps its length", () => {
  for (const length of [0, 5000, LENGTH - 1, LENGTH + 5000]) {
    using folder = temporaryFolder();
    const { file, commit } = killed(folder.path);
    fs.truncateSync(file.path, length);
    const there = file.content();
    const isCut = length < LENGTH;
    const expected = there.slice();
    if (!isCut) expected.set(commit.after);
    for (const mode of ["r", "c", "r+"] as const) {
      assert.deepEqual(read(file.path, mode), expected, `${length}, ${mode}`);
    }
    assert.deepEqual(file.content(), expected, `${length}`);
  }
});

test("a commit that did not wait for the disk says nothing after a restart of the system", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  const { note, table, blocks } = parts(commit.journal);
  commit.mix((sector) => sector % 2 === 0);
  const there = file.content();
  const boot = "00000000-0000-0000-0000-000000000000";
  write(commit.place, { ...note, boot, isDurable: false }, blocks, table);
  for (const mode of ["r", "c", "r+"] as const) {
    assert.deepEqual(read(file.path, mode), there, mode);
  }
  assert.deepEqual(file.beside(), []);
});

/** The parts of a journal. */
function parts(journal: Uint8Array): {
  note: Redo;
  blocks: Uint8Array;
  table: Uint32Array<ArrayBuffer>;
} {
  const text = new TextDecoder().decode(journal.subarray(0, HEADER_SIZE));
  const note = JSON.parse(text) as Redo;
  const at = HEADER_SIZE + note.blocks * REDO_BLOCK;
  const { buffer } = journal.slice(at, redoSize(note.blocks));
  return {
    note,
    blocks: journal.slice(HEADER_SIZE, at),
    table: new Uint32Array(buffer as ArrayBuffer),
  };
}

/** Writes a journal, and a checksum that is right. */
function write(
  place: string,
  note: Redo,
  blocks: Uint8Array,
  table: Uint32Array<ArrayBuffer>,
): void {
  const bytes = new Uint8Array(table.buffer);
  const header = headerOf({ ...note, sum: sumOf(bytes) });
  fs.writeFileSync(place, Buffer.concat([header, blocks, bytes]), {
    mode: 0o600,
  });
}

test("journals that lie do no harm, though their checksums are right", () => {
  const lies: Record<string, (table: Uint32Array, note: Redo) => object> = {
    "an offset behind the end": (table) => (table[0] = LENGTH, {}),
    "an offset that no file has": (table) => (table[1] = 2 ** 32 - 1, {}),
    "a block that crosses its end": (table) => (table[0] = 100, {}),
    "an empty block": (table) => (table[2] = 0, {}),
    "a block that is too long": (table) => (table[2] = 2 ** 31, {}),
    "a block twice": (table) => {
      table.copyWithin(0, REDO_ENTRY, 2 * REDO_ENTRY);
      return {};
    },
    "blocks in another order": (table) => {
      const first = table.slice(0, REDO_ENTRY);
      table.copyWithin(0, REDO_ENTRY, 2 * REDO_ENTRY);
      table.set(first, REDO_ENTRY);
      return {};
    },
    "a smaller file": () => ({ size: 100 }),
    "no size": () => ({ size: "much" }),
    "a negative size": () => ({ size: -1 }),
    "no blocks": () => ({ blocks: 0 }),
    "half a block": () => ({ blocks: 0.5 }),
    "more blocks": (_, note) => ({ blocks: note.blocks + 1 }),
    "more blocks than anybody has": () => ({ blocks: 2 ** 53 - 1 }),
    "a name that is none": () => ({ redo: { toString: "no" } }),
  };
  for (const [name, lie] of Object.entries(lies)) {
    using folder = temporaryFolder();
    const { file, commit } = killed(folder.path);
    const { note, blocks, table } = parts(commit.journal);
    const change = lie(table, note);
    write(commit.place, { ...note, ...change }, blocks, table);
    for (const mode of ["r", "c", "r+"] as const) {
      assert.deepEqual(read(file.path, mode), OLD, `${name}, ${mode}`);
    }
    assert.deepEqual(file.content(), OLD, name);
    assert.deepEqual(file.beside(), [], name);
  }
});

test("a journal of holes that speaks of more blocks than memory has is not read", () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path, OLD);
  const place = journalPath(fs.realpathSync(file.path));
  const stat = fs.statSync(file.path, { bigint: true });
  for (const size of [LENGTH, 2 ** 43]) {
    const blocks = 2 ** 31; // whose table takes 160 GiB
    const note: Redo = {
      inode: `${stat.ino}`,
      born: "0",
      size,
      blocks,
      sum: "0",
      redo: "0",
      grows: size,
      isDurable: true,
      boot: undefined,
    } as unknown as Redo;
    fs.writeFileSync(place, headerOf(note), { mode: 0o600 });
    try {
      fs.truncateSync(place, redoSize(blocks));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "EFBIG");
      return fs.unlinkSync(place); // no such journal here
    }
    for (const mode of ["r", "r+"] as const) {
      assert.deepEqual(read(file.path, mode), OLD, `${size}, ${mode}`);
    }
    assert.deepEqual(file.beside(), []);
  }
});

test("random bytes in a journal's place do no harm", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  const random = randomFrom(SEED);
  for (let turn = 0; turn < 40; turn++) {
    const bytes = commit.journal.slice(0, below(random, 2 * HEADER_SIZE));
    // In the header, some characters are other ones; or all is noise.
    if (turn % 4 === 0) bytes.set(noise(bytes.length, turn + 5));
    else {
      for (let i = 0; i < 5; i++) {
        bytes[below(random, Math.min(300, bytes.length))] = below(random, 256);
      }
    }
    fs.writeFileSync(commit.place, bytes, { mode: 0o600 });
    for (const mode of ["r", "r+"] as const) {
      assert.deepEqual(read(file.path, mode), OLD, `${turn}, ${mode}`);
    }
    assert.deepEqual(file.beside(), [], `${turn}`);
  }
});

test("a map that writes over all of the file has no use for what was killed", () => {
  using folder = temporaryFolder();
  const { file, commit } = killed(folder.path);
  commit.mix((sector) => sector % 2 === 0);
  open(file.path, "w+", { length: 100 }).close();
  assert.deepEqual(file.content(), new Uint8Array(100));
  assert.deepEqual(file.beside(), []);
});
