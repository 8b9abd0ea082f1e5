/**
 * Commits one number after the other to a file, by an atomic map, and says which it has
 * committed.
 *
 * Run by commits_test.ts with the file's path, the last number, and how to flush.
 *
 * @module
 */

import * as fs from "node:fs";
import { setTimeout } from "node:timers/promises";
import { isMemmapError, open, type Strategy } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";
import { numberIn, putNumber } from "../numbers.ts";

const [path, last, strategy] = givenArguments("path", "last", "strategy");
const map = open(path, "r+", { atomic: true });
const options = { strategy: strategy as Strategy, durable: false };
for (let number = numberIn(map.read()) + 1; number <= Number(last); number++) {
  putNumber(map, number);
  // In either way: flush() gives up where readers hold the lock for long.
  try {
    if (number % 2 === 0) await map.flushAsync(options);
    else map.flush(options);
  } catch (error) {
    const isBusy = isMemmapError(error) && error.code === "EBUSY";
    if (!isBusy) throw error;
    await map.flushAsync(options);
  }
  fs.writeSync(1, `${number}\n`);
  if (number % 4 === 0) await setTimeout(1);
}
map.close();
