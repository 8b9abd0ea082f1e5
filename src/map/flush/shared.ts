/**
 * Steps that several strategies of flush take.
 *
 * @module
 */

import type { Run } from "../../geometry/mod.ts";
import {
  BLOCK,
  BREATH,
  BREATHS,
  type Copier,
  fsyncStep,
  type Lock,
  type MappedFile,
  type Step,
  stepOf,
  type Steps,
} from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";
import type { Float, Plan } from "./plan.ts";

/**
 * Takes `steps`, which change the file's length or move its bytes, under its lock:
 * whatever else does so waits, or fails, and is seen before the first step.
 */
export function* underLock<T>(file: MappedFile, steps: Steps<T>): Steps<T> {
  let lock: Lock | undefined;
  try {
    yield stepOf(
      () => {
        lock = file.lock();
      },
      async (abort) => {
        lock = await file.lockLater(abort);
      },
    );
    file.checkUnchanged(); // whoever had the lock may have flushed
    return yield* steps;
  } finally {
    lock?.release();
  }
}

/**
 * Ends the journal that is kept for small appends, if there is one, before what has no
 * use for it: whatever finds it there would wait for the disk on this thread.
 */
export function* endKept(map: OpenMap, isDurable: boolean): Steps {
  const { kept } = map.file;
  if (kept?.folder === undefined) return;
  map.unsettleFolder(kept.folder);
  yield* kept.ending(isDurable);
}

/** Waits until what the map's file has is on disk. */
export function syncFile(file: MappedFile): Step {
  return fsyncStep(() => file.sync(), () => file.syncLater());
}

/** Waits until the names of the last flush are on disk. */
export function settling(map: OpenMap): Step {
  return fsyncStep(() => map.settleFolder(), () => map.settleFolderLater());
}

/**
 * Where bytes of the mapped file from `changed` on will change: detaches the views of
 * what moves, and maps anew if the new bytes will not fit into the address space at
 * hand, or if a view that cannot be detached reaches what changes.
 */
export function makeRoom(map: OpenMap, plan: Plan, changed: number): void {
  for (const { extent, begin, offset } of plan.segments) {
    if (extent !== null && begin !== offset && !extent.isFloating) {
      extent.dropViews();
    }
  }
  const { mapping } = map;
  const fits = plan.mappedLength <= mapping.capacity;
  if (fits && !mapping.hasEscapedAfter(changed)) return;
  map.remap(Math.max(map.mappedLength, plan.mappedLength));
}

/**
 * Cuts the file, and before it what is mapped of it: an operation that still uses a
 * detached buffer, as Deno allows, would hit lost pages. So would whoever reads the
 * map while that takes its time.
 */
export function* cut(map: OpenMap, length: number): Steps {
  map.keepOut();
  map.mapping.cut(length);
  try {
    yield {
      ...stepOf(
        () => map.file.truncate(length),
        () => map.file.truncateLater(length),
      ),
      isFinal: true,
    };
  } catch (error) {
    try {
      map.remap(map.mappedLength); // the bytes are still in the file
    } catch {
      map.state.tear(); // the error that led here says more
    }
    throw error;
  }
}

/** Gathers a small floating slice; false where {@linkcode writeFloats} must take it. */
export function gatherFloat(
  copier: Copier,
  { extent, offset, length }: Float,
): boolean {
  return copier.gatherMemory(extent.mapping, extent.offset, offset, length);
}

/**
 * What will be written when `runs` are copied and `floats` written: ranges of the new
 * file, in order. Holes of the old one and what is shared with it are left out, and
 * stretches put together that lie in one block.
 */
export function* writtenRanges(
  copier: Copier,
  runs: readonly Run[],
  floats: readonly Float[],
): Generator<readonly [begin: number, end: number]> {
  let [first, last] = [0, 0];
  for (const [begin, end] of piecesOf(copier, runs, floats)) {
    if (begin - last >= BLOCK) {
      if (last > first) yield [first, last];
      first = begin;
    }
    last = end;
  }
  if (last > first) yield [first, last];
}

function* piecesOf(
  copier: Copier,
  runs: readonly Run[],
  floats: readonly Float[],
): Generator<readonly [begin: number, end: number]> {
  let next = 0;
  for (const { from, to, length } of runs) {
    for (; next < floats.length && floats[next]!.offset < to; next++) {
      yield rangeOf(floats[next]!);
    }
    const shift = to - from;
    for (const [begin, end] of copier.written(from, from + length, shift)) {
      yield [begin + shift, end + shift];
    }
  }
  for (; next < floats.length; next++) yield rangeOf(floats[next]!);
}

function rangeOf(float: Float): readonly [begin: number, end: number] {
  return [float.offset, float.offset + float.length];
}

/** Writes the floating bytes that belong at offset `from` of the file or later, each `shift` bytes further on. */
export function* writeFloats(
  copier: Copier,
  floats: readonly Float[],
  from = 0,
  shift = 0,
): Steps {
  let turns = 0;
  for (const { extent, offset, length } of floats) {
    if (++turns % BREATHS === 0) yield BREATH;
    const skipped = Math.min(Math.max(from - offset, 0), length);
    const { mapping } = extent;
    const source = extent.offset + skipped;
    const target = offset + skipped + shift;
    const count = length - skipped;
    if (!copier.gatherMemory(mapping, source, target, count)) {
      yield* copier.writeMemory(mapping, source, target, count);
    }
  }
}

/** Re-bases what has been written and cannot be taken back, then waits for the disk. */
export function* commit(map: OpenMap, plan: Plan, isDurable: boolean): Steps {
  map.rebase(plan.segments, plan.mappedLength, false);
  if (!isDurable) return;
  yield syncFile(map.file);
  if (!map.isAtomic) map.mapping.markSynced();
  yield settling(map);
}

/** Waits until the names in `folder` are on disk, or leaves that to sync(). */
export function* settleFolder(
  map: OpenMap,
  folder: string,
  isDurable: boolean,
): Steps {
  map.unsettleFolder(folder);
  if (isDurable) yield settling(map);
}

/** Bytes of several pieces together. */
export function sum(pieces: readonly { length: number }[]): number {
  return pieces.reduce((total, { length }) => total + length, 0);
}
