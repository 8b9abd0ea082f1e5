/**
 * What a journal says, and how that is written down.
 *
 * A journal is a header of 4 KiB, JSON padded with blanks, and behind it the bytes
 * of an append, or those of a commit, of which `redo.ts` knows more. It is whole once
 * the header is: until then it says nothing. One that is kept for several flushes has
 * room behind those bytes, and what an earlier one wrote may be there. So its header has
 * a checksum of what it speaks of.
 *
 * @module
 */

import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { runtime } from "../../../ffi/mod.ts";
import type { Identity } from "../status.ts";
import type { OpenFile } from "../open_file.ts";

/** Bytes of the header; those of an append follow. */
export const HEADER_SIZE = 4096;
/** The most bytes of an append whose journal is kept for the next one. */
export const KEPT_SIZE: number = 2 ** 18 - HEADER_SIZE;
/** Bytes of a header that hold what it says: a sector, which is written atomically. */
const NOTE_SIZE = 512;

/** A new file is being filled that will take the old one's place. */
export interface Creation {
  /** Its name, in the same folder. */
  readonly created: string;
}

/** Bytes are being appended; they follow in the journal. */
export interface Append extends Identity {
  /** Bytes of the file before the append. */
  readonly size: number;
  /** Bytes of the append. */
  readonly added: number;
  /** Of the bytes right before it, by which a copy of the file is known. */
  readonly before: string;
  /** From which start of the system to the next; `undefined` if that is not known. */
  readonly boot: string | undefined;
  /** Of the bytes of the append, where the journal is kept. */
  readonly sum?: string;
}

/** Bytes are being written over; they follow in the journal. */
export interface Redo extends Identity {
  /** Bytes of the file before the commit, and after it: it may append, too. */
  readonly size: number;
  readonly grows: number;
  /** Blocks of new bytes. */
  readonly blocks: number;
  /** Of the table of the blocks. */
  readonly sum: string;
  /** Tells this commit from every other. */
  readonly redo: string;
  /** As with an append. */
  readonly boot: string | undefined;
  /** Was the disk waited for? Otherwise it says nothing after the next start of the system. */
  readonly isDurable: boolean;
}

/** Nothing is under way; the journal is kept for the next flush. */
export interface Idle {
  readonly idle: true;
}

export type Note = Creation | Append | Redo | Idle;

/** The header that says `note`. */
export function headerOf(note: Note): Uint8Array {
  const header = new Uint8Array(HEADER_SIZE);
  writeHeader(note, header);
  return header;
}

const ENCODER = new TextEncoder();
const BLANK = 0x20;

/** Writes the header that says `note` to the beginning of `bytes`. */
export function writeHeader(note: Note, bytes: Uint8Array): void {
  const { written } = ENCODER.encodeInto(JSON.stringify(note), bytes);
  bytes.fill(BLANK, written, HEADER_SIZE);
}

/** Written over a header, whatever that says, it makes the journal idle. */
export const IDLE: Uint8Array = headerOf({ idle: true }).subarray(0, NOTE_SIZE);

/** A checksum of an append's bytes. */
export function sumOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 32);
}

/**
 * What the header of a journal of `size` bytes says; `undefined` if nothing, or if
 * the journal is not whole.
 */
export function noteIn(header: Uint8Array, size: number): Note | undefined {
  let note: Partial<Creation & Append & Redo & Idle>;
  try {
    note = JSON.parse(new TextDecoder().decode(header)) ?? {};
  } catch {
    return undefined;
  }
  // Its own: a program may have put anything into Object.prototype.
  const has = (name: string) => Object.hasOwn(note, name);
  if (has("created") && typeof note.created === "string") {
    return { created: note.created };
  }
  if (has("idle") && note.idle === true) return { idle: true };
  if (has("redo")) {
    const isWhole = typeof note.redo === "string" && isSize(note.size) &&
      has("grows") && isSize(note.grows) && note.grows >= note.size &&
      has("blocks") && isSize(note.blocks) && has("sum") &&
      size >= redoSize(note.blocks);
    return isWhole ? note as Redo : undefined;
  }
  if (!has("size") || !has("added")) return undefined;
  if (!isSize(note.size) || !isSize(note.added)) return undefined;
  const isWhole = has("sum") && typeof note.sum === "string"
    ? note.added <= KEPT_SIZE && size >= HEADER_SIZE + note.added
    : size === HEADER_SIZE + note.added;
  return isWhole ? note as Append : undefined;
}

export function isAppend(note: Note): note is Append {
  return Object.hasOwn(note, "added");
}

export function isRedo(note: Note): note is Redo {
  return Object.hasOwn(note, "redo");
}

/** Bytes of a block of a commit at the most: it never crosses a multiple of that. */
export const REDO_BLOCK = 4096;
/** The unit that the disk writes atomically. */
export const SECTOR = 512;
/** Words of a block's entry in the table. */
export const REDO_ENTRY: number = 4 + 2 * REDO_BLOCK / SECTOR;

/** Bytes of the journal of a commit of so many blocks. */
export function redoSize(blocks: number): number {
  return HEADER_SIZE + blocks * (REDO_BLOCK + 4 * REDO_ENTRY);
}

export function isIdle(note: Note): note is Idle {
  return Object.hasOwn(note, "idle");
}

/** Has an append a checksum of its bytes? */
export function hasSum(note: Append): boolean {
  return Object.hasOwn(note, "sum");
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Bytes before an append that its journal has a digest of: more would take long to hash. */
const DIGESTED = 512;

/** A digest of the bytes right before `size`, and of how many there are. */
export function digestBefore(file: OpenFile, size: number): string {
  const bytes = new Uint8Array(Math.min(DIGESTED, size));
  const count = file.readSome(bytes, size - bytes.length);
  const hash = createHash("sha256").update(bytes.subarray(0, count));
  return hash.digest("hex").slice(0, 32);
}

const BOOT_ID = "/proc/sys/kernel/random/boot_id";
let boot: string | undefined;

/**
 * What tells this run of the system from the one before, after which the disk may
 * have zeros in place of bytes; `undefined` where nothing does, or we may not look.
 */
export function bootOfSystem(): string | undefined {
  if (boot !== undefined) return boot;
  try {
    if (!runtime().mayUse(BOOT_ID, "read")) return undefined;
    return boot = fs.readFileSync(BOOT_ID, "latin1").trim();
  } catch {
    return undefined;
  }
}

/** Where the journal of the file at `path` is, which is no link. */
export function journalPath(path: string): string {
  return join(dirname(path), `${prefixOf(path)}.journal`);
}

/** A hidden, unguessable name, whose beginning tells which file it belongs to. */
export function temporaryName(path: string): string {
  return `${prefixOf(path)}-${randomBytes(12).toString("hex")}`;
}

/** Is this a name that {@linkcode temporaryName} can have made for the file at `path`? */
export function isTemporaryName(name: string, path: string): boolean {
  const prefix = `${prefixOf(path)}-`;
  return name.startsWith(prefix) &&
    /^[0-9a-f]{24}$/.test(name.slice(prefix.length));
}

/** How the names of all that is made beside the file at `path` begin. */
function prefixOf(path: string): string {
  const hash = createHash("sha256").update(basename(path)).digest("hex");
  return `.memmap-${hash.slice(0, 16)}`;
}
