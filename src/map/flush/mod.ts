/**
 * flush: writes pending edits into the file.
 *
 * A strategy is a file here, and a generator of steps whose order stands above its
 * code. All keep to one rule: whatever can fail comes before the first change that
 * cannot be undone, and the map's own books change last, in `OpenMap.rebase`, which
 * cannot fail. And each that changes the mapped file itself holds that file's lock from
 * its first look at the file to its last step.
 *
 * @module
 */

import { checkDeepestStack } from "../../geometry/mod.ts";
import { Journal, type Work } from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import { runToEnd } from "./drive.ts";
import { extend } from "./extend.ts";
import { moveInPlace } from "./in_place.ts";
import type { FlushRequest, FlushResult, Strategy } from "./options.ts";
import { canExtend, type Plan, planOf } from "./plan.ts";
import { replace } from "./replace.ts";
import { underLock } from "./shared.ts";

export {
  checkRequest,
  type FlushOptions,
  type FlushResult,
  type Progress,
  type Strategy,
} from "./options.ts";

/** Flushes the map: as `request` says, or just to the disk if nothing is pending. */
export function flush(map: OpenMap, request: FlushRequest): FlushResult {
  map.checkUsable();
  map.mapping.checkFaults();
  if (request.target === undefined) {
    map.checkWritable("flush");
    if (!map.isDirty) {
      if (request.isDurable) map.sync(0, map.mappedLength);
      const { stale } = map.file;
      return { strategy: "none", bytesWritten: 0, atomic: true, stale };
    }
  }
  checkDeepestStack(); // nothing may fail for want of it once the file has changed
  map.state.beginFlush(map.file.path);
  let isOnDisk = false; // where only the last wait fails, too
  let isOver = false;
  let work: Work<FlushResult> | undefined;
  // A script that is run with a time limit, as node:vm can, is stopped between any two
  // steps, and no `finally` of it runs. Microtasks do, once nothing else does.
  queueMicrotask(() => isOver || stop(map, work));
  try {
    work = workOf(map, request);
    const result = runToEnd(work, request.onProgress);
    isOnDisk = request.isDurable;
    return result;
  } finally {
    isOver = true;
    map.state.endFlush(isOnDisk);
  }
}

/** Ends a flush that was stopped from outside, as an error of its last step would. */
function stop(map: OpenMap, work: Work<FlushResult> | undefined): void {
  const { file } = map;
  try {
    const stopped = new Error(`The flush of '${file.path}' was stopped.`);
    let next = work?.steps.throw(stopped);
    while (next?.done === false) next = work?.steps.next(next.value.run());
  } catch {
    // There is nobody to tell. The edits are pending, if they still can be flushed.
  }
  // Stopped within a step of the generator's own: that has not cleared up.
  if (file.breakLock()) map.state.tear();
  Journal.leaveAll();
  map.state.endFlush(false);
}

/** Chooses the strategy. */
function workOf(map: OpenMap, request: FlushRequest): Work<FlushResult> {
  const { strategy, isDurable, target } = request;
  if (target !== undefined && strategy === "in-place") {
    throw new TypeError(
      "flush({ path }) writes a new file; strategy 'in-place' does not go with it.",
    );
  }
  const plan = planOf(map);
  if (target !== undefined) {
    return replace(map, plan, isDurable, { ...target, mode: "r+" });
  }
  map.file.checkUnchanged();
  const work = chosenWork(map, plan, strategy, isDurable);
  return { ...work, steps: underLock(map.file, work.steps) };
}

function chosenWork(
  map: OpenMap,
  plan: Plan,
  strategy: Strategy,
  isDurable: boolean,
): Work<FlushResult> {
  if (strategy === "in-place") return moveInPlace(map, plan, isDurable);
  if (strategy === "auto" && canExtend(map, plan)) {
    return extend(map, plan, isDurable);
  }
  const { path, label } = map.file;
  return replace(map, plan, isDurable, { path, label, mode: map.mode });
}
