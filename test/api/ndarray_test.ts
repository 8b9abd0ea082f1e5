/**
 * A `MemmapArray` as the store of scijs's `ndarray`, worked on by `ndarray` itself and by
 * `ndarray-ops`, and compared with the same work over ordinary memory.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import ndarray, { type NdArray } from "ndarray";
import ops from "ndarray-ops";
import {
  type ByteOrder,
  type DType,
  type MemmapArray,
  type MemmapSlice,
  open,
} from "../../mod.ts";
import {
  below,
  isThorough,
  proof,
  type Random,
  randomFrom,
  SEED,
  temporaryFolder,
} from "../support/support.ts";

const ROUNDS = isThorough ? 400 : 40;
/** Changes of a view, one after the other. */
const STEPS = 6;
const ORDERS: readonly ByteOrder[] = ["little", "big"];

/** For each type, memory of its elements which `ndarray` knows, and some value. */
const TYPES = {
  bool: [Array, (random) => random() < 0.5],
  int8: [Int8Array, (random) => below(random, 256) - 128],
  uint8: [Uint8Array, (random) => below(random, 256)],
  int16: [Int16Array, (random) => below(random, 65536) - 32768],
  uint16: [Uint16Array, (random) => below(random, 65536)],
  int32: [Int32Array, (random) => below(random, 2 ** 32) - 2 ** 31],
  uint32: [Uint32Array, (random) => below(random, 2 ** 32)],
  int64: [BigInt64Array, (random) => BigInt(below(random, 2 ** 53)) << 10n],
  uint64: [BigUint64Array, (random) => BigInt(below(random, 2 ** 53)) << 11n],
  float16: [Array, (random) => below(random, 2048) / 8],
  float32: [Float32Array, (random) => Math.fround(random() * 2 - 1)],
  float64: [Float64Array, (random) => random() * 2 - 1],
  complex64: [Array, (random) => [below(random, 99), below(random, 99)]],
  complex128: [Array, (random) => [random(), random()]],
} satisfies Record<
  DType,
  [new (size: number) => unknown, (r: Random) => unknown]
>;
const NAMES = Object.keys(TYPES) as (keyof typeof TYPES)[];
/** The types of numbers that ndarray knows, for arithmetic. */
const NUMBERS = [
  ...["int8", "uint8", "int16", "uint16", "int32", "uint32"] as const,
  ...["float32", "float64"] as const,
];

// deno-lint-ignore no-explicit-any -- its elements are of any type
type View = NdArray<any>;

/** The same elements in a file and in ordinary memory. */
interface Pair {
  readonly mapped: View;
  readonly plain: View;
}

/** Arrays of one type over one slice, none of them aligned. */
class Arrays {
  readonly #slice: MemmapSlice;
  readonly #dtype: keyof typeof TYPES;
  readonly #byteOrder: ByteOrder;
  #end = 1;

  constructor(
    slice: MemmapSlice,
    dtype: keyof typeof TYPES,
    byteOrder: ByteOrder,
  ) {
    this.#slice = slice;
    this.#dtype = dtype;
    this.#byteOrder = byteOrder;
  }

  /** A pair of this shape, whose elements are what `next` returns. */
  pair(shape: number[], next: () => unknown): Pair {
    const size = shape.reduce((product, length) => product * length, 1);
    const store: MemmapArray = this.#slice.array(this.#dtype, {
      shape: size,
      byteOrder: this.#byteOrder,
      byteOffset: this.#end,
    });
    this.#end += size * store.itemSize;
    const [Memory] = TYPES[this.#dtype];
    const memory = new Memory(size) as unknown[];
    for (let i = 0; i < size; i++) memory[i] = next();
    store.copyFrom(memory as never);
    const pair = {
      mapped: ndarray<never>(store as never, shape),
      plain: ndarray<never>(memory as never, [...shape]),
    };
    assert.equal(pair.mapped.dtype, "generic");
    return pair;
  }
}

/** Elements in row-major order, by `ndarray`'s own `get`. */
function elements(view: View): unknown[] {
  const all: unknown[] = [];
  const visit = (index: number[]) => {
    const axis = index.length;
    if (axis === view.dimension) all.push(view.get(...index));
    else {
      for (let i = 0; i < view.shape[axis]!; i++) visit([...index, i]);
    }
  };
  visit([]);
  return all;
}

function assertSame({ mapped, plain }: Pair, what: string): void {
  assert.deepEqual(mapped.shape, plain.shape, what);
  assert.deepEqual(elements(mapped), elements(plain), what);
}

/** What `ndarray` makes of both: one view of each. */
function someView(random: Random, { mapped, plain }: Pair): Pair {
  const { shape, dimension } = plain;
  const both = (make: (view: View) => View) => ({
    mapped: make(mapped),
    plain: make(plain),
  });
  switch (below(random, 5)) {
    case 0: {
      const low = shape.map((length) => below(random, length));
      return both((view) => view.lo(...low));
    }
    case 1: {
      const high = shape.map((length) => 1 + below(random, length));
      return both((view) => view.hi(...high));
    }
    case 2: {
      const steps = shape.map(() => [1, 2, -1, -2][below(random, 4)]!);
      return both((view) => view.step(...steps));
    }
    case 3: {
      const axes = shape.map((_, axis) => axis);
      for (let i = axes.length - 1; i > 0; i--) {
        const j = below(random, i + 1);
        [axes[i], axes[j]] = [axes[j]!, axes[i]!];
      }
      return both((view) => view.transpose(...axes));
    }
    default: {
      if (dimension < 2) return { mapped, plain };
      const axis = below(random, dimension);
      const at = below(random, shape[axis]!);
      const index = shape.map((_, i) => i === axis ? at : null);
      return both((view) => view.pick(...index as number[]));
    }
  }
}

function withSlice(use: (slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "file"), "w+", { length: 2 ** 16 });
  use(map.slice());
}

test("ndarray's views over an array read and write as over ordinary memory", () => {
  withSlice((slice) => {
    const random = randomFrom(SEED);
    for (const dtype of NAMES) {
      const [, some] = TYPES[dtype];
      for (let round = 0; round < ROUNDS; round++) {
        const order = ORDERS[round % 2]!;
        const shape = Array.from(
          { length: 1 + below(random, 4) },
          () => 1 + below(random, 5),
        );
        const whole = new Arrays(slice, dtype, order)
          .pair(shape, () => some(random));
        const where = `${dtype}, ${order}-endian, seed ${SEED}, round ${round}`;
        assertSame(whole, where);
        let view = whole;
        for (let step = 0; step < STEPS; step++) {
          view = someView(random, view);
          assertSame(view, where);
          if (view.plain.size === 0) break;
          const index = view.plain.shape.map((length) => below(random, length));
          const value = some(random);
          const returned = view.mapped.set(...index, value as never);
          assert.deepEqual(returned, value, where);
          view.plain.set(...index, value as never);
        }
        assertSame(whole, where);
      }
    }
  });
  proof(
    `${NAMES.length * ROUNDS} ndarrays over mapped arrays did what others do`,
  );
});

/** Operations of ndarray-ops by their operands, after the one that is written. */
const INTEGER_OPS = ["band", "bor", "bxor", "lshift", "rshift", "rrshift"];
const BINARY_OPS = [
  "add",
  "sub",
  "mul",
  "div",
  "mod",
  "max",
  "min",
  "pow",
  "atan2",
];
const OPPOSITE_OPS = ["powop", "atan2op"];
const COMPARISONS = ["eq", "neq", "lt", "gt", "leq", "geq", "and", "or"];
const UNARY_OPS = [
  ...["neg", "recip", "abs", "acos", "asin", "atan", "ceil", "cos", "exp"],
  ...["floor", "log", "round", "sin", "sqrt", "tan"],
];
const REDUCTIONS = [
  ...["any", "all", "sum", "prod", "norm2squared", "norm2", "norminf", "norm1"],
  ...["sup", "inf", "argmin", "argmax"],
];

const operations = ops as unknown as Record<
  string,
  (...operands: unknown[]) => unknown
>;

/** The sides of a call: all of its operands in files, or all in memory. */
function sides(operands: readonly (Pair | number)[]): [unknown[], unknown[]] {
  const side = (name: keyof Pair) =>
    operands.map((each) => typeof each === "number" ? each : each[name]);
  return [side("mapped"), side("plain")];
}

/** Calls the operation for both; the first operand may be written. */
function compare(
  name: string,
  operands: readonly (Pair | number)[],
  dtype: string,
): void {
  const operation = operations[name];
  assert.ok(operation !== undefined, name);
  const [mapped, plain] = sides(operands);
  const what = `${name} of ${dtype}, seed ${SEED}`;
  const [result, expected] = [operation(...mapped), operation(...plain)];
  // What writes an array returns that.
  if (result === mapped[0]) assert.equal(expected, plain[0], what);
  else assert.deepEqual(result, expected, what);
  const [written] = operands;
  if (typeof written === "object") assertSame(written, what);
}

test("ndarray-ops computes over mapped arrays what it does over ordinary memory", () => {
  let count = 0;
  withSlice((slice) => {
    const random = randomFrom(SEED);
    for (const dtype of NUMBERS) {
      for (const order of ORDERS) {
        const some = () => below(random, 7) + 1;
        const fresh = (type: keyof typeof TYPES) => {
          const arrays = new Arrays(slice, type, order);
          const pair = () => {
            const { mapped, plain } = arrays.pair([4, 3, 2], some);
            // The middle axis backwards, and the others exchanged.
            const turn = (view: View) => view.step(1, -1, 1).transpose(2, 1, 0);
            return { mapped: turn(mapped), plain: turn(plain) };
          };
          return [pair(), pair(), pair()] as const;
        };
        const call = (name: string, operands: readonly (Pair | number)[]) => {
          compare(name, operands, `${dtype}, ${order}-endian`);
          count++;
        };
        const isInteger = dtype.includes("int");
        const binary = [...BINARY_OPS, ...isInteger ? INTEGER_OPS : []];
        for (const name of [...binary, ...OPPOSITE_OPS]) {
          const [a, b, c] = fresh(dtype);
          call(name, [a, b, c]);
          call(`${name}s`, [a, b, 2]);
          call(`${name}eq`, [b, c]);
          call(`${name}seq`, [c, 3]);
        }
        for (const name of [...UNARY_OPS, ...isInteger ? ["bnot"] : []]) {
          const [a, b] = fresh(dtype);
          call(name, [a, b]);
          call(`${name}eq`, [b]);
        }
        for (const name of REDUCTIONS) call(name, [fresh(dtype)[0]]);
        const [a, b, c] = fresh(dtype);
        call("equals", [a, b]);
        call("assign", [a, b]);
        call("equals", [a, b]);
        call("assigns", [c, 5]);
      }
    }
    // What is true or false goes into arrays of those.
    for (const order of ORDERS) {
      const random = randomFrom(SEED);
      const arrays = new Arrays(slice, "bool", order);
      const some = () => random() < 0.5;
      const [a, b, c] = [0, 1, 2].map(() => arrays.pair([4, 3], some));
      for (const name of COMPARISONS) {
        compare(name, [a!, b!, c!], "bool");
        compare(`${name}eq`, [b!, c!], "bool");
        count += 2;
      }
      compare("not", [a!, b!], "bool");
      compare("noteq", [c!], "bool");
      count += 2;
    }
  });
  proof(`${count} operations of ndarray-ops over mapped arrays`);
});
