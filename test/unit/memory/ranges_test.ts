/**
 * Sets of numbers that are kept as ranges.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Ranges } from "../../../src/memory/ranges.ts";
import { below, randomFrom } from "../../support/support.ts";

function rangesOf(...added: readonly (readonly [number, number])[]): Ranges {
  const ranges = new Ranges();
  for (const [begin, end] of added) ranges.add({ begin, end });
  return ranges;
}

const asPairs = (ranges: Ranges) =>
  [...ranges].map(({ begin, end }) => [begin, end]);

test("ranges that overlap or touch are merged, and the others stay in order", () => {
  assert.deepEqual(asPairs(rangesOf()), []);
  assert.deepEqual(asPairs(rangesOf([5, 9], [1, 2])), [[1, 2], [5, 9]]);
  assert.deepEqual(asPairs(rangesOf([5, 9], [1, 5])), [[1, 9]]);
  assert.deepEqual(asPairs(rangesOf([5, 9], [9, 10])), [[5, 10]]);
  assert.deepEqual(asPairs(rangesOf([1, 9], [3, 4])), [[1, 9]]);
  const bridged = rangesOf([1, 2], [4, 5], [7, 8], [2, 7]);
  assert.deepEqual(asPairs(bridged), [[1, 8]]);
});

test("the end is that of the last range, or 0 if there is none", () => {
  assert.equal(rangesOf().end, 0);
  assert.equal(rangesOf().isEmpty, true);
  assert.equal(rangesOf([5, 9], [1, 2]).end, 9);
  assert.equal(rangesOf([5, 9], [1, 2]).isEmpty, false);
});

test("random ranges cover the same numbers as a set", () => {
  const random = randomFrom(1);
  for (let round = 0; round < 50; round++) {
    const ranges = new Ranges();
    const model = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const begin = below(random, 200);
      const end = begin + 1 + below(random, 15);
      ranges.add({ begin, end });
      for (let at = begin; at < end; at++) model.add(at);
    }
    const covered: number[] = [];
    let last = -1;
    for (const { begin, end } of ranges) {
      assert.ok(begin > last, "a gap before each range");
      for (let at = begin; at < end; at++) covered.push(at);
      last = end;
    }
    assert.deepEqual(covered, [...model].sort((a, b) => a - b));
  }
});
