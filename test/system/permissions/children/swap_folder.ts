/**
 * Exchanges a folder for a link, and back, for ever. Run by `permissions_test.ts`.
 *
 * @module
 */

import { renameSync } from "node:fs";
import process from "node:process";

const [folder, link] = process.argv.slice(2) as [string, string];
const aside = `${folder}.aside`;
for (;;) {
  renameSync(folder, aside);
  renameSync(link, folder);
  renameSync(folder, link);
  renameSync(aside, folder);
}
