/**
 * Commits of other maps that were killed after this one had mapped the file.
 *
 * A map that writes finishes them. One that only reads has them laid over its private
 * pages, until somebody else has finished them.
 *
 * @module
 */

import { recover } from "../storage/mod.ts";
import type { OpenMap } from "./open_map.ts";

/**
 * Looks for a killed commit, and lays it over a map in mode `r`. False where there is one
 * that the map has to finish. The pages of mode `c` stay as they are.
 */
export function settleCommit(map: OpenMap): boolean {
  const { file, mapping, mappedLength } = map;
  const before = file.pending;
  if (before?.isThere()) return true;
  // What it has found out of the size is for who maps the file anew.
  const { size } = file;
  try {
    recover(file, false);
  } finally {
    file.size = size;
  }
  const { pending } = file;
  if (map.isWritable) {
    file.pending = undefined;
    return pending === undefined;
  }
  if (map.mode === "c") return true;
  if (before !== undefined) mapping.dropWritten(0, mappedLength);
  pending?.layOver(mapping, mappedLength);
  return true;
}

/** Finishes a killed commit, unless another map is just doing so. */
export function finishCommit({ file }: OpenMap): void {
  const { size } = file;
  try {
    recover(file, true);
  } finally {
    file.size = size;
  }
}
