/**
 * Names in folders: what stands at a path, opening, renaming and removing it.
 *
 * Thin over `node:fs`: each failure is a `SystemError` with the path. Follows no
 * policy: who may use which path is `paths.ts`'s business.
 *
 * @module
 */

import * as fs from "node:fs";
import { system, type SystemError, systemError } from "../base/mod.ts";

const { O_NONBLOCK, O_RDONLY } = fs.constants;

/** What stands at `path`, links followed; `undefined` if nothing does. */
export function statIfThere(path: string): fs.BigIntStats | undefined {
  return system(
    "stat",
    path,
    () => fs.statSync(path, { bigint: true, throwIfNoEntry: false }),
  );
}

/** What stands at `path` itself; `undefined` if nothing does. */
export function lstatIfThere(path: string): fs.Stats | undefined {
  return system(
    "lstat",
    path,
    () => fs.lstatSync(path, { throwIfNoEntry: false }),
  );
}

/** Do both paths, with links followed, lead to the same existing file or folder? */
export function isSameFile(path: string, other: string): boolean {
  const [one, two] = [statIfThere(path), statIfThere(other)];
  return one !== undefined && one.ino === two?.ino && one.dev === two.dev;
}

/** Is an open file still the one at `path`? */
export function isLinked(fd: number, path: string): boolean {
  const own = system("fstat", path, () => fs.fstatSync(fd, { bigint: true }));
  const there = system(
    "lstat",
    path,
    () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  return there !== undefined && there.ino === own.ino && there.dev === own.dev;
}

/** Throws a `SystemError` that says what `stat` is of, unless it is a regular file. */
export function checkRegular(stat: fs.BigIntStats, path: string): void {
  if (stat.isFile()) return;
  const [code, kind] = stat.isDirectory()
    ? ["EISDIR", "a directory"] as const
    : stat.isFIFO()
    ? ["ENODEV", "a pipe"] as const
    : stat.isSocket()
    ? ["ENODEV", "a socket"] as const
    : ["ENODEV", "a device"] as const;
  const reason = `this is ${kind}, and only regular files can be mapped`;
  throw systemError(code, "open", path, reason);
}

/** Opens a file and returns its descriptor. */
export function openEntry(path: string, flags: number, mode = 0o666): number {
  return system("open", path, () => fs.openSync(path, flags, mode));
}

/**
 * Opens a regular file at `place`; errors name `path`.
 *
 * `O_NONBLOCK` keeps the call from waiting, should the file have become a pipe
 * meanwhile. But it is also refused while another process has a lease on the file,
 * as Samba takes them, and the holder gives up a lease only for a caller that waits.
 */
export function openPatiently(
  path: string,
  place: string,
  flags: number,
): number {
  const open = (flags: number) =>
    system("open", path, () => fs.openSync(place, flags, 0o666));
  try {
    return open(flags | O_NONBLOCK);
  } catch (error) {
    if ((error as SystemError).code !== "EAGAIN") throw error;
    return open(flags);
  }
}

/** Closes a descriptor. */
export function closeEntry(fd: number): void {
  fs.closeSync(fd);
}

/** Gives the file at `from` the name `to`, atomically; errors name `to`. */
export function rename(from: string, to: string): void {
  system("rename", to, () => fs.renameSync(from, to));
}

/** Removes a file, if it is there. */
export function unlink(path: string): void {
  try {
    system("unlink", path, () => fs.unlinkSync(path));
  } catch (error) {
    if ((error as SystemError).code !== "ENOENT") throw error;
  }
}

/** The names in a folder. */
export function namesIn(folder: string): string[] {
  return system("readdir", folder, () => fs.readdirSync(folder));
}

/**
 * Waits until the names in a folder are on disk. False where that cannot be done: in
 * a folder that may be written and not read, and in file systems that sync no folders.
 */
export function syncFolder(path: string): boolean {
  let fd: number | undefined;
  try {
    const folder = fd = openEntry(path, O_RDONLY);
    system("fsync", path, () => fs.fsyncSync(folder));
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

const REFUSALS: readonly string[] = [
  "EACCES",
  "EPERM",
  "EROFS",
  "EINVAL",
  "ENOSYS",
  "ENOTSUP",
  "EOPNOTSUPP",
];

/** Does an error say "you may not" or "that cannot be done here", not "it failed"? */
export function isRefusal(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "NotCapable" || REFUSALS.includes(`${code}`);
}
