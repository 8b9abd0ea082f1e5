/**
 * The only room that uses `node:fs`: open files, paths and permissions, locks,
 * journals and their recovery, copying, ownership. Knows nothing of slices, and of
 * memory only what it copies from.
 *
 * @module
 */

export {
  allocate,
  BLOCK,
  checkRoomInHoles,
  checkRoomToGrow,
  checkRoomToWriteOver,
  ensureRoom,
  Reservation,
  reserveToWrite,
  sharedBlockOf,
  unshare,
} from "./blocks.ts";
export { Copier } from "./copying.ts";
export { syncFolder, syncFolderLater } from "./entries.ts";
export { KEPT_SIZE } from "./journal/format.ts";
export { Journal, listJournals } from "./journal/journal.ts";
export { Appender } from "./journal/kept.ts";
export type { RedoPart } from "./journal/redo.ts";
export { RedoLog } from "./journal/redo_log.ts";
export { clearJournal, recover } from "./journal/recovery.ts";
export { later, unlessAborted, whenever } from "./later.ts";
export { type Held, listLocks, unlockAll } from "./lock.ts";
export type { Lock } from "./lockable_file.ts";
export { MappedFile, type Opened, type Stale } from "./mapped_file.ts";
export {
  checkReplaceable,
  type Destination,
  destinationAt,
  lockDestination,
  lockDestinationLater,
  NewFile,
} from "./new_file.ts";
export type { OpenFile } from "./open_file.ts";
export { findWrittenPages } from "./pagemap.ts";
export { realPathOf } from "./paths.ts";
export { READ_AHEAD, type ReadAhead } from "./read_ahead.ts";
export {
  BREATH,
  BREATHS,
  fsyncStep,
  skipStep,
  type Step,
  stepOf,
  type Steps,
  uncounted,
  type Work,
} from "./steps.ts";
