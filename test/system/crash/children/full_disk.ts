/**
 * On a small disk, makes flushes that do not fit, then gives them room and repeats them.
 *
 * Run by crash_test.ts with the folder where the disk is mounted, and what its file system
 * needs to make a file. A file "ballast" there takes what is larger than a small disk.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FlushOptions, type Memmap, open } from "../../../../mod.ts";
import {
  givenArguments,
  isDeno,
  isThorough,
} from "../../../support/support.ts";
import { contentOf, type Driver, noise, same } from "../flush_scenarios.ts";

/** What came of it. */
export interface FullDiskReport {
  /** Flushes that failed for lack of room, and succeeded once there was room. */
  refused: number;
  /** Flushes that succeeded on a full disk. */
  fitted: number;
  problems: string[];
}

interface Case {
  readonly name: string;
  /** The length of the file. With `holes`, most of it is a hole. */
  readonly size?: number;
  readonly holes?: boolean;
  readonly isAtomic?: boolean;
  readonly edit: (map: Memmap) => void;
  readonly options?: FlushOptions;
  /** Free bytes on the disk when the flush begins. */
  readonly room: number;
  /** Is that enough? */
  readonly fits?: boolean;
  /** Is it on tmpfs, where writing to a private page of a hole has filled the hole? */
  readonly fitsInMemory?: boolean;
}

const KIB = 1024;
const SIZE = 1500 * KIB + 11;
const MIDDLE = 700 * KIB + 3;
/** Larger than the disk, and little more: each case reads all of it several times. */
const SPARSE = 20 * 1024 * KIB;
const LARGE = noise(2048 * KIB, 2);
const SMALL = noise(1000, 3);

const [root, given] = givenArguments("folder", "bytes for a new file");
/** What the file system may need to make a file, whatever is in it. */
const FOR_NEW = Number(given);
/** What was there before, and stays. */
const KEPT = ["lost+found", "ballast"];
const path = join(root, "file");
const saved = join(root, "saved");
const filler = join(root, "filler");
const elsewhere = fs.mkdtempSync(join(tmpdir(), "memmap-test-"));

const CASES: readonly Case[] = [
  {
    name: "replace, some room",
    edit: (map) => void map.insert(MIDDLE, SMALL),
    room: 500 * KIB,
  },
  {
    name: "replace, no room",
    edit: (map) => void map.insert(MIDDLE, SMALL),
    room: 0,
  },
  {
    name: "replace by less, no room",
    edit: (map) => map.slice(10, MIDDLE).resize(20),
    room: 0,
  },
  {
    name: "append, some room",
    edit: (map) => void map.insert(map.mappedLength, LARGE),
    room: 1000 * KIB,
  },
  {
    name: "append, room for the journal and a part of it",
    edit: (map) => void map.insert(map.mappedLength, LARGE),
    room: 3000 * KIB,
  },
  {
    name: "append, no room",
    edit: (map) => void map.insert(map.mappedLength, LARGE),
    room: 0,
  },
  {
    name: "in-place, some room",
    edit: (map) => void map.insert(MIDDLE, LARGE),
    options: { strategy: "in-place" },
    room: 1000 * KIB,
  },
  {
    name: "in-place, no room",
    edit: (map) => void map.insert(MIDDLE, LARGE),
    options: { strategy: "in-place" },
    room: 0,
  },
  {
    name: "in-place into holes, some room",
    size: 3 * 1024 * KIB,
    holes: true,
    edit: (map) => void map.insert(5 * KIB, LARGE),
    options: { strategy: "in-place" },
    room: 1000 * KIB,
  },
  {
    name: "in-place into holes, enough room",
    size: 3 * 1024 * KIB,
    holes: true,
    edit: (map) => void map.insert(5 * KIB, LARGE),
    options: { strategy: "in-place" },
    room: 2500 * KIB,
    fits: true,
  },
  {
    name: "in-place between holes larger than the disk, some room",
    size: SPARSE,
    holes: true,
    edit: (map) => void map.insert(SPARSE / 2, LARGE),
    options: { strategy: "in-place" },
    room: 1000 * KIB,
  },
  {
    name: "in-place before holes larger than the disk, little room",
    size: SPARSE,
    holes: true,
    edit: (map) => void map.insert(5 * KIB, SMALL),
    options: { strategy: "in-place" },
    room: 100 * KIB,
    fits: true,
  },
  {
    name: "replace of holes larger than the disk, little room",
    size: SPARSE,
    holes: true,
    edit: (map) => void map.insert(5 * KIB, SMALL),
    room: 100 * KIB,
    fits: true,
  },
  {
    name: "append to holes, some room",
    size: 3 * 1024 * KIB,
    holes: true,
    edit: (map) => void map.insert(map.mappedLength, LARGE),
    room: 1000 * KIB,
  },
  {
    name: "save as, some room",
    edit: (map) => void map.insert(MIDDLE, SMALL),
    options: { path: saved },
    room: 500 * KIB,
  },
  {
    name: "commit into holes, some room",
    size: SPARSE,
    holes: true,
    isAtomic: true,
    edit: (map) => map.write(LARGE, SPARSE / 2),
    room: 1000 * KIB,
  },
  {
    name: "commit into holes, room for the journal alone",
    size: SPARSE,
    holes: true,
    isAtomic: true,
    edit: (map) => map.write(LARGE, SPARSE / 2),
    room: 2500 * KIB,
    fitsInMemory: true,
  },
  {
    name: "commit into holes, enough room",
    size: SPARSE,
    holes: true,
    isAtomic: true,
    edit: (map) => map.write(LARGE.subarray(0, 500 * KIB), SPARSE / 2),
    room: 1500 * KIB,
    fits: true,
  },
  {
    name: "commit over what is there, no room",
    isAtomic: true,
    edit: (map) => map.write(SMALL, MIDDLE),
    room: 0,
  },
  {
    name: "commit over what is there, room for the journal",
    isAtomic: true,
    edit: (map) => map.write(LARGE.subarray(0, 500 * KIB), MIDDLE),
    room: 700 * KIB,
    fits: true,
  },
  {
    name: "cut at the end, no room",
    edit: (map) => map.slice(MIDDLE).resize(10),
    room: 0,
    fits: true,
  },
  {
    name: "delete all, no room",
    edit: (map) => map.slice().resize(0),
    room: 0,
    fits: true,
  },
  {
    name: "cut in-place, no room",
    edit: (map) => map.slice(10, MIDDLE).resize(20),
    options: { strategy: "in-place" },
    room: 0,
    fits: true,
  },
];

const report: FullDiskReport = { refused: 0, fitted: 0, problems: [] };

function fill(room: number): void {
  const fd = fs.openSync(filler, "w");
  const zeros = new Uint8Array(16 * KIB);
  let size = 0;
  try {
    for (;;) size += fs.writeSync(fd, zeros);
  } catch (error) {
    if ((error as { code?: string }).code !== "ENOSPC") throw error;
  }
  fs.fsyncSync(fd);
  fs.ftruncateSync(fd, Math.max(size - room, 0));
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** Free bytes on the disk, after everything written has reached it. */
function roomNow(): number {
  const fd = fs.openSync(root, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  const { bfree, bsize } = fs.statfsSync(root);
  return bfree * bsize;
}

/**
 * What the map would write. Gaps are read with plain reads: reading a hole through a
 * mapping makes tmpfs allocate blocks, or raises SIGBUS if there are none left. Of an
 * atomic map, what was written is read.
 */
function content(map: Memmap): Uint8Array {
  const file = fs.readFileSync(map.path);
  const written = map.atomic ? map.modified() : [];
  for (const { begin, end } of written) file.set(map.read(begin, end), begin);
  const content = new Uint8Array(map.length);
  for (const { slice, begin, end, offset } of map.layout()) {
    content.set(slice?.bytes ?? file.subarray(begin, end), offset);
  }
  return content;
}

async function run(
  given: Case,
  reserve: boolean,
  driver: Driver,
): Promise<void> {
  const { size = SIZE, edit, options = {}, room, isAtomic = false } = given;
  const check = (isRight: boolean, problem: string) => {
    if (!isRight) {
      report.problems.push(
        `${given.name}, ${driver}, reserve: ${reserve}: ${problem}`,
      );
    }
  };
  const flush = async (map: Memmap, options: FlushOptions) =>
    driver === "flush" ? map.flush(options) : await map.flushAsync(options);
  for (const name of fs.readdirSync(root)) {
    if (!KEPT.includes(name)) fs.rmSync(join(root, name));
  }
  const source = options.path === undefined ? path : join(elsewhere, "file");
  if (given.holes) {
    fs.writeFileSync(source, noise(10 * KIB));
    fs.truncateSync(source, size);
  } else fs.writeFileSync(source, noise(size));
  const before = fs.readFileSync(source);
  const { blocks } = fs.statSync(source);
  using map = open(source, "r+", { reserve, atomic: isAtomic });
  edit(map);
  const isFilled = fs.statSync(source).blocks > blocks;
  const fits = given.fits || (given.fitsInMemory && isFilled);
  const after = content(map);
  const target = options.path === undefined ? path : saved;
  const names = () =>
    fs.readdirSync(root).filter((name) => !KEPT.includes(name)).join();
  fill(room + (fits ? FOR_NEW : 0));
  const namesBefore = names();
  const roomBefore = roomNow();

  let thrown: { name: string; code?: string; message: string } | undefined;
  try {
    await flush(map, options);
  } catch (error) {
    thrown = error as Error;
  }
  if (fits) {
    check(thrown === undefined, `threw ${thrown?.message}`);
    check(same(contentOf(target), after), "the file lacks edits");
    report.fitted++;
  } else {
    const { name, code, message } = thrown ?? { name: "nothing", message: "" };
    check(
      name === "SystemError" && code === "ENOSPC",
      `threw ${name}, ${code}: ${message}`,
    );
    check(map.dirty, "edits are no longer pending");
    check(same(contentOf(source), before), "the file is not whole");
    check(same(content(map), after), "edits are lost");
    check(names() === namesBefore, `in the folder: ${names()}`);
    const less = roomBefore - roomNow();
    check(less < 32 * KIB, `${less} bytes of the disk were not given back`);
    report.refused++;
  }
  fs.unlinkSync(filler);
  try {
    await flush(map, fits ? {} : options);
    check(same(contentOf(target), after), "the second flush lost edits");
  } catch (error) {
    check(false, `the second flush failed: ${(error as Error).message}`);
    map.close({ discard: true });
  }
}

/** Appends a little, again and again, where a journal that is kept would not fit. */
function appendWithLittleRoom(durable: boolean): void {
  fs.rmSync(path, { force: true });
  fs.writeFileSync(path, noise(1000));
  using map = open(path);
  fill(64 * KIB + FOR_NEW);
  for (let turn = 0; turn < 4; turn++) {
    using _ = map.insert(map.mappedLength, noise(5000, turn));
    map.flush({ durable });
    report.fitted++;
  }
  fs.unlinkSync(filler);
  const parts = [0, 1, 2, 3].map((turn) => noise(5000, turn));
  const expected = new Uint8Array(Buffer.concat([noise(1000), ...parts]));
  if (!same(contentOf(path), expected)) {
    report.problems.push(`little room, durable: ${durable}: wrong bytes`);
  }
}

/** Opens a file of `size` bytes in mode w+, at first without enough room. */
function makeAnew(size: number, data: number, length: number): void {
  const check = (isRight: boolean, problem: string) => {
    if (!isRight) {
      report.problems.push(`w+ ${length} over ${data} of ${size}: ${problem}`);
    }
  };
  fs.rmSync(path, { force: true });
  fs.writeFileSync(path, noise(data));
  fs.truncateSync(path, size);
  const before = fs.readFileSync(path);
  fill(500 * KIB);
  const roomBefore = roomNow();
  try {
    open(path, "w+", { length }).close();
    check(false, "it was opened without room");
  } catch (error) {
    const { code } = error as { code?: string };
    check(code === "ENOSPC", `threw ${error}`);
    report.refused++;
  }
  check(same(contentOf(path), before), "the old content is gone");
  const less = roomBefore - roomNow();
  check(less < 32 * KIB, `${less} bytes of the disk were not given back`);
  fs.unlinkSync(filler);
  using map = open(path, "w+", { length });
  check(
    map.length === length && map.find("\x01") === -1,
    "the new content is not zeros",
  );
}

/** Opens in mode w+ with a length that most file systems do not allow. */
function makeTooLarge(reserve: boolean): void {
  fs.rmSync(path, { force: true });
  fs.writeFileSync(path, noise(1000));
  try {
    open(path, "w+", { length: 2 ** 43, reserve }).close({ discard: true });
  } catch (error) {
    const { code } = error as { code?: string };
    if (
      (code === "EFBIG" || code === "ENOSPC") &&
      same(contentOf(path), noise(1000))
    ) report.refused++;
    else report.problems.push(`w+ of 8 TiB, reserve: ${reserve}: ${error}`);
  }
}

try {
  makeTooLarge(true);
  makeTooLarge(false);
  for (const reserve of [true, false]) {
    for (const [i, given] of CASES.entries()) {
      // Both drivers take the same steps. In the ordinary run, each has half of the cases.
      const isSync = (i + Number(reserve)) % 2 === Number(isDeno);
      if (isThorough || isSync) await run(given, reserve, "flush");
      if (isThorough || !isSync) await run(given, reserve, "flushAsync");
    }
  }
  appendWithLittleRoom(true);
  appendWithLittleRoom(false);
  makeAnew(SPARSE, 10 * KIB, 4 * 1024 * KIB);
  makeAnew(2 * 1024 * KIB, 10 * KIB, 2 * 1024 * KIB);
  makeAnew(1024 * KIB, 1024 * KIB, 3 * 1024 * KIB);
  makeAnew(3 * 1024 * KIB, 1024 * KIB, 3 * 1024 * KIB);
} finally {
  fs.rmSync(elsewhere, { recursive: true });
}
console.log(JSON.stringify(report));
