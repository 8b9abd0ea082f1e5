/**
 * How long does it take to bring a file into memory, and does anything else run
 * meanwhile?
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { open } from "../mod.ts";
import {
  askWhyNotCold,
  dropFromCache,
  GiB,
  MiB,
  sizeName,
  writeSynced,
} from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";
import { inTurn, type Way } from "./suite/timing.ts";

const sizeOf = (quick: boolean): number => quick ? 16 * MiB : GiB;
const fileOf = (folder: string): string => join(folder, "cold");

/** Bytes read at a time. */
const PIECE = MiB;

function panels(size: number): Record<"speed" | "stall", Panel> {
  const ways = {
    "map.load": "mapped",
    "fs.readSync": "plain",
    "fs.promises, read": "plain",
  } as const;
  const group = `${sizeName(size)}, not in memory yet`;
  return {
    speed: {
      title: "speed",
      group,
      unit: "B/s",
      per: "",
      better: "more",
      scale: "linear",
      ways,
      base: "fs.readSync",
    },
    stall: {
      title: "the longest that nothing else ran",
      group,
      unit: "ns",
      per: "a file",
      better: "less",
      scale: "log",
      ways: { ...ways, "nothing, as long as map.load": "limit" },
      base: "fs.readSync",
    },
  };
}

function prepare(folder: string, quick: boolean): void {
  const size = sizeOf(quick);
  const bytes = new Uint8Array(size);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b1);
  writeSynced(fileOf(folder), bytes);
}

/** Each brings all of the file into memory, and answers its size. */
function ways(path: string): Record<string, () => number | Promise<number>> {
  return {
    "map.load": async () => {
      using map = open(path, "r");
      await map.load();
      return map.residency(0, PIECE) * map.length;
    },
    "fs.readSync": () => {
      const bytes = new Uint8Array(PIECE);
      const fd = fs.openSync(path, "r");
      let done = 0;
      for (let count = 1; count > 0; done += count) {
        count = fs.readSync(fd, bytes);
      }
      fs.closeSync(fd);
      return done;
    },
    "fs.promises, read": async () => {
      const bytes = new Uint8Array(PIECE);
      const file = await fs.promises.open(path);
      let done = 0;
      for (let count = 1; count > 0; done += count) {
        count = (await file.read(bytes, 0, PIECE, done)).bytesRead;
      }
      await file.close();
      return done;
    },
  };
}

/** Nanoseconds that timers came late at the worst while `run` ran. */
async function stallOf(run: () => unknown): Promise<number> {
  let [last, longest, isOver] = [performance.now(), 0, false];
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setTimeout(look, 0);
  };
  look();
  await new Promise((next) => setTimeout(next, 5)); // timers have their pace
  await run();
  await new Promise((next) => setTimeout(next, 0));
  look();
  isOver = true;
  return longest * 1e6;
}

async function measure(bench: Bench): Promise<void> {
  const path = fileOf(bench.folder);
  const { size } = fs.statSync(path);
  const { speed, stall } = panels(size);
  bench.panels(speed, stall);
  const all = ways(path);
  const why = await askWhyNotCold(path);
  if (why !== undefined) {
    for (const panel of [speed, stall]) {
      bench.absent(panel, Object.keys(panel.ways), why);
    }
    return;
  }
  const fd = fs.openSync(path, "r");
  const before = () => dropFromCache(fd, -Infinity);
  const timed = Object.fromEntries(
    Object.entries(all).map(([way, run]): [string, Way] => [
      way,
      { run, before, count: size },
    ]),
  );
  await inTurn(bench, speed, timed, { turns: 3, samples: 1, time: 0 });
  for (let turn = 0; turn < (bench.quick ? 1 : 3); turn++) {
    let loading = 0;
    for (const [way, run] of Object.entries(all)) {
      before();
      const began = performance.now();
      bench.figure(stall, way, [await stallOf(run)]);
      if (way === "map.load") loading = performance.now() - began;
    }
    const idle = () => new Promise((next) => setTimeout(next, loading));
    const quiet = [await stallOf(idle)];
    bench.figure(stall, "nothing, as long as map.load", quiet);
  }
  fs.closeSync(fd);
}

export const question: Question = {
  name: "load",
  title: "How long does it take to bring a file into memory?",
  method:
    "A file that is in no cache is brought into memory: by map.load, or read in " +
    "pieces of 1 MiB into one buffer. While each is at work a timer fires again and " +
    "again; the longest time between two of its calls is how long nothing else " +
    "could run. On a busy machine that is long with nothing to do as well.",
  seconds: 15,
  prepare,
  measure,
};

if (import.meta.main) await ask(question);
