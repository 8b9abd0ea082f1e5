/**
 * The error classes: how they are recognized, and what system errors carry.
 *
 * @module
 */

import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import * as memmap from "../../../mod.ts";
import { system, systemError } from "../../../src/base/errors.ts";

const { isMemmapError, SystemError } = memmap;

test("isMemmapError recognizes every error class that the module exports", () => {
  const classes = Object.entries(memmap).filter(([name]) =>
    name.endsWith("Error") && name !== "isMemmapError"
  );
  assert.equal(classes.length, 9);
  for (const [name, value] of classes) {
    const Class = value as unknown as new (...args: unknown[]) => Error;
    const error = new Class("a", 1, "b", "c", "d");
    assert.ok(isMemmapError(error), name);
    assert.equal(error.name, name);
    assert.equal(typeof error.code, "string");
  }
});

test("isMemmapError rejects everything else", () => {
  const others = [
    new Error("an error"),
    new TypeError("wrong"),
    new RangeError("out of range"),
    { name: "OverlapError", code: "ERR_MEMMAP_OVERLAP" },
    Object.assign(new Error(), { code: "ENOENT" }),
    null,
    undefined,
    "OverlapError",
    () => {},
  ];
  for (const other of others) assert.equal(isMemmapError(other), false);
});

test("a system error that the library creates has this system's errno number", () => {
  for (const code of ["ELOOP", "EILSEQ", "EMLINK", "EBUSY"] as const) {
    const error = systemError(code, "open", "/a/path", "that is so");
    assert.ok(error instanceof SystemError);
    assert.equal(error.code, code);
    assert.equal(error.errno, -constants.errno[code]);
    assert.equal(error.message, `${code}: that is so, open '/a/path'`);
  }
});

test("a call that a signal interrupts is repeated", () => {
  let calls = 0;
  const interrupted = Object.assign(new Error("EINTR: interrupted"), {
    code: "EINTR",
    errno: -constants.errno.EINTR,
  });
  const result = system("read", "/a/path", () => {
    if (++calls < 3) throw interrupted;
    return "read";
  });
  assert.deepEqual([result, calls], ["read", 3]);
});

test("an error that is not a system error passes unchanged", () => {
  for (const error of [new TypeError("wrong"), "a string", undefined]) {
    try {
      system("read", "/a/path", () => {
        throw error;
      });
      assert.fail("did not throw");
    } catch (thrown) {
      assert.equal(thrown, error);
    }
  }
});
