/**
 * A plain open file: complete reads and writes, its size, its blocks.
 *
 * Short reads and writes are continued, interrupted ones repeated, and every
 * failure is a `SystemError` with the path. Files are read, written and sized
 * through `node:fs`, so that the runtime's permissions hold. libc is called only
 * for what no runtime offers. What others write to the file meanwhile is never cut
 * off or written over: {@linkcode OpenFile.size} is what this process made of the
 * file, and whoever takes back or lengthens looks first at what is there. Knows
 * nothing of maps.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { libc } from "../../ffi/mod.ts";
import { errnoError, system, systemError, systemLater } from "../base/mod.ts";
import { later } from "./later.ts";
import { statusOf } from "./status.ts";

/** Bytes compared at a time. */
const COMPARED = 2 ** 20;
/** Bytes of zeros written at a time where blocks cannot be reserved. */
const ZEROS_LENGTH = 2 ** 20;
/** Bytes that are reserved at a time where no other thread can do it. */
const RESERVED = 2 ** 24;
/** Bytes of a call that is made again on this thread, to learn why it failed elsewhere. */
const ASKED_AGAIN = 2 ** 16;

/** An open file. */
export class OpenFile {
  /** Absolute. Changes only where a link in `/proc` leads to a file that was replaced. */
  path: string;
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
    const count = this.readSome(bytes, position);
    if (count < bytes.length) this.failShort(position + count);
  }

  /** As {@linkcode read}, up to the file's end. Returns how many bytes there were. */
  readSome(bytes: Uint8Array, position: number): number {
    let done = 0;
    while (done < bytes.length) {
      const left = bytes.length - done;
      const count = system(
        "read",
        this.path,
        () => fs.readSync(this.fd, bytes, done, left, position + done),
      );
      if (count === 0) break;
      done += count;
    }
    return done;
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
      try {
        done += system(
          "write",
          this.path,
          () => fs.writeSync(this.fd, bytes, done, left, position + done),
        );
      } catch (error) {
        const behind = this.size - position;
        if (behind >= 0) this.#countWritten(bytes.subarray(behind));
        throw error;
      }
      // At once: if the next write fails, this much can be taken back.
      this.size = Math.max(this.size, position + done);
    }
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

  /**
   * As {@linkcode write}, of memory of a mapping that is kept meanwhile, while the event
   * loop goes on.
   */
  async writeLater(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const left = bytes.subarray(done);
      const count = await systemLater(
        "write",
        this.path,
        () => later().write(this.fd, left, position + done),
      );
      // Whoever wrote cannot say why not: so does this thread, once more.
      if (count <= 0) {
        OpenFile.prototype.write.call(
          this,
          left.subarray(0, ASKED_AGAIN),
          position + done,
        );
        done += Math.min(left.length, ASKED_AGAIN);
      } else done += count;
      this.size = Math.max(this.size, position + done);
    }
  }

  /** As {@linkcode copyTo}, of up to so many bytes, while the event loop goes on. */
  async copyToLater(
    target: OpenFile,
    from: number,
    to: number,
    length: number,
  ): Promise<number> {
    const { copyFileRange } = later();
    if (copyFileRange === null) return 0;
    const count = await copyFileRange(this.fd, from, target.fd, to, length);
    if (count > 0) return count;
    // Whoever copied cannot say why not: so does this thread, of a few bytes.
    return this.copyTo(target, from, to, Math.min(length, ASKED_AGAIN));
  }

  /** Cuts the file, or lengthens it with a hole. */
  truncate(size: number): void {
    system("ftruncate", this.path, () => fs.ftruncateSync(this.fd, size));
    this.size = size;
  }

  /** As {@linkcode truncate}: to free many blocks takes long. */
  async truncateLater(size: number): Promise<void> {
    await systemLater(
      "ftruncate",
      this.path,
      () => later().ftruncate(this.fd, size),
    );
    this.size = size;
  }

  /**
   * Gives the file its old size back, after what made it longer has failed. Throws
   * nothing: the failure says more. Returns false, and cuts nothing, unless the file
   * ends exactly where our own writes ended: what is behind that is somebody else's,
   * and the next flush finds the file changed.
   */
  takeBack(before: number): boolean {
    const reached = this.size;
    try {
      this.measure();
      if (this.size === before) return true;
      if (this.size !== reached || reached < before) return false;
      this.truncate(before);
      return true;
    } catch {
      return false;
    } finally {
      this.size = before;
    }
  }

  /**
   * Lengthens a file that nobody else knows, or that is ours to overwrite, with
   * zeros, with disk blocks behind them if `reserve`. Where that fails, the file has
   * its old size again.
   */
  grow(size: number, reserve: boolean): void {
    const before = this.size;
    if (size <= before) return;
    if (!reserve) return this.truncate(size);
    try {
      if (!this.#allocate(0, before, size)) this.#appendZeros(size);
      this.size = size;
    } catch (error) {
      try {
        this.truncate(before); // a part of the blocks may be there
      } catch {
        this.size = before; // the failure that led here says more
      }
      throw error;
    }
  }

  /**
   * As {@linkcode grow}. Where no other thread can reserve, that is done in pieces: in
   * file systems that write zeros for it, all at once would take long.
   */
  async growLater(size: number, reserve: boolean): Promise<void> {
    const before = this.size;
    const { fallocate } = later();
    if (size <= before || !reserve) return this.grow(size, reserve);
    if (fallocate !== null) {
      // Once more on this thread, which has nothing left to do unless it failed.
      await fallocate(this.fd, 0, before, size - before);
      return this.grow(size, reserve);
    }
    try {
      while (this.size < size) {
        OpenFile.prototype.grow.call(
          this,
          Math.min(this.size + RESERVED, size),
          reserve,
        );
        await later().turn();
      }
    } catch (error) {
      try {
        this.truncate(before);
      } catch {
        this.size = before; // the failure that led here says more
      }
      throw error;
    }
  }

  /**
   * Lengthens a file that others may be appending to, at this very moment. Nothing
   * here can make a file shorter. Where it fails, the file is as long as others made
   * it. Afterwards `size` is what was asked for; others may have made it larger.
   */
  lengthen(size: number, reserve: boolean): void {
    const before = this.size;
    if (size <= before) return;
    if (reserve) this.reserveRange(before, size);
    try {
      // Of a single byte: it costs one block at most, and changes no byte.
      if (!this.#allocate(0, size - 1, size)) {
        // A truncate to more than the file has cuts it if others made it longer still in
        // between. That is only safe where they would have to write much in no time.
        if (reserve || size - before <= ZEROS_LENGTH) this.#appendZeros(size);
        else {
          this.measure();
          if (this.size + ZEROS_LENGTH < size) this.truncate(size);
          else this.#appendZeros(size);
        }
      }
    } catch (error) {
      if (reserve) this.#releaseTail();
      throw error;
    }
    this.size = size;
  }

  /**
   * Reserves disk blocks for the bytes `from` to `to`, holes of the file and what is
   * behind its end among them. The file keeps its size and its bytes.
   */
  reserveRange(from: number, to: number): void {
    if (from >= to) return;
    const { FALLOC_FL_KEEP_SIZE } = libc().constants;
    try {
      if (this.#allocate(FALLOC_FL_KEEP_SIZE, from, to)) return;
      this.#fillHoles(from, Math.min(to, this.size));
    } catch (error) {
      this.#releaseTail();
      throw error;
    }
  }

  /** Gives back blocks behind the end, unless somebody else made use of them. */
  #releaseTail(): void {
    const { size } = this;
    try {
      this.measure();
      if (this.size === size) this.truncate(size);
    } catch {
      // The failure that led here says more, and the blocks go with the file.
    } finally {
      this.size = size;
    }
  }

  /**
   * Writes zeros behind the file's end, wherever that is, until it has `size` bytes.
   * Where that fails, they are taken back, unless others wrote there as well.
   */
  #appendZeros(size: number): void {
    const before = this.size;
    const length = Math.min(ZEROS_LENGTH, Math.max(size - before, 1));
    const zeros = new Uint8Array(length);
    const fd = this.openToAppend();
    let reached = before;
    let isAlone = true;
    try {
      for (this.measure(); this.size < size; this.measure()) {
        isAlone &&= this.size === reached;
        const bytes = zeros.subarray(0, size - this.size);
        reached = this.size + bytes.length;
        if (fd === undefined) this.write(bytes, this.size);
        else {
          reached = this.size +
            system("write", this.path, () => fs.writeSync(fd, bytes));
        }
      }
    } catch (error) {
      this.#countWritten(zeros);
      if (isAlone) this.takeBack(before);
      else this.size = before;
      throw error;
    } finally {
      if (fd !== undefined) fs.closeSync(fd);
    }
  }

  /**
   * After a write of `bytes` at the end failed: a part of them may be there all the same,
   * as Deno goes on with a write that the system cut short, and does not say how far it
   * came. Takes into `size` what is surely ours, so that it can be taken back.
   */
  #countWritten(bytes: Uint8Array): void {
    const { size } = this;
    try {
      this.measure();
      const added = this.size - size;
      if (added > 0 && added < bytes.length) {
        const there = new Uint8Array(Math.min(added, COMPARED));
        let same = 0;
        while (same < added) {
          const part = there.subarray(0, Math.min(COMPARED, added - same));
          this.read(part, size + same);
          const meant = bytes.subarray(same, same + part.length);
          if (Buffer.compare(part, meant) !== 0) break;
          same += part.length;
        }
        if (same === added) return;
      }
    } catch {
      // The failure that led here says more.
    }
    this.size = size;
  }

  /**
   * The same file, opened so that the system puts every write behind its end, or
   * `undefined` where nobody else writes to it.
   */
  protected openToAppend(): number | undefined {
    return undefined;
  }

  /** Has the C library give blocks to holes, one after another, as well as it can. */
  #fillHoles(from: number, to: number): void {
    const c = libc();
    if (c.posix_fallocate === null || from >= to) return;
    for (;;) {
      // Sound: no memory is involved. POSIX has it return the error itself.
      const errno = c.posix_fallocate(this.fd, from, to - from);
      if (errno === 0) return;
      const name = c.errnoName(errno);
      if (name === "EINTR") continue;
      if (name === "EOPNOTSUPP" || name === "ENOSYS") return; // musl only asks
      throw errnoError(errno, "posix_fallocate", this.path);
    }
  }

  /**
   * `fallocate`. Returns false where the system or the file system cannot. Bytes that
   * are there stay.
   */
  #allocate(mode: number, from: number, to: number): boolean {
    const c = libc();
    if (c.fallocate === null) return false;
    for (;;) {
      // Sound: no memory is involved, and the descriptor is open. Not
      // posix_fallocate: where the file system cannot, glibc's writes zeros itself,
      // and where it found the file's end may be somebody's bytes by then.
      if (c.fallocate(this.fd, mode, from, to - from) === 0) return true;
      const errno = c.errno();
      const name = c.errnoName(errno);
      if (name === "EINTR") continue;
      if (name === "EOPNOTSUPP" || name === "ENOSYS") return false;
      throw errnoError(errno, "fallocate", this.path);
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

  /** As {@linkcode sync}, while the event loop goes on. The file stays open until then. */
  async syncLater(): Promise<void> {
    await systemLater("fsync", this.path, () => later().fsync(this.fd));
  }

  /**
   * As {@linkcode beginWriting}, on another thread. Where none can do it, this one does,
   * as long as the disk takes the bytes at once: false when it did not.
   */
  async beginWritingLater(begin: number, end: number): Promise<boolean> {
    const { syncFileRange } = later();
    const since = performance.now();
    if (syncFileRange === null) {
      this.beginWriting(begin, end);
      return !later().isDue(since);
    }
    const { SYNC_FILE_RANGE_WRITE } = libc().constants;
    await syncFileRange(this.fd, begin, end - begin, SYNC_FILE_RANGE_WRITE);
    return true;
  }

  /** As {@linkcode sync}, but for times and the like, which nobody has to read the content. */
  syncData(): void {
    system("fdatasync", this.path, () => fs.fdatasyncSync(this.fd));
  }

  /** Asks the system how many bytes the file has now. */
  measure(): void {
    this.size = statusOf(this.fd, this.path).size;
  }

  /** Sets the permission bits. */
  chmod(permissions: number): void {
    system("fchmod", this.path, () => fs.fchmodSync(this.fd, permissions));
  }

  /** Closes the descriptor. Once only. */
  close(): void {
    fs.closeSync(this.fd);
  }

  /** As {@linkcode close}: what has no name any more gives its blocks back, which takes long. */
  async closeLater(): Promise<void> {
    await later().close(this.fd);
  }
}
