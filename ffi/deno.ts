/**
 * The Deno backend: libc through `Deno.dlopen`.
 *
 * Knows Deno's FFI and nothing of mapping. Importing it anywhere is harmless: Deno's
 * global object is looked up only in {@linkcode loadDeno}. What is used of it is
 * declared here, so that whoever checks the types of this library needs none of Deno's.
 *
 * @module
 */

import { type Found, libcOf } from "./calls.ts";
import type { Libc } from "./libc.ts";
import type { Platform } from "./platform.ts";
import type { Elsewhere, Runtime } from "./runtime.ts";
import {
  elsewhereOn,
  type ElsewhereSymbols,
  optionalOn,
  type Parameter,
  type Prototypes,
  requiredOn,
  type Result,
} from "./signatures.ts";

/** One function of a symbol table. */
interface DenoFunction {
  readonly parameters: readonly string[];
  readonly result: string;
  /** Makes a missing function `null`, where the whole table would fail otherwise. */
  readonly optional: boolean;
  /** The C function's name, where the table has another. */
  readonly name?: string;
  /** Has another thread make the call, which then returns a promise. */
  readonly nonblocking?: boolean;
}

/** An opaque object that stands for an address. */
type Pointer = { readonly __pointer: unique symbol };

/** What is used of the global `Deno`. */
interface DenoNamespace {
  dlopen(
    path: string,
    symbols: Record<string, DenoFunction>,
  ): { readonly symbols: Found };
  readonly UnsafePointer: {
    create(address: bigint): Pointer | null;
    of(bytes: Uint8Array): Pointer | null;
    value(pointer: Pointer | null): number | bigint;
  };
  readonly UnsafePointerView: {
    getArrayBuffer(
      pointer: Pointer,
      length: number,
      offset: number,
    ): ArrayBuffer;
  };
  readonly permissions: {
    querySync(descriptor: { name: "read" | "write"; path: string }): {
      readonly state: string;
      readonly partial?: boolean;
    };
  };
}

// "usize" carries addresses: a "pointer" is an opaque object, one allocation a call.
const PARAMETERS: Readonly<Record<Parameter, string>> = {
  int: "i32",
  unsigned: "u32",
  size: "usize",
  offset: "i64",
  address: "usize",
  view: "buffer",
};

const RESULTS: Readonly<Record<Result, string>> = {
  int: "i32",
  unsigned: "u32",
  offset: "i64",
  address: "isize",
  ssize: "isize",
  smallSsize: "i32",
  void: "void",
};

function tableOf(
  prototypes: Prototypes,
  optional: boolean,
): Record<string, DenoFunction> {
  return Object.fromEntries(
    Object.entries(prototypes).map(([name, { parameters, result }]) => [name, {
      parameters: parameters.map((type) => PARAMETERS[type]),
      result: RESULTS[result],
      optional,
    }]),
  );
}

/**
 * Opens the first library that is there.
 *
 * Deno can limit `--allow-ffi` to a library's path, but then it refuses every
 * ArrayBuffer over a pointer (denoland/deno#15511), which is all that a mapping is
 * for. So the whole permission is asked for first: without it, Deno prompts or throws
 * its own `NotCapable` before anything is touched.
 */
function openLibrary(
  deno: DenoNamespace,
  platform: Platform,
): { found: Found; path: string } {
  deno.UnsafePointer.create(1n); // accesses nothing; only the check counts
  const table = {
    ...tableOf(requiredOn(platform.system), false),
    ...tableOf(optionalOn(platform.system), true),
  };
  let missing: unknown;
  for (const path of platform.libraries) {
    try {
      return { found: deno.dlopen(path, table).symbols, path };
    } catch (error) {
      missing = error; // the next path may be there
    }
  }
  throw missing;
}

/** What nonblocking calls return. */
type Promised<T> = {
  readonly [Name in keyof T]: T[Name] extends
    ((...values: infer A) => infer R) | null | undefined
    ? ((...values: A) => Promise<R>) | null | undefined
    : never;
};

// Linux's, on every architecture that Deno runs on.
const [O_RDONLY, O_RDWR, O_CLOEXEC] = [0, 2, 0o2000000];

const ENCODER = new TextEncoder();

/** Two offsets that another thread reads and changes, and where they are. */
interface Offsets {
  readonly address: bigint;
  readonly numbers: BigInt64Array;
}

/** Bytes of two offsets, and of as many as are mapped at a time. */
const OFFSETS = 16;
const OFFSETS_MAPPED = 4096;

/**
 * Makes room for offsets outside of all that goes with a worker. One that is terminated
 * leaves its calls to other threads behind, and the memory of its buffers is given back:
 * what the system writes there would be written into somebody else's.
 */
function roomForOffsets(
  c: Libc,
  arrayBuffer: (address: number, length: number) => ArrayBuffer,
): Offsets[] {
  const { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } = c.constants;
  const flags = MAP_ANONYMOUS | MAP_PRIVATE;
  // Sound: the system chooses where, and this is never unmapped.
  const start = c.mmap(0, OFFSETS_MAPPED, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (start === -1) return [];
  const buffer = arrayBuffer(start, OFFSETS_MAPPED);
  return Array.from({ length: OFFSETS_MAPPED / OFFSETS }, (_, i) => ({
    address: BigInt(start + i * OFFSETS),
    numbers: new BigInt64Array(buffer, i * OFFSETS, 2),
  }));
}

/**
 * Looks up the calls for another thread, in the library at `path`. That is not done
 * before somebody wants them, so that opening a map stays quick.
 */
function elsewhereIn(
  deno: DenoNamespace,
  path: string,
  { system }: Platform,
  libc: Libc,
  arrayBuffer: (address: number, length: number) => ArrayBuffer,
): Elsewhere {
  const table = tableOf(elsewhereOn(system), true);
  const {
    dup: dupEntry,
    open: openEntry,
    copy_file_range: copyEntry,
    ...others
  } = table;
  const nonblocking = Object.fromEntries(
    Object.entries({
      ...others,
      // Addresses, since these offsets are in no buffer of the runtime's.
      ...copyEntry !== undefined && {
        copy_file_range: {
          ...copyEntry,
          parameters: copyEntry.parameters.map((type) =>
            type === "buffer" ? "usize" : type
          ),
        },
      },
    }).map(([name, entry]) => [name, { ...entry, nonblocking: true }]),
  );
  const { symbols } = deno.dlopen(path, {
    dup: dupEntry!,
    ...openEntry !== undefined && { open: openEntry },
    ...nonblocking,
  });
  const { dup, open } = symbols as unknown as {
    dup: ((fd: number) => number) | null;
    open?: ((path: Uint8Array, flags: number) => number) | null;
  };
  const c = symbols as unknown as Promised<ElsewhereSymbols<bigint>>;
  const { close, pwrite, fallocate, sync_file_range } = c;
  const copy_file_range = c.copy_file_range as unknown as
    | ((
      source: number,
      sourceOffset: bigint,
      target: number,
      targetOffset: bigint,
      length: bigint,
      flags: number,
    ) => Promise<bigint | number>)
    | null
    | undefined;
  const canCall = open != null && close != null;
  const idle: Offsets[] = [];

  /**
   * Has `call` use descriptors of its own, which only it closes. The runtime closes
   * those of a worker that is terminated while another thread is yet to make the call,
   * and whatever has the numbers then would be written to. The files are opened once
   * more, since a copy of a descriptor keeps its lock, and nobody would end that: a
   * worker that is terminated meanwhile leaves them open. Gives -1 where that cannot be
   * done.
   */
  async function withOwn(
    fds: readonly (readonly [fd: number, access: number])[],
    call: (...own: number[]) => Promise<number | bigint>,
  ): Promise<number> {
    const own: number[] = [];
    try {
      for (const [fd, access] of fds) {
        const path = ENCODER.encode(`/proc/self/fd/${fd}\0`);
        // Sound: the path ends with a NUL, and is an array of our own.
        const other = open!(path, access | O_CLOEXEC);
        if (other === -1) return -1;
        own.push(other);
      }
      return Number(await call(...own));
    } finally {
      // Sound: nobody else knows these numbers, and the call is over.
      for (const fd of own) await close!(fd);
    }
  }

  return {
    dup,
    close: close ? async (fd) => Number(await close(fd)) : null,
    // Sound: the caller keeps the memory mapped.
    pwrite: pwrite && canCall
      ? (fd, address, length, offset) =>
        withOwn(
          [[fd, O_RDWR]],
          (fd) => pwrite(fd!, BigInt(address), BigInt(length), BigInt(offset)),
        )
      : null,
    copy_file_range: copy_file_range && canCall
      ? async (source, sourceOffset, target, targetOffset, length) => {
        if (idle.length === 0) idle.push(...roomForOffsets(libc, arrayBuffer));
        const offsets = idle.pop();
        if (offsets === undefined) return -1;
        const { address, numbers } = offsets;
        numbers[0] = BigInt(sourceOffset);
        numbers[1] = BigInt(targetOffset);
        try {
          return await withOwn(
            [[source, O_RDONLY], [target, O_RDWR]],
            // Sound: the two offsets are this call's until it is over.
            (source, target) =>
              copy_file_range(
                source!,
                address,
                target!,
                address + BigInt(OFFSETS / 2),
                BigInt(length),
                0,
              ),
          );
        } finally {
          idle.push(offsets);
        }
      }
      : null,
    fallocate: fallocate && canCall
      ? (fd, mode, offset, length) =>
        withOwn(
          [[fd, O_RDWR]],
          (fd) => fallocate(fd!, mode, BigInt(offset), BigInt(length)),
        )
      : null,
    sync_file_range: sync_file_range && canCall
      ? (fd, offset, length, flags) =>
        withOwn(
          [[fd, O_RDWR]],
          (fd) => sync_file_range(fd!, BigInt(offset), BigInt(length), flags),
        )
      : null,
  };
}

/** Loads libc. Throws Deno's `NotCapable` without `--allow-ffi`. */
export function loadDeno(
  platform: Platform,
): { libc: Libc; runtime: Runtime } {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoNamespace };
  const { UnsafePointer, UnsafePointerView, permissions } = deno;
  const { found, path } = openLibrary(deno, platform);
  let elsewhere: Elsewhere | undefined;
  const runtime: Runtime = {
    // V8 itself sets no limit below 2^53 - 1 on a buffer that it did not allocate.
    maxBufferLength: Number.MAX_SAFE_INTEGER,
    pinsBuffers: false,
    arrayBuffer: (address, length) =>
      UnsafePointerView.getArrayBuffer(
        UnsafePointer.create(BigInt(address))!,
        length,
        0,
      ),
    addressOf: (bytes) => Number(UnsafePointer.value(UnsafePointer.of(bytes))),
    swapInPlace: null, // Buffer's own are loops in JavaScript here
    unlockAtEnd: null,
    elsewhere: () =>
      elsewhere ??= elsewhereIn(
        deno,
        path,
        platform,
        c,
        runtime.arrayBuffer,
      ),
    mayUse: (path, name, wholly = false) => {
      const { state, partial } = permissions.querySync({ name, path });
      return state === "granted" && !(wholly && partial);
    },
  };
  // V8 takes numbers for 64 bits too, but more than twice as slowly as bigints.
  const c = libcOf<bigint>(found, platform, BigInt, runtime.arrayBuffer);
  return { libc: c, runtime };
}
