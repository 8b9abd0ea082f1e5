/**
 * The books of one open map: its file, the mapping of it, the memory of what floats,
 * and the few numbers that change.
 *
 * Answers "may this be done now" and "how long will the file be". Knows nothing of
 * which slices there are: extents come to it, and `OpenMap` is built on it.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import {
  isEditable,
  isWritable,
  ReadonlyError,
  type ShortMode,
} from "../base/mod.ts";
import { Arena, type Mapping } from "../memory/mod.ts";
import {
  later,
  type MappedFile,
  syncFolder,
  syncFolderLater,
} from "../storage/mod.ts";
import { mapFile, type MapKind } from "./map_file.ts";
import { Meanwhile } from "./meanwhile.ts";
import { MapState } from "./state.ts";
import { Tail } from "./tail.ts";
import { firstWrittenPage, hasWrittenPages, writtenRanges } from "./written.ts";

/** Bytes that are synced at a time where no other thread can do it. */
const SYNCED = 2 ** 23;

/** What changes about one open map, but for its slices. */
export class Books {
  readonly state: MapState = new MapState();
  readonly isGuarded: boolean;
  readonly isAtomic: boolean;
  /** The memory of floating slices, and of what was appended. */
  readonly arena: Arena;
  /** What was appended since the last flush. */
  readonly tail: Tail;
  #file: MappedFile;
  #mapping: Mapping;
  #mode: ShortMode;
  #mappedLength: number;
  /**
   * Bytes that slices will make the file grow by, and how many of them float. Whoever
   * makes a slice float counts it: two plain numbers, since an assignment needs no stack
   * and cannot fail half-way.
   */
  growth = 0;
  floatingCount = 0;
  /** How many flushes have changed the file: what has been found out before is old. */
  commits = 0;
  /** What readers get while a flush lets the event loop go on. */
  readonly meanwhile: Meanwhile = new Meanwhile();
  /** An atomic map's page that had been written to when last asked: the first to look at. */
  #writtenPage = 0;
  /** A folder whose names may not be on disk yet, after a flush that did not wait. */
  #unsyncedFolder: string | undefined;

  constructor(
    file: MappedFile,
    mapping: Mapping,
    { mode, isGuarded, isAtomic }: MapKind,
    mappedLength: number,
  ) {
    this.#file = file;
    this.#mapping = mapping;
    this.#mode = mode;
    this.#mappedLength = mappedLength;
    this.isGuarded = isGuarded;
    this.isAtomic = isAtomic;
    this.arena = new Arena(file.path);
    this.tail = new Tail(this.arena);
  }

  get file(): MappedFile {
    return this.#file;
  }

  get mapping(): Mapping {
    return this.#mapping;
  }

  get mode(): ShortMode {
    return this.#mode;
  }

  /** Bytes mapped, from the start of the file. */
  get mappedLength(): number {
    return this.#mappedLength;
  }

  /** Bytes that are mapped once pending edits are flushed. */
  get length(): number {
    return this.#mappedLength + this.growth + this.tail.length;
  }

  /**
   * Are edits pending: does a slice float, or was anything appended, or written to an
   * atomic map?
   */
  get isDirty(): boolean {
    return this.isResized || this.hasWritten;
  }

  /** Does a slice float, or was anything appended? */
  get isResized(): boolean {
    return this.floatingCount > 0 || this.tail.length > 0;
  }

  /**
   * Was anything written to an atomic map that its file has not? Once pages were lost,
   * nobody can tell what was in them.
   */
  get hasWritten(): boolean {
    const isSafe = !this.isAtomic || this.state.isClosed ||
      !this.#mapping.maybeUnsynced;
    if (isSafe) return false;
    if (this.#mapping.faults > 0) return true;
    const page = this.#writtenPage;
    if (page < this.#mappedLength && hasWrittenPages(this, page, page + 1)) {
      return true;
    }
    const found = firstWrittenPage(this, 0, this.#mappedLength);
    this.#writtenPage = found ?? 0;
    return found !== undefined;
  }

  /** Are the mapped bytes in memory of their own, and not the file's? */
  get isPrivate(): boolean {
    return this.isAtomic || this.#mode === "c";
  }

  get isEditable(): boolean {
    return isEditable(this.#mode);
  }

  get isWritable(): boolean {
    return isWritable(this.#mode);
  }

  /** Throws unless the map can be used now. */
  checkUsable(): void {
    this.state.checkUsable(this.#file.path);
  }

  /** Throws unless slices may come and go, and the file may be flushed. */
  checkIdle(): void {
    this.state.checkIdle(this.#file.path);
  }

  /** The flush under way is about to move, or to cut off, what readers may be at. */
  keepOut(): void {
    this.meanwhile.end();
    this.state.keepOut();
  }

  checkEditable(): void {
    this.checkIdle();
    if (this.isEditable) return;
    throw new ReadonlyError(
      `'${this.#file.path}' is open in mode 'r'; open it in mode 'c' for a private ` +
        "copy, or in mode 'r+' to write the file.",
    );
  }

  checkWritable(what: string): void {
    this.checkUsable();
    if (this.isWritable) return;
    throw new ReadonlyError(
      `'${this.#file.path}' is open in mode '${this.#mode}', which never writes the ` +
        `file, so there is nothing to ${what}; flush({ path }) saves to another file.`,
    );
  }

  /** Runs `copy`, and throws if it met lost pages of the file. */
  copyChecked<T>(copy: () => T): T {
    const before = this.#mapping.faults;
    const result = copy();
    if (this.#mapping.faults !== before) this.#mapping.checkFaults();
    return result;
  }

  // The disk

  /** Waits until mapped bytes are on disk; nothing to wait for if none were written. */
  sync(begin: number, end: number): void {
    this.checkIdle();
    this.#mapping.checkFaults();
    if (this.state.needsFsync) this.#file.sync(); // also of what is not mapped
    this.state.settle();
    this.settleFolder();
    // What was written to an atomic map is to reach the file with a flush alone.
    if (this.isAtomic || !this.#mapping.maybeUnsynced) return;
    this.#mapping.sync(begin, end);
    if (begin === 0 && end === this.#mappedLength) this.#mapping.markSynced();
  }

  /**
   * As {@linkcode sync}, while the event loop goes on and the map can be used: what is
   * written meanwhile may be on disk afterwards, or not. Where a flush changes the file
   * meanwhile, that says what of it is on disk.
   */
  async syncLater(begin: number, end: number): Promise<void> {
    this.#mapping.checkFaults();
    const { flushes } = this.state;
    const isOver = () => this.state.flushes !== flushes || this.state.isClosed;
    const [file, mapping] = [this.#file, this.#mapping];
    const isShared = !this.isAtomic;
    const isWhole = begin === 0 && end === this.#mappedLength;
    const isDue = isShared && mapping.maybeUnsynced && begin < end;
    const { fsyncCleansMaps } = libc();
    if (this.state.needsFsync || (isDue && fsyncCleansMaps)) {
      // First: what is written from here on may not be on disk afterwards.
      if (isWhole && isShared) mapping.markSynced();
      try {
        await file.syncLater();
      } catch (error) {
        mapping.markUnsynced();
        this.#mapping.markUnsynced(); // a flush may have mapped it anew
        throw error;
      }
      mapping.checkFaults();
    }
    if (isOver()) return;
    this.state.settle();
    await this.settleFolderLater();
    if (isOver()) return;
    if (!isDue || fsyncCleansMaps) return;
    for (let at = begin; at < end; at += SYNCED) {
      mapping.sync(at, Math.min(at + SYNCED, end));
      await later().turn();
      if (isOver()) return;
    }
  }

  /** Notes that names in `folder` may not be on disk yet. */
  unsettleFolder(folder: string): void {
    this.#unsyncedFolder = folder;
  }

  /** Waits until the names of the last flush are on disk, if that is still to be done. */
  settleFolder(): void {
    if (this.#unsyncedFolder === undefined) return;
    syncFolder(this.#unsyncedFolder);
    this.#unsyncedFolder = undefined;
  }

  /** As {@linkcode settleFolder}, while the event loop goes on. */
  async settleFolderLater(): Promise<void> {
    const folder = this.#unsyncedFolder;
    if (folder === undefined) return;
    const { flushes } = this.state;
    await syncFolderLater(folder);
    if (this.state.flushes === flushes) this.#unsyncedFolder = undefined;
  }

  // What a flush changes

  /**
   * Maps the first `length` bytes of the file anew; the views of the old mapping are
   * detached. Throws, with nothing changed, where the system refuses.
   */
  remap(length: number): void {
    const old = this.#mapping;
    if (length > this.#file.size) this.#file.checkMappableBehindEnd();
    const mapping = mapFile(this.#file, this, length);
    if (this.isAtomic) this.#carryWritten(mapping);
    if (old.maybeUnsynced) mapping.markUnsynced();
    this.#mapping = mapping;
    old.release();
  }

  /** Copies to a new private mapping what was written to the old one. */
  #carryWritten(mapping: Mapping): void {
    const old = this.#mapping;
    try {
      const ranges = writtenRanges(this, 0, this.#mappedLength);
      for (const { begin, end } of ranges) {
        if (begin < mapping.capacity) {
          mapping.copyFrom(
            old,
            begin,
            begin,
            Math.min(end, mapping.capacity) - begin,
          );
        }
      }
    } catch (error) {
      mapping.release();
      throw error;
    }
  }

  /**
   * Others gave the file another length: maps `length` bytes of it. Views stay where a
   * shared mapping can; a private one is made anew, so that it shows the file. Throws,
   * with nothing changed, where the system refuses.
   */
  follow(length: number): void {
    const mapping = this.#mapping;
    const stays = this.isWritable && !this.isAtomic &&
      length <= mapping.capacity &&
      mapping.faults === 0 && mapping.inFlightEnd <= length &&
      !mapping.hasEscapedAfter(length);
    if (!stays) this.remap(length);
    this.#mappedLength = length;
  }

  /** Goes on with another file. Must not fail; the old mapping is still to be released. */
  protected switchTo(
    file: MappedFile,
    mapping: Mapping,
    mode: ShortMode,
  ): void {
    this.#file = file;
    this.#mapping = mapping;
    this.#mode = mode;
  }

  /**
   * The file has what was appended, which is all that was pending and lay in one piece:
   * it is mapped at `length`. Must not fail. To be done twice does no harm.
   */
  settleTail(length: number, isOnDisk: boolean): void {
    this.meanwhile.end();
    this.commits++;
    this.tail.rewind();
    this.#mappedLength = length;
    if (isOnDisk) this.#mapping.markSynced();
    else this.#mapping.markUnsynced();
  }

  /** The file has all edits now: it is mapped at `length`, and nothing floats. */
  protected settleAt(length: number, isOnDisk: boolean): void {
    this.commits++;
    this.arena.empty();
    this.tail.clear();
    this.#mappedLength = length;
    this.growth = 0;
    this.floatingCount = 0;
    // Of an atomic map, whoever has committed all that was written says so.
    if (this.isAtomic) return;
    if (isOnDisk) this.#mapping.markSynced();
    else this.#mapping.markUnsynced();
  }
}
