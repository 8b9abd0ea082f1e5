/**
 * Strategy "extend": the file is cut, or new bytes are written behind the old.
 *
 * To append:
 *
 * 1. Map anew if the file will not fit into the address space at hand, or if
 *    bytes about to be cut off are within reach of a buffer that cannot be
 *    detached (it would touch a page without a file: SIGBUS). Nothing is written yet.
 * 2. Write the new bytes into a journal beside the file, on disk before the first of
 *    them gets into the file: whatever happens then, the next open knows the intended
 *    content.
 * 3. Write behind the old end, which touches no old byte, and fsync. On failure,
 *    or if somebody else wrote meanwhile, the file gets its old length back, and the
 *    journal ends. Neither happens where that would cut off what is another's.
 * 4. End the journal. Killed before that, the next open finishes the append; a mode
 *    that does not write sees the old content until then.
 * 5. Re-base the slices in memory; fsync the folder, so that the journal does not
 *    come back.
 *
 * What is little goes through the file's appender, which keeps the journal for the
 * next append, or does without where a kill cannot cut what is written.
 *
 * To cut, steps 2 to 4 are one truncate, which is all or nothing and cannot be taken
 * back. A journal that is kept ends before: it may still say on the disk what is about
 * to be cut. Then the slices are re-based, and fsync comes last.
 *
 * @module
 */

import {
  Appender,
  clearJournal,
  Copier,
  Journal,
  KEPT_SIZE,
  type MappedFile,
  type OpenFile,
  realPathOf,
  type Steps,
  uncounted,
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
  settleFolder,
  syncFile,
  writeFloats,
} from "./shared.ts";

/** For a plan that `canExtend`. */
export function extend(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Work<FlushResult> {
  const total = Math.max(plan.fileLength - map.file.size, 0);
  const steps = total > 0
    ? append(map, plan, isDurable)
    : cutEnd(map, plan, isDurable);
  return { steps, total, isStoppable: true };
}

function* append(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Steps<FlushResult> {
  const { file } = map;
  const before = file.size;
  const added = plan.fileLength - before;
  // An atomic map keeps one for its commits.
  if (!(file.kept instanceof Appender)) yield* endKept(map, isDurable);
  makeRoom(map, plan, before);
  const atomic = added <= KEPT_SIZE
    ? yield* appendLittle(map, plan, isDurable)
    : yield* appendMuch(map, plan, isDurable);
  return { strategy: "extend", bytesWritten: added, atomic, stale: "no" };
}

/** Appends what the file's appender has room for. Returns whether that was atomic. */
function* appendLittle(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Steps<boolean> {
  const { file } = map;
  const before = file.size;
  const appender = Appender.of(file);
  appender.begin(plan.fileLength - before);
  for (const { extent, offset, length } of plan.floats) {
    const skipped = Math.min(Math.max(before - offset, 0), length);
    if (skipped === length) continue; // in the file already, or empty
    const [from, at] = [extent.offset + skipped, offset + skipped - before];
    appender.gather(extent.mapping, from, at, length - skipped);
  }
  const isAtomic = yield* appender.note(isDurable);
  let folder: string | undefined;
  try {
    yield* appender.write(isDurable);
    file.checkUnchanged(true);
    folder = appender.end();
  } catch (error) {
    appender.undo(before);
    throw error;
  }
  map.rebase(plan.segments, plan.mappedLength, isDurable);
  if (folder !== undefined) yield* settleFolder(map, folder, isDurable);
  return isAtomic;
}

/** Appends any number of bytes, with a journal that is made for them alone. */
function* appendMuch(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Steps<boolean> {
  const { file } = map;
  const before = file.size;
  yield* endKept(map, isDurable);
  const journal = yield* noteAppend(file, plan, isDurable);
  try {
    yield* writeTail(file, file, plan, isDurable, 0);
    if (isDurable) yield syncFile(file);
    file.checkUnchanged(true);
    if (journal !== undefined) yield journal.ending();
  } catch (error) {
    // Otherwise the journal says which bytes are ours, to the next open.
    if (file.takeBack(before)) journal?.abandon();
    else journal?.leave();
    throw error;
  }
  map.rebase(plan.segments, plan.mappedLength, isDurable);
  if (journal === undefined) return false;
  yield* settleFolder(map, journal.folder, isDurable);
  return true;
}

function* cutEnd(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
): Steps<FlushResult> {
  const { file } = map;
  const before = file.size;
  yield* endKept(map, isDurable);
  makeRoom(map, plan, plan.fileLength);
  const folder = clearJournal(file);
  if (folder !== undefined) map.unsettleFolder(folder);
  file.checkUnchanged(); // comparing what stays took its time
  if (plan.fileLength < before) yield* cut(map, plan.fileLength);
  yield* commit(map, plan, isDurable);
  return { strategy: "extend", bytesWritten: 0, atomic: true, stale: "no" };
}

/** Notes what is to be appended; `undefined` where no journal can be made. */
function* noteAppend(
  file: MappedFile,
  plan: Plan,
  isDurable: boolean,
): Steps<Journal | undefined> {
  const path = realPathOf(file.path, true);
  if (path === undefined) return undefined;
  const journal = yield* Journal.beginning(path, file);
  if (journal === undefined) return undefined;
  try {
    file.checkUnchanged(); // a dead flush may have been finished just now
    const added = plan.fileLength - file.size;
    const isNoted = yield* journal.noteAppend(
      file,
      added,
      isDurable,
      (target, offset) =>
        uncounted(
          writeTail(file, target, plan, isDurable, offset - file.size),
        ),
    );
    if (!isNoted) journal.abandon();
    file.checkUnchanged(); // the file may have changed while this was noted
    return isNoted ? journal : undefined;
  } catch (error) {
    journal.abandon();
    throw error;
  }
}

/** Writes what is behind the file's old end to `target`, `shift` bytes further on. */
function* writeTail(
  file: MappedFile,
  target: OpenFile,
  plan: Plan,
  isDurable: boolean,
  shift: number,
): Steps {
  const copier = new Copier(file, target, isDurable);
  try {
    yield* writeFloats(copier, plan.floats, file.size, shift);
    yield* copier.flush();
  } finally {
    copier.release();
  }
}
