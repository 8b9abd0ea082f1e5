/**
 * A lock of the file, held for as long as a user wants.
 *
 * It is the one that a flush takes, so that it keeps out the flushes of every other map
 * of the file. Whoever waits for it asks again and again, with timers in between: the
 * call that waits would block the thread. Once it is there, nobody commits to the file, and
 * what a killed commit has left is finished, or laid over what is mapped.
 *
 * @module
 */

import { type Abort, ConflictError } from "../base/mod.ts";
import { type Lock, whenever } from "../storage/mod.ts";
import type { OpenMap } from "./open_map.ts";
import { finishCommit, settleCommit } from "./settle_commit.ts";

/** Waits for the lock; disposing of what it returns lets go of it. */
export async function lock(
  map: OpenMap,
  isShared: boolean,
  abort: Abort | undefined,
): Promise<Disposable> {
  const held = await whenever(() => tryLock(map, isShared), abort);
  return { [Symbol.dispose]: () => held.release() };
}

function tryLock(map: OpenMap, isShared: boolean): Lock | undefined {
  const { file, state } = map;
  if (state.isClosed) map.checkUsable(); // throws
  // A flush of this map is waited for, too.
  const held = state.isFlushing ? undefined : file.tryHold(isShared);
  if (held === undefined) return undefined;
  const { stale } = file;
  if (stale !== "replaced" && stale !== "unlinked") {
    try {
      if (settleCommit(map)) return held;
    } catch (error) {
      held.release();
      throw error;
    }
    held.release();
    finishCommit(map);
    return undefined; // to be asked again
  }
  held.release();
  throw new ConflictError(
    `'${file.path}' was ${stale} since it was mapped, so nobody else can find the ` +
      "file that would be locked. Call refresh(), then lock() again.",
  );
}
