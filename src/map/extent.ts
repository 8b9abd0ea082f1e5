/**
 * What a map knows of one slice: its range in the file, where its bytes are now,
 * and the view of them that was handed out.
 *
 * @module
 */

import type { Piece } from "../memory/mod.ts";
import type { Sized } from "../geometry/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import type { MemmapSlice } from "./slice.ts";

/** A view that was handed out, and of what. */
interface View {
  readonly mapping: Mapping;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** One slice, as the registry and the layout see it. */
export class SliceExtent implements Sized {
  begin: number;
  end: number;
  order = 0;
  /** The bytes in memory, once resized or inserted. */
  floating: Piece | null = null;
  isDeleted = false;
  /** The public object; set by who creates both. */
  slice!: MemmapSlice;
  #view: View | null = null;
  #ownView: View | null = null;

  constructor(begin: number, end: number) {
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

  /** The slice's bytes, wherever they are; `file` is the map's own mapping. */
  view(file: Mapping): View {
    return this.#view = this.#current(this.#view, file, false);
  }

  /**
   * The same bytes in a buffer that no user ever sees. Nobody can move it or pin
   * it, so it is detached when, and only when, the bytes are elsewhere: who keeps
   * it need not ask whether it is still right.
   */
  ownView(file: Mapping): View {
    return this.#ownView = this.#current(this.#ownView, file, true);
  }

  /** Detaches what was handed out; the bytes are about to be elsewhere. */
  dropView(): void {
    drop(this.#view);
    drop(this.#ownView);
    this.#view = null;
    this.#ownView = null;
  }

  #current(view: View | null, file: Mapping, isOwn: boolean): View {
    const mapping = this.floating?.mapping ?? file;
    mapping.checkFaults();
    // Detached by others: moved with transfer(); what is left is of no use.
    if (view !== null && view.mapping === mapping && !view.buffer.detached) {
      return view;
    }
    // An empty one was not detached with its mapping, and who kept it should know.
    if (view?.mapping !== mapping) drop(view);
    const begin = this.floating?.offset ?? this.begin;
    const buffer = mapping.view(begin, begin + this.length, isOwn);
    return { mapping, buffer, bytes: new Uint8Array(buffer) };
  }
}

function drop(view: View | null): void {
  if (view === null) return;
  const { mapping, buffer } = view;
  mapping.revoke(buffer);
  // An empty view has no memory to revoke, but is as stale.
  if (buffer.byteLength === 0 && !buffer.detached) buffer.transfer();
}
