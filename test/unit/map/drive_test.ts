/**
 * runToEnd() drives the steps of a flush, and reports progress.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../../../src/map/flush/drive.ts";
import { type Steps, uncounted } from "../../../src/storage/steps.ts";

/** Steps that each move the given number of bytes, and log what they did. */
function* moving(counts: readonly number[], log: string[]): Steps<string> {
  try {
    for (const count of counts) {
      const moved = yield {
        run() {
          log.push(`run ${count}`);
          return count;
        },
      };
      log.push(`moved ${moved}`);
    }
    return "the result";
  } catch (error) {
    log.push(`caught ${(error as Error).message}`);
    throw error;
  } finally {
    log.push("ended");
  }
}

function work(steps: Steps<string>, isStoppable: boolean) {
  return { steps, total: 6, isStoppable };
}

test("steps run in order, and each is told how many bytes it moved", () => {
  const log: string[] = [];
  const progress: number[][] = [];
  const result = runToEnd(
    work(moving([1, 0, 5], log), true),
    (...values) => progress.push(values),
  );
  assert.equal(result, "the result");
  assert.deepEqual(log, [
    "run 1",
    "moved 1",
    "run 0",
    "moved 0",
    "run 5",
    "moved 5",
    "ended",
  ]);
  // A step that moves nothing reports no progress.
  assert.deepEqual(progress, [[1, 6], [6, 6]]);
});

test("a step's error is thrown where the step was yielded, and nothing runs after it", () => {
  const log: string[] = [];
  function* steps(): Steps<string> {
    try {
      yield {
        run() {
          throw new Error("The disk failed.");
        },
      };
    } catch {
      log.push("taken back");
    }
    return yield* moving([1], log);
  }
  assert.equal(runToEnd(work(steps(), true)), "the result");
  assert.deepEqual(log, ["taken back", "run 1", "moved 1", "ended"]);
});

test("an error from onProgress stops work that may be stopped", () => {
  const log: string[] = [];
  assert.throws(
    () =>
      runToEnd(work(moving([1, 5], log), true), () => {
        throw new Error("enough");
      }),
    { message: "enough" },
  );
  assert.deepEqual(log, ["run 1", "caught enough", "ended"]);
});

test("an error from onProgress waits for the end of work that may not be stopped", () => {
  const log: string[] = [];
  let calls = 0;
  assert.throws(
    () =>
      runToEnd(work(moving([1, 5], log), false), () => {
        calls++;
        throw new Error("enough");
      }),
    { message: "enough" },
  );
  assert.deepEqual(log, ["run 1", "moved 1", "run 5", "moved 5", "ended"]);
  assert.equal(calls, 1);
});

test("uncounted steps are the same steps without progress", () => {
  const log: string[] = [];
  const result = runToEnd(
    work(uncounted(moving([1, 5], log)), true),
    () => log.push("progress"),
  );
  assert.equal(result, "the result");
  assert.deepEqual(log, ["run 1", "moved 1", "run 5", "moved 5", "ended"]);
  function* failing(): Steps<string> {
    try {
      yield {
        run() {
          throw new Error("full");
        },
      };
    } catch (error) {
      return `caught ${(error as Error).message}`;
    }
    return "not reached";
  }
  assert.equal(runToEnd(work(uncounted(failing()), true)), "caught full");
});
