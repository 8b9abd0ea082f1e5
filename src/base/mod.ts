/**
 * Known to every room and knows none of them: errors and how a failed system
 * call becomes one, checks of arguments, the modes, printing in REPLs.
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
