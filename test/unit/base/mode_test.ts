/** The names of the modes, and what each allows. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isEditable,
  isWritable,
  type Mode,
  shortMode,
} from "../../../src/base/mode.ts";

test("every mode has a short name, and short names stand for themselves", () => {
  const short: Record<Mode, string> = {
    r: "r",
    c: "c",
    "r+": "r+",
    "w+": "w+",
    readonly: "r",
    copyonwrite: "c",
    readwrite: "r+",
    write: "w+",
  };
  for (const [mode, expected] of Object.entries(short)) {
    assert.equal(shortMode(mode), expected);
  }
});

test("an unknown mode is an error that lists the modes", () => {
  for (const mode of ["", "w", "R", "r ", "toString", "__proto__"]) {
    assert.throws(() => shortMode(mode), {
      name: "TypeError",
      message: `Unknown mode '${mode}'; the modes are 'r', 'c', 'r+', 'w+', ` +
        "'readonly', 'copyonwrite', 'readwrite', 'write'.",
    });
  }
});

test("a mode that is not a string is a TypeError, and none of its code runs", () => {
  const runs = { toString: () => assert.fail("it was converted") };
  for (
    const mode of [undefined, null, 1, Symbol("r"), Object.create(null), runs]
  ) {
    assert.throws(() => shortMode(mode as string), { name: "TypeError" });
  }
});

test("options in place of the mode are an error that says where they belong", () => {
  assert.throws(() => shortMode({ length: 5 } as unknown as string), {
    name: "TypeError",
    message: "The mode must be a string, not an object. Options come third: " +
      'open(path, "r+", { length: 4096 }).',
  });
});

test("all modes but r are editable, and the two with a plus write to the file", () => {
  assert.deepEqual((["r", "c", "r+", "w+"] as const).map(isEditable), [
    false,
    true,
    true,
    true,
  ]);
  assert.deepEqual((["r", "c", "r+", "w+"] as const).map(isWritable), [
    false,
    false,
    true,
    true,
  ]);
});
