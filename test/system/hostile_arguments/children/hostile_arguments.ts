/**
 * Gives the library arguments that run code of their own, or lie about their
 * length, where it might trust them. Run by `hostile_arguments_test.ts`.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Memmap, type MemmapSlice, open } from "../../../../mod.ts";

const path = join(process.argv[2], "hostile.dat");

/** Counts as `value`, and closes the map when asked. */
function closing(map: Memmap, value: number): number {
  return {
    valueOf() {
      map.close({ discard: true });
      return value;
    },
  } as unknown as number;
}

/** Says that it is 4 bytes long, then that it is much longer. */
class Growing extends Uint8Array {
  #asked = 0;
  override get length(): number {
    return this.#asked++ === 0 ? 4 : 2 ** 28;
  }
  override get byteLength(): number {
    return this.#asked++ === 0 ? 4 : 2 ** 28;
  }
}

const CASES: Record<string, (map: Memmap, slice: MemmapSlice) => unknown> = {
  fill: (map, slice) => slice.fill(closing(map, 1)),
  fillBegin: (map, slice) => slice.fill(1, closing(map, -5000)),
  slice: (map, slice) => slice.slice(closing(map, 0), 1000),
  find: (map) => map.find("zzzz", closing(map, -5000)),
  move: (map) => map.move(0, closing(map, -5000), 10),
  resize: (map, slice) => slice.resize(closing(map, 100_000)),
  insert: (map) => map.insert(closing(map, 0), 5),
  insertGrowing: (map) => map.insert(0, new Growing(8)),
  spliceGrowing: (_, slice) => slice.splice(0, 2, new Growing(8)),
  findGrowing: (map) => map.find(new Growing(8)),
  setGrowing: (_, slice) => slice.set(new Growing(8)),
  setLying: (_, slice) => {
    let asked = 0;
    slice.set({
      get length() {
        return asked++ < 2 ? 4 : 2 ** 28;
      },
    });
  },
  setClosing: (map, slice) =>
    slice.set({
      length: 3,
      get 0() {
        map.close({ discard: true });
        return 1;
      },
      1: 2,
      2: 3,
    }),
  flush: (map) =>
    map.flush({
      path: path + "2",
      get strategy() {
        map.close({ discard: true });
        return "auto" as const;
      },
    }),
  close: (map) =>
    map.close({
      get discard() {
        map.close({ discard: true });
        return true;
      },
    }),
};

for (const [name, attack] of Object.entries(CASES)) {
  fs.writeFileSync(path, new Uint8Array(2 ** 16));
  const map = open(path, "r+");
  try {
    attack(map, map.slice());
    console.log(name, "returned");
  } catch (error) {
    console.log(name, (error as Error).name);
  }
  map.close({ discard: true });
}
