/**
 * Calls public methods with every amount of stack left, so that the stack ends at each of
 * their steps. Checks the map after each call. Run by `hostile_arguments_test.ts`.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { type Memmap, type MemmapSlice, open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

const path = join(givenArguments("folder")[0], "stack.dat");
const SIZE = 64;
/** Within how many frames of the stack's end calls may fail. */
const FRAMES = 3000;

/** Runs `act` with `left` frames of stack left. */
function atDepth(left: number, act: () => void): void {
  let height = -1; // how many frames fit below the current one
  let isDone = false;
  const dive = (): void => {
    try {
      dive();
    } catch {
      if (height === -1) height = 0;
    }
    if (!isDone && height++ === left) {
      isDone = true;
      act();
    }
  };
  try {
    dive();
  } catch {
    // The act failed, for lack of stack or otherwise. The caller records the error.
  }
}

interface World {
  readonly map: Memmap;
  readonly slices: MemmapSlice[];
  readonly views: Uint8Array[];
}

function makeWorld(count: number): World {
  fs.writeFileSync(path, new Uint8Array(count * SIZE).fill(7));
  const map = open(path);
  const slices = Array.from(
    { length: count },
    (_, i) => map.slice(i * SIZE, (i + 1) * SIZE),
  );
  return { map, slices, views: slices.map(({ bytes }) => bytes) };
}

/** Asserts that layout() agrees with the slices, and that a flush writes just that. */
function check({ map, slices, views }: World, label: string): void {
  if (map.closed) {
    for (const view of views) assert.equal(view.length, 0, label);
    return;
  }
  const layout = map.layout();
  const listed = layout.filter(({ slice }) => slice !== null);
  const length = layout.reduce((sum, entry) => sum + entry.length, 0);
  assert.equal(map.length, length, label);
  assert.equal(
    map.dirty,
    layout.some(({ state }) => state === "floating"),
    label,
  );
  assert.deepEqual(map.slices, listed.map(({ slice }) => slice), label);
  for (const slice of map.slices) {
    assert.equal(slice.bytes.length, slice.length, label);
    assert.notEqual(slice.state, "deleted", label);
  }
  for (const slice of slices) {
    assert.equal(
      map.slices.includes(slice),
      slice.state !== "deleted",
      label,
    );
  }
  for (const [i, view] of views.entries()) {
    // A view is either the slice's current one or detached.
    const slice = slices[i]!;
    if (view.length > 0) {
      assert.equal(slice.state, "mapped", label);
      assert.equal(slice.buffer, view.buffer, label);
    }
  }
}

type Act = (world: World, i: number) => void | Promise<unknown>;

const ACTS: Record<string, Act> = {
  slice: ({ map, slices }, i) => {
    const { begin } = slices[i]!;
    slices[i]!.delete();
    slices[i] = map.slice(begin, begin + SIZE);
  },
  bytes: ({ slices, views }, i) => {
    views[i] = slices[i]!.bytes;
  },
  insert: ({ map, slices }, i) => {
    map.insert(slices[i]!.begin, 100);
  },
  "insert much": ({ map, slices }, i) => {
    map.insert(slices[i]!.begin, 2 ** 21).delete();
  },
  append: ({ map }) => map.append(new Uint8Array(SIZE)),
  "append much": ({ map }) => map.append(2 ** 21),
  delete: ({ slices }, i) => slices[i]!.delete(),
  grow: ({ slices }, i) => slices[i]!.resize(SIZE + 10),
  cut: ({ slices }, i) => slices[i]!.resize(SIZE / 2),
  "grow much": ({ slices }, i) => slices[i]!.resize(2 ** 21),
  splice: ({ slices }, i) =>
    slices[i]!.splice(3, 10, new Uint8Array(20).fill(7)),
  array: ({ slices }, i) => {
    slices[i]!.array("int32").resize(20);
  },
  flush: ({ map, slices }, i) => {
    slices[i]!.resize(SIZE + 1);
    map.flush({ durable: false });
  },
  "flush in place": ({ map, slices }, i) => {
    slices[i]!.resize(SIZE - 1);
    map.flush({ durable: false, strategy: "in-place" });
  },
  "flush while the event loop goes on": ({ map, slices }, i) => {
    slices[i]!.resize(SIZE + 1);
    return map.flushAsync({ durable: false });
  },
  close: ({ map }) => map.close({ discard: true }),
};

/** Frames between the depths to try, for slow acts and for others. */
const STRIDES = [7, 3] as const;

// First while the engine still has to compile what is called, which also takes
// stack. Then once more.
for (const name of [...Object.keys(ACTS), ...Object.keys(ACTS)]) {
  const act = ACTS[name]!;
  const count = name === "delete" || name === "slice" ? 200 : 100;
  const isHeavy = name.startsWith("flush") || name === "close";
  let world = makeWorld(count);
  let [failed, done] = [0, 0];
  const stride = STRIDES[isHeavy ? 0 : 1];
  for (let left = 0; left < FRAMES && done < 20; left += stride) {
    const label = `${name}, ${left} frames before the end`;
    const i = done % count;
    if (world.map.closed || world.slices[i]!.state === "deleted") {
      world.map.close({ discard: true });
      world = makeWorld(count);
    }
    let isDone = false;
    let ended: void | Promise<unknown>;
    atDepth(left, () => {
      ended = act(world, i);
      isDone = true;
    });
    try {
      await ended!;
    } catch {
      isDone = false;
    }
    if (isDone) done++;
    else failed++;
    try {
      check(world, label);
    } catch (error) {
      console.error(label, isDone ? "done" : "failed");
      throw error;
    }
  }
  if (!world.map.closed) {
    const { length } = world.map;
    world.map.flush({ durable: false });
    assert.equal(fs.statSync(path).size, length);
    check(world, `${name}, flushed`);
    world.map.close();
  }
  check(world, `${name}, closed`);
  console.log(`${name}: ${failed} failed, ${done} done`);
}
console.log("done");
