/**
 * What becomes of the journal of a flush that was killed.
 *
 * Recovery never takes a byte away from the file. Of an append that was cut short it
 * writes the rest, and only if what follows the old end is exactly the beginning of
 * that append. Anything else is somebody else's, and stays. Of a commit that was begun
 * it writes all blocks, and only if what is there in their place is the old bytes or
 * the new.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { runtime } from "../../../ffi/mod.ts";
import { system, systemError } from "../../base/mod.ts";
import {
  closeEntry,
  isLinked,
  isRefusal,
  namesIn,
  unlink,
} from "../entries.ts";
import { isHeld, pause, tryLock, unlock } from "../lock.ts";
import type { MappedFile } from "../mapped_file.ts";
import { OpenFile } from "../open_file.ts";
import { mayUse, realPathOf } from "../paths.ts";
import { lstatIfThere, statusOf } from "../status.ts";
import { finishCommit, PendingCommit } from "./commits.ts";
import { hasJournal, openBeside, removeJournal, sizeBeside } from "./beside.ts";
import {
  type Append,
  bootOfSystem,
  digestBefore,
  hasSum,
  HEADER_SIZE,
  isAppend,
  isIdle,
  isRedo,
  isTemporaryName,
  journalPath,
  type Note,
  noteIn,
  SECTOR,
  sumOf,
} from "./format.ts";

const { O_RDONLY, O_RDWR } = fs.constants;

/** Bytes compared, or written, at a time. */
const COMPARED = 2 ** 20;
/** How often to look at a file that others are appending to, in all modes. */
const LOOKS = { reading: 200, writing: 12 };
/** How many of them until a commit that others are making is taken for made. */
const PATIENCE = 30;

/**
 * Finds out how many bytes of `file` count, and finishes what a killed flush left. In
 * a mode that does not write, an append that was cut short does not count: `file.size`
 * is as it was before.
 *
 * Others may be appending meanwhile, so a size alone means nothing: it may be one in
 * the midst of an append. A journal says so as long as it is whole, which it is from
 * before the first byte until after the last. So a size counts if the same journal, or
 * none, was there before and after it was measured, and agrees with it. Where others
 * append all the time, the file's lock tells whether they keep journals.
 *
 * @throws {SystemError} `EBUSY` where an append is under way, and the mode writes.
 */
export function recover(file: MappedFile, isWritable: boolean): void {
  file.pending = undefined;
  const path = realPathOf(file.path, isWritable);
  // Deno would prompt for what it does not allow.
  if (path === undefined || !mayUse(journalPath(path), isWritable)) return;
  const looks = isWritable ? LOOKS.writing : LOOKS.reading;
  let found: Look = "changing";
  let unreadable = 0;
  for (let look = 0; look < looks; look++) {
    if (look > 2) pause(Math.min(2 ** (look - 2), 8));
    // No other map appends while we have the lock: whoever does uses no journal.
    const lock = look > 2 ? file.tryLock() : undefined;
    try {
      if (look > 0) file.measure(); // the first time, it was when it was opened
      found = isWritable
        ? settle(path, file, lock !== undefined)
        : hideAppend(path, file, lock !== undefined, look < PATIENCE);
    } finally {
      lock?.release();
    }
    if (found === "settled") return;
    // More than once: it may have been made, or ended, while we looked.
    unreadable = found === "unreadable" ? unreadable + 1 : 0;
    if (unreadable > 4) break;
  }
  throw systemError(
    "EBUSY",
    "open",
    file.path,
    found === "unreadable"
      ? `an append to the file is not finished, and its journal '${
        journalPath(path)
      }' may not be read by this user; open the file once in mode 'r+' as a ` +
        "user who may"
      : "another process is appending to the file at this moment; open it again",
  );
}

/** Does the file's size count, or is it about to change? */
type Look = "settled" | "changing" | "unreadable";

/**
 * Ends the journal of a dead flush of `file`, or one that is kept for appends, before
 * bytes move in it or go. Returns the folder that it was in, if there was one.
 */
export function clearJournal(file: MappedFile): string | undefined {
  const path = realPathOf(file.path, true);
  if (path === undefined || !mayUse(journalPath(path), true)) return undefined;
  if (!hasJournal(path)) return undefined;
  endDead(path);
  return dirname(path);
}

/**
 * Ends the journal of a dead flush of the file at `path`. Returns false if the flush is
 * alive.
 */
export function endDead(path: string): boolean {
  const place = journalPath(path);
  const fd = openBeside(place, O_RDWR, undefined);
  if (fd === undefined) return true;
  try {
    // Locked before it is read: earlier contents may be out of date.
    const refusal = tryLock(fd, place);
    if (refusal !== undefined) return !isHeld(refusal);
    if (isLinked(fd, place)) finish(fd, place, path, undefined);
    return true;
  } finally {
    unlock(fd);
    closeEntry(fd);
  }
}

/** Has what a dead flush left finished, or says that a flush is under way. */
function settle(path: string, file: MappedFile, isLocked: boolean): Look {
  const place = journalPath(path);
  const fd = openBeside(place, O_RDWR, file.owner.uid);
  if (fd === undefined) return isStill(file, isLocked);
  try {
    const refusal = tryLock(fd, place);
    if (refusal === undefined) {
      // Once it is gone, the size is measured anew.
      if (isLinked(fd, place)) finish(fd, place, path, file);
      return "changing";
    }
    const look = judge(fd, place, file, isLocked);
    if (look !== "begun") return look;
    if (!isHeld(refusal)) throw refusal;
    return "changing";
  } finally {
    unlock(fd);
    closeEntry(fd);
  }
}

/** Hides an append that was begun and not finished, and notes a commit to be laid over. */
function hideAppend(
  path: string,
  file: MappedFile,
  isLocked: boolean,
  isPatient: boolean,
): Look {
  const place = journalPath(path);
  const { owner } = file;
  // Most files have none, and each question costs.
  if (lstatIfThere(place) === undefined) return isStill(file, isLocked);
  const fd = openBeside(place, O_RDONLY, owner.uid);
  if (fd === undefined) {
    const size = sizeBeside(place, owner.uid);
    return size > HEADER_SIZE ? "unreadable" : isStill(file, isLocked);
  }
  try {
    const note = read(fd, place);
    if (note !== undefined && isRedo(note)) {
      const pending = PendingCommit.find(fd, place, note, file, isPatient);
      if (pending === "changing") return pending;
      file.pending = pending;
      return "settled";
    }
    const look = judge(fd, place, file, isLocked);
    return look === "begun" ? "settled" : look;
  } finally {
    closeEntry(fd);
  }
}

/** Has the file the size that was measured, or one that may be measured at any time? */
function isStill(file: MappedFile, isLocked: boolean): Look {
  const { size } = file;
  file.measure();
  return file.size === size || isLocked ? "settled" : "changing";
}

/** Compares a file's size with what a journal says, and sets it to what counts. */
function judge(
  fd: number,
  place: string,
  file: MappedFile,
  isLocked: boolean,
): Look | "begun" {
  const note = read(fd, place);
  // Its bytes are being written over, and nobody may look at them until that is over.
  if (note !== undefined && isRedo(note)) return "begun";
  if (note === undefined || !isAppend(note)) return isStill(file, isLocked);
  if (file.size === note.size) return "settled"; // not begun, or already taken back
  const begun = isBegun(fd, place, note, file);
  // It was true all the while if it still is.
  if (JSON.stringify(read(fd, place)) !== JSON.stringify(note)) {
    return "changing";
  }
  if (!begun) return isStill(file, isLocked);
  file.size = note.size;
  return "begun";
}

/** Finishes a dead flush whose journal we have locked, and removes the journal. */
function finish(
  fd: number,
  place: string,
  path: string,
  file: MappedFile | undefined,
): void {
  const note = read(fd, place);
  if (note === undefined) {
    // The flush was killed, or lost power, before it noted anything.
    removeAllCreated(path, file);
  } else if (isIdle(note)) {
    // Kept by a map that is gone, or that makes another when it needs one. Its name may
    // come back with a power cut, and must not come back with a note.
    new OpenFile(place, fd, 0).syncData();
  } else if (isRedo(note)) {
    if (!finishCommit(fd, place, path, note, file)) return;
  } else if (!isAppend(note)) {
    removeCreated(join(dirname(path), basename(note.created)), path, file);
  } else if (file !== undefined) {
    const lock = file.tryLock();
    if (lock === undefined) return; // somebody else is flushing the file
    try {
      file.measure();
      if (isBegun(fd, place, note, file)) writeRest(fd, place, note, file);
    } finally {
      lock.release();
    }
  } else {
    // In the midst of a flush: only one that changed nothing is dead for good.
    const { size } = system("stat", path, () => fs.statSync(path));
    if (size > note.size && size <= note.size + note.added) return;
  }
  removeJournal(fd, place);
}

/**
 * Is what follows the file's old end the beginning of the append, or all of it?
 *
 * A copy of the file, such as one that a backup brought back, is known by what comes
 * before. Its bytes have to be those of the append: nobody cut its power.
 */
function isBegun(
  fd: number,
  place: string,
  note: Append,
  file: MappedFile,
): boolean {
  const begun = file.size - note.size;
  if (begun <= 0 || begun > note.added) return false;
  const { inode, born } = file.identity;
  const isOriginal = note.inode === inode && note.born === born;
  if (!isOriginal && digestBefore(file, note.size) !== note.before) {
    return false;
  }
  // Within one run of the system, the file has what was written to it: zeros are
  // somebody's.
  const boot = bootOfSystem();
  const mayLack = isOriginal && (boot === undefined || note.boot !== boot);
  const journal = new OpenFile(place, fd, 0);
  const length = Math.min(COMPARED, begun);
  const [there, meant] = [Buffer.alloc(length), Buffer.alloc(length)];
  for (let at = 0; at < begun; at += COMPARED) {
    const count = Math.min(COMPARED, begun - at);
    const [one, other] = [there.subarray(0, count), meant.subarray(0, count)];
    const isThere = file.readSome(one, note.size + at) === count &&
      journal.readSome(other, HEADER_SIZE + at) === count;
    if (!isThere) return false; // cut, or ended, by somebody else
    if (one.equals(other)) continue;
    if (!mayLack) return false;
    const end = note.size + note.added;
    if (!isBeginning(one, other, count, note.size + at, end)) return false;
  }
  return true;
}

/**
 * Are `count` bytes, which are at `offset` of the file, those that were meant? After
 * a power cut, sectors of them, up to the `end` of all, may be zeros, or end in
 * zeros: the size came to the disk first.
 */
function isBeginning(
  there: Buffer,
  meant: Buffer,
  count: number,
  offset: number,
  end: number,
): boolean {
  for (let from = 0; from < count;) {
    const to = Math.min(from + SECTOR - (offset + from) % SECTOR, count);
    let at = from;
    while (at < to && there[at] === meant[at]) at++;
    if (at < to) {
      const isWhole = (offset + to) % SECTOR === 0 || offset + to === end;
      const rest = there.subarray(at, to);
      if (!isWhole || rest.some((byte) => byte !== 0)) return false;
    }
    from = to;
  }
  return true;
}

/** Writes the whole append, as long as nobody else writes behind what is there of it. */
function writeRest(
  fd: number,
  place: string,
  note: Append,
  file: MappedFile,
): void {
  const journal = new OpenFile(place, fd, 0);
  const buffer = Buffer.alloc(Math.min(COMPARED, note.added));
  let { size } = file;
  for (let at = 0; at < note.added; at += COMPARED) {
    const bytes = buffer.subarray(0, Math.min(COMPARED, note.added - at));
    journal.read(bytes, HEADER_SIZE + at);
    file.measure();
    if (file.size !== size) return; // what is there now is no longer ours alone
    file.write(bytes, note.size + at);
    size = file.size;
  }
  file.sync();
}

/** What a journal says; `undefined` if nothing, or not all of it. */
function read(fd: number, path: string): Note | undefined {
  const { size } = statusOf(fd, path);
  if (size < HEADER_SIZE) return undefined;
  const header = Buffer.alloc(HEADER_SIZE);
  // Its writer may be ending it at this moment.
  const journal = new OpenFile(path, fd, size);
  const count = journal.readSome(header, 0);
  const note = count === HEADER_SIZE ? noteIn(header, size) : undefined;
  if (note === undefined || !isAppend(note) || !hasSum(note)) {
    return note;
  }
  // Until it has all the bytes, none of them is in the file: it is as good as idle.
  const bytes = Buffer.alloc(note.added);
  const isWhole = journal.readSome(bytes, HEADER_SIZE) === note.added &&
    sumOf(bytes) === note.sum;
  return isWhole ? note : { idle: true };
}

/** Removes what flushes created beside the file, when it is not known which. */
function removeAllCreated(path: string, file: MappedFile | undefined): void {
  const folder = dirname(path);
  if (!runtime().mayUse(folder, "read")) return;
  let names: string[];
  try {
    names = namesIn(folder);
  } catch (error) {
    if (isRefusal(error)) return; // it may be written and not read
    throw error;
  }
  for (const name of names) removeCreated(join(folder, name), path, file);
}

function removeCreated(
  created: string,
  path: string,
  file: MappedFile | undefined,
): void {
  if (!isTemporaryName(basename(created), path)) return;
  const fd = openBeside(created, O_RDONLY, file?.owner.uid);
  if (fd === undefined) return;
  closeEntry(fd);
  unlink(created);
}
