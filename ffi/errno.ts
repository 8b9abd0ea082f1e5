/**
 * Errno: keeps it right after each call, and knows the names of its values.
 *
 * Must not know what is called, nor any runtime.
 *
 * errno belongs to the whole thread, and the runtime makes calls of its own on that
 * thread. A garbage collection between a failed call and a question about errno is
 * enough to spoil it: in Deno, one in some millions read `EAGAIN`, left behind by a
 * futex, where it had been `ENODATA`. So errno is not asked for by another call,
 * which would allocate memory. It is one load from the thread's own memory, made
 * with each call.
 *
 * One gap is left: Deno makes a bigint of a 64-bit result before that load. None of
 * 40 million such reads was seen to be wrong. If one is, a hole is copied as bytes,
 * a copy is made by reading and writing, or a failed `mmap` gets a wrong explanation.
 *
 * @module
 */

import type { System } from "./signatures.ts";

/** See {@linkcode keepErrno}. */
export interface ErrnoKeeper {
  /** One element: the thread's errno itself. */
  readonly now: Int32Array;
  /** Returns `result` as a number, and keeps `errno` if it is -1. */
  noted(result: number | bigint, errno: number): number;
  /** Returns what was kept last. */
  last(): number;
}

/**
 * Keeps errno for one thread; `buffer` lies over that thread's errno. Use it in a
 * single expression, since the operands are evaluated from left to right:
 *
 * ```ts ignore
 * noted(c.munmap(address, length), now[0]!)
 * ```
 *
 * Sound: a thread's errno stays in place for as long as the thread lives, and
 * neither runtime moves an isolate from one thread to another.
 */
export function keepErrno(buffer: ArrayBuffer): ErrnoKeeper {
  let kept = 0;
  return {
    now: new Int32Array(buffer),
    noted(result, errno) {
      const value = Number(result);
      if (value === -1) kept = errno;
      return value;
    },
    last: () => kept,
  };
}

// On Linux the values of asm-generic, which x86-64 and arm64 both use; on macOS those
// of the SDK's <sys/errno.h>. `null` where a system has no such error. Where two names
// share a value, the first one is the name of that value.
const ERRNO = {
  //                [Linux, macOS]
  EPERM: [1, 1],
  ENOENT: [2, 2],
  ESRCH: [3, 3],
  EINTR: [4, 4],
  EIO: [5, 5],
  ENXIO: [6, 6],
  E2BIG: [7, 7],
  ENOEXEC: [8, 8],
  EBADF: [9, 9],
  ECHILD: [10, 10],
  EAGAIN: [11, 35],
  EWOULDBLOCK: [11, 35],
  ENOMEM: [12, 12],
  EACCES: [13, 13],
  EFAULT: [14, 14],
  ENOTBLK: [15, 15],
  EBUSY: [16, 16],
  EEXIST: [17, 17],
  EXDEV: [18, 18],
  ENODEV: [19, 19],
  ENOTDIR: [20, 20],
  EISDIR: [21, 21],
  EINVAL: [22, 22],
  ENFILE: [23, 23],
  EMFILE: [24, 24],
  ENOTTY: [25, 25],
  ETXTBSY: [26, 26],
  EFBIG: [27, 27],
  ENOSPC: [28, 28],
  ESPIPE: [29, 29],
  EROFS: [30, 30],
  EMLINK: [31, 31],
  EPIPE: [32, 32],
  EDOM: [33, 33],
  ERANGE: [34, 34],
  EDEADLK: [35, 11],
  ENAMETOOLONG: [36, 63],
  ENOLCK: [37, 77],
  ENOSYS: [38, 78],
  ENOTEMPTY: [39, 66],
  ELOOP: [40, 62],
  EIDRM: [43, 90],
  ENODATA: [61, 96],
  ENOATTR: [null, 93],
  ETIME: [62, 101],
  ENOLINK: [67, 97],
  EPROTO: [71, 100],
  EMULTIHOP: [72, 95],
  EBADMSG: [74, 94],
  EOVERFLOW: [75, 84],
  EILSEQ: [84, 92],
  EUSERS: [87, 68],
  EOPNOTSUPP: [95, 102],
  ENOTSUP: [95, 45],
  ENETDOWN: [100, 50],
  ENETUNREACH: [101, 51],
  ECONNABORTED: [103, 53],
  ECONNRESET: [104, 54],
  ENOBUFS: [105, 55],
  ENOTCONN: [107, 57],
  ESHUTDOWN: [108, 58],
  ETIMEDOUT: [110, 60],
  ECONNREFUSED: [111, 61],
  EHOSTDOWN: [112, 64],
  EHOSTUNREACH: [113, 65],
  EALREADY: [114, 37],
  EINPROGRESS: [115, 36],
  ESTALE: [116, 70],
  EUCLEAN: [117, null],
  EREMOTEIO: [121, null],
  EDQUOT: [122, 69],
  ENOMEDIUM: [123, null],
  EMEDIUMTYPE: [124, null],
  ECANCELED: [125, 89],
  ENOKEY: [126, null],
  EKEYEXPIRED: [127, null],
  EKEYREVOKED: [128, null],
  EKEYREJECTED: [129, null],
  EOWNERDEAD: [130, 105],
  ENOTRECOVERABLE: [131, 104],
  EHWPOISON: [133, null],
} as const;

/** An error that both systems have, by its name in `<errno.h>`. */
export type ErrnoName = {
  [Name in keyof typeof ERRNO]: (typeof ERRNO)[Name] extends
    readonly [number, number] ? Name : never;
}[keyof typeof ERRNO];

/** A system's errors, looked up in both directions. */
export interface ErrnoTable {
  /** Names by number: one name for each number. */
  readonly names: ReadonlyMap<number, string>;
  /** Numbers by name: `EAGAIN` and `EWOULDBLOCK` are both there. */
  readonly numbers: ReadonlyMap<string, number>;
}

/** Returns the errors of a system. */
export function errnosOf(system: System): ErrnoTable {
  const names = new Map<number, string>();
  const numbers = new Map<string, number>();
  for (const [name, [linux, darwin]] of Object.entries(ERRNO)) {
    const number = system === "linux" ? linux : darwin;
    if (number === null) continue;
    numbers.set(name, number);
    if (!names.has(number)) names.set(number, name);
  }
  return { names, numbers };
}
