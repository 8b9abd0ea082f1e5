/**
 * The layout: what a flush would write, in order, computed from the slices' extents.
 *
 * A {@linkcode Segment} is a stretch of the file: a gap that no slice covers, a slice
 * in place, a floating slice, or what was appended. A {@linkcode Run} joins segments that can be copied
 * in one go.
 *
 * Must not know of memory or files: nothing here does I/O.
 *
 * @module
 */

import type { Extent } from "./registry.ts";

/** What the layout needs to know of a slice. */
export interface Sized extends Extent {
  /** Bytes it has now, which may differ from its file range if it floats. */
  readonly length: number;
  readonly isFloating: boolean;
}

/**
 * A stretch of the file, in bytes: `begin` to `end` now, `length` bytes at `offset`
 * after a flush. `extent` is `null` for a gap, and for what was appended.
 */
export interface Segment<E> {
  readonly extent: E | null;
  readonly state: "gap" | "mapped" | "floating";
  readonly begin: number;
  readonly end: number;
  readonly offset: number;
  readonly length: number;
}

/** `length` contiguous bytes at `from` in the old file that belong at `to` in the new one. */
export interface Run {
  from: number;
  to: number;
  length: number;
}

/**
 * The segments of a file of which `mappedLength` bytes are mapped, and to which
 * `appended` bytes are added; `extents` in file order.
 */
export function layoutOf<E extends Sized>(
  extents: Iterable<E>,
  mappedLength: number,
  appended = 0,
): Segment<E>[] {
  const steps = layingOut(extents, mappedLength, appended);
  let next = steps.next();
  while (!next.done) next = steps.next();
  return next.value;
}

/** Extents between two pauses: some milliseconds' work. */
const BETWEEN = 4096;

/** The same, with a pause now and then. */
export function* layingOut<E extends Sized>(
  extents: Iterable<E>,
  mappedLength: number,
  appended = 0,
): Generator<void, Segment<E>[]> {
  let turns = 0;
  const segments: Segment<E>[] = [];
  let at = 0; // in the file now
  let offset = 0; // in the file after a flush
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
    if (++turns % BETWEEN === 0) yield;
    const { begin, end, length } = extent;
    gapTo(begin);
    const state = extent.isFloating ? "floating" : "mapped";
    segments.push({ extent, state, begin, end, offset, length });
    at = end;
    offset += length;
  }
  gapTo(mappedLength);
  if (appended > 0) {
    segments.push({
      extent: null,
      state: "floating",
      begin: mappedLength,
      end: mappedLength,
      offset,
      length: appended,
    });
  }
  return segments;
}

/** The bytes that come from the old file, joined where they stay contiguous. */
export function runsOf(segments: Iterable<Segment<unknown>>): Run[] {
  const runs: Run[] = [];
  for (const { state, begin, end, offset } of segments) {
    if (state !== "floating") appendRun(runs, begin, offset, end - begin);
  }
  return runs;
}

/** Appends a run, or extends the last one if this one continues it in both files. */
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
