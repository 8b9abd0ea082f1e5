/**
 * `MappedBytes`: a mapped file, and what one can do with its bytes as they are.
 *
 * {@linkcode Memmap} adds slices, edits and flushes. Checks the arguments, then asks
 * the {@linkcode OpenMap}.
 *
 * @module
 */

import { libc, runtime } from "../../ffi/mod.ts";
import {
  checkCount,
  checkOffset,
  checkRange,
  checkSignal,
  checkSpan,
  copyOfTyped,
  lengthOfTyped,
  type Mode,
  noRoom,
  numbersIn,
  readOptions,
  type ShortMode,
  shown,
} from "../base/mod.ts";
import { findFirst, findLast, patternBytes } from "../memory/mod.ts";
import type { Stale } from "../storage/mod.ts";
import { type Progress, whenIdle } from "./flush/mod.ts";
import { load } from "./load.ts";
import { lock } from "./lock.ts";
import { openMap, type OpenOptions } from "./open.ts";
import type { OpenMap } from "./open_map.ts";
import { revertWritten, type WrittenRange, writtenRanges } from "./written.ts";

/**
 * What {@linkcode Memmap.advise} tells the system: five in the words of POSIX, then
 * three that Linux has.
 */
export type Advice =
  | "normal"
  | "random"
  | "sequential"
  | "willneed"
  | "dontneed"
  | "hugepage"
  | "cold"
  | "pageout";

/** Options of {@linkcode Memmap.load}. */
export interface LoadOptions {
  /** Ends the loading. What is being read at that moment is read to its end. */
  signal?: AbortSignal;
  /** Called with the bytes done and to do, at least once if there are any. */
  onProgress?: Progress;
}

/** Options of {@linkcode Memmap.lock}. */
export interface LockOptions {
  /** Share the lock with others who do so; `false` by default. */
  shared?: boolean;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/** The open map behind the public object. */
export let openOf: (map: MappedBytes) => OpenMap;

/** The same, for any object; `undefined` where it is none of ours. Asks no property. */
export let openIfMap: (value: object) => OpenMap | undefined;

/**
 * The bytes of a mapped file: what a {@linkcode Memmap} can do with them where they are.
 *
 * It is not made by itself. All offsets are file offsets in bytes, and ranges are
 * half-open.
 */
export abstract class MappedBytes {
  readonly #open: OpenMap;

  static {
    openOf = (map) => map.#open;
    openIfMap = (value) => #open in value ? value.#open : undefined;
  }

  /** Maps a file; the same as {@linkcode open}. */
  constructor(path: string | URL, mode?: Mode, options?: OpenOptions) {
    this.#open = openMap(path, mode, options);
  }

  /** The file's absolute path. */
  get path(): string {
    return this.#open.file.path;
  }

  /** The mode, by its short name. */
  get mode(): ShortMode {
    return this.#open.mode;
  }

  /** Bytes mapped now; file offsets run from 0 to this. */
  get mappedLength(): number {
    return this.#use().mappedLength;
  }

  /** Whether {@linkcode Memmap.flush} and {@linkcode Memmap.sync} write the file: in `r+` and `w+`. */
  get writable(): boolean {
    return this.#use().isWritable;
  }

  /**
   * Whether nothing that is written reaches the file before the next flush: was it opened
   * with `{ atomic: true }`?
   */
  get atomic(): boolean {
    return this.#use().isAtomic;
  }

  /**
   * Whether the map survives the loss of its pages. It does not with `guard: false`,
   * on systems without a guard (macOS), on hugetlbfs, when the process has too many
   * maps for it (16,384), and while somebody else handles the signal
   * (`process.on("SIGBUS")`). Losing a page may then end or block the process.
   */
  get guarded(): boolean {
    return this.#use().mapping.isGuarded;
  }

  /**
   * How often a page was found lost, because another process cut the file short, or
   * its disk is full or failing. A lost page reads as zeros from then on, and writes
   * to it are lost. After a few faults the same goes for the pages behind it.
   *
   * Raw views (`slice.bytes`) cannot throw: if others may cut the file, look here
   * after reading. The rest of the page in which a cut file ends is not lost; it
   * reads as zeros.
   *
   * Once this is not 0, everything that touches the file's bytes throws a
   * {@linkcode FaultError}. Floating slices can still be read, and
   * `close({ discard: true })` closes the map.
   */
  get faults(): number {
    return this.#use().mapping.faults;
  }

  /**
   * What others did to the file since it was mapped, or since the last flush:
   *
   * - `"no"`: nothing that can be seen. Bytes that they wrote within it are in the map.
   * - `"grown"`, `"cut"`: it is longer or shorter than it was.
   * - `"replaced"`: another file has the path.
   * - `"unlinked"`: there is no file at the path, or no way to it.
   *
   * Asks the system each time. A flush that has something to write throws a
   * {@linkcode ConflictError} unless this is `"no"`; one that has not, and `close()`,
   * do not look. After `"replaced"` and `"unlinked"`, what was written through views
   * is in a file without this path, and `flush({ path })` saves it.
   */
  get stale(): Stale {
    return this.#use().file.stale;
  }

  /** Whether the map was closed. */
  get closed(): boolean {
    return this.#open.state.isClosed;
  }

  /**
   * A copy of the mapped bytes from `begin` to `end`, by default all, in memory of
   * JavaScript's own. It may cross slices, and registers none. Where a slice floats,
   * these are the bytes that the flush will replace: `slice.slice()` copies its own.
   * Negative offsets count from `mappedLength`.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * using map = open("example.dat", "w+", { length: 48 });
   * map.write([1, 2, 3], 16);
   * assert.deepEqual(map.read(16, 20), new Uint8Array([1, 2, 3, 0]));
   * ```
   *
   * @throws {RangeError} if an offset lies outside the map, or the range is more than
   * the runtime puts into one buffer: then read it in pieces.
   * @throws {FaultError} if bytes of the file were lost; see {@linkcode Memmap.faults}.
   */
  read(begin?: number, end?: number): Uint8Array<ArrayBuffer> {
    checkCount(arguments.length, 2, "read(begin, end)");
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    if (to - from <= runtime().maxBufferLength) {
      try {
        return open.mapping.copyOf(from, to);
      } catch (cause) {
        if (!(cause instanceof RangeError)) throw cause;
        throw tooMuch(to - from, cause);
      }
    }
    throw tooMuch(to - from);
  }

  /**
   * Copies `source` over the mapped bytes from `offset` on. It may cross slices. What
   * a source may be, and how numbers become bytes, is as with
   * {@linkcode MemmapSlice.set}; a source that is a view of this file is read before
   * the first byte is written. Where a slice floats, these are the bytes that the
   * flush will replace: write into the slice. A negative offset counts from
   * `mappedLength`. As with views, the bytes are in the file at once, and on disk by
   * {@linkcode Memmap.sync}. In mode `c` they stay in this process.
   *
   * @throws {ReadonlyError} in mode `r`.
   * @throws {RangeError} if the offset lies outside the map, or it does not fit.
   * @throws {TypeError} if it is not a source of bytes, holds what is no number, or is
   * a stale view.
   * @throws {FaultError} if bytes of the file were lost; see {@linkcode Memmap.faults}.
   */
  write(
    source: ArrayLike<number> | ArrayBufferLike | ArrayBufferView,
    offset: number,
  ): void {
    checkCount(arguments.length, 2, "write(source, offset)");
    const room = this.#edit().mappedLength; // nothing larger has to be read
    const values = numbersIn(source, room, "memmap"); // may run the caller's code
    const open = this.#edit();
    const { mappedLength } = open;
    const at = checkOffset(offset, mappedLength, "memmap");
    const length = lengthOfTyped(values);
    if (length > mappedLength - at) {
      throw noRoom(length, ` at ${at}`, mappedLength, "memmap");
    }
    // A view of another map shows the same bytes at another address.
    const isElsewhere = open.file.isMappedTwice;
    open.mapping.write(at, isElsewhere ? copyOfTyped(values) : values);
  }

  /**
   * In an atomic map: the ranges of bytes that the next flush will commit, in order, as
   * far as they lie between `begin` and `end`. They are whole pages, in which not
   * every byte need differ from the file. Floating slices are not among them. Negative
   * offsets count from `mappedLength`.
   *
   * On Linux the kernel tells (`/proc/self/pagemap`), which takes some milliseconds a
   * GiB. Elsewhere, and in Deno without `--allow-all`, bytes are compared with the file,
   * and a page that was written to and is the same does not count.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   *
   * open("ledger.dat", "w+", { length: 8 }).close();
   * using map = open("ledger.dat", "r+", { atomic: true });
   * map.write([1, 2, 3], 0);
   * assert.deepEqual(map.modified(), [{ begin: 0, end: 8 }]);
   * map.revert();
   * assert.deepEqual(map.read(0, 3), new Uint8Array(3));
   * ```
   *
   * @throws {TypeError} if the map is not atomic: what was written is in the file.
   * @throws {RangeError} if an offset lies outside the map.
   */
  modified(begin?: number, end?: number): WrittenRange[] {
    checkCount(arguments.length, 2, "modified(begin, end)");
    const open = this.#useAtomic("modified");
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    return writtenRanges(open, from, to);
  }

  /**
   * In an atomic map: drops what was written to the bytes from `begin` to `end`, by
   * default all, since the last flush. They show the file again, in views that were
   * handed out before, too. Floating slices keep their bytes. Negative offsets count
   * from `mappedLength`.
   *
   * @throws {TypeError} if the map is not atomic: what was written is in the file.
   * @throws {RangeError} if an offset lies outside the map.
   * @throws {BusyError} while a flush is under way.
   */
  revert(begin?: number, end?: number): void {
    checkCount(arguments.length, 2, "revert(begin, end)");
    const open = this.#useAtomic("revert");
    open.checkIdle();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    revertWritten(open, from, to);
  }

  /**
   * The file offset of the first occurrence of `pattern` within `begin` to `end`, or
   * -1. A string is searched for as UTF-8. An empty pattern is found at `begin`, as in
   * Python. The bytes of floating slices are not in the file yet: search those with
   * {@linkcode MemmapSlice.find}. Negative offsets count from `mappedLength`.
   *
   * @throws {RangeError} if an offset lies outside the map.
   */
  find(
    pattern: string | Uint8Array,
    begin?: number,
    end?: number,
  ): number {
    checkCount(arguments.length, 3, "find(pattern, begin, end)");
    return this.#search(findFirst, pattern, begin, end);
  }

  /** As {@linkcode Memmap.find}, but the last occurrence; an empty pattern is found at `end`. */
  rfind(
    pattern: string | Uint8Array,
    begin?: number,
    end?: number,
  ): number {
    checkCount(arguments.length, 3, "rfind(pattern, begin, end)");
    return this.#search(findLast, pattern, begin, end);
  }

  /**
   * Copies `count` mapped bytes from `source` to `target`, overlapping or not, as
   * `memmove` does. Where a slice floats, these are the bytes that the flush will
   * replace. Negative offsets count from `mappedLength`.
   *
   * @throws {RangeError} if a range lies outside the map.
   * @throws {ReadonlyError} in mode `r`.
   */
  move(target: number, source: number, count: number): void {
    checkCount(arguments.length, 3, "move(target, source, count)");
    const open = this.#edit();
    const to = checkSpan(target, count, open.mappedLength, "memmap");
    const from = checkSpan(source, count, open.mappedLength, "memmap");
    open.mapping.copyFrom(open.mapping, from, to, count);
  }

  /**
   * Tells the system how the bytes from `begin` to `end`, widened to whole pages,
   * will be used (`madvise`). Negative offsets count from `mappedLength`.
   *
   * - `"normal"`, `"random"`, `"sequential"`: how the bytes will be accessed.
   * - `"willneed"`: they will be accessed soon.
   * - `"dontneed"` frees memory and never loses content: in mode `c`, where it would
   *   drop private writes, it does nothing.
   * - `"hugepage"`: back them by large pages, where the file system can.
   * - `"cold"`: take their pages first when memory is short.
   * - `"pageout"`: take their pages now. What was written to them goes to the disk
   *   first, or to swap in mode `c`: no byte is lost.
   *
   * The last three do nothing where the system has no such advice: on macOS, and on
   * Linux without large pages, or before 5.4. If the system has no room to record the
   * advice, nothing happens either.
   *
   * @throws {RangeError} if an offset lies outside the map.
   * @throws {TypeError} if the advice is unknown.
   * @throws {SystemError} if the system refuses it.
   */
  advise(advice: Advice, begin?: number, end?: number): void {
    checkCount(arguments.length, 3, "advise(advice, begin, end)");
    this.#use();
    if (typeof advice !== "string" || !Object.hasOwn(ADVICE, advice)) {
      const known = Object.keys(ADVICE).join(", ");
      throw new TypeError(
        `Unknown advice ${shown(advice)}; there are: ${known}.`,
      );
    }
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    if (advice === "dontneed" && open.isPrivate) return;
    const number = libc().constants[ADVICE[advice]];
    if (number === undefined) return;
    open.mapping.advise(number, from, to, LINUX_ADVICE.includes(advice));
  }

  /**
   * Brings the bytes from `begin` to `end`, by default all, into memory, and resolves
   * when they are there. Other threads of the runtime read them meanwhile, and this one
   * goes on. Negative offsets count from `mappedLength`.
   *
   * The system may drop pages again when memory is short, and has none for holes of a
   * file that is itself in memory (tmpfs): {@linkcode Memmap.residency} says what is
   * there. A file that has no name any more is loaded by `"willneed"`, and given up where
   * nothing moves for a second. What a flush cuts off meanwhile is not waited for.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   * import { writeFileSync } from "node:fs";
   *
   * writeFileSync("example.dat", new Uint8Array(2 ** 20));
   * using map = open("example.dat", "r");
   * await map.load(0, 2 ** 16, { signal: AbortSignal.timeout(60_000) });
   * assert.equal(map.residency(0, 2 ** 16), 1);
   * ```
   *
   * All of these reject the promise:
   *
   * @throws {RangeError} if an offset lies outside the map.
   * @throws {TypeError} if an option is wrong.
   * @throws {ClosedError} if the map is closed meanwhile.
   * @throws {FaultError} if bytes of the file were lost; see {@linkcode Memmap.faults}.
   * @throws {SystemError} if the disk fails.
   * @throws {unknown} the signal's reason, once it is aborted, and what `onProgress`
   * throws.
   */
  async load(
    begin?: number,
    end?: number,
    options?: LoadOptions,
  ): Promise<void> {
    checkCount(arguments.length, 3, "load(begin, end, { signal, onProgress })");
    this.#use();
    const { signal, onProgress } = readOptions(
      options,
      ["signal", "onProgress"],
      "{ signal }, behind begin and end",
    );
    if (onProgress !== undefined && typeof onProgress !== "function") {
      throw new TypeError("onProgress must be a function.");
    }
    const checked = checkSignal(signal);
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    await load(open, {
      begin: from,
      end: to,
      total: to - from,
      abort: checked,
      onProgress,
    });
  }

  /**
   * Locks the file (`flock`) for programs that agree to ask for it: the promise resolves
   * once nobody else has the lock, and disposing of what it resolves to lets go of it.
   * With `shared`, others may share it. The thread is never blocked; who waits is not
   * served in order.
   *
   * It is the lock that a flush takes. While one map has it, flushes of every other
   * map of the file, in this process too, are `EBUSY`, and so is an `open` that changes
   * the file's length. The map's own flushes go on, unless the lock is shared: then
   * they are `EBUSY` as well. A second `lock` of the same map waits, unless both are
   * shared. A lock is no view of the file: what others did before is there once
   * {@linkcode Memmap.refresh} was called.
   *
   * If a flush of this map replaces the file, or `refresh` opens another, the new file is
   * locked. `close()` lets go of the lock, and so does the end of the process or of the
   * worker. The garbage collector does not.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   *
   * using map = open("shared.dat", "r+", { create: true });
   * {
   *   using _ = await map.lock({ signal: AbortSignal.timeout(60_000) });
   *   map.refresh(); // what others have appended
   *   map.append(new TextEncoder().encode("one line\n"));
   *   map.flush();
   * }
   * ```
   *
   * All of these reject the promise:
   *
   * @throws {ConflictError} if the file was replaced or unlinked: call `refresh()`.
   * @throws {ClosedError} if the map is closed, also while it is waited.
   * @throws {TypeError} if an option is wrong.
   * @throws {SystemError} if the file system has no locks.
   * @throws {unknown} the signal's reason, once it is aborted.
   */
  async lock(options?: LockOptions): Promise<Disposable> {
    checkCount(arguments.length, 1, "lock({ shared, signal })");
    const open = this.#open;
    const { shared = false, signal } = readOptions(
      options,
      ["shared", "signal"],
      "{ shared: true }",
    );
    return await lock(open, Boolean(shared), checkSignal(signal));
  }

  /**
   * The share of the pages of bytes `begin` to `end`, by default all, that are in
   * memory (`mincore`): from 0 to 1, and 1 of no bytes. Reads none of them. Negative
   * offsets count from `mappedLength`.
   *
   * It may have changed when you look at it. It takes time in proportion to the pages,
   * also of holes. Of a file that the user neither owns nor may write, Linux tells
   * nothing, and the share is 1.
   *
   * @throws {RangeError} if an offset lies outside the map.
   */
  residency(begin?: number, end?: number): number {
    checkCount(arguments.length, 2, "residency(begin, end)");
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    const [resident, pages] = open.mapping.residentPages(from, to);
    return pages === 0 ? 1 : resident / pages;
  }

  /**
   * Waits until the mapped bytes from `begin` to `end`, by default all, are on disk
   * (`msync(MS_SYNC)`). Negative offsets count from `mappedLength`. Floating slices are
   * not affected.
   *
   * @throws {RangeError} if an offset lies outside the map.
   * @throws {ReadonlyError} in modes `r` and `c`.
   * @throws {SystemError} if the disk fails.
   */
  sync(begin?: number, end?: number): void {
    checkCount(arguments.length, 2, "sync(begin, end)");
    const open = this.#use();
    open.checkWritable("sync");
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    open.sync(from, to);
  }

  /**
   * As {@linkcode Memmap.sync}, while the event loop goes on and the map can be used.
   * Waits for a flush that is under way. What is written before the call is on disk
   * when the promise is fulfilled; on Linux, so is all else that was written to the
   * file by then.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   *
   * await using map = open("counter.dat", "w+", { length: 8 });
   * map.slice().fill(1);
   * await map.syncAsync();
   * ```
   */
  async syncAsync(begin?: number, end?: number): Promise<void> {
    checkCount(arguments.length, 2, "syncAsync(begin, end)");
    const open = this.#open;
    for (;;) {
      const waiting = whenIdle(open);
      if (waiting === undefined) break;
      await waiting;
    }
    open.checkWritable("sync");
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    await open.syncLater(from, to);
  }

  #search(
    search: typeof findFirst,
    pattern: string | Uint8Array,
    begin: number | undefined,
    end: number | undefined,
  ): number {
    this.#use();
    const bytes = patternBytes(pattern);
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    return search(open.mapping, bytes, from, to);
  }

  #useAtomic(what: string): OpenMap {
    const open = this.#use();
    if (open.isAtomic) return open;
    throw new TypeError(
      `${what}() is for maps that were opened with { atomic: true }. In mode ` +
        `'${open.mode}' ` + (
          open.isWritable
            ? "what was written is in the file already."
            : "nothing is ever written to the file."
        ),
    );
  }

  #use(): OpenMap {
    this.#open.checkUsable();
    return this.#open;
  }

  #edit(): OpenMap {
    this.#open.checkEditable();
    return this.#open;
  }
}

const ADVICE = {
  normal: "MADV_NORMAL",
  random: "MADV_RANDOM",
  sequential: "MADV_SEQUENTIAL",
  willneed: "MADV_WILLNEED",
  dontneed: "MADV_DONTNEED",
  hugepage: "MADV_HUGEPAGE",
  cold: "MADV_COLD",
  pageout: "MADV_PAGEOUT",
} as const;

/** What kernels may lack. */
const LINUX_ADVICE: readonly Advice[] = ["hugepage", "cold", "pageout"];

/** The error for a copy that no buffer can hold. */
function tooMuch(length: number, cause?: unknown): RangeError {
  return new RangeError(
    `${length} bytes are more than this runtime puts into one buffer; read() them in ` +
      "pieces.",
    { cause },
  );
}
