/**
 * Following what others did to a mapped file.
 *
 * 1. What happened? Where nothing did, that is all.
 * 2. Look at everything that may forbid it: pending edits, slices that would lose
 *    bytes, bytes that were written in mode "c". Nothing has changed so far.
 * 3. A replaced file is opened and mapped, as `open` does it, a longer or shorter one
 *    mapped anew where it cannot stay as it is. Killed appends are finished, or do not
 *    count, as when the file is opened.
 * 4. The books change, which cannot fail. Then the old mapping and file are let go.
 *
 * @module
 */

import { ConflictError } from "../base/mod.ts";
import { checkDeepestStack, layoutOf } from "../geometry/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import { MappedFile, recover } from "../storage/mod.ts";
import { mapFile } from "./map_file.ts";
import { mapSettled } from "./open.ts";
import type { OpenMap } from "./open_map.ts";
import { finishCommit, settleCommit } from "./settle_commit.ts";

const PLAIN = { mode: "r", isAtomic: false } as const;
/** Bytes compared at a time. */
const COMPARED = 2 ** 26;

/** Maps the file as it is now. Returns whether anything has changed. */
export function refresh(map: OpenMap): boolean {
  map.checkUsable();
  const { file, mapping, state } = map;
  const { stale } = file;
  if (stale === "no" && mapping.faults === 0) return followCommit(map);
  state.checkWhole(file.path);
  if (map.isDirty) {
    throw refusal(
      file,
      "edits are pending; flush({ path }) saves them elsewhere",
    );
  }
  if (stale === "unlinked") {
    throw refusal(
      file,
      "there is no file at its path any more; flush({ path }) saves what is mapped",
    );
  }
  checkDeepestStack(); // half-way, there would be two of everything
  return stale === "replaced" ? reopen(map) : follow(map);
}

/** The file is as it was, but for a commit that was killed, or has been finished. */
function followCommit(map: OpenMap): boolean {
  const before = map.file.pending;
  if (!settleCommit(map)) {
    finishCommit(map);
    return true;
  }
  return map.file.pending !== before;
}

/** The file is the same, and longer or shorter, or pages of it were lost. */
function follow(map: OpenMap): boolean {
  const { file } = map;
  const before = file.size;
  try {
    file.measure();
    recover(file, map.isWritable);
    // An append that was killed, or is under way, does not count.
    if (file.size === before && map.mapping.faults === 0) return false;
    const length = lengthIn(map, before, file.size);
    checkNothingLost(map, length);
    map.follow(length);
    return true;
  } catch (error) {
    file.size = before;
    throw error;
  }
}

/** Another file has the path. */
function reopen(map: OpenMap): boolean {
  const { path, label, reserve, size } = map.file;
  const mode = map.mode === "w+" ? "r+" : map.mode; // nothing is made or cut
  const { file } = MappedFile.open(path, label, mode, reserve);
  let mapping: Mapping | undefined;
  let old: MappedFile;
  try {
    recover(file, map.isWritable);
    const length = lengthIn(map, size, file.size);
    checkNothingLost(map, length);
    mapping = mapSettled(file, map, length);
    file.lockAs(map.file);
    const segments = layoutOf(map.registry, length);
    old = map.moveTo(file, mapping, map.mode, segments, length, true);
  } catch (error) {
    mapping?.release();
    file.undoOpen(undefined, false);
    throw error;
  }
  old.close();
  return true;
}

/** Bytes to map: all if all were mapped, else as many as were, or as there are. */
function lengthIn(map: OpenMap, before: number, now: number): number {
  const { mappedLength } = map;
  return mappedLength === before ? now : Math.min(mappedLength, now);
}

/** Throws where a slice, or a byte that was written in mode "c", would be lost. */
function checkNothingLost(map: OpenMap, length: number): void {
  for (const { begin, end } of map.registry) {
    if (end <= length) continue;
    throw refusal(
      map.file,
      `${length} bytes could be mapped, and the slice from ${begin} to ${end} would ` +
        "lose bytes; delete() it first",
    );
  }
  if (map.mode !== "c" || !hasPrivateBytes(map)) return;
  throw refusal(
    map.file,
    "bytes were written in mode 'c', which would be lost; flush({ path }) saves them",
  );
}

/** Do bytes of the file differ from those of its private mapping? */
function hasPrivateBytes(map: OpenMap): boolean {
  const { file, mapping, mappedLength } = map;
  mapping.checkFaults();
  if (!mapping.maybeUnsynced) return false; // nobody could write
  const end = Math.min(mappedLength, Number(file.stat().size));
  const fresh = mapFile(file, { ...PLAIN, isGuarded: map.isGuarded }, end);
  try {
    for (let at = 0; at < end; at += COMPARED) {
      const count = Math.min(COMPARED, end - at);
      if (!mapping.equals(fresh, at, at, count)) return true;
    }
    return false;
  } finally {
    fresh.release();
  }
}

function refusal(file: MappedFile, reason: string): ConflictError {
  return new ConflictError(
    `'${file.path}' has changed since it was mapped, and cannot be mapped anew: ` +
      `${reason}. Nothing was changed.`,
  );
}
