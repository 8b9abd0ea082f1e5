/**
 * Shapes and strides, compared with brute force. A shape and its strides are nothing
 * but a list of positions, one for each element in row-major order.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type Axes,
  boundsOf,
  checkShape,
  columnMajor,
  countOf,
  isContiguous,
  Lines,
  printed,
  reshaped,
  rowMajor,
} from "../../../src/geometry/shape.ts";
import { boxesOf } from "../../../src/geometry/boxes.ts";
import { isThorough, SEED } from "../../support/support.ts";

const RUNS = { numRuns: isThorough ? 20_000 : 1000, seed: SEED };
const TIMEOUT = { timeout: 120_000 };

/** Bytes of an element: a number that divides few others. */
const SIZE = 3;

/**
 * The position of each element in row-major order, in bytes from the first: the
 * definition of strides.
 */
function positionsOf(shape: Axes, strides: Axes): number[] {
  let positions = [0];
  for (let axis = 0; axis < shape.length; axis++) {
    const along = Array.from(
      { length: shape[axis]! },
      (_, i) => i * strides[axis]!,
    );
    positions = positions.flatMap((at) => along.map((step) => at + step));
  }
  return positions;
}

/**
 * The strides with which `shape` has these positions, if there are any. The second
 * element along an axis determines the stride of that axis.
 */
function stridesOf(
  shape: Axes,
  positions: readonly number[],
): number[] | undefined {
  const strides = shape.map((length, axis) => {
    const next = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    return length > 1 ? positions[next]! - positions[0]! : SIZE;
  });
  const same = positionsOf(shape, strides).join() === positions.join();
  return same ? strides : undefined;
}

interface View {
  shape: number[];
  strides: number[];
}

const lengths = (max: number) =>
  fc.array(
    fc.oneof({ weight: 1, arbitrary: fc.constantFrom(0, 1) }, {
      weight: 4,
      arbitrary: fc.integer({ min: 1, max: 5 }),
    }),
    { maxLength: max },
  );

/**
 * Any view that there can be: a part of a larger row-major array, with its axes in any
 * order and some of them backwards, or with strides that mean nothing.
 */
const views: fc.Arbitrary<View> = lengths(5).chain((shape) =>
  fc.record({
    gaps: fc.array(fc.nat(2), {
      minLength: shape.length,
      maxLength: shape.length,
    }),
    isWhole: fc.boolean(),
    order: fc.shuffledSubarray([...shape.keys()], {
      minLength: shape.length,
    }),
    isTransposed: fc.boolean(),
    turns: fc.array(fc.constantFrom(1, 1, 1, 1, -1, 0), {
      minLength: shape.length,
      maxLength: shape.length,
    }),
    isTurned: fc.boolean(),
    any: fc.option(
      fc.array(fc.integer({ min: -9, max: 9 }), {
        minLength: shape.length,
        maxLength: shape.length,
      }),
      { freq: 6, nil: undefined },
    ),
  }).map(({ gaps, isWhole, order, isTransposed, turns, isTurned, any }) => {
    const whole = shape.map((length, axis) =>
      length + (isWhole ? 0 : gaps[axis]!)
    );
    const strides = any ?? rowMajor(whole, SIZE).map((stride, axis) =>
      isTurned ? stride * turns[axis]! + 0 : stride
    );
    const axes = isTransposed ? order : [...shape.keys()];
    return {
      shape: axes.map((axis) => shape[axis]!),
      strides: axes.map((axis) => strides[axis]!),
    };
  })
);

/** A shape of `count` elements: divisors of it, with ones in between. */
function shapeOf(count: number, choices: readonly number[]): number[] {
  const shape: number[] = [];
  let left = count;
  for (const choice of choices) {
    const divisors = Array.from({ length: left }, (_, i) => i + 1)
      .filter((divisor) => left % divisor === 0);
    const divisor = divisors[choice % divisors.length]!;
    shape.push(divisor);
    left /= divisor;
  }
  if (left !== 1) shape.push(left);
  return shape;
}

test("countOf() is the number of index tuples", () => {
  fc.assert(
    fc.property(lengths(6), (shape) => {
      assert.equal(
        countOf(shape),
        positionsOf(shape, rowMajor(shape, SIZE)).length,
      );
    }),
    RUNS,
  );
  assert.equal(countOf([]), 1);
  assert.equal(countOf([2 ** 40, 2 ** 40, 2 ** 40, 0, 2 ** 40]), 0);
});

test("rowMajor() lays the elements out side by side, the last axis fastest", () => {
  fc.assert(
    fc.property(lengths(6), (shape) => {
      const strides = rowMajor(shape, SIZE);
      const positions = positionsOf(shape, strides);
      assert.deepEqual(positions, positions.map((_, i) => SIZE * i));
      assert.equal(strides.length, shape.length);
      assert.ok(strides.every((stride) => stride >= SIZE));
    }),
    RUNS,
  );
  assert.deepEqual(rowMajor([2, 3, 4], 1), [12, 4, 1]);
  assert.deepEqual(rowMajor([2, 3, 4], 8), [96, 32, 8]);
  assert.deepEqual(rowMajor([], 8), []);
});

test("columnMajor() lays them out with the first axis fastest", () => {
  fc.assert(
    fc.property(lengths(6), (shape) => {
      assert.deepEqual(
        columnMajor(shape, SIZE).toReversed(),
        rowMajor(shape.toReversed(), SIZE),
      );
    }),
    RUNS,
  );
  assert.deepEqual(columnMajor([2, 3, 4], 8), [8, 16, 48]);
});

test("boundsOf() covers the lowest to the highest byte", () => {
  fc.assert(
    fc.property(views, ({ shape, strides }) => {
      const positions = positionsOf(shape, strides);
      const { low, high } = boundsOf(shape, strides, SIZE);
      if (positions.length === 0) return assert.deepEqual([low, high], [0, 0]);
      assert.equal(low, Math.min(...positions));
      assert.equal(high, Math.max(...positions) + SIZE);
    }),
    RUNS,
  );
});

test("isContiguous() is true if the positions count up from 0", () => {
  fc.assert(
    fc.property(views, ({ shape, strides }) => {
      const positions = positionsOf(shape, strides);
      const expected = positions.every((at, i) => at === SIZE * i);
      assert.equal(isContiguous(shape, strides, SIZE), expected);
    }),
    RUNS,
  );
});

test(
  "reshaped() keeps the positions, and fails only if no strides can",
  TIMEOUT,
  () => {
    let [possible, impossible] = [0, 0];
    fc.assert(
      fc.property(
        views,
        fc.array(fc.nat(100), { maxLength: 5 }),
        ({ shape, strides }, choices) => {
          const positions = positionsOf(shape, strides);
          const target = positions.length === 0
            ? [...choices.map((choice) => choice % 4), 0]
            : shapeOf(positions.length, choices);
          const result = reshaped(shape, strides, target, SIZE);
          if (result === undefined) {
            impossible++;
            assert.equal(
              stridesOf(target, positions),
              undefined,
              String(target),
            );
            return;
          }
          possible++;
          assert.equal(result.length, target.length);
          assert.deepEqual(positionsOf(target, result), positions);
        },
      ),
      RUNS,
    );
    assert.ok(possible > 100 && impossible > 100, `${possible}, ${impossible}`);
  },
);

test("reshaped() to the same shape, with or without extra ones, is always possible", () => {
  fc.assert(
    fc.property(views, fc.nat(5), ({ shape, strides }, at) => {
      for (const target of [shape, shape.toSpliced(at, 0, 1)]) {
        const result = reshaped(shape, strides, target, SIZE);
        assert.ok(result !== undefined);
        assert.deepEqual(
          positionsOf(target, result),
          positionsOf(shape, strides),
        );
      }
    }),
    RUNS,
  );
});

/** The positions that `Lines` visits, and in how many lines. */
function walk(
  { shape, strides }: View,
  begin: number,
  end: number,
): [positions: number[], lines: number] {
  const lines = new Lines(shape, strides, SIZE, begin, end);
  const positions: number[] = [];
  let count = 0;
  while (lines.next()) {
    assert.ok(lines.count >= 1, `a line of ${lines.count}`);
    for (let i = 0; i < lines.count; i++) {
      positions.push(lines.at + i * lines.stride);
    }
    if (++count > 10_000) assert.fail("the lines never end");
  }
  assert.equal(lines.next(), false);
  return [positions, count];
}

test(
  "Lines visit every part of every view in row-major order",
  TIMEOUT,
  () => {
    fc.assert(
      fc.property(views, (view) => {
        const all = positionsOf(view.shape, view.strides);
        const step = Math.ceil((all.length + 1) / 40); // only some ranges of large views
        for (let begin = 0; begin <= all.length; begin += step) {
          for (let end = begin; end <= all.length; end += step) {
            const [positions] = walk(view, begin, end);
            const expected = all.slice(begin, end);
            if (positions.join() !== expected.join()) {
              assert.deepEqual(positions, expected, `${begin} to ${end}`);
            }
          }
        }
        assert.deepEqual(walk(view, 0, all.length)[0], all);
      }),
      { numRuns: isThorough ? 3000 : 300, seed: SEED },
    );
  },
);

test(
  "boxes are every element of a range once, whichever way they are visited",
  TIMEOUT,
  () => {
    fc.assert(
      fc.property(views, fc.nat(), fc.nat(), ({ shape, strides }, a, b) => {
        const positions = positionsOf(shape, strides);
        const begin = a % (positions.length + 1);
        const end = begin + b % (positions.length - begin + 1);
        const found: (number | undefined)[] = [];
        const boxes = boxesOf(shape, strides, SIZE, begin, end);
        assert.ok(boxes.length <= Math.max(2 * shape.length - 1, 1));
        for (const { at, packedAt, axes } of boxes) {
          assert.ok(axes.every(({ length }) => length > 1));
          const lengths = axes.map(({ length }) => length);
          const sources = positionsOf(
            lengths,
            axes.map(({ stride }) => stride),
          );
          const targets = positionsOf(
            lengths,
            axes.map(({ packed }) => packed),
          );
          targets.forEach((target, i) => {
            const flat = (packedAt + target) / SIZE;
            assert.equal(found[flat], undefined, "copied twice");
            found[flat] = at + sources[i]!;
          });
        }
        assert.deepEqual(found, positions.slice(begin, end));
      }),
      RUNS,
    );
  },
);

test("contiguous elements are one line, whatever the shape", () => {
  fc.assert(
    fc.property(views, fc.nat(), fc.nat(), (view, a, b) => {
      const size = countOf(view.shape);
      fc.pre(size > 0 && isContiguous(view.shape, view.strides, SIZE));
      const [begin, end] = [a % (size + 1), b % (size + 1)];
      const [positions, lines] = walk(view, begin, end);
      assert.equal(lines, begin < end ? 1 : 0);
      assert.equal(positions.length, Math.max(end - begin, 0));
    }),
    RUNS,
  );
  // One line a row: two of the three axes are transposed.
  assert.equal(walk({ shape: [2, 3, 4], strides: [12, 24, 3] }, 0, 24)[1], 6);
  // All axes but the first merge into one.
  assert.equal(walk({ shape: [2, 3, 4], strides: [99, 12, 3] }, 0, 24)[1], 2);
});

test("checkShape() returns a copy of the lengths, and never a negative zero", () => {
  fc.assert(
    fc.property(lengths(6), fc.nat(10_000), (shape, available) => {
      for (const answer of [checkShape(shape), checkShape(shape, available)]) {
        assert.deepEqual(answer, shape);
        assert.notEqual(answer, shape);
      }
    }),
    RUNS,
  );
  assert.deepEqual(checkShape(5), [5]);
  assert.deepEqual(checkShape(0), [0]);
  assert.deepEqual(checkShape([]), []);
  assert.ok(Object.is(checkShape(-0)[0], 0));
  assert.ok(Object.is(checkShape([3, -0], 5)[1], 0));
  assert.deepEqual(checkShape(new Uint8Array([2, 3]) as unknown as Axes), [
    2,
    3,
  ]);
});

test("checkShape() replaces a -1 by the largest length that fits", () => {
  fc.assert(
    fc.property(
      lengths(4),
      fc.nat(4),
      fc.nat(2000),
      (others, at, available) => {
        const shape = others.toSpliced(at, 0, -1);
        if (others.includes(0)) {
          assert.throws(() => checkShape(shape, available), {
            name: "RangeError",
            message: /could be anything/,
          });
          return;
        }
        const count = countOf(others);
        let most = 0;
        while ((most + 1) * count <= available) most++;
        const axis = Math.min(at, others.length);
        assert.deepEqual(
          checkShape(shape, available),
          shape.with(axis, most),
        );
      },
    ),
    RUNS,
  );
  assert.deepEqual(checkShape(-1, 7), [7]);
  assert.deepEqual(checkShape(-1, 0), [0]);
});

test("checkShape() rejects what is not a shape, with an error that shows it", () => {
  for (
    const wrong of [
      -1,
      -2,
      0.5,
      NaN,
      Infinity,
      2 ** 53,
      [2, -1],
      [-1, -1],
      [1, -5],
      [1.5],
      [2 ** 27, 2 ** 27],
      [2 ** 53 - 1, 2],
      ["2"],
      [2n],
      [[2, 3]],
      [undefined],
      [null],
      // deno-lint-ignore no-sparse-arrays
      [2, , 2],
    ]
  ) {
    assert.throws(() => checkShape(wrong as number | Axes), {
      name: "RangeError",
      message: /hape \[.*\]/,
    });
  }
  for (const wrong of [[-1, -1], [-1, 0], [0, -1, 5], [-1, 2.5], [-2]]) {
    assert.throws(() => checkShape(wrong, 100), { name: "RangeError" });
  }
  assert.deepEqual(checkShape([2 ** 27, 2 ** 27, 0]), [2 ** 27, 2 ** 27, 0]);
});

test("printed() gives a shape as source text", () => {
  assert.equal(printed([512, 512]), "[512, 512]");
  assert.equal(printed([]), "[]");
  assert.equal(printed([3]), "[3]");
});
