/**
 * Opens, edits, flushes and closes a map a thousand times, and checks that
 * descriptors, mappings and address space end where they began.
 *
 * Run by leaks_test.ts with a folder as argument.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { open } from "../../../../mod.ts";
import {
  descriptorsOf,
  givenArguments,
  mappingsOf,
  openDescriptors,
} from "../../../support/support.ts";

const [folder] = givenArguments("folder");
const path = join(folder, "rounds.dat");
const LENGTH = 50_000;
const STRATEGIES = ["auto", "replace", "in-place"] as const;

function addressSpace(): number {
  const [, pages] = /^VmSize:\s+(\d+) kB$/m.exec(
    readFileSync("/proc/self/status", "utf8"),
  )!;
  return Number(pages) * 1024;
}

function round(i: number): void {
  writeFileSync(path, new Uint8Array(LENGTH).fill(i));
  const mode = (["r+", "c", "r", "w+"] as const)[i % 4];
  const map = open(path, mode, mode === "w+" ? { length: LENGTH } : {});
  const slices = [
    map.slice(0, 100),
    map.slice(100, 20_000),
    map.slice(30_000, LENGTH),
  ] as const;
  const { buffer } = slices[0];
  assert.equal(slices[1].bytes.length, 19_900);
  if (mode !== "r") {
    slices[0].resize(i % 3 === 0 ? 50 : 150);
    slices[1].splice(5, 5, new Uint8Array(2_000_000));
    slices[2].bytes.fill(3);
    map.insert(25_000, 1000).delete();
    map.insert(LENGTH, 1000).bytes.fill(1);
  }
  const strategy = STRATEGIES[i % 3]!;
  if (map.writable) map.flush({ strategy, durable: false });
  else if (mode === "c") {
    map.flush({ path: join(folder, "other.dat"), durable: false });
  }
  assert.throws(() => map.slice(99, 101), { name: "OverlapError" });
  assert.throws(() => open(path, "r", { length: 2 ** 40 }), {
    name: "RangeError",
  });
  if (i % 5 === 0) slices[2].delete();
  if (i % 7 === 0) map.close({ discard: true });
  else map.close();
  assert.equal(buffer.byteLength, 0);
}

for (let i = 0; i < 100; i++) round(i);
const descriptors = openDescriptors()!;
const space = addressSpace();
const mappings = mappingsOf("")!.length;
for (let i = 0; i < 1000; i++) round(i);
assert.deepEqual(descriptorsOf(folder), []);
assert.deepEqual(mappingsOf(folder), []);
assert.deepEqual(readdirSync(folder).sort(), ["other.dat", "rounds.dat"]);
// The runtime's heap varies. A leak of one a round would make a thousand.
assert.ok(
  openDescriptors()! - descriptors < 50,
  `${openDescriptors()! - descriptors} descriptors`,
);
assert.ok(
  mappingsOf("")!.length - mappings < 200,
  `${mappingsOf("")!.length - mappings} mappings`,
);
assert.ok(
  addressSpace() - space < 2 ** 30,
  `${addressSpace() - space} bytes of address space`,
);
console.log("1000 rounds");
