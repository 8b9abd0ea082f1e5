/**
 * The Bun backend: libc through `bun:ffi`.
 *
 * Knows Bun's FFI and nothing of mapping. Importing it anywhere is harmless: `bun:ffi`
 * is looked up only in {@linkcode loadBun}, since other runtimes refuse to import it.
 * What is used of it is declared here, so that whoever checks the types of this
 * library needs none of Bun's.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { type Found, libcOf } from "./calls.ts";
import type { Libc } from "./libc.ts";
import type { Platform } from "./platform.ts";
import type { Runtime } from "./runtime.ts";
import {
  type OptionalCalls,
  optionalOn,
  type Parameter,
  type Prototypes,
  requiredOn,
  type Result,
} from "./signatures.ts";

/** One function of a symbol table. */
interface BunFunction {
  readonly args: readonly string[];
  readonly returns: string;
}

/** What is used of `bun:ffi`; its pointers are numbers. */
interface BunFFI {
  dlopen(
    path: string,
    symbols: Record<string, BunFunction>,
  ): { readonly symbols: Found };
  ptr(bytes: Uint8Array): number;
  /** With a C function that is called with the pointer and `context` in the end. */
  toArrayBuffer(
    pointer: number,
    offset: number,
    length: number,
    context?: number,
    deallocator?: number,
  ): ArrayBuffer;
}

// The "_fast" types carry safe integers as numbers, without a bigint a call. So do
// they addresses, which are numbers in Bun anyway.
const PARAMETERS: Readonly<Record<Parameter, string>> = {
  int: "i32",
  unsigned: "u32",
  size: "u64_fast",
  offset: "i64_fast",
  address: "u64_fast",
  view: "ptr",
};

const RESULTS: Readonly<Record<Result, string>> = {
  int: "i32",
  unsigned: "u32",
  offset: "i64_fast",
  address: "i64_fast",
  ssize: "i64_fast",
  smallSsize: "i64_fast",
  void: "void",
};

function tableOf(prototypes: Prototypes): Record<string, BunFunction> {
  return Object.fromEntries(
    Object.entries(prototypes).map(([name, { parameters, result }]) => [name, {
      args: parameters.map((type) => PARAMETERS[type]),
      returns: RESULTS[result],
    }]),
  );
}

/** Opens the first library that is there. */
function openLibrary(ffi: BunFFI, { libraries, system }: Platform): Found {
  const required = tableOf(requiredOn(system));
  let missing: unknown;
  for (const path of libraries) {
    try {
      const { symbols } = ffi.dlopen(path, required);
      return { ...symbols, ...optionalSymbols(ffi, path, system) };
    } catch (error) {
      missing = error; // the next path may be there
    }
  }
  throw missing;
}

/** Looks up what a C library may lack. Bun refuses a whole table for one missing function. */
function optionalSymbols(
  ffi: BunFFI,
  path: string,
  system: Platform["system"],
): Found {
  const table = tableOf(optionalOn(system));
  try {
    return { ...ffi.dlopen(path, table).symbols };
  } catch {
    const found: Record<string, Found[string]> = {};
    for (const [name, prototype] of Object.entries(table)) {
      try {
        const { symbols } = ffi.dlopen(path, { [name]: prototype });
        found[name] = symbols[name] ?? null;
      } catch {
        found[name] = null;
      }
    }
    return found;
  }
}

/** Loads libc. */
export function loadBun(platform: Platform): { libc: Libc; runtime: Runtime } {
  const ffi = process.getBuiltinModule("bun:ffi") as unknown as BunFFI;
  const found = openLibrary(ffi, platform);
  const runtime: Runtime = {
    maxBufferLength: 2 ** 32, // one byte more is "RangeError: Out of memory"
    pinsBuffers: true,
    arrayBuffer: (address, length) => ffi.toArrayBuffer(address, 0, length),
    addressOf: (bytes) => ffi.ptr(bytes),
    swapInPlace,
    unlockAtEnd: unlockerOf(ffi, found, platform),
    elsewhere: null,
    mayUse: () => true,
  };
  const long = (value: number) => value;
  return {
    libc: libcOf<number>(found, platform, long, runtime.arrayBuffer),
    runtime,
  };
}

/** On Linux, where EFD_CLOEXEC is the same. */
const O_CLOEXEC = 0o2000000;

/**
 * See {@linkcode Runtime.unlockAtEnd}.
 *
 * When a thread ends, Bun frees its ArrayBuffers, and calls the deallocator of one
 * that has one: a C function of two arguments, the address and a context. So a buffer
 * at "address" `fd`, whose context is `LOCK_UN` and whose deallocator is `flock`,
 * unlocks `fd` in the end. Nobody ever reads it. It is kept for as long as the thread
 * lives, and its descriptor with it, so that no other file can have that number when
 * it is freed: `dup3` has the descriptor stand for one file after another.
 *
 * Nobody promises any of this; Bun 1.4.5 does it. Should another version free no
 * buffers when a thread is stopped, or take no such address, the lock of a worker that
 * was stopped during a flush stays until the process ends, and every other
 * flush of that file is EBUSY. `test/system/sharing/` stops workers so, and fails then.
 */
function unlockerOf(
  ffi: BunFFI,
  found: Found,
  { constants }: Platform,
): Runtime["unlockAtEnd"] {
  const c = found as unknown as OptionalCalls<number>;
  // Sound: the name ends with a NUL. 0 is RTLD_DEFAULT, all that is loaded.
  const flock = Number(c.dlsym?.(0, Buffer.from("flock\0")) ?? 0);
  const { dup3, eventfd } = c;
  if (!dup3 || !eventfd || flock === 0) return null;
  const buffers: ArrayBuffer[] = [];
  const free: number[] = [];
  const idle = eventfd(0, O_CLOEXEC); // a descriptor that does nothing
  if (idle === -1) return null;
  return (fd) => {
    let key = free.pop();
    if (key === undefined) {
      key = eventfd(0, O_CLOEXEC);
      if (key === -1) return () => {}; // no room: the lock ends with the process
      try {
        buffers.push(ffi.toArrayBuffer(key, 0, 1, constants.LOCK_UN, flock));
      } catch {
        // No such address in this version: the lock ends with the process.
      }
    }
    const used = key;
    // Sound: `key` and `idle` are ours alone, and no memory is involved.
    dup3(fd, used, O_CLOEXEC);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      dup3(idle, used, O_CLOEXEC);
      free.push(used);
    };
  };
}

/** Buffer's own methods are native in Bun, vectorized, and indifferent to alignment. */
function swapInPlace(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 8) buffer.swap64();
  else if (width === 4) buffer.swap32();
  else buffer.swap16();
}
