/**
 * Which pages of private memory were written: what the kernel says of them.
 *
 * Linux has a word for each page of a process in `/proc/self/pagemap`. A page that is in
 * memory or in swap, and that no file has, is this process's own: a private mapping of a
 * file has one where it was written to. Other systems tell nothing of the kind, nor
 * does Linux where `/proc` may not be read.
 *
 * @module
 */

import * as fs from "node:fs";
import { runtime } from "../../ffi/mod.ts";
import { Mapping } from "../memory/mod.ts";
import { closeEntry } from "./entries.ts";

const PAGEMAP = "/proc/self/pagemap";
/** Bytes of a word. */
const WORD = 8;
/** Words that are read at a time: few enough to stay in the processor's cache. */
const MOST = 2 ** 13;

// The upper half of a word, as Documentation/admin-guide/mm/pagemap.rst has it.
const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const OF_FILE = 0x2000_0000;

/** Where they are read to. New memory for each look would have to be cleared. */
let buffer: Uint32Array<ArrayBuffer> | undefined;

let isTrue: boolean | undefined;

/** Does the kernel tell, and the truth? Sandboxes have files there that say nothing. */
function tellsTruth(): boolean {
  if (isTrue !== undefined) return isTrue;
  const page = Mapping.anonymous(1, PAGEMAP);
  try {
    page.fill(1, 0, 1);
    return isTrue = scan(page.address, 1, page.pageSize, true).length === 1;
  } catch {
    return isTrue = false;
  } finally {
    page.release();
  }
}

/** Half-open; counted from the first page that was asked about. */
type Pages = readonly [begin: number, end: number];

/**
 * The rows of written pages among the `count` at `address`, which is a page's, in order;
 * `undefined` where the kernel does not tell. `isOneEnough`: or just the first few.
 */
export function findWrittenPages(
  address: number,
  count: number,
  pageSize: number,
  isOneEnough: boolean,
): readonly Pages[] | undefined {
  if (!runtime().mayUse(PAGEMAP, "read") || !tellsTruth()) return undefined;
  try {
    return scan(address, count, pageSize, isOneEnough);
  } catch {
    return undefined; // there is another way to find out
  }
}

function scan(
  address: number,
  count: number,
  pageSize: number,
  isOneEnough: boolean,
): Pages[] {
  const rows: Pages[] = [];
  const fd = fs.openSync(PAGEMAP, "r");
  try {
    const words = buffer ??= new Uint32Array(2 * MOST);
    const bytes = new Uint8Array(words.buffer);
    const first = address / pageSize;
    let begin = -1; // of the row that the last page belongs to
    for (let at = 0; at < count; at += MOST) {
      const length = Math.min(MOST, count - at) * WORD;
      for (let done = 0; done < length;) {
        const position = (first + at) * WORD + done;
        const read = fs.readSync(fd, bytes, done, length - done, position);
        if (read === 0) throw new Error(`${PAGEMAP} ended`);
        done += read;
      }
      begin = look(words, length / WORD, at, begin, rows);
      if (isOneEnough && (rows.length > 0 || begin >= 0)) break;
    }
    if (begin >= 0) rows.push([begin, count]);
    return rows;
  } finally {
    closeEntry(fd);
  }
}

/**
 * Looks at the words of `count` pages from page `at` on. `begin` is where the row of
 * written ones begins that the page before belongs to, or -1; returns the same of the
 * last. A function of its own, so that it is compiled soon.
 */
function look(
  words: Uint32Array,
  count: number,
  at: number,
  begin: number,
  rows: Pages[],
): number {
  for (let i = 0; i < count; i++) {
    const word = words[2 * i + 1]!; // the upper half, on x64 and arm64
    const isWritten = (word & (PRESENT | SWAPPED)) !== 0 &&
      (word & OF_FILE) === 0;
    if (isWritten === (begin >= 0)) continue;
    if (!isWritten) rows.push([begin, at + i]);
    begin = isWritten ? at + i : -1;
  }
  return begin;
}
