/**
 * Writes through atomic maps, and checks what is pending, what is in the file before and
 * after each flush, how much of the disk it takes, and what a killed commit leaves.
 *
 * Run by file_systems_test.ts with a folder on the file system in question.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { type Memmap, open } from "../../../../mod.ts";
import { libc } from "../../../../ffi/libc.ts";
import { fileIn, killCommit, noise } from "../../../support/atomic.ts";
import { givenArguments } from "../../../support/support.ts";

/** What came of it. */
export interface CommitsReport {
  /** Flushes whose result was checked. */
  flushes: number;
  /** How many of them wrote the file itself. */
  inPlace: number;
  problems: string[];
}

const MIB = 2 ** 20;
const LENGTH = 4 * MIB + 5;
const DATA = 100_000;
/** Rounding, the journal that is kept, and the tree of the file's blocks. */
const SLACK = 512 * 1024;
const PAGE = libc().pageSize;

const [folder] = givenArguments("folder");
const report: CommitsReport = { flushes: 0, inPlace: 0, problems: [] };

function same(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  report.problems.push(`${what}: byte ${at} of ${actual.length} is another`);
}

const BYTES = noise(30_000, 2);
/** What is written, where: over data, into holes, over both, and at the end. */
const WRITES: Readonly<Record<string, readonly number[]>> = {
  "over data": [0, 5000, DATA - BYTES.length],
  "into holes": [MIB, 2 * MIB + 77, 3.5 * MIB],
  "over the end of data": [DATA - 7],
  "at the end": [LENGTH - BYTES.length],
};
/** Edits together with what was written. */
const EDITS: Readonly<Record<string, (map: Memmap) => void>> = {
  "": () => {},
  ", and an append": (map) => map.append(BYTES),
  ", and an insert": (map) => void map.insert(3 * MIB, BYTES),
};

function run(reserve: boolean, durable: boolean): void {
  for (const [name, places] of Object.entries(WRITES)) {
    for (const [more, edit] of Object.entries(EDITS)) {
      const what = `${name}${more}, reserve ${reserve}, durable ${durable}`;
      const before = new Uint8Array(LENGTH);
      before.set(noise(DATA));
      const file = fileIn(folder, before.subarray(0, DATA), "commits");
      fs.truncateSync(file.path, LENGTH);
      const taken = () => fs.statSync(file.path).blocks * 512;
      const map = open(file.path, "r+", { atomic: true, reserve });
      const expected = before.slice();
      const pages = new Set<number>();
      for (const at of places) {
        map.write(BYTES, at);
        expected.set(BYTES, at);
        for (let byte = at; byte < at + BYTES.length; byte++) {
          pages.add(Math.floor(byte / PAGE));
        }
      }
      const found = map.modified()
        .reduce(
          (sum, { begin, end }) => sum + Math.ceil((end - begin) / PAGE),
          0,
        );
      if (found !== pages.size) {
        report.problems.push(`${what}: ${found} of ${pages.size} pages`);
      }
      same(file.content(), before, `${what}, before`);
      edit(map);
      const blocks = taken();
      const { strategy } = map.flush({ durable });
      // Now: looking at holes of tmpfs fills them.
      const now = taken();
      report.flushes++;
      if (strategy === "in-place") report.inPlace++;
      const inserted = more === ", and an insert" ? BYTES : new Uint8Array(0);
      const appended = more === ", and an append" ? BYTES : new Uint8Array(0);
      const whole = Buffer.concat([
        expected.subarray(0, 3 * MIB),
        inserted,
        expected.subarray(3 * MIB),
        appended,
      ]);
      same(file.content(), whole, what);
      same(map.read(), whole, `${what}, in the map`);
      if (map.dirty) report.problems.push(`${what}: something is pending`);
      const most = blocks + places.length * (BYTES.length + PAGE) +
        inserted.length + appended.length + SLACK;
      if (strategy === "in-place" && now > most) {
        report.problems.push(`${what}: ${now} bytes where ${most} do`);
      }
      // Once more, and dropped; and once more, and closed.
      map.write([1], 1.5 * MIB);
      map.revert(1.5 * MIB, 1.5 * MIB + 1);
      map.write([2], 1);
      map.close();
      whole[1] = 2;
      same(file.content(), whole, `${what}, closed`);
      if (file.beside().some((other) => other.includes("memmap"))) {
        report.problems.push(`${what}: left over: ${file.beside()}`);
      }
    }
  }
}

/** What a killed commit leaves is the same to all. */
function kill(): void {
  const file = fileIn(folder, noise(3 * MIB + 5), "killed");
  const { after, mix } = killCommit(file, (map) => {
    map.write(BYTES, 5000);
    map.write(BYTES, 2 * MIB);
  });
  mix((sector) => sector % 3 === 0);
  for (const mode of ["r", "c", "r+", "r"] as const) {
    using map = open(file.path, mode);
    same(map.read(), after, `killed, mode ${mode}`);
  }
  same(file.content(), after, "killed");
}

run(true, true);
run(false, false);
if (report.inPlace === report.flushes * 2 / 3) kill();
console.log(JSON.stringify(report));
