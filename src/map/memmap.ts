/**
 * `Memmap`: the public face of one mapped file, with its slices and their edits.
 *
 * What it can do with the bytes as they are is in `mapped_bytes.ts`. Checks the
 * arguments, then asks the {@linkcode OpenMap} or `flush/`. Keeps nothing itself.
 *
 * @module
 */

import {
  checkCount,
  checkOffset,
  checkRange,
  type Mode,
  printAsString,
  readOptions,
  shown,
} from "../base/mod.ts";
import {
  checkRequest,
  checkRequestLater,
  flush,
  type FlushAsyncOptions,
  flushLater,
  type FlushOptions,
  type FlushResult,
  type Progress,
} from "./flush/mod.ts";
import { closeLater } from "./close.ts";
import { MappedBytes, openIfMap, openOf } from "./mapped_bytes.ts";
import type { OpenOptions } from "./open.ts";
import type { Face, OpenMap } from "./open_map.ts";
import { refresh } from "./refresh.ts";
import {
  checkContent,
  insideOf,
  makeSlice,
  type MemmapSlice,
} from "./slice.ts";

/** Options of {@linkcode Memmap.close}. */
export interface CloseOptions {
  /** Drop pending edits instead of flushing them; `false` by default. */
  discard?: boolean;
  /** Wait until everything is on disk; `true` by default. */
  durable?: boolean;
}

/** Options of {@linkcode Memmap.closeAsync}. */
export interface CloseAsyncOptions extends CloseOptions {
  /** Stops the flush before it counts; the map stays open then. */
  signal?: AbortSignal;
  /** As in {@linkcode FlushOptions}. */
  onProgress?: Progress;
}

/** One stretch of a map, as {@linkcode Memmap.layout} returns it. All numbers are bytes. */
export interface LayoutEntry {
  /** The slice; `null` for a gap that no slice covers, and for what was appended. */
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
 * | `r+`, `readwrite` | must exist, or `create: true`; extended if `length` is larger | reach the file | allowed | allowed |
 * | `w+`, `write` | created or truncated to `length` zero bytes | reach the file | allowed | allowed |
 *
 * A `length` smaller than the file maps that prefix. The bytes behind it survive
 * every flush. Empty files can be mapped in every mode. A file that has content but
 * no size, as those in `/proc`, is `ENODEV`: read it instead.
 *
 * If a flush of the file was killed, `r+` and `w+` finish the append that it began
 * and remove the files that it left. In `r` and `c` such an append does not count.
 *
 * In Deno, opening needs `--allow-ffi`, and for the path `--allow-read` (in `r+` and
 * `w+` also `--allow-write`). Finishing a killed flush needs the same for the folder.
 * A symbolic link in a permitted folder needs them for the file it leads to.
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
 * @throws {TypeError} if the path has a NUL byte, the mode is unknown, `w+` has no `length`,
 * or another mode than `r+` has `create`.
 * @throws {RangeError} if `length` is not a whole number of bytes, or in `r` or `c` larger than the file.
 * @throws {SystemError} if the file cannot be opened, extended or mapped; nothing is left behind then.
 * `EBUSY` in `r+` and `w+` while a flush of another process is appending to it, or
 * changes it in any way and `open` is to change its length.
 * @throws {UnsupportedError} if this runtime or system has no backend.
 */
export function open(
  path: string | URL,
  mode?: Mode,
  options?: OpenOptions,
): Memmap {
  checkCount(arguments.length, 3, "open(path, mode, options)");
  return new Memmap(path, mode, options);
}

/**
 * Closes a map; the same as {@linkcode Memmap.close}. It can be a callback:
 * `maps.forEach(close)`.
 */
export function close(map: Memmap): void {
  // A callback is given an index or a key as well, and mostly a collection.
  if (arguments.length === 2 && typeof arguments[1] === "object") {
    checkCount(2, 1, "close(map); map.close() takes options");
  }
  if (typeof map !== "object" || openIfMap(map) === undefined) {
    throw new TypeError(`close() takes a Memmap, not ${shown(map)}.`);
  }
  map.close();
}

/**
 * One mapped file, cut into slices that never overlap.
 *
 * Offsets are file offsets in bytes, as the file stood at the last flush, or at
 * open. They do not shift while edits are pending, so that a batch of edits can be
 * made against one consistent view of the file. Only `length`, of the map and of its slices,
 * looks ahead.
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
export class Memmap extends MappedBytes implements Disposable, AsyncDisposable {
  readonly #open: OpenMap;
  readonly #face: Face;

  static {
    printAsString(Memmap, (value) => #face in value);
  }

  /** Maps a file; the same as {@linkcode open}. */
  constructor(path: string | URL, mode?: Mode, options?: OpenOptions) {
    checkCount(arguments.length, 3, "Memmap(path, mode, options)");
    super(path, mode, options);
    this.#open = openOf(this);
    this.#face = (extent) => makeSlice(this, this.#open, extent);
  }

  /** Bytes of the map once pending edits are flushed. O(1). */
  get length(): number {
    return this.#use().length;
  }

  /**
   * Whether resizes, inserts or appends are pending, or in an atomic map bytes that were
   * written: see {@linkcode Memmap.modified}, and what it costs.
   */
  get dirty(): boolean {
    return this.#use().isDirty;
  }

  /** The registered slices, in file order. */
  get slices(): readonly MemmapSlice[] {
    return this.#use().slices;
  }

  /**
   * Registers the bytes from `begin` to `end` as a slice, by default all of them.
   * O(log n); touches no memory and makes no ArrayBuffer.
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
    checkCount(arguments.length, 2, "slice(begin, end)");
    const open = this.#use();
    const [from, to] = checkRange(begin, end, open.mappedLength, "memmap");
    return open.register(from, to, this.#face).slice;
  }

  /**
   * Makes a floating slice of `content` zero bytes, or of a copy of the given
   * bytes, that {@linkcode Memmap.flush} will put at `offset`. A negative offset counts
   * from `mappedLength`.
   *
   * Several inserts at one offset keep the order in which they were made, and come
   * before a slice that begins there. Deleting the slice before the flush takes the
   * insert back, and so does the end of a `using` block that holds it.
   *
   * @throws {OverlapError} if `offset` lies strictly inside a slice.
   * @throws {RangeError} if `offset` lies outside the map.
   * @throws {ReadonlyError} in mode `r`.
   */
  insert(
    offset: number,
    content: number | ArrayBuffer | ArrayBufferView,
  ): MemmapSlice {
    checkCount(arguments.length, 2, "insert(offset, content)");
    this.#edit();
    const checked = checkContent(content);
    const open = this.#edit();
    const at = checkOffset(offset, open.mappedLength, "memmap");
    return open.insert(at, checked, this.#face).slice;
  }

  /**
   * Adds `content` zero bytes, or a copy of the given bytes, behind everything that is
   * in the map: {@linkcode Memmap.flush} puts them there. No slice is made, and there is
   * nothing to delete afterwards: all that is appended until the flush is one stretch
   * of {@linkcode Memmap.layout}, without a slice. `length` counts it at once, and an
   * append takes time in proportion to its bytes, however many there were.
   *
   * What was inserted at `mappedLength` comes before it, also if it is inserted later.
   * If only a prefix of the file is mapped, the bytes behind that stay behind what is
   * appended; they move, so that the flush takes as long as after an insert.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   * import { readFileSync } from "node:fs";
   *
   * using map = open("log.txt", "w+", { length: 0 });
   * for (const line of ["one\n", "two\n"]) {
   *   map.append(new TextEncoder().encode(line));
   * }
   * assert.equal(map.length, 8);
   * map.flush();
   * assert.equal(readFileSync("log.txt", "utf8"), "one\ntwo\n");
   * assert.equal(map.slices.length, 0);
   * ```
   *
   * @throws {ReadonlyError} in mode `r`.
   * @throws {RangeError} if `content` is a number, and no whole number of bytes.
   * @throws {TypeError} if it is neither a number, a buffer nor a view, or is stale.
   */
  append(content: number | ArrayBuffer | ArrayBufferView): void {
    checkCount(arguments.length, 1, "append(content)");
    this.#edit();
    const checked = checkContent(content);
    this.#edit().append(checked);
  }

  /**
   * Unregisters a slice, given as an object or by its exact range, whose negative
   * offsets count from `mappedLength`. The file keeps its
   * bytes, and the region can be sliced again. From then on the slice throws a
   * {@linkcode DeletedSliceError}. Its pending edit is dropped: a resized slice falls
   * back to its bytes in the file, an inserted one is gone.
   *
   * To remove bytes from the file, `resize(0)` the slice and flush.
   *
   * @throws {RangeError} if no slice has exactly that range, or the slice is of another map.
   */
  delete(begin: number, end: number): void;
  /** Unregisters a slice. */
  delete(slice: MemmapSlice): void;
  delete(sliceOrBegin: MemmapSlice | number, end?: number): void {
    checkCount(arguments.length, 2, "delete(begin, end) or delete(slice)");
    const open = this.#use();
    if (typeof sliceOrBegin === "object" && sliceOrBegin !== null) {
      if (arguments.length > 1) {
        throw new TypeError("delete(slice) takes nothing but the slice.");
      }
      return this.#deleteSlice(sliceOrBegin);
    }
    const [from, to] = checkRange(
      checkOffset(sliceOrBegin, open.mappedLength, "memmap"),
      checkOffset(end!, open.mappedLength, "memmap"),
      open.mappedLength,
      "memmap",
    );
    const extent = open.registry.find(from, to);
    if (extent === undefined) {
      throw new RangeError(
        `No slice of '${this.path}' is exactly ${from} to ${to}.`,
      );
    }
    open.delete(extent);
  }

  #deleteSlice(slice: MemmapSlice): void {
    const inside = insideOf(slice);
    if (inside === undefined) {
      throw new TypeError(
        `delete() takes a MemmapSlice or its range, not ${shown(slice)}.`,
      );
    }
    if (inside.open !== this.#open) {
      throw new RangeError(
        `That slice is of another map, '${inside.open.file.path}'.`,
      );
    }
    inside.checkUsable();
    this.#open.delete(inside.extent);
  }

  /**
   * What {@linkcode Memmap.flush} would write, in order: every slice, every gap
   * between slices, and what was appended, with its range in the file now and after
   * the flush.
   */
  layout(): LayoutEntry[] {
    checkCount(arguments.length, 0, "layout()");
    const open = this.#use();
    return open.layout().map(
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
   * Puts floating slices into the file, moving what follows them, and maps
   * everything again. All or nothing: when it throws, the file has its old content,
   * the edits are still pending, and a second flush can succeed. There are two
   * exceptions. If everything is written and only the last wait for the disk fails,
   * that error is thrown with nothing pending any more. And `"in-place"` leaves a
   * mixture if it fails after it has begun to write.
   *
   * - `"auto"` survives a crash at any instant: the file holds the old content or the
   *   new. Appends, and cuts at the end, are made in place (`"extend"`), everything
   *   else by `"replace"`. An append is first written to a journal beside the file. If
   *   the flush was killed, the next `open` by the same name that writes finishes it, and
   *   the other modes see the old content. Where the folder may not be written, or somebody
   *   else's file has the journal's name, there is no journal, and a crash can leave a
   *   part of the append: {@linkcode FlushResult.atomic} is `false` then.
   * - `"replace"` writes a new file beside the old one and renames it. It keeps the
   *   permissions, and the owner and the extended attributes where permitted. A
   *   symbolic link stays one.
   * - `"in-place"` moves the bytes inside the file. It is fast, and keeps the inode,
   *   its hard links and the views of slices that do not move. It does not survive a
   *   crash or a failing disk half-way.
   *
   * With `path`, the edited content goes to that file, which is replaced if it
   * exists, and the map continues with it in mode `r+`. The original stays as it is,
   * unless the path is its own.
   *
   * In Deno, replacing a file needs `--allow-read` and `--allow-write` for its
   * folder.
   *
   * @throws {ConflictError} if the file was replaced, truncated or grown behind
   * the map's back. Nothing is touched.
   * @throws {FaultError} if mapped bytes were lost; see {@linkcode Memmap.faults}.
   * @throws {ReadonlyError} in modes `r` and `c` without `path`.
   * @throws {SystemError} if the disk is full or fails, or if the file has more than
   * one hard link and would have to be replaced; `EBUSY` while another map of
   * the file is being flushed, in this process or another.
   */
  flush(options?: FlushOptions): FlushResult {
    checkCount(arguments.length, 1, "flush(options)");
    return flush(this.#open, checkRequest(options));
  }

  /**
   * Follows what others did to the file since it was mapped, or since the last flush
   * (see {@linkcode Memmap.stale}). Returns whether anything has changed.
   *
   * - A longer file: its new bytes are mapped.
   * - A shorter one: the map becomes shorter. Slices must not lose a byte.
   * - Another file at the path: it is opened and mapped instead. Slices keep their
   *   offsets, and must fit. What was written through views into the old one stays
   *   there.
   * - Pages that were lost, and are there again: `faults` is 0 from then on.
   *
   * A map of a whole file has all of it afterwards; one of a prefix has as many bytes
   * as before, or as there are. Where others are appending, or were
   * killed while they were, `refresh` does as `open` does. Views of slices stay
   * attached in `r+` and `w+`, where the mapping can stay, and are detached otherwise:
   * read `slice.bytes` again.
   *
   * @example Follow a file that another process appends to
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   * import { appendFileSync, writeFileSync } from "node:fs";
   *
   * writeFileSync("log.txt", "one\n");
   * using map = open("log.txt", "r");
   * appendFileSync("log.txt", "two\n");
   * const end = map.mappedLength;
   * assert.equal(map.refresh(), true);
   * assert.equal(new TextDecoder().decode(map.read(end)), "two\n");
   * assert.equal(map.refresh(), false);
   * ```
   *
   * @throws {ConflictError} if the file has changed, and edits are pending, or a slice
   * would lose bytes, or bytes were written in mode `c`, or there is no file at the
   * path any more. Nothing has changed then.
   * @throws {SystemError} if the file cannot be opened or mapped; `EBUSY` in `r+` and
   * `w+` while another process is appending to it. Nothing has changed then.
   */
  refresh(): boolean {
    checkCount(arguments.length, 0, "refresh()");
    return refresh(this.#open);
  }

  /**
   * As {@linkcode Memmap.flush}, while the event loop goes on: timers fire, and a server
   * serves. The same steps in the same order, and the same promises: a crash at any
   * instant leaves the old content or the new.
   *
   * Until it has ended, the map can be read, and {@linkcode BusyError} is thrown by
   * whatever would change it: `insert`, `slice`, `delete`, `set` of slices and arrays,
   * `resize`, `sync`, `flush`, `close`. Views of slices that float are detached when it
   * begins, and all views if the file is to be replaced, so that no write is lost
   * unseen. `slice.bytes` then is a private view of the bytes as they are: a write to it
   * reaches nobody, and it is detached in the end. A view of a file that is only
   * extended stays. While `"in-place"` moves bytes, and while the file's end is cut
   * off, the map cannot be read either.
   *
   * Where a flush of this map is under way, or of another map of the file, this one
   * waits for it.
   *
   * `signal` stops it until it is committed. Then nothing has happened, the edits
   * are pending, and the signal's reason is thrown.
   *
   * @example
   * ```ts
   * import { open } from "@memmap/memmap";
   * import assert from "node:assert/strict";
   * import { readFileSync, writeFileSync } from "node:fs";
   *
   * writeFileSync("example.txt", "Hello world");
   * await using map = open("example.txt");
   * map.insert(5, new TextEncoder().encode(", big"));
   * const flushed = map.flushAsync();
   * assert.throws(() => map.insert(0, 1), { name: "BusyError" });
   * assert.equal(map.find("world"), 6);
   * await flushed;
   * assert.equal(readFileSync("example.txt", "utf8"), "Hello, big world");
   * ```
   *
   * @throws what {@linkcode Memmap.flush} throws, but for `EBUSY`, as the reason of
   * the promise.
   */
  async flushAsync(options?: FlushAsyncOptions): Promise<FlushResult> {
    checkCount(arguments.length, 1, "flushAsync(options)");
    return await flushLater(this.#open, checkRequestLater(options));
  }

  /**
   * Flushes in `r+` and `w+`, then unmaps the file and detaches every view. A second
   * close does nothing. If the flush fails, its error is thrown and the map stays open
   * with nothing lost: flush elsewhere, or call `close({ discard: true })`, which
   * drops pending edits instead. What was written through views is in the file
   * already, and stays there. `close({ durable: false })` does not wait for the disk.
   */
  close(options?: CloseOptions): void {
    checkCount(arguments.length, 1, "close(options)");
    const { discard = false, durable = true } = readOptions(
      options,
      ["discard", "durable"],
      "{ discard: true }",
    );
    const open = this.#open;
    if (!open.state.isClosed) {
      open.checkIdle();
      if (open.isWritable && !discard) flush(open, checkRequest({ durable }));
    }
    open.close(Boolean(durable));
  }

  /**
   * As {@linkcode Memmap.close}, while the event loop goes on: flushes as
   * {@linkcode Memmap.flushAsync} does, waiting for a flush that is under way, and then
   * closes. If it is stopped by `signal`, or fails, the map stays open.
   */
  async closeAsync(options?: CloseAsyncOptions): Promise<void> {
    checkCount(arguments.length, 1, "closeAsync(options)");
    const { discard = false, ...others } = readOptions(
      options,
      ["discard", "durable", "signal", "onProgress"],
      "{ discard: true }",
    );
    const request = checkRequestLater(others);
    await closeLater(this.#open, request, () => Boolean(discard));
  }

  /**
   * Closes the map; see {@linkcode Memmap.close}. It flushes even when an exception
   * leaves the `using` block: to drop the edits then, call `close({ discard: true })`
   * in the block. If closing fails too, JavaScript wraps both errors into a
   * `SuppressedError`, whose `suppressed` is the first one.
   *
   * A {@linkcode FaultError} that was thrown once is not thrown again here, unless
   * edits are pending.
   */
  [Symbol.dispose](): void {
    const { mapping, isDirty } = this.#open;
    this.close({ discard: mapping.hasReportedFaults && !isDirty });
  }

  /**
   * Closes the map as {@linkcode Memmap.closeAsync} does, at the end of a block that
   * has it as `await using map = open(…)`. Otherwise as at the end of `using`.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const open = this.#open;
    await closeLater(
      open,
      checkRequestLater(),
      () => open.mapping.hasReportedFaults && !open.isDirty,
    );
  }

  /** `<Memmap on file 'memmap.tst' with mode='w+', length=48, 0 slices>`, numarray's form. */
  override toString(): string {
    const { file, mode, length, registry, state } = this.#open;
    const about = state.isClosed
      ? "closed"
      : `length=${length}, ${registry.size} slices`;
    return `<Memmap on file '${file.label}' with mode='${mode}', ${about}>`;
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
