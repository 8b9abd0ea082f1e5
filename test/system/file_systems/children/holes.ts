/**
 * Writes into holes through maps and flushes in every way. Then it checks what is in the
 * file, and how much of the disk it takes.
 *
 * Run by file_systems_test.ts with a folder on the file system in question.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { type Memmap, open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

/** What came of it. */
export interface HolesReport {
  /** Flushes whose result was checked. */
  flushes: number;
  /** Does this file system have holes, and report them? */
  hasHoles: boolean;
  problems: string[];
}

const MIB = 2 ** 20;
const LENGTH = 4 * MIB;
/** Without fallocate, a megabyte is written as zeros, reserved or not. */
const ADDED = 3 * MIB;
/** How many more bytes than were written a file may take: rounding, and its block tree. */
const SLACK = 128 * 1024;

const [folder] = givenArguments("folder");
const path = join(folder, "file");
const saved = join(folder, "saved");
const report: HolesReport = { flushes: 0, hasHoles: false, problems: [] };

const taken = (file: string) => fs.statSync(file).blocks * 512;

function check(isRight: boolean, problem: string): void {
  if (!isRight) report.problems.push(problem);
}

/** A file with data at the start, in the middle and at the end. */
function makeSparse(): Uint8Array {
  for (const file of [path, saved]) fs.rmSync(file, { force: true });
  const content = new Uint8Array(LENGTH);
  const fd = fs.openSync(path, "w");
  for (const at of [0, 1.5 * MIB, LENGTH - 5000]) {
    const bytes = content.subarray(at, at + 5000).fill(1 + at % 251);
    fs.writeSync(fd, bytes, 0, bytes.length, at);
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  return content;
}

/** Each writes into a hole, through the map and in `content`. Returns how many bytes. */
const WAYS: Record<string, (map: Memmap, content: Uint8Array) => number> = {
  bytes(map, content) {
    using slice = map.slice(MIB, MIB + 10_000);
    slice.bytes.fill(7);
    content.fill(7, MIB, MIB + 10_000);
    return 10_000;
  },
  "a whole hole"(map, content) {
    const [begin, end] = [1.5 * MIB + 5000, LENGTH - 5000];
    using slice = map.slice(begin, end);
    slice.bytes.fill(8);
    content.fill(8, begin, end);
    return end - begin;
  },
  fill(map, content) {
    using slice = map.slice(MIB + 1, MIB + 3);
    slice.fill(9);
    content.fill(9, MIB + 1, MIB + 3);
    return 2;
  },
  array(map, content) {
    using slice = map.slice(2 * MIB, 3 * MIB);
    slice.array("uint8").set(1000, 10);
    content[2 * MIB + 1000] = 10;
    return 1;
  },
  nothing: () => 0,
  move(map, content) {
    map.move(3 * MIB + 77, 0, 5000);
    content.copyWithin(3 * MIB + 77, 0, 5000);
    return 5000;
  },
};

interface Flush {
  /** Flushes one insert of `map`, and returns where the result is. */
  run(map: Memmap): string;
  mode?: "r" | "c" | "r+";
}

let durable = true;
const INSERTED = new Uint8Array(3).fill(200);
const FLUSHES: Record<string, Flush> = {
  replace: {
    run: (map) => (map.insert(100, INSERTED), map.flush({ durable }), path),
  },
  "in-place": {
    run: (
      map,
    ) => (map.insert(100, INSERTED),
      map.flush({ strategy: "in-place", durable }),
      path),
  },
  save: {
    run: (
      map,
    ) => (map.insert(100, INSERTED),
      map.flush({ path: saved, durable }),
      saved),
  },
  "save from another map": {
    run(_) {
      using reader = open(path, "r");
      reader.flush({ path: saved, durable });
      return saved;
    },
  },
  "save from a private map": {
    mode: "c",
    run: (
      map,
    ) => (map.insert(100, INSERTED),
      map.flush({ path: saved, durable }),
      saved),
  },
};

for (const reserve of [true, false]) {
  durable = reserve; // only half of them wait for the disk, which takes time
  for (const [flushName, { run, mode = "r+" }] of Object.entries(FLUSHES)) {
    for (
      const [wayName, write] of Object.entries(WAYS)
    ) {
      const name = `${wayName}, ${flushName}, reserve: ${reserve}`;
      const content = makeSparse();
      const sparse = taken(path);
      report.hasHoles ||= sparse < LENGTH / 2;
      const map = open(path, mode, { reserve });
      const written = write(map, content);
      const result = run(map);
      const isEdited = flushName !== "save from another map";
      check(
        Buffer.concat([
          content.subarray(0, 100),
          isEdited ? INSERTED : new Uint8Array(),
          content.subarray(100),
        ]).equals(fs.readFileSync(result)),
        `${name}: the file lacks what was written`,
      );
      if (report.hasHoles) {
        const now = taken(result);
        check(
          now <= sparse + written + SLACK,
          `${name}: ${now} bytes on disk, ${sparse} before and ${written} written`,
        );
      }
      map.close({ discard: true });
      report.flushes++;
    }
  }
}

// Many small slices, with inserts in between.
for (const strategy of ["replace", "in-place"] as const) {
  for (const mode of ["r+", "c"] as const) {
    if (mode === "c" && strategy === "in-place") continue;
    const content = makeSparse();
    const sparse = taken(path);
    const map = open(path, mode);
    let expected = 0;
    for (let at = 0; at < LENGTH; at += 100_000) {
      map.insert(at, INSERTED);
      expected += INSERTED.length;
    }
    const pieces = LENGTH / 100_000;
    const options = mode === "c" ? { path: saved } : { strategy };
    map.flush(options);
    const file = fs.readFileSync(map.path);
    let from = 0;
    let at = 0;
    for (; from < LENGTH; from += 100_000) {
      at += INSERTED.length;
      const piece = content.subarray(from, from + 100_000);
      check(
        file.subarray(at, at + piece.length).equals(piece),
        `many slices, ${strategy}, ${mode}: wrong bytes at ${at}`,
      );
      at += piece.length;
    }
    check(file.length === LENGTH + expected, "many slices: wrong length");
    if (report.hasHoles) {
      const now = taken(map.path);
      check(
        now <= sparse + pieces * 8192 + SLACK,
        `many slices, ${strategy}, ${mode}: ${now} bytes on disk, ${sparse} before`,
      );
    }
    map.close();
    report.flushes++;
  }
}

// Cutting bytes out moves data and holes towards the start.
for (const strategy of ["replace", "in-place"] as const) {
  const content = makeSparse();
  const sparse = taken(path);
  const map = open(path);
  map.slice(50, MIB + 77).resize(0);
  map.flush({ strategy });
  const file = fs.readFileSync(path);
  check(
    file.subarray(0, 50).equals(content.subarray(0, 50)) &&
      file.subarray(50).equals(content.subarray(MIB + 77)),
    `cut, ${strategy}: wrong bytes`,
  );
  if (report.hasHoles) {
    check(taken(path) <= sparse + SLACK, `cut, ${strategy}: ${taken(path)}`);
  }
  map.close();
  report.flushes++;
}

// If the file is made longer, only the new part gets blocks, and only if reserved.
for (const reserve of [true, false]) {
  const content = makeSparse();
  const sparse = taken(path);
  const map = open(path, "r+", { length: LENGTH + ADDED, reserve });
  const now = taken(path);
  check(
    !report.hasHoles || now <= sparse + (reserve ? ADDED : 0) + SLACK,
    `longer, reserve: ${reserve}: ${now} bytes on disk, ${sparse} before`,
  );
  check(
    fs.readFileSync(path).equals(
      Buffer.concat([content, new Uint8Array(ADDED)]),
    ),
    `longer, reserve: ${reserve}: wrong bytes`,
  );
  map.close();
  const anew = open(path, "w+", { length: LENGTH, reserve });
  check(
    reserve || !report.hasHoles || taken(path) <= SLACK,
    `w+, reserve: ${reserve}: ${taken(path)} bytes on disk`,
  );
  check(
    fs.readFileSync(path).equals(new Uint8Array(LENGTH)),
    `w+, reserve: ${reserve}: wrong bytes`,
  );
  anew.close();
}

// Reserved blocks that were never written are not holes.
for (const strategy of ["replace", "in-place"] as const) {
  fs.rmSync(path);
  const map = open(path, "w+", { length: LENGTH });
  const reserved = taken(path);
  map.insert(10, INSERTED);
  map.flush({ strategy });
  check(
    taken(path) >= Math.min(reserved, LENGTH),
    `reserved, ${strategy}: ${taken(path)} bytes on disk, ${reserved} before`,
  );
  map.close();
  report.flushes++;
}

console.log(JSON.stringify(report));
