/**
 * Hostile arguments and a stack that ends anywhere harm neither maps nor the process.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { proof, runChild, temporaryFolder } from "../../support/support.ts";

/** How a call with a hostile argument may end: with a result, or with one of these errors. */
const ENDS = [
  "returned",
  ...["TypeError", "RangeError"],
  ...["ClosedError", "DeletedSliceError", "BusyError", "OverlapError"],
  "SystemError", // for a hostile path
  "EvalError", // thrown by the argument itself
];

test("arguments that run code, lie or change harm neither the map nor the process", () => {
  using folder = temporaryFolder();
  const child = runChild(
    new URL("./children/hostile_arguments.ts", import.meta.url),
    { args: [folder.path] },
  );
  assert.equal(child.signal, null, child.stderr);
  assert.equal(child.status, 0, child.stderr);
  const lines = child.stdout.trimEnd().split("\n");
  assert.equal(lines.pop(), "done");
  let calls = 0;
  for (const line of lines) {
    const [, label, ends] = /^(\S+): (.*)$/.exec(line)!;
    for (const end of ends!.split(", ")) {
      const [name, count] = end.split(" ");
      assert.ok(ENDS.includes(name!), `${label} ended with ${name}`);
      calls += Number(count);
    }
  }
  assert.ok(calls > 1000);
  proof(`${calls} calls of ${lines.length} methods with hostile arguments`);
});

test("a stack overflow leaves the map consistent, wherever it happens", () => {
  using folder = temporaryFolder();
  const child = runChild(
    new URL("./children/stack_depths.ts", import.meta.url),
    { args: [folder.path] },
  );
  assert.equal(child.signal, null, child.stderr);
  assert.equal(child.status, 0, child.stderr);
  const lines = child.stdout.trimEnd().split("\n");
  assert.equal(lines.pop(), "done");
  assert.ok(lines.length > 0);
  for (const line of lines) {
    // Each method has failed for lack of stack at first, and succeeded in the end.
    const [, failed, done] = /: (\d+) failed, (\d+) done$/.exec(line)!;
    assert.ok(Number(failed) > 0, line);
    assert.equal(Number(done), 20, line);
  }
});
