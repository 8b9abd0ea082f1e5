/**
 * What users ask of a flush, and what it reports.
 *
 * @module
 */

import {
  type Abort,
  checkPath,
  checkSignal,
  readOptions,
  shown,
} from "../../base/mod.ts";
import type { Stale } from "../../storage/mod.ts";
import type { WrittenRange } from "../written.ts";

/** How `flush()` changes the file. */
export type Strategy = "auto" | "replace" | "in-place";

/** Called with the bytes done and to do. */
export type Progress = (done: number, total: number) => void;

/** Options of `Memmap.flush()`. */
export interface FlushOptions {
  /** Write to this file instead, and continue with it. Works in modes `r` and `c` too. */
  path?: string | URL;
  /** How to change the file; `"auto"` by default. */
  strategy?: Strategy;
  /** Wait until everything is on disk; `true` by default. */
  durable?: boolean;
  /**
   * Called with the bytes done and to do, at least once if there are any. It must not
   * use the map, whose methods throw a {@linkcode BusyError}. What it writes through
   * a view, or with an array's `set`, may be lost.
   */
  onProgress?: Progress;
}

/** Options of `Memmap.flushAsync()`. Its `onProgress` may read the map. */
export interface FlushAsyncOptions extends FlushOptions {
  /**
   * Stops the flush until it is committed: nothing has happened then, and
   * {@linkcode Memmap.flushAsync} rejects with the signal's reason. A flush that counts
   * already goes on to its end. `"in-place"` cannot be stopped once it has begun.
   */
  signal?: AbortSignal;
}

/** What a flush did. */
export interface FlushResult {
  /** `"none"` if nothing was pending. */
  strategy: "none" | "extend" | "in-place" | "replace";
  /** Bytes written to the file. Those copied from the old file count, holes too. */
  bytesWritten: number;
  /**
   * Had the process been killed at any moment of it, would the file have its old content
   * or the new? `false` after `"in-place"` of a map that is not atomic, and after an
   * append that a kill could cut and that has no journal: memmap may not make files in
   * the folder, or somebody else's file has the journal's name there, or the file system
   * has no locks or cannot sync a folder. Strategy `"replace"` needs none.
   */
  atomic: boolean;
  /**
   * What others did to the file that is mapped. Anything but `"no"` comes with
   * strategy `"none"` alone, since a flush that writes is a {@linkcode ConflictError}
   * then. After `"replaced"` and `"unlinked"`, what was written through views is in a
   * file that has this path no more: `flush({ path })` saves it.
   */
  stale: Stale;
}

/** The options of a flush once checked. */
export interface FlushRequest {
  /** Of `flushAsync()` alone. */
  readonly abort?: Abort | undefined;
  readonly strategy: Strategy;
  readonly isDurable: boolean;
  readonly onProgress: Progress | undefined;
  /** The file to write to, if not the mapped one. */
  readonly target:
    | { readonly path: string; readonly label: string }
    | undefined;
  /** The pages of an atomic map that were written, if they were looked for just now. */
  readonly written?: readonly WrittenRange[] | undefined;
}

const STRATEGIES: readonly Strategy[] = ["auto", "replace", "in-place"];

const NAMES = ["path", "strategy", "durable", "onProgress"] as const;
const EXAMPLE = '{ path: "other.dat" }';

/** Reads each option once, before anything is looked at: it may be a getter. */
export function checkRequest(options?: FlushOptions): FlushRequest {
  return requestOf(readOptions(options, NAMES, EXAMPLE));
}

/** The same, with a signal that may stop it. */
export function checkRequestLater(options?: FlushAsyncOptions): FlushRequest {
  const names = [...NAMES, "signal"] as const;
  const { signal, ...others } = readOptions(options, names, EXAMPLE);
  return { ...requestOf(others), abort: checkSignal(signal) };
}

function requestOf(options: FlushOptions): FlushRequest {
  const { path, strategy = "auto", durable = true, onProgress } = options;
  if (!STRATEGIES.includes(strategy)) {
    throw new TypeError(
      `Unknown strategy ${shown(strategy)}; there are: ${
        STRATEGIES.join(", ")
      }.`,
    );
  }
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError("onProgress must be a function.");
  }
  const target = path === undefined ? undefined : checkPath(path);
  return { strategy, isDurable: Boolean(durable), onProgress, target };
}
