/**
 * From registered extents to what flush would write, in order.
 *
 * Pure: no memory, no I/O. A {@linkcode Segment} is a stretch of the file that is
 * one thing now: a gap that no slice covers, a slice in place, or a floating one.
 * {@linkcode runsOf} joins what can be copied in one go.
 *
 * @module
 */

import type { Extent } from "./registry.ts";

/** What the layout must know of a slice. */
export interface Sized extends Extent {
  /** Bytes now. */
  readonly length: number;
  readonly isFloating: boolean;
}

/** A stretch of the file: where it is now, and where flush puts it. Bytes. */
export interface Segment<E> {
  readonly extent: E | null;
  readonly state: "gap" | "mapped" | "floating";
  readonly begin: number;
  readonly end: number;
  readonly offset: number;
  readonly length: number;
}

/** Bytes of the old file that keep their order: `length` from `from`, to `to`. */
export interface Run {
  from: number;
  to: number;
  length: number;
}

/** Walks `extents`, in file order, over a file whose mapped part has `mappedLength` bytes. */
export function layoutOf<E extends Sized>(
  extents: Iterable<E>,
  mappedLength: number,
): Segment<E>[] {
  const segments: Segment<E>[] = [];
  let at = 0; // in the file now
  let offset = 0; // in the file after flush
  const gapTo = (end: number) => {
    if (end === at) return;
    const length = end - at;
    segments.push({
      extent: null,
      state: "gap",
      begin: at,
      end,
      offset,
      length,
    });
    at = end;
    offset += length;
  };
  for (const extent of extents) {
    const { begin, end, length } = extent;
    gapTo(begin);
    const state = extent.isFloating ? "floating" : "mapped";
    segments.push({ extent, state, begin, end, offset, length });
    at = end;
    offset += length;
  }
  gapTo(mappedLength);
  return segments;
}

/** The bytes that come from the old file, joined where they stay together. */
export function runsOf(segments: Iterable<Segment<unknown>>): Run[] {
  const runs: Run[] = [];
  for (const { state, begin, end, offset } of segments) {
    if (state !== "floating") appendRun(runs, begin, offset, end - begin);
  }
  return runs;
}

/** Adds a run behind the others, to the last of them if it goes on from there. */
export function appendRun(
  runs: Run[],
  from: number,
  to: number,
  length: number,
): void {
  if (length === 0) return;
  const last = runs.at(-1);
  if (
    last !== undefined && last.from + last.length === from &&
    last.to + last.length === to
  ) last.length += length;
  else runs.push({ from, to, length });
}
