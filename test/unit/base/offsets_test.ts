/** Which offsets, ranges and lengths are accepted, and what the errors say. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkLength,
  checkOffset,
  checkRange,
  clampRange,
} from "../../../src/base/offsets.ts";

/** Values that JavaScript would convert to numbers, but that are not numbers. */
const NOT_NUMBERS: readonly unknown[] = [
  "3",
  3n,
  true,
  null,
  undefined,
  [3],
  new Number(3),
  { valueOf: () => 3 },
];

test("a length is a safe integer, 0 or more", () => {
  for (const length of [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    assert.equal(checkLength(length, "memmap length"), length);
  }
  for (const length of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 53]) {
    assert.throws(() => checkLength(length, "memmap length"), {
      name: "RangeError",
      message:
        `Invalid memmap length: ${length}. It must be a whole number of ` +
        "bytes from 0 to 2^53 - 1.",
    });
  }
});

test("a value that merely converts to a number is neither a length nor an offset", () => {
  for (const value of NOT_NUMBERS) {
    const label = String(value);
    assert.throws(() => checkLength(value as number, "count"), {
      name: "RangeError",
      message: /^Invalid count: /,
    }, label);
    assert.throws(() => checkOffset(value as number, 10, "slice"), {
      name: "RangeError",
      message: /^Invalid slice offset: /,
    }, label);
  }
});

test("errors print bigints and strings as source text, to tell them from numbers", () => {
  const says = (value: unknown, message: RegExp) => {
    assert.throws(() => checkLength(value as number, "count"), { message });
    assert.throws(() => checkOffset(value as number, 1, "slice"), { message });
  };
  says(3n, /: 3n\. /);
  says("3", /: "3"\. /);
  says('a "b"', /: "a \\"b\\""\. /);
  says(undefined, /: undefined\. /);
});

test("checking an offset does not run the caller's valueOf()", () => {
  let runs = 0;
  const offset = {
    valueOf() {
      runs++;
      return 3;
    },
    toString: () => "an offset",
  };
  assert.throws(() => checkOffset(offset as unknown as number, 10, "memmap"), {
    message: /^Invalid memmap offset: an object\. /,
  });
  assert.equal(runs, 0);
});

test("offsets from 0 to the length stand for themselves, and negative ones count from the end", () => {
  for (let offset = 0; offset <= 10; offset++) {
    assert.equal(checkOffset(offset, 10, "memmap"), offset);
  }
  for (let offset = -10; offset < 0; offset++) {
    assert.equal(checkOffset(offset, 10, "memmap"), 10 + offset);
  }
  assert.equal(checkOffset(-1, 2 ** 53 - 1, "memmap"), 2 ** 53 - 2);
});

test("an offset of -0 is 0", () => {
  assert.ok(Object.is(checkOffset(-0, 10, "memmap"), 0));
  assert.ok(Object.is(checkOffset(-0, 0, "memmap"), 0));
});

test("an offset outside the map is an error that gives the valid range", () => {
  for (const offset of [11, -11, 0.5, NaN, Infinity, -Infinity]) {
    assert.throws(() => checkOffset(offset, 10, "memmap"), {
      name: "RangeError",
      message: `Invalid memmap offset: ${offset}. Offsets are whole numbers ` +
        "from -10 to 10, the map's mappedLength; pending edits do not change " +
        "it. Negative ones count from the end.",
    });
  }
  assert.throws(() => checkOffset(1, 0, "slice"), {
    name: "RangeError",
    message:
      "Invalid slice offset: 1. Offsets are whole numbers from 0 to 0, " +
      "the slice's length. Negative ones count from the end.",
  });
});

test("both ends of a range are checked, and a range may be empty", () => {
  assert.deepEqual(checkRange(2, 5, 10, "memmap"), [2, 5]);
  assert.deepEqual(checkRange(-3, -1, 10, "memmap"), [7, 9]);
  assert.deepEqual(checkRange(0, 10, 10, "memmap"), [0, 10]);
  assert.deepEqual(checkRange(10, 10, 10, "memmap"), [10, 10]);
  assert.deepEqual(checkRange(0, 0, 0, "memmap"), [0, 0]);
  assert.throws(() => checkRange(11, 12, 10, "memmap"), {
    message: /^Invalid memmap offset: 11\. /,
  });
  assert.throws(() => checkRange(0, 12, 10, "slice"), {
    message: /^Invalid slice offset: 12\. /,
  });
});

test("a range that ends before it begins is an error that names both ends as they were given", () => {
  assert.throws(() => checkRange(5, -6, 10, "memmap"), {
    name: "RangeError",
    message: "Invalid memmap range: 5 to -6 ends before it begins.",
  });
});

test("clampRange counts as TypedArray.prototype.slice does", () => {
  const length = 6;
  const elements = new Uint8Array(length).map((_, i) => i);
  const ends = [0, -0, 1, 5, 6, 7, -1, -5, -6, -7, 2.9, -2.9, 0.5, -0.5];
  ends.push(NaN, Infinity, -Infinity, 2 ** 53);
  for (const begin of ends) {
    for (const end of ends) {
      const [from, to] = clampRange(begin, end, length);
      assert.deepEqual(
        elements.subarray(from, to),
        elements.slice(begin, end),
        `${begin} to ${end}`,
      );
      assert.ok(0 <= from && from <= to && to <= length, `${begin} to ${end}`);
    }
  }
  assert.deepEqual(clampRange(-3, 9, 0), [0, 0]);
});
