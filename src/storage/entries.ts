/**
 * Names in folders: opening, renaming and removing what stands at a path.
 *
 * Thin over `node:fs`: each failure is a `SystemError` with the path. Follows no
 * policy: who may use which path is `paths.ts`'s business.
 *
 * @module
 */

import * as fs from "node:fs";
import { system, type SystemError, systemLater } from "../base/mod.ts";
import { later } from "./later.ts";
import { isSame, lstatIfThere, statIfThere, statusOf } from "./status.ts";

const { O_NONBLOCK, O_RDONLY } = fs.constants;

/** Do both paths, with links followed, lead to the same existing file or folder? */
export function isSameFile(path: string, other: string): boolean {
  const [one, two] = [statIfThere(path), statIfThere(other)];
  return one !== undefined && two !== undefined && isSame(one, two);
}

/** Is an open file still the one at `path`? */
export function isLinked(fd: number, path: string): boolean {
  const there = lstatIfThere(path);
  return there !== undefined && isSame(there, statusOf(fd, path));
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

/** As {@linkcode syncFolder}, while the event loop goes on. */
export async function syncFolderLater(path: string): Promise<boolean> {
  let fd: number | undefined;
  try {
    const folder = fd = openEntry(path, O_RDONLY);
    await systemLater("fsync", path, () => later().fsync(folder));
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
