/** What a flush has to write, from the books alone. No file is opened. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { layingOut } from "../../../src/geometry/mod.ts";
import { type Plan, planOf } from "../../../src/map/flush/plan.ts";
import type { OpenMap } from "../../../src/map/open_map.ts";

/** A slice: its range in the file, and its bytes now if it floats. */
function extent(begin: number, end: number, floating?: number) {
  const isFloating = floating !== undefined;
  return { begin, end, order: 0, length: floating ?? end - begin, isFloating };
}

/** The plan of a map that has counted `length` bytes. */
function planned(
  extents: ReturnType<typeof extent>[],
  mappedLength: number,
  size: number,
  length: number,
): Plan {
  const map = {
    layingOut: () => layingOut(extents, mappedLength),
    mappedLength,
    length,
    file: { size },
    tail: { pieces: [] },
  };
  const steps = planOf(map as unknown as OpenMap);
  let next = steps.next();
  while (!next.done) next = steps.next(0);
  return next.value;
}

test("what a flush writes is as long as the slices are, whatever the map has counted", () => {
  const extents = [extent(0, 4), extent(6, 8, 5), extent(10, 10, 3)];
  for (const length of [16, 0, 15, 99]) {
    const plan = planned(extents, 10, 12, length);
    assert.deepEqual([plan.mappedLength, plan.fileLength], [16, 18]);
    assert.deepEqual(plan.runs, [
      { from: 0, to: 0, length: 6 },
      { from: 8, to: 11, length: 2 },
      { from: 10, to: 16, length: 2 },
    ]);
    assert.deepEqual(
      plan.floats.map(({ offset, length }) => [offset, length]),
      [[6, 5], [13, 3]],
    );
  }
  assert.equal(planned([], 0, 0, 7).fileLength, 0);
});
