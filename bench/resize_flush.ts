/**
 * What does it cost to change a file's length, at its end, middle or front?
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { open, type Strategy } from "../mod.ts";
import { KiB, MiB, sizeName, writeSynced } from "./suite/files.ts";
import { ask, collectGarbage } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival, Role } from "./suite/question.ts";

/** Bytes that are added or cut. */
const COUNT = 1000;
/** The size at which peak memory is measured, and which has a target. */
const USUAL = 256 * MiB;

function sizes(quick: boolean): number[] {
  return quick ? [MiB, 4 * MiB] : [MiB, 64 * MiB, USUAL, 512 * MiB];
}

type Edit = "append" | "insert" | "shrink";

const EDITS: Record<Edit, string> = {
  append: "at the end of",
  insert: "in the middle of",
  shrink: "at the front of",
};

/** A way to carry an edit out, and whether a crash can leave a mixture. */
interface Writing {
  role: Role;
  change: (path: string, edit: Edit, at: number, durable: boolean) => void;
}

const WRITINGS: Record<string, Writing> = {
  "flush, auto": flushing("auto"),
  "flush, replace": flushing("replace"),
  "flush, in-place": flushing("in-place"),
  "read, write new, rename": { role: "plain", change: replacePlainly },
  "read, write over": { role: "plain", change: overwritePlainly },
};
const BASE = "read, write new, rename";
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
    base: BASE,
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

/** Bytes that repeat after a prime number, so that no move by pages looks right. */
const BLOCK = Uint8Array.from(
  { length: 1_048_573 },
  (_, i) => i ^ (i >> 8) ^ (i >> 16),
);
const ADDED = new Uint8Array(COUNT).fill(7);

/** What the file should hold: pieces of the original, and what was added. */
class Expected {
  #pieces: { original: number; length: number }[];
  #length: number;

  constructor(length: number) {
    this.#pieces = [{ original: 0, length }];
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  edit(edit: Edit, at: number): void {
    if (edit === "shrink") this.#cutFront();
    else this.#add(at);
  }

  /** Throws unless the file at `path` has these bytes, at its ends and elsewhere. */
  check(path: string): void {
    const fd = fs.openSync(path, "r");
    assert.equal(fs.fstatSync(fd).size, this.#length, `length of '${path}'`);
    const window = 64 * KiB;
    const last = Math.max(0, this.#length - window);
    for (let i = 0; i <= 32; i++) {
      const at = Math.floor(last * i / 32);
      const expected = this.#read(at, Math.min(window, this.#length));
      const actual = Buffer.alloc(expected.length);
      fs.readSync(fd, actual, 0, actual.length, at);
      assert(actual.equals(expected), `'${path}' is wrong near byte ${at}`);
    }
    fs.closeSync(fd);
  }

  #add(at: number): void {
    const pieces = [];
    let begin = 0;
    let isIn = false;
    for (const { original, length } of this.#pieces) {
      const cut = at - begin;
      if (!isIn && cut >= 0 && cut <= length) {
        pieces.push(
          { original, length: cut },
          { original: -1, length: COUNT },
          {
            original: original === -1 ? -1 : original + cut,
            length: length - cut,
          },
        );
        isIn = true;
      } else pieces.push({ original, length });
      begin += length;
    }
    this.#pieces = pieces.filter(({ length }) => length > 0);
    this.#length += COUNT;
  }

  #cutFront(): void {
    let left = COUNT;
    for (const piece of this.#pieces) {
      const cut = Math.min(left, piece.length);
      if (piece.original !== -1) piece.original += cut;
      piece.length -= cut;
      left -= cut;
    }
    this.#pieces = this.#pieces.filter(({ length }) => length > 0);
    this.#length -= COUNT;
  }

  #read(from: number, count: number): Buffer {
    const bytes = Buffer.alloc(count, ADDED[0]);
    let begin = 0;
    for (const { original, length } of this.#pieces) {
      const low = Math.max(from, begin);
      const high = Math.min(from + count, begin + length);
      if (original !== -1) {
        for (let at = low; at < high; at++) {
          bytes[at - from] = BLOCK[(original + at - begin) % BLOCK.length];
        }
      }
      begin += length;
    }
    return bytes;
  }
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

function edited(path: string, edit: Edit, at: number): Uint8Array[] {
  const bytes = fs.readFileSync(path);
  return edit === "shrink"
    ? [bytes.subarray(COUNT)]
    : [bytes.subarray(0, at), ADDED, bytes.subarray(at)];
}

/** As safe as a flush: the file is the old one or the new one at any instant. */
function replacePlainly(
  path: string,
  edit: Edit,
  at: number,
  durable: boolean,
): void {
  writeParts(`${path}.new`, edited(path, edit, at), "w", durable);
  fs.renameSync(`${path}.new`, path);
  if (!durable) return;
  const folder = fs.openSync(dirname(path), "r");
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

/** What a crash would leave half-way. */
function overwritePlainly(
  path: string,
  edit: Edit,
  at: number,
  durable: boolean,
): void {
  writeParts(path, edited(path, edit, at), "r+", durable);
}

function writeParts(
  path: string,
  parts: Uint8Array[],
  flags: "w" | "r+",
  durable: boolean,
): void {
  const fd = fs.openSync(path, flags);
  let length = 0;
  for (const part of parts) {
    for (let done = 0; done < part.length;) {
      done += fs.writeSync(fd, part, done, part.length - done, length + done);
    }
    length += part.length;
  }
  fs.ftruncateSync(fd, length);
  if (durable) fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** Brings everything to the disk, so that the next edit does not wait for it. */
function settle(path: string): void {
  for (const each of [path, dirname(path)]) {
    const fd = fs.openSync(each, "r");
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }
}

function create(path: string, size: number): void {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += BLOCK.length) {
    bytes.set(BLOCK.subarray(0, Math.min(BLOCK.length, size - at)), at);
  }
  writeSynced(path, bytes);
}

/** Each way in turn, on one file, which all of them leave the same. */
function measureSize(bench: Bench, size: number): void {
  const path = join(bench.folder, "edited");
  create(path, size);
  const expected = new Expected(size);
  // Small files are quick to edit, and so take many tries to time.
  const turns = bench.quick ? 1 : size <= MiB ? 10 : size <= 64 * MiB ? 3 : 1;
  const isUsual = size === (bench.quick ? MiB : USUAL);
  for (const edit of Object.keys(EDITS) as Edit[]) {
    if (size === USUAL && edit !== "insert") continue;
    for (const durable of [true, false]) {
      const panel = panelOf(size, edit, durable);
      bench.write({ panel });
      const memory = memoryPanel(size);
      const withMemory = isUsual && edit === "insert" && durable &&
        canResetPeak();
      if (withMemory) bench.write({ panel: memory });
      for (let turn = 0; turn < turns; turn++) {
        for (const [way, { change }] of Object.entries(WRITINGS)) {
          const at = edit === "append" ? expected.length : size / 2;
          if (withMemory) collectGarbage();
          const before = withMemory ? resetPeak() : 0;
          const start = performance.now();
          change(path, edit, at, durable);
          const nanoseconds = (performance.now() - start) * 1e6;
          // A collection in between may have made it less than before.
          const peak = withMemory ? Math.max(0, peakMemory() - before) : 0;
          expected.edit(edit, at);
          expected.check(path);
          settle(path);
          const { worker } = bench;
          bench.write({
            figure: { panel: panel.title, way, worker, samples: [nanoseconds] },
          });
          if (!withMemory) continue;
          bench.write({
            figure: { panel: memory.title, way, worker, samples: [peak] },
          });
        }
      }
    }
  }
  fs.rmSync(path);
}

/** Can the most memory that a process has had be forgotten? Linux only. */
function canResetPeak(): boolean {
  return fs.existsSync("/proc/self/clear_refs");
}

/** Forgets it, and answers how much there is now, in bytes. */
function resetPeak(): number {
  fs.writeFileSync("/proc/self/clear_refs", "5");
  return memoryOf("VmRSS");
}

function peakMemory(): number {
  return memoryOf("VmHWM");
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
    "Each edit is opened, made, written and closed; the file is in the page cache " +
    "and on disk before. Durable ways wait for the disk, others leave that to the " +
    "system. auto, replace and the plain rename leave the old file or the new one " +
    "when the power goes; in-place, Python and writing over leave a mixture. After " +
    "every edit the file is compared with what it should be.",
  seconds: 60,
  prepare() {},
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
