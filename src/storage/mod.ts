/**
 * The only room that uses `node:fs`: open files, paths and permissions, locks,
 * journals and their recovery, copying, ownership. Knows nothing of slices.
 *
 * @module
 */

export { copyAttributes } from "./attributes.ts";
export { Mover, type Progress } from "./copying.ts";
export {
  clearJournal,
  Journal,
  realPathOf,
  recover,
  syncFolder,
  temporaryName,
} from "./journal.ts";
export {
  checkRegular,
  followLinks,
  MappedFile,
  openFile,
  statIfThere,
} from "./mapped_file.ts";
