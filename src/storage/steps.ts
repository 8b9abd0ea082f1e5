/**
 * Long-running work, split into steps that a driver runs.
 *
 * A strategy of flush is a generator of steps. Whoever drives it decides what happens
 * between two of them: progress is reported there. An error of a step is thrown at its
 * `yield`, where the strategy takes back what it can. So work that was begun must be
 * driven to its end, or have an error thrown into it: work that is just dropped leaves
 * a temporary file and a lock behind.
 *
 * @module
 */

import type { Abort } from "../base/mod.ts";

/** One piece of work, mostly one system call on a file. */
export interface Step {
  /** Runs the step, and returns how many bytes it processed. */
  run(): number;
  /**
   * Does the same while the event loop goes on. Steps that take long have it; all others
   * are so short that they are just run. `abort` ends waiting for somebody else, and
   * nothing that has begun.
   */
  runLater?(abort: Abort | undefined): Promise<number>;
  /** Has it changed the file for good, so that what follows must not be stopped any more? */
  readonly isFinal?: boolean;
}

/** Steps that end in a result. Each `yield` returns what the step's `run` returned. */
export type Steps<T = void> = Generator<Step, T, number>;

/** A whole piece of work: its steps, and what its driver must know of them. */
export interface Work<T> {
  readonly steps: Steps<T>;
  /** Bytes that its steps process in all. */
  readonly total: number;
  /**
   * May an error of the caller's own code stop it between two steps? Not where
   * that would leave a file half written.
   */
  readonly isStoppable: boolean;
}

/** A step that waits until content, size or names are on disk. */
export function fsyncStep(
  wait: () => void,
  waitLater: () => Promise<void>,
): Step {
  return stepOf(wait, waitLater);
}

/** A step that moves no bytes, and what it does while the event loop goes on. */
export function stepOf(
  act: () => void,
  actLater: (abort: Abort | undefined) => Promise<void>,
): Step {
  return {
    run() {
      act();
      return 0;
    },
    async runLater(abort) {
      await actLater(abort);
      return 0;
    },
  };
}

/**
 * A step that does nothing. A strategy yields it now and then in a long loop, so that
 * the event loop may have its turn there.
 */
export const BREATH: Step = { run: () => 0 };
/** How often a loop over slices yields {@linkcode BREATH}: each may cost some 10 us. */
export const BREATHS = 256;

/** Bytes that need no work. */
export function skipStep(length: number): Step {
  return { run: () => length };
}

/** The same steps, whose bytes do not count as progress. */
export function* uncounted<T>(steps: Steps<T>): Steps<T> {
  let next = steps.next();
  while (!next.done) {
    const step = next.value;
    let moved = 0;
    const { runLater } = step;
    try {
      yield {
        run() {
          moved = step.run();
          return 0;
        },
        ...runLater !== undefined && {
          async runLater(abort: Abort | undefined) {
            moved = await runLater.call(step, abort);
            return 0;
          },
        },
      };
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(moved);
  }
  return next.value;
}
