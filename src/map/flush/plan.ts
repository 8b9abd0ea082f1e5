/**
 * What a flush has to write: where each byte of the new file comes from.
 *
 * Looks at the books and writes nothing.
 *
 * @module
 */

import {
  appendRun,
  type Run,
  runsOf,
  type Segment,
} from "../../geometry/mod.ts";
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

export function planOf(map: OpenMap): Plan {
  const segments = map.layout();
  const runs = runsOf(segments);
  const behind = map.file.size - map.mappedLength;
  appendRun(runs, map.mappedLength, map.length, behind);
  return {
    segments,
    runs,
    floats: floatsOf(segments, map),
    mappedLength: map.length,
    fileLength: map.length + behind,
  };
}

function floatsOf(
  segments: readonly Segment<SliceExtent>[],
  { tail, mappedLength }: OpenMap,
): Float[] {
  const floats: Float[] = [];
  for (const { extent, state, begin, end, offset, length } of segments) {
    if (state !== "floating") continue;
    if (extent !== null) floats.push({ extent, begin, end, offset, length });
    else {
      let at = offset;
      for (const piece of tail.pieces) {
        const { length } = piece;
        floats.push({
          extent: piece,
          begin: mappedLength,
          end: mappedLength,
          offset: at,
          length,
        });
        at += length;
      }
    }
  }
  return floats;
}

/** Does no byte that is already in the file, and stays, have to move or change? */
export function canExtend(map: OpenMap, plan: Plan): boolean {
  const { size } = map.file;
  if (plan.runs.some(({ from, to }) => from !== to)) return false;
  return plan.floats.every(({ extent, begin, end, offset, length }) => {
    if (length === 0 || offset >= size) return true;
    if (offset !== begin) return false;
    if (begin + length > end && end !== size) return false;
    const count = Math.min(length, end - begin);
    return extent.mapping.equals(map.mapping, extent.offset, begin, count);
  });
}
