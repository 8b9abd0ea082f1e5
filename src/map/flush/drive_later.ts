/**
 * Runs the steps of a flush to completion while the event loop goes on.
 *
 * Takes the same steps as `drive.ts`, in the same order, and each when the one before
 * is over. Those that take long are made elsewhere. Short ones are just run, until the
 * event loop has waited for some milliseconds.
 *
 * @module
 */

import { type Abort, later, type Work } from "../../storage/mod.ts";
import { Reporter } from "./drive.ts";
import type { Progress } from "./options.ts";

/** What a driver asks whoever has it run. */
export interface Control {
  readonly onProgress: Progress | undefined;
  readonly abort: Abort | undefined;
  /** Does the flush count already, so that it goes on to its end? */
  hasCommitted(): boolean;
  /** Runs a part of the work that nothing else comes between. */
  runPart<T>(part: () => T): T;
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
  const { runPart } = control;
  const reporter = new Reporter(work, control.onProgress);
  let isStopping = false;
  let since = performance.now();
  let next = runPart(() => steps.next());
  while (!next.done) {
    const step = next.value;
    let moved = 0;
    let failure: { error: unknown } | undefined;
    try {
      const taken = runPart(() => step.runLater?.(control.abort) ?? step.run());
      moved = typeof taken === "number" ? taken : await taken;
      runPart(() => reporter.report(moved));
      if (later().isDue(since)) {
        await later().turn();
        since = performance.now();
      }
      // Last: between this and the next step the flush may come to count.
      const mayStop = work.isStoppable && step.isFinal !== true &&
        !control.hasCommitted();
      if (mayStop && !isStopping) control.abort?.check();
    } catch (error) {
      failure = { error };
      isStopping = true;
    }
    const failed = failure;
    next = runPart(() =>
      failed === undefined ? steps.next(moved) : steps.throw(failed.error)
    );
  }
  reporter.end();
  return next.value;
}
