/**
 * Strategy "replace": a new file takes the old one's place.
 *
 * 1. Note in a journal beside the target, and then create, a file of unguessable
 *    name in the same folder, exclusively. It gets the target's permissions and,
 *    where permitted, its owner and extended attributes.
 * 2. Give it its length, with blocks reserved for what will be written: a full disk is
 *    detected here. Holes of the old file stay holes. Where the file system lets files
 *    share blocks, whole blocks that stay whole are shared, and need no room.
 * 3. Fill it from the old file and from memory; fsync it, so that the name never
 *    leads to bytes that are not on disk.
 * 4. Map it, while failing to is still harmless. On any failure so far it is
 *    unmapped, closed and unlinked, and nothing has happened.
 * 5. Look once more at what is to be replaced: others may have changed its
 *    permissions, or given it another name. Rename the new file over the target: the
 *    one step that counts, atomic by POSIX.
 * 6. Re-base the slices in memory onto the new mapping; let go of the old file.
 * 7. fsync the folder, so that the rename outlives a power cut.
 *
 * @module
 */

import type { ShortMode } from "../../base/mod.ts";
import type { Mapping } from "../../memory/mod.ts";
import {
  allocate,
  BREATH,
  BREATHS,
  checkReplaceable,
  Copier,
  type Destination,
  destinationAt,
  type Lock,
  lockDestination,
  lockDestinationLater,
  type MappedFile,
  NewFile,
  sharedBlockOf,
  stepOf,
  type Steps,
  type Work,
} from "../../storage/mod.ts";
import { mapFile } from "../map_file.ts";
import type { OpenMap } from "../open_map.ts";
import type { FlushResult } from "./options.ts";
import type { Plan } from "./plan.ts";
import {
  endKept,
  gatherFloat,
  settling,
  syncFile,
  underLock,
  writeFloats,
  writtenRanges,
} from "./shared.ts";

/** The file that a replace makes. */
export interface Target {
  readonly path: string;
  readonly label: string;
  /** The mode of the map afterwards. */
  readonly mode: ShortMode;
}

export function replace(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
  target: Target,
): Work<FlushResult> {
  return {
    steps: makeAnew(map, plan, isDurable, target),
    total: plan.fileLength,
    isStoppable: true,
  };
}

function* makeAnew(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
  target: Target,
): Steps<FlushResult> {
  const destination = destinationAt(target.path, target.label, map.file);
  const steps = fillAndRename(map, plan, isDurable, target, destination);
  if (destination.isOwn) return yield* underLock(map.file, steps);
  let lock: Lock | undefined;
  try {
    yield stepOf(
      () => {
        lock = lockDestination(destination);
      },
      async (abort) => {
        lock = await lockDestinationLater(destination, abort);
      },
    );
    return yield* steps;
  } finally {
    lock?.release();
  }
}

function* fillAndRename(
  map: OpenMap,
  plan: Plan,
  isDurable: boolean,
  target: Target,
  destination: Destination,
): Steps<FlushResult> {
  // Its own path must still lead to our file; elsewhere our descriptor is enough.
  const isHome = destination.isOwn ||
    (destination.old !== undefined && target.path === map.file.path);
  const checkSource = () =>
    isHome ? map.file.checkUnchanged() : map.file.checkWhole();
  checkSource();
  checkReplaceable(destination);
  if (destination.isOwn) yield* endKept(map, isDurable);
  const made = yield* NewFile.create(destination, map.file, isDurable);
  const { file } = made;
  let mapping: Mapping | undefined;
  try {
    yield* fill(map, plan, file, isDurable);
    if (isDurable) yield syncFile(file);
    const kind = {
      mode: target.mode,
      isGuarded: map.isGuarded,
      isAtomic: map.isAtomic,
    };
    mapping = mapFile(file, kind, plan.mappedLength);
    checkSource(); // filling took its time; what was cut off reads as a hole
    made.checkDestination(); // as did what others do to it by name
    made.lockAs(map.file);
    made.takePlace();
  } catch (error) {
    mapping?.release();
    yield made.discarding();
    throw error;
  }
  const old = map.moveTo(
    file,
    mapping,
    target.mode,
    plan.segments,
    plan.mappedLength,
    isDurable,
  );
  made.endJournal();
  map.unsettleFolder(made.folder);
  yield stepOf(() => old.close(isDurable), () => old.closeLater(isDurable));
  if (isDurable) yield settling(map);
  return {
    strategy: "replace",
    bytesWritten: plan.fileLength,
    atomic: true,
    stale: "no",
  };
}

/**
 * Gives the new file its length, and what will be written its blocks. What it shares
 * with the old one needs none.
 */
function* reserve(
  copier: Copier,
  plan: Plan,
  target: MappedFile,
  sharedBlock: number,
): Steps {
  const { fileLength } = plan;
  if (!copier.keepsHoles && sharedBlock === 0) {
    yield stepOf(
      () => target.grow(fileLength),
      () => target.growLater(fileLength),
    );
    return;
  }
  target.grow(fileLength, false);
  if (sharedBlock > 0) {
    const isReserved = target.reserve && !copier.keepsHoles;
    yield* copier.findSharing(plan.runs, sharedBlock, isReserved);
  }
  if (!target.reserve) return;
  for (const [from, to] of writtenRanges(copier, plan.runs, plan.floats)) {
    if (!allocate(target, from, to)) return; // writing shows it as well
    yield BREATH;
  }
}

/** In the order of the target, so that small pieces gather into large writes. */
function* fill(
  map: OpenMap,
  plan: Plan,
  target: MappedFile,
  isDurable: boolean,
): Steps {
  const copier = new Copier(map.file, target, isDurable);
  // The bytes to save are the private ones, which only memory has.
  const inMemory = map.mode === "c" || map.hasWritten ? map.mappedLength : 0;
  const { floats } = plan;
  try {
    yield* copier.findHoles();
    const sharedBlock = inMemory > 0 ? 0 : sharedBlockOf(target);
    yield* reserve(copier, plan, target, sharedBlock);
    let next = 0;
    let turns = 0;
    for (const { from, to, length } of plan.runs) {
      if (++turns % BREATHS === 0) yield BREATH;
      for (; next < floats.length && floats[next]!.offset < to; next++) {
        if (!gatherFloat(copier, floats[next]!)) {
          yield* writeFloats(copier, [floats[next]!]);
        }
      }
      const ours = Math.min(Math.max(inMemory - from, 0), length);
      if (
        ours > 0 && (copier.keepsHoles ||
          !copier.gatherMemory(map.mapping, from, to, ours))
      ) {
        yield* copier.writePrivate(map.mapping, from, to, ours);
      }
      const [source, position] = [from + ours, to + ours];
      if (!copier.gatherSource(source, position, length - ours)) {
        yield* copier.copy(source, position, length - ours);
      }
    }
    yield* writeFloats(copier, floats.slice(next));
    yield* copier.flush();
  } finally {
    copier.release();
  }
}
