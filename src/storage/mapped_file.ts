/**
 * The file under a map: its descriptor, its identity, its size.
 *
 * All file I/O but mapping goes through here, by `node:fs`, so that each
 * runtime's permissions hold and every failure is a `SystemError` with the path.
 * Reads and writes are complete: short ones are continued, interrupted ones made
 * again. Knows nothing of memory or slices.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { libc } from "../../ffi/mod.ts";
import { ConflictError, errnoError, system, SystemError } from "../base/mod.ts";
import { isWritable, type ShortMode } from "../base/mod.ts";

const { O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;

const ZEROS_LENGTH = 2 ** 20;
/** As many symbolic links as Linux follows. */
const MOST_LINKS = 40;

// A map that nobody closed takes its descriptor with it.
const UNCLOSED = new FinalizationRegistry<number>((fd) => fs.closeSync(fd));

/** An open regular file. */
export class MappedFile {
  /** Absolute. */
  readonly path: string;
  /** As the user gave it. */
  readonly label: string;
  readonly fd: number;
  /** Bytes, as far as this process knows. */
  size: number;
  /** Allocate disk blocks when growing? */
  readonly reserve: boolean;
  readonly permissions: number;
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly #device: bigint;
  readonly #inode: bigint;

  /** Takes over `fd`; the caller still closes it if this throws. */
  constructor(path: string, label: string, fd: number, reserve: boolean) {
    const stat = system(
      "fstat",
      path,
      () => fs.fstatSync(fd, { bigint: true }),
    );
    checkRegular(stat, path);
    this.path = path;
    this.label = label;
    this.fd = fd;
    this.reserve = reserve;
    this.size = Number(stat.size);
    this.permissions = Number(stat.mode) & 0o7777;
    this.owner = { uid: Number(stat.uid), gid: Number(stat.gid) };
    this.#device = stat.dev;
    this.#inode = stat.ino;
    UNCLOSED.register(this, fd, this);
  }

  /**
   * Opens `path` as `mode` asks; `created` is the new file, if none was there.
   *
   * Deno asks whether the path as it is written may be used, and follows the links
   * that lead away from it. So what is opened is what they lead to, by its own name.
   */
  static open(
    path: string,
    label: string,
    mode: ShortMode,
    reserve: boolean,
  ): { file: MappedFile; created: string | undefined } {
    const writes = isWritable(mode);
    const place = placeOf(path, writes);
    const stat = place === undefined ? undefined : statIfThere(place);
    // Before opening: to open a pipe or a device can wait, or set it going.
    if (stat !== undefined) checkRegular(stat, path);
    if (stat === undefined && mode !== "w+") throw notThere(path, label);
    const created = stat === undefined ? newFileAt(path) : undefined;
    const flags = (writes ? O_RDWR : O_RDONLY) |
      (created === undefined ? 0 : O_CREAT | O_EXCL);
    const fd = openPatiently(path, created ?? place!, flags);
    try {
      return { file: new MappedFile(path, label, fd, reserve), created };
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /** Is this what `stat` is of? */
  is(stat: fs.BigIntStats): boolean {
    return stat.dev === this.#device && stat.ino === this.#inode;
  }

  /**
   * Throws a `ConflictError` unless the path still leads to this file, at its size;
   * with `hasWritten`, when a flush has written to the file already.
   */
  checkUnchanged(hasWritten = false): void {
    if (!hasWritten) this.checkWhole();
    const now = statIfThere(this.path);
    const problem = now === undefined
      ? "is gone"
      : !this.is(now)
      ? "was replaced by another file"
      : Number(now.size) !== this.size
      ? `has ${now.size} bytes where it had ${this.size}`
      : undefined;
    if (problem === undefined) return;
    if (hasWritten) {
      throw new ConflictError(
        `'${this.path}' ${problem} while it was being written: a part of the flush ` +
          "may be in it. All edits are still pending: floating slices can still " +
          "be read, and close({ discard: true }) drops them.",
      );
    }
    throw new ConflictError(
      `'${this.path}' ${problem} since it was mapped: nothing was written, and ` +
        "all edits are still pending. Save them elsewhere with flush({ path }), " +
        "or drop them with close({ discard: true }).",
    );
  }

  /** Throws a `ConflictError` if bytes that were mapped are no longer in the file. */
  checkWhole(): void {
    const { size } = system(
      "fstat",
      this.path,
      () => fs.fstatSync(this.fd, { bigint: true }),
    );
    if (Number(size) < this.size) this.#truncated(Number(size));
  }

  #truncated(size: number): never {
    throw new ConflictError(
      `'${this.path}' has ${size} bytes where it had ${this.size}: it was ` +
        "truncated behind the map's back, and the bytes cut off are lost. All " +
        "edits are still pending: floating slices can still be read, and " +
        "close({ discard: true }) drops them.",
    );
  }

  /** Fills `bytes` from `position` on. */
  read(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      const count = system(
        "read",
        this.path,
        () =>
          fs.readSync(
            this.fd,
            bytes,
            done,
            bytes.length - done,
            position + done,
          ),
      );
      if (count === 0) this.#truncated(position + done);
      done += count;
    }
  }

  /** Writes all of `bytes` at `position`. */
  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      done += system(
        "write",
        this.path,
        () =>
          fs.writeSync(
            this.fd,
            bytes,
            done,
            bytes.length - done,
            position + done,
          ),
      );
    }
    this.size = Math.max(this.size, position + bytes.length);
  }

  /**
   * Copies bytes to another file inside the kernel. Answers how many, at least
   * one, or 0 where the kernel cannot do it between these two files.
   */
  copyTo(
    target: MappedFile,
    from: number,
    to: number,
    length: number,
  ): number {
    const c = libc();
    if (c.copy_file_range === null) return 0;
    for (;;) {
      // Sound: no memory of ours is involved but the two offsets.
      const count = c.copy_file_range(this.fd, from, target.fd, to, length);
      // 0 is the file's end, or a kernel that cannot and does not say so.
      if (count >= 0) return count;
      const errno = c.errno();
      const name = c.errnoName(errno);
      if (name === "EINTR") continue;
      if (name === "EIO" || name === "ENOSPC" || name === "EDQUOT") {
        throw errnoError(errno, "copy_file_range", target.path);
      }
      return 0; // EXDEV, EINVAL, ENOSYS and others: read and write instead
    }
  }

  /** The next stretch of data at or after `from`, before `end`; holes are left out. */
  nextData(from: number, end: number): readonly [begin: number, end: number] {
    const c = libc();
    // Sound: the position that lseek sets is used by nobody, all I/O has its own.
    const begin = c.lseek(this.fd, from, c.constants.SEEK_DATA);
    if (begin === -1) {
      // ENXIO: no data behind `from`. Anything else: this file system can't tell.
      return c.errnoName(c.errno()) === "ENXIO" ? [end, end] : [from, end];
    }
    if (begin >= end) return [end, end];
    const hole = c.lseek(this.fd, begin, c.constants.SEEK_HOLE);
    return [begin, hole <= begin ? end : Math.min(hole, end)];
  }

  /** Cuts the file, or lengthens it with a hole. */
  truncate(size: number): void {
    system("ftruncate", this.path, () => fs.ftruncateSync(this.fd, size));
    this.size = size;
  }

  /**
   * Gives the file its old size again, which was to be `after`, after a failure that
   * says more than one here would. False where that fails too, or where somebody else
   * made it larger, or shorter than it was: the next flush finds the file changed.
   */
  takeBack(before: number, after: number): boolean {
    try {
      this.refresh();
      if (this.size < before || this.size > after) return false;
      this.truncate(before);
      return true;
    } catch {
      return false;
    } finally {
      this.size = before;
    }
  }

  /**
   * Lengthens the file with zeros, with disk blocks behind them if `reserve`.
   * Where that fails, the file has its old size again.
   */
  grow(size: number, reserve: boolean = this.reserve): void {
    const before = this.size;
    if (size <= before) return;
    if (!reserve) return this.truncate(size);
    try {
      this.#allocate(before, size);
    } catch (error) {
      this.takeBack(before, size);
      throw error;
    }
    this.size = size;
  }

  /**
   * Reserves disk blocks for the bytes `from` to `to`, holes of the file among
   * them, and lengthens it to `to`. Where that fails, it has its old size again.
   */
  reserveRange(from: number, to: number): void {
    const before = this.size;
    const end = Math.min(before, to);
    try {
      if (from < end) this.#reserveBlocks(from, end);
    } catch (error) {
      this.takeBack(before, to);
      throw error;
    }
    this.grow(to, true);
  }

  #allocate(from: number, to: number): void {
    if (this.#reserveBlocks(from, to)) return;
    const zeros = new Uint8Array(Math.min(ZEROS_LENGTH, to - from));
    for (let at = from; at < to; at += zeros.length) {
      this.write(zeros.subarray(0, to - at), at);
    }
  }

  /** False where the system or the file system cannot. Bytes that are there stay. */
  #reserveBlocks(from: number, to: number): boolean {
    const c = libc();
    for (;;) {
      // Sound: no memory is involved; POSIX has it return the error itself.
      const errno = c.posix_fallocate?.(this.fd, from, to - from);
      if (errno === 0) return true;
      const name = errno === undefined ? "ENOSYS" : c.errnoName(errno);
      if (name === "EINTR") continue;
      // musl passes on that a file system cannot; glibc writes the blocks itself.
      if (name === "EOPNOTSUPP" || name === "ENOSYS") return false;
      throw errnoError(errno!, "posix_fallocate", this.path);
    }
  }

  /**
   * Has the disk begin with the bytes `begin` to `end`, without waiting. A hint:
   * whether they arrive, only {@linkcode sync} tells.
   */
  beginWriting(begin: number, end: number): void {
    const c = libc();
    // Sound: no memory is involved. Failures are sync's to find.
    c.sync_file_range?.(
      this.fd,
      begin,
      end - begin,
      c.constants.SYNC_FILE_RANGE_WRITE,
    );
  }

  /** Waits until content and size are on disk. */
  sync(): void {
    system("fsync", this.path, () => fs.fsyncSync(this.fd));
  }

  /** Looks how many bytes the file has now. */
  refresh(): void {
    this.size = system("fstat", this.path, () => fs.fstatSync(this.fd)).size;
  }

  /** Gives the descriptor back to whom it came from. */
  forget(): void {
    UNCLOSED.unregister(this);
  }

  /** Closes the descriptor. Once only. */
  close(): void {
    UNCLOSED.unregister(this);
    fs.closeSync(this.fd);
  }
}

/**
 * Opens a regular file. With `O_NONBLOCK` nothing can wait, should it have become a
 * pipe meanwhile; but then it is also refused while another process has a lease on
 * it, as Samba takes them, who gives it back when somebody waits.
 */
function openPatiently(path: string, opened: string, flags: number): number {
  const open = (flags: number) =>
    system("open", path, () => fs.openSync(opened, flags, 0o666));
  try {
    return open(flags | O_NONBLOCK);
  } catch (error) {
    if ((error as SystemError).code !== "EAGAIN") throw error;
    return open(flags);
  }
}

/**
 * Where a write to `path` ends up, though the last file need not exist. Folders are
 * resolved by the system: "..", in a link, counts from where the link really is.
 */
export function followLinks(path: string, depth = 0): string {
  if (depth > MOST_LINKS) {
    throw new SystemError(
      "ELOOP",
      -40,
      "readlink",
      path,
      "too many symbolic links",
    );
  }
  const above = dirname(path);
  const folder = named(
    path,
    () => system("realpath", path, () => fs.realpathSync(above)),
    (folder) => isSameFile(above, folder),
  );
  const file = join(permittedName(folder, above, true), basename(path));
  const stat = lstatIfThere(file);
  if (stat === undefined || !stat.isSymbolicLink()) return file;
  const target = named(
    file,
    () => system("readlink", file, () => fs.readlinkSync(file)),
    (target) =>
      Buffer.from(fs.readlinkSync(file, "buffer")).equals(Buffer.from(target)),
  );
  const next = isAbsolute(target) ? target : `${folder}/${target}`;
  return followLinks(permittedName(next, path, true), depth + 1);
}

/**
 * A name that the system gives, or a `SystemError` if it is no text: Deno throws,
 * and Bun answers the name of something else, with U+FFFD for what it cannot say.
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
  throw new SystemError(
    "EILSEQ",
    -84,
    "readlink",
    path,
    "this leads to a name that is not UTF-8, which cannot be made or replaced",
  );
}

/** Where `path` leads; `undefined` if nowhere, or to what has no name that we can say. */
export function realPathIfKnown(path: string): string | undefined {
  let real: string;
  try {
    real = system("realpath", path, () => fs.realpathSync(path));
  } catch (error) {
    const { name, code } = error as { name?: string; code?: string };
    if (name === "InvalidData") return undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  // A name that is no text comes out of Bun as another name.
  const isSaid = real === path || !mayUse(real, false) ||
    isSameFile(path, real);
  return isSaid ? real : undefined;
}

function notThere(path: string, label: string): SystemError {
  const hint = label.startsWith("file:")
    ? "this is a URL in a string, give new URL(…)"
    : "mode 'w+' with { length } makes one";
  return new SystemError(
    "ENOENT",
    -2,
    "open",
    path,
    `no such file or directory (${hint})`,
  );
}

/** Do both, with links followed, lead to one thing that is there? */
function isSameFile(path: string, other: string): boolean {
  const [one, two] = [statIfThere(path), statIfThere(other)];
  return one !== undefined && one.ino === two?.ino && one.dev === two.dev;
}

/**
 * The name by which the file or folder `real`, to which `path` leads, may be used.
 *
 * Deno's permissions speak of names. Of the folders on the way to `path`, the first
 * that may be used is one that a permission names, whatever links lead there: what
 * is within it may be used, by its name. Links inside of it may have been laid
 * by anyone; where they lead out, Deno is asked about the place itself.
 */
export function permittedName(
  real: string,
  path: string,
  isWritten: boolean,
): string {
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

/** What to open to get at what is at `path`; `undefined` if nothing is there. */
function placeOf(path: string, isWritten: boolean): string | undefined {
  const real = realPathIfKnown(path);
  if (real !== undefined) return permittedName(real, path, isWritten);
  // A file that was removed, under its name in /proc, or a name that is no text:
  // nobody can be asked about it, so it takes the permission for everything.
  return mayUse("/", isWritten, true) ? path : undefined;
}

/** Would the runtime let us, without asking anyone? */
export function mayUse(
  path: string,
  isWritten: boolean,
  wholly: boolean = false,
): boolean {
  const c = libc();
  return c.mayUse(path, "read", wholly) &&
    (!isWritten || c.mayUse(path, "write", wholly));
}

/** Where a file will be that `path`, which may be a link to nothing, makes. */
function newFileAt(path: string): string {
  const folder = dirname(path);
  // Where the permission is for this file alone, we may not look at its folder.
  if (!mayUse(folder, true)) {
    if (lstatIfThere(path) === undefined) return path;
  } else if (statIfThere(folder) === undefined) return path; // says so by itself
  return followLinks(path);
}

/** What stands at `path` itself; `undefined` if nothing does. */
export function lstatIfThere(path: string): fs.Stats | undefined {
  return system(
    "lstat",
    path,
    () => fs.lstatSync(path, { throwIfNoEntry: false }),
  );
}

/** Opens a file and answers the descriptor. */
export function openFile(path: string, flags: number, mode = 0o666): number {
  return system("open", path, () => fs.openSync(path, flags, mode));
}

/** What stands at `path`, links followed; `undefined` if nothing does. */
export function statIfThere(path: string): fs.BigIntStats | undefined {
  return system(
    "stat",
    path,
    () => fs.statSync(path, { bigint: true, throwIfNoEntry: false }),
  );
}

/** Throws a `SystemError` that says what `stat` is of, unless a regular file. */
export function checkRegular(stat: fs.BigIntStats, path: string): void {
  if (stat.isFile()) return;
  const [code, errno, kind] = stat.isDirectory()
    ? ["EISDIR", 21, "a directory"] as const
    : stat.isFIFO()
    ? ["ENODEV", 19, "a pipe"] as const
    : stat.isSocket()
    ? ["ENODEV", 19, "a socket"] as const
    : ["ENODEV", 19, "a device"] as const;
  throw new SystemError(
    code,
    -errno,
    "open",
    path,
    `this is ${kind}, and only regular files can be mapped`,
  );
}
