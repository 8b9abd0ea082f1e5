/**
 * A lock of the file, held for as long as a user wants.
 *
 * It is the one that a flush takes, so that it keeps out the flushes of every other map
 * of the file. Whoever waits for it asks again and again, with timers in between: the
 * call that waits would block the thread.
 *
 * @module
 */

import { type Abort, ConflictError, sleep } from "../base/mod.ts";
import type { OpenMap } from "./open_map.ts";

/** Milliseconds from the first attempt to the second, and at most between two. */
const [SHORTEST, LONGEST] = [1, 32];

/** Waits for the lock; disposing of what it returns lets go of it. */
export async function lock(
  map: OpenMap,
  isShared: boolean,
  abort: Abort | undefined,
): Promise<Disposable> {
  for (let wait = SHORTEST;; wait = Math.min(wait * 2, LONGEST)) {
    abort?.check();
    const { file, state } = map;
    if (state.isClosed) map.checkUsable(); // throws
    // A flush of this map is waited for, too.
    const isFree = !state.isFlushing;
    const held = isFree ? file.tryHold(isShared) : undefined;
    if (held !== undefined) {
      const { stale } = file;
      if (stale !== "replaced" && stale !== "unlinked") {
        return { [Symbol.dispose]: () => held.release() };
      }
      held.release();
      throw new ConflictError(
        `'${file.path}' was ${stale} since it was mapped, so nobody else can find the ` +
          "file that would be locked. Call refresh(), then lock() again.",
      );
    }
    await sleep(wait);
  }
}
