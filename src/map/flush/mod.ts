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

import type { Abort } from "../../base/mod.ts";
import { checkDeepestStack } from "../../geometry/mod.ts";
import {
  type Held,
  type Journal,
  listJournals,
  listLocks,
  type Steps,
  unlessAborted,
  unlockAll,
  type Work,
} from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import { revertWritten, type WrittenRange, writtenRanges } from "../written.ts";
import { appendTail } from "./append_tail.ts";
import { canCommit, commitWritten } from "./commit.ts";
import { runToEnd } from "./drive.ts";
import { runToEndLater } from "./drive_later.ts";
import { extend } from "./extend.ts";
import { moveInPlace } from "./in_place.ts";
import type { FlushRequest, FlushResult } from "./options.ts";
import { canExtend, isAppend, type Plan, planOf } from "./plan.ts";
import { replace } from "./replace.ts";
import { underLock } from "./shared.ts";
import { dropEdited, dropMapped } from "./views.ts";

export {
  checkRequest,
  checkRequestLater,
  type FlushAsyncOptions,
  type FlushOptions,
  type FlushRequest,
  type FlushResult,
  type Progress,
  type Strategy,
} from "./options.ts";

/** Flushes the map: as `request` says, or just to the disk if nothing is pending. */
export function flush(map: OpenMap, given: FlushRequest): FlushResult {
  map.checkIdle();
  // Looked for once: nobody can write in between.
  const request = { ...given, written: writtenNow(map, given) };
  if (!isDue(map, request)) {
    if (request.isDurable) map.sync(0, map.mappedLength);
    return nothingWritten(map);
  }
  const appended = appendTail(map, request);
  if (appended !== undefined) return appended;
  checkDeepestStack(); // nothing may fail for want of it once the file has changed
  const flush = new Flush(map, () => map.state.beginFlush(map.file.path));
  let isOnDisk = false; // where only the last wait fails, too
  try {
    const result = runToEnd(flush.begin(request), request.onProgress);
    isOnDisk = request.isDurable;
    return result;
  } finally {
    flush.leave();
    map.state.endFlush(isOnDisk);
  }
}

/**
 * The same while the event loop goes on. Waits for a flush of this map that is under
 * way, and for other maps of the file.
 */
export async function flushLater(
  map: OpenMap,
  request: FlushRequest,
): Promise<FlushResult> {
  // Begins at once where nothing is under way.
  for (;;) {
    const waiting = whenIdle(map, request.abort);
    if (waiting === undefined) break;
    await waiting;
  }
  map.checkIdle();
  if (!isDue(map, request)) {
    const result = nothingWritten(map); // later on, it may be closed
    if (request.isDurable) await map.syncLater(0, map.mappedLength);
    return result;
  }
  request.abort?.check();
  checkDeepestStack();
  const flush = new Flush(map, () => map.state.beginSaving(map.file.path));
  const { commits } = map;
  let isOnDisk = false;
  try {
    UNDER_WAY.set(map, Promise.withResolvers<void>());
    const result = await runToEndLater(flush.begin(request), {
      onProgress: request.onProgress,
      abort: request.abort,
      hasCommitted: () => map.commits !== commits,
      enter: () => flush.enter(),
      leave: () => flush.leave(),
    });
    isOnDisk = request.isDurable;
    return result;
  } finally {
    endSaving(map, isOnDisk);
  }
}

/** Flushes that let the event loop go on, and what tells their end. */
const UNDER_WAY = new WeakMap<OpenMap, PromiseWithResolvers<void>>();

/** Waits until the flush of the map that is under way is over, or until aborted. */
async function underWay(map: OpenMap, abort: Abort | undefined): Promise<void> {
  const { promise } = UNDER_WAY.get(map)!;
  await (abort === undefined ? promise : unlessAborted(promise, abort));
}

/** What to wait for until no flush of the map is under way; nothing where none is. */
export function whenIdle(
  map: OpenMap,
  abort?: Abort | undefined,
): Promise<void> | undefined {
  if (!UNDER_WAY.has(map)) return undefined;
  return underWay(map, abort).then(() => whenIdle(map, abort));
}

function endSaving(map: OpenMap, isOnDisk: boolean): void {
  map.state.endFlush(isOnDisk);
  map.meanwhile.end();
  UNDER_WAY.get(map)?.resolve();
  UNDER_WAY.delete(map);
}

/** The pages of an atomic map that were written, where that can be told. */
function writtenNow(
  map: OpenMap,
  { target }: FlushRequest,
): readonly WrittenRange[] | undefined {
  const { mapping, isAtomic } = map;
  if (!isAtomic || target !== undefined || mapping.faults > 0) return undefined;
  if (!mapping.maybeUnsynced) return [];
  return writtenRanges(map, 0, map.mappedLength);
}

/** Is there something to write, and may that be done? */
function isDue(map: OpenMap, { target, written }: FlushRequest): boolean {
  map.mapping.checkFaults();
  if (target !== undefined) return true;
  map.checkWritable("flush");
  if (
    written === undefined ? map.isDirty : map.isResized || written.length > 0
  ) {
    return true;
  }
  // What was written to pages that others cut off went with them.
  if (map.isAtomic && map.mapping.maybeUnsynced) map.file.checkWhole();
  return false;
}

function nothingWritten(map: OpenMap): FlushResult {
  const { stale } = map.file;
  return { strategy: "none", bytesWritten: 0, atomic: true, stale };
}

/**
 * One flush, and what ends it if it is stopped from outside.
 *
 * A script that is run with a time limit, as node:vm can, is stopped between any two
 * steps, and no `finally` of it runs. Microtasks do, once nothing else does. So one is
 * queued whenever a flush has its turn, and whatever lets others have theirs says so.
 */
class Flush {
  readonly #map: OpenMap;
  #steps: Steps<unknown> | undefined;
  readonly #journals = new Set<Journal>();
  readonly #locks = new Set<Held>();
  /** Where journals and locks went before it was this flush's turn. */
  #others: {
    journals: Set<Journal> | undefined;
    locks: Set<Held> | undefined;
  } = { journals: undefined, locks: undefined };
  /** How many turns it has had, and whether it has one now. */
  #turns = 0;
  #hasTurn = false;

  /** Has its first turn at once, in which `mark` notes that the map is being flushed. */
  constructor(map: OpenMap, mark: () => void) {
    this.#map = map;
    this.enter();
    try {
      mark();
    } catch (error) {
      this.leave();
      throw error;
    }
  }

  /** The steps to take. */
  begin(request: FlushRequest): Work<FlushResult> {
    const work = workOf(this.#map, request);
    this.#steps = work.steps;
    return work;
  }

  /** From now on nothing else of this thread comes between. */
  enter(): void {
    if (this.#hasTurn) return;
    this.#others = {
      journals: listJournals(this.#journals),
      locks: listLocks(this.#locks),
    };
    this.#hasTurn = true;
    const turn = ++this.#turns;
    queueMicrotask(() => {
      if (this.#hasTurn && this.#turns === turn) this.#stop();
    });
  }

  /** Others have their turn. */
  leave(): void {
    if (!this.#hasTurn) return;
    this.#hasTurn = false;
    listJournals(this.#others.journals);
    listLocks(this.#others.locks);
  }

  /** Ends a flush that was stopped from outside, as an error of its last step would. */
  #stop(): void {
    this.leave();
    const { file, state } = this.#map;
    try {
      const stopped = new Error(`The flush of '${file.path}' was stopped.`);
      const steps = this.#steps;
      let next = steps?.throw(stopped);
      while (next?.done === false) next = steps!.next(next.value.run());
    } catch {
      // There is nobody to tell. The edits are pending, if they still can be flushed.
    }
    // Stopped within a step of the generator's own: that has not cleared up.
    if (file.breakLock()) state.tear();
    for (const journal of this.#journals) journal.leave();
    unlockAll(this.#locks);
    endSaving(this.#map, false);
  }
}

/** The steps of a flush. The first of them choose the strategy, and know the total. */
function workOf(map: OpenMap, request: FlushRequest): Work<FlushResult> {
  let chosen: Work<FlushResult> | undefined;
  function* steps(): Steps<FlushResult> {
    chosen = yield* chosenWork(map, request);
    return yield* chosen.steps;
  }
  return {
    steps: steps(),
    get total() {
      return chosen?.total ?? 0;
    },
    get isStoppable() {
      return chosen?.isStoppable ?? true;
    },
  };
}

/** Chooses the strategy, and has the views dropped that must not be written to any more. */
function* chosenWork(
  map: OpenMap,
  request: FlushRequest,
): Steps<Work<FlushResult>> {
  const { strategy, isDurable, target } = request;
  if (target !== undefined && strategy === "in-place") {
    throw new TypeError(
      "flush({ path }) writes a new file; strategy 'in-place' does not go with it.",
    );
  }
  const { isAsync } = map.state;
  if (isAsync) yield* dropEdited(map);
  const plan = yield* planOf(map);
  if (target !== undefined) {
    if (isAsync) yield* dropMapped(map);
    return replace(map, plan, isDurable, { ...target, mode: "r+" });
  }
  if (plan.floats.some(({ length }) => length > 0)) map.file.checkTakesWrites();
  // What only appends looks at no byte of the file before it has the lock, and then asks.
  if (strategy !== "auto" || !isAppend(map, plan)) map.file.checkUnchanged();
  const work = yield* ownWork(map, plan, request);
  return {
    steps: underLock(map.file, work.steps),
    // Both may change while it goes on.
    get total() {
      return work.total;
    },
    get isStoppable() {
      return work.isStoppable;
    },
  };
}

function* ownWork(
  map: OpenMap,
  plan: Plan,
  { strategy, isDurable, onProgress, written }: FlushRequest,
): Steps<Work<FlushResult>> {
  if (map.isAtomic && strategy === "in-place") throw notInPlace(map);
  const { isAsync } = map.state;
  if (written === undefined ? map.hasWritten : written.length > 0) {
    if (isAsync) yield* dropMapped(map);
    if (strategy === "auto" && canCommit(map, plan)) {
      // One that lets the event loop go on has dropped the views.
      const isWatched = onProgress !== undefined && !isAsync;
      const ranges = written ?? writtenRanges(map, 0, map.mappedLength);
      const work = commitWritten(map, plan, ranges, isDurable, isWatched);
      return showingEnd(map, work);
    }
    const { path, label } = map.file;
    return replace(map, plan, isDurable, { path, label, mode: map.mode });
  }
  if (strategy === "in-place") return moveInPlace(map, plan, isDurable);
  if (strategy === "auto" && (yield* canExtend(map, plan))) {
    const work = extend(map, plan, isDurable);
    return map.isAtomic ? showingEnd(map, work) : work;
  }
  if (isAsync) yield* dropMapped(map);
  const { path, label } = map.file;
  return replace(map, plan, isDurable, { path, label, mode: map.mode });
}

/**
 * The same work, which may append to an atomic map. What is written through a view
 * meanwhile may give the map a page of its own in which the old end lies: behind that,
 * it has not what was appended, until the file is shown there.
 */
function showingEnd(
  map: OpenMap,
  work: Work<FlushResult>,
): Work<FlushResult> {
  const { mapping, mappedLength: before } = map;
  function* steps(): Steps<FlushResult> {
    const result = yield* work.steps;
    const { pageSize } = mapping;
    const pageEnd = Math.ceil(before / pageSize) * pageSize;
    const end = Math.min(pageEnd, map.mappedLength);
    if (before < end) revertWritten(map, before, end);
    return result;
  }
  return {
    steps: steps(),
    get total() {
      return work.total;
    },
    get isStoppable() {
      return work.isStoppable;
    },
  };
}

function notInPlace(map: OpenMap): TypeError {
  return new TypeError(
    `'${map.file.path}' is open with { atomic: true }, and strategy 'in-place' would ` +
      "leave a mixture if it was killed; leave the strategy to flush().",
  );
}
