/**
 * Flushes what may share its blocks with the file that was there before, and looks at
 * what is in the files then, and how much of the disk they take.
 *
 * Run by reflinks_test.ts with a folder on the file system in question, and whether
 * files can share blocks there.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type FlushOptions, type Memmap, open } from "../../../../mod.ts";
import { noise } from "../../crash/flush_scenarios.ts";
import {
  below,
  isDeno,
  isThorough,
  randomFrom,
} from "../../../support/support.ts";

/** What came of it. */
export interface ReflinksReport {
  /** Flushes whose result was looked at. */
  flushes: number;
  /** Flushes that a full disk refused. */
  refused: number;
  problems: string[];
}

const KIB = 1024;
const MIB = 2 ** 20;
const LENGTH = 12 * MIB + 777;
const MIDDLE = 6 * MIB + 5;
/** Bytes that the file system itself may need: its trees, and what it rounds up. */
const SLACK = MIB;

const [, , folder, kind] = process.argv;
const shares = kind === "shares";
const path = join(folder!, "file");
const saved = join(folder!, "saved");
const filler = join(folder!, "filler");
const report: ReflinksReport = { flushes: 0, refused: 0, problems: [] };
const FILE = noise(LENGTH);
/** In the ordinary run, each runtime tries one of them. */
const RESERVES = isThorough ? [true, false] : [isDeno];

function check(isRight: boolean, problem: string): void {
  if (!isRight) report.problems.push(problem);
}

const taken = (file: string) => fs.statSync(file).blocks * 512;

/** Bytes that are free, once all that was written is on the disk. */
function roomNow(): number {
  spawnSync("sync", ["-f", folder!]);
  const { bfree, bsize } = fs.statfsSync(folder!);
  return bfree * bsize;
}

function makeFile(content: Uint8Array = FILE): void {
  for (const name of fs.readdirSync(folder!)) {
    if (name.includes("lost+found") || name === "image" || name === "log") {
      continue;
    }
    fs.rmSync(join(folder!, name));
  }
  fs.writeFileSync(path, content);
}

/** What the map will be, with gaps taken from `content`. */
function contentOf(map: Memmap, content: Uint8Array): Uint8Array {
  const result = new Uint8Array(map.length);
  for (const { slice, begin, end, offset } of map.layout()) {
    result.set(slice?.slice() ?? content.subarray(begin, end), offset);
  }
  return result;
}

const isAt = (file: string, content: Uint8Array) =>
  Buffer.compare(fs.readFileSync(file), content) === 0;

/**
 * Makes `edit` and flushes it while the old file is still held open: how much room
 * that takes. Looks whether both have what they should.
 */
function roomFor(
  name: string,
  edit: (map: Memmap, content: Uint8Array) => void,
  { reserve, ...options }: FlushOptions & { reserve?: boolean } = {},
  content: Uint8Array = FILE.slice(),
): number {
  const old = fs.openSync(path, "r");
  const map = open(path, "r+", reserve === undefined ? {} : { reserve });
  const before = roomNow();
  edit(map, content);
  const expected = contentOf(map, content);
  map.flush(options);
  const used = before - roomNow();
  check(isAt(map.path, expected), `${name}: wrong bytes`);
  check(
    Buffer.compare(fs.readFileSync(old), content) === 0,
    `${name}: the old file was changed`,
  );
  fs.closeSync(old);
  map.close();
  report.flushes++;
  return used;
}

const insertLarge = (map: Memmap) => void map.insert(MIDDLE, noise(MIB, 2));
const insertSmall = (map: Memmap) => void map.insert(MIDDLE, noise(1000, 3));

function sharing(): void {
  const copied = shares ? 0 : LENGTH;
  const cases: [
    name: string,
    edit: (map: Memmap, content: Uint8Array) => void,
    room: number,
    options?: FlushOptions,
  ][] = [
    ["a multiple of the block at an odd offset", insertLarge, MIB],
    ["not durable", insertLarge, MIB, { durable: false }],
    ["to another file", insertLarge, MIB, { path: saved }],
    ["a few bytes", insertSmall, LENGTH - MIDDLE],
    [
      "nothing",
      (map) => {
        map.slice(10, 20).resize(20);
        map.slices[0]!.resize(10);
      },
      0,
      { strategy: "replace" },
    ],
    ["a multiple of the block cut out", (map) => {
      map.slice(MIDDLE, MIDDLE + MIB).resize(0);
    }, 0],
    ["what was just written through the map", (map, content) => {
      for (const at of [0, 4096 * 7 + 1, MIDDLE - 3, LENGTH - 9]) {
        using slice = map.slice(at, at + 9);
        slice.fill(at % 251);
        content.fill(at % 251, at, at + 9);
      }
      insertLarge(map);
    }, MIB],
  ];
  for (const [name, edit, room, options] of cases) {
    for (const reserve of RESERVES) {
      const where = `${name}, reserve: ${reserve}`;
      makeFile();
      const used = roomFor(where, edit, { ...options, reserve });
      check(
        used <= room + copied + SLACK,
        `${where}: ${used} bytes of the disk`,
      );
    }
  }
}

/** Afterwards each file is its own: what is written to one is not in the other. */
function apart(): void {
  makeFile();
  const map = open(path);
  insertLarge(map);
  const expected = contentOf(map, FILE);
  map.flush({ path: saved });
  const other = open(path);
  map.slice(0, 5).fill(1);
  other.slice(4096, 4100).fill(2);
  map.sync();
  other.sync();
  const content = FILE.slice();
  expected.fill(1, 0, 5);
  content.fill(2, 4096, 4100);
  check(isAt(saved, expected), "apart: the new file");
  check(isAt(path, content), "apart: the old file");
  map.close();
  other.close();
  report.flushes++;
}

/** Holes stay holes, and what was reserved and not written to stays reserved. */
function holes(): void {
  for (const durable of [true, false]) {
    makeFile(FILE.subarray(0, MIB));
    fs.truncateSync(path, LENGTH);
    const fd = fs.openSync(path, "r+");
    fs.writeSync(fd, FILE, LENGTH - 2 * MIB, 2 * MIB, LENGTH - 2 * MIB);
    fs.closeSync(fd);
    const content = new Uint8Array(fs.readFileSync(path));
    const used = roomFor(
      "holes",
      (map, content) => {
        map.slice(5 * MIB, 5 * MIB + 7).fill(3);
        content.fill(3, 5 * MIB, 5 * MIB + 7);
        insertLarge(map);
      },
      { durable },
      content,
    );
    check(taken(path) <= 5 * MIB, `holes: ${taken(path)} bytes on disk`);
    check(
      used <= (shares ? 1 : 4) * MIB + SLACK,
      `holes: ${used} bytes of the disk`,
    );
  }
  for (const reserve of [true, false]) {
    makeFile(new Uint8Array());
    const map = open(path, "w+", { length: LENGTH, reserve });
    const content = new Uint8Array(LENGTH);
    for (const at of [0, 3 * MIB, MIDDLE, LENGTH - 10]) {
      map.slice(at, at + 9).fill(7);
      content.fill(7, at, at + 9);
    }
    insertLarge(map);
    const expected = contentOf(map, content);
    map.flush();
    check(isAt(path, expected), `reserve: ${reserve}: wrong bytes`);
    const blocks = taken(path);
    check(
      reserve ? blocks >= expected.length : blocks <= 2 * MIB,
      `reserve: ${reserve}: ${blocks} bytes on disk`,
    );
    map.close();
    report.flushes++;
  }
}

/** Takes the disk's room but for `room` bytes. */
function fill(room: number): void {
  const fd = fs.openSync(filler, "w");
  const chunk = noise(256 * KIB, 9);
  let size = 0;
  for (let length = chunk.length; length >= 4 * KIB;) {
    try {
      size += fs.writeSync(fd, chunk, 0, length);
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOSPC") throw error;
      length /= 2;
    }
  }
  fs.fsyncSync(fd);
  fs.ftruncateSync(fd, Math.max(size - room, 0));
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** A full disk is ENOSPC, and what needs little room has it. */
function fullDisk(): void {
  const cases: [
    name: string,
    edit: (map: Memmap) => void,
    room: number,
    fits: boolean,
    options?: FlushOptions,
  ][] = [
    ["large, no room", insertLarge, 0, false],
    ["large, little room", insertLarge, 512 * KIB, false],
    ["large, not durable", insertLarge, 512 * KIB, false, { durable: false }],
    ["large, enough room", insertLarge, 4 * MIB, shares],
    ["large, to another", insertLarge, 4 * MIB, shares, { path: saved }],
    ["small, too little room", insertSmall, 4 * MIB, false],
    ["small, to another", insertSmall, 4 * MIB, false, { path: saved }],
  ];
  for (const reserve of RESERVES) {
    for (const [name, edit, room, fits, options = {}] of cases) {
      const where = `full disk, ${name}, reserve: ${reserve}`;
      makeFile();
      const map = open(path, "r+", reserve === undefined ? {} : { reserve });
      edit(map);
      const expected = contentOf(map, FILE);
      roomNow();
      fill(room);
      const names = fs.readdirSync(folder!).join();
      let thrown: { code?: string; message: string } | undefined;
      try {
        map.flush(options);
      } catch (error) {
        thrown = error as Error;
      }
      if (fits) check(thrown === undefined, `${where}: ${thrown?.message}`);
      else {
        report.refused++;
        check(
          thrown?.code === "ENOSPC",
          `${where}: threw ${thrown?.code}: ${thrown?.message}`,
        );
        check(map.dirty && map.path === path, `${where}: edits are lost`);
        const left = fs.readdirSync(folder!).join();
        check(left === names, `${where}: in the folder: ${left}`);
      }
      check(
        thrown === undefined || isAt(path, FILE),
        `${where}: the file is not whole`,
      );
      fs.unlinkSync(filler);
      roomNow();
      if (thrown !== undefined) map.flush(options);
      check(isAt(map.path, expected), `${where}: wrong bytes`);
      map.close();
      report.flushes++;
    }
  }
}

/**
 * Blocks that are shared need new ones when they are written over. In place, that
 * shows before the first is.
 */
function fullDiskInPlace(): void {
  makeFile();
  const map = open(path);
  map.flush({ path: saved });
  map.insert(4097, noise(4096, 4));
  const expected = contentOf(map, FILE);
  for (const room of [0, 3 * MIB, 9 * MIB]) {
    fill(room);
    let thrown: { code?: string; message: string } | undefined;
    try {
      map.flush({ strategy: "in-place" });
    } catch (error) {
      thrown = error as Error;
    }
    const where = `in place, ${room} bytes free`;
    check(thrown?.code === "ENOSPC", `${where}: threw ${thrown?.message}`);
    check(isAt(saved, FILE), `${where}: the file is not whole`);
    check(map.dirty, `${where}: edits are lost`);
    fs.unlinkSync(filler);
    roomNow();
    report.refused++;
  }
  map.flush({ strategy: "in-place" });
  check(isAt(saved, expected), "in place: wrong bytes");
  check(isAt(path, FILE), "in place: the other file was changed");
  map.close();
  report.flushes++;
}

/** A view that writes over shared blocks needs new ones, and without room is a fault. */
function fullDiskInMemory(): void {
  makeFile();
  const map = open(path);
  map.flush({ path: saved });
  const slice = map.slice(0, 8 * MIB);
  fill(0);
  let name: string | undefined;
  try {
    slice.fill(1);
  } catch (error) {
    ({ name } = error as Error);
  }
  // Without the guard, the process would be gone by now.
  check(name === "FaultError", `written to on a full disk: ${name}`);
  check(map.faults > 0, "written to on a full disk: no fault was counted");
  fs.unlinkSync(filler);
  map.close({ discard: true });
  check(isAt(path, FILE), "a fault changed the other file");
}

/** Many edits at any offsets, some by whole blocks. */
function random(): void {
  const next = randomFrom(5);
  for (let turn = 0; turn < 12; turn++) {
    makeFile();
    const map = open(path);
    let at = 0;
    for (let edits = 1 + below(next, 6); edits > 0 && at < LENGTH; edits--) {
      at += below(next, LENGTH / 4);
      if (at >= LENGTH) break;
      const length = below(next, 2) === 0
        ? 4096 * below(next, 40)
        : below(next, 100_000);
      if (below(next, 2) === 0) map.insert(at, noise(length, at));
      else {
        const end = Math.min(at + length, LENGTH);
        map.slice(at, end).resize(0);
        at = end;
      }
    }
    const expected = contentOf(map, FILE);
    map.flush({ durable: false, strategy: "replace" });
    check(isAt(path, expected), `random turn ${turn}: wrong bytes`);
    map.close();
    report.flushes++;
  }
}

sharing();
apart();
holes();
fullDisk();
if (shares) {
  fullDiskInPlace();
  fullDiskInMemory();
}
random();
console.log(JSON.stringify(report));
