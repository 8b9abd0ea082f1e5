/**
 * What becomes of the journal of a commit that was killed: {@linkcode finishCommit} for
 * whoever writes, {@linkcode PendingCommit} for whoever only reads.
 *
 * The commit counts once its journal is whole. The file may then have old blocks and
 * new ones. Where a sector is neither, others have written since, and keep what they
 * wrote: such a commit is only taken for made, or for not made, if the file has all of
 * it or nothing.
 *
 * @module
 */

import * as fs from "node:fs";
import { ConflictError } from "../../base/mod.ts";
import type { Mapping } from "../../memory/mod.ts";
import { closeEntry, openEntry } from "../entries.ts";
import { isHeld, tryLock, unlock } from "../lock.ts";
import type { MappedFile } from "../mapped_file.ts";
import { OpenFile } from "../open_file.ts";
import { statusOf } from "../status.ts";
import { openBeside } from "./beside.ts";
import {
  bootOfSystem,
  HEADER_SIZE,
  isRedo,
  noteIn,
  type Redo,
} from "./format.ts";
import { RedoNote } from "./redo.ts";

const { O_RDONLY, O_RDWR } = fs.constants;

/**
 * Writes what a commit was to write, if its journal is whole. Returns false while
 * somebody else flushes the file. Without `file`, the caller holds its lock.
 *
 * @throws {ConflictError} where the file is a mixture, and others have written since.
 */
export function finishCommit(
  fd: number,
  place: string,
  path: string,
  note: Redo,
  file: MappedFile | undefined,
): boolean {
  const redo = RedoNote.read(new OpenFile(place, fd, 0), note);
  // Killed, or without power, before it counted: the file is as it was.
  if (redo === undefined) return true;
  if (file === undefined) {
    const own = openEntry(path, O_RDWR);
    try {
      applyCommit(redo, new OpenFile(path, own, 0), place);
    } finally {
      closeEntry(own);
    }
    return true;
  }
  const lock = file.tryLock();
  if (lock === undefined) return false;
  try {
    applyCommit(redo, file, place);
  } finally {
    lock.release();
  }
  return true;
}

function applyCommit(redo: RedoNote, file: OpenFile, place: string): void {
  if (!isToApply(redo, file, place)) return;
  const { size, grows } = redo.note;
  if (grows > size) {
    for (const step of redo.append(file)) step.run();
    file.sync();
  }
  for (const step of redo.writeOver(file)) step.run();
  file.sync();
}

/**
 * Is the commit to be taken for made? Not where the file is a copy of before it was
 * begun, or where others have written since and it is all there, or none of it.
 */
function isToApply(redo: RedoNote, file: OpenFile, place: string): boolean {
  const { boot, isDurable, inode, born: time } = redo.note;
  const isSameRun = boot !== undefined && boot === bootOfSystem();
  // Of a commit that did not wait for the disk, power cuts leave anything.
  if (!isDurable && boot !== undefined && !isSameRun) return false;
  const { ino, born } = statusOf(file.fd, file.path);
  const isOriginal = inode === `${ino}` && time === `${born}`;
  const found = redo.compare(file, isOriginal && !isSameRun);
  if (found.others > 0) {
    if (found.old === 0 || found.new === 0) return false;
    throw new ConflictError(
      `A flush of '${file.path}' was killed in its midst, and others have written to the ` +
        `same bytes since, at ${found.first}: it can neither be finished nor undone. ` +
        "Look at the file with another program. To keep it as it is, remove the " +
        `journal '${place}'.`,
    );
  }
  return isOriginal || found.new > 0;
}

/** A commit that is not, or may not be, all in the file, to be laid over what is mapped. */
export class PendingCommit {
  readonly #place: string;
  readonly #owner: number;
  readonly #redo: string;

  private constructor(place: string, owner: number, redo: string) {
    this.#place = place;
    this.#owner = owner;
    this.#redo = redo;
  }

  /**
   * That of the journal in `fd`, or nothing where it does not count. `"changing"`, if
   * `isPatient`, while another process is making it.
   *
   * @throws {ConflictError} where the file is a mixture, and others have written since.
   */
  static find(
    fd: number,
    place: string,
    note: Redo,
    file: MappedFile,
    isPatient: boolean,
  ): PendingCommit | "changing" | undefined {
    const refusal = tryLock(fd, place, true);
    try {
      const isAlive = refusal !== undefined && isHeld(refusal);
      if (isAlive && isPatient) return "changing";
      const redo = RedoNote.read(new OpenFile(place, fd, 0), note);
      if (redo === undefined) return undefined;
      // While it is written, a sector may be read that is half old and half new.
      if (!isAlive && !isToApply(redo, file, place)) return undefined;
      file.measure();
      if (file.size < note.grows) {
        // Not all is appended, so nothing is written over.
        file.size = Math.min(file.size, note.size);
        return undefined;
      }
      return new PendingCommit(place, file.owner.uid, note.redo);
    } finally {
      unlock(fd);
    }
  }

  /**
   * Lays it over the first `length` bytes of a private mapping. Returns false where the
   * journal is not the same any more: what was laid over may be out of date.
   */
  layOver(mapping: Mapping, length: number): boolean {
    return this.#withJournal((journal, note) =>
      RedoNote.read(journal, note)?.layOver(mapping, length) === true
    ) && this.isThere();
  }

  /** Does the journal say the same still? */
  isThere(): boolean {
    return this.#withJournal(() => true);
  }

  #withJournal(use: (journal: OpenFile, note: Redo) => boolean): boolean {
    const fd = openBeside(this.#place, O_RDONLY, this.#owner);
    if (fd === undefined) return false;
    try {
      const { size } = statusOf(fd, this.#place);
      const journal = new OpenFile(this.#place, fd, size);
      const header = new Uint8Array(HEADER_SIZE);
      if (journal.readSome(header, 0) < HEADER_SIZE) return false;
      const note = noteIn(header, size);
      return note !== undefined && isRedo(note) && note.redo === this.#redo &&
        use(journal, note);
    } finally {
      closeEntry(fd);
    }
  }
}
