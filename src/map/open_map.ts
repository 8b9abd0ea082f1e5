/**
 * The open map behind a `Memmap` and its slices: the file, its mapping, the
 * registered slices, the floating bytes, and the few numbers that change.
 *
 * Keeps the books; nothing else changes them. The public classes check what
 * users give; `flush/` writes the file and then says what became of it.
 *
 * Every change of the books has one order: what can fail, be it for want of stack,
 * comes first and changes nothing that counts; then come plain assignments; what is
 * not needed any more is freed last.
 *
 * @module
 */

import {
  isEditable,
  isWritable,
  OverlapError,
  ReadonlyError,
  setBytes,
  type ShortMode,
} from "../base/mod.ts";
import { checkDeepestStack, Registry, type Segment } from "../geometry/mod.ts";
import { Arena, Mapping, type Piece } from "../memory/mod.ts";
import { type MappedFile, syncFolder } from "../storage/mod.ts";
import { type ExtentOwner, SliceExtent } from "./extent.ts";
import { MapState } from "./state.ts";

/** Bytes to insert: how many zeros, or which. */
export type Content = number | Uint8Array;

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

/** Makes the public object of an extent. */
export type Face = (extent: SliceExtent) => SliceExtent["slice"];

/** Everything that changes about one open map. */
export class OpenMap implements ExtentOwner {
  readonly state: MapState = new MapState();
  readonly registry: Registry<SliceExtent> = new Registry();
  /** Whether to guard the mapping, if there is a guard. */
  readonly isGuarded: boolean;
  readonly #arena: Arena;
  #file: MappedFile;
  #mapping: Mapping;
  #mode: ShortMode;
  #mappedLength: number;
  #growth = 0;
  #floatingCount = 0;
  #slices: readonly SliceExtent["slice"][] | null = null;
  /** Closed, and nothing is held any more. */
  #isLetGo = false;
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
    this.#arena = new Arena(file.path);
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
    return this.#mappedLength + this.#growth;
  }

  /** Are edits pending: does a slice float? */
  get isDirty(): boolean {
    return this.#floatingCount > 0;
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

  get path(): string {
    return this.#file.path;
  }

  get isClosed(): boolean {
    return this.state.isClosed;
  }

  get isMappedTwice(): boolean {
    return this.#file.isMappedTwice;
  }

  copyChecked<T>(copy: () => T): T {
    const before = this.#mapping.faults;
    const result = copy();
    if (this.#mapping.faults !== before) this.#mapping.checkFaults();
    return result;
  }

  // Slices

  /** The public slices, in file order. */
  get slices(): readonly SliceExtent["slice"][] {
    return this.#slices ??= Object.freeze(
      this.registry.toArray().map(({ slice }) => slice),
    );
  }

  /**
   * Registers the bytes `begin` to `end`, or throws an `OverlapError`. `face` makes the
   * public object.
   */
  register(begin: number, end: number, face: Face): SliceExtent {
    const extent = new SliceExtent(this, begin, end);
    extent.slice = face(extent);
    this.#add(extent);
    return extent;
  }

  /** Registers a floating slice of `content` at `offset`. */
  insert(offset: number, content: Content, face: Face): SliceExtent {
    const piece = this.#arena.allocate(contentLength(content));
    const extent = new SliceExtent(this, offset, offset);
    extent.floating = piece;
    try {
      extent.slice = face(extent);
      if (typeof content !== "number") writeContent(piece, 0, content);
      this.#mapping.checkFaults(); // the content may have been a view of it
      this.#add(extent);
    } catch (error) {
      piece.free();
      throw error;
    }
    this.#floatingCount++;
    this.#growth += piece.length;
    return extent;
  }

  /** Unregisters a slice; a pending edit of it is dropped. */
  delete(extent: SliceExtent): void {
    const { floating, length, begin, end } = extent;
    extent.dropViews();
    this.#slices = null;
    this.registry.remove(extent);
    extent.isDeleted = true;
    if (floating === null) return;
    extent.floating = null;
    this.#growth -= length - (end - begin);
    this.#floatingCount--;
    floating.free();
  }

  /** Makes a slice float, at `length` bytes: cut, or padded with zeros. */
  resize(extent: SliceExtent, length: number): Piece {
    const before = extent.length;
    const { floating } = extent;
    let piece: Piece;
    if (floating !== null) {
      extent.dropViews();
      piece = floating.resized(length);
    } else {
      piece = this.#arena.allocate(length);
      try {
        piece.mapping.copyFrom(
          extent.mapping,
          extent.offset,
          piece.offset,
          Math.min(before, length),
        );
        extent.dropViews();
      } catch (error) {
        piece.free();
        throw error;
      }
      this.#floatingCount++;
    }
    extent.floating = piece;
    this.#growth += length - before;
    if (floating !== null && piece !== floating) floating.free();
    return piece;
  }

  /** Replaces `deleteCount` bytes at `offset` of a slice by `content`. */
  splice(
    extent: SliceExtent,
    offset: number,
    deleteCount: number,
    content: Content,
  ): void {
    checkDeepestStack(); // the steps below belong together
    const before = extent.length;
    const added = contentLength(content);
    const after = before - deleteCount + added;
    // The content may be a view of this very slice, which is about to go.
    const kept = typeof content === "number"
      ? content
      : this.copyChecked(() => new Uint8Array(content));
    const piece = this.resize(extent, Math.max(before, after));
    piece.mapping.copyFrom(
      piece.mapping,
      piece.offset + offset + deleteCount,
      piece.offset + offset + added,
      before - offset - deleteCount,
    );
    if (typeof kept !== "number") writeContent(piece, offset, kept);
    else {
      // Behind the old end there are zeros, which take no memory until written to.
      const stale = Math.min(kept, Math.max(before - offset, 0));
      piece.mapping.fill(0, piece.offset + offset, stale);
    }
    this.resize(extent, after);
  }

  #add(extent: SliceExtent): void {
    this.#slices = null;
    const other = this.registry.add(extent);
    if (other === undefined) return;
    throw new OverlapError(
      `Slice overlaps prior slice of same file. ('${this.#file.path}': ` +
        `${extent.begin} to ${extent.end} overlaps ${other.begin} to ${other.end}) ` +
        (extent.isFloating
          ? "To add bytes within a slice, use its splice()."
          : "Use that one, which is in slices, or delete() it first."),
    );
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
   * Switches to another file, which is laid out as `segments` say. Returns the old
   * one, which nobody uses any more.
   */
  moveTo(
    file: MappedFile,
    mapping: Mapping,
    mode: ShortMode,
    segments: readonly Segment<SliceExtent>[],
    length: number,
    isOnDisk: boolean,
  ): MappedFile {
    const [oldFile, oldMapping] = [this.#file, this.#mapping];
    this.#file = file;
    this.#mapping = mapping;
    this.#mode = mode;
    this.rebase(segments, length, isOnDisk);
    oldMapping.release();
    return oldFile;
  }

  /**
   * The file has been written as `segments` say: every slice is mapped again, and
   * nothing is pending. Must not fail, since nobody could undo it any more.
   */
  rebase(
    segments: readonly Segment<SliceExtent>[],
    length: number,
    isOnDisk: boolean,
  ): void {
    const extents: SliceExtent[] = [];
    for (const { extent, offset, length } of segments) {
      if (extent === null) continue;
      if (extent.isFloating || extent.begin !== offset) extent.dropViews();
      extent.begin = offset;
      extent.end = offset + length;
      extent.floating = null;
      extents.push(extent);
    }
    this.registry.rebuild(extents);
    this.#arena.release();
    this.#mappedLength = length;
    this.#growth = 0;
    this.#floatingCount = 0;
    if (isOnDisk) this.#mapping.markSynced();
    else this.#mapping.markUnsynced();
  }

  /** Releases everything. If that throws, call it again for what is left. */
  close(): void {
    if (this.#isLetGo) return;
    // In this order: if the first throws, the map is open, and its views come back.
    for (const extent of this.registry) extent.dropViews();
    this.state.close();
    this.#arena.release();
    this.#mapping.release();
    this.#isLetGo = true;
    this.#file.close();
  }
}

function contentLength(content: Content): number {
  return typeof content === "number" ? content : content.length;
}

function writeContent(piece: Piece, at: number, content: Uint8Array): void {
  if (content.length === 0) return;
  const begin = piece.offset + at;
  const end = begin + content.length;
  piece.mapping.borrow(begin, end, (bytes) => setBytes(bytes, content));
}
