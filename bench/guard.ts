/**
 * What does it cost to survive the loss of mapped pages?
 *
 * @module
 */

import { join } from "node:path";
import { type MemmapArray, open } from "../mod.ts";
import {
  doubles,
  MiB,
  sizeName,
  writeSynced,
  xorshift,
} from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";
import { inTurn, loop, type Way } from "./suite/timing.ts";

const READS = 2 ** 20;
/** How often a file is opened in each run. */
const COUNT = 50;

function size(quick: boolean): number {
  return quick ? 2 * MiB : 256 * MiB;
}

function fileIn(folder: string): string {
  return join(folder, "big-endian");
}

const GUARDED = "with the guard";
const UNGUARDED = "guard: false";
/** `MemmapArray.get` without its check for faults. */
const UNASKED = "without looking for faults";

function panelOf(
  title: string,
  per: string,
  ways: [guarded: string, base: string, ...others: string[]],
): Panel {
  return {
    title,
    group: "With the fault guard and without it",
    unit: "ns",
    per,
    better: "less",
    scale: "linear",
    ways: Object.fromEntries(
      ways.map((way) => [way, way === GUARDED ? "mapped" : "other"]),
    ),
    base: ways[1],
  };
}

const GATE = new DataView(new ArrayBuffer(1));

/** What `MemmapArray.get` does for one axis, without its check for faults. */
class Unasked {
  readonly #vector: DataView;
  readonly #step = 8;
  readonly #first = 0;
  readonly #isLittle = false;

  constructor(buffer: ArrayBuffer) {
    this.#vector = new DataView(buffer);
  }

  get(i: number, j?: number, k?: number, ...more: number[]): number {
    if (j === undefined) {
      try {
        const at = i * this.#step + this.#first;
        const value = this.#vector.getFloat64(at, this.#isLittle);
        GATE.getUint8(Math.floor(i) === i ? 0 : 1);
        return value;
      } catch { /* below */ }
    }
    throw new RangeError(`${i}, ${j}, ${k}, ${more}`);
  }
}

interface Given extends Record<string, unknown> {
  at: Uint32Array;
  array?: MemmapArray<"float64"> | Unasked;
  values?: Float64Array;
}

function reading(
  names: (keyof Given & string)[],
  body: string,
  given: Given,
): Way {
  const read = loop<Given>(names, body);
  return { run: () => read(given, 0, READS), count: READS };
}

function opening(path: string, guard: boolean): Way {
  return {
    run() {
      let sum = 0;
      for (let i = 0; i < COUNT; i++) {
        using map = open(path, "r", { guard });
        sum += map.length;
      }
      return sum;
    },
    count: COUNT,
  };
}

async function measure(bench: Bench): Promise<void> {
  const path = fileIn(bench.folder);
  const name = sizeName(size(bench.quick));
  const view = panelOf(`8 bytes through a view, random, of ${name}`, "a read", [
    GUARDED,
    UNGUARDED,
  ]);
  const get = panelOf(`MemmapArray.get, random, of ${name}`, "an element", [
    GUARDED,
    UNASKED,
    UNGUARDED,
  ]);
  const close = panelOf("open and close", "a file", [GUARDED, UNGUARDED]);
  bench.panels(view, get, close);
  using guarded = open(path, "r");
  using unguarded = open(path, "r", { guard: false });
  const slices = { [GUARDED]: guarded.slice(), [UNGUARDED]: unguarded.slice() };
  const random = xorshift();
  const count = size(bench.quick) / 8;
  const at = Uint32Array.from(
    { length: READS },
    () => Math.floor(random() * count),
  );
  const effort = { turns: 15, samples: 3, time: 200 };
  const views = Object.entries(slices).map(([way, { buffer }]) => {
    const values = new Float64Array(buffer);
    return [
      way,
      reading(["values", "at"], "sum += values[at[i]];", { at, values }),
    ];
  });
  await inTurn(bench, view, Object.fromEntries(views), effort);
  const gets = {
    [GUARDED]: slices[GUARDED].array(">f8"),
    [UNASKED]: new Unasked(slices[UNGUARDED].buffer),
    [UNGUARDED]: slices[UNGUARDED].array(">f8"),
  };
  const arrays = Object.entries(gets).map(([way, array]) => [
    way,
    reading(["array", "at"], "sum += array.get(at[i]);", { at, array }),
  ]);
  await inTurn(bench, get, Object.fromEntries(arrays), effort);
  await inTurn(bench, close, {
    [GUARDED]: opening(path, true),
    [UNGUARDED]: opening(path, false),
  }, { turns: 30, samples: 5, time: 20 });
}

export const question: Question = {
  name: "guard",
  title: "What does it cost to survive the loss of mapped pages?",
  method:
    "The same file is mapped with the fault guard and with guard: false. get() checks " +
    "for faults in both cases, so it is also compared with a get() that does not.",
  seconds: 8,
  prepare: (folder, quick) =>
    writeSynced(fileIn(folder), doubles(size(quick), false)),
  measure,
};

if (import.meta.main) await ask(question);
