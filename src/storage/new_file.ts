/**
 * A new file beside the one whose place it will take.
 *
 * It is hidden and unguessable until it is renamed, and a journal names it, so that
 * the next open that writes can remove it if the flush was killed.
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { libc } from "../../ffi/mod.ts";
import {
  type Abort,
  ConflictError,
  SystemError,
  systemError,
} from "../base/mod.ts";
import { closeEntry, isLinked, openEntry, rename } from "./entries.ts";
import { temporaryName } from "./journal/format.ts";
import { Journal } from "./journal/journal.ts";
import type { Lock } from "./lockable_file.ts";
import { MappedFile } from "./mapped_file.ts";
import { adopt } from "./ownership.ts";
import { checkNamesFile, followLinks, mayUse } from "./paths.ts";
import {
  checkRegular,
  isFile,
  isSame,
  statIfThere,
  type Status,
} from "./status.ts";
import { type Step, stepOf, type Steps } from "./steps.ts";

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants;

/** Where a new file will be, and what is there now. */
export interface Destination {
  /** Absolute, and as the user gave it. */
  readonly path: string;
  readonly label: string;
  /** Where that leads, links followed. */
  readonly place: string;
  /** What is there; `undefined` if nothing is. */
  readonly old: Status | undefined;
  /** Is that the mapped file itself? */
  readonly isOwn: boolean;
}

/**
 * Looks at what is at `path`, beside `file`, which is mapped.
 *
 * Throws a `ConflictError` where the path leads to a file by no name. Links in `/proc`,
 * such as `/dev/stdin`, lead to an open file. What they read as is only its name, or
 * was: "NAME (deleted)" may be somebody else's.
 */
export function destinationAt(
  path: string,
  label: string,
  file: MappedFile,
): Destination {
  checkNamesFile(path);
  const place = followLinks(path);
  const there = statIfThere(path);
  const old = statIfThere(place);
  if (
    there !== undefined && (old === undefined || !isSame(there, old))
  ) {
    checkRegular(there, path);
    throw new ConflictError(
      `'${path}' leads to a file that has no name any more, whose place no other ` +
        "file can take: nothing was written, and all edits are still pending. " +
        "Write into that file with flush({ strategy: 'in-place' }), or save them " +
        "elsewhere with flush({ path }).",
    );
  }
  const isOwn = old !== undefined && file.is(old);
  return { path, label, place, old, isOwn };
}

/**
 * Takes the lock of a file that is to be replaced and is not the mapped one: another
 * map may be flushing it. `undefined` where there is none, or it may not be opened.
 */
export function lockDestination(destination: Destination): Lock | undefined {
  const file = fileAt(destination);
  if (file === undefined) return undefined;
  try {
    return closing(file, file.lock());
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The same, waiting for it for as long as another map has it, or until aborted. */
export async function lockDestinationLater(
  destination: Destination,
  abort: Abort | undefined,
): Promise<Lock | undefined> {
  const file = fileAt(destination);
  if (file === undefined) return undefined;
  try {
    return closing(file, await file.lockLater(abort));
  } catch (error) {
    file.close();
    throw error;
  }
}

function fileAt({ place, old }: Destination): MappedFile | undefined {
  if (old === undefined || !isFile(old) || !mayUse(place, false)) {
    return undefined;
  }
  try {
    return MappedFile.open(place, place, "r", false).file;
  } catch {
    return undefined; // what is replaced need not be readable
  }
}

/** The lock, whose file is closed when it is released. */
function closing(file: MappedFile, lock: Lock): Lock {
  return {
    release() {
      lock.release();
      file.close();
    },
  };
}

/** Throws unless what is at the destination can be replaced. */
export function checkReplaceable({ place, old, isOwn }: Destination): void {
  if (old === undefined) return;
  checkRegular(old, place);
  if (old.nlink === 1) return;
  const advice = isOwn
    ? "flush({ strategy: 'in-place' }) keeps them, without safety against a crash"
    : "remove it first, or save elsewhere";
  throw systemError(
    "EMLINK",
    "rename",
    place,
    `the file has ${old.nlink} hard links, which replacing it would break apart; ${advice}`,
  );
}

/** The folder refuses a new file, or that it takes this one's place: not the disk. */
const REFUSALS: readonly string[] = [
  ...["EACCES", "EPERM", "EROFS"], // no rights, a sticky folder, a flag
  ...["EBUSY", "EXDEV"], // the file is mounted there by itself
];

/** Takes a step in the folder. Where that is refused, the error says what to do. */
function inFolder<T>(isOwn: boolean, place: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof SystemError) || !REFUSALS.includes(error.code)) {
      throw error;
    }
    const { code, errno, syscall } = error;
    const advice = isOwn
      ? "flush({ strategy: 'in-place' }) writes into the file itself, without safety " +
        "against a crash"
      : "save elsewhere";
    const reason =
      `the folder does not let a new file take this one's place; ${advice}`;
    throw new SystemError(code, errno, syscall, place, reason, {
      cause: error,
    });
  }
}

/** A new file that is being filled. */
export class NewFile {
  readonly file: MappedFile;
  readonly #temporary: string;
  readonly #destination: Destination;
  readonly #source: number | string;
  readonly #journal: Journal | undefined;

  private constructor(
    file: MappedFile,
    temporary: string,
    destination: Destination,
    source: number | string,
    journal: Journal | undefined,
  ) {
    this.file = file;
    this.#temporary = temporary;
    this.#destination = destination;
    this.#source = source;
    this.#journal = journal;
  }

  /**
   * Creates it in the destination's folder, exclusively, after noting its name in
   * a journal. It gets the permissions, owner and attributes of what is there, or
   * the permission bits of `file`, which is mapped. On failure nothing is left.
   */
  static *create(
    destination: Destination,
    file: MappedFile,
    isDurable: boolean,
  ): Steps<NewFile> {
    libc().ignoreFileSizeSignal(); // a map that never writes its own file has not
    const { path, label, place, old, isOwn } = destination;
    const name = temporaryName(place);
    const temporary = join(dirname(place), name);
    const journal = yield* Journal.beginning(place);
    let fd: number;
    try {
      if (journal !== undefined) yield* journal.noteCreated(name, isDurable);
      // Its owner may write until all is in it; adopt() gives it what it shall have.
      const permissions = old === undefined ? file.permissions & 0o777 : 0o600;
      fd = inFolder(
        isOwn,
        place,
        () => openEntry(temporary, O_RDWR | O_CREAT | O_EXCL, permissions),
      );
    } catch (error) {
      journal?.abandon();
      throw error;
    }
    let created: MappedFile;
    try {
      created = new MappedFile(path, label, fd, file.reserve);
    } catch (error) {
      closeEntry(fd);
      remove(temporary, journal);
      throw error;
    }
    const source = isOwn ? file.fd : place;
    const result = new NewFile(
      created,
      temporary,
      destination,
      source,
      journal,
    );
    try {
      if (old !== undefined) adopt(created, old, source);
    } catch (error) {
      result.discard();
      throw error;
    }
    return result;
  }

  /** The folder whose names have to reach the disk. */
  get folder(): string {
    return dirname(this.#destination.place);
  }

  /**
   * Makes up for what others did by name while this file was being filled: it gets
   * permissions and owner again where they changed. Throws where the old file has
   * another name now, or where our own name leads to another file.
   */
  checkDestination(): void {
    const { place, old, isOwn } = this.#destination;
    if (!isLinked(this.file.fd, this.#temporary)) {
      throw new ConflictError(
        `'${this.#temporary}', the new file that was to take the place of ` +
          `'${place}', was removed or exchanged while it was being written: ` +
          "nothing has changed, and all edits are still pending.",
      );
    }
    const now = statIfThere(place);
    if (old === undefined || now === undefined) return;
    checkReplaceable({ ...this.#destination, old: now });
    const isSameFile = isSame(now, old);
    if (isOwn && !isSameFile) return; // somebody put another file there: see checkSource
    const isUnchanged = isSameFile && now.mode === old.mode &&
      now.uid === old.uid && now.gid === old.gid;
    if (!isUnchanged) adopt(this.file, now, this.#source);
  }

  /** Takes a lock such as users hold of `old`, so that none is free once it has its place. */
  lockAs(old: MappedFile): void {
    this.file.lockAs(old, this.#temporary);
  }

  /** Renames it to its destination: the one step that counts, atomic by POSIX. */
  takePlace(): void {
    const { path, place, isOwn } = this.#destination;
    inFolder(isOwn, place, () => rename(this.#temporary, place));
    // A link in /proc goes on leading to the old file.
    if (path === place || isLinkedTo(path, this.file)) return;
    this.file.path = place;
  }

  /** Ends the journal, once the file has its place. */
  endJournal(): void {
    this.#journal?.abandon();
  }

  /** As {@linkcode discard}; what there is of the file may take long to give back. */
  discarding(): Step {
    return stepOf(
      () => this.discard(),
      async () => {
        remove(this.#temporary, this.#journal);
        try {
          await this.file.closeLater();
        } catch {
          // As below.
        }
      },
    );
  }

  /** Closes and removes it, after a failure: throws nothing, since that says more. */
  discard(): void {
    try {
      this.file.close();
    } catch {
      // The descriptor is gone even so, and the file is about to be.
    }
    remove(this.#temporary, this.#journal);
  }
}

function remove(temporary: string, journal: Journal | undefined): void {
  try {
    fs.unlinkSync(temporary);
    journal?.abandon();
  } catch {
    // Gone already, or not to be removed: the journal still names it.
    journal?.leave();
  }
}

/** Does `path` lead to `file`? If nobody can say, it does. */
function isLinkedTo(path: string, file: MappedFile): boolean {
  try {
    const stat = statIfThere(path);
    return stat === undefined || file.is(stat);
  } catch {
    return true;
  }
}
