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

/**
 * Looks up the calls for another thread, in the library at `path`. That is not done
 * before somebody wants them, so that opening a map stays quick.
 */
function elsewhereIn(
  deno: DenoNamespace,
  path: string,
  { system }: Platform,
): Elsewhere {
  const table = tableOf(elsewhereOn(system), true);
  const { dup: dupEntry, ...others } = table;
  const nonblocking = Object.fromEntries(
    Object.entries(others).map((
      [name, entry],
    ) => [name, { ...entry, nonblocking: true }]),
  );
  const { symbols } = deno.dlopen(path, { dup: dupEntry!, ...nonblocking });
  const { dup } = symbols as unknown as ElsewhereSymbols<bigint>;
  const c = symbols as unknown as Promised<ElsewhereSymbols<bigint>>;
  const { close, pwrite, copy_file_range, fallocate, sync_file_range } = c;
  /** Offsets that the other thread may be reading: nothing else refers to them. */
  const inUse = new Set<BigInt64Array>();
  return {
    dup,
    close: close ? async (fd) => Number(await close(fd)) : null,
    // Sound: the caller keeps the descriptor open and the memory mapped.
    pwrite: pwrite
      ? async (fd, address, length, offset) =>
        Number(
          await pwrite(fd, BigInt(address), BigInt(length), BigInt(offset)),
        )
      : null,
    copy_file_range: copy_file_range
      ? async (source, sourceOffset, target, targetOffset, length) => {
        // Sound: a buffer of one's own, outside of V8's heap, where no garbage
        // collection can move it, and kept until the call is over.
        const offsets = new BigInt64Array(new ArrayBuffer(16));
        offsets[0] = BigInt(sourceOffset);
        offsets[1] = BigInt(targetOffset);
        inUse.add(offsets);
        try {
          return Number(
            await copy_file_range(
              source,
              offsets.subarray(0, 1),
              target,
              offsets.subarray(1),
              BigInt(length),
              0,
            ),
          );
        } finally {
          inUse.delete(offsets);
        }
      }
      : null,
    fallocate: fallocate
      ? async (fd, mode, offset, length) =>
        Number(await fallocate(fd, mode, BigInt(offset), BigInt(length)))
      : null,
    sync_file_range: sync_file_range
      ? async (fd, offset, length, flags) =>
        Number(
          await sync_file_range(fd, BigInt(offset), BigInt(length), flags),
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
    elsewhere: () => elsewhere ??= elsewhereIn(deno, path, platform),
    mayUse: (path, name, wholly = false) => {
      const { state, partial } = permissions.querySync({ name, path });
      return state === "granted" && !(wholly && partial);
    },
  };
  // V8 takes numbers for 64 bits too, but more than twice as slowly as bigints.
  return {
    libc: libcOf<bigint>(found, platform, BigInt, runtime.arrayBuffer),
    runtime,
  };
}
