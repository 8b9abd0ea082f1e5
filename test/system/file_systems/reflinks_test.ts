/**
 * Where files can share blocks, a flush shares what it can, and keeps every promise.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { image, mounting } from "../../support/mounting.ts";
import {
  ourShare,
  proof,
  runChild,
  temporaryFolder,
  unproved,
} from "../../support/support.ts";
import type { ReflinksReport } from "./children/reflinks.ts";

const TIMEOUT = 600_000;

const DISKS = [
  ["XFS", image("mkfs.xfs -q -f", "320M"), true],
  ["btrfs", image("mkfs.btrfs -q -f", "160M"), true],
  ["XFS without reflinks", image("mkfs.xfs -q -f -m reflink=0", "320M"), false],
] as const;

for (const [kind, mount, shares] of ourShare(DISKS)) {
  using probe = temporaryFolder();
  const { skip } = mounting(mount, probe.path);
  test(
    shares
      ? `a flush shares the blocks that stay whole, and takes no room for them (${kind})`
      : `a flush copies where no blocks can be shared (${kind})`,
    { timeout: TIMEOUT, skip: unproved(`sharing blocks (${kind})`, skip) },
    () => {
      using folder = temporaryFolder();
      const mounted = mounting(mount, folder.path);
      assert.ok(mounted.skip === false);
      const child = runChild(
        new URL("./children/reflinks.ts", import.meta.url),
        {
          args: [folder.path, shares ? "shares" : "copies"],
          under: mounted.under,
          timeout: TIMEOUT,
        },
      );
      assert.equal(child.status, 0, child.stderr);
      const report: ReflinksReport = JSON.parse(child.stdout);
      assert.deepEqual(report.problems, []);
      proof(
        `${report.flushes} flushes on ${kind}: ` +
          (shares ? "whole blocks were shared" : "nothing was shared") +
          `; ${report.refused} were refused by a full disk at first, and made when ` +
          "there was room",
      );
    },
  );
}
