/**
 * What an atomic map was written to, and nothing else: committed in place, through a
 * journal.
 *
 * 1. Find the pages that were written. Reserve the blocks of those that lie in holes,
 *    and ask for the room to write over the others: a full disk is detected here.
 * 2. Write what differs into the journal, as `RedoLog` says. On any failure so far the
 *    journal ends, and nothing has happened.
 * 3. Write the journal's blocks into the file. From here on the commit counts, and
 *    whoever opens the file sees all of it; so where the disk fails now, the journal
 *    stays, and the next flush or the next open goes on.
 * 4. Drop the pages, which shows the file's in their place; the views stay.
 * 5. fsync, and let the journal rest.
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
  Reservation,
  skipStep,
  type Steps,
  type Work,
} from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import { type WrittenRange, writtenRanges } from "../written.ts";
import type { FlushResult } from "./options.ts";
import type { Plan } from "./plan.ts";
import { replace } from "./replace.ts";
import { endKept, syncFile } from "./shared.ts";

/** For a plan without edits. */
export function commitWritten(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Work<FlushResult> {
  const written = writtenRanges(map, 0, map.mappedLength);
  const bytes = written.reduce((sum, { begin, end }) => sum + end - begin, 0);
  const state = { counts: false };
  return {
    steps: commit(map, plan, written, isDurable, state),
    total: 2 * bytes,
    get isStoppable() {
      return !state.counts;
    },
  };
}

function* commit(
  map: OpenMap,
  plan: Plan,
  written: readonly WrittenRange[],
  isDurable: boolean,
  state: { counts: boolean },
): Steps<FlushResult> {
  const { file, mapping } = map;
  if (!(file.kept instanceof RedoLog)) yield* endKept(map, isDurable);
  const reservation = new Reservation(file);
  const log = RedoLog.of(file);
  let bytesWritten = 0;
  try {
    if (!(yield* log.begin())) return yield* replaceInstead();
    file.checkUnchanged(); // a dead flush may have been finished just now
    yield* reserve(map, written, reservation);
    const noted = yield* log.note(mapping, written, isDurable);
    if (noted === "none") {
      log.abandon();
      return yield* replaceInstead();
    }
    if (noted !== undefined) {
      state.counts = true;
      bytesWritten = noted.length;
      yield* noted.apply(file);
    }
  } catch (error) {
    if (state.counts) log.leave();
    else {
      log.abandon();
      reservation.giveBack();
    }
    throw error;
  }
  state.counts = true;
  map.rebase(plan.segments, plan.mappedLength, false);
  dropPages(map, written);
  try {
    if (isDurable && bytesWritten > 0) yield syncFile(file);
  } catch (error) {
    log.leave();
    throw error;
  }
  log.rest();
  const total = written.reduce((sum, { begin, end }) => sum + end - begin, 0);
  yield skipStep(total - bytesWritten); // what the file had already
  return { strategy: "in-place", bytesWritten, atomic: true, stale: "no" };

  function* replaceInstead(): Steps<FlushResult> {
    const { path, label } = file;
    const work = replace(map, plan, isDurable, { path, label, mode: map.mode });
    return yield* work.steps;
  }
}

function* reserve(
  map: OpenMap,
  written: readonly WrittenRange[],
  reservation: Reservation,
): Steps {
  const { file } = map;
  let bytes = 0;
  for (const { begin, end } of written) bytes += end - begin;
  checkRoomToWriteOver(file, bytes);
  if (!file.reserve) {
    return checkRoomInHoles(
      file,
      written.map(({ begin, end }) => [begin, end]),
    );
  }
  let turns = 0;
  for (const { begin, end } of written) {
    reservation.reserve(begin, end);
    if (++turns % 256 === 0) yield BREATH;
  }
}

/**
 * Has the pages show the file, which has what was written to them. Where the system
 * refuses, they stay, and the next flush finds nothing that differs.
 */
function dropPages(map: OpenMap, written: readonly WrittenRange[]): void {
  try {
    for (const { begin, end } of written) map.mapping.dropWritten(begin, end);
    map.mapping.markSynced();
  } catch {
    // As said.
  }
}
