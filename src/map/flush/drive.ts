/**
 * Runs the steps of a flush to completion, synchronously.
 *
 * The caller's `onProgress` runs between two steps, and nowhere else.
 *
 * @module
 */

import type { Work } from "../../storage/mod.ts";
import type { Progress } from "./options.ts";

/**
 * Takes all steps, and returns their result. What `onProgress` throws stops the work
 * like an error of the step before, if it may be stopped. Otherwise `onProgress` is not
 * called again, and its error is thrown when the work is done.
 */
export function runToEnd<T>(work: Work<T>, onProgress?: Progress): T {
  const { steps, total, isStoppable } = work;
  let failure: { error: unknown } | undefined;
  let done = 0;
  const report = (moved: number) => {
    done += moved;
    if (moved === 0 || failure !== undefined) return;
    try {
      onProgress?.(done, total);
    } catch (error) {
      if (isStoppable) throw error;
      failure = { error };
    }
  };
  let next = steps.next();
  while (!next.done) {
    let moved: number;
    try {
      moved = next.value.run();
      report(moved);
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(moved);
  }
  if (failure !== undefined) throw failure.error;
  return next.value;
}
