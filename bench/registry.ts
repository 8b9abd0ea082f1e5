/**
 * How does the cost of a slice grow with the number of slices?
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type Memmap, type MemmapSlice, open } from "../mod.ts";
import { shuffled, sparseFile } from "./suite/files.ts";
import { ask, collectGarbage } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";

/** The length of a slice in bytes. */
const SIZE = 64;
/** How many slices each sample replaces. */
const REPLACED = 500;
const WARM_UP = 10_000;
/** Filling a sorted array takes quadratic time: a million would take minutes. */
const MOST_SPLICED = 100_000;

function counts(quick: boolean): number[] {
  return quick ? [100, 1000, 10_000] : [1000, 10_000, 100_000, 1_000_000];
}

const SLICES = "Memmap.slice";
const SORTED = "sorted array, splice";

function panelOf(title: string): Panel {
  return {
    title,
    group: "Time against the number of slices",
    unit: "ns",
    per: "a slice",
    better: "less",
    scale: "log",
    ways: { [SLICES]: "mapped", [SORTED]: "other" },
    base: SORTED,
    x: "slices registered",
  };
}

const FILLING = panelOf("Registering all of them, in random order");
const REPLACING = panelOf("Deleting one of them and registering it again");

function fileOf(folder: string, count: number): string {
  return join(folder, `slices-${count}`);
}

/** What one would write without a registry: sorted offsets with a binary search. */
class SortedOffsets {
  readonly #begins: number[];

  constructor(begins: number[] = []) {
    this.#begins = begins;
  }

  add(begin: number): void {
    const at = this.#placeOf(begin);
    assert(this.#begins[at] !== begin);
    this.#begins.splice(at, 0, begin);
  }

  delete(begin: number): void {
    const at = this.#placeOf(begin);
    assert(this.#begins[at] === begin);
    this.#begins.splice(at, 1);
  }

  get length(): number {
    return this.#begins.length;
  }

  #placeOf(begin: number): number {
    let [low, high] = [0, this.#begins.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#begins[middle]! < begin) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** How many nanoseconds `work` takes, divided by `count`. */
function timed(count: number, work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6 / count;
}

/** The times for one number of slices, by panel and way. */
type Times = Record<"filling" | "replacing", number[]>;

function timesOfSlices(map: Memmap, order: Uint32Array): Times {
  const slices = new Array<MemmapSlice>(order.length);
  const register = (i: number) => {
    slices[i] = map.slice(i * SIZE, (i + 1) * SIZE);
  };
  const filling = timed(order.length, () => {
    for (const i of order) register(i);
  });
  assert.throws(() => map.slice(SIZE / 2, SIZE + 1), { name: "OverlapError" });
  const replacing = samplesOf(order, (i) => {
    slices[i]!.delete();
    register(i);
  });
  assert.equal(map.slices.length, order.length);
  return { filling: [filling], replacing };
}

function timesOfSorted(order: Uint32Array): Times {
  const filling: number[] = [];
  let sorted = new SortedOffsets();
  if (order.length <= MOST_SPLICED) {
    filling.push(timed(order.length, () => {
      for (const i of order) sorted.add(i * SIZE);
    }));
  } else {
    sorted = new SortedOffsets([...order].sort((a, b) => a - b).map(toOffset));
  }
  const replacing = samplesOf(order, (i) => {
    sorted.delete(i * SIZE);
    sorted.add(i * SIZE);
  });
  assert.equal(sorted.length, order.length);
  return { filling, replacing };
}

function toOffset(i: number): number {
  return i * SIZE;
}

function samplesOf(
  order: Uint32Array,
  replace: (i: number) => void,
): number[] {
  const samples: number[] = [];
  const count = Math.min(REPLACED, order.length);
  for (let sample = 0; sample < 8; sample++) {
    samples.push(timed(count, () => {
      for (let k = 0; k < count; k++) {
        replace(order[(sample * count + k) % order.length]!);
      }
    }));
  }
  return samples;
}

async function measure(bench: Bench): Promise<void> {
  bench.panels(FILLING, REPLACING);
  // Compiled code is measured, so the very first slices do not count.
  for (let call = 0; call < 3; call++) timesOf(bench, WARM_UP);
  const largest = Math.max(...counts(bench.quick));
  for (const count of counts(bench.quick)) {
    // Only the first million slices of a process make its heap grow.
    const repeats = Math.min(20, Math.max(3, largest / count));
    for (let repeat = 0; repeat < repeats; repeat++) {
      const times = timesOf(bench, count);
      for (const [way, { filling, replacing }] of Object.entries(times)) {
        if (filling.length > 0) {
          bench.figure(FILLING, way, filling, { x: count });
        }
        bench.figure(REPLACING, way, replacing, { x: count });
      }
    }
  }
  await Promise.resolve();
}

function timesOf(bench: Bench, count: number): Record<string, Times> {
  const order = shuffled(count);
  collectGarbage();
  using map = open(fileOf(bench.folder, count), "c");
  return {
    [SLICES]: timesOfSlices(map, order),
    [SORTED]: timesOfSorted(order),
  };
}

export const question: Question = {
  name: "registry",
  title: "How does the cost of a slice grow with the number of slices?",
  method:
    "Slices of 64 bytes, side by side. They are compared with an array of offsets that " +
    "is kept sorted with a binary search and Array.splice: what one would write without " +
    "a registry.",
  seconds: 12,
  prepare(folder, quick) {
    for (const count of [WARM_UP, ...counts(quick)]) {
      sparseFile(folder, `slices-${count}`, count * SIZE);
    }
  },
  measure,
};

if (import.meta.main) await ask(question);
