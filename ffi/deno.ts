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
import type { Runtime } from "./runtime.ts";
import {
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
function openLibrary(deno: DenoNamespace, platform: Platform): Found {
  deno.UnsafePointer.create(1n); // accesses nothing; only the check counts
  const table = {
    ...tableOf(requiredOn(platform.system), false),
    ...tableOf(optionalOn(platform.system), true),
  };
  let missing: unknown;
  for (const path of platform.libraries) {
    try {
      return deno.dlopen(path, table).symbols;
    } catch (error) {
      missing = error; // the next path may be there
    }
  }
  throw missing;
}

/** Loads libc. Throws Deno's `NotCapable` without `--allow-ffi`. */
export function loadDeno(
  platform: Platform,
): { libc: Libc; runtime: Runtime } {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoNamespace };
  const { UnsafePointer, UnsafePointerView, permissions } = deno;
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
    mayUse: (path, name, wholly = false) => {
      const { state, partial } = permissions.querySync({ name, path });
      return state === "granted" && !(wholly && partial);
    },
  };
  const found = openLibrary(deno, platform);
  // V8 takes numbers for 64 bits too, but more than twice as slowly as bigints.
  return {
    libc: libcOf<bigint>(found, platform, BigInt, runtime.arrayBuffer),
    runtime,
  };
}
