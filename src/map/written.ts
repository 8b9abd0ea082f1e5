/**
 * What was written to an atomic map since its last flush, page by page.
 *
 * The kernel tells, where it does; elsewhere each page is compared with the file, and
 * counts as written if it differs. Knows the books of a map, and no slice.
 *
 * @module
 */

import type { Mapping } from "../memory/mod.ts";
import { findWrittenPages, type MappedFile } from "../storage/mod.ts";
import { mapFile } from "./map_file.ts";

/** Bytes of a map's file, half-open. */
export interface WrittenRange {
  /** The first byte that may have been written. */
  readonly begin: number;
  /** Where they end. */
  readonly end: number;
}

/** What is asked about. */
interface Written {
  readonly file: MappedFile;
  readonly mapping: Mapping;
  readonly mappedLength: number;
  readonly isGuarded: boolean;
}

/** Bytes that are compared before it is asked which page differs. */
const COMPARED = 2 ** 20;

/** The pages that were written among those of bytes `begin` to `end`, as far as these go. */
export function writtenRanges(
  map: Written,
  begin: number,
  end: number,
): WrittenRange[] {
  return find(map, begin, end, false);
}

/** Was any of those pages written? */
export function hasWrittenPages(
  map: Written,
  begin: number,
  end: number,
): boolean {
  return firstWrittenPage(map, begin, end) !== undefined;
}

/** Where the first of those pages begins that were written. */
export function firstWrittenPage(
  map: Written,
  begin: number,
  end: number,
): number | undefined {
  return find(map, begin, end, true)[0]?.begin;
}

function find(
  map: Written,
  begin: number,
  end: number,
  isOneEnough: boolean,
): WrittenRange[] {
  const { mapping, mappedLength } = map;
  const { maybeWritten, pageSize } = mapping;
  if (maybeWritten === null) return []; // nobody could write
  const pageOf = (offset: number) => Math.floor(offset / pageSize) * pageSize;
  begin = Math.max(begin, pageOf(maybeWritten.begin));
  end = Math.min(end, pageOf(maybeWritten.end - 1) + pageSize);
  if (begin >= end) return [];
  const first = Math.floor(begin / pageSize);
  const count = Math.ceil(end / pageSize) - first;
  const address = mapping.address + first * pageSize;
  const rows = findWrittenPages(address, count, pageSize, isOneEnough)
    ?.map(([from, to]) => ({
      begin: (first + from) * pageSize,
      end: (first + to) * pageSize,
    })) ?? compare(
      map,
      first * pageSize,
      Math.min((first + count) * pageSize, mappedLength),
      isOneEnough,
    );
  return rows.map((row) => ({
    begin: Math.max(row.begin, begin),
    end: Math.min(row.end, end),
  }));
}

/** Has bytes `begin` to `end` show the file again. */
export function revertWritten(map: Written, begin: number, end: number): void {
  const { file, mapping, mappedLength } = map;
  const { pageSize } = mapping;
  const first = Math.ceil(begin / pageSize) * pageSize;
  const last = end === mappedLength
    ? end
    : Math.floor(end / pageSize) * pageSize;
  // Of the pages in which the range begins and ends, the rest stays.
  const parts = first < last
    ? [[begin, first], [last, end]] as const
    : [[begin, end]] as const;
  const before: (readonly [at: number, bytes: Uint8Array])[] = [];
  for (const [from, to] of parts) {
    if (from >= to || !hasWrittenPages(map, from, to)) continue;
    const bytes = new Uint8Array(to - from);
    file.read(bytes, from); // throws where the file was cut: nothing is reverted then
    before.push([from, bytes]);
  }
  if (first < last) mapping.dropWritten(first, last);
  for (const [at, bytes] of before) mapping.write(at, bytes);
}

/**
 * Has the pages of `ranges` show the file again, as far as they do not differ from it.
 * Returns whether none does.
 */
export function dropSame(
  map: Written,
  ranges: readonly WrittenRange[],
): boolean {
  if (ranges.length === 0) return true;
  let isAll = true;
  const { mapping } = map;
  const plain = mapPlainly(map);
  try {
    for (const { begin, end } of ranges) {
      let from = begin;
      for (const [at, differs] of pages(mapping, plain, begin, end)) {
        if (!differs) continue;
        isAll = false;
        mapping.dropWritten(from, at);
        from = Math.min(
          (Math.floor(at / mapping.pageSize) + 1) * mapping.pageSize,
          end,
        );
      }
      mapping.dropWritten(from, end);
    }
    return isAll;
  } finally {
    plain.release();
  }
}

function mapPlainly({ file, mappedLength, isGuarded }: Written): Mapping {
  const kind = { mode: "r", isGuarded, isAtomic: false } as const;
  return mapFile(file, kind, mappedLength);
}

/** The same where nobody knows: what differs from the file. */
function compare(
  map: Written,
  begin: number,
  end: number,
  isOneEnough: boolean,
): WrittenRange[] {
  const { mapping } = map;
  const plain = mapPlainly(map);
  const ranges: WrittenRange[] = [];
  try {
    let from = -1; // where the row of pages begins that the last one belongs to
    for (const [at, differs] of pages(mapping, plain, begin, end)) {
      if (differs === (from >= 0)) continue;
      if (!differs) ranges.push({ begin: from, end: at });
      from = differs ? at : -1;
      if (isOneEnough) break;
    }
    if (from >= 0) ranges.push({ begin: from, end });
    return ranges;
  } finally {
    plain.release();
  }
}

/** Rows of pages, or single ones where some differ. */
function* pages(
  mapping: Mapping,
  plain: Mapping,
  begin: number,
  end: number,
): Generator<readonly [at: number, differs: boolean]> {
  const { pageSize } = mapping;
  for (let at = begin; at < end;) {
    const to = Math.min((Math.floor(at / COMPARED) + 1) * COMPARED, end);
    if (mapping.equals(plain, at, at, to - at)) {
      yield [at, false];
      at = to;
    }
    while (at < to) {
      const next = Math.min((Math.floor(at / pageSize) + 1) * pageSize, to);
      yield [at, !mapping.equals(plain, at, at, next - at)];
      at = next;
    }
  }
}
