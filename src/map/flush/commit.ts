/**
 * What was written to an atomic map, and what was appended beside that: committed in
 * place, through a journal.
 *
 * 1. Find the pages that were written. Reserve the blocks of those that lie in holes,
 *    and ask for the room to write over the others: a full disk is detected here.
 * 2. Write what differs into the journal, as `RedoLog` says. Where no blocks are
 *    reserved, ask for the room in holes once the journal has its own. On any failure so
 *    far the journal ends, and nothing has happened.
 * 3. Append the journal's blocks that are appended. A failure takes them back.
 * 4. Write the others into the file. From here on the commit counts, and whoever opens
 *    the file sees all of it; so where the disk fails now, the journal stays, and the
 *    next flush or the next open goes on.
 * 5. Drop the pages, which shows the file's in their place; the views stay.
 * 6. fdatasync, and let the journal rest.
 *
 * Where no journal can be made, the file is replaced.
 *
 * @module
 */

import {
  BREATH,
  checkRoomInHoles,
  checkRoomToWriteOver,
  RedoLog,
  type RedoPart,
  Reservation,
  skipStep,
  type Steps,
  type Work,
} from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import { dropSame, type WrittenRange } from "../written.ts";
import type { FlushResult } from "./options.ts";
import { isAppend, type Plan } from "./plan.ts";
import { replace } from "./replace.ts";
import { endKept, makeRoom, sum, syncFile } from "./shared.ts";

/** What floats, at the most: each piece takes a block of the journal. */
const MOST_FLOATS = 1024;

/** Is it a plan that only appends, if it has edits at all? */
export function canCommit(map: OpenMap, plan: Plan): boolean {
  return plan.fileLength >= map.file.size &&
    plan.floats.length <= MOST_FLOATS && isAppend(map, plan);
}

/**
 * For a plan that can be committed so, of the pages that were `written`. `isWatched`: does code of the user's run between
 * two steps, which may write through a view?
 */
export function commitWritten(
  map: OpenMap,
  plan: Plan,
  written: readonly WrittenRange[],
  isDurable: boolean,
  isWatched: boolean,
): Work<FlushResult> {
  const state: State = { counts: false, instead: undefined, isWatched };
  return {
    steps: commit(map, plan, written, isDurable, state),
    get total() {
      return state.instead?.total ?? 2 * (bytesOf(written) + sum(plan.floats));
    },
    get isStoppable() {
      return state.instead?.isStoppable ?? !state.counts;
    },
  };
}

function bytesOf(written: readonly WrittenRange[]): number {
  return written.reduce((sum, { begin, end }) => sum + end - begin, 0);
}

/** In the order of the journal: what is appended comes first. */
function* partsOf(
  map: OpenMap,
  plan: Plan,
  written: readonly WrittenRange[],
): Generator<RedoPart> {
  for (const { extent, offset, length } of plan.floats) {
    if (length === 0) continue;
    yield { mapping: extent.mapping, from: extent.offset, offset, length };
  }
  const { mapping } = map;
  for (const { begin, end } of written) {
    yield { mapping, from: begin, offset: begin, length: end - begin };
  }
}

/** What the driver has to know of a commit. */
interface State {
  /** Is the journal whole, so that nothing stops the commit any more? */
  counts: boolean;
  /** What is done in its place where no journal can be made. */
  instead: Work<FlushResult> | undefined;
  readonly isWatched: boolean;
}

function* commit(
  map: OpenMap,
  plan: Plan,
  written: readonly WrittenRange[],
  isDurable: boolean,
  state: State,
): Steps<FlushResult> {
  const { file } = map;
  const before = file.size;
  if (!(file.kept instanceof RedoLog)) yield* endKept(map, isDurable);
  const reservation = new Reservation(file);
  const log = RedoLog.of(file);
  let bytesWritten = 0;
  let isTakenBack = true;
  try {
    if (!(yield* log.begin())) return yield* replaceInstead();
    file.checkUnchanged(); // a dead flush may have been finished just now
    makeRoom(map, plan, before);
    yield* reserve(map, written, reservation);
    const parts = [...partsOf(map, plan, written)];
    const check = () => checkRoom(map, written);
    const noted = yield* log.note(parts, plan.fileLength, isDurable, check);
    if (noted === "none") {
      log.abandon();
      return yield* replaceInstead();
    }
    if (noted !== undefined) {
      bytesWritten = noted.length;
      if (plan.fileLength > before) {
        isTakenBack = false;
        file.checkEnd();
        yield* noted.append(file);
        if (isDurable) yield syncFile(file);
        file.checkUnchanged(true);
      }
      state.counts = true;
      yield* noted.writeOver(file);
    }
  } catch (error) {
    if (!isTakenBack && !state.counts) isTakenBack = file.takeBack(before);
    // Otherwise the journal says what is ours, to the next flush or open.
    if (state.counts || !isTakenBack) log.leave();
    else {
      log.abandon();
      reservation.giveBack();
    }
    throw error;
  }
  state.counts = true;
  map.rebase(plan.segments, plan.mappedLength, false);
  dropPages(map, written, state.isWatched);
  try {
    // The file has its size already, so that its bytes are all there is to wait for.
    if (isDurable && bytesWritten > 0) yield* log.settle();
  } catch (error) {
    log.leave();
    throw error;
  }
  log.rest();
  // What the file had already.
  yield skipStep(bytesOf(written) + sum(plan.floats) - bytesWritten);
  return { strategy: "in-place", bytesWritten, atomic: true, stale: "no" };

  function* replaceInstead(): Steps<FlushResult> {
    const { path, label } = file;
    const target = { path, label, mode: map.mode };
    state.instead = replace(map, plan, isDurable, target);
    return yield* state.instead.steps;
  }
}

function* reserve(
  map: OpenMap,
  written: readonly WrittenRange[],
  reservation: Reservation,
): Steps {
  const { file } = map;
  checkRoomToWriteOver(file, bytesOf(written));
  if (!file.reserve) return;
  let turns = 0;
  for (const { begin, end } of written) {
    reservation.reserve(begin, end);
    if (++turns % 256 === 0) yield BREATH;
  }
}

/** Where no blocks are reserved: is there room for the holes that are written to? */
function checkRoom({ file }: OpenMap, written: readonly WrittenRange[]): void {
  if (file.reserve) return;
  checkRoomInHoles(file, written.map(({ begin, end }) => [begin, end]));
}

/**
 * Has the pages show the file, which has what was written to them. Where the system
 * refuses, they stay, and the next flush finds nothing that differs. So does what
 * `onProgress`, or another thread, has written through a view meanwhile.
 */
function dropPages(
  map: OpenMap,
  written: readonly WrittenRange[],
  isWatched: boolean,
): void {
  const { mapping } = map;
  try {
    if (isWatched || mapping.isExposed) {
      const isAll = dropSame(map, written);
      if (!isAll || mapping.inFlightEnd > 0) return;
    } else {
      // Nobody has had an address to write to since they were found.
      for (const { begin, end } of written) mapping.dropWritten(begin, end);
    }
    mapping.markSynced();
  } catch {
    // As said.
  }
}
