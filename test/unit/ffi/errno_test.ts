/**
 * errno: the value belongs to the call that failed, whatever the runtime has done on
 * the thread since. Also the names and numbers of errors.
 *
 * @module
 */

import assert from "node:assert/strict";
import os from "node:os";
import process from "node:process";
import { test } from "node:test";
import { loadBun } from "../../../ffi/bun.ts";
import { loadDeno } from "../../../ffi/deno.ts";
import { errnosOf } from "../../../ffi/errno.ts";
import { platformOf } from "../../../ffi/platform.ts";
import { isDeno } from "../../support/support.ts";

const platform = platformOf(process.platform, process.arch)!;
const load = () => (isDeno ? loadDeno : loadBun)(platform).libc;

test("errno() is that of the call that failed, whatever the thread has done since", () => {
  // In C, a thread has one errno. Each Libc keeps the value that it saw itself.
  const [ours, other] = [load(), load()];
  const { constants, pageSize } = ours;
  const nameOf = () => ours.errnoName(ours.errno());
  assert.equal(ours.madvise(1, pageSize, constants.MADV_NORMAL), -1);
  assert.equal(other.flock(-1, constants.LOCK_EX), -1);
  assert.equal(other.errnoName(other.errno()), "EBADF");
  assert.equal(nameOf(), "EINVAL");
});

test("errno() is set by failures only, and holds the last one", () => {
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

test("error numbers match the runtime's own", () => {
  const { names, numbers } = errnosOf(platform.system);
  let compared = 0;
  for (const [name, number] of Object.entries(os.constants.errno)) {
    if (!numbers.has(name)) continue;
    assert.equal(numbers.get(name), number, name);
    compared++;
  }
  // A runtime may lack errors that only some file systems use.
  assert.ok(compared >= 60, String(compared));
  for (const [number, name] of names) assert.equal(numbers.get(name), number);
});

test("a number has one name, and a name of another system has no number", () => {
  const [linux, darwin] = [errnosOf("linux"), errnosOf("darwin")];
  assert.equal(linux.names.get(11), "EAGAIN");
  assert.equal(linux.numbers.get("EWOULDBLOCK"), 11);
  assert.equal(linux.names.get(95), "EOPNOTSUPP");
  assert.equal(linux.numbers.get("ENOTSUP"), 95);
  assert.equal(linux.numbers.get("ENOATTR"), undefined);
  assert.equal(darwin.names.get(35), "EAGAIN");
  assert.equal(darwin.names.get(45), "ENOTSUP");
  assert.equal(darwin.names.get(102), "EOPNOTSUPP");
  assert.equal(darwin.numbers.get("ELOOP"), 62);
  assert.equal(darwin.numbers.get("EILSEQ"), 92);
  assert.equal(darwin.numbers.get("EUCLEAN"), undefined);
  for (const { numbers } of [linux, darwin]) {
    assert.equal(numbers.get("EAGAIN"), numbers.get("EWOULDBLOCK"));
    const same = [...numbers.values()].length - new Set(numbers.values()).size;
    assert.equal(same, numbers === linux.numbers ? 2 : 1);
  }
});

test("errnoName() and errnoNumber() are each other's inverse", () => {
  const c = load();
  const names = [
    "ENOENT",
    "ENOSPC",
    "ELOOP",
    "EILSEQ",
    "ENAMETOOLONG",
  ] as const;
  for (const name of names) {
    assert.equal(c.errnoName(c.errnoNumber(name)), name);
  }
  for (const name of ["EWHATEVER", "toString", "__proto__", ""]) {
    assert.equal(c.errnoNumber(name), undefined);
  }
  for (const number of [0, -1, 1.5, NaN, 9999]) {
    assert.equal(c.errnoName(number), undefined);
  }
});
