/**
 * What a map knows of one slice: its range in the file, and where its bytes are now.
 *
 * An extent knows its map's books, so that "where are this slice's bytes" is answered
 * here alone: in the map's own mapping, or in the arena once the slice floats.
 *
 * @module
 */

import { copyOfTyped, DeletedSliceError, setBytes } from "../base/mod.ts";
import { checkDeepestStack, type Sized } from "../geometry/mod.ts";
import { isDetached, type Mapping, type Piece } from "../memory/mod.ts";
import type { Books } from "./books.ts";
import { type Content, contentLength } from "./content.ts";
import type { MemmapSlice } from "./slice.ts";

/** Where a slice's bytes are. */
export type SliceState = "mapped" | "floating" | "deleted" | "closed";

/** A view of an extent's bytes that was handed out. */
export interface View {
  readonly mapping: Mapping;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** The views of one extent. */
interface Views {
  forUsers: View | null;
  own: View | null;
}

/** One slice, as the registry and the layout see it. */
export class SliceExtent implements Sized {
  readonly #books: Books;
  begin: number;
  end: number;
  order = 0;
  /** The bytes in memory, once resized or inserted. */
  floating: Piece | null = null;
  isDeleted = false;
  /** The public object. Set by whoever creates both. */
  slice!: MemmapSlice;
  /** What was handed out. Apart, so that a slice without views is small. */
  #views: Views | null = null;

  constructor(books: Books, begin: number, end: number) {
    this.#books = books;
    this.begin = begin;
    this.end = end;
  }

  get length(): number {
    return this.floating === null
      ? this.end - this.begin
      : this.floating.length;
  }

  get isFloating(): boolean {
    return this.floating !== null;
  }

  /** The memory that holds the bytes, from {@linkcode offset} on. */
  get mapping(): Mapping {
    return this.floating === null ? this.#books.mapping : this.floating.mapping;
  }

  /** Where in {@linkcode mapping} the bytes begin. */
  get offset(): number {
    return this.floating === null ? this.begin : this.floating.offset;
  }

  /**
   * May a view that was taken elsewhere show the same bytes at another address? Copying
   * between the two is then no `memmove`: what is copied later may be overwritten.
   */
  get isMappedTwice(): boolean {
    return !this.isFloating && this.#books.file.isMappedTwice;
  }

  /** Are the bytes the file's, and were pages of the file lost? */
  get hasLostBytes(): boolean {
    return !this.isFloating && this.mapping.faults > 0;
  }

  get state(): SliceState {
    if (this.isDeleted) return "deleted";
    if (this.#books.state.isClosed) return "closed";
    return this.isFloating ? "floating" : "mapped";
  }

  /** May the bytes be written now? Asked once by whoever looks where they are. */
  get isEditable(): boolean {
    return this.#books.isEditable && !this.#books.state.isSaving;
  }

  /** Throws unless the slice can be used now. */
  checkUsable(): void {
    if (this.isDeleted) {
      throw new DeletedSliceError(
        `A deleted MemmapSlice has been used. ('${this.#books.file.path}'; ` +
          "take a new one with map.slice())",
      );
    }
    this.#books.checkUsable();
  }

  /** Throws unless the bytes may be written. */
  checkEditable(): void {
    this.#books.checkEditable();
  }

  /** Makes the slice float, at `length` bytes: cut, or padded with zeros. */
  resize(length: number): void {
    if (length !== this.length) this.#float(length);
  }

  /** Replaces `deleteCount` bytes at `offset` by `content`, or by so many zeros. */
  splice(offset: number, deleteCount: number, content: Content): void {
    checkDeepestStack(); // the steps below belong together
    const before = this.length;
    const added = contentLength(content);
    const after = before - deleteCount + added;
    // The content may be a view of this very slice, which is about to go.
    const kept = typeof content === "number"
      ? content
      : this.copyChecked(() => new Uint8Array(content));
    const piece = this.#float(Math.max(before, after));
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
    this.#float(after);
  }

  #float(length: number): Piece {
    const before = this.length;
    const { floating } = this;
    let piece: Piece;
    if (floating !== null) {
      this.dropViews();
      piece = floating.resized(length);
      this.floating = piece;
      this.#books.growth += length - before;
      if (piece !== floating) {
        try {
          floating.free();
        } catch {
          // Too deep a stack. The resize counts; the memory stays with the arena until
          // that is released.
        }
      }
      return piece;
    }
    piece = this.#books.arena.allocate(length);
    try {
      const kept = Math.min(before, length);
      piece.expectWrite(kept);
      piece.mapping.copyFrom(this.mapping, this.offset, piece.offset, kept);
      this.dropViews();
    } catch (error) {
      piece.free();
      throw error;
    }
    // Counted first: see OpenMap.insert.
    this.#books.floatingCount++;
    this.#books.growth += length - before;
    this.floating = piece;
    return piece;
  }

  /** Writes `count` bytes at `offset` again and again behind them, up to `end`. */
  repeat(offset: number, count: number, end: number): void {
    const { mapping, offset: base } = this;
    for (let done = count; offset + done < end; done *= 2) {
      const to = offset + done;
      const length = Math.min(done, end - to);
      mapping.copyFrom(mapping, base + offset, base + to, length);
    }
  }

  /**
   * Copies `values` to `at` of a view of the slice, whatever memory they are in. Throws
   * if that met lost pages.
   */
  write(
    { mapping, bytes }: { mapping: Mapping; bytes: Uint8Array },
    values: ArrayBufferView,
    at: number,
  ): void {
    const file = this.#books.mapping;
    const before = file.faults;
    setBytes(bytes, this.isMappedTwice ? copyOfTyped(values) : values, at);
    if (file.faults !== before) file.checkFaults();
    if (mapping !== file) mapping.checkFaults();
  }

  /**
   * Runs `copy`, which may read a view of the mapped file. Throws if it met lost
   * pages, since it has copied zeros then.
   */
  copyChecked<T>(copy: () => T): T {
    return this.#books.copyChecked(copy);
  }

  /** The slice's bytes, for users. */
  view(): View {
    const views = this.#views ??= { forUsers: null, own: null };
    const { state, meanwhile } = this.#books;
    if (state.isSaving && (this.isFloating || !meanwhile.isShared)) {
      return views.forUsers = this.#givenMeanwhile(views.forUsers);
    }
    return views.forUsers = this.#current(views.forUsers, false);
  }

  /** A view while a flush is under way: those from before are detached. */
  #givenMeanwhile(view: View | null): View {
    const { mapping, offset, length } = this;
    mapping.checkFaults();
    if (view !== null && isAttached(view)) return view;
    const given = this.#books.meanwhile.give(
      this,
      mapping,
      offset,
      offset + length,
      this.isFloating,
    );
    return { ...given, bytes: new Uint8Array(given.buffer) };
  }

  /**
   * The same bytes in a buffer that no user ever sees. Nobody can move or pin it, so
   * it is detached exactly when the bytes are elsewhere: whoever keeps it need not
   * ask whether it is still right.
   */
  ownView(): View {
    const views = this.#views ??= { forUsers: null, own: null };
    // Arrays that look for their bytes now must look again when they may write.
    if (this.#books.state.isSaving) this.#books.meanwhile.note(this);
    return views.own = this.#current(views.own, true);
  }

  /**
   * Detaches what was handed out: the bytes are about to be elsewhere. Comes before
   * that, since it can fail; views are made anew when they are asked for.
   */
  dropViews(): void {
    const views = this.#views;
    if (views === null) return;
    // Noted as gone once they are: a throw in between leaves them to the next call.
    views.forUsers?.mapping.revoke(views.forUsers.buffer);
    views.own?.mapping.revoke(views.own.buffer);
    this.#views = null;
  }

  /** The same for what no user sees: arrays look for the bytes again. */
  dropOwnView(): void {
    const views = this.#views;
    if (views === null || views.own === null) return;
    views.own.mapping.revoke(views.own.buffer);
    views.own = null;
  }

  #current(view: View | null, isOwn: boolean): View {
    const { mapping, offset } = this;
    mapping.checkFaults();
    if (view !== null) {
      // Detached by the user, with transfer(): what is left is of no use.
      if (view.mapping === mapping && isAttached(view)) return view;
      view.mapping.revoke(view.buffer);
    }
    const buffer = mapping.view(offset, offset + this.length, isOwn);
    return { mapping, buffer, bytes: new Uint8Array(buffer) };
  }
}

/**
 * A length tells fast. A program that lies about it, by a property of its own, gets its
 * own detached view back. Asking for an element would do as well, but once compiled,
 * `0 in bytes` reads the byte in Bun, and may meet a lost page.
 */
function isAttached({ buffer, bytes }: View): boolean {
  return bytes.byteLength > 0 || !isDetached(buffer); // an empty view has no bytes
}

export function writeContent(
  piece: Piece,
  at: number,
  content: Uint8Array,
): void {
  if (content.length === 0) return;
  const begin = piece.offset + at;
  const end = begin + content.length;
  piece.mapping.borrow(begin, end, (bytes) => setBytes(bytes, content));
}
