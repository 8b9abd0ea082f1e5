/**
 * What the kernel says of pages that were written.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Mapping } from "../../../src/memory/mapping.ts";
import { findWrittenPages } from "../../../src/storage/pagemap.ts";

test("written pages are found in rows, wherever reads of the kernel's words begin and end", (t) => {
  const count = 20_000;
  const { pageSize } = Mapping.anonymous(1, "/memory.tst");
  const memory = Mapping.anonymous(count * pageSize, "/memory.tst");
  try {
    const rows = [[0, 1], [3, 5], [8190, 8194], [16383, 16384], [16386, 16387]];
    const last = [count - 2, count];
    for (const [from, to] of [...rows, last] as [number, number][]) {
      for (let page = from; page < to; page++) {
        memory.fill(1, page * pageSize, 1);
      }
    }
    const find = (first: number, pages: number, isOneEnough = false) =>
      findWrittenPages(
        memory.address + first * pageSize,
        pages,
        pageSize,
        isOneEnough,
      );
    const found = find(0, count);
    if (found === undefined) return t.skip("the system does not tell");
    assert.deepEqual(found, [...rows, last]);
    assert.deepEqual(find(4, 8188), [[0, 1], [8186, 8188]]);
    assert.deepEqual(find(5, 3000), []);
    assert.deepEqual(find(10, count - 10, true)?.[0]?.[0], 8180);
  } finally {
    memory.release();
  }
});
