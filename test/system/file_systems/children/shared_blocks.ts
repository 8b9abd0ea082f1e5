/**
 * Fills the disk but for a little, and has a file written over whose blocks another
 * file has as well: there is no room for that. Then makes room, and tries again.
 *
 * Run by file_systems_test.ts with a folder on a file system that shares blocks.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { open } from "../../../../mod.ts";

const MIB = 2 ** 20;
const LENGTH = 40 * MIB;

const folder = process.argv[2]!;
const path = join(folder, "file");
const clone = join(folder, "clone");
const filler = join(folder, "filler");
const content = new Uint8Array(LENGTH).map((_, i) => (i * 7919) >> 8);

/** Leaves `room` bytes of the disk, more or less. */
function fill(room: number): void {
  const fd = fs.openSync(filler, "w");
  const chunk = new Uint8Array(MIB).fill(1);
  let length = 0;
  try {
    for (;;) length += fs.writeSync(fd, chunk);
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ENOSPC");
  }
  fs.ftruncateSync(fd, length - room);
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** Makes the file, and another that has all of its blocks. */
function share(): void {
  for (const name of [path, clone, filler]) fs.rmSync(name, { force: true });
  fs.writeFileSync(path, content);
  const { status, stderr } = spawnSync("cp", ["--reflink=always", path, clone]);
  assert.equal(status, 0, `${stderr}`);
}

const room = (): number => {
  const { bavail, bsize } = fs.statfsSync(folder);
  return bavail * bsize;
};

let refused = 0;

/** Bytes of the disk that a refused flush may take, for its file system's own use. */
const LEAST = 2 ** 16;

/** Without room, `write` must be refused, change nothing, and take no room. */
function checkRefused(
  what: string,
  write: () => void,
  before: Uint8Array = content,
): void {
  fill(8 * MIB);
  const free = room();
  for (let i = 0; i < 4; i++) {
    assert.throws(write, { code: "ENOSPC" }, what);
    assert.ok(fs.readFileSync(path).equals(before), what);
  }
  assert.ok(room() >= free - LEAST, `${what}: ${free} to ${room()}`);
  fs.unlinkSync(filler);
  refused++;
}

for (const reserve of [true, false]) {
  for (const hole of [0, MIB]) {
    const what = `in-place, reserve: ${reserve}, a hole of ${hole}`;
    share();
    fs.truncateSync(path, LENGTH + hole);
    const whole = fs.readFileSync(path);
    const map = open(path, "r+", { reserve });
    map.insert(0, new Uint8Array(4096));
    const flush = () => void map.flush({ strategy: "in-place" });
    checkRefused(what, flush, whole);
    assert.ok(map.dirty);
    flush();
    map.close();
    const found = fs.readFileSync(path);
    assert.equal(found.length, LENGTH + 4096 + hole, what);
    assert.ok(found.subarray(4096, 4096 + LENGTH).equals(content), what);
    assert.ok(fs.readFileSync(clone).equals(content), what);
  }
}

share();
checkRefused("w+", () => open(path, "w+", { length: LENGTH }).close());
open(path, "w+", { length: LENGTH }).close();
assert.equal(fs.readFileSync(path).some((byte) => byte !== 0), false);
assert.ok(fs.readFileSync(clone).equals(content));

// Blocks that no other file has are free once it was cut: there is room.
if (process.argv[3] === "exact") {
  for (const name of [path, clone]) fs.rmSync(name);
  fs.writeFileSync(path, content);
  fill(8 * MIB);
  open(path, "w+", { length: LENGTH }).close();
  fs.writeFileSync(path, content);
  using map = open(path, "r+", { reserve: false });
  map.insert(0, new Uint8Array(4096));
  map.flush({ strategy: "in-place" });
}
console.log(JSON.stringify({ refused }));
