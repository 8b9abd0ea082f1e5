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
  const { steps } = work;
  const reporter = new Reporter(work, onProgress);
  let next = steps.next();
  while (!next.done) {
    let moved: number;
    try {
      moved = next.value.run();
      reporter.report(moved);
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(moved);
  }
  reporter.end();
  return next.value;
}

/** Counts the bytes of one piece of work, and tells `onProgress`. */
export class Reporter {
  readonly #work: Work<unknown>;
  readonly #onProgress: Progress | undefined;
  #done = 0;
  #failure: { error: unknown } | undefined;

  constructor(work: Work<unknown>, onProgress: Progress | undefined) {
    this.#work = work;
    this.#onProgress = onProgress;
  }

  /** So many bytes more are done. */
  report(moved: number): void {
    this.#done += moved;
    if (moved === 0 || this.#failure !== undefined) return;
    try {
      const onProgress = this.#onProgress;
      onProgress?.(this.#done, this.#work.total);
    } catch (error) {
      if (this.#work.isStoppable) throw error;
      this.#failure = { error };
    }
  }

  /** All is done: throws what `onProgress` threw where nothing could be stopped. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
