/**
 * The errors of the library, and how a failed system call becomes one.
 *
 * Each class has its own `name` and a stable `code`. Nothing here knows what a map
 * or a slice is: messages are written where the numbers are.
 *
 * @module
 */

import { type ErrnoName, libc, UnsupportedError } from "../../ffi/mod.ts";

export { UnsupportedError };

/** A slice or an insert overlaps a registered slice. */
export class OverlapError extends RangeError {
  /** `"OverlapError"`. */
  override name = "OverlapError";
  /** Always `"ERR_MEMMAP_OVERLAP"`. */
  readonly code = "ERR_MEMMAP_OVERLAP";
}

/** A deleted slice was used. */
export class DeletedSliceError extends Error {
  /** `"DeletedSliceError"`. */
  override name = "DeletedSliceError";
  /** Always `"ERR_MEMMAP_DELETED"`. */
  readonly code = "ERR_MEMMAP_DELETED";
}

/** A closed map, or a slice of one, was used. */
export class ClosedError extends Error {
  /** `"ClosedError"`. */
  override name = "ClosedError";
  /** Always `"ERR_MEMMAP_CLOSED"`. */
  readonly code = "ERR_MEMMAP_CLOSED";
}

/** A write where the map's mode forbids it. */
export class ReadonlyError extends TypeError {
  /** `"ReadonlyError"`. */
  override name = "ReadonlyError";
  /** Always `"ERR_MEMMAP_READONLY"`. */
  readonly code = "ERR_MEMMAP_READONLY";
}

/** The file changed under the map in a way that a flush would destroy. */
export class ConflictError extends Error {
  /** `"ConflictError"`. */
  override name = "ConflictError";
  /** Always `"ERR_MEMMAP_CONFLICT"`. */
  readonly code = "ERR_MEMMAP_CONFLICT";
}

/**
 * Bytes of the file were lost under the map: it was cut short, or its disk is full
 * or failing.
 */
export class FaultError extends Error {
  /** `"FaultError"`. */
  override name = "FaultError";
  /** Always `"ERR_MEMMAP_FAULT"`. */
  readonly code = "ERR_MEMMAP_FAULT";
}

/** A map was used while it is flushed, as that flush does not allow. */
export class BusyError extends Error {
  /** `"BusyError"`. */
  override name = "BusyError";
  /** Always `"ERR_MEMMAP_BUSY"`. */
  readonly code = "ERR_MEMMAP_BUSY";
}

/** A system call failed. The fields are those of Node's system errors. */
export class SystemError extends Error {
  /** `"SystemError"`. */
  override name = "SystemError";
  /** The errno's name, `"ENOENT"`. */
  readonly code: string;
  /** The errno, negative as in Node: `-2`. */
  readonly errno: number;
  /** The call that failed: `"open"`. */
  readonly syscall: string;
  /** The file that the call was for. */
  readonly path: string;

  /** The library makes these; `reason` is prose for the message. */
  constructor(
    code: string,
    errno: number,
    syscall: string,
    path: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${code}: ${reason}, ${syscall} '${path}'`, options);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** Every class of error that the library itself throws. */
export type MemmapError =
  | BusyError
  | ClosedError
  | ConflictError
  | DeletedSliceError
  | FaultError
  | OverlapError
  | ReadonlyError
  | SystemError
  | UnsupportedError;

const CLASSES = [
  BusyError,
  ClosedError,
  ConflictError,
  DeletedSliceError,
  FaultError,
  OverlapError,
  ReadonlyError,
  SystemError,
  UnsupportedError,
];

/**
 * Is this one of the library's own errors, which have a stable `code`? Wrong
 * arguments are plain `TypeError`s and `RangeError`s, and are not.
 *
 * @example
 * ```ts
 * import { isMemmapError, open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * try {
 *   open("there is no such file");
 * } catch (error) {
 *   assert(isMemmapError(error));
 *   assert.equal(error.code, "ENOENT");
 * }
 * ```
 */
export function isMemmapError(error: unknown): error is MemmapError {
  return CLASSES.some((Class) => error instanceof Class);
}

const REASONS: Readonly<Record<string, string>> = {
  E2BIG: "there are more attributes than the system can list",
  EACCES: "permission denied",
  EFBIG: "the file would be larger than the system allows",
  EDQUOT: "the disk quota is used up",
  EINVAL: "the system refuses these arguments",
  EIO: "the disk failed",
  ENOMEM: "not enough memory, address space or mappings",
  ENODEV: "this file system cannot map files; read them instead",
  ENOSPC: "no space left on the disk",
  EPERM: "operation not permitted",
};

/**
 * The error for a system call that was not made, because its outcome is known:
 * `code` is what the system would have said.
 */
export function systemError(
  code: ErrnoName,
  syscall: string,
  path: string,
  reason: string,
): SystemError {
  return new SystemError(
    code,
    -libc().errnoNumber(code),
    syscall,
    path,
    reason,
  );
}

/** The errors that mmap(2) documents. */
const OF_MMAP: ReadonlySet<string> = new Set([
  "EACCES",
  "EAGAIN",
  "EBADF",
  "EINVAL",
  "ENFILE",
  "ENODEV",
  "ENOMEM",
  "EOVERFLOW",
  "EPERM",
  "ETXTBSY",
]);

/** The error for an errno that a libc call left behind. */
export function errnoError(
  errno: number,
  syscall: string,
  path: string,
): SystemError {
  let code = libc().errnoName(errno) ?? `E${errno}`;
  if (syscall === "mmap" && !OF_MMAP.has(code)) {
    // The runtime has overwritten errno meanwhile. What mmap lacks is mostly memory.
    [code, errno] = ["ENOMEM", libc().errnoNumber("ENOMEM")];
  }
  const reason = REASONS[code] ?? `system error ${errno}`;
  return new SystemError(code, -errno, syscall, path, reason);
}

/** The errno of a failed `node:fs` call, negative; `undefined` if the error has none. */
function errnoIn(
  error: Error & { errno?: unknown; code?: unknown },
): number | undefined {
  if (typeof error.errno === "number") return -Math.abs(error.errno);
  // In Deno some errors lack the number, others the name.
  const named = libc().errnoNumber(`${error.code}`);
  const number = named ?? /\(os error (\d+)\)/.exec(error.message)?.[1];
  return number === undefined ? undefined : -Number(number);
}

/**
 * Runs a `node:fs` call and turns its failure into a {@linkcode SystemError}.
 *
 * A call that a signal interrupted is repeated: POSIX leaves that to the caller.
 * An error that is no system error, such as Deno's `NotCapable`, is thrown as it is.
 */
export function system<T>(syscall: string, path: string, call: () => T): T {
  for (;;) {
    try {
      return call();
    } catch (error) {
      throwUnlessInterrupted(error, syscall, path);
    }
  }
}

/** The same for a call that gives a promise. */
export async function systemLater<T>(
  syscall: string,
  path: string,
  call: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      throwUnlessInterrupted(error, syscall, path);
    }
  }
}

function throwUnlessInterrupted(
  error: unknown,
  syscall: string,
  path: string,
): void {
  if (!(error instanceof Error) || error instanceof SystemError) throw error;
  const errno = errnoIn(error);
  if (errno === undefined) throw error;
  const node = error as { code?: string; syscall?: string };
  const code = node.code ?? libc().errnoName(-errno) ?? `E${-errno}`;
  if (code === "EINTR") return;
  // Node's text is "ENOENT: no such file or directory, open 'x'".
  const reason = REASONS[code] ?? /^\w+: ([^,]+)/.exec(error.message)?.[1] ??
    error.message;
  throw new SystemError(code, errno, node.syscall ?? syscall, path, reason, {
    cause: error,
  });
}
