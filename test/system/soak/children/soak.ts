/**
 * Opens, slices, views, resizes, flushes and closes, round after round. Compares what the
 * process holds at the end with what it held after warming up.
 *
 * Run by `soak_test.ts` with a folder and the number of rounds.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Memmap, open } from "../../../../mod.ts";
import {
  collectGarbage,
  descriptorsOf,
  givenArguments,
  isDeno,
  mappingsOf,
} from "../../../support/support.ts";

const STRATEGIES = ["auto", "replace", "in-place"] as const;
const MODES = ["w+", "r+", "c", "r+", "r", "r+"] as const;
const LENGTH = 20_000;
/** Rounds after which finalizers get a turn of the event loop. */
const TURN = 500;
/** Rounds after which memory is moved out of reach once. */
const THEFT = 1000;

const [folder, count] = givenArguments("folder", "rounds");
const rounds = Number(count);
const path = join(folder, "soak.dat");
const other = join(folder, "other.dat");

/** V8 takes memory in pieces of this size. Each is a mapping. */
const V8_PAGE = 2 ** 18;

/** What a process holds, without the spare room of V8's heap. */
interface Held {
  readonly descriptors: number;
  readonly mappings: number;
  /** Resident memory in bytes: VmRSS. */
  readonly resident: number;
}

/** Turns of the event loop in which nothing more is given back before it counts. */
const STILL = 5;
const MOST_TURNS = 200;

/**
 * Has everything collected, and returns what is held once that does not become less any
 * more. V8 gives pages back on other threads, which may get little of a busy machine.
 */
async function settle(): Promise<Held> {
  let least = held();
  for (let turn = 0, still = 0; still < STILL && turn < MOST_TURNS; turn++) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 10));
    const now = held();
    still = now.mappings < least.mappings ? 0 : still + 1;
    if (now.mappings < least.mappings) least = now;
  }
  return least;
}

function held(): Held {
  const status = readFileSync("/proc/self/status", "utf8");
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status)!;
  const { heapTotal, heapUsed } = process.memoryUsage();
  // V8 doubles its room for young objects at any time, by 16 MiB and more.
  const spare = isDeno ? heapTotal - heapUsed : 0;
  const lines = readFileSync("/proc/self/maps", "utf8").split("\n").length;
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    mappings: lines - Math.round(spare / V8_PAGE),
    resident: Number(kilobytes) * 1024 - spare,
  };
}

/** Uses slices, views and arrays of all kinds, and writes to whatever is writable. */
function edit(map: Memmap, i: number): void {
  const header = map.slice(0, 100);
  const body = map.slice(100, 9000);
  const tail = map.slice(15_000, LENGTH);
  const { buffer } = header;
  const values = body.array(i % 2 === 0 ? ">i4" : "float32", {
    byteOffset: i % 3,
    shape: [100, 8],
  });
  assert.equal(values.subarray(1, 3).toTypedArray().length, 16);
  assert.equal(tail.bytes.length, 5000);
  assert.equal(map.find("not in there"), -1);
  if (map.mode === "r") {
    assert.throws(() => header.resize(1), { name: "ReadonlyError" });
    return;
  }
  values.set(3, 3, i);
  // What grows and what shrinks add up to the same length.
  header.resize(150);
  body.splice(7, 50, 0);
  assert.equal(buffer.byteLength, 0);
  assert.equal(header.bytes.length, 150);
  assert.equal(values.get(3, 3) !== undefined, true);
  map.insert(12_000, new Uint8Array(3000).fill(i)).bytes[5] = i;
  map.insert(LENGTH, 10).delete();
  tail.resize(2000);
  tail.fill(i);
  assert.throws(() => map.slice(10, 20), { name: "OverlapError" });
}

function round(i: number): void {
  const mode = MODES[i % MODES.length];
  const map = open(path, mode, mode === "w+" ? { length: LENGTH } : {});
  edit(map, i);
  if (map.writable) {
    const strategy = STRATEGIES[Math.floor(i / MODES.length) % 3]!;
    map.flush({ strategy, durable: false });
    assert.equal(map.slices[0]!.bytes.length, 150);
    // An append and a cut, both with strategy "extend".
    const end = map.insert(map.mappedLength, 100);
    assert.equal(map.flush({ durable: false }).strategy, "extend");
    end.resize(0);
    assert.equal(map.flush({ durable: false }).strategy, "extend");
  } else if (mode === "c" && i % 4 === 0) {
    map.flush({ path: other, durable: false });
  }
  map.close({ discard: i % 5 === 0 });
}

/** Moves memory out of reach. Its pages stay for good, so this is not part of a round. */
function steal(): void {
  const map = open(path, "r+");
  const stolen = map.slice(0, 10).buffer.transfer();
  map.close();
  assert.equal(stolen.byteLength, 10);
}

/** Returns how many mappings the stolen memory takes. */
async function run(first: number, count: number): Promise<number> {
  let islands = 0;
  for (let i = first; i < first + count; i++) {
    if (i % TURN === 0) await new Promise((resolve) => setTimeout(resolve));
    if (i % THEFT === 0) {
      const before = mappingsOf("")!.length;
      steal();
      islands += mappingsOf("")!.length - before;
    }
    round(i);
  }
  return islands;
}

writeFileSync(path, new Uint8Array(LENGTH));
const warmUp = Math.max(2000, Math.floor(rounds / 10));
await run(0, warmUp);
const before = await settle();
const islands = await run(warmUp, rounds);
const after = await settle();
assert.deepEqual(descriptorsOf(folder), []);
assert.deepEqual(mappingsOf(folder), []);
assert.deepEqual(readdirSync(folder).sort(), ["other.dat", "soak.dat"]);
console.log(JSON.stringify({
  descriptors: after.descriptors - before.descriptors,
  mappings: after.mappings - before.mappings - islands,
  resident: after.resident - before.resident,
  islands,
}));
