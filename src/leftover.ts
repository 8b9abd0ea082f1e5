/**
 * The files that a flush makes beside the one it writes, and what is done with
 * them when a flush was killed: the new file that would have taken the old one's
 * place, and the record by which an append is taken back.
 *
 * Their names are hidden and unguessable, and begin with a hash of the name of
 * the file they belong to. Who works with one holds a lock on it (`flock`),
 * which ends with the process: one that can be locked is left over.
 *
 * @module
 */

import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { libc } from "../ffi/libc.ts";
import { errnoError, system, SystemError } from "./errors.ts";
import { followLinks, type MappedFile, openFile } from "./file.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } =
  fs.constants;

/** The end of a record's name. */
const RECORD = ".undo";

/** A file made beside another, open and locked. */
export interface BesideFile {
  readonly path: string;
  readonly fd: number;
}

/** Creates a file beside `path`, which is no link, exclusively, and locks it. */
export function createBeside(
  path: string,
  permissions: number,
  ending = "",
): BesideFile {
  for (;;) {
    const name = `${prefixFor(path)}${randomBytes(12).toString("hex")}`;
    const beside = join(dirname(path), name + ending);
    const fd = openFile(beside, O_RDWR | O_CREAT | O_EXCL, permissions);
    try {
      // Where nothing can be locked (some network file systems), nothing is ever
      // taken for left over either.
      tryLock(fd, beside);
      // Another process may have taken it for left over before it was locked.
      if (linksOf(fd, beside) > 0) return { path: beside, fd };
    } catch (error) {
      fs.closeSync(fd);
      fs.unlinkSync(beside);
      throw error;
    }
    fs.closeSync(fd);
  }
}

/** Lets go of the lock of {@linkcode createBeside}; for a file that goes on to be another's. */
export function unlock(fd: number): void {
  const c = libc();
  // Sound: a descriptor that we hold open; there is no memory involved.
  c.flock(fd, c.constants.LOCK_UN);
}

/** What a record says: which file had how many bytes, and how many were to be added. */
interface Undo {
  readonly device: string;
  readonly inode: string;
  readonly born: string;
  readonly size: number;
  readonly added: number;
}

/**
 * A note that an append is under way. As long as it stands, what is behind the
 * file's old end does not count: the next open maps only what was there before,
 * and the next writable one cuts the rest off.
 */
export class UndoRecord {
  readonly #beside: BesideFile;
  #isOpen = true;

  private constructor(beside: BesideFile) {
    this.#beside = beside;
  }

  /** Where the record is. */
  get folder(): string {
    return dirname(this.#beside.path);
  }

  /**
   * Notes that `added` bytes will follow the file's end. Answers `undefined` where
   * no file can be made in the folder: then a kill can leave a part of the append.
   */
  static write(
    file: MappedFile,
    added: number,
    durable: boolean,
  ): UndoRecord | undefined {
    const c = libc();
    // Deno would prompt for what it does not allow.
    if (!c.mayUse(dirname(file.path), "read")) return undefined;
    let beside;
    try {
      const path = followLinks(file.path);
      if (!c.mayUse(dirname(path), "write")) return undefined;
      beside = createBeside(path, 0o600, RECORD);
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
    const record = new UndoRecord(beside);
    const { fd } = beside;
    try {
      const undo = {
        ...identityOf(file.fd, file.path),
        size: file.size,
        added,
      };
      const text = new TextEncoder().encode(JSON.stringify(undo));
      const written = system(
        "write",
        beside.path,
        () => fs.writeSync(fd, text),
      );
      if (written < text.length) {
        throw new SystemError("ENOSPC", -28, "write", beside.path, "cut short");
      }
      if (durable) {
        system("fsync", beside.path, () => fs.fsyncSync(fd));
        syncFolder(record.folder);
      }
      return record;
    } catch (error) {
      record.discard();
      throw error;
    }
  }

  /** Removes the record: from here on the append counts, or has been taken back. */
  remove(): void {
    const { path, fd } = this.#beside;
    try {
      system("unlink", path, () => fs.unlinkSync(path));
    } catch (error) {
      // It must not be believed when a later append has made the file as long.
      system("ftruncate", path, () => fs.ftruncateSync(fd, 0));
      throw error;
    }
    fs.closeSync(fd);
    this.#isOpen = false;
  }

  /** Removes the record if it is still there; a failure is worth less than what led here. */
  discard(): void {
    if (!this.#isOpen) return;
    const { path, fd } = this.#beside;
    try {
      fs.ftruncateSync(fd, 0);
      fs.unlinkSync(path);
    } catch {
      // Without content it says nothing; the next writable open removes it.
    } finally {
      fs.closeSync(fd);
    }
  }
}

/**
 * Takes back what a killed flush left of `file`: an append cut short counts as
 * not begun. In a mode that writes, the file is cut, and what lies beside it
 * removed; in the others, only `file.size` is as it was.
 *
 * A folder that may not be read hides what lies in it; then nothing happens.
 */
export function recover(file: MappedFile, isWritable: boolean): void {
  const c = libc();
  // Deno would prompt for what it does not allow.
  if (!c.mayUse(dirname(file.path), "read")) return;
  try {
    const path = fs.realpathSync(file.path);
    const folder = dirname(path);
    if (!c.mayUse(folder, "read")) return;
    const prefix = prefixFor(path);
    const canWrite = isWritable && c.mayUse(folder, "write");
    for (const name of fs.readdirSync(folder)) {
      if (!name.startsWith(prefix)) continue;
      const beside = join(folder, name);
      if (name.endsWith(RECORD)) takeBack(file, beside, canWrite);
      else if (canWrite) removeLeftover(file, beside);
    }
  } catch (error) {
    if (!isRefusal(error)) throw error;
  }
}

function takeBack(file: MappedFile, path: string, canWrite: boolean): void {
  using record = openLeftover(file, path, canWrite ? O_RDWR : O_RDONLY);
  if (record === undefined || record.permissions !== 0o600) return;
  const undo = parse(fs.readFileSync(record.fd, "utf8"));
  const isOurs = undo !== undefined && isSame(undo, file) &&
    file.size > undo.size && file.size <= undo.size + undo.added;
  // Whoever appends just now holds the lock; the old end counts until it is done.
  if (!canWrite || !record.lock()) {
    if (isOurs) file.size = undo.size;
    return;
  }
  if (isOurs) {
    file.truncate(undo.size);
    file.sync();
  }
  // It must not be believed when a later append has made the file as long, even
  // if the folder does not let go of it.
  fs.ftruncateSync(record.fd, 0);
  fs.fsyncSync(record.fd);
  system("unlink", path, () => fs.unlinkSync(path));
}

function removeLeftover(file: MappedFile, path: string): void {
  using leftover = openLeftover(file, path, O_RDONLY);
  if (leftover?.lock()) system("unlink", path, () => fs.unlinkSync(path));
}

interface Leftover extends Disposable {
  readonly fd: number;
  readonly permissions: number;
  /** Is nobody working with it? It stays locked until disposed of. */
  lock(): boolean;
}

/** Opens what lies beside a file, unless it is gone, or somebody else's. */
function openLeftover(
  file: MappedFile,
  path: string,
  access: number,
): Leftover | undefined {
  let fd: number;
  try {
    fd = openFile(path, access | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  const stat = system("fstat", path, () => fs.fstatSync(fd));
  // In a folder that others write to as well, anybody can make a file of any
  // name: only our own are believed, and those of the file's owner and of root.
  const owners = [0, libc().geteuid(), file.owner.uid];
  if (!stat.isFile() || stat.nlink !== 1 || !owners.includes(stat.uid)) {
    fs.closeSync(fd);
    return undefined;
  }
  return {
    fd,
    permissions: stat.mode & 0o7777,
    lock: () => tryLock(fd, path),
    [Symbol.dispose]: () => fs.closeSync(fd),
  };
}

/** Locks a file for this process; false if another has, or if locks are not to be had. */
function tryLock(fd: number, path: string): boolean {
  const c = libc();
  const { LOCK_EX, LOCK_NB } = c.constants;
  for (;;) {
    // Sound: a descriptor that we hold open; there is no memory involved.
    if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
    const errno = c.errno();
    const name = c.errnoName(errno);
    if (name === "EIO") throw errnoError(errno, "flock", path);
    if (name !== "EINTR") return false;
  }
}

function linksOf(fd: number, path: string): number {
  return system("fstat", path, () => fs.fstatSync(fd)).nlink;
}

/** The inode, and when it was made: numbers of inodes are used again. */
function identityOf(
  fd: number,
  path: string,
): Pick<Undo, "device" | "inode" | "born"> {
  const { dev, ino, birthtimeMs } = system(
    "fstat",
    path,
    () => fs.fstatSync(fd, { bigint: true }),
  );
  // Not in nanoseconds: Deno knows only milliseconds.
  return { device: `${dev}`, inode: `${ino}`, born: `${birthtimeMs}` };
}

function isSame(undo: Undo, file: MappedFile): boolean {
  const { device, inode, born } = identityOf(file.fd, file.path);
  return undo.device === device && undo.inode === inode && undo.born === born;
}

/** What a record says; `undefined` if it was killed before it said anything. */
function parse(text: string): Undo | undefined {
  try {
    const undo = JSON.parse(text) as Undo;
    const isWhole = [undo.size, undo.added].every(Number.isSafeInteger);
    return isWhole && undo.size >= 0 ? undo : undefined;
  } catch {
    return undefined; // nothing was appended then
  }
}

/** How the names begin of all that is made beside the file at `path`. */
function prefixFor(path: string): string {
  const hash = createHash("sha256").update(basename(path)).digest("hex");
  return `.memmap-${hash.slice(0, 16)}-`;
}

/** Is this "you may not", rather than "it failed"? */
function isRefusal(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "NotCapable" || code === "EACCES" || code === "EPERM" ||
    code === "EROFS";
}

/** Waits until the names in a folder are on disk. */
export function syncFolder(path: string): void {
  const fd = openFile(path, O_RDONLY);
  try {
    system("fsync", path, () => fs.fsyncSync(fd));
  } finally {
    fs.closeSync(fd);
  }
}
