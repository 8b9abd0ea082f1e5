/**
 * How many bytes do loops over an array allocate for each element?
 *
 * The loops run in a process of their own, which marks where each begins and ends. V8
 * keeps a total of the bytes that it has allocated. JavaScriptCore does not. But with
 * `BUN_JSC_logGC=1` it logs, with each request for a collection, how much was allocated
 * since the last one. The last 8 MiB or so go unseen, which is a quarter of a byte for each
 * element here.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import { type MemmapArray, open } from "../mod.ts";
import { sparseFile } from "./suite/files.ts";
import { ask, isDeno, runInChild } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";

const COUNT = 2 ** 20;
const CALLS = 32;
/** A child's line where a loop begins or ends: `@begin for…of 1234`. */
const MARK = /^@(begin|end) (.*) (\S+)$/;
/** JavaScriptCore's line before a collection. */
const REQUEST = /bytes allocated this cycle: (\d+) exceed/;

/** The loop that does allocate, to check the method. */
const OBJECTS = "a new object for each";

/** Roughly what each element costs there, which is known in advance. */
class Point {
  x = 0.5;
  y = 0;
}

const LOOPS: Record<string, (array: MemmapArray<"float64">) => unknown> = {
  "get(i)": (array) => {
    let sum = 0;
    for (let i = 0; i < array.size; i++) sum += array.get(i);
    return sum;
  },
  "set(i, v)": (array) => {
    for (let i = 0; i < array.size; i++) array.set(i, i + 0.5);
  },
  "for…of": (array) => {
    let sum = 0;
    for (const x of array) sum += x;
    return sum;
  },
  "apply(x => x + 1)": (array) => array.apply((x) => x + 1),
  [OBJECTS]: (array) => {
    for (let i = 0; i < array.size; i++) {
      const point = new Point();
      point.x = i + 0.5;
      points[i % 64] = point;
    }
  },
};

const points = new Array<Point>(64).fill(new Point());

const PANEL: Panel = {
  title: "a million big-endian doubles",
  group: "Bytes allocated",
  unit: "B",
  per: "an element",
  better: "less",
  scale: "linear",
  ways: Object.fromEntries(
    Object.keys(LOOPS).map((
      way,
    ) => [way, way === OBJECTS ? "other" : "mapped"]),
  ),
  base: OBJECTS,
};

function fileIn(folder: string): string {
  return join(folder, "doubles");
}

async function measure(bench: Bench): Promise<void> {
  bench.panels(PANEL);
  for (const [way, bytes] of allocated(fileIn(bench.folder), bench.quick)) {
    bench.figure(PANEL, way, [bytes]);
  }
  await Promise.resolve();
}

/** Runs the loops in a child, and reads from its output what it allocated. */
function allocated(path: string, quick: boolean): Map<string, number> {
  const calls = quick ? 2 : CALLS;
  const { stderr } = runInChild(
    fileURLToPath(import.meta.url),
    ["--loops", path, String(calls)],
    // One request for each collection. A concurrent collection makes many.
    { BUN_JSC_logGC: "1", BUN_JSC_useConcurrentGC: "0" },
  );
  const found = new Map<string, number>();
  let [begin, requested] = [0, 0];
  for (const line of stderr.split("\n")) {
    requested += Number(REQUEST.exec(line)?.[1] ?? 0);
    const mark = MARK.exec(line);
    if (mark === null) continue;
    const [, which, what = "", total] = mark;
    const bytes = isDeno ? Number(total) : requested;
    if (which === "begin") begin = bytes;
    else found.set(what, (bytes - begin) / COUNT / calls);
  }
  return found;
}

/** Runs in the child. */
function runLoops(path: string, calls: number): void {
  using map = open(path, "c");
  const array = map.slice().array("float64", { byteOrder: "big" });
  for (const [what, loop] of Object.entries(LOOPS)) {
    // Code that is not compiled yet allocates, too.
    for (let call = 0; call < 20; call++) loop(array);
    mark("begin", what);
    for (let call = 0; call < calls; call++) loop(array);
    mark("end", what);
  }
}

function mark(which: "begin" | "end", what: string): void {
  fs.writeSync(2, `@${which} ${what} ${total()}\n`);
}

/** Bytes allocated so far, or NaN if only the log of collections tells. */
function total(): number {
  if (!isDeno) return NaN;
  const statistics: { total_allocated_bytes?: number } = v8
    .getHeapStatistics();
  return statistics.total_allocated_bytes ?? NaN;
}

export const question: Question = {
  name: "allocation",
  title: "How much garbage do loops over an array make?",
  method:
    "V8 reports how much it has allocated. JavaScriptCore's log of collections gives " +
    "it to within 8 MiB or so, a quarter of a byte an element. A loop that makes an " +
    "object for each element shows that the method sees garbage.",
  seconds: 6,
  prepare: (folder) => void sparseFile(folder, "doubles", COUNT * 8),
  measure,
};

if (import.meta.main) {
  const [flag, path, calls] = process.argv.slice(2);
  if (flag === "--loops") runLoops(path!, Number(calls));
  else await ask(question);
}
