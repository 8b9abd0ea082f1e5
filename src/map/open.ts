/**
 * Opening: from what a user asks for to an {@linkcode OpenMap}, or to an error that leaves nothing
 * behind.
 *
 * Order: open the file, finish what a killed flush left, map, and only then resize:
 * if mapping fails, the file is as it was. What changes the file's length holds its
 * lock, as a flush does.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import {
  checkLength,
  checkPath,
  counted,
  isWritable,
  type Mode,
  readOptions,
  type ShortMode,
  shortMode,
  SystemError,
  systemError,
  UnsupportedError,
} from "../base/mod.ts";
import { checkDeepestStack } from "../geometry/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import {
  ensureRoom,
  type Lock,
  MappedFile,
  type Opened,
  recover,
} from "../storage/mod.ts";
import { mapFile, type MapKind } from "./map_file.ts";
import { OpenMap } from "./open_map.ts";

/** Options of {@linkcode open}. */
export interface OpenOptions {
  /** Bytes to map. Required for `w+`; otherwise the file's size is the default. */
  length?: number;
  /**
   * Allocate disk blocks for bytes that are new; `true` by default. Where the file is
   * created or extended, and where a flush is about to write, a full disk is an error
   * then. Holes that the file has stay holes, with `reserve` and without.
   */
  reserve?: boolean;
  /**
   * Survive the loss of mapped pages, when another process cuts the file short or
   * its disk is full or fails; `true` by default. See {@linkcode Memmap.faults}.
   */
  guard?: boolean;
  /**
   * In mode `r+`: make an empty file where there is none, in one step; `false` by
   * default. Where several processes do so at once, all of them open the same file. The
   * umask says what its permissions are. A file that was made for an `open` that fails
   * is removed, unless others have written to it.
   */
  create?: boolean;
  /**
   * In mode `r+`: nothing that is written reaches the file before `flush()`, which
   * commits all of it, written bytes and resizes together, so that after a crash at any
   * instant the file has the old content or the new; `false` by default. See
   * {@linkcode Memmap.modified} and {@linkcode Memmap.revert}.
   *
   * A page that is written to is this map's own until then. What others write to the same
   * page meanwhile is overwritten: agree with them on {@linkcode Memmap.lock}, and write
   * while you hold it. Where others cut the file, what was written behind its new end is
   * lost, and the next flush throws a {@linkcode ConflictError}; if they have made it as
   * long as before by then, nothing tells.
   */
  atomic?: boolean;
}

/** Opens and maps a file, as a user asks for it. */
export function openMap(
  path: string | URL,
  mode: Mode | undefined,
  options: OpenOptions | undefined,
): OpenMap {
  const short = shortMode(mode === undefined ? "r+" : mode);
  const {
    length,
    reserve = true,
    guard = true,
    create = false,
    atomic = false,
  } = readOptions(
    options,
    ["length", "reserve", "guard", "create", "atomic"],
    "{ length: 4096 }",
  );
  if (create && short !== "r+") {
    throw new TypeError(
      `{ create: true } goes with mode 'r+', not with '${short}'. Mode 'w+' makes a ` +
        "file, or cuts the one that is there; 'r' and 'c' write none.",
    );
  }
  if (atomic && short !== "r+") {
    throw new TypeError(
      `{ atomic: true } goes with mode 'r+', not with '${short}'. ` +
        (short === "w+"
          ? "Mode 'w+' cuts the file before anything is flushed; { create: true } " +
            "makes one in mode 'r+'."
          : "Modes 'r' and 'c' write no file."),
    );
  }
  if (length === undefined) {
    if (short === "w+") {
      throw new TypeError("Mode 'w+' creates a file, so it needs { length }.");
    }
  } else checkLength(length, "memmap length");
  const checked = checkPath(path);
  libc(); // an unsupported system says so before the file is touched
  return mapAt(
    checked.path,
    checked.label,
    { mode: short, isGuarded: Boolean(guard), isAtomic: Boolean(atomic) },
    length,
    Boolean(reserve),
    short === "w+" || Boolean(create),
  );
}

/** The same for the file at `path`, which is absolute; `label` is as the user gave it. */
function mapAt(
  path: string,
  label: string,
  kind: MapKind,
  length: number | undefined,
  reserve: boolean,
  creates: boolean,
): OpenMap {
  const { mode } = kind;
  // What is changed and then fails has to be undone. A descriptor and a mapping need
  // no room for that: they go with the garbage.
  if (mode === "w+" || length !== undefined) checkDeepestStack();
  const { file, created, isQuiet } = openFile(
    path,
    label,
    mode,
    reserve,
    creates,
  );
  let lock: Lock | undefined;
  try {
    if (!isQuiet) recover(file, isWritable(mode));
    if (mode === "w+" || (mode === "r+" && Number(length) > file.size)) {
      lock = file.lock();
      recover(file, true); // whoever had the lock may have flushed
    }
    const mappedLength = length ?? file.size;
    if (!isWritable(mode) && mappedLength > file.size) {
      throw new RangeError(
        `'${path}' has ${
          counted(file.size, "byte")
        }, fewer than the length ${mappedLength} ` +
          `to map; only modes 'r+' and 'w+' extend a file.`,
      );
    }
    // Before it is mapped, which lengthens a file that has huge pages.
    if (mappedLength > file.size) file.checkLength(mappedLength);
    if (kind.isAtomic) checkCanBeAtomic(file);
    const mapping = mapSettled(file, kind, mappedLength);
    try {
      if (giveLength(file, mode, mappedLength)) mapping.markUnsynced();
    } catch (error) {
      mapping.release();
      throw error;
    }
    return new OpenMap(file, mapping, kind, mappedLength);
  } catch (error) {
    file.undoOpen(created, mode === "r+");
    throw error;
  } finally {
    lock?.release();
  }
}

/** How often to map a file whose commits others finish meanwhile. */
const LOOKS = 50;

/**
 * Maps the file. Of a commit that was killed, what a map that only reads cannot finish
 * is laid over it.
 */
export function mapSettled(
  file: MappedFile,
  kind: MapKind,
  length: number,
): Mapping {
  for (let look = 1;; look++) {
    const mapping = mapFile(file, kind, length);
    try {
      if (file.pending?.layOver(mapping, length) !== false) return mapping;
      if (look === LOOKS) throw stillChanging(file);
      recover(file, false);
    } catch (error) {
      mapping.release();
      throw error;
    }
    mapping.release();
  }
}

function stillChanging(file: MappedFile): SystemError {
  return systemError(
    "EBUSY",
    "open",
    file.path,
    "other processes commit to the file all the time; open it again, or agree with " +
      "them on lock()",
  );
}

/** Throws where pages cannot be private, or not be written back. */
function checkCanBeAtomic(file: MappedFile): void {
  if (file.hugePage === 0) return;
  throw new UnsupportedError(
    `'${file.path}' is on hugetlbfs, whose files can only be written through a shared ` +
      "map; open it without { atomic: true }.",
  );
}

/** The file may be there to be read: not ours to write, read-only, or running. */
const REFUSALS: readonly string[] = ["EACCES", "EPERM", "EROFS", "ETXTBSY"];

/** Opens the file. Where it may not be written, the error names the mode that reads. */
function openFile(
  path: string,
  label: string,
  mode: ShortMode,
  reserve: boolean,
  creates: boolean,
): Opened {
  try {
    return MappedFile.open(path, label, mode, reserve, creates);
  } catch (cause) {
    if (mode !== "r+" || !(cause instanceof SystemError)) throw cause;
    const { code, errno, syscall } = cause;
    if (!REFUSALS.includes(code)) throw cause;
    const reason =
      "mode 'r+', the default, reads and writes the file, and one of " +
      "the two is not permitted; mode 'r' only reads it";
    throw new SystemError(code, errno, syscall, path, reason, { cause });
  }
}

/** Gives the file the length that the mode asks for; returns whether it changed. */
function giveLength(
  file: MappedFile,
  mode: ShortMode,
  length: number,
): boolean {
  if (mode === "w+") {
    const before = file.size;
    if (before > 0) {
      // Where there is no room, or no file may be that long, that shows before the old
      // content is gone.
      try {
        file.lengthen(length, false);
        if (file.reserve) ensureRoom(file, length);
      } catch (error) {
        file.takeBack(before);
        throw error;
      }
      file.truncate(0);
    }
    file.grow(length);
    return true;
  }
  if (mode !== "r+" || length <= file.size) return false;
  file.lengthen(length);
  file.measure(); // others may have made it longer than that
  return true;
}
