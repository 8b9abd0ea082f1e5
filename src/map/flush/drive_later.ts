/**
 * Runs the steps of a flush to completion while the event loop goes on.
 *
 * Takes the same steps as `drive.ts`, in the same order, and each when the one before
 * is over. Those that take long are made elsewhere. Short ones are just run, until the
 * event loop has waited for some milliseconds.
 *
 * @module
 */

import type { Abort } from "../../base/mod.ts";
import { later, type Work } from "../../storage/mod.ts";
import { Reporter } from "./drive.ts";
import type { Progress } from "./options.ts";

/** What a driver asks whoever has it run. */
export interface Control {
  readonly onProgress: Progress | undefined;
  readonly abort: Abort | undefined;
  /** Does the flush count already, so that it goes on to its end? */
  hasCommitted(): boolean;
  /** From now on nothing else comes between, until the driver leaves. */
  enter(): void;
  /** Others have their turn. */
  leave(): void;
}

/**
 * Takes all steps, and gives their result. An abort stops the work like an error of the
 * step before, if the work may be stopped. Returns to the caller, and to the event loop,
 * no sooner than at the first step that takes long.
 */
export async function runToEndLater<T>(
  work: Work<T>,
  control: Control,
): Promise<T> {
  const { steps } = work;
  const { abort, onProgress } = control;
  const reporter = new Reporter(work, onProgress);
  let isStopping = false;
  let since = performance.now();
  try {
    let next = steps.next();
    while (!next.done) {
      const step = next.value;
      let moved: number;
      try {
        const taken = step.runLater?.(abort) ?? step.run();
        moved = typeof taken === "number" ? taken : await others(taken);
        control.enter();
        reporter.report(moved);
        if (later().isDue(since)) {
          await others(later().turn());
          control.enter();
          since = performance.now();
        }
        // Last: between this and the next step the flush may come to count.
        const mayStop = work.isStoppable && step.isFinal !== true &&
          !control.hasCommitted();
        if (mayStop && !isStopping) abort?.check();
      } catch (error) {
        control.enter();
        isStopping = true;
        next = steps.throw(error);
        continue;
      }
      next = steps.next(moved);
    }
    reporter.end();
    return next.value;
  } finally {
    control.leave();
  }

  /** To be awaited, and followed by `enter` at once, with nothing in between. */
  function others<R>(promise: Promise<R>): Promise<R> {
    control.leave();
    return promise;
  }
}
