/**
 * The registry: random operations are compared with a sorted array, and comparisons
 * are counted. No files, no memory, no timing.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Extent, Registry } from "../../../src/geometry/registry.ts";
import {
  below,
  ourShare,
  type Random,
  randomFrom,
} from "../../support/support.ts";

function shuffle<T>(all: T[], random: Random): T[] {
  for (let i = all.length - 1; i > 0; i--) {
    const j = below(random, i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

function extentOf(begin: number, end: number): Extent {
  return { begin, end, order: 0 };
}

/** The specification: do two extents overlap? */
function overlaps(a: Extent, b: Extent): boolean {
  if (a.begin === a.end && b.begin === b.end) return false;
  if (a.begin === a.end) return b.begin < a.begin && a.begin < b.end;
  if (b.begin === b.end) return a.begin < b.begin && b.begin < a.end;
  return a.begin < b.end && b.begin < a.end;
}

/** Does `a`, which was added first, come before `b`, which is added now? */
function precedes(a: Extent, b: Extent): boolean {
  if (a.begin !== b.begin) return a.begin < b.begin;
  return a.begin === a.end || b.begin !== b.end;
}

/** What the registry promises, implemented by looking at every extent each time. */
class NaiveRegistry {
  all: Extent[] = [];

  add(extent: Extent): boolean {
    if (this.all.some((other) => overlaps(other, extent))) return false;
    const at = this.all.findIndex((other) => !precedes(other, extent));
    this.all.splice(at === -1 ? this.all.length : at, 0, extent);
    return true;
  }

  remove(extent: Extent): void {
    this.all.splice(this.all.indexOf(extent), 1);
  }

  find(begin: number, end: number): Extent | undefined {
    return this.all.find((e) => e.begin === begin && e.end === end);
  }
}

/** Compares by identity, and never prints a hundred thousand extents. */
function assertSame(
  actual: Iterable<Extent>,
  expected: readonly Extent[],
  message: string,
): void {
  const all = [...actual];
  assert.equal(all.length, expected.length, message);
  for (let i = 0; i < all.length; i++) {
    if (all[i] !== expected[i]) {
      assert.fail(`${message}: the wrong extent is at index ${i}`);
    }
  }
}

interface Habits {
  /** The largest offset. */
  span: number;
  /** The length of the longest range; 0 makes all ranges empty. */
  longest: number;
  operations: number;
  /** The probability that an operation adds while filling, or removes while emptying. */
  push: number;
}

/** Random operations on both, which alternately fill and empty them. */
function runAgainstModel(seed: number, habits: Habits): void {
  const random = randomFrom(seed);
  const registry = new Registry<Extent>();
  const model = new NaiveRegistry();
  const label = (step: number) => `seed ${seed}, step ${step}`;
  for (let step = 0; step < habits.operations; step++) {
    const filling = Math.floor(step * 6 / habits.operations) % 2 === 0;
    const adding = random() < (filling ? habits.push : 1 - habits.push);
    if (adding || model.all.length === 0) {
      const begin = below(random, habits.span + 1);
      const end = Math.min(
        begin + below(random, habits.longest + 1),
        habits.span,
      );
      const extent = extentOf(begin, end);
      const added = model.add(extent);
      const other = registry.add(extent);
      assert.equal(other === undefined, added, label(step));
      if (other !== undefined) {
        assert.ok(model.all.includes(other), label(step));
        assert.ok(overlaps(other, extent), label(step));
      }
    } else {
      const extent = model.all[below(random, model.all.length)]!;
      model.remove(extent);
      registry.remove(extent);
    }
    assert.equal(registry.size, model.all.length, label(step));
    const begin = below(random, habits.span + 1);
    const end = begin + below(random, habits.longest + 1);
    assert.equal(
      registry.find(begin, end),
      model.find(begin, end),
      `${label(step)}: find(${begin}, ${end})`,
    );
    if (model.all.length > 0) {
      const some = model.all[below(random, model.all.length)]!;
      assert.equal(
        registry.find(some.begin, some.end),
        model.find(some.begin, some.end),
        `${label(step)}: find(${some.begin}, ${some.end})`,
      );
    }
    if (step % 50 === 0) assertSame(registry, model.all, label(step));
    if (step % 1500 === 1499) {
      registry.rebuild(model.all.slice());
      assertSame(registry, model.all, `${label(step)}, rebuilt`);
    }
  }
  assertSame(registry.toArray(), model.all, `seed ${seed}, end`);
  for (const extent of shuffle(model.all.slice(), random)) {
    registry.remove(extent);
  }
  assert.equal(registry.size, 0, `seed ${seed}`);
  assertSame(registry, [], `seed ${seed}, emptied`);
}

test("a new registry is empty", () => {
  const registry = new Registry<Extent>();
  assert.equal(registry.size, 0);
  assert.deepEqual([...registry], []);
  assert.deepEqual(registry.toArray(), []);
  assert.equal(registry.find(0, 0), undefined);
});

test("adjacent ranges do not overlap, and ranges that share a byte do", () => {
  const registry = new Registry<Extent>();
  const middle = extentOf(10, 20);
  assert.equal(registry.add(middle), undefined);
  assert.equal(registry.add(extentOf(0, 10)), undefined);
  assert.equal(registry.add(extentOf(20, 30)), undefined);
  const other = new Registry<Extent>();
  other.add(middle);
  for (
    const [begin, end] of [
      [0, 11],
      [19, 30],
      [10, 20],
      [12, 13],
      [0, 40],
      [10, 11],
      [19, 20],
      [10, 30],
      [0, 20],
    ] as const
  ) {
    assert.equal(other.add(extentOf(begin, end)), middle, `${begin} to ${end}`);
  }
  assert.equal(other.size, 1);
});

test("an overlap changes nothing", () => {
  const registry = new Registry<Extent>();
  const extents = [extentOf(0, 4), extentOf(4, 4), extentOf(4, 9)];
  for (const extent of extents) registry.add(extent);
  assert.equal(registry.add(extentOf(3, 5)) !== undefined, true);
  assert.equal(registry.size, 3);
  assertSame(registry, extents, "after the overlap");
});

test("an empty extent overlaps a range only if it lies strictly inside", () => {
  const registry = new Registry<Extent>();
  const wide = extentOf(10, 20);
  registry.add(wide);
  assert.equal(registry.add(extentOf(11, 11)), wide);
  assert.equal(registry.add(extentOf(19, 19)), wide);
  assert.equal(registry.add(extentOf(10, 10)), undefined);
  assert.equal(registry.add(extentOf(20, 20)), undefined);
  const hole = extentOf(35, 35);
  assert.equal(registry.add(hole), undefined);
  assert.equal(registry.add(extentOf(30, 40)), hole);
  assert.equal(registry.add(extentOf(30, 35)), undefined);
  assert.equal(registry.add(extentOf(35, 40)), undefined);
});

test("a wide range finds an empty extent inside it, behind others at its begin offset", () => {
  const registry = new Registry<Extent>();
  for (let i = 0; i < 500; i++) registry.add(extentOf(10, 10));
  const inside = extentOf(11, 11);
  registry.add(inside);
  for (let i = 0; i < 500; i++) registry.add(extentOf(12, 12));
  assert.equal(registry.add(extentOf(10, 12)), inside);
  registry.remove(inside);
  assert.equal(registry.add(extentOf(10, 12)), undefined);
});

test("empty extents at one offset keep their order of addition, before the one with bytes", () => {
  const registry = new Registry<Extent>();
  const bytes = extentOf(5, 8);
  const before = extentOf(2, 5);
  const first = Array.from({ length: 300 }, () => extentOf(5, 5));
  const second = Array.from({ length: 300 }, () => extentOf(5, 5));
  for (const extent of first) registry.add(extent);
  registry.add(bytes);
  registry.add(before);
  for (const extent of second) registry.add(extent);
  assertSame(registry, [before, ...first, ...second, bytes], "in order");
  assert.equal(registry.find(5, 5), first[0]);
  assert.equal(registry.find(5, 8), bytes);
});

test("find returns the first of equal ranges, and the next one after its removal", () => {
  const registry = new Registry<Extent>();
  const all = Array.from({ length: 1000 }, () => extentOf(7, 7));
  for (const extent of all) registry.add(extent);
  for (const extent of all) {
    assert.equal(registry.find(7, 7), extent);
    registry.remove(extent);
  }
  assert.equal(registry.find(7, 7), undefined);
  assert.equal(registry.size, 0);
});

/** A tree of three levels. It has every kind of boundary between two nodes. */
function threeLevels(): { registry: Registry<Extent>; all: Extent[] } {
  const registry = new Registry<Extent>();
  const all = Array.from(
    { length: 5000 },
    (_, i) => extentOf(i * 10, i * 10 + 5),
  );
  registry.rebuild(all);
  return { registry, all };
}

test("an overlap with the next extent is found across every node boundary", () => {
  const { registry, all } = threeLevels();
  for (let k = 1; k < all.length; k++) {
    const over = extentOf(k * 10 - 4, k * 10 + 1);
    if (registry.add(over) !== all[k]) assert.fail(`before extent ${k}`);
  }
});

test("an overlap with the previous extent is found across every node boundary", () => {
  const { registry, all } = threeLevels();
  for (let k = 1; k < all.length; k++) {
    if (registry.add(extentOf(k * 10 - 6, k * 10 - 3)) !== all[k - 1]) {
      assert.fail(`behind extent ${k - 1}`);
    }
    // Covers the begin of a removed extent, which may still be a separator key.
    registry.remove(all[k]!);
    const reaching = extentOf(k * 10 - 3, k * 10 + 3);
    assert.equal(registry.add(reaching), undefined);
    if (registry.add(extentOf(k * 10 + 2, k * 10 + 4)) !== reaching) {
      assert.fail(`behind what reaches over extent ${k}`);
    }
    registry.remove(reaching);
    all[k] = extentOf(k * 10, k * 10 + 5);
    assert.equal(registry.add(all[k]!), undefined);
  }
  assertSame(registry, all, "in order again");
});

test("removing an extent that is not registered throws, and changes nothing", () => {
  const registry = new Registry<Extent>();
  assert.throws(() => registry.remove(extentOf(0, 1)), Error);
  const extent = extentOf(0, 1);
  registry.add(extent);
  assert.throws(() => registry.remove(extentOf(0, 1)), Error);
  assert.equal(registry.size, 1);
  registry.remove(extent);
  assert.throws(() => registry.remove(extent), Error);
  assert.equal(registry.size, 0);
});

test("random operations with short ranges match a sorted array", () => {
  for (let seed = 1; seed <= 6; seed++) {
    runAgainstModel(seed, {
      span: 3000,
      longest: 4,
      operations: 6000,
      push: 0.8,
    });
  }
});

test("random operations with many empty extents at few offsets match a sorted array", () => {
  for (let seed = 11; seed <= 16; seed++) {
    runAgainstModel(seed, {
      span: 4,
      longest: 1,
      operations: 6000,
      push: 0.85,
    });
  }
});

test("random operations with only empty extents match a sorted array", () => {
  for (let seed = 21; seed <= 24; seed++) {
    runAgainstModel(seed, {
      span: 60,
      longest: 0,
      operations: 6000,
      push: 0.9,
    });
  }
});

test("random operations with long ranges match a sorted array", () => {
  for (let seed = 31; seed <= 34; seed++) {
    runAgainstModel(seed, {
      span: 100_000,
      longest: 200,
      operations: 6000,
      push: 0.7,
    });
  }
});

test("random operations at offsets beyond 32 bits match a sorted array", () => {
  const base = 2 ** 52;
  const random = randomFrom(41);
  const registry = new Registry<Extent>();
  const model = new NaiveRegistry();
  for (let step = 0; step < 3000; step++) {
    const begin = base + below(random, 2000);
    const extent = extentOf(begin, begin + below(random, 3));
    assert.equal(
      registry.add(extent) === undefined,
      model.add(extent),
      `seed 41, step ${step}`,
    );
  }
  assertSame(registry, model.all, "seed 41");
});

test("100,000 extents are removed and added again, in every order", () => {
  const count = 100_000;
  const random = randomFrom(51);
  const registry = new Registry<Extent>();
  const orders: Record<string, (all: Extent[]) => Extent[]> = {
    ascending: (all) => all,
    descending: (all) => all.reverse(),
    shuffled: (all) => shuffle(all, random),
  };
  const named = Object.entries(orders);
  const pairs = named.flatMap((one) =>
    named.map((other) => [one, other] as const)
  );
  for (const [[adding, addOrder], [removing, removeOrder]] of ourShare(pairs)) {
    const label = `seed 51, added ${adding}, removed ${removing}`;
    const all = Array.from(
      { length: count },
      (_, i) => extentOf(i * 4, i * 4 + 1 + i % 4),
    );
    for (const extent of addOrder(all.slice())) {
      if (registry.add(extent) !== undefined) assert.fail(label);
    }
    assert.equal(registry.size, count, label);
    assertSame(registry, all, label);
    const gone = removeOrder(all.slice());
    const half = count / 2;
    const left = new Set(all);
    for (const extent of gone.slice(0, half)) {
      registry.remove(extent);
      left.delete(extent);
    }
    assertSame(registry, [...left], `${label}, half of them`);
    for (const extent of gone.slice(half)) registry.remove(extent);
    assert.equal(registry.size, 0, label);
    assertSame(registry, [], label);
  }
});

test("100,000 empty extents at one offset keep their order through random removals", () => {
  const random = randomFrom(61);
  const registry = new Registry<Extent>();
  const left = new Set<Extent>();
  const all: Extent[] = [];
  const addSome = (count: number) => {
    for (let i = 0; i < count; i++) {
      const extent = extentOf(9, 9);
      if (registry.add(extent) !== undefined) assert.fail("seed 61");
      all.push(extent);
      left.add(extent);
    }
  };
  addSome(50_000);
  for (const extent of shuffle(all.slice(), random).slice(0, 30_000)) {
    registry.remove(extent);
    left.delete(extent);
  }
  addSome(50_000);
  assertSame(registry, [...left], "seed 61");
  assert.equal(registry.find(9, 9), [...left][0]);
});

test("a rebuild keeps the given order, and later additions respect it", () => {
  for (const count of [0, 1, 2, 47, 48, 49, 64, 65, 2304, 2305, 10_000]) {
    const registry = new Registry<Extent>();
    registry.add(extentOf(0, 3)); // will be replaced
    const all = Array.from(
      { length: count },
      (_, i) => extentOf(10 + (i >> 2), 10 + (i >> 2)),
    );
    registry.rebuild(all);
    assert.equal(registry.size, count);
    assertSame(registry, all, `${count} rebuilt`);
    assert.equal(registry.find(0, 3), undefined);
    const last = extentOf(10, 10);
    assert.equal(registry.add(last), undefined);
    const behind = Math.min(4, count);
    assertSame(
      registry,
      [...all.slice(0, behind), last, ...all.slice(behind)],
      `one more than ${count}`,
    );
    registry.remove(last);
    for (const extent of all) registry.remove(extent);
    assert.equal(registry.size, 0);
  }
});

test("a rebuild follows ranges that have moved in place", () => {
  const registry = new Registry<Extent>();
  const all = Array.from(
    { length: 5000 },
    (_, i) => extentOf(i * 10, i * 10 + 5),
  );
  for (const extent of all) registry.add(extent);
  for (const extent of all.slice(0, 2500)) registry.remove(extent);
  const kept = all.slice(2500);
  kept.forEach((extent, i) => {
    extent.begin = i * 3;
    extent.end = i * 3 + i % 4;
  });
  registry.rebuild(kept);
  assertSame(registry, kept, "moved");
  for (const extent of kept) {
    if (extent.begin !== extent.end) {
      assert.equal(registry.find(extent.begin, extent.end), extent);
    }
  }
});

let reads = 0;

/** Counts how often the registry reads a begin offset. */
class CountedExtent implements Extent {
  readonly #begin: number;
  end: number;
  order = 0;

  constructor(begin: number, end: number) {
    this.#begin = begin;
    this.end = end;
  }

  get begin(): number {
    reads++;
    return this.#begin;
  }

  set begin(_: number) {
    throw new Error("The registry must not move an extent.");
  }
}

/** The reads of a thousand operations of each kind among `count` extents. */
function readsAmong(
  count: number,
): { add: number; overlap: number; find: number; remove: number } {
  const random = randomFrom(count);
  const registry = new Registry<CountedExtent>();
  registry.rebuild(
    Array.from(
      { length: count },
      (_, i) => new CountedExtent(i * 10, i * 10 + 5),
    ),
  );
  const places = Array.from({ length: 1000 }, () => below(random, count));
  const added: CountedExtent[] = [];
  const counted = (operation: () => void) => {
    reads = 0;
    operation();
    return reads;
  };
  return {
    add: counted(() => {
      for (const place of places) {
        const extent = new CountedExtent(place * 10 + 7, place * 10 + 7);
        if (registry.add(extent) !== undefined) assert.fail("overlap");
        added.push(extent);
      }
    }),
    overlap: counted(() => {
      for (const place of places) {
        const extent = new CountedExtent(place * 10 + 1, place * 10 + 2);
        if (registry.add(extent) === undefined) assert.fail("no overlap");
      }
    }),
    find: counted(() => {
      for (const place of places) {
        if (registry.find(place * 10, place * 10 + 5) === undefined) {
          assert.fail("not found");
        }
      }
    }),
    remove: counted(() => {
      for (const extent of added) registry.remove(extent);
    }),
  };
}

test("a thousand times as many extents take about twice the comparisons", () => {
  const few = readsAmong(1000);
  const many = readsAmong(1_000_000);
  for (const name of ["add", "overlap", "find", "remove"] as const) {
    // log 1,000,000 is twice log 1000. A tree that is not full needs slightly more.
    assert.ok(
      many[name] <= 2.5 * few[name],
      `${name}: ${few[name]} reads among 1000, ${many[name]} among 1,000,000`,
    );
  }
});

test("comparisons stay logarithmic if all extents are empty and at one offset", () => {
  const registry = new Registry<CountedExtent>();
  const worst: number[] = [];
  const all: CountedExtent[] = [];
  for (const count of [1000, 100_000]) {
    let most = 0;
    while (all.length < count) {
      const extent = new CountedExtent(3, 3);
      all.push(extent);
      reads = 0;
      registry.add(extent);
      most = Math.max(most, reads);
    }
    worst.push(most);
  }
  const [few, many] = worst as [number, number];
  assert.ok(many <= 3 * few, `${few} reads, then ${many}`);
});

test("comparisons stay logarithmic after most extents are removed", () => {
  const random = randomFrom(71);
  const registry = new Registry<CountedExtent>();
  const all = Array.from(
    { length: 200_000 },
    (_, i) => new CountedExtent(i * 10, i * 10 + 5),
  );
  for (const extent of all) registry.add(extent);
  const gone = shuffle(all.slice(), random).slice(0, 199_000);
  for (const extent of gone) registry.remove(extent);
  assert.equal(registry.size, 1000);
  reads = 0;
  for (let i = 0; i < 1000; i++) {
    const extent = new CountedExtent(i * 10 + 7, i * 10 + 7);
    if (registry.add(extent) !== undefined) assert.fail("overlap");
  }
  const { add } = readsAmong(1000);
  assert.ok(reads <= 2.5 * add, `seed 71: ${reads} reads, new: ${add}`);
});
