/**
 * Strategy "in-place": bytes move inside the file. Not safe against a kill half-way.
 *
 * 1. Map anew where needed, as in extend. End a dead flush's journal: it speaks of
 *    the bytes as they are now.
 * 2. Lengthen the file, and reserve blocks for all that will be written, so that a full
 *    disk is detected while every byte is where it was. Holes that move stay
 *    holes, and need none. A failure cuts the file back, unless others wrote behind
 *    it, and makes holes again of those that were to be written to. Where writing over
 *    bytes takes new blocks, which cannot be reserved, and where the user does not want
 *    any reserved, the disk is asked for its room.
 * 3. Move what moves: towards the end from the last to the first, then towards
 *    the start from the first to the last. So nothing is overwritten unread: runs
 *    keep their order and never overlap in the old file or in the new.
 * 4. Write the floating slices, whose places nothing needs any more; cut.
 * 5. Re-base the slices in memory; fsync.
 *
 * If a write fails after another succeeded, the file is a mixture: the map is torn,
 * and only reading it and closing it are left.
 *
 * @module
 */

import type { Run } from "../../geometry/mod.ts";
import {
  checkRoomInHoles,
  checkRoomToGrow,
  checkRoomToWriteOver,
  clearJournal,
  Copier,
  Reservation,
  reserveToWrite,
  type Steps,
  unshare,
  type Work,
} from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import type { FlushResult } from "./options.ts";
import type { Plan } from "./plan.ts";
import {
  commit,
  cut,
  endKept,
  makeRoom,
  sum,
  writeFloats,
  writtenRanges,
} from "./shared.ts";

export function moveInPlace(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Work<FlushResult> {
  const moves = plan.runs.filter(({ from, to }) => from !== to);
  return {
    steps: move(map, plan, moves, isDurable),
    total: sum(moves) + sum(plan.floats),
    isStoppable: false, // half-way, the file is a mixture
  };
}

function* move(
  map: OpenMap,
  plan: Plan,
  moves: readonly Run[],
  isDurable: boolean,
): Steps<FlushResult> {
  const { file } = map;
  const before = file.size;
  const changed = Math.min(
    moves[0]?.to ?? Infinity,
    moves[0]?.from ?? Infinity,
    plan.floats[0]?.offset ?? Infinity,
    plan.fileLength,
  );
  yield* endKept(map, isDurable);
  map.keepOut(); // whoever reads the map would find a mixture
  makeRoom(map, plan, changed);
  const folder = clearJournal(file);
  if (folder !== undefined) map.unsettleFolder(folder);
  file.checkUnchanged(); // a dead flush may have been finished just now
  const copier = new Copier(file, file, isDurable);
  const reservation = new Reservation(file);
  try {
    yield* copier.findHoles();
    if (copier.keepsHoles) {
      copier.noteData(changed);
      const written = [...writtenRanges(copier, moves, plan.floats)];
      const total = written.reduce((sum, [from, to]) => sum + to - from, 0);
      checkRoomToWriteOver(file, total);
      file.lengthen(plan.fileLength, false);
      if (!file.reserve) checkRoomInHoles(file, written);
      else for (const [from, to] of written) reservation.reserve(from, to);
    } else {
      checkRoomToWriteOver(file, sum(moves) + sum(plan.floats));
      if (file.reserve) reserveToWrite(file, changed, plan.fileLength);
      else checkRoomToGrow(file, plan.fileLength);
      file.lengthen(plan.fileLength);
      if (file.reserve) {
        unshare(file, changed, Math.min(before, plan.fileLength));
      }
    }
    const up = moves.filter(({ from, to }) => to > from);
    const down = moves.filter(({ from, to }) => to < from);
    yield* copier.moveUp(up.reverse());
    yield* copier.moveDown(down);
    yield* writeFloats(copier, plan.floats);
    yield* copier.flush();
    file.checkUnchanged(copier.hasWritten);
    if (plan.fileLength < before) yield* cut(map, plan.fileLength);
  } catch (error) {
    if (copier.hasWritten) map.state.tear();
    else {
      if (file.size > before) file.takeBack(before);
      reservation.giveBack();
    }
    throw error;
  } finally {
    copier.release();
  }
  yield* commit(map, plan, isDurable);
  return {
    strategy: "in-place",
    bytesWritten: sum(moves) + sum(plan.floats),
    atomic: false,
    stale: "no",
  };
}
