/**
 * Repeatedly lets go of maps whose bytes can still be reached, in every way. Their
 * addresses stay reserved for good. This checks that neither kernel mappings nor heap
 * pile up with them.
 *
 * Run by leaks_test.ts with a folder as argument. Prints one line for each way.
 *
 * @module
 */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { open } from "../../../../mod.ts";
import {
  collectThoroughly,
  givenArguments,
  mappingsOf,
} from "../../../support/support.ts";

const path = join(givenArguments("folder")[0], "kept.dat");
writeFileSync(path, new Uint8Array(20_000));

const mappings = () => mappingsOf("")!.length;

const moved: ArrayBuffer[] = [];

/** What round `i` does. */
const WAYS: Record<string, (i: number) => void> = {
  "dropped unclosed": (i) => {
    const map = open(path, i % 2 === 0 ? "r" : "r+");
    assert.equal(map.slice(5000, 9000).bytes.length, 4000);
  },
  "closed, a buffer moved": (i) => {
    const map = open(path, i % 2 === 0 ? "r" : "r+");
    moved.push(map.slice(i % 3 * 5000, 15_000).buffer.transfer());
    map.close();
  },
  "closed, a floating slice's buffer moved": () => {
    const map = open(path);
    moved.push(map.insert(0, 5000).buffer.transfer());
    map.close({ discard: true });
  },
  "deleted, a floating slice's buffer moved": () => {
    const map = open(path);
    const slice = map.insert(0, 2 ** 21);
    moved.push(slice.buffer.transfer());
    slice.delete();
    map.close();
  },
};

for (const [way, letGo] of Object.entries(WAYS)) {
  const before = mappings();
  for (let i = 1; i <= 600; i++) {
    letGo(i);
    if (i % 50 === 0) await collectThoroughly();
  }
  await collectThoroughly();
  // The runtime's own heap varies. A leak of one mapping a round would make 600.
  const added = mappings() - before;
  assert.ok(added < 200, `${way}: ${added} kernel mappings`);
  console.log(way);
}
const map = open(path);
const slice = map.slice();
const heap = async () => {
  await collectThoroughly();
  return process.memoryUsage().heapUsed;
};
await heap();
const before = await heap();
for (let i = 1; i <= 100_000; i++) {
  slice.buffer.transfer();
  if (i % 10_000 === 0) await setTimeout(1);
}
const added = (await heap()) - before;
assert.ok(added < 8e6, `${added} bytes of heap for 100,000 moved buffers`);
console.log("moved over and over");
map.close();

for (const buffer of moved) new Uint8Array(buffer).fill(1); // and none of them faults
