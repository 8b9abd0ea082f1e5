/**
 * The short way of strategy "extend", for a line that is appended again and again.
 *
 * It is taken where nothing is pending but a little that was appended, and the file's
 * appender is ready: then no slice moves, nothing is mapped anew, and there is nothing
 * to plan. What is done to the file, and in what order, is the same as in `extend.ts`:
 *
 * 1. Lock the file, and look whether it is as it was.
 * 2. Note the bytes in the journal that is kept, on disk if the flush is durable; or
 *    look that there is none, if a kill cannot cut what is written.
 * 3. Write behind the old end; fdatasync. On failure, give the file its old length back.
 * 4. Have the journal rest, unlock, and let the books say so.
 *
 * A line takes a few microseconds, so there are no steps: whoever wants to be told of
 * the progress, or flushes while the event loop goes on, takes the long way.
 *
 * @module
 */

import { checkDeepestStack, checkStackForCalls } from "../../geometry/mod.ts";
import { Appender, KEPT_SIZE } from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import type { FlushRequest, FlushResult } from "./options.ts";

/** An append that has begun. */
interface Begun {
  readonly map: OpenMap;
  readonly appender: Appender;
  /** Bytes of the file before and after it. */
  readonly before: number;
  readonly length: number;
  readonly isDurable: boolean;
  /** Is all of it done but for the books? */
  counts: boolean;
}

/** The one under way; afterwards only if a script was stopped in the midst of it. */
let underWay: Begun | undefined;
/** Is {@linkcode endStopped} to run after this task? */
let isWatched = false;
/** Was all of the code below run once? Engines compile it then, which takes most stack. */
let isCompiled = false;

/**
 * Flushes what was appended to `map`. Returns `undefined`, and has done nothing, where
 * the other steps are needed.
 */
export function appendTail(
  map: OpenMap,
  request: FlushRequest,
): FlushResult | undefined {
  const { strategy, isDurable, target, onProgress } = request;
  if (strategy !== "auto" || target !== undefined || onProgress !== undefined) {
    return undefined;
  }
  const { file, mapping, tail, state } = map;
  const { size, kept } = file;
  const { length } = tail;
  if (
    !(kept instanceof Appender) || length === 0 || length > KEPT_SIZE ||
    map.floatingCount > 0 || map.mappedLength !== size ||
    size + length > mapping.capacity || mapping.hasEscapedAfter(size) ||
    map.isAtomic || state.name === "torn" || underWay !== undefined
  ) return undefined;
  const bytes = tail.alone;
  if (bytes === undefined) return undefined;
  // Nothing may fail for want of it once the file has changed.
  if (isCompiled) checkStackForCalls();
  else checkDeepestStack();
  const begun: Begun = {
    map,
    appender: kept,
    before: size,
    length: size + length,
    isDurable,
    counts: false,
  };
  underWay = begun;
  watchStopped();
  state.beginFlush(file.path);
  let lock;
  let isOnDisk = false;
  try {
    lock = file.tryLock();
    // Others have it, and are waited for by the long way.
    if (lock === undefined) return undefined;
    if (!kept.appendAtOnce(bytes, isDurable)) return undefined;
    begun.counts = true;
    map.settleTail(begun.length, isDurable);
    isOnDisk = isDurable;
    isCompiled = true;
    return {
      strategy: "extend",
      bytesWritten: length,
      atomic: true,
      stale: "no",
    };
  } finally {
    lock?.release();
    state.endFlush(isOnDisk);
    underWay = undefined;
  }
}

/** Has {@linkcode endStopped} run once nothing else does: see `Flush` in `mod.ts`. */
function watchStopped(): void {
  if (isWatched) return;
  queueMicrotask(endStopped);
  isWatched = true; // last: a script may be stopped in between
}

/** Ends an append in which a script was stopped from outside, as an error would. */
function endStopped(): void {
  isWatched = false;
  if (underWay === undefined) return;
  const { map, appender, before, length, isDurable, counts } = underWay;
  underWay = undefined;
  if (counts) map.settleTail(length, isDurable);
  else appender.undo(before);
  map.file.breakLock();
  map.state.endFlush(false);
}
