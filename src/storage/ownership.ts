/**
 * What a new file takes over from the one that it replaces: the owner, the
 * permission bits, the extended attributes.
 *
 * Nobody may gain access who had none before. So where something cannot be carried
 * over, permissions are left out rather than granted to others.
 *
 * @module
 */

import * as fs from "node:fs";
import { system, SystemError } from "../base/mod.ts";
import { copyAccessList, copyAttributes } from "./attributes.ts";
import { closeEntry, isRefusal, openEntry } from "./entries.ts";
import type { MappedFile } from "./mapped_file.ts";
import type { OpenFile } from "./open_file.ts";
import { type Status, statusOf } from "./status.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants;

/**
 * Gives a new file what belongs to the old one: the owner and the extended
 * attributes where permitted, and the permission bits. `source` is the old file:
 * its descriptor, or its path.
 */
export function adopt(
  file: MappedFile,
  old: Status,
  source: number | string,
): void {
  const { fd, path, owner } = file;
  const { uid, gid } = old;
  let granted = old.mode & 0o7777;
  if (uid !== owner.uid || gid !== owner.gid) {
    // Only root may give files away. Others who may write the folder keep the new
    // file: without set-user-ID bits, which would run with another user's rights, and
    // without the group's bits, unless they belong to the group.
    if (!chown(fd, path, uid, gid)) {
      granted &= 0o777;
      if (!chown(fd, path, owner.uid, gid)) granted &= ~0o070;
    }
  }
  // After the owner, a change of which clears capabilities and set-user-ID bits.
  // The permission bits come last, since an access list changes them.
  const mayGrantGroup = typeof source === "number"
    ? copyAttributes(source, fd, path)
    : copyAttributesOf(source, fd);
  // The group bits of a file with an access list are the list's, not the group's.
  if (!mayGrantGroup) granted &= ~0o070;
  try {
    file.chmod(granted);
  } catch (error) {
    // A file system that keeps no permissions gives every file the same. Elsewhere
    // it stays its owner's alone, as it was made.
    if (!isRefusal(error)) throw error;
  }
}

/**
 * Lets whoever may read `file` read `target`, which was just made and is still empty,
 * and nobody else, as far as this user may grant it.
 */
export function letReadersRead(target: OpenFile, file: MappedFile): void {
  const { fd, path } = target;
  const { uid, gid, mode } = file.stat();
  const own = statusOf(fd, path);
  let readers = mode & 0o044;
  if (own.uid !== uid || own.gid !== gid) {
    const isGiven = chown(fd, path, uid, gid) ||
      own.gid === gid || chown(fd, path, own.uid, gid);
    if (!isGiven) readers &= ~0o040;
  }
  if (!copyAccessList(file.fd, fd, path)) readers &= ~0o040;
  try {
    target.chmod(0o600 | readers);
  } catch (error) {
    if (!isRefusal(error)) throw error; // a file system without permissions
  }
}

/** False where that is not permitted. */
function chown(fd: number, path: string, uid: number, gid: number): boolean {
  try {
    system("fchown", path, () => fs.fchownSync(fd, uid, gid));
    return true;
  } catch (error) {
    // EPERM, but EINVAL for an owner whom this namespace or file system does not know.
    if (isRefusal(error)) return false;
    throw error;
  }
}

/** As {@linkcode copyAttributes}, from a file that we may not be able to read. */
function copyAttributesOf(path: string, to: number): boolean {
  let from: number;
  try {
    // `path` has been followed: a link there would have been made just now.
    from = openEntry(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code !== "EACCES" && error.code !== "EPERM") throw error;
    return false;
  }
  try {
    return copyAttributes(from, to, path);
  } finally {
    closeEntry(from);
  }
}
