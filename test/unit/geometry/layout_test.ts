/** The layout of a flush, computed from plain objects, without files or memory. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  appendRun,
  layoutOf,
  type Run,
  runsOf,
  type Segment,
  type Sized,
} from "../../../src/geometry/layout.ts";
import { below, type Random, randomFrom } from "../../support/support.ts";

/** A slice whose bytes are in the file. */
function mapped(begin: number, end: number): Sized {
  return { begin, end, order: 0, length: end - begin, isFloating: false };
}

/** A slice of `length` bytes in memory; it replaces bytes `begin` to `end` of the file. */
function floating(begin: number, end: number, length: number): Sized {
  return { begin, end, order: 0, length, isFloating: true };
}

/** One line for each segment: `state begin-end -> offset+length`. */
function drawn(segments: readonly Segment<Sized>[]): string[] {
  return segments.map(({ state, begin, end, offset, length }) =>
    `${state} ${begin}-${end} -> ${offset}+${length}`
  );
}

test("an empty map without slices has no segments and no runs", () => {
  assert.deepEqual(layoutOf([], 0), []);
  assert.deepEqual(runsOf([]), []);
});

test("a map without slices is one gap, which stays where it is", () => {
  const segments = layoutOf([], 48);
  assert.deepEqual(segments, [
    { extent: null, state: "gap", begin: 0, end: 48, offset: 0, length: 48 },
  ]);
  assert.deepEqual(runsOf(segments), [{ from: 0, to: 0, length: 48 }]);
});

test("what was appended is one segment, behind everything else", () => {
  const segments = layoutOf([mapped(0, 4), floating(9, 9, 2)], 9, 5);
  assert.deepEqual(drawn(segments), [
    "mapped 0-4 -> 0+4",
    "gap 4-9 -> 4+5",
    "floating 9-9 -> 9+2",
    "floating 9-9 -> 11+5",
  ]);
  assert.equal(segments.at(-1)!.extent, null);
  assert.deepEqual(runsOf(segments), [{ from: 0, to: 0, length: 9 }]);
});

test("gaps lie before, between and after slices", () => {
  const slices = [mapped(8, 16), mapped(24, 32)];
  const segments = layoutOf(slices, 48);
  assert.deepEqual(drawn(segments), [
    "gap 0-8 -> 0+8",
    "mapped 8-16 -> 8+8",
    "gap 16-24 -> 16+8",
    "mapped 24-32 -> 24+8",
    "gap 32-48 -> 32+16",
  ]);
  assert.deepEqual(segments.map(({ extent }) => extent), [
    null,
    slices[0],
    null,
    slices[1],
    null,
  ]);
  assert.deepEqual(runsOf(segments), [{ from: 0, to: 0, length: 48 }]);
});

test("adjacent slices have no gap between them, and form one run", () => {
  const segments = layoutOf([mapped(0, 16), mapped(16, 48)], 48);
  assert.deepEqual(drawn(segments), [
    "mapped 0-16 -> 0+16",
    "mapped 16-48 -> 16+32",
  ]);
  assert.deepEqual(runsOf(segments), [{ from: 0, to: 0, length: 48 }]);
});

test("an insert into an empty map is the only segment", () => {
  const segments = layoutOf([floating(0, 0, 5)], 0);
  assert.deepEqual(drawn(segments), ["floating 0-0 -> 0+5"]);
  assert.deepEqual(runsOf(segments), []);
});

test("inserts at one offset keep their order, and precede the slice there", () => {
  const slices = [
    mapped(0, 10),
    floating(10, 10, 3),
    floating(10, 10, 0),
    floating(10, 10, 4),
    mapped(10, 20),
  ];
  const segments = layoutOf(slices, 30);
  assert.deepEqual(drawn(segments), [
    "mapped 0-10 -> 0+10",
    "floating 10-10 -> 10+3",
    "floating 10-10 -> 13+0",
    "floating 10-10 -> 13+4",
    "mapped 10-20 -> 17+10",
    "gap 20-30 -> 27+10",
  ]);
  assert.deepEqual(runsOf(segments), [
    { from: 0, to: 0, length: 10 },
    { from: 10, to: 17, length: 20 },
  ]);
});

test("an insert into a gap splits the gap in two", () => {
  const segments = layoutOf([floating(12, 12, 7)], 20);
  assert.deepEqual(drawn(segments), [
    "gap 0-12 -> 0+12",
    "floating 12-12 -> 12+7",
    "gap 12-20 -> 19+8",
  ]);
  assert.deepEqual(runsOf(segments), [
    { from: 0, to: 0, length: 12 },
    { from: 12, to: 19, length: 8 },
  ]);
});

test("a slice resized to 0 leaves nothing, and what follows moves up", () => {
  const segments = layoutOf([floating(4, 10, 0), mapped(10, 16)], 20);
  assert.deepEqual(drawn(segments), [
    "gap 0-4 -> 0+4",
    "floating 4-10 -> 4+0",
    "mapped 10-16 -> 4+6",
    "gap 16-20 -> 10+4",
  ]);
  assert.deepEqual(runsOf(segments), [
    { from: 0, to: 0, length: 4 },
    { from: 10, to: 4, length: 10 },
  ]);
});

test("a floating slice of unchanged size comes from memory, and its neighbours stay", () => {
  const segments = layoutOf([floating(4, 10, 6)], 20);
  assert.deepEqual(runsOf(segments), [
    { from: 0, to: 0, length: 4 },
    { from: 10, to: 10, length: 10 },
  ]);
});

test("an empty insert does not split a run", () => {
  const segments = layoutOf([floating(10, 10, 0)], 20);
  assert.deepEqual(drawn(segments), [
    "gap 0-10 -> 0+10",
    "floating 10-10 -> 10+0",
    "gap 10-20 -> 10+10",
  ]);
  assert.deepEqual(runsOf(segments), [{ from: 0, to: 0, length: 20 }]);
});

test("an empty slice in place is a segment, but not a run", () => {
  const segments = layoutOf([mapped(0, 0), mapped(20, 20)], 20);
  assert.deepEqual(drawn(segments), [
    "mapped 0-0 -> 0+0",
    "gap 0-20 -> 0+20",
    "mapped 20-20 -> 20+0",
  ]);
  assert.deepEqual(runsOf(segments), [{ from: 0, to: 0, length: 20 }]);
});

test("appendRun joins runs only if they are contiguous in both files", () => {
  const runs: Run[] = [];
  appendRun(runs, 5, 5, 0);
  assert.deepEqual(runs, []);
  appendRun(runs, 0, 0, 10);
  appendRun(runs, 10, 10, 5);
  assert.deepEqual(runs, [{ from: 0, to: 0, length: 15 }]);
  appendRun(runs, 15, 16, 4); // one byte is skipped in the new file
  appendRun(runs, 20, 20, 4); // one byte is skipped in the old file
  assert.deepEqual(runs, [
    { from: 0, to: 0, length: 15 },
    { from: 15, to: 16, length: 4 },
    { from: 20, to: 20, length: 4 },
  ]);
});

test("offsets beyond 32 bits are added without loss of precision", () => {
  const tera = 2 ** 40;
  const segments = layoutOf([floating(tera, tera + 3, 2 ** 33 + 1)], 2 * tera);
  assert.deepEqual(drawn(segments), [
    `gap 0-${tera} -> 0+${tera}`,
    `floating ${tera}-${tera + 3} -> ${tera}+${2 ** 33 + 1}`,
    `gap ${tera + 3}-${2 * tera} -> ${tera + 2 ** 33 + 1}+${tera - 3}`,
  ]);
});

/** Slices of every kind, in file order, over `mappedLength` bytes. */
function randomSlices(random: Random, mappedLength: number): Sized[] {
  const slices: Sized[] = [];
  let at = 0;
  while (slices.length < 60) {
    const kind = below(random, 6);
    if (kind === 0) at += below(random, 9);
    const end = at + below(random, 7);
    if (end > mappedLength) break;
    if (kind <= 2) slices.push(mapped(at, end));
    else if (kind === 3) slices.push(floating(at, end, below(random, 9)));
    else if (kind === 4) slices.push(floating(at, at, below(random, 5)));
    else slices.push(floating(at, end, 0));
    at = slices.at(-1)!.end;
  }
  return slices;
}

test("segments of random slices are contiguous in the old file and in the new", () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const random = randomFrom(seed);
    const mappedLength = below(random, 200);
    const slices = randomSlices(random, mappedLength);
    const growth = slices.reduce(
      (sum, { begin, end, length }) => sum + length - (end - begin),
      0,
    );
    const segments = layoutOf(slices, mappedLength);
    const label = `seed ${seed}: ${drawn(segments).join(", ")}`;
    let at = 0;
    let offset = 0;
    for (const segment of segments) {
      assert.equal(segment.begin, at, label);
      assert.equal(segment.offset, offset, label);
      assert.ok(segment.end >= segment.begin && segment.length >= 0, label);
      if (segment.state === "gap") {
        assert.ok(segment.length > 0, label);
        assert.equal(segment.extent, null, label);
      }
      if (segment.state !== "floating") {
        assert.equal(segment.length, segment.end - segment.begin, label);
      }
      at = segment.end;
      offset += segment.length;
    }
    assert.equal(at, mappedLength, label);
    assert.equal(offset, mappedLength + growth, label);
    const extents = segments.flatMap(({ extent }) => extent ?? []);
    assert.equal(extents.length, slices.length, label);
    assert.ok(extents.every((extent, i) => extent === slices[i]), label);
    for (let i = 1; i < segments.length; i++) {
      const gaps = segments[i - 1]!.state === "gap" &&
        segments[i]!.state === "gap";
      assert.ok(!gaps, label);
    }
  }
});

test("the runs of random slices cover exactly the bytes in place, in as few runs as possible", () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const random = randomFrom(seed);
    const mappedLength = below(random, 200);
    const segments = layoutOf(
      randomSlices(random, mappedLength),
      mappedLength,
    );
    const runs = runsOf(segments);
    const label = `seed ${seed}: ${drawn(segments).join(", ")}`;
    // Maps each byte of the new file to its byte in the old one.
    const wanted = new Map<number, number>();
    for (const { state, begin, offset, length } of segments) {
      if (state === "floating") continue;
      for (let i = 0; i < length; i++) wanted.set(offset + i, begin + i);
    }
    let count = 0;
    runs.forEach(({ from, to, length }, i) => {
      assert.ok(length > 0, label);
      for (let k = 0; k < length; k++) {
        assert.equal(wanted.get(to + k), from + k, label);
      }
      count += length;
      if (i === 0) return;
      const last = runs[i - 1]!;
      assert.ok(last.from + last.length <= from, label);
      assert.ok(last.to + last.length <= to, label);
      assert.ok(
        last.from + last.length < from || last.to + last.length < to,
        `${label}: runs ${i - 1} and ${i} could be joined`,
      );
    });
    assert.equal(count, wanted.size, label);
  }
});
