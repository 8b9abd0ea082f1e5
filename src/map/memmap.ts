/**
 * `Memmap`: the public face of one mapped file.
 *
 * Checks what users give, then asks the {@linkcode OpenMap} or `flush/`.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import {
  checkLength,
  checkOffset,
  checkOptions,
  checkPath,
  checkRange,
  type Mode,
  printAsString,
  type ShortMode,
  shortMode,
} from "../base/mod.ts";
import { layoutOf } from "../geometry/mod.ts";
import { findFirst, findLast, patternBytes } from "../memory/mod.ts";
import type { SliceExtent } from "./extent.ts";
import {
  checkRequest,
  flush,
  type FlushOptions,
  type FlushResult,
} from "./flush/mod.ts";
import { openMap } from "./open.ts";
import type { OpenMap } from "./open_map.ts";
import { checkContent, makeSlice, MemmapSlice } from "./slice.ts";

/** Options of {@linkcode open}. */
export interface OpenOptions {
  /** Bytes to map. Required for `w+`; otherwise the file's size is the default. */
  length?: number;
  /** Allocate disk blocks whenever the file is created or extended; `true` by default. */
  reserve?: boolean;
  /**
   * Survive the loss of mapped pages, when another process cuts the file short or
   * its disk is full or fails; `true` by default. See {@linkcode Memmap.faults}.
   */
  guard?: boolean;
}

/** What {@linkcode Memmap.advise} can tell the system; `madvise` in POSIX's words. */
export type Advice =
  | "normal"
  | "random"
  | "sequential"
  | "willneed"
  | "dontneed";

/** One stretch of a map, as {@linkcode Memmap.layout} answers it. Bytes. */
export interface LayoutEntry {
  /** The slice, or `null` for a gap that no slice covers. */
  slice: MemmapSlice | null;
  /** Whether the bytes come from the file as they are, or from memory. */
  state: "gap" | "mapped" | "floating";
  /** Where the stretch begins in the file now. */
  begin: number;
  /** Where it ends in the file now. */
  end: number;
  /** Where it begins after flush. */
  offset: number;
  /** Bytes after flush. */
  length: number;
}

/**
 * Maps a file into memory.
 *
 * | mode | file | writes through views | resize, insert | flush, sync |
 * |---|---|---|---|---|
 * | `r`, `readonly` | must exist | `ReadonlyError` from the API; a raw view's stray write stays in a private page | `ReadonlyError` | `ReadonlyError` |
 * | `c`, `copyonwrite` | must exist | stay in this process | allowed | `flush({ path })` only |
 * | `r+`, `readwrite` | must exist; extended if `length` is larger | reach the file | allowed | allowed |
 * | `w+`, `write` | created or truncated to `length` zero bytes | reach the file | allowed | allowed |
 *
 * A `length` smaller than the file maps that prefix; what is behind it survives
 * every flush. Empty files can be mapped in every mode.
 *
 * If a flush of the file was killed, `r+` and `w+` finish an append that it began,
 * and remove the files that it left; in `r` and `c` the append does not count.
 *
 * In Deno, needs `--allow-ffi`, and `--allow-read` (for `r+` and `w+` also
 * `--allow-write`) for the path; for its folder, too, to finish what was killed.
 * A symbolic link in a permitted folder needs them for what it leads to.
 *
 * @example
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * using map = open("memmap.tst", "w+", { length: 48 });
 * const slice = map.slice(0, 16);
 * slice.bytes.fill(1);
 * assert.equal(map.find("\x01\x00"), 15);
 * ```
 *
 * @param path A path, absolute or relative to the working directory, or a `file:` URL.
 * @param mode How to open it; `"r+"` by default.
 * @throws {TypeError} if the path has a NUL byte, the mode is unknown, or `w+` has no `length`.
 * @throws {RangeError} if `length` is no whole number of bytes, or larger than the file in `r` or `c`.
 * @throws {SystemError} if the file cannot be opened, extended or mapped; nothing is left behind then.
 * `EBUSY` in `r+` and `w+` while another process is appending to it by a flush.
 * @throws {UnsupportedError} if this runtime or system has no backend.
 */
export function open(
  path: string | URL,
  mode?: Mode,
  options?: OpenOptions,
): Memmap {
  return new Memmap(path, mode, options);
}

/** Closes a map; the same as {@linkcode Memmap.close}. */
export function close(map: Memmap): void {
  map.close();
}

/**
 * One mapped file, cut into slices that never overlap.
 *
 * Offsets are file offsets in bytes, as the file stood at the last flush, or at
 * open. They do not shift while edits are pending, so a batch of edits can be
 * made against one picture of the file; `length`, of the map and of its slices,
 * alone looks ahead. The end is `mappedLength`: append with
 * `insert(map.mappedLength, …)`.
 *
 * On a closed map, everything but `path`, `mode`, `closed` and `toString()`
 * throws a {@linkcode ClosedError}.
 *
 * @example Insert bytes in the middle of a file
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 * import { readFileSync, writeFileSync } from "node:fs";
 *
 * writeFileSync("example.txt", "Hello world");
 * {
 *   using map = open("example.txt");
 *   map.insert(5, new TextEncoder().encode(", big"));
 *   map.flush();
 * }
 * assert.equal(readFileSync("example.txt", "utf8"), "Hello, big world");
 * ```
 */
export class Memmap implements Disposable {
  readonly #open: OpenMap;

  static {
    printAsString(Memmap, (value) => #open in value);
  }

  /** Maps a file; the same as {@linkcode open}. */
  constructor(path: string | URL, mode?: Mode, options?: OpenOptions) {
    const short = shortMode(mode === undefined ? "r+" : mode);
    const { length, reserve = true, guard = true } = checkOptions(
      options,
      "{ length: 4096 }",
    );
    if (length === undefined) {
      if (short === "w+") {
        throw new TypeError("Mode 'w+' makes a file, so it needs { length }.");
      }
    } else checkLength(length, "memmap length");
    const checked = checkPath(path);
    libc(); // an unsupported system says so before the file is touched
    this.#open = openMap(
      checked.path,
      checked.label,
      short,
      length,
      Boolean(reserve),
      Boolean(guard),
    );
  }

  /** The file's absolute path. */
  get path(): string {
    return this.#open.file.path;
  }

  /** The mode, by its short name. */
  get mode(): ShortMode {
    return this.#open.mode;
  }

  /** Bytes of the map once pending edits are flushed. O(1). */
  get length(): number {
    return this.#use().length;
  }

  /** Bytes mapped now; file offsets run from 0 to this. */
  get mappedLength(): number {
    return this.#use().mappedLength;
  }

  /** May {@linkcode Memmap.flush} and {@linkcode Memmap.sync} write the file? In `r+` and `w+`. */
  get writable(): boolean {
    return this.#use().isWritable;
  }

  /** Are resizes or inserts pending? */
  get dirty(): boolean {
    return this.#use().isDirty;
  }

  /**
   * Does the map survive the loss of its pages? False with `guard: false`, where
   * there is no guard (macOS), where the process has too many maps for it (16,384),
   * and while somebody else handles the signal (`process.on("SIGBUS")`): losing a
   * page may end or block the process then.
   */
  get guarded(): boolean {
    return this.#use().mapping.isGuarded;
  }

  /**
   * How often a page was found lost, because the file was cut short by another
   * process, or its disk is full or fails. Such a page reads as zeros from then
   * on, and what is written to it is lost; so do, after a few faults, the pages
   * behind it. Raw views (`slice.bytes`) do not say so: who reads a file that
   * others cut looks here afterwards. What a cut leaves of a page is no fault: it
   * reads as zeros behind the file's end.
   *
   * Once it is not 0, whatever touches the file's bytes throws a
   * {@linkcode FaultError}. Floating slices can still be read, and
   * `close({ discard: true })` lets go of the map.
   */
  get faults(): number {
    return this.#use().mapping.faults;
  }

  /** Was the map closed? */
  get closed(): boolean {
    return this.#open.state.isClosed;
  }

  /** The registered slices, in file order. */
  get slices(): readonly MemmapSlice[] {
    return this.#use().slices;
  }

  /**
   * Registers the bytes from `begin` to `end` as a slice of their own. O(log n);
   * no memory is touched, and no ArrayBuffer made.
   *
   * Negative offsets count from `mappedLength`. Slices may touch.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * using map = open("example.dat", "w+", { length: 48 });
   * const header = map.slice(0, 16);
   * assert.equal(header.length, 16);
   * assert.throws(() => map.slice(8, 24), { name: "OverlapError" });
   * ```
   *
   * @throws {OverlapError} if the region shares a byte with a registered slice,
   * or if one of them is empty and lies strictly inside the other.
   * @throws {RangeError} if an offset lies outside the map.
   */
  slice(begin?: number, end?: number): MemmapSlice {
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    return this.#face(open.register(from, to));
  }

  /**
   * Makes a floating slice of `content` zero bytes, or of a copy of the given
   * bytes, that {@linkcode Memmap.flush} will put at `offset`.
   *
   * Several inserts at one offset keep the order in which they were made, and
   * come before a slice that begins there. To delete the slice before the flush
   * takes the insert back, and so does the end of a `using` block that holds it.
   *
   * @throws {OverlapError} if `offset` lies strictly inside a slice.
   * @throws {RangeError} if `offset` lies outside the map.
   * @throws {ReadonlyError} in mode `r`.
   */
  insert(
    offset: number,
    content: number | ArrayBuffer | ArrayBufferView,
  ): MemmapSlice {
    const open = this.#edit();
    const at = checkOffset(offset, open.mappedLength, "memmap");
    return this.#face(open.insert(at, checkContent(content)));
  }

  /**
   * Unregisters a slice, given as such or by its exact range. The file keeps its
   * bytes, and the region can be sliced again; the old slice throws a
   * {@linkcode DeletedSliceError} from then on. A pending edit of it is dropped:
   * a resized slice falls back to its bytes in the file, an inserted one is gone.
   *
   * To remove bytes from the file, `resize(0)` and flush.
   *
   * @throws {RangeError} if no slice has exactly that range, or the slice is of another map.
   */
  delete(begin: number, end: number): void;
  /** Unregisters a slice. */
  delete(slice: MemmapSlice): void;
  delete(sliceOrBegin: MemmapSlice | number, end?: number): void {
    const open = this.#use();
    if (sliceOrBegin instanceof MemmapSlice) {
      if (sliceOrBegin.map !== this) {
        throw new RangeError(
          `That slice is of another map, '${sliceOrBegin.map.path}'.`,
        );
      }
      return sliceOrBegin.delete();
    }
    const from = checkOffset(sliceOrBegin, open.mappedLength, "memmap");
    const to = checkOffset(end!, open.mappedLength, "memmap");
    checkRange(from, to, open.mappedLength, "memmap");
    const extent = open.registry.find(from, to);
    if (extent === undefined) {
      throw new RangeError(
        `No slice of '${this.path}' is exactly ${from} to ${to}.`,
      );
    }
    open.delete(extent);
  }

  /**
   * The file offset of the first occurrence of `pattern` that lies in `begin` to
   * `end`, or -1. Strings are UTF-8; an empty pattern is found at `begin`, as in
   * Python. The bytes of floating slices are not in the file yet: search those
   * with {@linkcode MemmapSlice.find}.
   *
   * @throws {RangeError} if an offset lies outside the map.
   */
  find(
    pattern: string | Uint8Array,
    begin?: number,
    end?: number,
  ): number {
    return this.#search(findFirst, pattern, begin, end);
  }

  /** As {@linkcode Memmap.find}, but the last occurrence; an empty pattern is found at `end`. */
  rfind(
    pattern: string | Uint8Array,
    begin?: number,
    end?: number,
  ): number {
    return this.#search(findLast, pattern, begin, end);
  }

  /**
   * Copies `count` mapped bytes from `source` to `target`, overlapping or not:
   * `memmove`. Where a slice floats, these are the bytes that the flush will replace.
   *
   * @throws {RangeError} if a range lies outside the map.
   * @throws {ReadonlyError} in mode `r`.
   */
  move(target: number, source: number, count: number): void {
    const open = this.#edit();
    checkLength(count, "count");
    const to = checkOffset(target, open.mappedLength, "memmap");
    const from = checkOffset(source, open.mappedLength, "memmap");
    checkRange(to, to + count, open.mappedLength, "memmap");
    checkRange(from, from + count, open.mappedLength, "memmap");
    open.mapping.copyFrom(open.mapping, from, to, count);
  }

  /**
   * What {@linkcode Memmap.flush} would write, in order: every slice, and every
   * gap between them, with its range in the file now and after.
   */
  layout(): LayoutEntry[] {
    const open = this.#use();
    return layoutOf(open.registry, open.mappedLength).map(
      ({ extent, state, begin, end, offset, length }) => ({
        slice: extent === null ? null : extent.slice,
        state,
        begin,
        end,
        offset,
        length,
      }),
    );
  }

  /**
   * Tells the system how the bytes from `begin` to `end`, widened to whole pages,
   * will be used: `madvise`. `"dontneed"` lets go of memory, never of content: in
   * mode `c`, where it would drop private writes, it does nothing. Advice for which
   * the system has no room at the moment is left out.
   *
   * @throws {RangeError} if an offset lies outside the map.
   * @throws {TypeError} if the advice is unknown.
   * @throws {SystemError} if the system refuses it.
   */
  advise(advice: Advice, begin?: number, end?: number): void {
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    if (!Object.hasOwn(ADVICE, advice)) {
      const known = Object.keys(ADVICE).join(", ");
      throw new TypeError(`Unknown advice '${advice}'; there are: ${known}.`);
    }
    if (advice === "dontneed" && open.mode === "c") return;
    open.mapping.advise(libc().constants[ADVICE[advice]], from, to);
  }

  /**
   * Puts floating slices into the file, moving what follows them, and maps
   * everything again. All or nothing: when it throws, the file has its old
   * content, the edits are still pending, and a second flush can succeed. (Two
   * exceptions: if all is written and only the last wait for the disk fails, that
   * error is thrown with nothing pending any more; and `"in-place"`, once it has
   * begun to write, leaves a mixture.)
   *
   * - `"auto"` survives a crash at any instant: the old content or the new. What
   *   only appends or cuts at the end is written in place (`"extend"`), all else
   *   by `"replace"`. What is appended is written to a journal beside the file
   *   first; if the flush was killed, the next `open` that writes finishes it, and
   *   the other modes see the old content. Where the folder may not be written,
   *   there is no journal, and a crash can leave a part of what is appended.
   * - `"replace"` writes a new file beside the old one and renames it. Keeps the
   *   permissions, the owner and the extended attributes where permitted; a
   *   symbolic link stays one.
   * - `"in-place"` moves the bytes inside the file: fast, keeps the inode, its
   *   hard links and the views of slices that do not move, and does not survive
   *   a crash or a failing disk half-way.
   *
   * With `path`, the edited content goes to that file, which is replaced if it is
   * there, and the map goes on with it in mode `r+`; the original stays as it is,
   * unless the path is its own.
   *
   * In Deno, replacing a file needs `--allow-read` and `--allow-write` for its
   * folder.
   *
   * @throws {ConflictError} if the file was replaced, truncated or grown behind
   * the map's back. Nothing is touched.
   * @throws {FaultError} if mapped bytes were lost; see {@linkcode Memmap.faults}.
   * @throws {ReadonlyError} in modes `r` and `c` without `path`.
   * @throws {SystemError} if the disk is full or fails, or if the file has more
   * than one hard link and would have to be replaced; `EBUSY` while another process
   * or thread appends to it by a flush, or replaces it.
   */
  flush(options?: FlushOptions): FlushResult {
    const request = checkRequest(options);
    return flush(this.#open, request);
  }

  /**
   * Waits until the mapped bytes from `begin` to `end` are on disk:
   * `msync(MS_SYNC)`. Floating slices are not affected.
   *
   * @throws {RangeError} if an offset lies outside the map.
   * @throws {ReadonlyError} in modes `r` and `c`.
   * @throws {SystemError} if the disk fails.
   */
  sync(begin?: number, end?: number): void {
    const open = this.#use();
    open.checkWritable("sync");
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    open.sync(from, to);
  }

  /**
   * Flushes in `r+` and `w+`, then lets the mapping go; every view is detached. A
   * second close does nothing. If the flush fails, its error is thrown and the
   * map stays open with nothing lost: flush elsewhere, or
   * `close({ discard: true })`, which drops pending edits instead.
   */
  close(options?: { discard?: boolean }): void {
    const { discard = false } = checkOptions(options, "{ discard: true }");
    const open = this.#open;
    if (open.state.isClosed) return;
    open.checkUsable();
    if (open.isWritable && !discard) this.flush();
    open.close();
  }

  /**
   * Closes the map; see {@linkcode Memmap.close}. So it flushes, even where a `using`
   * block is left by an exception: to drop the edits then, call
   * `close({ discard: true })` in the block. If closing fails too, JavaScript wraps
   * both errors into a `SuppressedError`: the first one is its `suppressed`.
   *
   * A {@linkcode FaultError} that was thrown once is not thrown again here, unless
   * edits are pending.
   */
  [Symbol.dispose](): void {
    const { mapping, isDirty } = this.#open;
    this.close({ discard: mapping.hasReportedFaults && !isDirty });
  }

  /** `<Memmap on file 'memmap.tst' with mode='w+', length=48, 0 slices>`, numarray's form. */
  toString(): string {
    const { file, mode, length, registry, state } = this.#open;
    const about = state.isClosed
      ? "closed"
      : `length=${length}, ${registry.size} slices`;
    return `<Memmap on file '${file.label}' with mode='${mode}', ${about}>`;
  }

  #search(
    search: typeof findFirst,
    pattern: string | Uint8Array,
    begin: number | undefined,
    end: number | undefined,
  ): number {
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    return search(open.mapping, patternBytes(pattern), from, to);
  }

  #use(): OpenMap {
    this.#open.checkUsable();
    return this.#open;
  }

  #edit(): OpenMap {
    this.#open.checkEditable();
    return this.#open;
  }

  #face(extent: SliceExtent): MemmapSlice {
    return extent.slice = makeSlice(this, this.#open, extent);
  }
}

const ADVICE = {
  normal: "MADV_NORMAL",
  random: "MADV_RANDOM",
  sequential: "MADV_SEQUENTIAL",
  willneed: "MADV_WILLNEED",
  dontneed: "MADV_DONTNEED",
} as const;
