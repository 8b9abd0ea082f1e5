/**
 * The base room: what every room above it needs.
 *
 * Owns the errors and how a failed system call becomes one, the checks of arguments,
 * the modes, and printing in REPLs. Must not know any other room of `src/`, nor what a
 * map or a slice is.
 *
 * @module
 */

export {
  bytesIn,
  checkAttached,
  checkOptions,
  checkSource,
} from "./arguments.ts";
export {
  BusyError,
  ClosedError,
  ConflictError,
  DeletedSliceError,
  errnoError,
  FaultError,
  isMemmapError,
  type MemmapError,
  OverlapError,
  ReadonlyError,
  system,
  SystemError,
  systemError,
  UnsupportedError,
} from "./errors.ts";
export { printAsString } from "./inspect.ts";
export {
  isEditable,
  isWritable,
  type Mode,
  type ShortMode,
  shortMode,
} from "./mode.ts";
export { checkLength, checkOffset, checkRange, clampRange } from "./offsets.ts";
export { checkPath } from "./paths.ts";
