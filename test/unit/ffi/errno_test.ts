/**
 * What errno says of a failure, although the runtime goes on with the thread.
 *
 * @module
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { loadBunLibc } from "../../../ffi/bun.ts";
import { loadDenoLibc } from "../../../ffi/deno.ts";
import { platformOf } from "../../../ffi/platform.ts";
import { isDeno } from "../../support/support.ts";

const platform = platformOf(process.platform, process.arch)!;
const load = () => isDeno ? loadDenoLibc(platform) : loadBunLibc(platform);

test("errno() is that of the call that failed, whatever the thread has done since", () => {
  // The same thread, and so the same errno in C; each keeps what it saw.
  const [ours, other] = [load(), load()];
  const { constants, pageSize } = ours;
  const nameOf = () => ours.errnoName(ours.errno());
  assert.equal(ours.madvise(1, pageSize, constants.MADV_NORMAL), -1);
  assert.equal(other.flock(-1, constants.LOCK_EX), -1);
  assert.equal(other.errnoName(other.errno()), "EBADF");
  assert.equal(nameOf(), "EINVAL");
});

test("errno() is of failures alone, and of the last one", () => {
  const { constants, pageSize, ...c } = load();
  const nameOf = () => c.errnoName(c.errno());
  assert.equal(c.lseek(-1, 0, constants.SEEK_DATA), -1);
  const address = c.mmap(
    0,
    pageSize,
    constants.PROT_READ,
    constants.MAP_PRIVATE | constants.MAP_ANONYMOUS,
    -1,
    0,
  );
  assert.ok(address > 0);
  assert.equal(c.madvise(address, pageSize, constants.MADV_NORMAL), 0);
  assert.equal(c.munmap(address, pageSize), 0);
  assert.equal(nameOf(), "EBADF");
  assert.equal(c.munmap(address + 1, pageSize), -1);
  assert.equal(nameOf(), "EINVAL");
  assert.equal(c.flock(-1, constants.LOCK_EX), -1);
  assert.equal(nameOf(), "EBADF");
});
