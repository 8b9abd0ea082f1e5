/**
 * Small appends, one after another: the bytes of each in memory, and a journal that is
 * kept for as long as the file is open.
 *
 * From the second append on that needs a journal it stays: its name and its blocks are
 * on the disk, and a durable append waits twice, for the journal's bytes and for the
 * file's.
 *
 * Where the system makes a write as a whole, one that no power cut concerns needs no
 * journal: see {@linkcode writesPagesWhole}.
 *
 * @module
 */

import { dirname } from "node:path";
import { setBytes, type SystemError } from "../../base/mod.ts";
import { Mapping } from "../../memory/mod.ts";
import { BLOCK, writesPagesWhole } from "../blocks.ts";
import type { MappedFile } from "../mapped_file.ts";
import { mayUse, realPathOf } from "../paths.ts";
import { KnownPath, type Status } from "../status.ts";
import { fsyncStep, type Steps } from "../steps.ts";
import {
  type Append,
  bootOfSystem,
  digestBefore,
  HEADER_SIZE,
  journalPath,
  KEPT_SIZE,
  sumOf,
} from "./format.ts";
import type { Journal } from "./journal.ts";
import { JournalKeeper } from "./keeper.ts";

/** The errors with which a disk says that it is full. */
const NO_ROOM: readonly string[] = ["ENOSPC", "EDQUOT"];

/** What appends little to one file, again and again. */
export class Appender extends JournalKeeper {
  /** A header's room, at the start of a page, and behind it the bytes of an append. */
  readonly #memory: Mapping;
  readonly #buffer: Uint8Array;
  /** Bytes of the append that was gathered last. */
  #length = 0;
  readonly #isWhole: boolean;
  /** Was the file looked at just now, before an append that needs no journal? */
  #isLookedAt = false;
  /** Appends that needed a journal. */
  #noted = 0;
  /**
   * Where the journal would be, as far as was known last; `null` where none can be made.
   */
  #place: KnownPath | null | undefined;
  /** Where it is, if no link leads to the file. */
  #beside: string | undefined;

  private constructor(file: MappedFile) {
    super(file);
    const size = HEADER_SIZE + KEPT_SIZE;
    this.#memory = Mapping.anonymous(size, file.path);
    this.#buffer = new Uint8Array(this.#memory.view(0, size, true));
    this.#isWhole = writesPagesWhole(file);
  }

  /** That of `file`. */
  static of(file: MappedFile): Appender {
    if (file.kept instanceof Appender) return file.kept;
    const appender = new Appender(file);
    file.kept = appender;
    return appender;
  }

  /**
   * Appends `bytes` at once, if that needs no journal or one that is at hand: returns
   * false otherwise, with nothing done. All or nothing, as by {@linkcode note},
   * {@linkcode write} and {@linkcode end}, of which this is the short form. The caller
   * holds the file's lock.
   */
  appendAtOnce(bytes: Uint8Array, isDurable: boolean): boolean {
    const file = this.file;
    const status = file.checkUnchanged(); // whoever had the lock may have flushed
    this.#length = bytes.length;
    const isWhole = !isDurable && this.#isMadeWhole();
    if (isWhole ? !this.#isAlone() : !this.#resume(status, isDurable)) {
      return false;
    }
    const { size } = file;
    try {
      setBytes(this.#buffer, bytes, HEADER_SIZE);
      if (isWhole) file.append(this.#bytes);
      else this.#appendNoted(this.journal!, isDurable);
    } catch (error) {
      this.undo(size);
      throw error;
    }
    return true;
  }

  #appendNoted(journal: Journal, isDurable: boolean): void {
    const file = this.file;
    journal.noteWhole(this.#newNote(), this.#whole);
    if (isDurable) journal.syncData();
    file.checkUnchanged(); // noting takes its time, and others may write meanwhile
    file.append(this.#bytes);
    if (isDurable) file.syncData();
    file.checkUnchanged(true);
    journal.rest();
  }

  /** Is the journal ready for an append, as {@linkcode note} would leave it? */
  #resume(status: Status, isDurable: boolean): boolean {
    const journal = this.journal;
    // Its place was found by the file's path. Where links lead there, they may lead
    // elsewhere by now.
    return journal !== undefined && this.#noted > 1 &&
      (this.isOnDisk || !isDurable) &&
      journal.path === (this.#beside ??= journalPath(this.file.path)) &&
      this.hasReaders(status) && journal.resume();
  }

  /**
   * Takes back an append that failed, if nobody wrote behind it. Otherwise the journal
   * says which bytes are ours, to the next open.
   */
  undo(before: number): void {
    if (this.file.takeBack(before)) this.abandon();
    else this.leave();
  }

  /** Begins to gather an append of `length` bytes, {@linkcode KEPT_SIZE} at most. */
  begin(length: number): void {
    this.#length = length;
  }

  /** Gathers `length` bytes of `memory`, to be appended `at` bytes behind the file's end. */
  gather(memory: Mapping, from: number, at: number, length: number): void {
    this.#memory.copyFrom(memory, from, HEADER_SIZE + at, length);
  }

  /**
   * Notes the append in a journal, if there has to be one and can be. The caller holds
   * the file's lock, and has looked at the file since. Returns whether a kill leaves all
   * of the append or nothing.
   */
  *note(isDurable: boolean): Steps<boolean> {
    this.#isLookedAt = !isDurable && this.#isMadeWhole() && this.#isAlone();
    if (this.#isLookedAt) return true;
    const file = this.file;
    const path = realPathOf(file.path, true);
    if (path === undefined) return false;
    const journal = yield* this.beginning(path);
    if (journal === undefined) return false;
    const isKept = ++this.#noted > 1;
    try {
      file.checkUnchanged(); // a dead flush may have been finished just now
      const isNew = isDurable && !this.isOnDisk;
      const note = this.#newNote();
      const isPrepared = isNew && isKept && this.#prepare(journal, note);
      if (!isPrepared) journal.noteWhole(note, this.#whole);
      if (!isDurable) return true;
      const isSettled = yield* journal.settle(isNew);
      if (isSettled) this.isOnDisk ||= isPrepared;
      else this.abandon();
      file.checkUnchanged(); // it may have changed while this was noted
      return isSettled;
    } catch (error) {
      this.abandon();
      throw error;
    }
  }

  /** Writes what was gathered behind the file's end. */
  *write(isDurable: boolean): Steps {
    const file = this.file;
    yield {
      run: () => {
        // Noting takes its time, and others may write meanwhile.
        if (!this.#isLookedAt) file.checkEnd();
        file.append(this.#bytes);
        return this.#length;
      },
    };
    if (!isDurable) return;
    yield fsyncStep(() => file.syncData(), () => file.syncLater());
  }

  /**
   * The append counts. Throws if the journal stays valid. Returns the folder that it was
   * removed from, if it is not kept.
   */
  end(): string | undefined {
    const journal = this.journal;
    if (!journal?.isInUse) return undefined;
    if (this.#noted > 1) {
      journal.rest();
      return undefined;
    }
    this.journal = undefined;
    journal.end();
    return dirname(journal.path);
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
      this.#memory.release();
    } catch {
      // Too deep a stack: it goes with the garbage.
    }
  }

  /** What the journal says of the append. */
  #newNote(): Append {
    const file = this.file;
    const { identity, size } = file;
    return {
      ...identity,
      size,
      added: this.#length,
      before: digestBefore(file, size),
      boot: bootOfSystem(),
      sum: sumOf(this.#bytes),
    };
  }

  /** A header's room, and the bytes of the append. */
  get #whole(): Uint8Array {
    return this.#buffer.subarray(0, HEADER_SIZE + this.#length);
  }

  get #bytes(): Uint8Array {
    return this.#buffer.subarray(HEADER_SIZE, HEADER_SIZE + this.#length);
  }

  /** Does the system make the write as a whole? */
  #isMadeWhole(): boolean {
    const at = this.file.size % BLOCK;
    return this.#isWhole && at + this.#length <= BLOCK;
  }

  /**
   * Is there no journal of somebody else's under the file's name? One that was left by
   * a dead flush would take the bytes for its own where they are the same.
   */
  #isAlone(): boolean {
    if (this.journal !== undefined) return this.journal.isInPlace;
    if (this.#place === undefined) {
      const path = realPathOf(this.file.path, true);
      const place = path === undefined ? undefined : journalPath(path);
      this.#place = place !== undefined && mayUse(place, true)
        ? new KnownPath(place)
        : null;
    }
    return this.#place === null || this.#place.ownStatus() === undefined;
  }

  /** Notes the append, and gives the journal all its blocks. False without room for them. */
  #prepare(journal: Journal, note: Append): boolean {
    try {
      journal.noteWhole(note, this.#buffer);
      return true;
    } catch (error) {
      if (!NO_ROOM.includes((error as SystemError).code)) throw error;
      journal.clear(); // what room there is may do for the append
      this.#noted = 1; // so that it goes with this one
      return false;
    }
  }
}
