import assert from "node:assert/strict";
import { test } from "node:test";
import { runChild, temporaryFolder } from "../../support/support.ts";

test("arguments that close the map or lie about their length cannot crash a child", () => {
  using folder = temporaryFolder();
  const child = runChild(
    new URL("./children/hostile_arguments.ts", import.meta.url),
    { args: [folder.path] },
  );
  assert.equal(child.signal, null, child.stderr);
  assert.equal(child.status, 0, child.stderr);
  const ends = child.stdout.trimEnd().split("\n");
  assert.equal(ends.length, 15);
  for (const end of ends) {
    assert.match(end, / (returned|RangeError|ClosedError|OverlapError)$/);
  }
});
