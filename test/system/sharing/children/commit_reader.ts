/**
 * Reads the numbers of a file to which another process commits, for as long as there is a
 * file beside it, and prints how often, and how many different ones there were.
 *
 * Run by commits_test.ts with the file's path, and how to read: by an "afresh" opened map
 * or a "kept" one under the lock, or by one that is opened afresh "without" it.
 *
 * @module
 */

import * as fs from "node:fs";
import { setTimeout } from "node:timers/promises";
import { isMemmapError, type Memmap, open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";
import { numberIn } from "../numbers.ts";

const [path, how] = givenArguments("path", "how");
const numbers = new Set<number>();
let [reads, busy] = [0, 0];
let before = 0;

async function look(map: Memmap, isLocked: boolean): Promise<void> {
  using _ = isLocked ? await map.lock({ shared: true }) : undefined;
  const number = numberIn(map.read());
  if (number < before) throw new Error(`${number} after ${before}`);
  before = number;
  numbers.add(number);
  reads++;
}

const kept = how === "kept" ? open(path, "r") : undefined;
while (fs.existsSync(`${path}.busy`)) {
  try {
    if (kept !== undefined) await look(kept, true);
    else {
      using map = open(path, "r");
      await look(map, how === "afresh");
    }
  } catch (error) {
    // Where others commit all the time, it may be refused to open the file.
    if (!isMemmapError(error) || error.code !== "EBUSY") throw error;
    busy++;
  }
  await setTimeout(1);
}
kept?.close();
console.log(JSON.stringify({ reads, numbers: numbers.size, busy }));
