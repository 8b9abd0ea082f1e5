/**
 * What a flush has to write: where each byte of the new file comes from.
 *
 * Looks at the books and writes nothing. Of a million slices, or of a gigabyte that
 * floats, that takes long: so it is steps, too.
 *
 * @module
 */

import { appendRun, type Run, type Segment } from "../../geometry/mod.ts";
import { BREATH, type Steps } from "../../storage/mod.ts";
import type { SliceExtent } from "../extent.ts";
import type { OpenMap } from "../open_map.ts";

/** All offsets and lengths are bytes. */
export interface Plan {
  readonly segments: readonly Segment<SliceExtent>[];
  /** What comes from the old file, in order; bytes behind the map among them. */
  readonly runs: readonly Run[];
  /** What comes from memory, in order. */
  readonly floats: readonly Float[];
  /** Bytes of the file afterwards, and of the part that is mapped. */
  readonly fileLength: number;
  readonly mappedLength: number;
}

/** Bytes in memory, and where they go: a floating slice's, or appended ones. */
export interface Float {
  /** Where they are. */
  readonly extent: Pick<SliceExtent, "mapping" | "offset">;
  /** The range of the file that they replace. */
  readonly begin: number;
  readonly end: number;
  /** Where they will be in the file, and how many. */
  readonly offset: number;
  readonly length: number;
}

/** Segments between two pauses. */
const BETWEEN = 4096;
/** Bytes that are compared at a time. */
const COMPARED = 2 ** 24;

export function* planOf(map: OpenMap): Steps<Plan> {
  const laying = map.layingOut();
  let next = laying.next();
  for (; !next.done; next = laying.next()) yield BREATH;
  const segments = next.value;
  const runs: Run[] = [];
  const floats: Float[] = [];
  for (let i = 0; i < segments.length; i++) {
    if (i % BETWEEN === BETWEEN - 1) yield BREATH;
    const { extent, state, begin, end, offset, length } = segments[i]!;
    if (state !== "floating") appendRun(runs, begin, offset, end - begin);
    else if (extent === null) floats.push(...appended(map, offset));
    else floats.push({ extent, begin, end, offset, length });
  }
  const behind = map.file.size - map.mappedLength;
  // Not what the map counts along, which is wrong after node:vm has stopped a script in
  // the midst of an edit.
  const last = segments.at(-1);
  const length = last === undefined ? 0 : last.offset + last.length;
  appendRun(runs, map.mappedLength, length, behind);
  return {
    segments,
    runs,
    floats,
    mappedLength: length,
    fileLength: length + behind,
  };
}

/** What was appended, which will be at `offset` of the file. */
function* appended({ tail, mappedLength }: OpenMap, offset: number) {
  for (const piece of tail.pieces) {
    const { length } = piece;
    const [begin, end] = [mappedLength, mappedLength];
    yield { extent: piece, begin, end, offset, length };
    offset += length;
  }
}

/** Is all that is to be written behind the file's end, with nothing moved? */
export function isAppend(map: OpenMap, { runs, floats }: Plan): boolean {
  const { size } = map.file;
  return runs.every(({ from, to }) => from === to) &&
    floats.every(({ offset, length }) => length === 0 || offset >= size);
}

/** Does no byte that is already in the file, and stays, have to move or change? */
export function* canExtend(map: OpenMap, plan: Plan): Steps<boolean> {
  const { size } = map.file;
  if (plan.runs.some(({ from, to }) => from !== to)) return false;
  for (const { extent, begin, end, offset, length } of plan.floats) {
    if (length === 0 || offset >= size) continue;
    if (offset !== begin) return false;
    if (begin + length > end && end !== size) return false;
    const count = Math.min(length, end - begin);
    for (let at = 0; at < count; at += COMPARED) {
      const piece = Math.min(COMPARED, count - at);
      const { mapping, offset: from } = extent;
      if (!mapping.equals(map.mapping, from + at, begin + at, piece)) {
        return false;
      }
      yield BREATH;
    }
  }
  return true;
}
