/**
 * Files and slices far larger than memory, and offsets beyond 2^32.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runChild, temporaryFolder } from "../../support/support.ts";

/** Why large files cannot be created here; `false` if they can. */
function skipWithoutSparseFiles(): string | false {
  using folder = temporaryFolder();
  const path = join(folder.path, "sparse.dat");
  fs.writeFileSync(path, "");
  try {
    fs.truncateSync(path, 100 * 2 ** 30);
  } catch (error) {
    return `no file of 100 GiB can be made here: ${(error as Error).message}`;
  }
  return fs.statSync(path).blocks > 2 ** 20 &&
    "this file system has no sparse files";
}

const LARGE = { timeout: 600_000, skip: skipWithoutSparseFiles() };

function runCase(name: string, parent?: string): void {
  using folder = temporaryFolder(parent);
  const child = runChild(new URL("./children/large.ts", import.meta.url), {
    args: [name, folder.path],
  });
  assert.deepEqual(
    { status: child.status, signal: child.signal },
    { status: 0, signal: null },
    child.stderr,
  );
  if (child.stdout !== "") console.log(child.stdout); // says why a part was skipped
}

test(
  "a sparse file of 100 GiB can be used at both ends without taking memory",
  LARGE,
  () => {
    runCase("100 GiB");
  },
);

test(
  "a sparse file of 1 TiB can be used at both ends without taking memory",
  LARGE,
  () => {
    runCase("1 TiB");
  },
);

test("offsets beyond 2^32 are exact", LARGE, () => runCase("exact offsets"));

test(
  "a slice of more than 4 GiB works, with views if the runtime allows such large ones",
  LARGE,
  () => {
    runCase("a slice larger than 4 GiB");
  },
);

test("a slice of more than 4 GiB can be cut and flushed", LARGE, () => {
  runCase("a larger slice is cut by a flush");
});

test(
  "an insert of more than 4 GiB is flushed in place in bounded memory",
  LARGE,
  () => {
    // Zeros are really written. In memory, if there is room, that takes seconds.
    const memory = "/dev/shm";
    const free = fs.existsSync(memory)
      ? fs.statfsSync(memory)
      : { bavail: 0, bsize: 0 };
    const fits = free.bavail * free.bsize > 10 * 2 ** 30;
    runCase("an insert larger than 4 GiB, in place", fits ? memory : undefined);
  },
);
