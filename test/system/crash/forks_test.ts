/** How the crash tests do with a fork that hangs before it is under strace. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Forks, skipWithoutStrace } from "../../support/strace.ts";
import { temporaryFolder } from "../../support/support.ts";

const CHILD = new URL("./children/hang_once.ts", import.meta.url);
/** Milliseconds until a fork counts as hanging. */
const timeout = 5000;

test(
  "another fork takes the place of one that hung before it began, once",
  { skip: skipWithoutStrace, timeout: 120_000 },
  async () => {
    using folder = temporaryFolder();
    using forks = new Forks(CHILD, "hang");
    const request = { folder: folder.path };
    const hang = () => writeFileSync(join(folder.path, "hang"), "");

    let provided = 0;
    const provide = () => {
      provided++;
      if (provided === 1) hang();
    };
    const trace = await forks.runTraced(request, { provide, timeout });
    assert.equal(trace.report, "has begun");
    assert.equal(provided, 2);
    assert.match(forks.hung!, /never ready.*\nfork:\n.*\nserver:\n/s);

    await assert.rejects(
      forks.runTraced(request, { provide: hang, timeout }),
      /never ready/,
    );
  },
);
