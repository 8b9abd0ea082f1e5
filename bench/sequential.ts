/**
 * How fast is a file read from its beginning to its end?
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { open } from "../mod.ts";
import {
  askWhyNotCold,
  doubles,
  dropFromCache,
  KiB,
  MiB,
  readWhole,
  sizeName,
  writeSynced,
} from "./suite/files.ts";
import { ask, bun } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival, Role } from "./suite/question.ts";
import { inTurn, loop, type Way } from "./suite/timing.ts";

const CHUNKS = [64 * KiB, MiB];
const STREAM = bun === undefined
  ? "Deno.FsFile.readable"
  : "Bun.file().stream()";

const WAYS: Record<string, Role> = {
  "slice view": "mapped",
  'slice view, advise("sequential")': "mapped",
  "numpy.memmap": "other",
  "fs.readSync, 64 KiB": "plain",
  "fs.readSync, 1 MiB": "plain",
  "Deno.FsFile.readable": "plain",
  "Bun.file().stream()": "plain",
  "fs.createReadStream": "plain",
  "fs.readFileSync": "plain",
};

function size(quick: boolean): number {
  return quick ? 8 * MiB : 256 * MiB;
}

function fileIn(folder: string): string {
  return join(folder, "doubles");
}

function panel(quick: boolean, title: string, ways: Panel["ways"]): Panel {
  return {
    title: title.replace("%", sizeName(size(quick))),
    group: `Doubles added up, ${title.includes("cold") ? "cold" : "warm"}`,
    unit: "B/s",
    per: "",
    better: "more",
    scale: "linear",
    ways,
    base: "fs.readSync, 1 MiB",
  };
}

function panels(quick: boolean): Record<"open" | "anew" | "cold", Panel> {
  return {
    open: panel(quick, "%, warm, opened and mapped before", {
      "slice view": "mapped",
      "MemmapArray, for…of": "mapped",
      "Bun.mmap": "other",
      "fs.readSync, 64 KiB": "plain",
      "fs.readSync, 1 MiB": "plain",
      "C, mmap": "other",
      "heap memory": "limit",
    }),
    anew: panel(quick, "%, warm, with open and close", WAYS),
    cold: panel(quick, "%, cold, with open and close", WAYS),
  };
}

function summing(): (values: Float64Array) => number {
  const sum = loop<{ values: Float64Array }>(["values"], "sum += values[i];");
  return (values) => sum({ values }, 0, values.length);
}

/** Reads the file in pieces, cut to multiples of 8 bytes. */
function chunked(fd: number, chunk: number): () => number {
  const sum = summing();
  const values = new Float64Array(chunk / 8);
  return () => {
    let total = 0;
    for (let at = 0;;) {
      const count = fs.readSync(fd, values, 0, chunk, at);
      if (count === 0) return total;
      total += sum(values.subarray(0, count / 8));
      at += count;
    }
  };
}

/** Ways for which everything is ready: only the sum is measured. */
function opened(path: string, fd: number, using: DisposableStack) {
  const map = using.use(open(path, "r"));
  const slice = map.slice();
  const views: Record<string, Float64Array> = {
    "slice view": new Float64Array(slice.buffer),
    "heap memory": new Float64Array(readWhole(path).buffer),
  };
  if (bun !== undefined) {
    views["Bun.mmap"] = new Float64Array(bun.mmap(path).buffer);
  }
  const ways: Record<string, Way> = {};
  for (const [way, values] of Object.entries(views)) {
    const sum = summing();
    ways[way] = { run: () => sum(values), count: map.length };
  }
  const array = slice.array("float64");
  ways["MemmapArray, for…of"] = {
    run: () => {
      let sum = 0;
      for (const value of array) sum += value;
      return sum;
    },
    count: map.length,
  };
  for (const chunk of CHUNKS) {
    ways[`fs.readSync, ${sizeName(chunk)}`] = {
      run: chunked(fd, chunk),
      count: map.length,
    };
  }
  return ways;
}

/** Ways of a program that reads the file once. */
function anew(path: string): Record<string, Way> {
  const count = fs.statSync(path).size;
  const ways: Record<string, Way> = {};
  for (const advice of ["normal", "sequential"] as const) {
    const sum = summing();
    const way = advice === "normal"
      ? "slice view"
      : `slice view, advise("${advice}")`;
    const run = () => {
      using map = open(path, "r");
      if (advice !== "normal") map.advise(advice);
      return sum(new Float64Array(map.slice().buffer));
    };
    ways[way] = { run, count };
  }
  for (const chunk of CHUNKS) {
    const run = () => {
      const fd = fs.openSync(path, "r");
      try {
        return chunked(fd, chunk)();
      } finally {
        fs.closeSync(fd);
      }
    };
    ways[`fs.readSync, ${sizeName(chunk)}`] = { run, count };
  }
  const sumOfFile = summing();
  ways["fs.readFileSync"] = {
    run: () => sumOfFile(doublesIn(fs.readFileSync(path))),
    count,
  };
  ways[STREAM] = { run: streamed(() => readable(path)), count };
  ways["fs.createReadStream"] = {
    run: streamed(() =>
      fs.createReadStream(path, { highWaterMark: MiB }) as AsyncIterable<
        Uint8Array
      >
    ),
    count,
  };
  return ways;
}

function readable(path: string): AsyncIterable<Uint8Array> {
  return bun === undefined
    ? Deno.openSync(path).readable
    : bun.file(path).stream();
}

function streamed(
  start: () => AsyncIterable<Uint8Array>,
): () => Promise<number> {
  const sum = summing();
  return async () => {
    let total = 0;
    let rest = new Uint8Array();
    for await (let chunk of start()) {
      // Streams cut anywhere: the rest of a double waits for the next chunk.
      if (rest.length > 0) chunk = joined(rest, chunk);
      const whole = chunk.length - chunk.length % 8;
      total += sum(doublesIn(chunk.subarray(0, whole)));
      rest = chunk.slice(whole);
    }
    return total;
  };
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** The same memory as doubles, or a copy if it is misaligned. */
function doublesIn(bytes: Uint8Array): Float64Array {
  const { buffer, byteOffset, byteLength } = byteOffsetIsAligned(bytes)
    ? bytes
    : bytes.slice();
  return new Float64Array(buffer, byteOffset, byteLength / 8);
}

function byteOffsetIsAligned({ byteOffset }: Uint8Array): boolean {
  return byteOffset % 8 === 0;
}

async function measure(bench: Bench): Promise<void> {
  const path = fileIn(bench.folder);
  const { open: before, anew: each, cold } = panels(bench.quick);
  bench.panels(before, each, cold);
  const fd = fs.openSync(path, "r");
  // This comes first: what Bun.mmap has mapped stays mapped, and in the cache.
  await measureCold(bench, cold, path, fd);
  await inTurn(bench, each, anew(path), { turns: 4, samples: 2 });
  using stack = new DisposableStack();
  await inTurn(bench, before, opened(path, fd, stack), { samples: 3 });
  fs.closeSync(fd);
}

async function measureCold(
  bench: Bench,
  panel: Panel,
  path: string,
  fd: number,
): Promise<void> {
  const whyNot = await askWhyNotCold(path);
  if (whyNot !== undefined) {
    return bench.absent(panel, Object.keys(panel.ways), whyNot);
  }
  const ways = anew(path);
  const { size } = fs.fstatSync(fd);
  for (const way of Object.values(ways)) {
    // All of it, except pages that the kernel was using at that moment.
    way.before = () => dropFromCache(fd, 0.99 * size);
  }
  await inTurn(bench, panel, ways, { turns: 3, samples: 1, time: 0 });
}

function rivals(folder: string, quick: boolean): Rival[] {
  const { open: before, anew: each } = panels(quick);
  const path = fileIn(folder);
  return [
    {
      panel: before.title,
      way: "C, mmap",
      worker: "C",
      args: ["sequential", path],
    },
    {
      panel: each.title,
      way: "numpy.memmap",
      worker: "Python",
      needs: "numpy",
      args: ["sequential", path],
    },
  ];
}

export const question: Question = {
  name: "sequential",
  title: "How fast is a file read from its beginning to its end?",
  method:
    "All doubles of the file are added up. All chunks are read into the same buffer. " +
    "With open and close, every run creates and closes a map, so the kernel has to map " +
    "each page anew.",
  seconds: 15,
  prepare: (folder, quick) => writeSynced(fileIn(folder), doubles(size(quick))),
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
