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
 * 3. The blocks are written into the file, read from the journal unless they are few, as
 *    whoever finds the journal of a killed commit does: first those that are appended, which go to the
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
import {
  bufferSizeFor,
  type Gathered,
  gatherRedo,
  RedoMemory,
  RedoNote,
  type RedoPart,
} from "./redo.ts";

/** Bytes of a journal that stay with it when it rests. */
const KEPT_BYTES = 2 ** 24;

/** Bytes of blocks, a multiple of a block's: memory for so many is kept. */
const SMALL = 2 ** 16;

/** The commits of one open file. */
export class RedoLog extends JournalKeeper {
  readonly #settled = new Settled(this.file);
  /** For small commits, whose journals are written at once. */
  #memory: RedoMemory | undefined;

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
    const gathered = yield* this.#gather(parts);
    if (gathered === undefined) return undefined;
    const { table, whole } = gathered;
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
    // Not a step of its own: what has its turn after one may look for a commit.
    if (whole === undefined) journal.noteRedo(note);
    else journal.noteWhole(note, whole);
    if (isDurable) {
      const isSettled = yield* journal.settle(!this.isOnDisk);
      if (!isSettled) return "none";
      this.isOnDisk = true;
    }
    const blocks = whole && this.#memory?.blocks;
    return RedoNote.of(journal.content, table, note, blocks);
  }

  override remove(isDurable: boolean): void {
    super.remove(isDurable);
    this.#release();
  }

  override async removeLater(isDurable: boolean): Promise<void> {
    await super.removeLater(isDurable);
    this.#release();
  }

  #release(): void {
    try {
      this.#memory?.release();
      this.#memory = undefined;
    } catch {
      // Too deep a stack: it goes with the garbage.
    }
  }

  *#gather(parts: readonly RedoPart[]): Steps<Gathered | undefined> {
    const { file } = this;
    const { content } = this.journal!;
    const size = bufferSizeFor(parts);
    if (size <= SMALL) {
      const memory = this.#memory ??= new RedoMemory(SMALL, file.path);
      return yield* gatherRedo(content, file, parts, memory, true);
    }
    const memory = new RedoMemory(size, file.path);
    try {
      return yield* gatherRedo(content, file, parts, memory, false);
    } finally {
      memory.release();
    }
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
