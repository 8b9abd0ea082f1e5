/**
 * Rows: the bytes of records on their way from memory of our own into a slice.
 *
 * Padding between fields is never written.
 *
 * @module
 */

import type { Range, RecordCodec } from "./record_type.ts";
import { checkRoom, movedBy } from "./views.ts";
import { Window } from "./window.ts";

/** Writes the bytes of a row that were given to byte `at` of the records' bytes. */
export function writeRow(
  window: Window<RecordCodec>,
  at: number,
  row: DataView,
  written: readonly Range[],
): void {
  const values = window.edit();
  const record = new Uint8Array(
    values.buffer,
    values.byteOffset + at,
    window.codec.size,
  );
  for (const { begin, end } of written) {
    for (let byte = begin; byte < end; byte++) {
      record[byte] = row.getUint8(byte);
    }
  }
  if (window.faults[0] !== 0) window.memory.checkFaults();
}

/** Stores whole records from flat index `at` on, but for their padding. */
export function storeRows(
  window: Window<RecordCodec>,
  bytes: Uint8Array,
  at: number,
): void {
  const { codec, view } = window;
  const count = bytes.length / codec.size;
  checkRoom(count, at, window.size);
  const [first] = codec.ranges;
  if (codec.ranges.length === 1 && first!.end - first!.begin === codec.size) {
    window.store(bytes, at);
    return;
  }
  for (const { begin, end } of codec.ranges) {
    const size = end - begin;
    const part = { ...codec, size, alignment: 1 };
    const column = new Window({
      ...view,
      place: { ...movedBy(view.place, begin), codec: part },
    });
    column.lookAgain();
    const packed = new Uint8Array(count * size);
    for (let i = 0; i < count; i++) {
      const from = i * codec.size + begin;
      packed.set(bytes.subarray(from, from + size), i * size);
    }
    column.store(packed, at);
  }
}
