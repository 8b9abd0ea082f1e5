/**
 * What differs between operating systems, architectures and C libraries: where libc
 * is, and the values of its constants.
 *
 * Pure data and look-ups: must not touch a runtime or load anything. Errno values are
 * in `errno.ts`, and the functions that a system has in `signatures.ts`.
 *
 * @module
 */

import { ARM64_HANDLER, X64_HANDLER } from "./guard/mod.ts";
import type { Constants } from "./libc.ts";
import type { System } from "./signatures.ts";

/** The oldest releases that pass the test suite; `README.md` says the same. */
export const OLDEST = { deno: "2.7.12", bun: "1.4.0" } as const;

/** One operating system on one architecture. */
export interface Platform {
  readonly system: System;
  /**
   * Where libc may be, most likely first. The bare name comes last, for systems like
   * NixOS that keep it elsewhere but have it in every process already.
   */
  readonly libraries: readonly string[];
  /** The fault guard's machine code in hexadecimal; `null` where there is none yet. */
  readonly handler: string | null;
  readonly constants: Constants;
}

// asm-generic values, which x86-64 and arm64 both use.
const LINUX: Constants = {
  PROT_READ: 1,
  PROT_WRITE: 2,
  MAP_SHARED: 0x01,
  MAP_PRIVATE: 0x02,
  MAP_FIXED: 0x10,
  MAP_ANONYMOUS: 0x20,
  MAP_NORESERVE: 0x4000,
  MS_SYNC: 4,
  MADV_NORMAL: 0,
  MADV_RANDOM: 1,
  MADV_SEQUENTIAL: 2,
  MADV_WILLNEED: 3,
  MADV_DONTNEED: 4,
  MADV_HUGEPAGE: 14,
  MADV_COLD: 20,
  MADV_PAGEOUT: 21,
  SEEK_DATA: 3,
  SEEK_HOLE: 4,
  LOCK_SH: 1,
  LOCK_EX: 2,
  LOCK_NB: 4,
  LOCK_UN: 8,
  SYNC_FILE_RANGE_WRITE: 2,
  FALLOC_FL_KEEP_SIZE: 1,
  FALLOC_FL_PUNCH_HOLE: 2,
  FALLOC_FL_UNSHARE_RANGE: 0x40,
};

// From <sys/mman.h> and <unistd.h> of the macOS SDK.
const DARWIN: Constants = {
  ...LINUX,
  MAP_ANONYMOUS: 0x1000,
  MADV_HUGEPAGE: undefined,
  MADV_COLD: undefined,
  MADV_PAGEOUT: undefined,
  MAP_NORESERVE: 0x40,
  MS_SYNC: 0x10,
  SEEK_HOLE: 3,
  SEEK_DATA: 4,
};

function linux(handler: string, libraries: readonly string[]): Platform {
  return {
    system: "linux",
    libraries,
    handler,
    constants: LINUX,
  };
}

const MACOS: Platform = {
  system: "darwin",
  libraries: ["/usr/lib/libSystem.B.dylib"],
  handler: null,
  constants: DARWIN,
};

const PLATFORMS: Readonly<Record<string, Platform>> = {
  "linux x64": linux(X64_HANDLER, [
    "/lib/x86_64-linux-gnu/libc.so.6", // Debian, Ubuntu
    "/usr/lib/x86_64-linux-gnu/libc.so.6", // the same, without the link
    "/lib64/libc.so.6", // Fedora, RHEL, SUSE
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6", // Arch
    "/lib/ld-musl-x86_64.so.1", // Alpine: musl's libc is its loader
    "libc.so.6",
  ]),
  "linux arm64": linux(ARM64_HANDLER, [
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/usr/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/ld-musl-aarch64.so.1",
    "libc.so.6",
  ]),
  "darwin x64": MACOS,
  "darwin arm64": MACOS,
};

/** Returns the platform of an operating system and architecture, as `process` names them. */
export function platformOf(os: string, arch: string): Platform | undefined {
  return PLATFORMS[`${os} ${arch}`];
}

/** Is release `version` at least `oldest`? Both are `major.minor.patch`. */
export function isAtLeast(version: string, oldest: string): boolean {
  const has = version.split(/[.+-]/, 3).map(Number);
  const wants = oldest.split(".").map(Number);
  for (let i = 0; i < wants.length; i++) {
    if (has[i] !== wants[i]) return has[i]! > wants[i]!;
  }
  return true;
}
