/**
 * Work that may take long, as steps that someone else drives.
 *
 * A strategy of flush is a generator of steps: between two of them all books are
 * true, so whoever drives it may run a step here and now, or on another thread and
 * go on with the next once it has ended. An error of a step is thrown at its
 * `yield`, where the strategy takes back what it can.
 *
 * @module
 */

/** One piece of work, mostly a system call on a file. */
export interface Step {
  /** What it does, for whoever watches. */
  readonly what: "copy" | "write" | "move" | "skip" | "fsync" | "close";
  /** Does it, and returns how many bytes that got done. */
  run(): number;
}

/** Steps that end in a result; each `yield` returns what the step's `run` did. */
export type Steps<T = void> = Generator<Step, T, number>;

/** A whole piece of work: its steps, and what its driver must know of them. */
export interface Work<T> {
  readonly steps: Steps<T>;
  /** The bytes that its steps get done in all. */
  readonly total: number;
  /**
   * May an error of the caller's own code stop it between two steps? Not where
   * that would leave a file half written.
   */
  readonly isStoppable: boolean;
}

/** Waits until `wait` returns: content, size or names are on disk then. */
export function fsyncStep(wait: () => void): Step {
  return {
    what: "fsync",
    run() {
      wait();
      return 0;
    },
  };
}

/** The same steps, whose bytes do not count as progress. */
export function* uncounted<T>(steps: Steps<T>): Steps<T> {
  let next = steps.next();
  while (!next.done) {
    const step = next.value;
    let moved = 0;
    try {
      yield {
        what: step.what,
        run() {
          moved = step.run();
          return 0;
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
