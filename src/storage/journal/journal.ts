/**
 * The journal of a flush that is under way: what it notes beside the file.
 *
 * A hidden file in the same folder. It names the new file that is about to take the
 * old one's place, or holds the bytes that are being appended. Its writer holds its
 * lock, which ends with the process: a journal that can be locked is a dead flush's,
 * and `recovery.ts` says what becomes of it.
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname } from "node:path";
import { type Abort, type SystemError, systemError } from "../../base/mod.ts";
import {
  closeEntry,
  isLinked,
  isRefusal,
  openEntry,
  syncFolder,
  syncFolderLater,
} from "../entries.ts";
import { whenever } from "../later.ts";
import {
  isHeld,
  keepingLocks,
  locksOfPart,
  patiently,
  pause,
  tryLock,
  unlock,
} from "../lock.ts";
import type { MappedFile } from "../mapped_file.ts";
import { OpenFile } from "../open_file.ts";
import { letReadersRead } from "../ownership.ts";
import { mayUse } from "../paths.ts";
import { KnownPath, statusOf } from "../status.ts";
import { fsyncStep, type Step, stepOf, type Steps } from "../steps.ts";
import {
  isForeign,
  removeEmpty,
  removeJournal,
  removeJournalLater,
} from "./beside.ts";
import {
  type Append,
  bootOfSystem,
  digestBefore,
  HEADER_SIZE,
  headerOf,
  IDLE,
  journalPath,
  type Note,
  type Redo,
  writeHeader,
} from "./format.ts";
import { endDead } from "./recovery.ts";

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants;

/** How many times to try to create the journal. The last is 60 ms after the first. */
const ATTEMPTS = 6;
/** How many who came in between count as one attempt: each is gone by the next. */
const RACES = 8;

/** Where those go that are begun now: the list of the flush whose turn it is. */
let begun: Set<Journal> | undefined;

/**
 * From now on, the journals that are begun go to `list`. Returns where they went before,
 * to be set again when it is another flush's turn.
 */
export function listJournals(
  list: Set<Journal> | undefined,
): Set<Journal> | undefined {
  const before = begun;
  begun = list;
  return before;
}

/**
 * What came of trying to begin one: it is there, none can be made, another flush has
 * it, or whoever came in between is about to be gone.
 */
type Attempt = Journal | "none" | "busy" | "raced";

/** The journals of maps that nobody closed. */
const UNCLOSED = new FinalizationRegistry<number>((fd) => {
  unlock(fd);
  closeEntry(fd);
});

/** The journal of one flush, or of one after another. */
export class Journal {
  readonly #file: OpenFile;
  #isOpen = true;
  #isInUse = true;
  /** Its name, and what that leads to as long as it leads to the journal. */
  #known: { readonly place: KnownPath; readonly inode: bigint } | undefined;

  private constructor(file: OpenFile) {
    this.#file = file;
    begun?.add(this);
  }

  /** Where the journal is. */
  get folder(): string {
    return dirname(this.#file.path);
  }

  /**
   * Begins the journal of the file at `path`, which is no link. With `file`, whoever
   * may read that may read the journal, and nobody else. Gives `undefined` where
   * none can be made: the folder may not be written, or what has the name is not
   * ours. Throws `EBUSY` where another process or thread has one, and so is flushing
   * that very file; or waits for that where the event loop can go on.
   */
  static *beginning(
    path: string,
    file?: MappedFile,
  ): Steps<Journal | undefined> {
    let journal: Journal | undefined;
    try {
      yield stepOf(
        () => {
          journal = Journal.begin(path, file);
        },
        async (abort) => {
          journal = await Journal.#beginLater(path, file, abort);
        },
      );
    } catch (error) {
      journal?.abandon(); // the flush was stopped right after
      throw error;
    }
    if (journal !== undefined) begun?.add(journal); // it is this flush's turn again
    return journal;
  }

  /** The same in one step, which waits a moment for others. */
  static begin(path: string, file?: MappedFile): Journal | undefined {
    let found: Attempt = "raced";
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      // An open in another process may be looking at it, or just ending it.
      if (attempt > 1) pause(2 ** attempt);
      found = Journal.#attempt(path, file);
      if (found instanceof Journal) return found;
      if (found === "none") return undefined;
    }
    if (found === "raced") return undefined;
    throw systemError(
      "EBUSY",
      "flock",
      journalPath(path),
      "another process is flushing the file at this moment; try again",
    );
  }

  static #beginLater(
    path: string,
    file: MappedFile | undefined,
    abort: Abort | undefined,
  ): Promise<Journal | undefined> {
    let races = 0;
    const list = locksOfPart();
    return whenever<{ journal: Journal | undefined }>(() => {
      const found = keepingLocks(list, () => Journal.#attempt(path, file));
      if (found === "busy") return undefined;
      if (found === "raced" && ++races < ATTEMPTS) return undefined;
      return { journal: found instanceof Journal ? found : undefined };
    }, abort).then(({ journal }) => journal);
  }

  /** Tries once, and again whenever somebody came in between. */
  static #attempt(path: string, file: MappedFile | undefined): Attempt {
    let found: Attempt = "raced";
    for (let race = 0; race < RACES && found === "raced"; race++) {
      found = Journal.#attemptOnce(path, file);
    }
    return found;
  }

  static #attemptOnce(path: string, file: MappedFile | undefined): Attempt {
    const place = journalPath(path);
    if (!mayUse(place, true)) return "none";
    let fd: number;
    try {
      fd = openEntry(place, O_RDWR | O_CREAT | O_EXCL, 0o600);
    } catch (error) {
      if (isRefusal(error)) return "none";
      if ((error as SystemError).code !== "EEXIST") throw error;
      if (!endDead(path)) return "busy";
      if (!isForeign(place)) return "raced"; // there is nobody to wait for
      return file !== undefined && removeEmpty(place) ? "raced" : "none";
    }
    const journal = new Journal(new OpenFile(place, fd, 0));
    try {
      const refusal = tryLock(fd, place);
      if (refusal === undefined && isLinked(fd, place)) {
        if (file !== undefined) letReadersRead(journal.#file, file);
        return journal;
      }
      if (refusal !== undefined && !isHeld(refusal)) {
        journal.abandon(); // without locks, a dead journal could not be recognised
        return "none";
      }
    } catch (error) {
      journal.abandon();
      throw error;
    }
    // An open in another process came first, took it for dead, and removes it.
    journal.leave();
    return "raced";
  }

  /** Notes that the file of this name, in the same folder, is being filled. */
  *noteCreated(created: string, isDurable: boolean): Steps {
    yield* this.#note({ created }, isDurable);
  }

  /**
   * Notes that `added` bytes, which `write` puts into the journal from an offset
   * on, are being appended to `file`. Returns false if the folder cannot be synced, so
   * that there would be no journal after a power cut.
   */
  *noteAppend(
    file: MappedFile,
    added: number,
    isDurable: boolean,
    write: (journal: OpenFile, offset: number) => Steps,
  ): Steps<boolean> {
    yield* write(this.#file, HEADER_SIZE);
    const { identity, size } = file;
    const before = digestBefore(file, size);
    const boot = bootOfSystem();
    yield* this.#note({ ...identity, size, added, before, boot }, isDurable);
    if (!isDurable) return true;
    return yield* this.#settleFolder();
  }

  *#settleFolder(): Steps<boolean> {
    let isSynced = false;
    yield fsyncStep(
      () => {
        isSynced = syncFolder(this.folder);
      },
      async () => {
        isSynced = await syncFolderLater(this.folder);
      },
    );
    return isSynced;
  }

  /** Is it that of a flush under way, which ends it, leaves it, or has it rest? */
  get isInUse(): boolean {
    return this.#isInUse;
  }

  get path(): string {
    return this.#file.path;
  }

  /** Does its name lead to it still? For one that is kept. */
  get isInPlace(): boolean {
    if (!this.#isOpen) return false;
    const { fd, path } = this.#file;
    this.#known ??= {
      place: new KnownPath(path),
      inode: statusOf(fd, path).ino,
    };
    const { place, inode } = this.#known;
    return place.ownStatus()?.ino === inode;
  }

  /**
   * Notes an append or a commit, all of whose bytes are in `journal` behind room for a
   * header, which is written there. What is behind them is written, too.
   */
  noteWhole(note: Append | Redo, journal: Uint8Array): void {
    writeHeader(note, journal);
    this.#file.write(journal, 0);
  }

  /** Is it the journal of the file at `path`, which is no link? */
  isFor(path: string): boolean {
    return this.#file.path === journalPath(path);
  }

  /** Its bytes, for those of a commit. */
  get content(): OpenFile {
    return this.#file;
  }

  /** Notes that bytes are written over, which the journal has already. */
  noteRedo(note: Redo): void {
    this.#file.write(headerOf(note), 0);
  }

  /** Waits until the bytes of a journal that was on disk before are there. */
  syncData(): void {
    this.#file.syncData();
  }

  /** Gives back all its blocks. Then it says nothing. */
  clear(): void {
    this.#file.truncate(0);
  }

  /** Waits until the journal is on disk, with its name if that `isNew`. False as above. */
  *settle(isNew: boolean): Steps<boolean> {
    if (!isNew) {
      yield fsyncStep(
        () => this.#file.syncData(),
        () => this.#file.syncLater(),
      );
      return true;
    }
    yield fsyncStep(() => this.#file.sync(), () => this.#file.syncLater());
    return yield* this.#settleFolder();
  }

  /**
   * Ends what the journal notes, and keeps it open for the next flush: the others may
   * remove it meanwhile. Throws if it stays valid.
   */
  rest(): void {
    if (!this.#isOpen) return;
    this.#file.write(IDLE, 0);
    this.#putBack();
  }

  #putBack(): void {
    this.#isInUse = false;
    UNCLOSED.unregister(this);
    UNCLOSED.register(this, this.#file.fd, this);
    unlock(this.#file.fd, true);
  }

  /**
   * Takes up a journal that rests, if that can be done at once: otherwise false, and it
   * rests as before.
   */
  resume(): boolean {
    if (!this.#isOpen) return false;
    this.#isInUse = true;
    begun?.add(this);
    if (this.#tryLock() === true && this.isInPlace) {
      UNCLOSED.unregister(this);
      return true;
    }
    this.#putBack();
    return false;
  }

  /**
   * Takes up a journal that rests. False if it is not to be used any more. An open in
   * another process may be looking at it, and then removes it: that is waited for.
   */
  *resuming(): Steps<boolean> {
    if (!this.#isOpen) return false;
    this.#isInUse = true;
    UNCLOSED.unregister(this);
    begun?.add(this);
    let isLocked: boolean | undefined;
    try {
      yield stepOf(
        () => {
          isLocked = patiently(() => this.#tryLock());
        },
        async (abort) => {
          const list = locksOfPart();
          isLocked = await whenever(
            () => keepingLocks(list, () => this.#tryLock()),
            abort,
          );
        },
      );
      if (isLocked && isLinked(this.#file.fd, this.#file.path)) return true;
    } catch (error) {
      this.#putBack(); // it rests, as before
      throw error;
    }
    this.leave();
    return false;
  }

  /** Locks it, without waiting: `undefined` if another has it, false where none can. */
  #tryLock(): boolean | undefined {
    const refusal = tryLock(this.#file.fd, this.#file.path);
    if (refusal === undefined) return true;
    return isHeld(refusal) ? undefined : false;
  }

  /** Waits until it is on disk that nothing is noted any more, while the event loop goes on. */
  async settleRest(): Promise<void> {
    try {
      if (this.#isOpen) await this.#file.syncLater();
    } catch {
      // It is only for what a power cut may bring back.
    }
  }

  /**
   * Removes a journal that rests, if it is still there. Throws nothing. `isSettled`: need
   * nobody wait until it is on disk that nothing is noted any more? Its name may come
   * back with a power cut, and must not come back with a note.
   */
  remove(isSettled: boolean): void {
    if (!this.#isOpen) return;
    const { fd, path } = this.#file;
    this.#isInUse = true;
    UNCLOSED.unregister(this);
    begun?.add(this);
    try {
      // Whoever else has it removes it.
      if (this.#tryLock() && isLinked(fd, path)) {
        if (!isSettled) this.#file.syncData();
        this.abandon();
      }
    } catch {
      // The next open that writes removes it.
    }
    this.leave();
  }

  /**
   * As {@linkcode remove}, while the event loop goes on: once it is on disk that nothing
   * is noted any more, if it `waits` for that.
   */
  async removeLater(waits: boolean): Promise<void> {
    if (waits) await this.settleRest();
    this.remove(true);
  }

  /** Ends the journal: the flush counts, or has been undone. Throws if it stays valid. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = this.#isInUse = false;
    UNCLOSED.unregister(this);
    try {
      removeJournal(this.#file.fd, this.#file.path);
    } finally {
      unlock(this.#file.fd);
      this.#file.close();
    }
  }

  /** The step that ends it. From then on, nothing stops the flush. */
  ending(): Step {
    const step = stepOf(() => this.end(), () => this.#endLater());
    return { ...step, isFinal: true };
  }

  /** As {@linkcode end}: giving back the blocks of a large one takes long. */
  async #endLater(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = this.#isInUse = false;
    UNCLOSED.unregister(this);
    const { fd, path } = this.#file;
    try {
      await removeJournalLater(fd, path);
    } finally {
      unlock(fd);
      await this.#file.closeLater();
    }
  }

  /** Leaves the journal to the next open, which does what it says. */
  leave(): void {
    if (!this.#isOpen) return;
    this.#isOpen = this.#isInUse = false;
    UNCLOSED.unregister(this);
    unlock(this.#file.fd);
    closeEntry(this.#file.fd);
  }

  /** As {@linkcode end}, after a failure that says more than another would. */
  abandon(): void {
    try {
      this.end();
    } catch {
      // The next open finds it, and the file as it was: there is nothing to do.
    }
  }

  *#note(note: Note, isDurable: boolean): Steps {
    this.#file.write(headerOf(note), 0);
    if (!isDurable) return;
    yield fsyncStep(() => this.#file.sync(), () => this.#file.syncLater());
  }
}
