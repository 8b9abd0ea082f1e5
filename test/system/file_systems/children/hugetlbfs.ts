/**
 * Maps files of hugetlbfs, and checks that they keep their length.
 *
 * Run by hugetlbfs_test.ts with a folder there. Prints one line for each case.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { open } from "../../../../mod.ts";
import {
  descriptorsOf,
  givenArguments,
  mappingsOf,
} from "../../../support/support.ts";

const [folder] = givenArguments("folder");
const PAGE = fs.statfsSync(folder).bsize;
const path = join(folder, "huge.dat");

/** Creates the file anew, with `pages` pages. */
function make(pages: number): void {
  fs.rmSync(path, { force: true });
  fs.closeSync(fs.openSync(path, "w"));
  fs.truncateSync(path, pages * PAGE);
}

function assertPages(pages: number): void {
  assert.equal(fs.statSync(path).size, pages * PAGE);
}

const CASES: Record<string, () => void> = {
  "opened and closed in every mode": () => {
    for (const mode of ["r", "c", "r+"] as const) {
      make(2);
      const map = open(path, mode);
      assert.equal(map.length, 2 * PAGE);
      assert.equal(map.guarded, false);
      assertPages(2);
      const { bytes } = map.slice();
      bytes[PAGE + 5] = 3;
      for (const advice of ["random", "willneed", "normal"] as const) {
        map.advise(advice, 5, 10);
      }
      if (mode === "r+") map.sync(5, 10);
      map.close();
      assert.equal(bytes.length, 0);
      assertPages(2);
      assert.equal(fs.readFileSync(path)[PAGE + 5], mode === "r+" ? 3 : 0);
    }
  },
  "empty": () => {
    make(0);
    open(path).close();
    assertPages(0);
  },
  "a part of a page": () => {
    make(2);
    const map = open(path, "r+", { length: 100 });
    map.slice().fill(7);
    map.flush();
    map.close();
    assertPages(2);
    assert.equal(fs.readFileSync(path).lastIndexOf(7), 99);
  },
  "made, made anew, made longer": () => {
    fs.rmSync(path, { force: true });
    for (const pages of [1, 2, 1]) {
      const map = open(path, "w+", { length: pages * PAGE });
      const { bytes } = map.slice();
      assert.ok(bytes.every((byte) => byte === 0));
      bytes.fill(7);
      map.close();
      assertPages(pages);
    }
    const map = open(path, "r+", { length: 2 * PAGE });
    assertPages(2);
    assert.equal(map.slice().bytes.lastIndexOf(7), PAGE - 1);
    map.close();
    assertPages(2);
  },
  "a length that is no whole number of pages": () => {
    const refusal = {
      name: "SystemError",
      code: "EINVAL",
      path,
      message: new RegExp(`whole pages of ${PAGE} bytes.*make it ${2 * PAGE}`),
    };
    make(1);
    assert.throws(() => open(path, "r+", { length: PAGE + 1 }), refusal);
    assert.throws(() => open(path, "w+", { length: PAGE + 1 }), refusal);
    assertPages(1);
    fs.rmSync(path);
    assert.throws(() => open(path, "w+", { length: PAGE + 1 }), refusal);
    assert.equal(fs.existsSync(path), false);
  },
  "a flush that would lengthen it": () => {
    for (const strategy of ["auto", "in-place", "replace"] as const) {
      make(1);
      const map = open(path);
      map.slice().fill(9);
      const inserted = map.insert(PAGE, PAGE);
      assert.throws(() => map.flush({ strategy }), {
        name: "SystemError",
        code: "EOPNOTSUPP",
        message:
          /hugetlbfs are written through a map alone.*flush\(\{ path \}\)/,
      });
      assert.equal(inserted.state, "floating");
      assertPages(1);
      inserted.delete();
      map.close();
      assertPages(1);
      assert.equal(fs.readFileSync(path).indexOf(9), 0);
      assert.equal(fs.readdirSync(folder).length, 1);
    }
  },
  "a flush that cuts it, with a buffer out of reach": () => {
    for (const strategy of ["auto", "in-place"] as const) {
      make(3);
      const map = open(path);
      const last = map.slice(PAGE, 3 * PAGE);
      const moved = new Uint8Array(last.buffer.transfer());
      moved.fill(1);
      last.resize(0);
      map.flush({ strategy });
      assertPages(1);
      assert.ok(moved.every((byte) => byte === 0 || byte === 1));
      map.close();
      moved.fill(2);
      assertPages(1);
    }
  },
};

for (const [name, run] of Object.entries(CASES)) {
  run();
  assert.deepEqual(mappingsOf(path), []);
  assert.deepEqual(descriptorsOf(path), []);
  console.log(name);
}
