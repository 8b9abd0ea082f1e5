/**
 * Reserving blocks for parts of a file, one after the other.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../../ffi/mod.ts";
import { knowsMaps, Reservation } from "../../../src/storage/blocks.ts";
import { OpenFile } from "../../../src/storage/open_file.ts";
import { temporaryFolder, withLibc } from "../../support/support.ts";

const BLOCK = 4096;
/** Larger than what a file system may give a file at once. */
const STRETCH = 2 ** 20;
/** Stretches of the file, of which every other one is a hole. */
const STRETCHES = 8;

/** A file whose first stretch is data, the second a hole, and so on. */
function withSparseFile(use: (file: OpenFile) => void): void {
  using folder = temporaryFolder();
  const path = join(folder.path, "sparse");
  const fd = fs.openSync(path, "w+");
  try {
    fs.ftruncateSync(fd, STRETCHES * STRETCH);
    const bytes = new Uint8Array(STRETCH).fill(1);
    for (let at = 0; at < STRETCHES; at += 2) {
      fs.writeSync(fd, bytes, 0, STRETCH, at * STRETCH);
    }
    fs.fsyncSync(fd);
    use(new OpenFile(path, fd, STRETCHES * STRETCH));
  } finally {
    fs.closeSync(fd);
  }
}

function holes(file: OpenFile): number[] {
  const found = [];
  for (let at = 0; at < file.size; at += STRETCH) {
    if (file.nextData(at, at + STRETCH)[0] > at) found.push(at / STRETCH);
  }
  return found;
}

test("blocks are reserved in holes, and what is given back is a hole again", (t) => {
  withSparseFile((file) => {
    const before = holes(file);
    if (before.length === 0) return t.skip("no holes in files here");
    const allocated = () => fs.fstatSync(file.fd).blocks;
    const blocks = allocated();
    const reservation = new Reservation(file);
    const ranges = [
      [STRETCH - BLOCK, STRETCH + BLOCK], // data and hole
      [STRETCH + 3 * BLOCK, STRETCH + 4 * BLOCK], // the same hole
      [3 * STRETCH - BLOCK, 5 * STRETCH + 10], // hole, data, hole
      [7 * STRETCH, 8 * STRETCH], // to the end
      [2 * STRETCH, 2 * STRETCH + 1], // back in what was passed
    ] as const;
    for (const [from, to] of ranges) reservation.reserve(from, to);
    const reserved = allocated();
    assert.ok(reserved > blocks);
    reservation.giveBack();
    assert.ok(allocated() < reserved); // less may take blocks to note where they are
    assert.deepEqual(holes(file), before);
  });
});

test("the system looks for a hole once, and not for each part that has none", (t) => {
  withSparseFile((file) => {
    if (!knowsMaps(file)) return t.skip("nobody knows the holes here");
    const { lseek } = libc();
    let looks = 0;
    withLibc({
      lseek(...args) {
        looks++;
        return lseek(...args);
      },
    }, () => {
      const reservation = new Reservation(file);
      for (let at = 0; at < STRETCH; at += 2 * BLOCK) {
        reservation.reserve(at, at + BLOCK);
      }
    });
    assert.equal(looks, 2); // where data begins, and where it ends
  });
});
