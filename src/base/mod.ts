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
  OverlapError,
  ReadonlyError,
  system,
  SystemError,
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
