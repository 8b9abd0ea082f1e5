/**
 * Keeping a journal for one flush after another, for as long as its file is open.
 *
 * To make a journal, name and all, and to remove it again takes several times as long as
 * a small flush. One that is kept rests between two flushes, and says that nothing is
 * under way. Whoever holds the file's lock may remove it then, as an open that writes
 * and a flush of another process do, so before each flush it is looked for. It is made
 * anew where others may read the file by now, since what is in it is the file's.
 *
 * @module
 */

import type { Kept, MappedFile } from "../mapped_file.ts";
import type { Status } from "../status.ts";
import { fsyncStep, type Steps } from "../steps.ts";
import { Journal } from "./journal.ts";

/** Whoever keeps a journal, and knows what it says. */
export abstract class JournalKeeper implements Kept {
  protected readonly file: MappedFile;
  protected journal: Journal | undefined;
  /** Was the journal on disk, with its name? */
  protected isOnDisk = false;
  /** Who could read the file when the journal was made. */
  #readers = "";

  constructor(file: MappedFile) {
    this.file = file;
  }

  /**
   * Has a journal of the file at `path`, which is no link, ready for use, under the file's
   * lock. Gives `undefined` where none can be made: see {@linkcode Journal.beginning}.
   */
  protected *beginning(path: string): Steps<Journal | undefined> {
    const readers = readersOf(this.file.stat());
    if (yield* this.#takeUp(path, readers)) return this.journal;
    this.journal = yield* Journal.beginning(path, this.file);
    this.isOnDisk = false;
    this.#readers = readers;
    return this.journal;
  }

  /** Is the one that is kept readable by those who may read the file now? */
  protected hasReaders(status: Status): boolean {
    return this.#readers === readersOf(status);
  }

  /** What it notes was undone, or does not count. After a failure that says more. */
  abandon(): void {
    if (!this.journal?.isInUse) return;
    this.journal.abandon();
    this.journal = undefined;
  }

  /** Leaves what it notes to the next flush or open, which finishes it. */
  leave(): void {
    if (!this.journal?.isInUse) return;
    this.journal.leave();
    this.journal = undefined;
  }

  get folder(): string | undefined {
    return this.journal?.folder;
  }

  *ending(isDurable: boolean): Steps {
    const { journal } = this;
    if (journal === undefined) return;
    this.journal = undefined;
    const waits = isDurable && this.isOnDisk;
    yield fsyncStep(
      () => journal.remove(!waits),
      () => journal.removeLater(waits),
    );
  }

  remove(isDurable: boolean): void {
    this.journal?.remove(!(isDurable && this.isOnDisk));
    this.journal = undefined;
  }

  async removeLater(isDurable: boolean): Promise<void> {
    const { journal } = this;
    this.journal = undefined;
    await journal?.removeLater(isDurable && this.isOnDisk);
  }

  /** Has the journal that is kept ready for use. False where there is none. */
  *#takeUp(path: string, readers: string): Steps<boolean> {
    const { journal } = this;
    if (journal === undefined) return false;
    const isRight = journal.isFor(path) && this.#readers === readers;
    if (!isRight) yield* this.ending(true);
    else if (yield* journal.resuming()) return true;
    this.journal = undefined;
    return false;
  }
}

/** Who may read a file, as far as its owner and its permission bits say. */
function readersOf({ uid, gid, mode }: Status): string {
  return `${uid}:${gid}:${mode}`;
}
