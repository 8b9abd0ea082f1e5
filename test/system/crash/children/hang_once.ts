/**
 * A server of forks, each of which hangs before it begins while there is a file of the
 * given name in its folder.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { serveForks, waitForGo } from "../../../support/fork.ts";
import { mark } from "../../../support/mark.ts";
import { givenArguments } from "../../../support/support.ts";

const [name] = givenArguments("name");
await serveForks(({ folder }: { folder: string }) => {
  if (existsSync(join(folder, name))) { for (;;); }
  waitForGo();
  mark("begins");
  mark("ends");
  return "has begun";
});
