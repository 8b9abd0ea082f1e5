/**
 * What a flush notes beside the file while it is under way, and what the next
 * open does if the flush was killed.
 *
 * The journal of a file is a hidden file in the same folder, whose name is made
 * of a hash of the file's. It names the new file that is about to take the old
 * one's place, or holds the bytes that are being appended. Who writes it locks it
 * (`flock`), and a lock ends with the process: a journal that can be locked is a
 * dead flush's.
 *
 * Recovery never takes a byte away from the file. Of an append that was cut short
 * it writes the rest, and only if what follows the old end is exactly the
 * beginning of that append; anything else is somebody else's, and stays.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { libc } from "../../ffi/mod.ts";
import { errnoError, system, SystemError } from "../base/mod.ts";
import {
  lstatIfThere,
  MappedFile,
  mayUse,
  openFile,
  permittedName,
  realPathIfKnown,
} from "./mapped_file.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } =
  fs.constants;

/** Bytes before those of the append; what is noted stands there as JSON. */
const HEADER = 4096;
/** Bytes compared at a time. */
const PIECE = 2 ** 20;
/** What reaches the disk as a whole. */
const BLOCK = 512;

/** The end of a new file's name, in full. */
const RANDOM = /^[0-9a-f]{24}$/;

/** A new file is being filled that will take the old one's place. */
interface Creation {
  readonly created: string;
}

/** Bytes are being appended; they follow in the journal. */
interface Append {
  /** The file, and when it was made: numbers of inodes are used again. */
  readonly inode: string;
  readonly born: string;
  /** Bytes before the append, and of the append. */
  readonly size: number;
  readonly added: number;
}

type Note = Creation | Append;

/** How often to try to have the journal: the last is 60 ms after the first. */
const ATTEMPTS = 6;
const NOBODY_WAKES = new Int32Array(new SharedArrayBuffer(4));

/** The journal of a flush that is under way. */
export class Journal {
  readonly #fd: number;
  readonly #path: string;
  #isOpen = true;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /** Where the journal is. */
  get folder(): string {
    return dirname(this.#path);
  }

  /**
   * Begins the journal of the file at `path`, which is no link. Answers `undefined`
   * where none can be made: the folder may not be written. Throws `EBUSY` where
   * another process, or thread, has one: it is flushing that very file.
   */
  static begin(path: string, permissions: number): Journal | undefined {
    const place = journalOf(path);
    if (!mayUse(place, true)) return undefined;
    let isBusy = false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      // An open in another process may be looking at it, or just ending it.
      if (attempt > 1) Atomics.wait(NOBODY_WAKES, 0, 0, 2 ** attempt);
      let fd: number;
      try {
        fd = openFile(place, O_RDWR | O_CREAT | O_EXCL, permissions);
      } catch (error) {
        if (isRefusal(error)) return undefined;
        if ((error as SystemError).code !== "EEXIST") throw error;
        isBusy = !recoverAt(path, O_RDWR);
        continue;
      }
      const journal = new Journal(fd, place);
      try {
        const refusal = lockErrno(fd);
        if (refusal === 0 && isLinked(fd, place)) return journal;
        if (refusal !== 0 && libc().errnoName(refusal) !== "EAGAIN") {
          journal.abandon(); // without locks nobody could tell a dead one
          return undefined;
        }
      } catch (error) {
        journal.abandon();
        throw error;
      }
      // An open in another process came first, took it for dead, and removes it.
      journal.leave();
    }
    if (!isBusy) return undefined;
    throw busy(place, "flushing the file at this moment; flush again");
  }

  /** Notes that the file of this name, in the same folder, is being filled. */
  noteCreated(created: string, durable: boolean): void {
    this.#note({ created }, durable);
  }

  /**
   * Notes that `added` bytes, which `write` puts into the journal from an offset
   * on, are being appended to `file`. Answers false where the folder cannot be
   * waited for, so that there would be no journal after a power cut.
   */
  noteAppend(
    file: MappedFile,
    added: number,
    durable: boolean,
    write: (journal: MappedFile, offset: number) => void,
  ): boolean {
    const own = new MappedFile(this.#path, this.#path, this.#fd, false);
    try {
      write(own, HEADER);
    } finally {
      own.forget();
    }
    this.#note({ ...identityOf(file), size: file.size, added }, durable);
    if (!durable) return true;
    try {
      syncFolder(this.folder);
      return true;
    } catch (error) {
      // Folders that may be written but not read, and file systems that cannot.
      if (isRefusal(error)) return false;
      throw error;
    }
  }

  /** Ends the journal: the flush counts, or has been undone. Throws if it stays valid. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      // Without content it says nothing, even where it cannot be removed.
      remove(this.#fd, this.#path);
    } finally {
      fs.closeSync(this.#fd);
    }
  }

  /** Leaves the journal to the next open, which finishes what it says. */
  leave(): void {
    if (this.#isOpen) fs.closeSync(this.#fd);
    this.#isOpen = false;
  }

  /** As {@linkcode end}, after a failure that says more than another would. */
  abandon(): void {
    try {
      this.end();
    } catch {
      // The next open finds it, and the file as it was: there is nothing to do.
    }
  }

  #note(note: Note, durable: boolean): void {
    const text = Buffer.from(JSON.stringify(note));
    const header = Buffer.alloc(HEADER, " ");
    text.copy(header);
    for (let done = 0; done < HEADER;) {
      done += system(
        "write",
        this.#path,
        () => fs.writeSync(this.#fd, header, done, HEADER - done, done),
      );
    }
    if (durable) system("fsync", this.#path, () => fs.fsyncSync(this.#fd));
  }
}

/** Hidden, unguessable, and told by its beginning to belong to the file at `path`. */
export function temporaryName(path: string): string {
  return `${prefixOf(path)}-${randomBytes(12).toString("hex")}`;
}

/**
 * Finishes what a killed flush of `file` left. In a mode that does not write, an
 * append that was cut short does not count: `file.size` is as it was before.
 */
export function recover(file: MappedFile, isWritable: boolean): void {
  const path = realPathOf(file, isWritable);
  // Deno would prompt for what it does not allow.
  if (path === undefined || !mayUse(journalOf(path), isWritable)) return;
  recoverAt(path, isWritable ? O_RDWR : O_RDONLY, file);
}

/** Ends the journal of a dead flush of `file`, before bytes move in it. */
export function clearJournal(file: MappedFile): void {
  const path = realPathOf(file, true);
  if (path === undefined || !mayUse(journalOf(path), true)) return;
  recoverAt(path, O_RDWR);
}

/** Where a file really is; `undefined` if we may not look, or if it has no name any more. */
export function realPathOf(
  { path }: MappedFile,
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

function busy(place: string, what: string): SystemError {
  const reason = `another process is ${what}`;
  return new SystemError("EBUSY", -16, "flock", place, reason);
}

/**
 * Looks at the journal of the file at `path`, if there is one that we believe.
 * Answers false if somebody else has it.
 */
function recoverAt(path: string, access: number, file?: MappedFile): boolean {
  const place = journalOf(path);
  const fd = openBeside(place, access, file);
  if (fd === undefined) return true;
  try {
    if (access === O_RDWR) {
      // Locked before it is read: what was true before may not be any more.
      const refusal = lockErrno(fd);
      if (refusal !== 0) checkUnbegun(fd, place, file, refusal);
      else if (isLinked(fd, place)) finish(fd, place, path, file);
      return libc().errnoName(refusal) !== "EAGAIN";
    }
    const note = read(fd, place);
    if (note !== undefined && !("created" in note) && file !== undefined) {
      if (isBegun(fd, place, note, file)) file.size = note.size;
    }
    return true;
  } finally {
    fs.closeSync(fd);
  }
}

/** Throws if an append is under way that somebody else, who has the lock, will finish. */
function checkUnbegun(
  fd: number,
  place: string,
  file: MappedFile | undefined,
  errno: number,
): void {
  const note = file && read(fd, place);
  if (note === undefined || "created" in note) return;
  if (!isBegun(fd, place, note, file!)) return;
  if (libc().errnoName(errno) !== "EAGAIN") {
    throw errnoError(errno, "flock", place);
  }
  throw busy(place, "appending to the file at this moment; open it again");
}

/** Finishes a dead flush, whose journal we hold the lock of, and ends that. */
function finish(
  fd: number,
  place: string,
  path: string,
  file: MappedFile | undefined,
): void {
  const note = read(fd, place);
  if (note === undefined) {
    // Killed, or cut off from power, before it said anything.
    removeAllCreated(path, file);
  } else if ("created" in note) {
    removeCreated(join(dirname(path), basename(note.created)), path, file);
  } else if (file !== undefined) {
    file.refresh();
    if (isBegun(fd, place, note, file)) writeRest(fd, place, note, file);
  } else {
    // In the midst of a flush: only one that changed nothing is dead for good.
    const { size } = system("stat", path, () => fs.statSync(path));
    if (size > note.size && size <= note.size + note.added) return;
  }
  remove(fd, place);
}

/** Is what follows the file's old end the beginning of the append, or all of it? */
function isBegun(
  fd: number,
  place: string,
  note: Append,
  file: MappedFile,
): boolean {
  const { inode, born } = identityOf(file);
  if (note.inode !== inode || note.born !== born) return false;
  const begun = file.size - note.size;
  if (begun <= 0 || begun > note.added) return false;
  const [there, meant] = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];
  for (let at = 0; at < begun; at += PIECE) {
    const count = Math.min(PIECE, begun - at);
    file.read(there.subarray(0, count), note.size + at);
    readAll(fd, place, meant.subarray(0, count), HEADER + at);
    const end = note.size + note.added;
    if (!isBeginning(there, meant, count, note.size + at, end)) return false;
  }
  return true;
}

/**
 * Are `count` bytes, which are at `offset` of the file, those that were meant? After
 * a power cut, blocks of them, up to the `end` of all, may be zeros, or end in zeros:
 * the size came to the disk first.
 */
function isBeginning(
  there: Buffer,
  meant: Buffer,
  count: number,
  offset: number,
  end: number,
): boolean {
  for (let from = 0; from < count;) {
    const to = Math.min(from + BLOCK - (offset + from) % BLOCK, count);
    const block = there.subarray(from, to);
    let at = 0;
    while (at < block.length && block[at] === meant[from + at]) at++;
    if (at < block.length) {
      const isWhole = (offset + to) % BLOCK === 0 || offset + to === end;
      if (!isWhole || block.subarray(at).some((byte) => byte !== 0)) {
        return false;
      }
    }
    from = to;
  }
  return true;
}

function writeRest(
  fd: number,
  place: string,
  note: Append,
  file: MappedFile,
): void {
  const piece = Buffer.alloc(PIECE);
  for (let at = 0; at < note.added; at += PIECE) {
    const bytes = piece.subarray(0, Math.min(PIECE, note.added - at));
    readAll(fd, place, bytes, HEADER + at);
    file.write(bytes, note.size + at);
  }
  file.sync();
}

function readAll(
  fd: number,
  path: string,
  bytes: Uint8Array,
  position: number,
): void {
  for (let done = 0; done < bytes.length;) {
    const count = system(
      "read",
      path,
      () => fs.readSync(fd, bytes, done, bytes.length - done, position + done),
    );
    if (count === 0) {
      throw new SystemError("EIO", -5, "read", path, "cut short");
    }
    done += count;
  }
}

/** What a journal says; `undefined` if nothing, or not all of it. */
function read(fd: number, path: string): Note | undefined {
  const { size } = system("fstat", path, () => fs.fstatSync(fd));
  if (size < HEADER) return undefined;
  const header = Buffer.alloc(HEADER);
  readAll(fd, path, header, 0);
  let note: Partial<Creation & Append>;
  try {
    note = JSON.parse(header.toString()) ?? {};
  } catch {
    return undefined;
  }
  if (typeof note.created === "string") return note as Note;
  const isWhole = Number.isSafeInteger(note.size) && note.size! >= 0 &&
    Number.isSafeInteger(note.added) &&
    size === HEADER + note.added!;
  return isWhole ? note as Note : undefined;
}

/** Removes what flushes created beside the file, when it is not known which. */
function removeAllCreated(path: string, file: MappedFile | undefined): void {
  const folder = dirname(path);
  if (!libc().mayUse(folder, "read")) return;
  const names = system("readdir", folder, () => fs.readdirSync(folder));
  for (const name of names) removeCreated(join(folder, name), path, file);
}

function removeCreated(
  created: string,
  path: string,
  file: MappedFile | undefined,
): void {
  const name = basename(created);
  const prefix = `${prefixOf(path)}-`;
  if (!name.startsWith(prefix)) return;
  if (!RANDOM.test(name.slice(prefix.length))) return;
  const fd = openBeside(created, O_RDONLY, file);
  if (fd === undefined) return;
  fs.closeSync(fd);
  unlink(created);
}

/** Removes a journal, and makes it say nothing: one of the two is enough. */
function remove(fd: number, path: string): void {
  let isSilent = true;
  try {
    system("ftruncate", path, () => fs.ftruncateSync(fd, 0));
  } catch {
    isSilent = false;
  }
  try {
    unlink(path);
  } catch {
    // Once more: it must not outlive a failure that passes.
    try {
      unlink(path);
    } catch (error) {
      if (!isSilent) throw error;
    }
  }
}

function unlink(path: string): void {
  try {
    system("unlink", path, () => fs.unlinkSync(path));
  } catch (error) {
    if ((error as SystemError).code !== "ENOENT") throw error;
  }
}

/** Gone, a link, a folder, a socket, or not for us to open. */
const NOT_OURS = ["ENOENT", "ELOOP", "EISDIR", "ENXIO", "EACCES", "EPERM"];

/** Opens what lies beside a file, unless it is not there, or somebody else's. */
function openBeside(
  path: string,
  access: number,
  file: MappedFile | undefined,
): number | undefined {
  let fd: number;
  try {
    // Most files have none, and an exception costs more than all else here. And to
    // open a pipe or a device can set going what waits for that.
    if (!lstatIfThere(path)?.isFile()) return undefined;
    fd = openFile(path, access | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as SystemError;
    if (NOT_OURS.includes(code) || isRefusal(error)) return undefined;
    throw error;
  }
  try {
    const stat = system("fstat", path, () => fs.fstatSync(fd));
    // In a folder that others write to as well, anybody can make a file of any
    // name: only our own are believed, and those of the file's owner and of root.
    const owners = [0, libc().geteuid(), file?.owner.uid];
    if (stat.isFile() && stat.nlink === 1 && owners.includes(stat.uid)) {
      return fd;
    }
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  fs.closeSync(fd);
  return undefined;
}

/** Locks a file for this process: 0, `EAGAIN` if another has, or why there are no locks. */
function lockErrno(fd: number): number {
  const c = libc();
  const { LOCK_EX, LOCK_NB } = c.constants;
  for (;;) {
    // Sound: a descriptor that we hold open; there is no memory involved.
    if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return 0;
    const errno = c.errno();
    if (c.errnoName(errno) !== "EINTR") return errno;
  }
}

/** Is an open file still the one at `path`? */
function isLinked(fd: number, path: string): boolean {
  const own = system("fstat", path, () => fs.fstatSync(fd, { bigint: true }));
  const there = system(
    "lstat",
    path,
    () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  return there !== undefined && there.ino === own.ino && there.dev === own.dev;
}

function identityOf(file: MappedFile): { inode: string; born: string } {
  const { ino, birthtimeMs } = system(
    "fstat",
    file.path,
    () => fs.fstatSync(file.fd, { bigint: true }),
  );
  // Not the device, whose number changes when it is mounted again. And not
  // nanoseconds: Deno knows only milliseconds.
  return { inode: `${ino}`, born: `${birthtimeMs}` };
}

function journalOf(path: string): string {
  return join(dirname(path), `${prefixOf(path)}.journal`);
}

/** How the names begin of all that is made beside the file at `path`. */
function prefixOf(path: string): string {
  const hash = createHash("sha256").update(basename(path)).digest("hex");
  return `.memmap-${hash.slice(0, 16)}`;
}

/** Is this "you may not", or "that cannot be done here", rather than "it failed"? */
function isRefusal(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "NotCapable" ||
    ["EACCES", "EPERM", "EROFS", "EINVAL", "ENOTSUP", "EOPNOTSUPP"]
      .includes(`${code}`);
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
