/**
 * How a file is mapped: shared or private, with how much room, and under the guard or
 * not.
 *
 * @module
 */

import { isWritable, type ShortMode } from "../base/mod.ts";
import { Mapping } from "../memory/mod.ts";
import type { MappedFile } from "../storage/mod.ts";

// Address space kept behind a writable map, for the file to grow into without moving
// any view. It costs nothing until it is used; see Mapping.ofFile.
const MIN_SPARE = 2 ** 26;
const MAX_SPARE = 2 ** 36;

/** How a file is mapped. */
export interface MapKind {
  readonly mode: ShortMode;
  /** Under the fault guard, if there is one? */
  readonly isGuarded: boolean;
  /** Does nothing that is written reach the file before a flush? */
  readonly isAtomic: boolean;
}

/** Maps `length` bytes of `file` as `kind` says. */
export function mapFile(
  file: MappedFile,
  { mode, isGuarded, isAtomic }: MapKind,
  length: number,
): Mapping {
  const grows = isWritable(mode);
  const shared = grows && !isAtomic;
  const spare = grows ? Math.min(Math.max(length, MIN_SPARE), MAX_SPARE) : 0;
  return Mapping.ofFile(
    // Shared pages need no swap. Those of "r" are never meant to be written, and those
    // of an atomic map are few: what it has written since the last flush.
    {
      fd: file.fd,
      shared,
      charged: mode === "c",
      guarded: isGuarded,
      hugePage: file.hugePage,
    },
    length,
    spare,
    file.path,
  );
}
