/**
 * Which rows of addresses are kept reserved, and which are given back first. No memory
 * is mapped.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Limits, Quarantine } from "../../../src/memory/quarantine.ts";

/** A quarantine over fake memory, which records what is unmapped. */
function fake(limits: Partial<Limits> = {}) {
  const unmapped: string[] = [];
  const clock = { now: 0 };
  let room = 1000;
  let rows = 0;
  const quarantine = new Quarantine({
    unmap: (begin, end) => void unmapped.push(`${begin}-${end}`),
    findRoom: () => room += 1_000_000,
    count: (change) => rows += change,
    now: () => clock.now,
  }, { rows: 100, own: 1, bytes: 1e6, row: 1e4, idle: 60, ...limits });
  /** Gives everything back. */
  const clear = () => {
    clock.now += 60;
    quarantine.giveBackIdle();
  };
  return { quarantine, unmapped, clock, clear };
}

test("adjacent addresses are one row, and the next mapping goes at its end", () => {
  const { quarantine, unmapped, clear } = fake();
  const row = quarantine.take();
  assert.equal(row.end, 1_001_000);
  quarantine.add(row.end, row.end + 10, row);
  const again = quarantine.take();
  assert.equal(again, row);
  assert.equal(again.end, 1_001_010);
  quarantine.add(again.end, again.end + 5, again);
  const { begin, end } = quarantine.take();
  assert.deepEqual([begin, end], [1_001_000, 1_001_015]);
  clear();
  assert.deepEqual(unmapped, ["1001000-1001015"]);
});

test("a row belongs to one mapping at a time, and is free again if that adds nothing to it", () => {
  const { quarantine, unmapped } = fake();
  const [first, second] = [quarantine.take(), quarantine.take()];
  assert.notEqual(first.end, second.end);
  quarantine.leave(first);
  assert.equal(quarantine.take(), first);
  assert.deepEqual(unmapped, []);
});

test("addresses that the system chose elsewhere are reserved there, and the row stops growing", () => {
  const { quarantine, unmapped, clear } = fake();
  const row = quarantine.take();
  quarantine.add(50, 60, row);
  assert.notEqual(quarantine.take(), row);
  clear();
  assert.deepEqual(unmapped, ["50-60"]);
});

test("the oldest row is given back when there are too many rows, or bytes", () => {
  const rows = fake({ rows: 2 });
  for (const at of [10, 20, 30, 40]) {
    rows.quarantine.add(at, at + 1, rows.quarantine.take());
  }
  assert.deepEqual(rows.unmapped, ["10-11", "20-21"]);
  const bytes = fake({ bytes: 25 });
  for (const at of [100, 200, 300]) {
    bytes.quarantine.add(at, at + 10, bytes.quarantine.take());
  }
  assert.deepEqual(bytes.unmapped, ["100-110"]);
});

test("a row that has just grown is not the oldest", () => {
  const { quarantine, unmapped } = fake({ rows: 2 });
  const row = quarantine.take();
  const { begin } = row;
  quarantine.add(begin, begin + 10, row);
  assert.equal(quarantine.take(), row);
  quarantine.add(10, 20, quarantine.take()); // elsewhere
  quarantine.add(begin + 10, begin + 20, row);
  quarantine.add(30, 40, quarantine.take());
  assert.deepEqual(unmapped, ["10-20"]);
});

test("a row continues after what stays for good, and what was reserved before stays reserved", () => {
  const { quarantine, unmapped, clear } = fake();
  const row = quarantine.take();
  const { begin } = row;
  quarantine.add(begin, begin + 10, row);
  quarantine.take();
  quarantine.skip(begin + 50);
  assert.equal(quarantine.take().end, begin + 50);
  clear();
  assert.deepEqual(unmapped, [`${begin}-${begin + 10}`]);
  assert.equal(quarantine.idleBytes, 0);
});

test("rows of other threads count towards the limit, but each thread keeps some of its own", () => {
  let rows = 0;
  const unmapped: number[] = [];
  const quarantineOf = () =>
    new Quarantine({
      unmap: (begin) => void unmapped.push(begin),
      findRoom: () => 0,
      count: (change) => rows += change,
      now: () => 0,
    }, { rows: 3, own: 2, bytes: 1e6, row: 1e4, idle: 60 });
  const [first, second] = [quarantineOf(), quarantineOf()];
  for (const at of [1, 2, 3, 4]) first.add(at * 10, at * 10 + 1, first.take());
  assert.deepEqual(unmapped, [10]);
  second.add(70, 71, second.take());
  assert.deepEqual(unmapped, [10]);
  second.add(80, 81, second.take());
  assert.deepEqual(unmapped, [10]);
  second.add(90, 91, second.take());
  assert.deepEqual(unmapped, [10, 70]);
});

test("a row grows up to a limit, and a row that was given back continues at its end", () => {
  const { quarantine, unmapped, clear } = fake({ row: 20, rows: 1 });
  const row = quarantine.take();
  const { begin } = row;
  quarantine.add(begin, begin + 25, row);
  const next = quarantine.take();
  assert.notEqual(next, row);
  quarantine.add(next.end, next.end + 5, next);
  assert.deepEqual(unmapped, [`${begin}-${begin + 25}`]);
  const { end } = next;
  clear();
  assert.equal(quarantine.take(), next);
  assert.deepEqual([next.begin, next.end], [end, end]);
  clear();
  assert.equal(unmapped.length, 2);
});

test("only idle rows are given back: those to which nothing was added for a long time", () => {
  const { quarantine, unmapped, clock } = fake();
  quarantine.add(10, 20, quarantine.take());
  const row = quarantine.take();
  const { begin } = row;
  quarantine.add(begin, begin + 5, row);
  clock.now = 59;
  assert.equal(quarantine.idleBytes, 0);
  quarantine.giveBackIdle();
  assert.deepEqual(unmapped, []);
  assert.equal(quarantine.take(), row);
  quarantine.add(begin + 5, begin + 7, row); // operations on these bytes may have just begun
  clock.now = 60;
  assert.equal(quarantine.idleBytes, 10);
  quarantine.giveBackIdle();
  assert.deepEqual(unmapped, ["10-20"]);
  clock.now = 119;
  assert.equal(quarantine.idleBytes, 7);
  quarantine.giveBackIdle();
  assert.deepEqual(unmapped, ["10-20", `${begin}-${begin + 7}`]);
  assert.equal(quarantine.idleBytes, 0);
});

test("what is left of a huge mapping counts as all the room that it takes", () => {
  const { quarantine, unmapped } = fake({ bytes: 100 });
  for (const at of [0, 1000, 2000, 3000]) {
    quarantine.add(at, at + 1, quarantine.take(), 40);
  }
  assert.deepEqual(unmapped, ["0-1", "1000-1001"]);
});
