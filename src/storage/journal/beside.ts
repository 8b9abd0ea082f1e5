/**
 * Files that lie beside a mapped one and may be ours: opening them defensively, and
 * removing them.
 *
 * In a folder that others write to as well, anybody can make a file of any name. So
 * only regular files with one name are believed, and only those of this user, of
 * the mapped file's owner, or of root.
 *
 * @module
 */

import * as fs from "node:fs";
import { libc } from "../../../ffi/mod.ts";
import { system, type SystemError, systemLater } from "../../base/mod.ts";
import { closeEntry, isRefusal, openEntry, unlink } from "../entries.ts";
import { later } from "../later.ts";
import { isFile, lstatIfThere, statusOf } from "../status.ts";
import { journalPath } from "./format.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDWR } = fs.constants;

/** Gone, a link, a folder, a socket, or not for us to open. */
const NOT_OURS = ["ENOENT", "ELOOP", "EISDIR", "ENXIO", "EACCES", "EPERM"];

/** Opens what lies beside a file; `undefined` if it is not there, or somebody else's. */
export function openBeside(
  path: string,
  access: number,
  owner: number | undefined,
): number | undefined {
  let fd: number;
  try {
    // Most files have none, and an exception would cost more than everything else
    // here. And opening a pipe or a device can wake whatever waits for that.
    const there = lstatIfThere(path);
    if (there === undefined || !isFile(there)) return undefined;
    fd = openEntry(path, access | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as SystemError;
    if (NOT_OURS.includes(code) || isRefusal(error)) return undefined;
    throw error;
  }
  try {
    const stat = statusOf(fd, path);
    const isOurs = owners(owner).includes(stat.uid);
    if (isFile(stat) && stat.nlink === 1 && isOurs) return fd;
  } catch (error) {
    closeEntry(fd);
    throw error;
  }
  closeEntry(fd);
  return undefined;
}

/**
 * Bytes of what lies beside a file and is one of ours that we may not open; 0 if there
 * is none.
 */
export function sizeBeside(path: string, owner: number | undefined): number {
  const stat = lstatIfThere(path);
  if (stat === undefined || !isFile(stat) || stat.nlink !== 1) return 0;
  return owners(owner).includes(stat.uid) ? stat.size : 0;
}

/** Does something lie where the journal of the file at `path`, which is no link, would? */
export function hasJournal(path: string): boolean {
  return lstatIfThere(journalPath(path)) !== undefined;
}

/** Does something lie beside a file that is somebody else's, and will stay there? */
export function isForeign(path: string): boolean {
  const before = lstatIfThere(path);
  if (before === undefined) return false;
  const fd = openBeside(path, O_RDWR, undefined);
  if (fd !== undefined) {
    closeEntry(fd);
    return false;
  }
  // The same still: not one of ours that was just removed.
  return lstatIfThere(path)?.ino === before.ino;
}

/**
 * Removes an empty file of somebody else's that has a journal's name, if this user may:
 * there is nothing in it to lose, and it would keep every flush from having a journal.
 * Whether it did. For whoever holds the mapped file's lock: a journal that is just being
 * made is empty as well.
 */
export function removeEmpty(path: string): boolean {
  const stat = lstatIfThere(path);
  if (stat === undefined || !isFile(stat)) return false;
  if (stat.size > 0 || stat.nlink !== 1) return false;
  try {
    unlink(path);
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw error;
  }
}

/** Whose files are believed. */
function owners(owner: number | undefined): (number | undefined)[] {
  return [0, libc().geteuid(), owner];
}

/** Removes a journal and empties it: each of the two alone ends it. Throws if both fail. */
export function removeJournal(fd: number, path: string): void {
  let isEmpty = true;
  try {
    system("ftruncate", path, () => fs.ftruncateSync(fd, 0));
  } catch {
    isEmpty = false;
  }
  try {
    unlink(path);
  } catch {
    // Once more: a failure that passes must not leave it behind.
    try {
      unlink(path);
    } catch (error) {
      if (!isEmpty) throw error;
    }
  }
}

/**
 * The same while the event loop goes on. Only where its name cannot be removed is it
 * emptied: otherwise its blocks go when it is closed.
 */
export async function removeJournalLater(
  fd: number,
  path: string,
): Promise<void> {
  try {
    return unlink(path);
  } catch {
    // Once more, as above.
  }
  try {
    unlink(path);
  } catch (error) {
    try {
      await systemLater("ftruncate", path, () => later().ftruncate(fd, 0));
    } catch {
      throw error;
    }
  }
}
