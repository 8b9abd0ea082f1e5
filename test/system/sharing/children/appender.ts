/**
 * Appends records to a file, each by a flush of a new map, and prints how many were
 * acknowledged. All bytes of a record are the same.
 *
 * Run by sharing_test.ts with the file's path, the byte, the length of a record, and
 * how many records to append. If one is refused because of what others do meanwhile,
 * it is tried again.
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
