/**
 * Appends records to a file by flushes, one after another, each in a map of its own,
 * and prints how many were acknowledged. A record is its bytes, all the same.
 *
 * Run by sharing_test.ts with the file's path, the byte, the length of a record, and
 * how many records to append. What others do meanwhile may refuse one: then it is
 * tried again.
 *
 * @module
 */

import process from "node:process";
import { isMemmapError, type Memmap, open } from "../../../../mod.ts";

const [, , path, byte, length, count] = process.argv;
const record = new Uint8Array(Number(length)).fill(Number(byte));
let acknowledged = 0;
while (acknowledged < Number(count)) {
  let map: Memmap | undefined;
  try {
    map = open(path!);
    map.insert(map.mappedLength, record);
    map.flush({ durable: false });
    acknowledged++;
  } catch (error) {
    if (!isMemmapError(error)) throw error;
    const { code } = error as { code: string };
    if (code !== "EBUSY" && code !== "ERR_MEMMAP_CONFLICT") throw error;
  } finally {
    map?.close({ discard: true });
  }
}
console.log(acknowledged);
