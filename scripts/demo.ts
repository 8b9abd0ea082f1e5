/**
 * The demonstration that `scripts/demo` runs under each runtime: maps a file,
 * searches it, edits a copy, and checks the result against plain file I/O; then
 * reads a file of the system's time-zone database through arrays.
 *
 * Works on a file of any size: nothing here reads it whole.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { isatty } from "node:tty";
import { type LayoutEntry, type MemmapSlice, open } from "../mod.ts";
import { hex, say, size, time, whole } from "./demo_print.ts";
import { readTimeZone } from "./demo_tzif.ts";

const PIECE = 2 ** 23;
/** Slices of huge files are no larger than this, since a resized one is in memory. */
const LARGEST = 2 ** 28;
const COLUMNS = 52;
/** Milliseconds between two ticks of the clock. */
const CLOCK = 5;

// Measuring.

function timed<T>(work: () => T): [result: T, milliseconds: number] {
  const start = performance.now();
  const result = work();
  return [result, performance.now() - start];
}

/** How far a piece of work is, on stderr, once it has taken a second. */
class Progress implements Disposable {
  readonly #what: string;
  readonly #isTerminal = isatty(2);
  #next = performance.now() + 1000;
  #shown = false;

  constructor(what: string) {
    this.#what = what;
  }

  readonly show = (done: number, total: number): void => {
    const isDone = done >= total;
    // What follows the last byte is the wait for the disk, which reports nothing.
    const isDue = performance.now() >= this.#next ||
      (isDone && (this.#isTerminal || this.#shown));
    if (!isDue) return;
    this.#next = performance.now() + (this.#isTerminal ? 100 : 2000);
    this.#shown = true;
    const percent = Math.floor(done / total * 100);
    const text = `${this.#what}: ${percent} % of ${size(total)}`;
    fs.writeSync(2, this.#isTerminal ? `\r  ${text}\x1b[K` : `  ${text}\n`);
  };

  [Symbol.dispose](): void {
    if (this.#shown && this.#isTerminal) fs.writeSync(2, "\r\x1b[K");
  }
}

// Searching.

/** A text to look for, from the last tenth of the file; bytes where there is no text. */
function choosePattern(path: string, length: number): Buffer {
  const fd = fs.openSync(path, "r");
  try {
    const begin = Math.max(Math.floor(length * 0.9), length - 2 * PIECE);
    const bytes = Buffer.alloc(length - begin);
    readFully(fd, bytes, begin);
    const texts = bytes.toString("latin1").match(
      /[A-Z][\w .,:'-]{10,36}[a-z]/g,
    );
    const longest = texts?.reduce((a, b) => a.length < b.length ? b : a);
    if (longest !== undefined) return Buffer.from(longest, "latin1");
    return Buffer.from(bytes.subarray(0, 16));
  } finally {
    fs.closeSync(fd);
  }
}

/** The first place where `findIn` finds `pattern`, piece by piece, so that progress shows. */
function search(
  what: string,
  pattern: Buffer,
  length: number,
  findIn: (begin: number, end: number) => number,
): number {
  using progress = new Progress(what);
  for (let at = 0; at < length; at += PIECE) {
    const found = findIn(at, Math.min(at + PIECE + pattern.length - 1, length));
    if (found !== -1) return found;
    progress.show(Math.min(at + PIECE, length), length);
  }
  return -1;
}

function searchByReading(
  path: string,
  pattern: Buffer,
  length: number,
): number {
  const fd = fs.openSync(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(PIECE + pattern.length - 1);
    return search("reading", pattern, length, (begin, end) => {
      const bytes = buffer.subarray(0, end - begin);
      readFully(fd, bytes, begin);
      const found = bytes.indexOf(pattern);
      return found === -1 ? -1 : begin + found;
    });
  } finally {
    fs.closeSync(fd);
  }
}

// Plain file I/O, the rival and the referee.

function readFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length;) {
    const count = fs.readSync(fd, bytes, at, bytes.length - at, position + at);
    if (count === 0) throw new Error("The file became shorter meanwhile.");
    at += count;
  }
}

function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    at += fs.writeSync(fd, bytes, at, bytes.length - at);
  }
}

function fsync(path: string, flags: string): void {
  const fd = fs.openSync(path, flags);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** A stretch of a new file: a range of the old one, or bytes. */
type Stretch = { begin: number; end: number } | Uint8Array;

/** Writes `target` anew from stretches of `source`: as safe against a crash as flush. */
function assemble(
  what: string,
  source: string,
  target: string,
  stretches: readonly Stretch[],
): void {
  using progress = new Progress(what);
  const total = stretches.reduce((sum, s) => sum + lengthOf(s), 0);
  const temporary = `${target}.new`;
  const buffer = Buffer.allocUnsafe(PIECE);
  const input = fs.openSync(source, "r");
  const output = fs.openSync(temporary, "w");
  let done = 0;
  for (const stretch of stretches) {
    for (let at = 0; at < lengthOf(stretch); at += PIECE) {
      const count = Math.min(PIECE, lengthOf(stretch) - at);
      let bytes: Uint8Array = buffer.subarray(0, count);
      if (stretch instanceof Uint8Array) {
        bytes = stretch.subarray(at, at + count);
      } else readFully(input, bytes, stretch.begin + at);
      writeFully(output, bytes);
      progress.show(done += count, total);
    }
  }
  fs.fsyncSync(output);
  fs.closeSync(output);
  fs.closeSync(input);
  fs.renameSync(temporary, target);
  fsync(dirname(target), "r");
}

function lengthOf(stretch: Stretch): number {
  return stretch instanceof Uint8Array
    ? stretch.length
    : stretch.end - stretch.begin;
}

/** The offset of the first byte in which two files differ, or -1. */
function firstDifference(a: string, b: string): number {
  const length = fs.statSync(a).size;
  const other = fs.statSync(b).size;
  if (length !== other) return Math.min(length, other);
  using progress = new Progress("comparing");
  const [fdA, fdB] = [fs.openSync(a, "r"), fs.openSync(b, "r")];
  const [bufferA, bufferB] = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];
  try {
    for (let at = 0; at < length; at += PIECE) {
      const count = Math.min(PIECE, length - at);
      const [x, y] = [bufferA.subarray(0, count), bufferB.subarray(0, count)];
      readFully(fdA, x, at);
      readFully(fdB, y, at);
      if (!x.equals(y)) return at + x.findIndex((byte, i) => byte !== y[i]);
      progress.show(at + count, length);
    }
    return -1;
  } finally {
    fs.closeSync(fdA);
    fs.closeSync(fdB);
  }
}

// The picture.

type Names = ReadonlyMap<MemmapSlice, string>;

/** `count` columns of `fill` with `name` in the middle. */
function bar(name: string, fill: string, count: number): string {
  const left = Math.max(count - name.length, 0) >> 1;
  return (fill.repeat(left) + name).padEnd(count, fill);
}

/** As many columns as `bytes` deserve; none only for none. */
function columns(bytes: number, scale: number): number {
  return bytes === 0 ? 0 : Math.max(Math.round(bytes * scale), 3);
}

/** Two rows: what the file holds, and under it what floats in memory. */
function draw(
  layout: readonly LayoutEntry[],
  names: Names,
  scale: number,
): [inFile: string, inMemory: string] {
  let inFile = "";
  let inMemory = "";
  for (const { slice, state, begin, end, length } of layout) {
    const name = slice === null ? "" : names.get(slice) ?? "";
    const isInserted = begin === end && state === "floating";
    if (state === "floating") {
      const gap = inMemory === "" ? 0 : inMemory.length + 1;
      inMemory = inMemory.padEnd(Math.max(gap, inFile.length)) +
        bar(name, "▒", columns(length, scale));
    }
    if (!isInserted && end > begin) {
      const fill = slice === null ? "·" : "█";
      inFile += bar(name, fill, columns(end - begin, scale));
    }
  }
  return [inFile || "(empty)", inMemory];
}

// The demonstration.

function look(path: string): void {
  const [cold, coldTime] = timed(() => open(path, "r"));
  cold.close();
  const [map, warmTime] = timed(() => open(path, "r"));
  using _ = map;
  const { length } = map;
  say("file", path);
  say("length", `${whole(length)} ${length === 1 ? "byte" : "bytes"}`);
  say("open", `${time(coldTime)} the first time, ${time(warmTime)} the second`);
  if (length === 0) return;

  const byteAt = (offset: number) => {
    using slice = map.slice(offset, offset + 1);
    return slice.bytes[0]!;
  };
  const [first, firstTime] = timed(() => byteAt(0));
  const [last, lastTime] = timed(() => byteAt(length - 1));
  say("first byte", `${hex(first)} in ${time(firstTime)}`);
  say("last byte", `${hex(last)} in ${time(lastTime)}`);

  // The map goes first, so that reading finds every page in the cache.
  const pattern = choosePattern(path, length);
  const [found, mappedTime] = timed(() =>
    search(
      "finding",
      pattern,
      length,
      (begin, end) => map.find(pattern, begin, end),
    )
  );
  const [expected, readTime] = timed(() =>
    searchByReading(path, pattern, length)
  );
  if (found !== expected) {
    throw new Error(`find() says ${found}, reading the file ${expected}.`);
  }
  const text = pattern.toString("latin1");
  const isText = /^[ -~]+$/.test(text);
  const shown = isText ? JSON.stringify(text) : pattern.toString("hex");
  say("find", `${shown} at byte ${whole(found)}`);
  compare(mappedTime, readTime, "reading and searching");
}

function compare(mapped: number, plain: number, rival: string): void {
  say("", `${time(mapped)} mapped, ${time(plain)} ${rival}`);
}

/** How a clock ticked that was to tick every few milliseconds, while `work` went on. */
async function besideClock(
  work: () => Promise<unknown>,
): Promise<{ ticks: number; longest: number; total: number }> {
  const isTerminal = isatty(2);
  const start = performance.now();
  let [ticks, last, longest] = [0, start, 0];
  const tick = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isTerminal) return;
    fs.writeSync(2, `\r  clock: ${((now - start) / 1000).toFixed(2)} s\x1b[K`);
  };
  const timer = setInterval(() => {
    ticks++;
    tick();
  }, CLOCK);
  try {
    await work();
  } finally {
    clearInterval(timer);
    tick(); // the last one may be late, too
    if (isTerminal) fs.writeSync(2, "\r\x1b[K");
  }
  return { ticks, longest, total: performance.now() - start };
}

async function edit(path: string, folder: string): Promise<void> {
  const { size: length } = fs.statSync(path);
  const mapped = join(folder, "mapped");
  const plain = join(folder, "plain");
  for (const copy of [mapped, plain]) {
    assemble("copying", path, copy, [{ begin: 0, end: length }]);
  }

  const part = Math.min(Math.floor(length / 8), LARGEST);
  const eighth = (n: number) => Math.floor(length / 8 * n);
  const range = (begin: number) => ({ begin, end: begin + part });
  const ranges = [range(0), range(eighth(3)), range(eighth(6))] as const;
  const growth = Math.max(part >> 1, 16);
  const place = Math.floor((ranges[1].end + ranges[2].begin) / 2);
  const content = Buffer.alloc(growth, "memmap ");

  let start = performance.now();
  using map = open(mapped);
  const cut = (i: 0 | 1 | 2) => map.slice(ranges[i].begin, ranges[i].end);
  const [a, b, c] = [cut(0), cut(1), cut(2)];
  b.resize(part + growth);
  const n = map.insert(place, content);
  const layout = map.layout();
  let mappedTime = performance.now() - start;

  const names = new Map([[a, "A"], [b, "B"], [c, "C"], [n, "N"]]);
  const scale = COLUMNS / map.length;
  const [inFile, inMemory] = draw(layout, names, scale);
  say("edit", `a copy: cut slices A, B and C; resize B; insert N`);
  say("", `${inFile}  ${size(length)} in the file`);
  say(
    "",
    `${inMemory.padEnd(inFile.length)}  ${size(b.length + n.length)} floating`,
  );

  start = performance.now();
  const { strategy } = flushShowingProgress();
  mappedTime += performance.now() - start;
  const [flushed] = draw(map.layout(), names, scale);
  say("flush", `${flushed}  ${size(map.length)}`);

  const [, plainTime] = timed(() =>
    assemble("plain file I/O", plain, plain, [
      { begin: 0, end: ranges[1].end },
      new Uint8Array(growth),
      { begin: ranges[1].end, end: place },
      content,
      { begin: place, end: length },
    ])
  );
  compare(mappedTime, plainTime, `plain file I/O (${strategy}, on disk)`);

  const differs = firstDifference(mapped, plain);
  if (differs !== -1) {
    throw new Error(
      `The flushed file differs from the plain one at byte ${differs}.`,
    );
  }
  say("check", `all ${whole(map.length)} bytes as plain file I/O wrote them`);

  map.insert(place, content);
  const { ticks, longest, total } = await besideClock(() => map.flushAsync());
  say(
    "clock",
    `ticked ${whole(ticks)} ${
      ticks === 1 ? "time" : "times"
    } while flushAsync() ` +
      `inserted N once more in ${time(total)}; it was held for ${
        time(longest)
      } at most`,
  );

  function flushShowingProgress() {
    using progress = new Progress("flushing");
    return map.flush({ onProgress: progress.show });
  }
}

// scripts/demo gives all three.
const [path, folder, europe] = process.argv.slice(2) as [
  path: string,
  folder: string,
  europe: string,
];
const { deno, bun } = process.versions as Record<string, string | undefined>;
console.log(deno === undefined ? `Bun ${bun}` : `Deno ${deno}`);
try {
  look(path);
  await edit(path, folder);
  readTimeZone(europe, folder);
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
