/**
 * Files to measure with, and how to take them out of the page cache.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { platformOf } from "../../ffi/platform.ts";
import { isDeno } from "./program.ts";

/** In bytes. */
export const KiB: number = 2 ** 10;
export const MiB: number = 2 ** 20;
export const GiB: number = 2 ** 30;
export const TiB: number = 2 ** 40;
/** The unit of the benchmarks' offsets. No machine has smaller pages. */
export const PAGE = 4096;

/** A size as people write it. */
export function sizeName(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(
    Math.floor(Math.log2(Math.max(1, bytes)) / 10),
    units.length - 1,
  );
  return `${Math.round(bytes / 2 ** (10 * power))} ${units[power]}`;
}

/** Writes a file to the disk. Its bytes stay in the page cache. */
export function writeSynced(path: string, bytes: Uint8Array): void {
  const fd = fs.openSync(path, "w");
  for (let done = 0; done < bytes.length;) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done);
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** A file of zeros that takes no space. */
export function sparseFile(folder: string, name: string, size: number): string {
  const path = join(folder, name);
  fs.writeFileSync(path, "");
  fs.truncateSync(path, size);
  return path;
}

/** Reads a file of any size into memory. */
export function readWhole(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(fs.statSync(path).size);
  const fd = fs.openSync(path, "r");
  for (let done = 0; done < bytes.length;) {
    done += fs.readSync(fd, bytes, done, bytes.length - done, done);
  }
  fs.closeSync(fd);
  return bytes;
}

/** `length` bytes of small doubles in eighths, whose sums are exact in any order. */
export function doubles(length: number, isLittle = true): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < length; at += 8) {
    view.setFloat64(at, at % 1021 / 8, isLittle);
  }
  return bytes;
}

/** Random numbers that are the same in every run: Marsaglia's xorshift. */
export function xorshift(seed = 2463534242): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A random order of the numbers below `count`. */
export function shuffled(count: number): Uint32Array {
  const random = xorshift();
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

type Fadvise = (
  fd: number,
  offset: bigint,
  length: bigint,
  advice: number,
) => number;

let fadvise: Fadvise | undefined;

/** `posix_fadvise`, which no runtime offers. */
async function loadFadvise(): Promise<Fadvise | undefined> {
  const libraries = platformOf(process.platform, process.arch)?.libraries ?? [];
  const library = libraries.find((path) => fs.existsSync(path));
  if (process.platform !== "linux" || library === undefined) return undefined;
  if (isDeno) {
    return Deno.dlopen(library, {
      posix_fadvise: {
        parameters: ["i32", "i64", "i64", "i32"],
        result: "i32",
      },
    }).symbols.posix_fadvise;
  }
  const { dlopen } = await import("bun:ffi");
  return dlopen(library, {
    posix_fadvise: { args: ["i32", "i64", "i64", "i32"], returns: "i32" },
  }).symbols.posix_fadvise as Fadvise;
}

const POSIX_FADV_DONTNEED = 4;

let readAtLastDrop = -Infinity;

/**
 * Takes a file out of the page cache. Its pages must be on disk and not mapped:
 * `advise("dontneed")` comes first.
 *
 * Throws if fewer than `least` bytes were read from the disk since the last call. Then the
 * measurement in between was not cold.
 */
export function dropFromCache(fd: number, least = 1): void {
  assert(fadvise !== undefined, "askWhyNotCold() comes first.");
  const read = bytesFromDisk();
  assert(
    read >= readAtLastDrop + least,
    "a file that was dropped was still in memory.",
  );
  assert.equal(fadvise(fd, 0n, 0n, POSIX_FADV_DONTNEED), 0);
  readAtLastDrop = read;
}

/** Why `path` cannot be read from the disk itself here, or undefined if it can. */
export async function askWhyNotCold(path: string): Promise<string | undefined> {
  fadvise ??= await loadFadvise();
  if (fadvise === undefined) return "this system has no posix_fadvise";
  if (!fs.existsSync("/proc/self/io")) {
    return "the system does not report what was read";
  }
  const fd = fs.openSync(path, "r");
  try {
    dropFromCache(fd, -Infinity);
    const before = bytesFromDisk();
    fs.readSync(fd, new Uint8Array(PAGE), 0, PAGE, 0);
    return bytesFromDisk() > before
      ? undefined
      : "this file system keeps files in memory";
  } finally {
    readAtLastDrop = -Infinity; // nothing was measured in between
    fs.closeSync(fd);
  }
}

function bytesFromDisk(): number {
  const io = fs.readFileSync("/proc/self/io", "latin1");
  return Number(/^read_bytes: (\d+)$/m.exec(io)?.[1]);
}
