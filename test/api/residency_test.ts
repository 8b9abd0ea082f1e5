/** `residency()`: which share of a map's pages is in memory. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { open } from "../../mod.ts";
import { temporaryFolder, withLibc } from "../support/support.ts";

// deno-lint-ignore no-explicit-any -- what TypeScript would refuse
type Any = any;

/** Pages, of which every third is in memory, whatever the truth is. */
function everyThird(calls: number[]) {
  return (_: number, length: number, pages: Uint8Array) => {
    const count = Math.ceil(length / libc().pageSize);
    calls.push(count);
    assert.ok(pages.length >= count);
    // What the other bits say nobody has promised.
    for (let i = 0; i < count; i++) pages[i] = i % 3 === 0 ? 0xff : 0xfe;
    return 0;
  };
}

test("bytes that were just written are in memory, and no bytes are", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, new Uint8Array(100_000).fill(1));
  for (const mode of ["r", "c", "r+"] as const) {
    using map = open(path, mode);
    map.read();
    assert.equal(map.residency(), 1);
    assert.equal(map.residency(5000), 1);
    assert.equal(map.residency(-10, -5), 1);
    assert.equal(map.residency(7, 7), 1);
    assert.throws(() => map.residency(0, 100_001), { name: "RangeError" });
    assert.throws(() => (map as Any).residency(0, 1, 2), { name: "TypeError" });
  }
  using map = open(path);
  map.close();
  assert.throws(() => map.residency(), { code: "ERR_MEMMAP_CLOSED" });
  fs.writeFileSync(path, "");
  using empty = open(path);
  assert.equal(empty.residency(), 1);
});

test("what nobody has touched of a sparse file in memory is not there", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, "");
  fs.truncateSync(path, 2 ** 24);
  using map = open(path, "r");
  assert.equal(map.residency(), 0);
  map.read(0, 10);
  const share = map.residency();
  assert.ok(share > 0 && share < 1, `${share}`);
  assert.equal(map.residency(0, 10), 1);
});

test("pages count that have a byte of the range, in pieces of bounded size", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  const { pageSize } = libc();
  fs.writeFileSync(path, "");
  fs.truncateSync(path, 200_001 * pageSize);
  const calls: number[] = [];
  withLibc({ mincore: everyThird(calls) }, () => {
    using map = open(path, "r");
    const shareOf = (begin: number, end: number) => {
      calls.length = 0;
      return map.residency(begin, end);
    };
    assert.equal(shareOf(0, 3 * pageSize), 1 / 3);
    assert.equal(shareOf(0, 3 * pageSize + 1), 2 / 4);
    assert.equal(shareOf(pageSize - 1, 3 * pageSize), 1 / 3);
    assert.equal(shareOf(pageSize, pageSize + 1), 1);
    assert.deepEqual(calls, [1]);
    const all = shareOf(0, map.mappedLength);
    assert.ok(all > 0.333 && all < 0.334);
    assert.equal(calls.reduce((sum, count) => sum + count), 200_001);
    assert.ok(Math.max(...calls) <= 2 ** 16);
  });
});

test("what the system refuses to say is a SystemError", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, "x");
  const EAGAIN = libc().errnoNumber("EAGAIN");
  withLibc({ mincore: () => -1, errno: () => EAGAIN }, () => {
    using map = open(path, "r");
    assert.throws(() => map.residency(), {
      name: "SystemError",
      code: "EAGAIN",
      syscall: "mincore",
    });
  });
});
