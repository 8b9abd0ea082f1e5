/**
 * The books of one open map: its file, the mapping of it, the memory of what floats,
 * and the few numbers that change.
 *
 * Answers "may this be done now" and "how long will the file be". Knows nothing of
 * which slices there are: extents come to it, and `OpenMap` is built on it.
 *
 * @module
 */

import {
  isEditable,
  isWritable,
  ReadonlyError,
  type ShortMode,
} from "../base/mod.ts";
import { Arena, Mapping } from "../memory/mod.ts";
import { type MappedFile, syncFolder } from "../storage/mod.ts";
import { MapState } from "./state.ts";
import { Tail } from "./tail.ts";

// Address space kept behind a writable map, for the file to grow into without moving
// any view. It costs nothing until it is used; see Mapping.ofFile.
const MIN_SPARE = 2 ** 26;
const MAX_SPARE = 2 ** 36;

/** Maps `length` bytes of `file` as `mode` asks. */
export function mapFile(
  file: MappedFile,
  mode: ShortMode,
  length: number,
  isGuarded: boolean,
): Mapping {
  const shared = isWritable(mode);
  const spare = shared ? Math.min(Math.max(length, MIN_SPARE), MAX_SPARE) : 0;
  return Mapping.ofFile(
    // Shared pages need no swap. Those of "r" are never meant to be written.
    {
      fd: file.fd,
      shared,
      charged: mode === "c",
      guarded: isGuarded,
      hugePage: file.hugePage,
    },
    length,
    spare,
    file.path,
  );
}

/** What changes about one open map, but for its slices. */
export class Books {
  readonly state: MapState = new MapState();
  /** Whether to guard the mapping, if there is a guard. */
  readonly isGuarded: boolean;
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
  /** A folder whose names may not be on disk yet, after a flush that did not wait. */
  #unsyncedFolder: string | undefined;

  constructor(
    file: MappedFile,
    mapping: Mapping,
    mode: ShortMode,
    mappedLength: number,
    isGuarded: boolean,
  ) {
    this.#file = file;
    this.#mapping = mapping;
    this.#mode = mode;
    this.#mappedLength = mappedLength;
    this.isGuarded = isGuarded;
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

  /** Are edits pending: does a slice float, or was anything appended? */
  get isDirty(): boolean {
    return this.floatingCount > 0 || this.tail.length > 0;
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

  checkEditable(): void {
    this.checkUsable();
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
    this.#mapping.checkFaults();
    if (this.state.needsFsync) this.#file.sync(); // also of what is not mapped
    this.state.settle();
    this.settleFolder();
    if (!this.#mapping.maybeUnsynced) return;
    this.#mapping.sync(begin, end);
    if (begin === 0 && end === this.#mappedLength) this.#mapping.markSynced();
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

  // What a flush changes

  /**
   * Maps the first `length` bytes of the file anew; the views of the old mapping are
   * detached. Throws, with nothing changed, where the system refuses.
   */
  remap(length: number): void {
    const old = this.#mapping;
    if (length > this.#file.size) this.#file.checkMappableBehindEnd();
    const mapping = mapFile(this.#file, this.#mode, length, this.isGuarded);
    if (old.maybeUnsynced) mapping.markUnsynced();
    this.#mapping = mapping;
    old.release();
  }

  /**
   * Others gave the file another length: maps `length` bytes of it. Views stay where a
   * shared mapping can; a private one is made anew, so that it shows the file. Throws,
   * with nothing changed, where the system refuses.
   */
  follow(length: number): void {
    const mapping = this.#mapping;
    const stays = this.isWritable && length <= mapping.capacity &&
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

  /** The file has all edits now: it is mapped at `length`, and nothing floats. */
  protected settleAt(length: number, isOnDisk: boolean): void {
    this.arena.release();
    this.tail.clear();
    this.#mappedLength = length;
    this.growth = 0;
    this.floatingCount = 0;
    if (isOnDisk) this.#mapping.markSynced();
    else this.#mapping.markUnsynced();
  }
}
