/**
 * What the system says of a file: which one it is, its size, kind, owner and rights.
 *
 * One structure for both ways to ask. Where the C library has `statx`, that is one call
 * and a few loads. Otherwise it is `node:fs`, which makes an object of twenty fields with
 * dates: 6 to 15 us in Deno, where the system needs less than one. What libc fails to
 * do, `node:fs` does again, so that errors and Deno's permissions are the runtime's own.
 *
 * Follows no policy, and knows nothing of maps.
 *
 * @module
 */

import * as fs from "node:fs";
import { libc, runtime } from "../../ffi/mod.ts";
import { system, systemError } from "../base/mod.ts";

/** What the system says of a file; names as in POSIX's `struct stat`. */
export interface Status {
  readonly dev: bigint;
  readonly ino: bigint;
  /** Kind and permission bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  /** Units of 512 bytes that it takes on the disk. */
  readonly blocks: number;
  /** Bytes that are best read at a time. */
  readonly blksize: number;
  /** When it was made, in milliseconds; 0 where the file system does not say. */
  readonly born: number;
}

/** Identifies one file, even after the system was restarted. */
export interface Identity {
  readonly inode: string;
  /** When it was made, in milliseconds: numbers of inodes are used again. */
  readonly born: string;
}

const { S_IFMT, S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFLNK } = fs.constants;

// From <fcntl.h> and <linux/stat.h>. All but Linux has no statx.
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
/**
 * All that stat says, but for times. Whoever asks for those has the next write to the file
 * note its time exactly, which makes the file's own record change with each.
 */
const STATX_BASIC_STATS_BUT_TIMES = 0x71f;
const STATX_CTIME = 0x80;
const STATX_BTIME = 0x800;
/** Bytes of `struct statx`, which is the same on every architecture. */
const STATX_SIZE = 256;

/** Filled by each call, and read at once. */
const ANSWER = new Uint8Array(STATX_SIZE);
const INTS = new Uint32Array(ANSWER.buffer);
const LONGS = new BigUint64Array(ANSWER.buffer);

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });
const NO_NAME = new Uint8Array(1);
/** Room for the longest path that Linux takes, with its NUL. */
const NAME = new Uint8Array(4096);

/** What is open as `fd`; errors name `path`. */
export function statusOf(fd: number, path: string): Status {
  const found = ask(fd, NO_NAME, AT_EMPTY_PATH);
  if (typeof found === "object") return found;
  return statusIn(
    system("fstat", path, () => fs.fstatSync(fd, { bigint: true })),
  );
}

/**
 * When what is open as `fd` was last changed, in nanoseconds; `undefined` where the system
 * does not say. Makes the next change dearer, as said above.
 */
export function changeTimeOf(fd: number): bigint | undefined {
  // Sound: as in `ask` below.
  const asked = libc().statx?.(fd, NO_NAME, AT_EMPTY_PATH, STATX_CTIME, ANSWER);
  if (asked !== 0 || (INTS[0]! & STATX_CTIME) === 0) return undefined;
  return LONGS[12]! * 1_000_000_000n + BigInt(INTS[26]!);
}

/** What stands at `path`, links followed; `undefined` if nothing does. */
export function statIfThere(path: string): Status | undefined {
  const found = askByName(path, 0);
  if (found !== "failed") return found;
  const stat = system(
    "stat",
    path,
    () => fs.statSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  return stat === undefined ? undefined : statusIn(stat);
}

/** What stands at `path` itself; `undefined` if nothing does. */
export function lstatIfThere(path: string): Status | undefined {
  const found = askByName(path, AT_SYMLINK_NOFOLLOW);
  if (found !== "failed") return found;
  const stat = system(
    "lstat",
    path,
    () => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false }),
  );
  return stat === undefined ? undefined : statusIn(stat);
}

/**
 * A path that is asked about again and again. What the C library takes of it is made
 * once, and so is the question whether the runtime lets us ask.
 */
export class KnownPath {
  readonly path: string;
  readonly #name: Uint8Array | undefined;

  constructor(path: string) {
    this.path = path;
    if (!mayAskLibc()) return;
    const name = ENCODER.encode(`${path}\0`);
    if (name.length <= NAME.length) this.#name = name;
  }

  /** As {@linkcode statIfThere}. */
  status(): Status | undefined {
    const name = this.#name;
    const found = name === undefined ? "failed" : ask(AT_FDCWD, name, 0);
    return found !== "failed" ? found : statIfThere(this.path);
  }

  /** As {@linkcode lstatIfThere}. */
  ownStatus(): Status | undefined {
    const name = this.#name;
    const found = name === undefined
      ? "failed"
      : ask(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW);
    return found !== "failed" ? found : lstatIfThere(this.path);
  }
}

export function isFile({ mode }: Status): boolean {
  return (mode & S_IFMT) === S_IFREG;
}

export function isLink({ mode }: Status): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/** Are both of the same file? */
export function isSame(one: Status, other: Status): boolean {
  return one.ino === other.ino && one.dev === other.dev;
}

/** Throws a `SystemError` that says what `status` is of, unless it is a regular file. */
export function checkRegular(status: Status, path: string): void {
  const kind = status.mode & S_IFMT;
  if (kind === S_IFREG) return;
  const [code, name] = kind === S_IFDIR
    ? ["EISDIR", "a directory"] as const
    : kind === S_IFIFO
    ? ["ENODEV", "a pipe"] as const
    : kind === S_IFSOCK
    ? ["ENODEV", "a socket"] as const
    : ["ENODEV", "a device"] as const;
  const reason = `this is ${name}, and only regular files can be mapped`;
  throw systemError(code, "open", path, reason);
}

/**
 * By what name the system reached what is open as `fd`; `undefined` where it does not
 * say, and for names that are not UTF-8.
 */
export function nameOfOpen(fd: number): string | undefined {
  const c = libc();
  if (c.readlink === null) return undefined;
  const link = ENCODER.encode(`/proc/self/fd/${fd}\0`);
  // Sound: the link ends with a NUL, and both are arrays of our own.
  const length = c.readlink(link, NAME);
  if (length < 0 || length === NAME.length) return undefined;
  try {
    return DECODER.decode(NAME.subarray(0, length));
  } catch {
    return undefined;
  }
}

/**
 * Does the runtime let us read all names? Not whether one may be read: Deno keeps what it
 * was asked about each name, for good.
 */
function mayAskLibc(): boolean {
  return runtime().mayUse("/", "read", true);
}

/** Asks libc about a name. */
function askByName(
  path: string,
  flags: number,
): Status | undefined | "failed" {
  if (!mayAskLibc()) return "failed";
  const { read, written } = ENCODER.encodeInto(path, NAME);
  if (read < path.length || written === NAME.length) return "failed";
  NAME[written] = 0;
  return ask(AT_FDCWD, NAME, flags);
}

/** Asks libc; `undefined` if nothing is there. */
function ask(
  fd: number,
  name: Uint8Array,
  flags: number,
): Status | undefined | "failed" {
  const c = libc();
  const mask = STATX_BASIC_STATS_BUT_TIMES | STATX_BTIME;
  // Sound: the name ends with a NUL, the answer is as large as the structure, and both
  // are arrays of our own, which live through the call.
  if (c.statx?.(fd, name, flags, mask, ANSWER) !== 0) {
    const isMissing = c.statx !== null && fd === AT_FDCWD &&
      c.errnoName(c.errno()) === "ENOENT";
    return isMissing ? undefined : "failed";
  }
  return {
    dev: deviceOf(INTS[34]!, INTS[35]!),
    ino: LONGS[4]!,
    mode: INTS[7]! & 0xffff,
    nlink: INTS[4]!,
    uid: INTS[5]!,
    gid: INTS[6]!,
    size: longAt(10),
    blocks: longAt(12),
    blksize: INTS[1]!,
    born: (INTS[0]! & STATX_BTIME) === 0
      ? 0
      : longAt(20) * 1000 + Math.floor(INTS[22]! / 1e6),
  };
}

/** A whole number of 64 bits, far below 2 ** 53, without the bigint that it would be. */
function longAt(index: number): number {
  return INTS[index]! + INTS[index + 1]! * 2 ** 32;
}

/** As the C library puts the two numbers of a device together, and `node:fs` returns them. */
function deviceOf(major: number, minor: number): bigint {
  const small = ((major & 0xfff) << 8) | (minor & 0xff);
  const isSmall = major < 2 ** 12 && minor < 2 ** 8;
  if (isSmall) return BigInt(small);
  return BigInt(small) |
    (BigInt(minor & 0xffffff00) & 0xffffff00n) << 12n |
    (BigInt(major & 0xfffff000) & 0xfffff000n) << 32n;
}

function statusIn(stat: fs.BigIntStats): Status {
  return {
    dev: stat.dev,
    ino: stat.ino,
    mode: Number(stat.mode),
    nlink: Number(stat.nlink),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: Number(stat.size),
    blocks: Number(stat.blocks),
    blksize: Number(stat.blksize),
    born: Number(stat.birthtimeMs),
  };
}
