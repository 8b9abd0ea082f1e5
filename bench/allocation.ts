/**
 * How many bytes loops over an array allocate for each element.
 *
 * The loops run in a process of their own, which says where each begins and ends.
 * V8 keeps a total of the bytes that it has allocated. JavaScriptCore does not; but
 * with `BUN_JSC_logGC=1` it writes, when it asks for a collection, how much was
 * allocated since the last one. What the last 8 MiB or so would add is not seen,
 * which is a quarter of a byte for each element here.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import v8 from "node:v8";
import { type MemmapArray, open } from "../mod.ts";
import { isDeno, remark, sparseFile, title } from "./support.ts";

const COUNT = 2 ** 20;
const CALLS = 32;
/** A child's line where a loop begins or ends: `@begin for…of 1234`. */
const MARK = /^@(begin|end) (.*) (\S+)$/;
/** JavaScriptCore's, before a collection. */
const REQUEST = /bytes allocated this cycle: (\d+) exceed/;

/** What each element costs in the loop that does allocate: known beforehand, roughly. */
class Point {
  x = 0.5;
  y = 0;
}

if (import.meta.main) runLoops(process.argv[2]);

/** Prints the bytes for each element, and as a check those of a loop that does allocate. */
// deno-lint-ignore require-await
export async function allocating(folder: string): Promise<void> {
  const path = sparseFile(folder, "allocation", COUNT * 8);
  title("Bytes allocated for each element of a big-endian float64 array");
  for (const [what, bytes] of allocated(path)) {
    remark(
      what,
      Number.isNaN(bytes) ? "unknown" : (bytes / COUNT / CALLS).toFixed(2),
    );
  }
}

/** Runs the loops in a child, and reads what it allocated from what it writes. */
function allocated(path: string): [what: string, bytes: number][] {
  const script = new URL(import.meta.url).pathname;
  const { stderr, status } = spawnSync(
    process.execPath,
    isDeno ? ["run", "-A", script, path] : [script, path],
    {
      // One request for each collection, which are many if it goes on meanwhile.
      env: {
        ...process.env,
        BUN_JSC_logGC: "1",
        BUN_JSC_useConcurrentGC: "0",
      },
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    },
  );
  assert.equal(status, 0, stderr);
  const found: [string, number][] = [];
  let [begin, requested] = [0, 0];
  for (const line of stderr.split("\n")) {
    requested += Number(REQUEST.exec(line)?.[1] ?? 0);
    const mark = MARK.exec(line);
    if (mark === null) continue;
    const [, which, what, total] = mark;
    const bytes = isDeno ? Number(total) : requested;
    if (which === "begin") begin = bytes;
    else found.push([what, bytes - begin]);
  }
  return found;
}

/** The child's part. */
function runLoops(path: string): void {
  using map = open(path, "c");
  const array = map.slice().array("float64", { byteOrder: "big" });
  const points = new Array<Point>(64).fill(new Point());
  const loops: Record<string, (array: MemmapArray<"float64">) => unknown> = {
    "a new object for each": (array) => {
      for (let i = 0; i < array.size; i++) {
        const point = new Point();
        point.x = i + 0.5;
        points[i % 64] = point;
      }
    },
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
  };
  for (const [what, loop] of Object.entries(loops)) {
    // Code that is not compiled yet allocates.
    for (let call = 0; call < 20; call++) loop(array);
    mark("begin", what);
    for (let call = 0; call < CALLS; call++) loop(array);
    mark("end", what);
  }
}

function mark(which: "begin" | "end", what: string): void {
  fs.writeSync(2, `@${which} ${what} ${total()}\n`);
}

/** Bytes allocated up to now, or NaN where only the log of collections tells. */
function total(): number {
  if (!isDeno) return NaN;
  const statistics: { total_allocated_bytes?: number } = v8
    .getHeapStatistics();
  return statistics.total_allocated_bytes ?? NaN;
}
