import assert from "node:assert/strict";
import { test } from "node:test";
import { proof, runChild, temporaryFolder } from "../../support/support.ts";

/** What a call with a hostile argument may end in: an answer, or an error that says why. */
const ENDS = [
  "returned",
  ...["TypeError", "RangeError"],
  ...["ClosedError", "DeletedSliceError", "BusyError", "OverlapError"],
  "SystemError", // a hostile path
  "EvalError", // thrown by the argument itself
];

test("no argument that runs code, lies or changes can harm a map or the process", () => {
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
      assert.ok(ENDS.includes(name!), `${label} ended in ${name}`);
      calls += Number(count);
    }
  }
  assert.ok(calls > 1000);
  proof(`${calls} calls of ${lines.length} methods with hostile arguments`);
});

test("an error from the stack's end leaves the books true, wherever it comes", () => {
  using folder = temporaryFolder();
  const child = runChild(
    new URL("./children/stack_depths.ts", import.meta.url),
    { args: [folder.path] },
  );
  assert.equal(child.signal, null, child.stderr);
  assert.equal(child.status, 0, child.stderr);
  const lines = child.stdout.trimEnd().split("\n");
  assert.equal(lines.pop(), "done");
  for (const line of lines) {
    // Each has failed for want of stack, and then has had enough.
    const [, failed, done] = /: (\d+) failed, (\d+) done$/.exec(line)!;
    assert.ok(Number(failed) > 0, line);
    assert.equal(Number(done), 20, line);
  }
});
