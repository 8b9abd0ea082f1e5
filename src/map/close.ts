/**
 * Closing a map while the event loop goes on.
 *
 * @module
 */

import { flushLater, type FlushRequest, whenIdle } from "./flush/mod.ts";
import type { OpenMap } from "./open_map.ts";

/**
 * Waits for a flush that is under way, flushes as `request` says unless `discards`, and
 * closes. Whoever waited as well may have edited the map before it is closed, or begun
 * another flush: that is flushed, too.
 */
export async function closeLater(
  map: OpenMap,
  request: FlushRequest,
  discards: () => boolean,
): Promise<void> {
  const { state } = map;
  for (;;) {
    const waiting = whenIdle(map, request.abort);
    if (waiting !== undefined) {
      await waiting;
      continue;
    }
    if (state.isClosed) break;
    map.checkIdle(); // it may be called from within the onProgress of a flush
    if (!map.isWritable || discards()) break;
    await flushLater(map, request);
    if (state.isClosed || !(map.isDirty || state.isAsync)) break;
  }
  await map.closeLater(request.isDurable);
}
