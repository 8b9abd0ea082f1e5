/**
 * The open map behind a `Memmap` and its slices: the file, its mapping, the
 * registered slices, the floating bytes, and the few numbers that change.
 *
 * Both public classes are faces of one of these. It keeps the books; checks of
 * what users give are theirs, writing the file is `flush/`'s.
 *
 * @module
 */

import {
  BusyError,
  ClosedError,
  ConflictError,
  OverlapError,
  ReadonlyError,
} from "../base/mod.ts";
import { SliceExtent } from "./extent.ts";
import type { MappedFile } from "../storage/mod.ts";
import { Arena, type Piece } from "../memory/mod.ts";
import { syncFolder } from "../storage/mod.ts";
import { Mapping } from "../memory/mod.ts";
import { isEditable, isWritable, type ShortMode } from "../base/mod.ts";
import { Registry } from "../geometry/mod.ts";
import type { Segment } from "../geometry/mod.ts";
import type { MemmapSlice } from "./slice.ts";

/** Bytes to insert: how many zeros, or which. */
export type Content = number | Uint8Array;

// Address space kept behind a writable map, for the file to grow into without
// moving any view. It costs nothing until used; see Mapping.ofFile.
const LEAST_SPARE = 2 ** 26;
const MOST_SPARE = 2 ** 36;

/** Maps `length` bytes of `file` as `mode` asks. */
export function mapFile(
  file: MappedFile,
  mode: ShortMode,
  length: number,
  guarded: boolean,
): Mapping {
  const shared = isWritable(mode);
  const spare = shared
    ? Math.min(Math.max(length, LEAST_SPARE), MOST_SPARE)
    : 0;
  return Mapping.ofFile(
    // Shared pages need no swap. Those of "r" are never meant to be written.
    { fd: file.fd, shared, charged: mode === "c", guarded },
    length,
    spare,
    file.path,
  );
}

/** Everything that changes about one open map. */
export class OpenMap {
  file: MappedFile;
  mapping: Mapping;
  mode: ShortMode;
  /** Is the mapping to be under the fault guard, as far as there is one? */
  readonly guarded: boolean;
  /** Bytes mapped, from the start of the file. */
  mappedLength: number;
  /** Bytes that the pending edits add, or take. */
  growth = 0;
  /** How many slices float. */
  floating = 0;
  isClosed = false;
  isFlushing = false;
  /** Did an in-place flush fail half-way? The file is a mixture then. */
  isTorn = false;
  /** Has the last flush written to the file and not waited for the disk? */
  isUnsettled = false;
  /** A folder whose names may not be on disk yet, after a flush that did not wait. */
  unsettledFolder: string | undefined;
  readonly registry: Registry<SliceExtent> = new Registry();
  readonly arena: Arena;
  #slices: readonly MemmapSlice[] | null = null;

  constructor(
    file: MappedFile,
    mapping: Mapping,
    mode: ShortMode,
    mappedLength: number,
    guarded: boolean,
  ) {
    this.file = file;
    this.mapping = mapping;
    this.mode = mode;
    this.guarded = guarded;
    this.mappedLength = mappedLength;
    this.arena = new Arena(file.path);
  }

  get isEditable(): boolean {
    return isEditable(this.mode);
  }

  get isWritable(): boolean {
    return isWritable(this.mode);
  }

  /** Throws unless the map can be used now. */
  checkUsable(): void {
    if (this.isClosed) {
      throw new ClosedError(
        `The map of '${this.file.path}' is closed; open the file again to use it.`,
      );
    }
    if (this.isFlushing) {
      throw new BusyError(
        `The map of '${this.file.path}' is being flushed; onProgress must not use it.`,
      );
    }
  }

  /** Throws unless the file holds what the registry says. */
  checkIntact(): void {
    if (!this.isTorn) return;
    throw new ConflictError(
      `'${this.file.path}' was left half-way by an in-place flush that failed, so ` +
        "it cannot be flushed again. Floating slices can still be read; " +
        "close({ discard: true }) lets go of the map.",
    );
  }

  checkEditable(): void {
    this.checkUsable();
    if (this.isEditable) return;
    throw new ReadonlyError(
      `'${this.file.path}' is open in mode 'r'; open it in mode 'c' for a private ` +
        "copy, or in mode 'r+' to write the file.",
    );
  }

  checkWritable(what: string): void {
    this.checkUsable();
    if (this.isWritable) return;
    throw new ReadonlyError(
      `'${this.file.path}' is open in mode '${this.mode}', which never writes the ` +
        `file, so there is nothing to ${what}; flush({ path }) saves to another.`,
    );
  }

  /** The public slices, in file order. */
  get slices(): readonly MemmapSlice[] {
    return this.#slices ??= Object.freeze(
      this.registry.toArray().map(({ slice }) => slice),
    );
  }

  /** Registers a range, or throws an `OverlapError`. */
  register(extent: SliceExtent): void {
    const other = this.registry.add(extent);
    this.#slices = null;
    if (other === undefined) return;
    throw new OverlapError(
      `Slice overlaps prior slice of same file. ('${this.file.path}': ` +
        `${extent.begin} to ${extent.end} overlaps ${other.begin} to ${other.end}) ` +
        (extent.isFloating
          ? "To add bytes within a slice, use its splice()."
          : "Use that one, which is in slices, or delete() it first."),
    );
  }

  /**
   * Runs `copy`, which may read a view of this very file: throws if it was the one
   * that met lost pages, since it has copied zeros then.
   */
  copyChecked<T>(copy: () => T): T {
    const before = this.mapping.faults;
    const result = copy();
    if (this.mapping.faults !== before) this.mapping.checkFaults();
    return result;
  }

  /** Registers a floating slice of `content` at `offset`. */
  insert(offset: number, content: Content): SliceExtent {
    const piece = this.arena.allocate(contentLength(content));
    const extent = new SliceExtent(offset, offset);
    extent.floating = piece;
    try {
      if (typeof content !== "number") writeContent(piece, 0, content);
      this.mapping.checkFaults(); // the content may have been a view of it
      this.register(extent);
    } catch (error) {
      piece.free();
      throw error;
    }
    this.floating++;
    this.growth += piece.length;
    return extent;
  }

  /** Unregisters a slice; a pending edit of it is dropped. */
  delete(extent: SliceExtent): void {
    this.registry.remove(extent);
    this.#slices = null;
    extent.dropView();
    extent.isDeleted = true;
    if (extent.floating === null) return;
    this.growth -= extent.length - (extent.end - extent.begin);
    this.floating--;
    extent.floating.free();
    extent.floating = null;
  }

  /** Makes a slice float, at `length` bytes: cut, or padded with zeros. */
  resize(extent: SliceExtent, length: number): Piece {
    const before = extent.length;
    const { floating } = extent;
    if (floating !== null) {
      extent.dropView();
      extent.floating = floating.resized(length);
    } else {
      const piece = this.arena.allocate(length);
      const kept = Math.min(before, length);
      try {
        piece.mapping.copyFrom(this.mapping, extent.begin, piece.offset, kept);
      } catch (error) {
        piece.free();
        throw error;
      }
      extent.dropView();
      extent.floating = piece;
      this.floating++;
    }
    this.growth += length - before;
    return extent.floating;
  }

  /** Replaces `deleteCount` bytes at `offset` of a slice by `content`. */
  splice(
    extent: SliceExtent,
    offset: number,
    deleteCount: number,
    content: Content,
  ): void {
    const before = extent.length;
    const added = contentLength(content);
    const after = before - deleteCount + added;
    // The content may be a view of this very slice, which is about to go.
    const kept = typeof content === "number"
      ? content
      : this.copyChecked(() => content.slice());
    const { mapping, offset: base } = this.resize(
      extent,
      Math.max(before, after),
    );
    mapping.copyFrom(
      mapping,
      base + offset + deleteCount,
      base + offset + added,
      before - offset - deleteCount,
    );
    writeContent(extent.floating!, offset, kept);
    this.resize(extent, after);
  }

  /** Waits until mapped bytes are on disk; nothing to wait for if none were written. */
  sync(begin: number, end: number): void {
    this.mapping.checkFaults();
    if (this.isUnsettled) this.file.sync(); // also of what is not mapped
    this.isUnsettled = false;
    this.settleFolder();
    if (!this.mapping.touched) return;
    this.mapping.sync(begin, end);
    if (begin === 0 && end === this.mappedLength) this.mapping.markSynced();
  }

  /** Waits until the names of the last flush are on disk, if that is still to be done. */
  settleFolder(): void {
    if (this.unsettledFolder === undefined) return;
    syncFolder(this.unsettledFolder);
    this.unsettledFolder = undefined;
  }

  /** Goes on with another mapping of the same bytes; the views of the old are detached. */
  remap(mapping: Mapping): void {
    const old = this.mapping;
    this.mapping = mapping;
    if (old.touched) mapping.touch();
    old.release();
  }

  /**
   * The file has been written as `segments` say: every slice is mapped again.
   * Must not fail, since nobody could undo it any more.
   */
  rebase(
    segments: readonly Segment<SliceExtent>[],
    length: number,
    isOnDisk: boolean,
  ): void {
    const extents: SliceExtent[] = [];
    for (const { extent, offset, length } of segments) {
      if (extent === null) continue;
      if (extent.isFloating || extent.begin !== offset) extent.dropView();
      extent.begin = offset;
      extent.end = offset + length;
      extent.floating = null;
      extents.push(extent);
    }
    this.registry.rebuild(extents);
    this.arena.release();
    this.mappedLength = length;
    this.growth = 0;
    this.floating = 0;
    if (isOnDisk) this.mapping.markSynced();
    else this.mapping.touch();
  }

  /** Lets go of everything. */
  close(): void {
    this.isClosed = true;
    for (const extent of this.registry) extent.dropView();
    this.arena.release();
    this.mapping.release();
    this.file.close();
  }
}

function contentLength(content: Content): number {
  return typeof content === "number" ? content : content.length;
}

function writeContent(piece: Piece, at: number, content: Content): void {
  const begin = piece.offset + at;
  if (typeof content === "number") {
    piece.mapping.fill(0, begin, content);
  } else if (content.length > 0) {
    const end = begin + content.length;
    piece.mapping.borrow(begin, end, (bytes) => bytes.set(content));
  }
}
