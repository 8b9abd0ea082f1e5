/**
 * A plain open file: complete reads and writes, its size, its blocks.
 *
 * Short reads and writes are continued, interrupted ones repeated, and every
 * failure is a `SystemError` with the path. Files are read, written and sized
 * through `node:fs`, so that the runtime's permissions hold. libc is called only
 * for what no runtime offers. Knows nothing of maps, or of others who may use the
 * file.
 *
 * @module
 */

import * as fs from "node:fs";
import { libc } from "../../ffi/mod.ts";
import { errnoError, system, systemError } from "../base/mod.ts";

/** Bytes of zeros written at a time where blocks cannot be reserved. */
const ZEROS_LENGTH = 2 ** 20;

/** An open file. */
export class OpenFile {
  /** Absolute. */
  readonly path: string;
  readonly fd: number;
  /** Bytes, as far as this process knows. */
  size: number;

  constructor(path: string, fd: number, size: number) {
    this.path = path;
    this.fd = fd;
    this.size = size;
  }

  /** Fills `bytes` from `position` on. */
  read(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      const left = bytes.length - done;
      const count = system(
        "read",
        this.path,
        () => fs.readSync(this.fd, bytes, done, left, position + done),
      );
      if (count === 0) this.failShort(position + done);
      done += count;
    }
  }

  /** Throws: the file ends at `size`, before bytes that should be there. */
  protected failShort(size: number): never {
    const reason = `the file was cut short, to ${size} bytes`;
    throw systemError("EIO", "read", this.path, reason);
  }

  /** Writes all of `bytes` at `position`. */
  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length;) {
      const left = bytes.length - done;
      done += system(
        "write",
        this.path,
        () => fs.writeSync(this.fd, bytes, done, left, position + done),
      );
    }
    this.size = Math.max(this.size, position + bytes.length);
  }

  /**
   * Copies bytes to another file inside the kernel. Returns how many, or 0 where
   * the kernel cannot do it between these two files.
   */
  copyTo(target: OpenFile, from: number, to: number, length: number): number {
    const c = libc();
    if (c.copy_file_range === null) return 0;
    for (;;) {
      // Sound: both descriptors are open; the only memory involved is that of the
      // two offsets.
      const count = c.copy_file_range(this.fd, from, target.fd, to, length);
      // 0 is the file's end, or a kernel that cannot copy and does not say so.
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
    // Sound: nobody uses the position that lseek sets; all I/O gives its own.
    const begin = c.lseek(this.fd, from, c.constants.SEEK_DATA);
    if (begin === -1) {
      // ENXIO: no data behind `from`. Anything else: this file system cannot tell.
      return c.errnoName(c.errno()) === "ENXIO" ? [end, end] : [from, end];
    }
    if (begin >= end) return [end, end];
    const hole = c.lseek(this.fd, begin, c.constants.SEEK_HOLE); // sound: as above
    return [begin, hole <= begin ? end : Math.min(hole, end)];
  }

  /** Cuts the file, or lengthens it with a hole. */
  truncate(size: number): void {
    system("ftruncate", this.path, () => fs.ftruncateSync(this.fd, size));
    this.size = size;
  }

  /**
   * Gives the file its old size back after a failed attempt to make it `after`
   * bytes long. Throws nothing: the failure says more. Returns false where that
   * fails too, or where somebody else made the file larger than `after` or shorter
   * than it was: the next flush finds the file changed.
   */
  takeBack(before: number, after: number): boolean {
    try {
      this.measure();
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
  grow(size: number, reserve: boolean): void {
    const before = this.size;
    if (size <= before) return;
    if (!reserve) return this.truncate(size);
    try {
      if (!this.#reserveBlocks(before, size)) this.#writeZeros(before, size);
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

  #writeZeros(from: number, to: number): void {
    const zeros = new Uint8Array(Math.min(ZEROS_LENGTH, to - from));
    for (let at = from; at < to; at += zeros.length) {
      this.write(zeros.subarray(0, to - at), at);
    }
  }

  /** False where the system or the file system cannot. Bytes that are there stay. */
  #reserveBlocks(from: number, to: number): boolean {
    const c = libc();
    if (c.posix_fallocate === null) return false;
    for (;;) {
      // Sound: no memory is involved. POSIX has it return the error itself.
      const errno = c.posix_fallocate(this.fd, from, to - from);
      if (errno === 0) return true;
      const name = c.errnoName(errno);
      if (name === "EINTR") continue;
      // musl reports that a file system cannot; glibc writes the blocks itself.
      if (name === "EOPNOTSUPP" || name === "ENOSYS") return false;
      throw errnoError(errno, "posix_fallocate", this.path);
    }
  }

  /**
   * Has the disk begin with the bytes `begin` to `end`, without waiting. A hint:
   * only {@linkcode sync} tells whether they arrive.
   */
  beginWriting(begin: number, end: number): void {
    const c = libc();
    // Sound: no memory is involved. It is for sync to find failures.
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

  /** Asks the system how many bytes the file has now. */
  measure(): void {
    this.size = system("fstat", this.path, () => fs.fstatSync(this.fd)).size;
  }

  /** Sets the permission bits. */
  chmod(permissions: number): void {
    system("fchmod", this.path, () => fs.fchmodSync(this.fd, permissions));
  }

  /** Closes the descriptor. Once only. */
  close(): void {
    fs.closeSync(this.fd);
  }
}
