/**
 * How much memory does it take to look at a few pages of a huge file?
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { open } from "../mod.ts";
import { GiB, KiB, PAGE, sparseFile, xorshift } from "./suite/files.ts";
import { ask, isDeno, runInChild } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival, Role } from "./suite/question.ts";

const SIZE = 100 * GiB;
const PAGES = 1000;

const WAYS: Record<string, Role> = {
  "a slice a page": "mapped",
  "one view": "mapped",
  "Python mmap": "other",
  "fs.readSync": "plain",
  "C, mmap": "limit",
};

function panelOf(
  title: string,
  unit: Panel["unit"],
  scale: Panel["scale"],
  per = "",
): Panel {
  return {
    title,
    group: `${PAGES} random pages of a sparse file of 100 GiB`,
    unit,
    per,
    better: "less",
    scale,
    ways: WAYS,
    base: "fs.readSync",
  };
}

const RESIDENT = panelOf("Resident memory, over the start", "B", "linear");
const FAULTS = panelOf("Page faults", "faults", "linear");
const TIME = panelOf("Time, the first of all", "ns", "log", "a page");

/** What a process that touched the pages reports about itself. */
interface Footprint {
  resident: number;
  faults: number;
  nanoseconds: number;
  /** The sum of the first byte of each page. */
  check: number;
}

function fileIn(folder: string): string {
  return join(folder, "sparse");
}

function prepare(folder: string): void {
  const path = sparseFile(folder, "sparse", SIZE);
  const random = xorshift();
  const offsets = new Float64Array(PAGES).map(() =>
    Math.floor(random() * SIZE / PAGE) * PAGE
  );
  fs.writeFileSync(join(folder, "offsets"), offsets);
  // One byte in each page, so that the sum shows that they were read.
  const fd = fs.openSync(path, "r+");
  offsets.forEach((at, i) => fs.writeSync(fd, Uint8Array.of(i), 0, 1, at));
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** What the system reports about this process; on Linux only. */
function usage(): { resident: number; faults: number } {
  const status = fs.readFileSync("/proc/self/status", "latin1");
  const stat = fs.readFileSync("/proc/self/stat", "latin1");
  // After the command's name, which may have spaces, come minflt, cminflt and majflt.
  const fields = stat.slice(stat.lastIndexOf(")")).split(" ");
  return {
    resident: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * KiB,
    faults: Number(fields[8]) + Number(fields[10]),
  };
}

/** Runs in a child: touches the pages in one way. */
function touch(way: string, folder: string): Footprint {
  const offsets = new Float64Array(
    new Uint8Array(fs.readFileSync(join(folder, "offsets"))).buffer,
  );
  const path = fileIn(folder);
  let check = 0;
  const before = usage();
  const start = performance.now();
  if (way === "fs.readSync") {
    const fd = fs.openSync(path, "r");
    const page = new Uint8Array(PAGE);
    for (const at of offsets) {
      fs.readSync(fd, page, 0, PAGE, at);
      check += page[0]!;
    }
  } else {
    const map = open(path, "r");
    map.advise("random");
    if (way === "one view") {
      const { bytes } = map.slice();
      for (const at of offsets) check += bytes[at]!;
    } else {
      for (const at of offsets) check += map.slice(at, at + PAGE).bytes[0]!;
    }
  }
  const nanoseconds = (performance.now() - start) * 1e6;
  const after = usage();
  return {
    resident: after.resident - before.resident,
    faults: after.faults - before.faults,
    nanoseconds,
    check,
  };
}

async function measure(bench: Bench): Promise<void> {
  const panels = [RESIDENT, FAULTS, TIME];
  bench.panels(...panels);
  const absent = (ways: string[], why: string) => {
    for (const panel of panels) bench.absent(panel, ways, why);
  };
  if (!fs.existsSync("/proc/self/stat")) {
    return absent(Object.keys(WAYS), "this system has no /proc");
  }
  if (!isDeno) absent(["one view"], "no ArrayBuffer of more than 4 GiB");
  const ways = ["a slice a page", "fs.readSync"];
  if (isDeno) ways.push("one view");
  for (let turn = 0; turn < (bench.quick ? 1 : 5); turn++) {
    for (const way of ways) {
      const { resident, faults, nanoseconds, check } = ofChild(
        way,
        bench.folder,
      );
      const more = { check: String(check) };
      bench.figure(RESIDENT, way, [resident], more);
      bench.figure(FAULTS, way, [faults], more);
      bench.figure(TIME, way, [nanoseconds / PAGES], more);
    }
  }
  await Promise.resolve();
}

function ofChild(way: string, folder: string): Footprint {
  const script = fileURLToPath(import.meta.url);
  const { stdout } = runInChild(script, ["--touch", way, folder]);
  return JSON.parse(stdout) as Footprint;
}

function rivals(folder: string): Rival[] {
  const args = ["footprint", fileIn(folder), join(folder, "offsets")];
  return [RESIDENT, FAULTS, TIME].flatMap(({ title: panel }, which) => [
    { panel, way: "C, mmap", worker: "C", args: [...args, which] },
    { panel, way: "Python mmap", worker: "Python", args: [...args, which] },
  ]);
}

export const question: Question = {
  name: "footprint",
  title: "How much memory does it take to look at a few pages of a huge file?",
  method:
    "Each figure comes from a fresh process, so that compiling its code counts too. The " +
    "map is advised of random access. In C, each page takes exactly one page of memory.",
  seconds: 4,
  prepare,
  measure,
  rivals: (folder) => fs.existsSync("/proc/self/stat") ? rivals(folder) : [],
};

if (import.meta.main) {
  const [flag, way, folder] = process.argv.slice(2);
  if (flag === "--touch") console.log(JSON.stringify(touch(way!, folder!)));
  else await ask(question);
}
