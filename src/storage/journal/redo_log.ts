/**
 * The journal of an atomic map: it is made for the first commit, and kept for as long as
 * the map is open, so that its name and its blocks are on the disk once.
 *
 * A commit is one journal, written and applied:
 *
 * 1. Before it is noted what the file has, that is on the disk. Otherwise a power cut
 *    could bring back bytes that nobody knows. Where nobody has changed the file since
 *    the last commit, it is there already.
 * 2. New blocks and their table go into the journal, then its header, then all of it to
 *    the disk. From here on the commit counts: whoever opens the file sees it.
 * 3. The blocks are read from the journal and written into the file, as whoever finds
 *    the journal of a killed commit does: first those that are appended, which go to the
 *    disk before the others are begun. So as long as the file has its old length, or one
 *    in between, all else of it is old. Then the file goes to the disk.
 * 4. The header says that nothing is under way. That need not be on the disk: a journal
 *    that comes back with a power cut finds all its blocks in the file.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import type { MappedFile } from "../mapped_file.ts";
import { realPathOf } from "../paths.ts";
import { Settled } from "../settled.ts";
import { fsyncStep, type Steps } from "../steps.ts";
import { bootOfSystem, HEADER_SIZE, type Redo, sumOf } from "./format.ts";
import { JournalKeeper } from "./keeper.ts";
import { RedoNote, type RedoPart, writeRedo } from "./redo.ts";

/** Bytes of a journal that stay with it when it rests. */
const KEPT_BYTES = 2 ** 24;

/** The commits of one open file. */
export class RedoLog extends JournalKeeper {
  readonly #settled = new Settled(this.file);

  /** That of `file`, which keeps no other journal. */
  static of(file: MappedFile): RedoLog {
    if (file.kept instanceof RedoLog) return file.kept;
    const log = new RedoLog(file);
    file.kept = log;
    return log;
  }

  /**
   * Has a journal ready, under the file's lock. False where none can be made: see
   * {@linkcode Journal.beginning}.
   */
  *begin(): Steps<boolean> {
    const path = realPathOf(this.file.path, true);
    if (path === undefined) return false;
    return (yield* this.beginning(path)) !== undefined;
  }

  /**
   * Notes what `parts` have and the file has not, which has `grows` bytes afterwards.
   * Returns what there is to apply; `undefined` where nothing differs, and "none" where
   * the folder cannot be synced, so that a journal protects from nothing. `check` is
   * called when the journal has all its blocks, and does not count yet: what it throws
   * ends the commit.
   */
  *note(
    parts: readonly RedoPart[],
    grows: number,
    isDurable: boolean,
    check: () => void,
  ): Steps<RedoNote | undefined | "none"> {
    const file = this.file;
    const journal = this.journal!;
    if (isDurable && !this.#settled.isSettled) {
      this.#settled.tryOut(journal.content, HEADER_SIZE); // it says nothing so far
      yield fsyncStep(() => file.syncData(), () => file.syncLater());
    }
    const table = yield* writeRedo(journal.content, file, parts);
    if (table === undefined) return undefined;
    check();
    const { identity, size } = file;
    const note: Redo = {
      ...identity,
      size,
      grows,
      blocks: table.count,
      sum: sumOf(table.bytes),
      redo: randomBytes(12).toString("hex"),
      boot: bootOfSystem(),
      isDurable,
    };
    file.checkUnchanged();
    journal.noteRedo(note);
    if (isDurable) {
      const isSettled = yield* journal.settle(!this.isOnDisk);
      if (!isSettled) return "none";
      this.isOnDisk = true;
    }
    return RedoNote.of(journal.content, table, note);
  }

  /** Waits until the file has on the disk what it has now. */
  *settle(): Steps {
    const { file } = this;
    const end = this.#settled.beginWait();
    yield fsyncStep(() => file.syncData(), () => file.syncLater());
    end();
  }

  /**
   * Nothing is under way any more. The journal is kept for the next commit, if it can be.
   * Throws nothing: the file has all that it says.
   */
  rest(): void {
    const journal = this.journal;
    if (journal === undefined) return;
    try {
      if (journal.content.size > KEPT_BYTES) {
        journal.content.truncate(HEADER_SIZE);
        this.isOnDisk = false;
      }
      journal.rest();
    } catch {
      this.abandon();
    }
  }
}
