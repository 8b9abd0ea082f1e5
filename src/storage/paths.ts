/**
 * Where a path leads, and by which name the runtime's permissions let it be used.
 *
 * Deno's permissions refer to names, and Deno itself follows symbolic links out of
 * a permitted folder. So links are followed here, and what is opened is what they
 * lead to, by its own name. In Bun everything is permitted.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { runtime } from "../../ffi/mod.ts";
import { system, systemError } from "../base/mod.ts";
import { isRefusal, isSameFile } from "./entries.ts";
import {
  checkRegular,
  isLink,
  lstatIfThere,
  nameOfOpen,
  statIfThere,
  type Status,
} from "./status.ts";

/** As many symbolic links as Linux follows. */
const MAX_LINKS = 40;

/**
 * Would the runtime let us read, or read and write, what is at `path`, without
 * asking anyone? `wholly`: and everything in that folder?
 */
export function mayUse(
  path: string,
  isWritten: boolean,
  wholly: boolean = false,
): boolean {
  const { mayUse } = runtime();
  return mayUse(path, "read", wholly) &&
    (!isWritten || mayUse(path, "write", wholly));
}

/**
 * Where a write to `path` ends up, though the last file need not exist. The system
 * resolves the folders: ".." in a link counts from where the link really is.
 */
export function followLinks(path: string, depth = 0): string {
  if (depth > MAX_LINKS) {
    throw systemError("ELOOP", "readlink", path, "too many symbolic links");
  }
  const above = dirname(path);
  const real = named(
    path,
    () => system("realpath", path, () => fs.realpathSync(above)),
    (folder) => isSameFile(above, folder),
  );
  // "/proc/PID/root/…" reads as a path of ours, and leads to where another process sees
  // it, which may be another folder.
  const isRight = real === above || !mayUse(real, false) ||
    isSameFile(above, real);
  const folder = isRight ? real : above;
  const file = join(
    isRight ? permittedName(real, above, true) : above,
    basename(path),
  );
  const stat = lstatIfThere(file);
  if (stat === undefined || !isLink(stat)) return file;
  const target = named(
    file,
    () => system("readlink", file, () => fs.readlinkSync(file)),
    (target) =>
      Buffer.from(fs.readlinkSync(file, "buffer")).equals(Buffer.from(target)),
  );
  const next = isAbsolute(target) ? target : `${folder}/${target}`;
  return followLinks(
    isRight ? permittedName(next, path, true) : next,
    depth + 1,
  );
}

/**
 * A name from the system, or a `SystemError` if it is not UTF-8. Deno throws then.
 * Bun returns another name, with U+FFFD for what it cannot express, which could be
 * that of another file.
 */
function named(
  path: string,
  read: () => string,
  isRight: (name: string) => boolean,
): string {
  try {
    const name = read();
    if (!name.includes("\ufffd") || isRight(name)) return name;
  } catch (error) {
    if ((error as Error).name !== "InvalidData") throw error;
  }
  throw systemError(
    "EILSEQ",
    "readlink",
    path,
    "this leads to a name that is not UTF-8, which cannot be made or replaced",
  );
}

/** Where `path` leads; `undefined` if nowhere, or to a name that is not UTF-8. */
function realPathIfKnown(path: string): string | undefined {
  let real: string;
  try {
    real = system("realpath", path, () => fs.realpathSync(path));
  } catch (error) {
    const { name, code } = error as { name?: string; code?: string };
    if (name === "InvalidData") return undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  // Bun returns another name for one that is not UTF-8.
  const isRight = real === path || !mayUse(real, false) ||
    isSameFile(path, real);
  return isRight ? real : undefined;
}

/**
 * Where the file at `path` really is, by a name that may be used; `undefined` if we
 * may not look, or if it has no name any more.
 */
export function realPathOf(
  path: string,
  isWritten: boolean,
): string | undefined {
  try {
    const real = realPathIfKnown(path);
    if (real === undefined || real === path) return real;
    const folder = permittedName(dirname(real), dirname(path), isWritten);
    return join(folder, basename(real));
  } catch (error) {
    if (isRefusal(error)) return undefined;
    throw error;
  }
}

/**
 * The name by which the file or folder `real`, to which `path` leads, may be used.
 *
 * Of the folders on the way to `path`, the first that may be used is one that a
 * permission names, whatever links lead there: what is within it may be used by its
 * name. Links inside of it may have been made by anyone. Where they lead out of it,
 * Deno is asked about the place itself.
 */
function permittedName(real: string, path: string, isWritten: boolean): string {
  if (real === path || mayUse(real, isWritten)) return real;
  const parts = resolve(path).split("/");
  for (let count = 1; count <= parts.length; count++) {
    const granted = parts.slice(0, count).join("/") || "/";
    if (!mayUse(granted, isWritten)) continue;
    const root = system("realpath", path, () => fs.realpathSync(granted));
    const isWithin = real === root || real.startsWith(`${root}/`);
    return isWithin ? granted + real.slice(root.length) : real;
  }
  return real;
}

/** Where the links from `path` on lead, as far as anybody may look. */
export function endOfLinks(path: string): string {
  let at = path;
  try {
    for (let count = 0; count < MAX_LINKS; count++) {
      const there = mayUse(at, false) ? lstatIfThere(at) : undefined;
      if (there === undefined || !isLink(there)) break;
      const target = fs.readlinkSync(at);
      at = isAbsolute(target) ? target : join(dirname(at), target);
    }
  } catch {
    // The failure that led here says enough.
  }
  return at;
}

/** Throws unless `path` can be a file's: one that ends in a slash is a folder's. */
export function checkNamesFile(path: string): void {
  if (!path.endsWith("/") && !path.endsWith("/.")) return;
  const stat = statIfThere(path);
  if (stat !== undefined) checkRegular(stat, path);
  const reason = "a path that ends so can only lead to a folder, and only " +
    "regular files can be mapped";
  throw systemError("ENOTDIR", "open", path, reason);
}

/** What to open, and what is there. */
export interface PlaceToOpen {
  readonly place: string | undefined;
  /** `undefined` if nothing is there. */
  readonly status: Status | undefined;
  /** May everything be used? Otherwise {@linkcode checkPlaceOf} looks at what was opened. */
  readonly isChecked: boolean;
}

/** Finds out what to open to reach what is at `path`. */
export function placeToOpen(path: string, isWritten: boolean): PlaceToOpen {
  const isChecked = mayUse("/", isWritten, true);
  if (isChecked) {
    // Any name will do, then, so that a file which is no link is looked up once.
    const status = lstatIfThere(path);
    if (status !== undefined && !isLink(status)) {
      return { place: path, status, isChecked };
    }
  }
  const place = placeOf(path, isWritten);
  const status = place === undefined ? undefined : statIfThere(place);
  return { place, status, isChecked };
}

/**
 * Throws unless the file that was opened may be used: a folder on the way to it may
 * have been exchanged for a link after it was looked up. The system says by what name
 * it was reached, where it can (Linux).
 */
export function checkPlaceOf(
  fd: number,
  path: string,
  isWritten: boolean,
): void {
  const real = nameOfOpen(fd);
  if (real === undefined) return;
  if (mayUse(permittedName(real, path, isWritten), isWritten)) return;
  throw systemError(
    "EACCES",
    "open",
    path,
    `this led to '${real}' when it was opened, and elsewhere before; the program ` +
      "has no permission for that file",
  );
}

/** What to open to reach what is at `path`; `undefined` if nothing is there. */
export function placeOf(path: string, isWritten: boolean): string | undefined {
  const real = realPathIfKnown(path);
  if (real !== undefined) return permittedName(real, path, isWritten);
  // A removed file under its name in /proc, or a name that is not UTF-8. No
  // permission can name it, so it takes the permission for everything.
  return mayUse("/", isWritten, true) ? path : undefined;
}

/** Where the file will be that is made at `path`, which may be a link to nothing. */
export function placeOfNew(path: string): string {
  const folder = dirname(path);
  if (!mayUse(folder, true)) {
    // The permission may be for this file alone: then we may not look at its folder.
    if (lstatIfThere(path) === undefined) return path;
  } else if (statIfThere(folder) === undefined) {
    return path; // opening it fails, with the right error
  }
  return followLinks(path);
}
