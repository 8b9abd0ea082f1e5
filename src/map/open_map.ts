/**
 * The open map behind a `Memmap`: the {@linkcode Books}, and the slices registered.
 *
 * Says which slices there are; nothing else changes that. The public classes check what
 * users give; `flush/` writes the file and then says what became of it.
 *
 * Every change of the books has one order: what can fail, be it for want of stack,
 * comes first and changes nothing that counts; then come plain assignments; what is
 * not needed any more is freed last.
 *
 * @module
 */

import { OverlapError, type ShortMode } from "../base/mod.ts";
import {
  layingOut,
  layoutOf,
  Registry,
  type Segment,
} from "../geometry/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import type { MappedFile } from "../storage/mod.ts";
import { Books } from "./books.ts";
import { type Content, contentLength } from "./content.ts";
import { SliceExtent, writeContent } from "./extent.ts";

/** Makes the public object of an extent. */
export type Face = (extent: SliceExtent) => SliceExtent["slice"];

/** One open map: its books and its slices. */
export class OpenMap extends Books {
  readonly registry: Registry<SliceExtent> = new Registry();
  #slices: readonly SliceExtent["slice"][] | null = null;
  /** Closed, and nothing is held any more. */
  #isLetGo = false;

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
    this.checkIdle();
    const extent = new SliceExtent(this, begin, end);
    extent.slice = face(extent);
    this.#add(extent);
    return extent;
  }

  /** Registers a floating slice of `content` at `offset`. */
  insert(offset: number, content: Content, face: Face): SliceExtent {
    const piece = this.arena.allocate(contentLength(content));
    const extent = new SliceExtent(this, offset, offset);
    extent.floating = piece;
    // Counted first: a script that node:vm stops in between must not leave an edit that
    // no flush would look for.
    this.floatingCount++;
    this.growth += piece.length;
    try {
      extent.slice = face(extent);
      if (typeof content !== "number") {
        piece.expectWrite(piece.length);
        writeContent(piece, 0, content);
      }
      this.mapping.checkFaults(); // the content may have been a view of it
      this.#add(extent);
    } catch (error) {
      this.floatingCount--;
      this.growth -= piece.length;
      piece.free();
      throw error;
    }
    return extent;
  }

  /** Adds `content` to what the next flush puts at the map's end. */
  append(content: Content): void {
    this.tail.append(content, this.mapping);
  }

  /** What a flush would write, in order. */
  layout(): Segment<SliceExtent>[] {
    return layoutOf(this.registry, this.mappedLength, this.tail.length);
  }

  /** The same, with a pause now and then. */
  layingOut(): Generator<void, Segment<SliceExtent>[]> {
    return layingOut(this.registry, this.mappedLength, this.tail.length);
  }

  /** Unregisters a slice; a pending edit of it is dropped. */
  delete(extent: SliceExtent): void {
    this.checkIdle();
    const { floating, length, begin, end } = extent;
    extent.dropViews();
    this.#slices = null;
    this.registry.remove(extent);
    extent.isDeleted = true;
    if (floating === null) return;
    extent.floating = null;
    this.growth -= length - (end - begin);
    this.floatingCount--;
    floating.free();
  }

  #add(extent: SliceExtent): void {
    this.#slices = null;
    const other = this.registry.add(extent);
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
    this.meanwhile.end();
    const [oldFile, oldMapping] = [this.file, this.mapping];
    this.switchTo(file, mapping, mode);
    file.takeHolders(oldFile);
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
    this.meanwhile.end();
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
    this.settleAt(length, isOnDisk);
  }

  /**
   * Releases everything. If that throws, call it again for what is left. `isDurable`:
   * may it wait for the disk?
   */
  close(isDurable: boolean): void {
    if (this.#letGo()) this.file.close(isDurable);
  }

  /** As {@linkcode close}; the file is closed while the event loop goes on. */
  async closeLater(isDurable: boolean): Promise<void> {
    if (this.#letGo()) await this.file.closeLater(isDurable);
  }

  /** Releases everything but the file. Returns whether that is still to be closed. */
  #letGo(): boolean {
    if (this.#isLetGo) return false;
    // In this order: if the first throws, the map is open, and its views come back.
    for (const extent of this.registry) extent.dropViews();
    this.state.close();
    this.arena.release();
    this.mapping.release();
    return this.#isLetGo = true;
  }
}
