/**
 * Extended attributes, carried from a file to the one that replaces it.
 *
 * Carries over only what a write into the old file would have kept. Knows open
 * descriptors, and nothing of maps, owners or permission bits.
 *
 * @module
 */

import { type AttributeCalls, libc } from "../../ffi/mod.ts";
import { errnoError } from "../base/mod.ts";

/** POSIX access control lists, as Linux keeps them. */
const ACCESS_LIST = "system.posix_acl_access";

// These belong to the old content: its hashes and signatures, and the rights it ran
// with, which Linux itself takes from a file at the first write.
const OF_THE_CONTENT: readonly string[] = [
  "security.capability",
  "security.evm",
  "security.ima",
];

// The process may not, or the file system cannot, or the attribute is gone since it
// was listed. EINVAL: only the file system makes the attribute, or an access list
// names users that this namespace lacks.
const UNAVAILABLE: readonly (string | undefined)[] = [
  "EACCES",
  "EINVAL",
  "ENOATTR",
  "ENODATA",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
  "EPERM",
];

/**
 * Copies all extended attributes from one open file to another that was just made:
 * `user.*`, access control lists, and whatever else the process may copy.
 *
 * Attributes that may not be read or set, or that the target's file system does not
 * know, are left out. An access list that the target inherited from its folder is
 * removed if the old file has none. Call this before `fchmod`: Linux wants write
 * permission for `user.*`, and an access list sets permission bits.
 *
 * @returns whether the old file's group bits may be given to the new one. They may
 * not if its access list could not be carried over, or an inherited one not removed:
 * the group bits are then the most that anyone on the list has, and granting them
 * would let others in than before.
 * @throws {SystemError} if the disk is full or fails; its path is `path`.
 */
export function copyAttributes(
  from: number,
  to: number,
  path: string,
): boolean {
  const { attributes } = libc();
  if (attributes === null) return true;
  const names = listNames(attributes, from, path)
    .map((bytes) => ({
      bytes,
      text: String.fromCharCode(...bytes.slice(0, -1)),
    }))
    .filter(({ text }) => !OF_THE_CONTENT.includes(text));
  const isAccess = (text: string) => text.startsWith("system.");
  // Access lists last: one that denies its owner writing would prevent setting the others.
  const ordered = [
    ...names.filter(({ text }) => !isAccess(text)),
    ...names.filter(({ text }) => isAccess(text)),
  ];
  let isAccessKept: boolean | undefined;
  for (const { bytes, text } of ordered) {
    const isCopied = copyAttribute(attributes, from, to, bytes, path);
    if (text === ACCESS_LIST) isAccessKept = isCopied;
  }
  return isAccessKept ?? removeAccessList(attributes, to, path);
}

/**
 * Gives a file that was just made the access list of another, or none. Returns the
 * same as {@linkcode copyAttributes}, and is called before `fchmod` as well.
 */
export function copyAccessList(
  from: number,
  to: number,
  path: string,
): boolean {
  const { attributes } = libc();
  if (attributes === null) return true;
  const name = new TextEncoder().encode(`${ACCESS_LIST}\0`);
  const size = attempt(
    "fgetxattr",
    path,
    // Sound: the name ends with a NUL; no value is asked for, only its size.
    () => attributes.fgetxattr(from, name, null),
  );
  return size === undefined
    ? removeAccessList(attributes, to, path)
    : copyAttribute(attributes, from, to, name, path);
}

/** All names that `fd` shows to this process, each with its NUL. */
function listNames(
  attributes: AttributeCalls,
  fd: number,
  path: string,
): Uint8Array[] {
  const list = readAll(
    "flistxattr",
    path,
    // Sound: the call writes at most as many bytes as the view has.
    (bytes) => attributes.flistxattr(fd, bytes),
  );
  const names = [];
  for (let at = 0; list !== undefined && at < list.length;) {
    const end = list.indexOf(0, at) + 1;
    if (end === 0) break;
    names.push(list.subarray(at, end));
    at = end;
  }
  return names;
}

/** Returns whether the attribute could be read and set. */
function copyAttribute(
  attributes: AttributeCalls,
  from: number,
  to: number,
  name: Uint8Array,
  path: string,
): boolean {
  const value = readAll(
    "fgetxattr",
    path,
    // Sound: the name ends with a NUL, as `listNames` cut it, and the call writes
    // at most as many bytes as the view has.
    (bytes) => attributes.fgetxattr(from, name, bytes),
  );
  if (value === undefined) return false;
  const result = attempt(
    "fsetxattr",
    path,
    // Sound: as above, and the call only reads.
    () => attributes.fsetxattr(to, name, value),
  );
  return result !== undefined;
}

/** Returns whether there is no access list any more. */
function removeAccessList(
  attributes: AttributeCalls,
  fd: number,
  path: string,
): boolean {
  const name = new TextEncoder().encode(`${ACCESS_LIST}\0`);
  const size = attempt(
    "fgetxattr",
    path,
    // Sound: the name ends with a NUL; no value is asked for, only its size.
    () => attributes.fgetxattr(fd, name, null),
  );
  if (size === undefined) return true;
  const result = attempt(
    "fremovexattr",
    path,
    // Sound: the name ends with a NUL, and the call only reads it.
    () => attributes.fremovexattr(fd, name),
  );
  return result !== undefined;
}

/** All that `call` reads, however its size changes meanwhile; `undefined` if unavailable. */
function readAll(
  syscall: string,
  path: string,
  call: (bytes: Uint8Array | null) => number,
): Uint8Array | undefined {
  for (let room = 0;;) {
    const size = attempt(syscall, path, () => call(null));
    if (size === undefined) return undefined;
    // Larger than last time in any case: a file system may misjudge the size.
    room = Math.max(size, 2 * room);
    const bytes = new Uint8Array(room);
    // Nothing to read. And macOS takes a size of 0 for a question about the size.
    if (room === 0) return bytes;
    const length = attempt(syscall, path, () => call(bytes), "ERANGE");
    if (length === undefined) return undefined;
    if (length >= 0) return bytes.subarray(0, length);
  }
}

/**
 * What `call` returns; `undefined` if the attribute is unavailable, and -1 if the call
 * failed with the error named `expected`.
 */
function attempt(
  syscall: string,
  path: string,
  call: () => number,
  expected?: string,
): number | undefined {
  for (;;) {
    const result = call();
    if (result >= 0) return result;
    const c = libc();
    const errno = c.errno();
    const name = c.errnoName(errno);
    if (name === "EINTR") continue;
    if (name !== undefined && name === expected) return -1;
    if (UNAVAILABLE.includes(name)) return undefined;
    throw errnoError(errno, syscall, path);
  }
}
