/**
 * What becomes of the journal of a flush that was killed.
 *
 * Recovery never takes a byte away from the file. Of an append that was cut short it
 * writes the rest, and only if what follows the old end is exactly the beginning of
 * that append. Anything else is somebody else's, and stays.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { runtime } from "../../../ffi/mod.ts";
import { system, type SystemError, systemError } from "../../base/mod.ts";
import { closeEntry, isLinked, namesIn, unlink } from "../entries.ts";
import { isHeld, tryLock } from "../lock.ts";
import type { MappedFile } from "../mapped_file.ts";
import { OpenFile } from "../open_file.ts";
import { mayUse, realPathOf } from "../paths.ts";
import { openBeside, removeJournal } from "./beside.ts";
import {
  type Append,
  HEADER_SIZE,
  isTemporaryName,
  journalPath,
  type Note,
  noteIn,
} from "./format.ts";

const { O_RDONLY, O_RDWR } = fs.constants;

/** Bytes compared, or written, at a time. */
const COMPARED = 2 ** 20;
/** A sector: the unit that the disk writes atomically. */
const SECTOR = 512;

/**
 * Finishes what a killed flush of `file` left. In a mode that does not write, an
 * append that was cut short does not count: `file.size` is as it was before.
 */
export function recover(file: MappedFile, isWritable: boolean): void {
  const path = realPathOf(file.path, isWritable);
  // Deno would prompt for what it does not allow.
  if (path === undefined || !mayUse(journalPath(path), isWritable)) return;
  if (isWritable) endDead(path, file);
  else hideAppend(path, file);
}

/** Ends the journal of a dead flush of `file`, before bytes move in it. */
export function clearJournal(file: MappedFile): void {
  const path = realPathOf(file.path, true);
  if (path === undefined || !mayUse(journalPath(path), true)) return;
  endDead(path);
}

/**
 * Ends the journal of a dead flush of the file at `path`, after finishing what it
 * says of `file`, if that is being opened. Returns false if the flush is alive.
 */
export function endDead(path: string, file?: MappedFile): boolean {
  const place = journalPath(path);
  const fd = openBeside(place, O_RDWR, file?.owner.uid);
  if (fd === undefined) return true;
  try {
    // Locked before it is read: what was true before may not be any more.
    const refusal = tryLock(fd, place);
    if (refusal === undefined) {
      if (isLinked(fd, place)) finish(fd, place, path, file);
      return true;
    }
    if (file !== undefined) checkUnbegun(fd, place, file, refusal);
    return !isHeld(refusal);
  } finally {
    closeEntry(fd);
  }
}

/** Leaves an append out of account that was begun and not finished. */
function hideAppend(path: string, file: MappedFile): void {
  const place = journalPath(path);
  const fd = openBeside(place, O_RDONLY, file.owner.uid);
  if (fd === undefined) return;
  try {
    const note = read(fd, place);
    if (note === undefined || "created" in note) return;
    if (isBegun(fd, place, note, file)) file.size = note.size;
  } finally {
    closeEntry(fd);
  }
}

/** Throws if an append is under way that somebody else, who has the lock, will finish. */
function checkUnbegun(
  fd: number,
  place: string,
  file: MappedFile,
  refusal: SystemError,
): void {
  const note = read(fd, place);
  if (note === undefined || "created" in note) return;
  if (!isBegun(fd, place, note, file)) return;
  if (!isHeld(refusal)) throw refusal;
  throw systemError(
    "EBUSY",
    "flock",
    place,
    "another process is appending to the file at this moment; open it again",
  );
}

/** Finishes a dead flush, whose journal we hold the lock of, and ends that. */
function finish(
  fd: number,
  place: string,
  path: string,
  file: MappedFile | undefined,
): void {
  const note = read(fd, place);
  if (note === undefined) {
    // Killed, or cut off from power, before it said anything.
    removeAllCreated(path, file);
  } else if ("created" in note) {
    removeCreated(join(dirname(path), basename(note.created)), path, file);
  } else if (file !== undefined) {
    file.measure();
    if (isBegun(fd, place, note, file)) writeRest(fd, place, note, file);
  } else {
    // In the midst of a flush: only one that changed nothing is dead for good.
    const { size } = system("stat", path, () => fs.statSync(path));
    if (size > note.size && size <= note.size + note.added) return;
  }
  removeJournal(fd, place);
}

/** Is what follows the file's old end the beginning of the append, or all of it? */
function isBegun(
  fd: number,
  place: string,
  note: Append,
  file: MappedFile,
): boolean {
  const { inode, born } = file.identity;
  if (note.inode !== inode || note.born !== born) return false;
  const begun = file.size - note.size;
  if (begun <= 0 || begun > note.added) return false;
  const journal = new OpenFile(place, fd, 0);
  const [there, meant] = [Buffer.alloc(COMPARED), Buffer.alloc(COMPARED)];
  for (let at = 0; at < begun; at += COMPARED) {
    const count = Math.min(COMPARED, begun - at);
    file.read(there.subarray(0, count), note.size + at);
    journal.read(meant.subarray(0, count), HEADER_SIZE + at);
    const end = note.size + note.added;
    if (!isBeginning(there, meant, count, note.size + at, end)) return false;
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

function writeRest(
  fd: number,
  place: string,
  note: Append,
  file: MappedFile,
): void {
  const journal = new OpenFile(place, fd, 0);
  const buffer = Buffer.alloc(COMPARED);
  for (let at = 0; at < note.added; at += COMPARED) {
    const bytes = buffer.subarray(0, Math.min(COMPARED, note.added - at));
    journal.read(bytes, HEADER_SIZE + at);
    file.write(bytes, note.size + at);
  }
  file.sync();
}

/** What a journal says; `undefined` if nothing, or not all of it. */
function read(fd: number, path: string): Note | undefined {
  const { size } = system("fstat", path, () => fs.fstatSync(fd));
  if (size < HEADER_SIZE) return undefined;
  const header = Buffer.alloc(HEADER_SIZE);
  new OpenFile(path, fd, size).read(header, 0);
  return noteIn(header, size);
}

/** Removes what flushes created beside the file, when it is not known which. */
function removeAllCreated(path: string, file: MappedFile | undefined): void {
  const folder = dirname(path);
  if (!runtime().mayUse(folder, "read")) return;
  for (const name of namesIn(folder)) {
    removeCreated(join(folder, name), path, file);
  }
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
