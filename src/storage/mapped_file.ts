/**
 * The file under a map: which file it is, and whether it is still the one that was
 * mapped.
 *
 * Others may cut, grow or replace it at any time. This file detects that, and its
 * errors say what to do. Knows nothing of memory or slices.
 *
 * @module
 */

import * as fs from "node:fs";
import { libc } from "../../ffi/mod.ts";
import {
  ConflictError,
  counted,
  isWritable,
  type ShortMode,
  type SystemError,
  systemError,
} from "../base/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import { hugePageOf } from "./blocks.ts";
import { closeEntry, isLinked, openPatiently, unlink } from "./entries.ts";
import {
  closeLocker,
  type Descriptors,
  LockableFile,
} from "./lockable_file.ts";
import { hasJournal } from "./journal/beside.ts";
import {
  checkNamesFile,
  checkPlaceOf,
  endOfLinks,
  mayUse,
  placeOf,
  placeOfNew,
  placeToOpen,
} from "./paths.ts";
import {
  checkRegular,
  type Identity,
  KnownPath,
  type Status,
  statusOf,
} from "./status.ts";
import { ReadAhead } from "./read_ahead.ts";
import type { Steps } from "./steps.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;

/** Bytes; of arm64 with pages of 4 KiB. */
const SMALLEST_HUGE_PAGE = 2 ** 16;

// A map that nobody closed takes its descriptor with it.
const UNCLOSED = new FinalizationRegistry<{ own: Descriptors; same: Same }>(
  ({ own, same }) => {
    uncount(same);
    if (own.locker !== undefined) closeLocker(own.locker);
    closeEntry(own.fd);
  },
);

/** The maps of one file in this thread. */
interface Same {
  readonly key: string;
  count: number;
}

const MAPPED = new Map<string, Same>();

function countAt(key: string): Same {
  let same = MAPPED.get(key);
  if (same === undefined) MAPPED.set(key, same = { key, count: 0 });
  same.count++;
  return same;
}

function uncount(same: Same): void {
  if (--same.count === 0) MAPPED.delete(same.key);
}

/** How often to look for a file that others make and remove. */
const LOOKS = 8;

/**
 * What others did to a mapped file: nothing, or they made it longer or shorter, or
 * another file has its path, or none has.
 */
export type Stale = "no" | "grown" | "cut" | "replaced" | "unlinked";

/** What {@linkcode MappedFile.open} has found out. */
export interface Opened {
  readonly file: MappedFile;
  /** Where the file was made, if it was. */
  readonly created: string | undefined;
  /**
   * Is it known that nobody is appending to it, and that no flush was killed? Otherwise
   * `recover` tells.
   */
  readonly isQuiet: boolean;
}

/** What lies beside a file for as long as it is open. */
export interface Kept {
  /** The folder that it is in, if it is there. */
  readonly folder: string | undefined;
  /**
   * Ends it before a flush that has no use for it, which may wait for the disk if it
   * `isDurable`.
   */
  ending(isDurable: boolean): Steps;
  /**
   * Removes it for good, as `ending` does. Throws nothing: the next open that writes
   * removes what is left.
   */
  remove(isDurable: boolean): void;
  /** The same, while the event loop goes on. */
  removeLater(isDurable: boolean): Promise<void>;
}

/** A commit that is not all in the file, and counts all the same. */
export interface Pending {
  /**
   * Lays it over the first `length` bytes of a private mapping. Returns false where it
   * has been finished meanwhile: what was laid over may be out of date.
   */
  layOver(mapping: Mapping, length: number): boolean;
  /** Is it still to be finished? */
  isThere(): boolean;
}

/** A regular file that is open and mapped. */
export class MappedFile extends LockableFile {
  /** The path as the user gave it. */
  readonly label: string;
  /** Reserve disk blocks when the file grows? */
  readonly reserve: boolean;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly #device: bigint;
  readonly #inode: bigint;
  readonly #born: number;
  #hugePage: number | undefined;
  readonly #same: Same;
  #place: KnownPath | undefined;
  /** Its journal, once it was appended to: `journal/kept.ts` knows more. */
  kept: Kept | undefined;
  /** What a killed commit has still to write, as `recover` has found out for who reads. */
  pending: Pending | undefined;
  /** How many wait for the disk on another thread, and whether to close it after them. */
  #waiting = 0;
  #isLeft = false;
  /** Is another thread writing to it, so that nobody knows how long it is? */
  #isGrowing = false;

  /** Takes over `fd`; the caller still closes it if this throws. */
  constructor(path: string, label: string, fd: number, reserve: boolean) {
    super(path, fd, 0);
    const stat = this.stat();
    checkRegular(stat, path);
    this.label = label;
    this.reserve = reserve;
    this.size = stat.size;
    this.owner = { uid: stat.uid, gid: stat.gid };
    this.#device = stat.dev;
    this.#inode = stat.ino;
    this.#born = stat.born;
    // hugetlbfs gives the size of its pages there, which saves all others a call.
    if (stat.blksize < SMALLEST_HUGE_PAGE) this.#hugePage = 0;
    this.#same = countAt(`${stat.dev}:${stat.ino}`);
    UNCLOSED.register(this, { own: this.own, same: this.#same }, this);
  }

  /** Has this thread mapped the same file once more? */
  get isMappedTwice(): boolean {
    return this.#same.count > 1;
  }

  /**
   * Opens the file at `path` as `mode` asks. `creates`: make one where there is none.
   * Others may make or remove it meanwhile; then it is looked for once more.
   */
  static open(
    path: string,
    label: string,
    mode: ShortMode,
    reserve: boolean,
    creates: boolean = mode === "w+",
  ): Opened {
    for (let look = 1;; look++) {
      try {
        return MappedFile.#open(path, label, mode, reserve, creates);
      } catch (error) {
        const { code } = error as { code?: string };
        const mayBeThere = code === "EEXIST" || code === "ENOENT";
        if (!creates || !mayBeThere || look === LOOKS) throw error;
      }
    }
  }

  static #open(
    path: string,
    label: string,
    mode: ShortMode,
    reserve: boolean,
    creates: boolean,
  ): Opened {
    checkNamesFile(path);
    const writes = isWritable(mode);
    if (writes) libc().ignoreFileSizeSignal();
    const { place, status, isChecked } = placeToOpen(path, writes);
    // Checked before opening: opening a pipe or a device may block or trigger it.
    if (status !== undefined) checkRegular(status, path);
    const flags = writes ? O_RDWR : O_RDONLY;
    let created: string | undefined;
    let fd: number;
    if (status !== undefined) fd = openPatiently(path, place!, flags);
    else {
      if (!creates) throw notThere(path, label);
      created = placeOfNew(path);
      fd = openPatiently(path, created, flags | O_CREAT | O_EXCL);
    }
    let file: MappedFile;
    let isQuiet = false;
    try {
      if (!isChecked) checkPlaceOf(fd, path, writes);
      else if (created === undefined) isQuiet = !hasJournal(place!);
      file = new MappedFile(path, label, fd, reserve);
    } catch (error) {
      if (created !== undefined && isLinked(fd, created)) unlink(created);
      closeEntry(fd);
      throw error;
    }
    try {
      if (created === undefined && file.size === 0) file.#checkEmpty();
    } catch (error) {
      file.close();
      throw error;
    }
    // The size was the same before and after there was no journal: see recover().
    isQuiet &&= file.is(status!) && file.size === status!.size;
    return { file, created, isQuiet };
  }

  /**
   * Throws unless a file without a size is without content, too. That of others is
   * made when they are read, and only then has a length: in `/proc`, for one.
   */
  #checkEmpty(): void {
    let count = -1;
    try {
      count = fs.readSync(this.fd, new Uint8Array(1), 0, 1, 0);
    } catch {
      // Whatever cannot be read, an empty file can.
    }
    if (count === 0) return;
    this.measure();
    if (this.size > 0) return; // somebody has just written to it
    throw systemError(
      "ENODEV",
      "open",
      this.path,
      "the file has content but no size, as files in /proc do, so it cannot be " +
        "mapped; read it instead, with readFileSync()",
    );
  }

  /**
   * Closes a file whose opening failed later on, and removes it if it was `created`.
   * `isShared`: not if it has content, which others have written since then. Throws
   * nothing: the failure says more.
   */
  undoOpen(created: string | undefined, isShared: boolean): void {
    try {
      const isKept = isShared && this.stat().size > 0n;
      this.close();
      if (created !== undefined && !isKept) unlink(created);
    } catch {
      // What could be taken back is.
    }
  }

  /** As they are now: others may change them. */
  get permissions(): number {
    return this.stat().mode & 0o7777;
  }

  /** Does `stat` describe this file? */
  is(stat: Status): boolean {
    return stat.dev === this.#device && stat.ino === this.#inode;
  }

  /**
   * Without the device, whose number changes when the file system is mounted again.
   * In milliseconds, since Deno knows no nanoseconds.
   */
  get identity(): Identity {
    return { inode: `${this.#inode}`, born: `${this.#born}` };
  }

  /** What others did to the file since it was mapped, or since the last flush. */
  get stale(): Stale {
    let there: Status | undefined;
    try {
      there = this.#whereItWas();
    } catch {
      // Nobody gets to the file by a path that cannot be looked up.
    }
    if (there === undefined) return "unlinked";
    if (!this.is(there)) return "replaced";
    if (this.#isGrowing) return "no"; // by our own hand, as a flush found
    const { size } = this.stat();
    return size === this.size ? "no" : size > this.size ? "grown" : "cut";
  }

  /**
   * Throws a `ConflictError` unless the path still leads to this file, at its size.
   * `hasWritten`: has a flush written to the file already? Returns what the system says
   * of it.
   */
  checkUnchanged(hasWritten = false): Status {
    const now = this.#whereItWas();
    if (now !== undefined && this.is(now) && now.size === this.size) return now;
    if (!hasWritten) this.checkWhole();
    const problem = now === undefined
      ? "is gone"
      : !this.is(now)
      ? "was replaced by another file"
      : `has ${counted(now.size, "byte")} where it had ${this.size}`;
    if (hasWritten) throw this.#conflictWhileWriting(problem);
    throw new ConflictError(
      `'${this.path}' ${problem} since it was mapped: nothing was written, and ` +
        "all edits are still pending. Save them elsewhere with flush({ path }), " +
        "or drop them with close({ discard: true }), open the file again, and " +
        "repeat them; lock() keeps the flushes of others out.",
    );
  }

  /** What its path leads to now. */
  #whereItWas(): Status | undefined {
    // The path of a file in /proc may change.
    if (this.#place?.path !== this.path) this.#place = new KnownPath(this.path);
    return this.#place.status();
  }

  #conflictWhileWriting(problem: string): ConflictError {
    return new ConflictError(
      `'${this.path}' ${problem} while it was being written: a part of the flush ` +
        "may be in it. All edits are still pending: floating slices can still " +
        "be read, and close({ discard: true }) drops them.",
    );
  }

  /** Throws a `ConflictError` if bytes that were mapped are no longer in the file. */
  checkWhole(): void {
    const { size } = this.stat();
    if (size < this.size) this.failShort(size);
  }

  protected override failShort(size: number): never {
    throw new ConflictError(
      `'${this.path}' has ${
        counted(size, "byte")
      } where it had ${this.size}: it was ` +
        "truncated behind the map's back, and the bytes cut off are lost. All " +
        "edits are still pending: floating slices can still be read, and " +
        "close({ discard: true }) drops them.",
    );
  }

  /** See {@linkcode hugePageOf}. */
  get hugePage(): number {
    return this.#hugePage ??= hugePageOf(this);
  }

  /** Throws where mapping what is behind the file's end would lengthen it. */
  checkMappableBehindEnd(): void {
    if (this.hugePage === 0) return;
    throw systemError(
      "EOPNOTSUPP",
      "mmap",
      this.path,
      `hugetlbfs lengthens a file, here from ${this.size} bytes on, as soon as more ` +
        "is mapped; close() the map, and open the file with a larger { length }",
    );
  }

  /** Throws where the file is only written through a map, and so by no flush. */
  checkTakesWrites(): void {
    if (this.hugePage === 0) return;
    throw systemError(
      "EOPNOTSUPP",
      "write",
      this.path,
      "files of hugetlbfs are written through a map alone, and keep their length; save " +
        "the edits elsewhere with flush({ path }), or drop them with " +
        "close({ discard: true })",
    );
  }

  /** Throws if the file can never be that long. */
  checkLength(size: number): void {
    const { hugePage } = this;
    if (hugePage === 0 || size % hugePage === 0) return;
    throw systemError(
      "EINVAL",
      "mmap",
      this.path,
      `hugetlbfs has files of whole pages of ${hugePage} bytes, and ${size} is no ` +
        `multiple of that; make it ${Math.ceil(size / hugePage) * hugePage}`,
    );
  }

  /** {@linkcode OpenFile.grow}, reserving blocks as chosen when the map was opened. */
  override grow(size: number, reserve: boolean = this.reserve): void {
    this.checkLength(size);
    super.grow(size, reserve);
  }

  /** As {@linkcode grow}, while the event loop goes on. */
  override async growLater(
    size: number,
    reserve: boolean = this.reserve,
  ): Promise<void> {
    this.checkLength(size);
    await super.growLater(size, reserve);
  }

  /** {@linkcode OpenFile.lengthen}, by the map's own choice of reserving blocks. */
  override lengthen(size: number, reserve: boolean = this.reserve): void {
    this.checkLength(size);
    super.lengthen(size, reserve);
  }

  /** Writes all of `bytes` behind the file's end, which was looked at just now. */
  append(bytes: Uint8Array): void {
    super.write(bytes, this.size);
  }

  /**
   * Writes all of `bytes` at `position`. Where that makes the file longer, it has to
   * end where it is known to: behind that are bytes of somebody else.
   */
  override write(bytes: Uint8Array, position: number): void {
    if (position + bytes.length > this.size) this.checkEnd();
    super.write(bytes, position);
  }

  /** As {@linkcode write}, while the event loop goes on. */
  override async writeLater(
    bytes: Uint8Array,
    position: number,
  ): Promise<void> {
    if (position + bytes.length > this.size) this.checkEnd();
    this.#isGrowing = true;
    try {
      await super.writeLater(bytes, position);
    } finally {
      this.#isGrowing = false;
    }
  }

  /** Throws a `ConflictError` unless the file ends where our own writes ended. */
  checkEnd(): void {
    const { size } = this.stat();
    if (size === this.size) return;
    throw this.#conflictWhileWriting(
      `has ${counted(size, "byte")} where it had ${this.size}`,
    );
  }

  /**
   * As {@linkcode sync}, while the event loop goes on: also if the file is closed
   * meanwhile, as by a flush that replaces it. It is really closed afterwards.
   */
  override async syncLater(): Promise<void> {
    this.#waiting++;
    try {
      await super.syncLater();
    } finally {
      this.#waiting--;
      if (this.#waiting === 0 && this.#isLeft) this.close();
    }
  }

  /** See {@linkcode Kept} for `isDurable`. */
  override async closeLater(isDurable = true): Promise<void> {
    const { kept } = this;
    this.kept = undefined;
    await kept?.removeLater(isDurable);
    if (this.#waiting > 0) return this.close();
    this.endLocker();
    const isCounted = UNCLOSED.unregister(this);
    this.endLocks();
    try {
      await super.closeLater();
    } finally {
      if (isCounted) uncount(this.#same);
    }
  }

  override close(isDurable = true): void {
    const { kept } = this;
    this.kept = undefined;
    kept?.remove(isDurable);
    this.endLocker();
    if (this.#waiting > 0) {
      this.#isLeft = true;
      this.endLocks();
      return;
    }
    // First: once it is closed, the number may be another file's.
    const isCounted = UNCLOSED.unregister(this);
    this.endLocks();
    try {
      super.close();
    } catch (error) {
      // Whatever the system says, the descriptor is gone. Too deep a stack comes before
      // the system is asked.
      if (!("code" in (error as Error))) {
        UNCLOSED.register(this, { own: this.own, same: this.#same }, this);
        throw error;
      }
      if (isCounted) uncount(this.#same);
      throw error;
    }
    if (isCounted) uncount(this.#same);
  }

  /** For reading it off the thread; `undefined` where the path does not lead to it. */
  openReadAhead(): ReadAhead | undefined {
    const fd = this.openAgain(O_RDONLY, false);
    return fd === undefined ? undefined : new ReadAhead(fd, this.path);
  }

  protected override openToAppend(): number | undefined {
    return this.openAgain(O_WRONLY | O_APPEND, true);
  }

  /**
   * Opens the same file once more, by its name or by another; `undefined` where that
   * does not lead to it.
   */
  protected override openAgain(
    flags: number,
    isWritten: boolean,
    name: string = this.path,
  ): number | undefined {
    let fd: number | undefined;
    try {
      const place = placeOf(name, isWritten);
      // Deno would prompt for what it does not allow.
      if (place === undefined || !mayUse(place, isWritten)) return undefined;
      fd = openPatiently(this.path, place, flags);
      if (this.is(statusOf(fd, this.path))) return fd;
    } catch {
      // Not to be opened, or no room for it: whoever asks does without.
    }
    if (fd !== undefined) closeEntry(fd);
    return undefined;
  }

  /** One that is appended to is locked again and again. */
  protected override get keepsLocker(): boolean {
    return this.kept !== undefined;
  }

  /** What the system knows of the file now. */
  stat(): Status {
    return statusOf(this.fd, this.path);
  }
}

function notThere(path: string, label: string): SystemError {
  const hint = label.startsWith("file:")
    ? "this is a URL given as a string; pass new URL(…)"
    : "mode 'r+' with { create: true }, or 'w+' with { length }, creates it";
  const end = endOfLinks(path);
  const problem = end === path
    ? "no such file or directory"
    : `this is a link that leads to '${end}', where there is nothing`;
  return systemError("ENOENT", "open", path, `${problem} (${hint})`);
}
