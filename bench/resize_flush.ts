/**
 * What does it cost to change a file's length, at its end, middle or front?
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { open, type Strategy } from "../mod.ts";
import { ExpectedFile } from "./suite/expected_file.ts";
import { KiB, MiB, sizeName } from "./suite/files.ts";
import { ask, collectGarbage } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival, Role } from "./suite/question.ts";

/** How many bytes are added or cut. */
const COUNT = 1000;
/** The size for which peak memory is measured and which has a target. */
const USUAL = 256 * MiB;

function sizes(quick: boolean): number[] {
  return quick ? [MiB, 4 * MiB] : [MiB, 64 * MiB, USUAL, 512 * MiB];
}

const ADDED = new Uint8Array(COUNT).fill(7);

type Edit = "append" | "insert" | "shrink";

const EDITS: Record<Edit, string> = {
  append: "at the end of",
  insert: "in the middle of",
  shrink: "at the front of",
};

/** A way to carry out an edit. */
interface Writing {
  role: Role;
  change: (path: string, edit: Edit, at: number, durable: boolean) => void;
}

const WRITINGS: Record<string, Writing> = {
  "flush, auto": flushing("auto"),
  "flush, replace": flushing("replace"),
  "flush, in-place": flushing("in-place"),
  "read, write new, rename": { role: "plain", change: replacePlainly },
  "write over, from the edit on": { role: "plain", change: overwritePlainly },
};
/** What one would do without this library. Nobody rewrites a file to append to it. */
const BASE: Record<Edit, string> = {
  append: "write over, from the edit on",
  insert: "read, write new, rename",
  shrink: "read, write new, rename",
};
const PYTHON = "Python mmap, resize, move";

function panelOf(size: number, edit: Edit, durable: boolean): Panel {
  const verb = edit === "shrink" ? "cut" : "added";
  const waits = durable ? "durable" : "not durable";
  return {
    title: `${EDITS[edit]} ${sizeName(size)}, ${waits}`,
    group: `${COUNT} bytes ${verb} ${
      EDITS[edit].replace(/ of$/, "")
    }, ${waits}`,
    unit: "ns",
    per: "an edit",
    better: "less",
    scale: "log",
    ways: Object.fromEntries([
      ...Object.entries(WRITINGS).map(([way, { role }]) => [way, role]),
      ...edit === "insert" && durable ? [[PYTHON, "other"]] : [],
    ]),
    base: BASE[edit],
  };
}

function memoryPanel(size: number): Panel {
  return {
    ...panelOf(size, "insert", true),
    title: `peak memory, in the middle of ${sizeName(size)}`,
    group: `Peak memory when ${COUNT} bytes are added in the middle`,
    unit: "B",
    scale: "linear",
  };
}

function flushing(strategy: Strategy): Writing {
  return {
    role: "mapped",
    change(path, edit, at, durable) {
      using map = open(path);
      if (edit === "shrink") map.slice(0, COUNT).resize(0);
      else map.insert(at, ADDED);
      map.flush({ strategy, durable });
    },
  };
}

/** As safe as a flush: at any time, the file is the old one or the new one. */
function replacePlainly(
  path: string,
  edit: Edit,
  at: number,
  durable: boolean,
): void {
  const bytes = fs.readFileSync(path);
  const parts = edit === "shrink"
    ? [bytes.subarray(COUNT)]
    : [bytes.subarray(0, at), ADDED, bytes.subarray(at)];
  const fd = fs.openSync(`${path}.new`, "w");
  writeParts(fd, parts, 0);
  if (durable) fs.fsyncSync(fd);
  fs.closeSync(fd);
  fs.renameSync(`${path}.new`, path);
  if (!durable) return;
  const folder = fs.openSync(dirname(path), "r");
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

/** Touches nothing before the edit. A crash would leave a mixture. */
function overwritePlainly(
  path: string,
  edit: Edit,
  at: number,
  durable: boolean,
): void {
  const fd = fs.openSync(path, "r+");
  const from = edit === "shrink" ? COUNT : at;
  const behind = new Uint8Array(fs.fstatSync(fd).size - from);
  for (let done = 0; done < behind.length;) {
    const left = behind.length - done;
    done += fs.readSync(fd, behind, done, left, from + done);
  }
  if (edit === "shrink") fs.ftruncateSync(fd, writeParts(fd, [behind], 0));
  else writeParts(fd, [ADDED, behind], at);
  if (durable) fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** Writes the parts. Returns where the last one ends. */
function writeParts(fd: number, parts: Uint8Array[], from: number): number {
  let at = from;
  for (const part of parts) {
    for (let done = 0; done < part.length;) {
      done += fs.writeSync(fd, part, done, part.length - done, at + done);
    }
    at += part.length;
  }
  return at;
}

/** Writes everything to the disk, so that the next edit does not wait for it. */
function settle(path: string): void {
  for (const each of [path, dirname(path)]) {
    const fd = fs.openSync(each, "r");
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }
}

/** What an edit costs. */
interface Cost {
  nanoseconds: number;
  /** The peak of memory in bytes, above what was in use before; on Linux only. */
  peak: number | undefined;
}

/** Makes an edit, then compares the file with what it should be. */
function costOf(
  { change }: Writing,
  path: string,
  edit: Edit,
  durable: boolean,
  expected: ExpectedFile,
): Cost {
  const at = edit === "append" ? expected.length : expected.middle;
  collectGarbage();
  const before = resetPeak();
  const start = performance.now();
  change(path, edit, at, durable);
  const nanoseconds = (performance.now() - start) * 1e6;
  // A collection meanwhile may have freed more than the edit used.
  const peak = before && Math.max(0, memoryOf("VmHWM") - before);
  if (edit === "shrink") expected.cutFront(COUNT);
  else expected.insert(at, ADDED);
  expected.check(path);
  settle(path);
  return { nanoseconds, peak };
}

/** Runs the ways in turn on one file, to which all of them do the same. */
function measureSize(bench: Bench, size: number): void {
  const path = join(bench.folder, "edited");
  const expected = ExpectedFile.create(path, size);
  // Edits of small files are quick, so timing them takes many tries.
  const turns = bench.quick ? 1 : size <= MiB ? 10 : size <= 64 * MiB ? 3 : 1;
  const isUsual = size === (bench.quick ? MiB : USUAL);
  const edits = (Object.keys(EDITS) as Edit[])
    .filter((edit) => edit === "insert" || size !== USUAL);
  for (const edit of edits) {
    for (const durable of [true, false]) {
      const panel = panelOf(size, edit, durable);
      bench.panels(panel);
      const memory = isUsual && edit === "insert" && durable
        ? memoryPanel(size)
        : undefined;
      if (memory !== undefined) announceMemory(bench, memory);
      for (let turn = 0; turn < turns; turn++) {
        for (const [way, writing] of Object.entries(WRITINGS)) {
          const cost = costOf(writing, path, edit, durable, expected);
          bench.figure(panel, way, [cost.nanoseconds]);
          if (memory !== undefined && cost.peak !== undefined) {
            bench.figure(memory, way, [cost.peak]);
          }
        }
      }
    }
  }
  fs.rmSync(path);
}

const CLEAR_REFS = "/proc/self/clear_refs";

function announceMemory(bench: Bench, panel: Panel): void {
  bench.panels(panel);
  if (fs.existsSync(CLEAR_REFS)) return;
  const why = "the peak of memory is not known here";
  bench.absent(panel, Object.keys(panel.ways), why);
}

/** Resets the peak of memory. Returns how many bytes are in use now. */
function resetPeak(): number | undefined {
  if (!fs.existsSync(CLEAR_REFS)) return undefined;
  fs.writeFileSync(CLEAR_REFS, "5");
  return memoryOf("VmRSS");
}

function memoryOf(field: "VmRSS" | "VmHWM"): number {
  const status = fs.readFileSync("/proc/self/status", "latin1");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) *
    KiB;
}

async function measure(bench: Bench): Promise<void> {
  for (const size of sizes(bench.quick)) measureSize(bench, size);
  await Promise.resolve();
}

function rivals(folder: string, quick: boolean): Rival[] {
  return sizes(quick).map((size) => ({
    panel: panelOf(size, "insert", true).title,
    way: PYTHON,
    worker: "Python",
    args: ["resize_flush", join(folder, "python"), size, COUNT],
  }));
}

export const question: Question = {
  name: "resize_flush",
  title:
    "What does it cost to change a file's length, at its end, middle or front?",
  method:
    "For each edit, the file is opened, changed, written and closed. It is in the page " +
    "cache and on disk before. Durable ways wait for the disk, and others leave that to " +
    "the system. After a power cut, auto, replace and the plain rename leave the old " +
    "file or the new one. In-place, Python and writing over leave a mixture. Appending " +
    "by writing over is a plain append: it is quick, and a crash leaves a part of it. " +
    "After every edit the whole file is compared with what it should be.",
  seconds: 60,
  prepare() {},
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
