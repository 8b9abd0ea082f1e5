/**
 * One of the threads of threads.ts. It opens maps and reports that. When told to, it
 * cuts their files while it reads them, then reports how many faults that caused.
 *
 * @module
 */

import assert from "node:assert/strict";
import { truncateSync, writeFileSync } from "node:fs";
import { libc } from "../../../../ffi/libc.ts";
import { open } from "../../../../mod.ts";

/** What each waiting thread adds to a number in the guard's table. */
const MARK = 1_000_000;
const MAPS = 4;
const LENGTH = 400_000;

interface Scope {
  onmessage: (event: { data: string }) => void;
  postMessage(message: unknown): void;
}

function work(scope: Scope): void {
  scope.onmessage = ({ data: prefix }) => {
    const maps = Array.from({ length: MAPS }, (_, i) => {
      const path = `${prefix}-${i}.dat`;
      writeFileSync(path, new Uint8Array(LENGTH).fill(1));
      const map = open(path, i % 2 === 0 ? "r" : "r+");
      assert.equal(map.guarded, true);
      return { map, path, bytes: map.slice().bytes };
    });
    Atomics.add(libc().guard!.waiting!, 0, MARK);
    scope.postMessage("ready");
    scope.onmessage = () => {
      Atomics.sub(libc().guard!.waiting!, 0, MARK);
      let faults = 0;
      for (const { map, path, bytes } of maps) {
        let sum = 0;
        while (map.faults === 0) {
          truncateSync(path, 4096 * (map.slices.length - 1));
          for (const byte of bytes) sum += byte;
        }
        assert.ok(sum <= LENGTH);
        faults += map.faults;
        assert.throws(() => map.find("x"), { name: "FaultError" });
        map.close({ discard: true });
      }
      scope.postMessage(faults);
    };
  };
}

work(globalThis as unknown as Scope);
