/**
 * How long does a flush hold the event loop?
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { open } from "../mod.ts";
import { ExpectedFile } from "./suite/expected_file.ts";
import { MiB, sizeName } from "./suite/files.ts";
import { ask, collectGarbage } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";

/** Added in the middle. */
const ADDED = new Uint8Array(MiB).fill(7);

const WAYS: Panel["ways"] = { flushAsync: "mapped", flush: "mapped" };

function sizeOf(quick: boolean): number {
  return quick ? 4 * MiB : 1024 * MiB;
}

function stallPanel(size: number): Panel {
  return {
    title: `longest stall, in the middle of ${sizeName(size)}`,
    group: "1 MiB added in the middle, durable",
    unit: "ns",
    per: "a flush",
    better: "less",
    scale: "log",
    ways: WAYS,
    base: "flush",
  };
}

function timePanel(size: number): Panel {
  return {
    ...stallPanel(size),
    title: `time, in the middle of ${sizeName(size)}`,
    group: "The same, until all is on disk",
  };
}

/** The longest time between two turns of the event loop, from now to the end of `work`. */
async function longestStall(work: () => unknown): Promise<number> {
  let last = performance.now();
  let longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  let timer: ReturnType<typeof setTimeout>;
  const tick = () => {
    look();
    timer = setTimeout(tick, 1);
  };
  timer = setTimeout(tick, 1);
  await new Promise((resolve) => setTimeout(resolve, 5)); // the timer is at work
  longest = 0;
  await work();
  await new Promise((resolve) => setTimeout(resolve, 0));
  look();
  clearTimeout(timer);
  return longest;
}

/** Brings everything to the disk, so that the next flush does not wait for it. */
function settle(path: string): void {
  for (const each of [path, dirname(path)]) {
    const fd = fs.openSync(each, "r");
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }
}

async function measure(bench: Bench): Promise<void> {
  const size = sizeOf(bench.quick);
  const [stalls, times] = [stallPanel(size), timePanel(size)];
  bench.panels(stalls, times);
  const path = join(bench.folder, "flushed");
  const expected = ExpectedFile.create(path, size);
  for (let turn = 0; turn < (bench.quick ? 1 : 2); turn++) {
    for (const way of Object.keys(WAYS)) {
      collectGarbage();
      const at = expected.middle;
      const map = open(path);
      map.insert(at, ADDED);
      let time = 0;
      const stall = await longestStall(async () => {
        const start = performance.now();
        if (way === "flush") map.flush();
        else await map.flushAsync();
        time = performance.now() - start;
      });
      map.close();
      bench.figure(stalls, way, [stall * 1e6]);
      bench.figure(times, way, [time * 1e6]);
      expected.insert(at, ADDED);
      expected.check(path);
      settle(path);
    }
  }
  fs.rmSync(path);
}

export const question: Question = {
  name: "event_loop",
  title: "How long does a flush hold the event loop?",
  method:
    "1 MiB is inserted in the middle of a file that is in the page cache and on disk, " +
    "and flushed by replacing the file, until all is on disk. A timer of a " +
    "millisecond runs meanwhile; a stall is the time between two of its turns. " +
    "flush() is one stall. Both ways take turns on one file, which is compared with " +
    "what it should be after each.",
  seconds: 20,
  prepare() {},
  measure,
};

if (import.meta.main) await ask(question);
