/**
 * The C functions that are called, each prototype once.
 *
 * Every backend derives its own symbol table from these: a type here says what a
 * backend must do with the value, and the comment says what C calls it. A test has a C
 * compiler compare the comments with the system's headers. Must not know any runtime's
 * names for types, nor what the functions are for.
 *
 * @module
 */

/** Linux or macOS, as `process.platform` names them. */
export type System = "linux" | "darwin";

/**
 * A parameter:
 *
 * - `int`, `unsigned`: 32 bits, a number everywhere.
 * - `size`: `size_t`, `offset`: `off_t`, 64 bits. A backend may want bigints.
 * - `address`: a pointer as an integer, since addresses are computed with. A backend
 *   passes it as a plain integer of 64 bits: Deno's pointer objects would cost an
 *   allocation a call.
 * - `view`: a pointer to the bytes of a typed array, or `null`. A backend takes the
 *   address inside the call, where no garbage collection can move the bytes.
 */
export type Parameter =
  | "int"
  | "unsigned"
  | "size"
  | "offset"
  | "address"
  | "view";

/**
 * A result, with these besides:
 *
 * - `address`: signed, so that `MAP_FAILED` is -1. No address in user space is
 *   large enough to look negative.
 * - `ssize`: `ssize_t`.
 * - `smallSsize`: an `ssize_t` that fits into 32 bits. Deno makes a bigint, which
 *   takes memory, of anything wider.
 * - `void`: nothing, or a pointer that the caller passed in itself.
 */
export type Result =
  | "int"
  | "unsigned"
  | "offset"
  | "address"
  | "ssize"
  | "smallSsize"
  | "void";

/** The parameters and the result of a C function. */
export interface Prototype {
  readonly parameters: readonly Parameter[];
  readonly result: Result;
}

/** Prototypes by the names of their functions. */
export type Prototypes = Readonly<Record<string, Prototype>>;

const EVERYWHERE = {
  mmap: {
    parameters: [
      "address", // void *addr
      "size", // size_t length
      "int", // int prot
      "int", // int flags
      "int", // int fd
      "offset", // off_t offset
    ],
    result: "address", // void *
  },
  munmap: {
    parameters: [
      "address", // void *addr
      "size", // size_t length
    ],
    result: "int",
  },
  msync: {
    parameters: [
      "address", // void *addr
      "size", // size_t length
      "int", // int flags
    ],
    result: "int",
  },
  madvise: {
    parameters: [
      "address", // void *addr
      "size", // size_t length
      "int", // int advice
    ],
    result: "int",
  },
  mprotect: {
    parameters: [
      "address", // void *addr
      "size", // size_t len
      "int", // int prot
    ],
    result: "int",
  },
  sigaction: {
    parameters: [
      "int", // int signum
      "view", // const struct sigaction *act
      "view", // struct sigaction *oldact
    ],
    result: "int",
  },
  memmem: {
    parameters: [
      "address", // const void *haystack
      "size", // size_t haystacklen
      "view", // const void *needle
      "size", // size_t needlelen
    ],
    result: "address", // void *
  },
  memmove: {
    parameters: [
      "address", // void *dest
      "address", // const void *src
      "size", // size_t n
    ],
    result: "void", // void *, which is dest
  },
  memset: {
    parameters: [
      "address", // void *s
      "int", // int c
      "size", // size_t n
    ],
    result: "void", // void *, which is s
  },
  memcmp: {
    parameters: [
      "address", // const void *s1
      "address", // const void *s2
      "size", // size_t n
    ],
    result: "int",
  },
  lseek: {
    parameters: [
      "int", // int fd
      "offset", // off_t offset
      "int", // int whence
    ],
    result: "offset",
  },
  flock: {
    parameters: [
      "int", // int fd
      "int", // int operation
    ],
    result: "int",
  },
  geteuid: { parameters: [], result: "unsigned" }, // uid_t
  getpagesize: { parameters: [], result: "int" },
} as const;

/** Where the thread's errno is. */
const ERRNO_LOCATION = {
  linux: { __errno_location: { parameters: [], result: "address" } }, // int *
  darwin: { __error: { parameters: [], result: "address" } }, // int *
} as const;

const MINCORE = {
  linux: {
    mincore: {
      parameters: [
        "address", // void *addr
        "size", // size_t len
        "view", // unsigned char *vec
      ],
      result: "int",
    },
  },
  darwin: {
    mincore: {
      parameters: [
        "address", // const void *addr
        "size", // size_t len
        "view", // char *vec
      ],
      result: "int",
    },
  },
} as const;

const LINUX_FILES = {
  posix_fallocate: {
    parameters: [
      "int", // int fd
      "offset", // off_t offset
      "offset", // off_t len
    ],
    result: "int",
  },
  fallocate: {
    parameters: [
      "int", // int fd
      "int", // int mode
      "offset", // off_t offset
      "offset", // off_t len
    ],
    result: "int",
  },
  fstatfs: {
    parameters: [
      "int", // int fd
      "view", // struct statfs *buf
    ],
    result: "int",
  },
  ioctl: {
    parameters: [
      "int", // int fd
      "size", // unsigned long request
      "view", // void *data
    ],
    result: "int",
  },
  statx: {
    parameters: [
      "int", // int dirfd
      "view", // const char *pathname
      "int", // int flags
      "unsigned", // unsigned int mask
      "view", // struct statx *statxbuf
    ],
    result: "int",
  },
  readlink: {
    parameters: [
      "view", // const char *path
      "view", // char *buf
      "size", // size_t bufsiz
    ],
    result: "smallSsize",
  },
  copy_file_range: {
    parameters: [
      "int", // int fd_in
      "view", // off_t *off_in
      "int", // int fd_out
      "view", // off_t *off_out
      "size", // size_t len
      "unsigned", // unsigned int flags
    ],
    result: "ssize",
  },
  sync_file_range: {
    parameters: [
      "int", // int fd
      "offset", // off64_t offset
      "offset", // off64_t nbytes
      "unsigned", // unsigned int flags
    ],
    result: "int",
  },
} as const;

/** What a backend needs to have a function called when its thread ends. */
const LINUX_THREADS = {
  dlsym: {
    parameters: [
      "address", // void *handle
      "view", // const char *symbol
    ],
    result: "address", // void *
  },
  eventfd: {
    parameters: [
      "unsigned", // unsigned int initval
      "int", // int flags
    ],
    result: "int",
  },
  dup3: {
    parameters: [
      "int", // int oldfd
      "int", // int newfd
      "int", // int flags
    ],
    result: "int",
  },
} as const;

// Linux limits a list of names, and a value, to 64 KiB.
const LINUX_XATTR = {
  flistxattr: {
    parameters: [
      "int", // int fd
      "view", // char *list
      "size", // size_t size
    ],
    result: "smallSsize",
  },
  fgetxattr: {
    parameters: [
      "int", // int fd
      "view", // const char *name
      "view", // void *value
      "size", // size_t size
    ],
    result: "smallSsize",
  },
  fsetxattr: {
    parameters: [
      "int", // int fd
      "view", // const char *name
      "view", // const void *value
      "size", // size_t size
      "int", // int flags
    ],
    result: "int",
  },
  fremovexattr: {
    parameters: [
      "int", // int fd
      "view", // const char *name
    ],
    result: "int",
  },
} as const;

// A resource fork is an attribute on macOS, and may be larger than 2 GiB.
const DARWIN_XATTR = {
  flistxattr: {
    parameters: [
      "int", // int fd
      "view", // char *namebuf
      "size", // size_t size
      "int", // int options
    ],
    result: "ssize",
  },
  fgetxattr: {
    parameters: [
      "int", // int fd
      "view", // const char *name
      "view", // void *value
      "size", // size_t size
      "unsigned", // u_int32_t position
      "int", // int options
    ],
    result: "ssize",
  },
  fsetxattr: {
    parameters: [
      "int", // int fd
      "view", // const char *name
      "view", // const void *value
      "size", // size_t size
      "unsigned", // u_int32_t position
      "int", // int options
    ],
    result: "int",
  },
  fremovexattr: {
    parameters: [
      "int", // int fd
      "view", // const char *name
      "int", // int options
    ],
    result: "int",
  },
} as const;

/** What may also be called on another thread, and what that needs. */
const EVERYWHERE_ELSEWHERE = {
  close: {
    parameters: [
      "int", // int fd
    ],
    result: "int",
  },
  dup: {
    parameters: [
      "int", // int fd
    ],
    result: "int",
  },
  pwrite: {
    parameters: [
      "int", // int fd
      "address", // const void *buf
      "size", // size_t nbytes
      "offset", // off_t offset
    ],
    result: "ssize",
  },
} as const;

/**
 * What opens a file once more by what /proc calls it. It is variadic in C, and Linux
 * passes the arguments that are always there as those of any function; Apple's arm64
 * does not. Without `O_CREAT` there are no others.
 */
const LINUX_ELSEWHERE = {
  open: {
    parameters: [
      "view", // const char *file
      "int", // int oflag
    ],
    result: "int",
  },
} as const;

/** The functions that a system's C library must have. */
export function requiredOn(system: System): Prototypes {
  return { ...EVERYWHERE, ...ERRNO_LOCATION[system], ...MINCORE[system] };
}

/** The functions that a system's C library may lack. */
export function optionalOn(system: System): Prototypes {
  return system === "linux"
    ? { ...LINUX_FILES, ...LINUX_THREADS, ...LINUX_XATTR }
    : DARWIN_XATTR;
}

/** The functions that a backend may call on another thread. Any may be missing. */
export function elsewhereOn(system: System): Prototypes {
  if (system === "darwin") return EVERYWHERE_ELSEWHERE;
  const { copy_file_range, fallocate, sync_file_range } = LINUX_FILES;
  return {
    ...EVERYWHERE_ELSEWHERE,
    ...LINUX_ELSEWHERE,
    copy_file_range,
    fallocate,
    sync_file_range,
  };
}

/** The name of the function that returns errno's address. */
export function errnoLocationOn(system: System): string {
  return Object.keys(ERRNO_LOCATION[system])[0]!;
}

/** What an argument is in JavaScript; `Long` is the backend's integer of 64 bits. */
type Argument<T extends Parameter, Long> = T extends "int" | "unsigned" ? number
  : T extends "view" ? Uint8Array | BigInt64Array | null
  : Long;

/** What a call returns in JavaScript. */
type Returned<T extends Result> = T extends "void" ? unknown
  : T extends "int" | "unsigned" ? number
  : number | bigint;

type Arguments<T extends readonly Parameter[], Long> = {
  -readonly [I in keyof T]: Argument<T[I], Long>;
};

type CallOf<P extends Prototype, Long> = (
  ...values: Arguments<P["parameters"], Long>
) => Returned<P["result"]>;

type CallsOf<T extends Prototypes, Long> = {
  readonly [Name in keyof T]: CallOf<T[Name], Long>;
};

/** The same, `null` where the C library lacks the function. */
type OptionalCallsOf<T extends Prototypes, Long> = {
  readonly [Name in keyof T]: CallOf<T[Name], Long> | null;
};

/** The four attribute calls, with the parameters of one system or the other. */
export type XattrSymbols<Long> =
  | OptionalCallsOf<typeof LINUX_XATTR, Long>
  | OptionalCallsOf<typeof DARWIN_XATTR, Long>;

/** What only the backend itself calls. */
export type OptionalCalls<Long> = OptionalCallsOf<typeof LINUX_THREADS, Long>;

/** What {@linkcode elsewhereOn} names, as a backend looks it up. */
export type ElsewhereSymbols<Long> =
  & OptionalCallsOf<typeof EVERYWHERE_ELSEWHERE, Long>
  & Partial<OptionalCallsOf<typeof LINUX_ELSEWHERE, Long>>
  & Partial<OptionalCallsOf<typeof LINUX_FILES, Long>>;

/** The C functions as a backend looks them up. */
export type Symbols<Long> =
  & CallsOf<typeof EVERYWHERE, Long>
  & CallsOf<(typeof MINCORE)[System], Long>
  & OptionalCallsOf<typeof LINUX_FILES, Long>
  & XattrSymbols<Long>;
