/**
 * What a flush has to write: where each byte of the new file comes from.
 *
 * Looks at the books and writes nothing.
 *
 * @module
 */

import {
  appendRun,
  layoutOf,
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

/** A floating slice, and where its bytes go. */
export interface Float extends Segment<SliceExtent> {
  readonly extent: SliceExtent;
}

export function planOf(map: OpenMap): Plan {
  const segments = layoutOf(map.registry, map.mappedLength);
  const runs = runsOf(segments);
  const behind = map.file.size - map.mappedLength;
  appendRun(runs, map.mappedLength, map.length, behind);
  return {
    segments,
    runs,
    floats: segments.filter((segment): segment is Float =>
      segment.state === "floating"
    ),
    mappedLength: map.length,
    fileLength: map.length + behind,
  };
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
