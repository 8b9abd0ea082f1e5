/**
 * Adds 1 to a number in a file, again and again, each time under the file's lock, and
 * prints how often. With the word "hold", takes the lock, says so, and keeps it.
 *
 * Run by sharing_test.ts with the file's path, and how often, or "hold".
 *
 * @module
 */

import process from "node:process";
import { isMemmapError, open } from "../../../../mod.ts";

const [, , path, count] = process.argv;
using map = open(path!);

/** The lock of the file that has the path now. */
async function lock(): Promise<Disposable> {
  for (;;) {
    try {
      return await map.lock();
    } catch (error) {
      // Others have replaced it while this process waited.
      const { code } = error as { code: string };
      if (!isMemmapError(error) || code !== "ERR_MEMMAP_CONFLICT") throw error;
      map.refresh();
    }
  }
}

if (count === "hold") {
  using _ = await map.lock();
  console.log("locked");
  await new Promise((end) => setTimeout(end, 600_000));
}
for (let i = 0; i < Number(count); i++) {
  using _ = await lock();
  map.refresh();
  const at = map.mappedLength - 4;
  const number = new DataView(map.read(at).buffer).getUint32(0) + 1;
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number);
  if (number % 8 !== 0) map.write(bytes, at);
  else {
    // Now and then by a flush: what is in front of the number becomes longer.
    map.insert(0, 1);
    map.write(bytes, at);
    map.flush({ durable: false });
    for (const slice of map.slices) slice.delete();
  }
}
console.log(count);
