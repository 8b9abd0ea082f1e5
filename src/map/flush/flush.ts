/**
 * flush: writes a layout into the file.
 *
 * Each strategy's order of operations stands above its code. All keep to one
 * rule: whatever can fail comes before the first change that cannot be undone,
 * and the map's own books change last, in `OpenMap.rebase`, which cannot fail.
 *
 * @module
 */

import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { copyAttributes } from "../../storage/mod.ts";
import { system, SystemError } from "../../base/mod.ts";
import type { SliceExtent } from "../extent.ts";
import {
  checkRegular,
  followLinks,
  MappedFile,
  openFile,
  statIfThere,
} from "../../storage/mod.ts";
import {
  clearJournal,
  Journal,
  realPathOf,
  temporaryName,
} from "../../storage/mod.ts";
import {
  appendRun,
  layoutOf,
  type Run,
  runsOf,
  type Segment,
} from "../../geometry/mod.ts";
import type { Mapping } from "../../memory/mod.ts";
import type { ShortMode } from "../../base/mod.ts";
import { Mover, type Progress } from "../../storage/mod.ts";
import { mapFile, type OpenMap } from "../open_map.ts";

/** How `flush()` changes the file. */
export type Strategy = "auto" | "replace" | "in-place";

/** Options of `Memmap.flush()`. */
export interface FlushOptions {
  /** Write to this file instead, and go on with it; works in modes `r` and `c` too. */
  path?: string | URL;
  /** How to change the file; `"auto"` by default. */
  strategy?: Strategy;
  /** Wait until everything is on disk; `true` by default. */
  durable?: boolean;
  /**
   * Called with the bytes done and to do, at least once when there are any. It
   * must not use the map, whose calls throw a {@linkcode BusyError}; what it
   * writes through a view, or by an array's `set`, may be lost.
   */
  onProgress?: Progress;
}

/** What a flush did. */
export interface FlushResult {
  /** `"none"` if nothing was pending. */
  strategy: "none" | "extend" | "in-place" | "replace";
  /** Bytes written to the file; those copied from the old one count, holes too. */
  bytesWritten: number;
}

/** The options of a flush once checked. */
export interface FlushRequest {
  readonly strategy: Strategy;
  readonly durable: boolean;
  readonly onProgress: Progress | undefined;
}

/** What is to be written: all offsets and lengths in bytes. */
interface Plan {
  readonly segments: readonly Segment<SliceExtent>[];
  /** What comes from the old file, in order; bytes behind the map among them. */
  readonly runs: readonly Run[];
  /** What comes from memory, in order. */
  readonly floats: readonly Segment<SliceExtent>[];
  /** Bytes of the file afterwards, and of the part that is mapped. */
  readonly fileLength: number;
  readonly mappedLength: number;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } =
  fs.constants;

/** Writes pending edits to the file under the map. */
export function flushEdits(map: OpenMap, request: FlushRequest): FlushResult {
  const { file } = map;
  const plan = planOf(map);
  file.checkUnchanged();
  const strategy = request.strategy !== "auto"
    ? request.strategy
    : canExtend(map, plan)
    ? "extend"
    : "replace";
  switch (strategy) {
    case "extend":
      return extend(map, plan, request);
    case "in-place":
      return moveInPlace(map, plan, request);
    case "replace":
      return replace(map, plan, request, {
        path: file.path,
        label: file.label,
        mode: map.mode,
      });
  }
}

/** Writes the edited content to the file at `path`, and goes on with that. */
export function saveAs(
  map: OpenMap,
  path: string,
  label: string,
  request: FlushRequest,
): FlushResult {
  if (request.strategy === "in-place") {
    throw new TypeError(
      "flush({ path }) writes a new file; strategy 'in-place' does not go with it.",
    );
  }
  const plan = planOf(map);
  return replace(map, plan, request, { path, label, mode: "r+" });
}

function planOf(map: OpenMap): Plan {
  const segments = layoutOf(map.registry, map.mappedLength);
  const runs = runsOf(segments);
  const mappedLength = map.mappedLength + map.growth;
  const behind = map.file.size - map.mappedLength;
  appendRun(runs, map.mappedLength, mappedLength, behind);
  const floats = segments.filter(({ state }) => state === "floating");
  return {
    segments,
    runs,
    floats,
    mappedLength,
    fileLength: mappedLength + behind,
  };
}

/** Does no byte that is already in the file, and stays, have to move or change? */
function canExtend(map: OpenMap, plan: Plan): boolean {
  const { size } = map.file;
  if (plan.runs.some(({ from, to }) => from !== to)) return false;
  return plan.floats.every(({ extent, begin, end, offset, length }) => {
    if (length === 0 || offset >= size) return true;
    if (offset !== begin) return false;
    if (begin + length > end && end !== size) return false;
    const { mapping, offset: at } = extent!.floating!;
    return mapping.equals(
      map.mapping,
      at,
      begin,
      Math.min(length, end - begin),
    );
  });
}

/**
 * extend: the file is cut, or new bytes are written behind the old.
 *
 * 1. Map anew if the file will not fit into the address space at hand, or if
 *    bytes about to be cut off are within reach of a buffer that cannot be
 *    detached (it would touch a page without a file: SIGBUS). Nothing is written yet.
 * 2. To append: write the new bytes into a journal beside the file, on disk before
 *    the first of them gets into the file: whatever becomes of that, the next open
 *    knows what was meant.
 * 3. Write behind the old end, which touches no old byte, and fsync. On failure,
 *    or if somebody else wrote meanwhile, the file gets its old length back, and the
 *    journal ends; not where that would cut off what is another's.
 * 4. End the journal. Killed before it, the next open finishes the append; a mode
 *    that does not write sees the old content until then.
 * 5. Re-base the slices in memory; fsync the folder, so that the journal does not
 *    come back.
 *
 * To cut, 2. is one truncate, which is all or nothing, and cannot be taken back;
 * then the slices are re-based, and fsync comes last.
 */
function extend(map: OpenMap, plan: Plan, request: FlushRequest): FlushResult {
  const { file } = map;
  const before = file.size;
  const added = Math.max(plan.fileLength - before, 0);
  makeRoom(map, plan, Math.min(before, plan.fileLength));
  file.checkUnchanged(); // comparing what stays took its time
  if (added > 0) {
    const journal = beginAppend(map, plan, request, added);
    try {
      writeTail(file, file, plan, request, 0);
      if (request.durable) file.sync();
      file.checkUnchanged(true);
      journal?.end();
    } catch (error) {
      takeBack(file, before, plan.fileLength, journal);
      throw error;
    }
    map.rebase(plan.segments, plan.mappedLength, request.durable);
    if (journal !== undefined) settleFolder(map, journal.folder, request);
  } else {
    if (plan.fileLength < before) cut(map, plan.fileLength);
    commit(map, plan, request);
  }
  return { strategy: "extend", bytesWritten: added };
}

/**
 * Cuts the file, and before it what is mapped of it: an operation that Deno lets
 * go on with a detached buffer would find its pages lost.
 */
function cut(map: OpenMap, length: number): void {
  map.mapping.cut(length);
  try {
    map.file.truncate(length);
  } catch (error) {
    try {
      remap(map, map.mappedLength); // the bytes are still in the file
    } catch {
      map.isTorn = true; // what led here says more
    }
    throw error;
  }
}

function remap(map: OpenMap, length: number): void {
  map.remap(mapFile(map.file, map.mode, length, map.guarded));
}

/** Notes what is to be appended; `undefined` where no journal can be made. */
function beginAppend(
  map: OpenMap,
  plan: Plan,
  request: FlushRequest,
  added: number,
): Journal | undefined {
  const { file } = map;
  const path = realPathOf(file, true);
  if (path === undefined) return undefined;
  // Readable by all if the file is; not by its group, which may be another's here.
  const journal = Journal.begin(path, file.permissions & 0o004 | 0o600);
  if (journal === undefined) return undefined;
  try {
    file.checkUnchanged(); // a dead flush may have been finished just now
    const silent = { ...request, onProgress: undefined };
    const isNoted = journal.noteAppend(
      file,
      added,
      request.durable,
      (target, offset) =>
        writeTail(file, target, plan, silent, offset - file.size),
    );
    if (!isNoted) journal.abandon();
    file.checkUnchanged(); // noting took its time
    return isNoted ? journal : undefined;
  } catch (error) {
    journal.abandon();
    throw error;
  }
}

/** Writes what is behind the file's old end to `target`, `shift` bytes further on. */
function writeTail(
  file: MappedFile,
  target: MappedFile,
  plan: Plan,
  request: FlushRequest,
  shift: number,
): void {
  const before = file.size;
  const added = plan.fileLength - before;
  const { durable, onProgress } = request;
  const mover = new Mover(file, target, added, durable, onProgress);
  try {
    writeFloats(mover, plan.floats, before, shift);
    mover.flush();
  } finally {
    mover.release();
  }
}

/** Gives the file its old end back, or else leaves it to the journal. */
function takeBack(
  file: MappedFile,
  before: number,
  after: number,
  journal: Journal | undefined,
): void {
  if (file.takeBack(before, after)) journal?.abandon();
  else journal?.leave();
}

/** Waits until the names beside the file are on disk, or leaves that to sync(). */
function settleFolder(
  map: OpenMap,
  folder: string,
  request: FlushRequest,
): void {
  map.unsettledFolder = folder;
  if (request.durable) map.settleFolder();
}

/** Re-bases what has been written and cannot be taken back, then waits for the disk. */
function commit(map: OpenMap, plan: Plan, request: FlushRequest): void {
  map.rebase(plan.segments, plan.mappedLength, false);
  if (!request.durable) return;
  map.file.sync();
  map.mapping.markSynced();
  map.settleFolder();
}

/**
 * Step 1 of extend and in-place, where bytes from `changed` on will change: no
 * view may reach them any more, and the mapping must hold what will be there.
 */
function makeRoom(map: OpenMap, plan: Plan, changed: number): void {
  for (const { extent, begin, offset } of plan.segments) {
    if (extent !== null && begin !== offset && !extent.isFloating) {
      extent.dropView();
    }
  }
  const { mapping } = map;
  const fits = plan.mappedLength <= mapping.capacity;
  if (fits && !mapping.isStuckAfter(changed)) return;
  const length = Math.max(map.mappedLength, plan.mappedLength);
  remap(map, length);
}

/**
 * in-place: bytes move inside the file. Not safe against a kill half-way.
 *
 * 1. Map anew where needed, as in extend. End a dead flush's journal: it speaks of
 *    the bytes as they are now.
 * 2. Lengthen the file, with blocks reserved for all that will be written, holes
 *    among it, so that a full disk shows itself while every byte is where it was.
 *    A failure cuts it back.
 * 3. Move what moves: towards the end from the last to the first, then towards
 *    the start from the first to the last. So nothing is overwritten unread: runs
 *    keep their order and never overlap in the old file or in the new.
 * 4. Write the floating slices, whose places nothing needs any more; cut.
 * 5. Re-base the slices in memory; fsync.
 *
 * If a write fails after another succeeded, the file is a mixture: the map is
 * marked as torn, and only reading it and closing it are left.
 */
function moveInPlace(
  map: OpenMap,
  plan: Plan,
  request: FlushRequest,
): FlushResult {
  const { file } = map;
  const before = file.size;
  const moves = plan.runs.filter(({ from, to }) => from !== to);
  const changed = Math.min(
    ...[moves[0]?.to, moves[0]?.from, plan.floats[0]?.offset, plan.fileLength]
      .filter((offset) => offset !== undefined),
  );
  makeRoom(map, plan, changed);
  clearJournal(file);
  file.checkUnchanged(); // a dead flush may have been finished just now
  const total = sum(moves) + sum(plan.floats);
  // Stopping half-way would leave a mixture: what onProgress throws must wait.
  const progress = deferErrors(request.onProgress);
  const mover = new Mover(file, file, total, request.durable, progress.call);
  try {
    file.reserveRange(changed, plan.fileLength);
    for (const move of moves.toReversed()) {
      if (move.to > move.from) mover.moveUp(move);
    }
    for (const move of moves) if (move.to < move.from) mover.moveDown(move);
    writeFloats(mover, plan.floats);
    mover.flush();
    file.checkUnchanged(mover.hasWritten);
    if (plan.fileLength < before) cut(map, plan.fileLength);
  } catch (error) {
    if (mover.hasWritten) map.isTorn = true;
    else if (file.size > before) file.takeBack(before, plan.fileLength);
    throw error;
  } finally {
    mover.release();
  }
  commit(map, plan, request);
  progress.rethrow();
  return { strategy: "in-place", bytesWritten: total };
}

/** Calls `progress` until it throws; `rethrow` then does. */
function deferErrors(progress: Progress | undefined): {
  call: Progress;
  rethrow: () => void;
} {
  let failed: { error: unknown } | undefined;
  return {
    call(done, total) {
      if (failed !== undefined) return;
      try {
        progress?.(done, total);
      } catch (error) {
        failed = { error };
      }
    },
    rethrow() {
      if (failed !== undefined) throw failed.error;
    },
  };
}

/** Writes what floating slices have for the file from `from` on, `shift` bytes further. */
function writeFloats(
  mover: Mover,
  floats: readonly Segment<SliceExtent>[],
  from = 0,
  shift = 0,
): void {
  for (const { extent, offset, length } of floats) {
    const skipped = Math.min(Math.max(from - offset, 0), length);
    const { mapping, offset: at } = extent!.floating!;
    mover.writeMemory(
      mapping,
      at + skipped,
      offset + skipped + shift,
      length - skipped,
    );
  }
}

/** The file that a replace makes. */
interface Target {
  readonly path: string;
  readonly label: string;
  readonly mode: ShortMode;
}

/**
 * replace: a new file takes the old one's place.
 *
 * 1. Note in a journal beside the target, and then create, a file of unguessable
 *    name in the same folder, exclusively. It gets the target's permissions and,
 *    where permitted, its owner and extended attributes.
 * 2. Give it its length, with blocks reserved: a full disk shows itself here.
 * 3. Fill it from the old file and from memory; fsync it, so that the name never
 *    leads to bytes that are not on disk.
 * 4. Map it, while failing to is still harmless. On any failure so far it is
 *    unmapped, closed and unlinked, and nothing has happened.
 * 5. Rename it over the target: the one step that counts, atomic by POSIX.
 * 6. Re-base the slices in memory onto the new mapping; let go of the old file.
 * 7. fsync the folder, so that the rename outlives a power cut.
 */
function replace(
  map: OpenMap,
  plan: Plan,
  request: FlushRequest,
  target: Target,
): FlushResult {
  const path = followLinks(target.path);
  const old = statIfThere(path);
  const isOwn = old !== undefined && map.file.is(old);
  // Whatever is where the file was; what is saved elsewhere need not be there any
  // more, for we hold the file itself.
  const isHome = isOwn || (old !== undefined && target.path === map.file.path);
  if (isHome) map.file.checkUnchanged();
  else map.file.checkWhole();
  if (old !== undefined) {
    checkRegular(old, path);
    checkSingleLink(old, path, isOwn);
  }
  const permissions = old === undefined
    ? map.file.permissions & 0o777
    : Number(old.mode) & 0o7777;
  const name = temporaryName(path);
  const temporary = join(dirname(path), name);
  const journal = Journal.begin(path, 0o600);
  let fd: number;
  try {
    journal?.noteCreated(name, request.durable);
    // The owner may write until all is in it; adopt() gives it what it is to have.
    const first = old === undefined ? permissions : 0o600;
    fd = openFile(temporary, O_RDWR | O_CREAT | O_EXCL, first);
  } catch (error) {
    journal?.abandon();
    throw error;
  }
  let file: MappedFile | undefined;
  let mapping: Mapping | undefined;
  try {
    file = new MappedFile(target.path, target.label, fd, map.file.reserve);
    if (old !== undefined) {
      adopt(file, old, permissions, isOwn ? map.file.fd : path);
    }
    file.grow(plan.fileLength);
    writeAll(map, plan, file, request);
    if (request.durable) file.sync();
    mapping = mapFile(file, target.mode, plan.mappedLength, map.guarded);
    // Filling it took its time, and what was cut off meanwhile reads as a hole.
    if (isHome) map.file.checkUnchanged();
    else map.file.checkWhole();
    system("rename", path, () => fs.renameSync(temporary, path));
  } catch (error) {
    mapping?.release();
    if (file === undefined) fs.closeSync(fd);
    else file.close();
    try {
      fs.unlinkSync(temporary);
      journal?.abandon();
    } catch {
      // Gone already, or not to be removed: the first error says more.
      journal?.leave();
    }
    throw error;
  }
  const oldFile = map.file;
  const oldMapping = map.mapping;
  map.file = file;
  map.mapping = mapping;
  map.mode = target.mode;
  map.rebase(plan.segments, plan.mappedLength, request.durable);
  oldMapping.release();
  oldFile.close();
  journal?.abandon();
  settleFolder(map, dirname(path), request);
  return { strategy: "replace", bytesWritten: plan.fileLength };
}

function writeAll(
  map: OpenMap,
  plan: Plan,
  target: MappedFile,
  request: FlushRequest,
): void {
  const mover = new Mover(
    map.file,
    target,
    plan.fileLength,
    request.durable,
    request.onProgress,
  );
  // In mode "c" the bytes to save are the private ones, which only memory has.
  const inMemory = map.mode === "c" ? map.mappedLength : 0;
  const { floats } = plan;
  try {
    // In the order of the target, so that small pieces gather into large writes.
    let next = 0;
    const floatsBefore = (to: number) => {
      const first = next;
      while (next < floats.length && floats[next].offset < to) next++;
      return floats.slice(first, next);
    };
    for (const { from, to, length } of plan.runs) {
      writeFloats(mover, floatsBefore(to));
      const private_ = Math.min(Math.max(inMemory - from, 0), length);
      mover.writeMemory(map.mapping, from, to, private_);
      mover.copy(from + private_, to + private_, length - private_);
    }
    writeFloats(mover, floatsBefore(Infinity));
    mover.flush();
  } finally {
    mover.release();
  }
}

function sum(pieces: readonly { length: number }[]): number {
  return pieces.reduce((total, { length }) => total + length, 0);
}

function checkSingleLink(
  stat: fs.BigIntStats,
  path: string,
  isOwn: boolean,
): void {
  if (stat.nlink === 1n) return;
  const advice = isOwn
    ? "flush({ strategy: 'in-place' }) keeps them, without safety against a crash"
    : "remove it first, or save elsewhere";
  throw new SystemError(
    "EMLINK",
    -31,
    "rename",
    path,
    `the file has ${stat.nlink} hard links, which replacing it would part; ${advice}`,
  );
}

/**
 * Gives a new file what belongs to the old one: the owner and the extended
 * attributes where permitted, and the permissions. `source` is the old file, open
 * or by its path.
 */
function adopt(
  file: MappedFile,
  old: fs.BigIntStats,
  permissions: number,
  source: number | string,
): void {
  const { fd, path, owner } = file;
  const uid = Number(old.uid);
  const gid = Number(old.gid);
  let granted = permissions;
  if (uid !== owner.uid || gid !== owner.gid) {
    // Only root may give files away; who else may write the folder keeps his,
    // without set-user-ID bits, which would lend another's rights, and without the
    // group's, unless it is a group of his.
    if (!chown(fd, path, uid, gid)) {
      granted &= 0o777;
      if (!chown(fd, path, owner.uid, gid)) granted &= ~0o070;
    }
  }
  // After the owner, a change of which clears capabilities and set-user-ID bits;
  // and the permissions last, since those of an access list change them.
  const mayGrantGroup = typeof source === "number"
    ? copyAttributes(source, fd, path)
    : copyAttributesOf(source, fd);
  // The group's bits of a file with an access list are the list's, not the group's.
  if (!mayGrantGroup) granted &= ~0o070;
  system("fchmod", path, () => fs.fchmodSync(fd, granted));
}

/** False where that is not permitted. */
function chown(fd: number, path: string, uid: number, gid: number): boolean {
  try {
    system("fchown", path, () => fs.fchownSync(fd, uid, gid));
    return true;
  } catch (error) {
    if ((error as SystemError).code === "EPERM") return false;
    throw error;
  }
}

/** As {@linkcode copyAttributes}, from a file that may be one that we cannot read. */
function copyAttributesOf(path: string, to: number): boolean {
  let from: number;
  try {
    // No link, as `path` has been followed: one would have been laid just now.
    from = openFile(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code !== "EACCES" && error.code !== "EPERM") throw error;
    return false;
  }
  try {
    return copyAttributes(from, to, path);
  } finally {
    fs.closeSync(from);
  }
}
