/**
 * An open file that can be locked: for a flush, or for as long as a user wants.
 *
 * A lock may be taken again by whoever has it, and a file that takes another's place
 * takes over what users hold. Knows nothing of what is done under the lock.
 *
 * @module
 */

import * as fs from "node:fs";
import { type Abort, type SystemError, systemError } from "../base/mod.ts";
import { closeEntry } from "./entries.ts";
import { whenever } from "./later.ts";
import {
  isHeld,
  keepingLocks,
  locksOfPart,
  patiently,
  tryLock,
  unlock,
} from "./lock.ts";
import { OpenFile } from "./open_file.ts";

const { O_RDONLY, O_RDWR } = fs.constants;

/** The lock of a file, held by one flush or by whatever else changes its length. */
export interface Lock {
  release(): void;
}

/** The descriptors of a file. */
export interface Descriptors {
  readonly fd: number;
  /** What the file is locked by, while that is kept and not locked. */
  locker: number | undefined;
}

/** Those who were given the lock for longer than a call, and the file that they hold now. */
interface Holders {
  file: LockableFile;
  count: number;
}

/**
 * While somebody holds a lock, its file is no garbage, though nobody should reach it any
 * more: a lock that ended on its own would protect nothing.
 */
const HELD = new Set<Holders>();

/** Closes a descriptor for locking that was kept. */
export function closeLocker(fd: number): void {
  unlock(fd);
  closeEntry(fd);
}

/** See above. */
export abstract class LockableFile extends OpenFile {
  protected readonly own: Descriptors;
  /**
   * The descriptor that has the file's lock, and how many have it, nested,
   * {@linkcode Holders} among them.
   */
  #locked: number | undefined;
  #locks = 0;
  /** Is it shared with others? */
  #isShared = false;
  #holders: Holders = { file: this, count: 0 };

  constructor(path: string, fd: number, size: number) {
    super(path, fd, size);
    this.own = { fd, locker: undefined };
  }

  /**
   * Opens the same file once more, by its name or by another; `undefined` where that
   * does not lead to it.
   */
  protected abstract openAgain(
    flags: number,
    isWritten: boolean,
    name?: string,
  ): number | undefined;

  /** Is the descriptor that was locked to be kept for the next time? */
  protected abstract get keepsLocker(): boolean;

  /**
   * Takes the file's lock, which every map of it asks for before it changes the
   * file's length or moves bytes, by whatever name it was opened. Waits a moment for
   * it. Whoever holds it may take it again.
   *
   * @throws {SystemError} `EBUSY` if another map of the file has it, or this one shares
   * it: exchanging a shared lock for another would let go of it first.
   */
  lock(): Lock {
    this.#checkNotShared();
    const lock = patiently(() => this.tryLock());
    if (lock !== undefined) return lock;
    throw systemError(
      "EBUSY",
      "flock",
      this.path,
      "another process or map has locked the file, or is flushing it at this " +
        "moment; try again, or wait for it with flushAsync() or lock()",
    );
  }

  /**
   * As {@linkcode lock}: waits for as long as another map has it, or until aborted. Who
   * shares it is not waited for: that may be the caller, who would wait for ever.
   */
  lockLater(abort: Abort | undefined): Promise<Lock> {
    const list = locksOfPart();
    return whenever(() => {
      this.#checkNotShared();
      return keepingLocks(list, () => this.tryLock());
    }, abort);
  }

  #checkNotShared(): void {
    if (this.#locked === undefined || !this.#isShared) return;
    throw systemError(
      "EBUSY",
      "flock",
      this.path,
      "this map has locked the file, shared with others, which forbids its own " +
        "flushes too; release that lock, or take one that is not shared",
    );
  }

  /**
   * The same without waiting: `undefined` if another map has the lock. Where the file
   * system has no locks, everybody gets one, and it keeps nobody out.
   */
  tryLock(): Lock | undefined {
    if (this.#locked === undefined) {
      const refusal = this.#acquire(false);
      if (refusal !== undefined && isHeld(refusal)) {
        this.#endLock();
        return undefined;
      }
    } else if (this.#isShared) return undefined;
    this.#locks++;
    let isReleased = false;
    return {
      release: () => {
        if (isReleased || this.#locks === 0) return;
        isReleased = true;
        this.#leave();
      },
    };
  }

  /**
   * Takes the lock for longer than a call, without waiting: `undefined` while anybody has
   * it, this map too, unless all share it. What this map does meanwhile needs no lock
   * of its own. A file that takes this one's place takes over the lock.
   *
   * @throws {SystemError} if the file system has no locks.
   */
  tryHold(isShared: boolean): Lock | undefined {
    if (this.#locked === undefined) {
      const refusal = keepingLocks(new Set(), () => this.#acquire(isShared));
      if (refusal !== undefined) {
        this.#endLock();
        if (isHeld(refusal)) return undefined;
        throw refusal;
      }
    } else if (!isShared || !this.#isShared) return undefined;
    this.#locks++;
    const holders = this.#holders;
    HELD.add(holders);
    holders.count++;
    let isReleased = false;
    return {
      release: () => {
        if (isReleased || holders.count === 0) return;
        isReleased = true;
        if (--holders.count === 0) HELD.delete(holders);
        holders.file.#leave();
      },
    };
  }

  /**
   * Takes a lock such as is held of `other`, whose place this file is about to take;
   * `place` is where this one is so far. {@linkcode takeHolders} comes once it has.
   *
   * @throws {SystemError} `EBUSY` if another map of this file has it.
   */
  lockAs(other: LockableFile, place: string = this.path): void {
    if (other.#holders.count === 0) return;
    // It lasts, whether a flush takes it along or refresh() does.
    const list = locksOfPart();
    const refusal = patiently(() => {
      const refusal = keepingLocks(
        list,
        () => this.#acquire(other.#isShared, place),
      );
      if (refusal === undefined) return "locked";
      this.#endLock();
      return isHeld(refusal) ? undefined : refusal;
    });
    if (refusal === "locked") return;
    throw refusal ?? systemError(
      "EBUSY",
      "flock",
      this.path,
      "another process or map has locked the file that took this one's place",
    );
  }

  /** Those who hold the lock of `other` hold this file's from now on. */
  takeHolders(other: LockableFile): void {
    const holders = other.#holders;
    if (holders.count === 0) return;
    other.#holders = { file: other, count: 0 };
    other.#locks -= holders.count;
    holders.file = this;
    this.#holders = holders;
    this.#locks = holders.count;
  }

  /**
   * Lets go of the lock, but for those who hold it for longer than a call. Returns
   * whether anybody else had it.
   */
  breakLock(): boolean {
    const wasLocked = this.#locks > this.#holders.count;
    this.#locks = this.#holders.count;
    if (this.#locks === 0) this.#endLock();
    return wasLocked;
  }

  /** Lets go of the lock, whoever holds it. */
  protected endLocks(): void {
    this.#holders.count = 0;
    HELD.delete(this.#holders);
    this.breakLock();
  }

  /** Locks a descriptor; why not, where that is refused. To be ended in either case. */
  #acquire(isShared: boolean, place?: string): SystemError | undefined {
    // A descriptor that is not mapped, if possible: a mapping outlives its worker,
    // and the lock would with it.
    const fd = this.own.locker ?? this.openAgain(O_RDWR, true, place) ??
      this.openAgain(O_RDONLY, false, place) ?? this.fd;
    this.own.locker = undefined;
    this.#locked = fd;
    this.#isShared = isShared;
    try {
      return tryLock(fd, this.path, isShared);
    } catch (error) {
      this.#endLock();
      throw error;
    }
  }

  #leave(): void {
    if (this.#locks > 0 && --this.#locks === 0) this.#endLock();
  }

  #endLock(): void {
    const fd = this.#locked;
    if (fd === undefined) return;
    this.#locked = undefined;
    const isKept = fd !== this.fd && this.keepsLocker;
    unlock(fd, isKept);
    if (isKept) this.own.locker = fd;
    else if (fd !== this.fd) closeEntry(fd);
  }

  /** Closes the descriptor for locking that was kept for the next time. */
  protected endLocker(): void {
    const { locker } = this.own;
    this.own.locker = undefined;
    if (locker !== undefined) closeLocker(locker);
  }
}
