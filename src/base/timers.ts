/**
 * Waiting without blocking the thread.
 *
 * The clock and the timers are as they were when this module was loaded: tests of
 * others replace them.
 *
 * @module
 */

const startTimer = globalThis.setTimeout;

/** Milliseconds since any moment. */
export const now: () => number = performance.now.bind(performance);

/** Lets everything else run for so many milliseconds. */
export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    startTimer(resolve, milliseconds);
  });
}
