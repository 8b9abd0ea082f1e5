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
  checkCount,
  noRoom,
  type Numbers,
  numbersIn,
  readOptions,
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
  systemLater,
  UnsupportedError,
} from "./errors.ts";
export { printAsString } from "./inspect.ts";
export {
  bufferOf,
  bytesOfView,
  copyOfTyped,
  fillValues,
  isAnyView,
  lengthOfTyped,
  plainTyped,
  setBytes,
  stateOfSignal,
  typedArrayName,
} from "./intrinsics.ts";
export {
  isEditable,
  isWritable,
  type Mode,
  type ShortMode,
  shortMode,
} from "./mode.ts";
export {
  checkLength,
  checkOffset,
  checkRange,
  checkSpan,
  checkTarget,
  clampRange,
} from "./offsets.ts";
export { type CheckedPath, checkPath } from "./paths.ts";
export { counted, shown } from "./shown.ts";
export { type Abort, checkSignal } from "./signals.ts";
export { now, sleep } from "./timers.ts";
