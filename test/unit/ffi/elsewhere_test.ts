/** Calls on another thread, which a worker that is terminated leaves behind. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../../ffi/libc.ts";
import { type Elsewhere, runtime } from "../../../ffi/runtime.ts";
import { Mapping } from "../../../src/memory/mod.ts";
import { descriptorsOf, temporaryFolder } from "../../support/support.ts";
import "../../../mod.ts";

const LENGTH = 2 ** 16;
/** Enough that not all have begun when the descriptor is closed. */
const CALLS = 200;
/** Mostly some have not. */
const ROUNDS = 8;

const skip = (name: keyof Elsewhere) => {
  const { elsewhere } = runtime();
  if (elsewhere === null) return "this runtime has no such calls";
  return elsewhere()[name] === null && "this system has no such call";
};

type Call = (fd: number, source: number, i: number) => Promise<number>;

/** All of the bytes have to be in the file that was meant. */
async function assertWritten(call: Call): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    assert.deepEqual(await lengthsAfter(call), [CALLS * LENGTH, 0]);
  }
}

/**
 * Makes calls with a descriptor of a file, and closes it before they are over; then
 * another file has its number. Returns the lengths of both.
 */
async function lengthsAfter(
  call: Call,
): Promise<[file: number, other: number]> {
  using folder = temporaryFolder();
  const [path, other, from] = ["file", "other", "from"].map((name) =>
    join(folder.path, name)
  ) as [string, string, string];
  fs.writeFileSync(from, new Uint8Array(LENGTH).fill(1));
  const source = fs.openSync(from, "r");
  const fd = fs.openSync(path, "w+");
  const calls = Array.from({ length: CALLS }, (_, i) => call(fd, source, i));
  for (const open of [fd, source]) fs.closeSync(open);
  const opened = [fs.openSync(other, "w+"), fs.openSync(other, "r+")];
  assert.deepEqual(opened.sort(), [fd, source].sort());
  await Promise.all(calls);
  for (const open of opened) fs.closeSync(open);
  assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
  return [fs.statSync(path).size, fs.statSync(other).size];
}

test("bytes are written to the file that was meant, whoever has its number", {
  skip: skip("pwrite"),
}, async () => {
  const { pwrite } = runtime().elsewhere!();
  const memory = Mapping.anonymous(LENGTH, "memory");
  await assertWritten((fd, _, i) =>
    pwrite!(fd, memory.address, LENGTH, i * LENGTH)
  );
  memory.release();
});

test("so are bytes copied from one file to another", {
  skip: skip("copy_file_range"),
}, async () => {
  const { copy_file_range } = runtime().elsewhere!();
  await assertWritten((fd, source, i) =>
    copy_file_range!(source, 0, fd, i * LENGTH, LENGTH)
  );
});

test("and blocks reserved", {
  skip: skip("fallocate"),
}, async () => {
  const { fallocate } = runtime().elsewhere!();
  assert.ok(libc().fallocate !== null);
  await assertWritten((fd, _, i) => fallocate!(fd, 0, i * LENGTH, LENGTH));
});

test("what is still to be done keeps no lock", {
  skip: skip("pwrite"),
}, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  const memory = Mapping.anonymous(LENGTH, "memory");
  const { pwrite } = runtime().elsewhere!();
  const { constants, flock } = libc();
  const how = constants.LOCK_EX | constants.LOCK_NB;
  const fd = fs.openSync(path, "w+");
  assert.equal(flock(fd, how), 0);
  const calls = Array.from(
    { length: CALLS },
    (_, i) => pwrite!(fd, memory.address, LENGTH, i * LENGTH),
  );
  fs.closeSync(fd); // as the runtime does when a worker is terminated
  const other = fs.openSync(path, "r+");
  assert.equal(flock(other, how), 0);
  await Promise.all(calls);
  memory.release();
  fs.closeSync(other);
  assert.equal(fs.statSync(path).size, CALLS * LENGTH);
});
