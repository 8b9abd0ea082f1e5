/**
 * Flushes that empty a file or move its bytes in place, while others append to it. Goes
 * on for as long as there is a file beside it. Prints how many bytes it cut off.
 *
 * Run by sharing_test.ts with the file's path and the only byte that may be in it.
 *
 * @module
 */

import * as fs from "node:fs";
import process from "node:process";
import { type Memmap, open } from "../../../../mod.ts";

const [, , path, byte] = process.argv;
let cut = 0;
const problems = new Set<string>();
for (let turn = 0; fs.existsSync(`${path}.busy`); turn++) {
  let map: Memmap | undefined;
  try {
    map = open(path!);
    const { mappedLength } = map;
    const isCut = turn % 2 === 0;
    const length = isCut ? mappedLength : Math.min(mappedLength, 1000);
    if (map.slice().bytes.some((found) => found !== Number(byte))) {
      problems.add("the file has bytes that nobody wrote");
    }
    map.slices[0]!.delete();
    // Cut the whole file, or some bytes at its beginning, which moves all the rest.
    map.slice(0, length).resize(0);
    map.flush({ durable: false, strategy: isCut ? "auto" : "in-place" });
    cut += length;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code !== "EBUSY" && code !== "ERR_MEMMAP_CONFLICT") {
      problems.add(message);
    }
  } finally {
    map?.close({ discard: true });
  }
}
console.log(JSON.stringify({ cut, problems: [...problems] }));
