/** When giving addresses back can help a request that was refused. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { libc } from "../../../ffi/mod.ts";
import { wouldHelp } from "../../../src/memory/reserved.ts";

/** A system that can map ranges of up to `addresses` bytes. */
function systemWith(addresses: number) {
  const { constants } = libc();
  let mapped = 0;
  return {
    constants,
    pageSize: 4096,
    mmap: (_: number, length: number) => {
      if (length > addresses) return -1;
      mapped += length;
      return 4096;
    },
    munmap: (_: number, length: number) => {
      mapped -= length;
      return 0;
    },
    mapped: () => mapped,
  };
}

const GIBI = 2 ** 30;

for (
  const [what, addresses, size, idle, expected] of [
    ["not even a page fits", 0, 10, 4096, true],
    ["it fits into the idle addresses", GIBI, 2 * GIBI, 3 * GIBI, true],
    [
      "it fits together with the idle addresses",
      GIBI,
      4 * GIBI,
      3 * GIBI,
      true,
    ],
    ["no system has that many addresses", GIBI, 2 ** 50, 3 * GIBI, false],
    ["there are addresses, but no memory", GIBI, GIBI, GIBI, false],
  ] as const
) {
  test(`giving back ${expected ? "helps" : "does not help"} where ${what}`, () => {
    const system = systemWith(addresses);
    assert.equal(wouldHelp(system, size, idle), expected);
    assert.equal(system.mapped(), 0);
  });
}
