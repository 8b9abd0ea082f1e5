/**
 * Opens one file after another that is not there, each at the moment at which another
 * process opens it, and prints how many it has opened.
 *
 * Run by sharing_test.ts with the folder, how many files, and the time of the first.
 *
 * @module
 */

import { join } from "node:path";
import process from "node:process";
import { open } from "../../../../mod.ts";

const [, , folder, count, begin] = process.argv;
let opened = 0;
while (opened < Number(count)) {
  const time = Number(begin) + 4 * opened;
  while (Date.now() < time);
  open(join(folder!, `${opened}`), "r+", { create: true }).close();
  opened++;
}
console.log(opened);
