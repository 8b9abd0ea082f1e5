/** The names of the modes, and what each allows. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isEditable,
  isWritable,
  type Mode,
  shortMode,
} from "../../../src/base/mode.ts";

test("every mode has a short name, and a short name is its own", () => {
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

test("a mode that is no string is a TypeError, and no code of its own runs", () => {
  const runs = { toString: () => assert.fail("it was converted") };
  for (
    const mode of [undefined, null, 1, Symbol("r"), Object.create(null), runs]
  ) {
    assert.throws(() => shortMode(mode as string), { name: "TypeError" });
  }
});

test("options in the mode's place are told where they belong", () => {
  assert.throws(() => shortMode({ length: 5 } as unknown as string), {
    name: "TypeError",
    message: "The mode must be a string, not an object. Options come third: " +
      'open(path, "r+", { length: 4096 }).',
  });
});

test("all modes but r are editable, and the two with a plus write the file", () => {
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
