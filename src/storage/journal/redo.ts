/**
 * What a journal says of bytes that are being written over, or appended beside that: new
 * ones, and checksums of the old.
 *
 * Behind the header come the new bytes, block by block, and behind them a table with an
 * entry a block: where it belongs in the file, and two checksums of each of its sectors,
 * as it is to be and as it was. The header has the table's checksum. So it can be
 * told at any time whether the journal is whole, and of each sector of the file
 * whether it is old, new, or somebody else's. What is appended comes first: the file
 * has all of it before the first byte is written over.
 *
 * Knows open files, and nothing of maps.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { Mapping } from "../../memory/mod.ts";
import type { OpenFile } from "../open_file.ts";
import { skipStep, type Step, type Steps } from "../steps.ts";
import {
  HEADER_SIZE,
  type Redo,
  REDO_BLOCK,
  REDO_ENTRY as ENTRY,
  SECTOR,
  sumOf,
} from "./format.ts";

const SECTORS = REDO_BLOCK / SECTOR;
// Words of an entry: offset (low, high), length, 0, the new sums, the old ones.
const [NEW, OLD] = [4, 4 + SECTORS];
/** Bytes that are read, compared or written at a time. */
const REDO_BUFFER: number = 2 ** 20;
/** Blocks that are short, at the most: where what is appended consists of pieces. */
const MOST_PIECES = 2 ** 12;
/** Bytes that are compared between two steps. */
const MOST_SCANNED = 2 ** 22;

/** Words of a sector. */
const WORDS = SECTOR / 4;

// MurmurHash3 of 32 bits (Austin Appleby; public domain), over the words of a sector. There
// is one for 512 bytes, and a call of a library for each would take longer.

function mix(sum: number, word: number): number {
  const first = Math.imul(word, 0xcc9e2d51);
  sum ^= Math.imul((first << 15) | (first >>> 17), 0x1b873593);
  return (Math.imul((sum << 13) | (sum >>> 19), 5) + 0xe6546b64) | 0;
}

function finish(sum: number): number {
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return (sum ^ (sum >>> 16)) >>> 0;
}

/**
 * Puts the sums of four sectors, from word `from` on, into `sums`. Each step of a sum waits
 * for the one before it: four at a time take half as long as one after the other.
 */
function sumSectors(
  words: Uint32Array,
  from: number,
  sums: Uint32Array,
  at: number,
): void {
  let a = 0x9747b28c;
  let [b, c, d] = [a, a, a];
  for (let i = from; i < from + WORDS; i++) {
    a = mix(a, words[i]!);
    b = mix(b, words[i + WORDS]!);
    c = mix(c, words[i + 2 * WORDS]!);
    d = mix(d, words[i + 3 * WORDS]!);
  }
  sums[at] = finish(a);
  sums[at + 1] = finish(b);
  sums[at + 2] = finish(c);
  sums[at + 3] = finish(d);
}

/** Bytes that a buffer needs for `length` bytes of blocks: few where there are few. */
function bufferSize(length: number): number {
  const blocks = Math.max(Math.ceil(length / REDO_BLOCK), 1);
  return Math.min(blocks * REDO_BLOCK, REDO_BUFFER);
}

/** A buffer of whole blocks, and its words. */
export class RedoBuffer {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Uint32Array;

  constructor(
    buffer: ArrayBuffer,
    from: number = 0,
    length: number = buffer.byteLength - from,
  ) {
    this.bytes = new Uint8Array(buffer, from, length);
    this.words = new Uint32Array(buffer, from, length / 4);
  }

  /**
   * Writes checksums of `length` bytes at `from`, a multiple of {@linkcode REDO_BLOCK}
   * of the buffer, into `sums` at `at`: one a sector, and 0 where there is none. Zeros
   * are put behind the bytes.
   */
  sums(from: number, length: number, sums: Uint32Array, at: number): void {
    this.bytes.fill(0, from + length, from + REDO_BLOCK);
    for (let sector = 0; sector < SECTORS; sector += 4) {
      sumSectors(this.words, (from + sector * SECTOR) / 4, sums, at + sector);
    }
    sums.fill(0, at + Math.ceil(length / SECTOR), at + SECTORS);
  }
}

/** A buffer for `length` bytes of blocks, or for as many as are handled at a time. */
function bufferOf(length: number): RedoBuffer {
  return new RedoBuffer(new ArrayBuffer(bufferSize(length)));
}

/** Memory in which a journal is gathered: room for its header, for blocks, and for a table. */
export class RedoMemory {
  /** Bytes of blocks for which there is room. */
  readonly size: number;
  readonly #mapping: Mapping;
  /** All of it, as it is in the journal if the room suffices. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly blocks: RedoBuffer;
  /** For what the file has in their place. */
  readonly there: RedoBuffer;

  constructor(size: number, path: string) {
    const room = HEADER_SIZE + size / REDO_BLOCK * (REDO_BLOCK + ENTRY * 4);
    this.size = size;
    this.#mapping = Mapping.anonymous(room, path);
    const buffer = this.#mapping.view(0, room, true);
    this.bytes = new Uint8Array(buffer, 0, room);
    this.blocks = new RedoBuffer(buffer, HEADER_SIZE, size);
    this.there = bufferOf(size);
  }

  /** Copies `length` bytes of `mapping` to `at` of the blocks. */
  copyFrom(mapping: Mapping, from: number, at: number, length: number): void {
    this.#mapping.copyFrom(mapping, from, HEADER_SIZE + at, length);
  }

  release(): void {
    this.#mapping.release();
  }
}

/** The table of blocks while it grows. */
export class RedoTable {
  #words: Uint32Array<ArrayBuffer> = new Uint32Array(64 * ENTRY);
  /** Entries. */
  count = 0;

  /** Adds a block: its new bytes are at `at` of `meant`, and the old ones begin `there`. */
  add(
    offset: number,
    length: number,
    meant: RedoBuffer,
    at: number,
    there: RedoBuffer,
  ): void {
    if ((this.count + 1) * ENTRY > this.#words.length) {
      const larger = new Uint32Array(2 * this.#words.length);
      larger.set(this.#words);
      this.#words = larger;
    }
    const entry = this.count * ENTRY;
    this.#words[entry] = offset % 2 ** 32;
    this.#words[entry + 1] = Math.floor(offset / 2 ** 32);
    this.#words[entry + 2] = length;
    this.#words[entry + 3] = 0;
    meant.sums(at, length, this.#words, entry + NEW);
    there.sums(0, length, this.#words, entry + OLD);
    this.count++;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#words.buffer, 0, this.count * ENTRY * 4);
  }
}

/**
 * The table of a journal; `undefined` where it cannot be true. A journal that lies may
 * speak of more blocks than there is memory for, so it is looked at piece by piece: each
 * block is within the file, and begins where the one before has ended, or behind that.
 * Those that are appended come first.
 */
function readTable(
  journal: OpenFile,
  { blocks, size, grows }: Redo,
): Uint8Array<ArrayBuffer> | undefined {
  if (blocks > Math.ceil(grows / REDO_BLOCK) + MOST_PIECES) return undefined;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const most = Math.floor(REDO_BUFFER / (ENTRY * 4));
  let [end, limit] = grows > size ? [size, grows] : [0, size];
  for (let done = 0; done < blocks; done += most) {
    const count = Math.min(most, blocks - done);
    const words = new Uint32Array(count * ENTRY);
    const bytes = new Uint8Array(words.buffer);
    const at = HEADER_SIZE + blocks * REDO_BLOCK + done * ENTRY * 4;
    if (journal.readSome(bytes, at) !== bytes.length) return undefined;
    for (let entry = 0; entry < words.length; entry += ENTRY) {
      const offset = words[entry]! + words[entry + 1]! * 2 ** 32;
      const length = words[entry + 2]!;
      if (offset < size && limit !== size) [end, limit] = [0, size];
      const isWithin = length > 0 && offset >= end &&
        offset % REDO_BLOCK + length <= REDO_BLOCK &&
        offset + length <= limit;
      if (!isWithin) return undefined;
      end = offset + length;
    }
    pieces.push(bytes);
  }
  const table = new Uint8Array(blocks * ENTRY * 4);
  let at = 0;
  for (const piece of pieces) {
    table.set(piece, at);
    at += piece.length;
  }
  return table;
}

/** A block of a whole journal. */
interface Block {
  /** Where it belongs in the file. */
  readonly offset: number;
  readonly length: number;
  /** Its number, and where it is in the journal. */
  readonly index: number;
  readonly at: number;
}

/** How many sectors of the file are as they were, as they are to be, and neither. */
export interface Verdict {
  old: number;
  new: number;
  others: number;
  /** Where the first of the others is. */
  first: number;
}

/** What a whole journal says. */
export class RedoNote {
  readonly #journal: OpenFile;
  readonly #words: Uint32Array;
  readonly note: Redo;
  /** For a row of blocks, or all of them where they are `#isAtHand`. */
  readonly #meant: RedoBuffer;
  readonly #isAtHand: boolean;

  private constructor(
    journal: OpenFile,
    table: Uint8Array<ArrayBuffer>,
    note: Redo,
    blocks?: RedoBuffer,
  ) {
    this.#journal = journal;
    this.#words = new Uint32Array(table.buffer);
    this.note = note;
    this.#isAtHand = blocks !== undefined;
    this.#meant = blocks ?? bufferOf(note.blocks * REDO_BLOCK);
  }

  /** Of a journal that was just written; `blocks` has all of its blocks, if given. */
  static of(
    journal: OpenFile,
    table: RedoTable,
    note: Redo,
    blocks?: RedoBuffer,
  ): RedoNote {
    return new RedoNote(journal, table.bytes, note, blocks);
  }

  /** Reads it; `undefined` unless all of it is there. */
  static read(journal: OpenFile, note: Redo): RedoNote | undefined {
    const table = readTable(journal, note);
    if (table === undefined || sumOf(table) !== note.sum) return undefined;
    const whole = new RedoNote(journal, table, note);
    return whole.#isWhole() ? whole : undefined;
  }

  /** Bytes of all blocks. */
  get length(): number {
    let length = 0;
    for (let i = 0; i < this.note.blocks; i++) {
      length += this.#words[i * ENTRY + 2]!;
    }
    return length;
  }

  /** The blocks, in rows that fit into the buffer together. */
  *#rows(): Generator<readonly Block[]> {
    let row: Block[] = [];
    let at = HEADER_SIZE;
    for (let index = 0; index < this.note.blocks; index++, at += REDO_BLOCK) {
      const entry = index * ENTRY;
      const offset = this.#words[entry]! + this.#words[entry + 1]! * 2 ** 32;
      const length = this.#words[entry + 2]!;
      if (
        row.length > 0 && this.#isAppended(row[0]!) !== offset >= this.note.size
      ) {
        yield row;
        row = [];
      }
      row.push({ offset, length, index, at });
      if (row.length * REDO_BLOCK < REDO_BUFFER) continue;
      yield row;
      row = [];
    }
    if (row.length > 0) yield row;
  }

  /** Is it a row of blocks, or a block, behind the file's old end? */
  #isAppended({ offset }: Block): boolean {
    return offset >= this.note.size;
  }

  /** The blocks of a row, which are read; `undefined` where they are not all there. */
  #read(row: readonly Block[]): Uint8Array | undefined {
    const from = this.#isAtHand ? row[0]!.index * REDO_BLOCK : 0;
    const end = from + row.length * REDO_BLOCK;
    const bytes = this.#meant.bytes.subarray(from, end);
    if (this.#isAtHand) return bytes;
    const count = this.#journal.readSome(bytes, row[0]!.at);
    return count === bytes.length ? bytes : undefined;
  }

  #isWhole(): boolean {
    const sums = new Uint32Array(SECTORS);
    for (const row of this.#rows()) {
      if (this.#read(row) === undefined) return false;
      for (const [i, { length, index }] of row.entries()) {
        this.#meant.sums(i * REDO_BLOCK, length, sums, 0);
        const entry = index * ENTRY + NEW;
        if (sums.some((sum, s) => sum !== this.#words[entry + s])) return false;
      }
    }
    return true;
  }

  /**
   * Looks at what the file has in place of the blocks. `mayLack`: may it have zeros where
   * bytes were appended, since the power was cut?
   */
  compare(file: OpenFile, mayLack: boolean): Verdict {
    const verdict: Verdict = { old: 0, new: 0, others: 0, first: 0 };
    const there = bufferOf(REDO_BLOCK);
    const sums = new Uint32Array(SECTORS);
    for (const row of this.#rows()) {
      const isAppended = this.#isAppended(row[0]!);
      const blocks = isAppended ? this.#read(row) : undefined;
      if (isAppended && blocks === undefined) verdict.others++;
      for (const [i, { offset, length, index }] of row.entries()) {
        const bytes = there.bytes.subarray(0, length);
        const count = file.readSome(bytes, offset);
        if (isAppended) {
          const from = i * REDO_BLOCK;
          const meant = blocks?.subarray(from, from + length) ?? NOTHING;
          const state = stateOf(bytes.subarray(0, count), meant, mayLack);
          if (state === "others" && verdict.others === 0) {
            verdict.first = offset;
          }
          verdict[state]++;
          continue;
        }
        there.sums(0, count, sums, 0);
        const entry = index * ENTRY;
        for (let s = 0; s * SECTOR < length; s++) {
          const meant = this.#words[entry + NEW + s];
          const before = this.#words[entry + OLD + s];
          const isThere = Math.min((s + 1) * SECTOR, length) <= count;
          if (isThere && meant === before && sums[s] === meant) continue;
          if (isThere && sums[s] === meant) verdict.new++;
          else if (isThere && sums[s] === before) verdict.old++;
          else if (verdict.others++ === 0) verdict.first = offset + s * SECTOR;
        }
      }
    }
    return verdict;
  }

  /** Appends what is to be appended. */
  *append(file: OpenFile): Generator<Step, void, unknown> {
    for (const row of this.#rows()) {
      if (!this.#isAppended(row[0]!)) return;
      yield { run: () => this.#write(row, file) };
    }
  }

  /**
   * Writes over what is to be written over. What fails is tried once more, since the file
   * is a mixture until it succeeds.
   */
  *writeOver(file: OpenFile): Generator<Step, void, unknown> {
    for (const row of this.#rows()) {
      if (this.#isAppended(row[0]!)) continue;
      yield {
        run: () => {
          try {
            return this.#write(row, file);
          } catch {
            return this.#write(row, file);
          }
        },
      };
    }
  }

  /** Writes a row, in as few calls as there are gaps. Returns its bytes. */
  #write(row: readonly Block[], file: OpenFile): number {
    const blocks = this.#read(row);
    if (blocks === undefined) throw new Error("a journal was cut short");
    let moved = 0;
    for (let first = 0; first < row.length;) {
      const { offset } = row[first]!;
      let end = offset;
      let next = first;
      let isFull = true; // a block that is not has a gap behind it in the journal
      while (next < row.length && row[next]!.offset === end && isFull) {
        const { length } = row[next++]!;
        end += length;
        isFull = length === REDO_BLOCK;
      }
      const from = first * REDO_BLOCK;
      const bytes = blocks.subarray(from, from + end - offset);
      file.write(bytes, offset);
      moved += bytes.length;
      first = next;
    }
    return moved;
  }

  /** Lays the blocks over what a private mapping of the file has, up to `length`. */
  layOver(mapping: Mapping, length: number): boolean {
    for (const row of this.#rows()) {
      if (this.#isAppended(row[0]!)) continue; // the file has it
      const blocks = this.#read(row);
      if (blocks === undefined) return false;
      for (const [i, block] of row.entries()) {
        const count = Math.min(block.length, length - block.offset);
        if (count <= 0) continue;
        const from = i * REDO_BLOCK;
        mapping.write(block.offset, blocks.subarray(from, from + count));
      }
    }
    return true;
  }
}

const NOTHING = new Uint8Array();

/** What the file has in place of bytes that were to be appended. */
function stateOf(
  there: Uint8Array,
  meant: Uint8Array,
  mayLack: boolean,
): "old" | "new" | "others" {
  let same = 0;
  while (same < there.length && there[same] === meant[same]) same++;
  if (same === meant.length) return "new";
  const rest = there.subarray(same);
  if (rest.length === 0) return "old"; // begun at most
  return mayLack && rest.every((byte) => byte === 0) ? "old" : "others";
}

/** Bytes in memory that are to be written to the file. */
export interface RedoPart {
  readonly mapping: Mapping;
  /** Where they are in the mapping, and where they go in the file. */
  readonly from: number;
  readonly offset: number;
  readonly length: number;
}

/** Bytes of blocks that are gathered at a time for `parts`: few where these are few. */
export function bufferSizeFor(parts: readonly RedoPart[]): number {
  let blocks = 0;
  for (const { offset, length } of parts) {
    const end = Math.ceil((offset + length) / REDO_BLOCK);
    blocks += end - Math.floor(offset / REDO_BLOCK);
  }
  return bufferSize(blocks * REDO_BLOCK);
}

/** What was gathered for a journal. */
export interface Gathered {
  readonly table: RedoTable;
  /**
   * The whole journal but for its header, for which there is room in front. Otherwise all
   * of that is in the journal already.
   */
  readonly whole?: Uint8Array;
}

/**
 * Gathers in `memory` what `parts` have and the file has not, block by block, and the
 * table. Writes it into a journal, unless `memory` has room for all of `parts` and
 * `isKept`. Gives `undefined` where nothing differs. What is behind the file's end comes
 * first.
 */
export function* gatherRedo(
  journal: OpenFile,
  file: OpenFile,
  parts: readonly RedoPart[],
  memory: RedoMemory,
  isKept: boolean,
): Steps<Gathered | undefined> {
  const table = new RedoTable();
  const { blocks: meant, there, size } = memory;
  let filled = 0;
  let scanned = 0;
  const write = () => ({
    run() {
      const end = HEADER_SIZE + table.count * REDO_BLOCK;
      journal.write(meant.bytes.subarray(0, filled), end - filled);
      const moved = scanned;
      [filled, scanned] = [0, 0];
      return moved;
    },
  });
  for (const { mapping, from: begin, offset, length: whole } of parts) {
    const isAppended = offset >= file.size;
    for (let done = 0; done < whole;) {
      const at = offset + done;
      const isEven = at % REDO_BLOCK === 0;
      const room = isEven ? size - filled : REDO_BLOCK - at % REDO_BLOCK;
      const length = Math.min(room, whole - done);
      memory.copyFrom(mapping, begin + done, filled, length);
      if (!isAppended) file.read(there.bytes.subarray(0, length), at);
      let kept = filled;
      for (let from = 0; from < length; from += REDO_BLOCK) {
        const count = Math.min(REDO_BLOCK, length - from);
        const block = meant.bytes.subarray(
          filled + from,
          filled + from + count,
        );
        const old = there.bytes.subarray(from, from + count);
        if (!isAppended && Buffer.compare(block, old) === 0) continue;
        if (kept !== filled + from) meant.bytes.set(block, kept);
        there.bytes.copyWithin(0, from, from + count);
        table.add(at + from, count, meant, kept, there);
        kept += REDO_BLOCK;
      }
      filled = kept;
      scanned += length;
      done += length;
      if (isKept) continue;
      if (filled === size || scanned >= MOST_SCANNED) yield write();
    }
  }
  const { bytes, count } = table;
  const at = HEADER_SIZE + count * REDO_BLOCK;
  if (isKept && count > 0) {
    memory.bytes.set(bytes, at);
    yield skipStep(scanned);
    return { table, whole: memory.bytes.subarray(0, at + bytes.length) };
  }
  yield write();
  if (count === 0) return undefined;
  for (let done = 0; done < bytes.length; done += REDO_BUFFER) {
    yield {
      run() {
        journal.write(bytes.subarray(done, done + REDO_BUFFER), at + done);
        return 0;
      },
    };
  }
  return { table };
}
