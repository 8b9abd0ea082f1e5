/**
 * What readers of a map get while a flush lets the event loop go on.
 *
 * The bytes that a flush is copying must not change any more, or a write would be in
 * the old file and not in the new one, and nobody would know. So no view that was
 * handed out before stays attached to them, and those that are asked for meanwhile
 * are over a private mapping of the same file, or over a copy. They are detached when
 * the flush counts, or when it has failed.
 *
 * Must not know slices: {@linkcode Reader} is what it sees of them.
 *
 * @module
 */

import { Mapping } from "../memory/mod.ts";

/** Whoever was given views. */
export interface Reader {
  /** Detaches all of them. */
  dropViews(): void;
  /** Detaches the one that no user ever sees. */
  dropOwnView(): void;
}

/** A view, and what to ask for its end. */
export interface Given {
  readonly mapping: Mapping;
  readonly buffer: ArrayBuffer;
}

/** What is mapped privately. */
export interface Source {
  readonly fd: number;
  readonly path: string;
  readonly length: number;
  readonly isGuarded: boolean;
}

/** The views of one flush after the other. */
export class Meanwhile {
  /** Who has a view of its own that must not be written to. */
  readonly #readers = new Set<Reader>();
  /** Who has a view over private memory. */
  readonly #givenAway = new Set<Reader>();
  /** Of what is mapped, from the first time that somebody asks for a view of it. */
  #mapping: Mapping | undefined;
  #source: Source | "copied" | undefined;

  /** May mapped bytes be written to through a view, since they stay where they are? */
  get isShared(): boolean {
    return this.#source === undefined;
  }

  /**
   * From now on no write may reach the mapped bytes. Views are over a private mapping
   * of `source`, or over copies where that has not all bytes.
   */
  keepPrivate(source: Source | "copied"): void {
    this.#source = source;
  }

  /** Notes that `reader` has a view of its own, for as long as nothing may be written. */
  note(reader: Reader): void {
    this.#readers.add(reader);
  }

  /** A view of the bytes `begin` to `end` of `memory`, from which nobody gets there. */
  give(
    reader: Reader,
    memory: Mapping,
    begin: number,
    end: number,
    isFloating: boolean,
  ): Given {
    this.#givenAway.add(reader);
    const source = this.#source;
    if (isFloating || source === undefined || source === "copied") {
      memory.checkFaults();
      const buffer = new ArrayBuffer(end - begin);
      if (end > begin) {
        memory.borrow(
          begin,
          end,
          (bytes) => new Uint8Array(buffer).set(bytes),
        );
      }
      // Not one of its own: revoking it there detaches it all the same.
      return { mapping: memory, buffer };
    }
    memory.checkFaults();
    const { fd, path, length, isGuarded } = source;
    this.#mapping ??= Mapping.ofFile(
      // As in mode "r": what strays into it costs a page, and reaches nobody.
      { fd, shared: false, charged: false, guarded: isGuarded, hugePage: 0 },
      length,
      0,
      path,
    );
    return { mapping: this.#mapping, buffer: this.#mapping.view(begin, end) };
  }

  /** The flush counts, or is over: detaches what was given, and lets go of the rest. */
  end(): void {
    for (const reader of this.#givenAway) reader.dropViews();
    for (const reader of this.#readers) reader.dropOwnView();
    this.#givenAway.clear();
    this.#readers.clear();
    const mapping = this.#mapping;
    this.#mapping = undefined;
    this.#source = undefined;
    mapping?.release();
  }
}
