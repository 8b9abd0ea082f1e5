/**
 * What an atomic map knows of its written bytes, from one commit to the next.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runtime } from "../../../ffi/mod.ts";
import { type Memmap, open } from "../../../mod.ts";
import { temporaryFolder, withLibc } from "../../support/support.ts";

const SIZE = 100_000;

function withAtomic(use: (map: Memmap, path: string) => void): void {
  using folder = temporaryFolder();
  const path = join(folder.path, "atomic");
  fs.writeFileSync(path, new Uint8Array(SIZE));
  using map = open(path, "r+", { atomic: true });
  use(map, path);
  map.close({ discard: true });
}

/** What there is to know, with the kernel's help and without. */
const WAYS: Record<string, (use: () => void) => void> = {
  "the kernel": (use) => use(),
  "a comparison": (use) => {
    const { mayUse } = runtime();
    withLibc({
      mayUse: (path: string, way: "read" | "write") =>
        !path.startsWith("/proc/") && mayUse(path, way),
    }, use);
  },
};

for (const [name, knowing] of Object.entries(WAYS)) {
  test(`${name} tells of each commit what was written since the one before`, () => {
    knowing(() =>
      withAtomic((map, path) => {
        const view = map.slice(50_000, 50_010).bytes; // for all that follows
        const commit = () => {
          const { strategy } = map.flush();
          assert.deepEqual(map.modified(), []);
          assert.equal(map.dirty, false);
          return strategy;
        };
        assert.equal(commit(), "none");
        map.write(new Uint8Array([1]), 99_999);
        map.write(new Uint8Array([2]), 4096);
        assert.equal(map.dirty, true);
        assert.equal(map.modified().length, 2);
        assert.equal(commit(), "in-place");
        view[3] = 3;
        assert.equal(map.dirty, true);
        assert.equal(commit(), "in-place");
        map.write(new Uint8Array([4]), 0);
        map.revert();
        assert.equal(commit(), "none");
        view[4] = 5;
        assert.equal(commit(), "in-place");
        const content = fs.readFileSync(path);
        const found = [99_999, 4096, 50_003, 0, 50_004].map((at) =>
          content[at]
        );
        assert.deepEqual(found, [1, 2, 3, 0, 5]);
      })
    );
  });
}

test("an atomic map is not asked what was written once it is closed", () => {
  withAtomic((map) => {
    map.write(new Uint8Array([1]), 0);
    map.close({ discard: true });
    map[Symbol.dispose]();
  });
});
