/**
 * The classes that scripts/elements.ts writes are up to date, and their private state
 * cannot be reached from outside.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { type MemmapArray, open } from "../../../mod.ts";
import {
  elementClasses,
  type RealType,
} from "../../../src/arrays/elements.generated.ts";
import { temporaryFolder } from "../../support/support.ts";

const SCRIPT = fileURLToPath(
  new URL("../../../scripts/elements.ts", import.meta.url),
);

const DTYPES: readonly RealType[] = [
  ...["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32"] as const,
  ...["int64", "uint64", "float16", "float32", "float64"] as const,
];

test("the generated file is what the script writes", () => {
  const isDeno = "deno" in process.versions;
  const args = isDeno ? ["run", "-A", "--no-check"] : [];
  const run = spawnSync(process.execPath, [...args, SCRIPT, "--check"], {
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
});

/** For each type, an array of 8 elements and everything on its prototype chain. */
function eachType(use: (array: MemmapArray, held: object[]) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "a.dat"), "w+", { length: 64 });
  const slice = map.slice();
  for (const dtype of DTYPES) {
    const array: MemmapArray = slice.array(dtype, { shape: [8] });
    const held: object[] = [];
    for (
      let object: object | null = array;
      object !== null && object !== Object.prototype;
      object = Object.getPrototypeOf(object)
    ) held.push(object);
    use(array, held);
  }
}

test("each element type has its own class, named after it", () => {
  const classes = new Set<unknown>();
  eachType((array) => {
    assert.equal(array.constructor.name, array.dtype);
    classes.add(array.constructor);
  });
  assert.equal(classes.size, DTYPES.length);
});

test("no property of an array or of its classes leads to the hidden views", () => {
  eachType((array, held) => {
    assert.deepEqual(Reflect.ownKeys(array), []);
    for (const prototype of held.slice(1)) {
      for (const key of Reflect.ownKeys(prototype)) {
        const { value, get } = Reflect.getOwnPropertyDescriptor(
          prototype,
          key,
        )!;
        assert.equal(typeof (value ?? get), "function", String(key));
      }
      const { constructor } = prototype;
      const statics = Reflect.ownKeys(constructor).filter((key) =>
        !["length", "name", "prototype"].includes(String(key))
      );
      assert.deepEqual(statics, [], constructor.name);
    }
  });
});

test("generated classes on another base class cannot look into an array", () => {
  eachType((array) => {
    const { classes, point } = elementClasses(
      class {} as new () => MemmapArray,
      ({ dtype }: MemmapArray) => /int64/.test(dtype) ? 7n : 7, // the unoptimized path
      () => {},
    );
    const stranger = classes[array.dtype as RealType].prototype as MemmapArray;
    assert.equal(Number(stranger.get.call(array, 0)), 7);
    const view = new DataView(new ArrayBuffer(8));
    assert.throws(
      () => point(array, view, view, 1, 0, true, new Int32Array(1)),
      TypeError,
    );
    assert.equal(Number(array.get(0)), 0);
  });
});
