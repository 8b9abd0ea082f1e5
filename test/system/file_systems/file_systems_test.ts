/**
 * What file systems do: each has its own idea of holes, of room, and of what it refuses.
 *
 * Each is made in an image of its own, or by a FUSE file system of the test's own,
 * and mounted where only one child process sees it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { image, mounting, passthrough } from "../../support/mounting.ts";
import {
  proof,
  runChild,
  temporaryFolder,
  unproved,
} from "../../support/support.ts";
import type { HolesReport } from "./children/holes.ts";

const TIMEOUT = 300_000;

/** Where a child finds the file system, and what it runs under; or why there is none. */
type Mounted =
  | { folder: string; under: readonly string[]; skip: false }
  | { skip: string };

/** Mounts a file system for a child, in a folder that is there already. */
type Mount = (folder: string) => Mounted;

function mountingOf(commands: string): Mount {
  return (folder) => {
    const mounted = mounting(commands, folder);
    return mounted.skip === false ? { ...mounted, folder } : mounted;
  };
}

function fuse(refuse = ""): Mount {
  return (folder) => {
    const built = passthrough(folder, refuse);
    if (built.skip !== false) return built;
    const mounted = mounting(built.mount, folder, true);
    if (mounted.skip !== false) return mounted;
    return { ...mounted, folder: join(folder, "mounted") };
  };
}

const MOUNTS: Readonly<Record<string, Mount>> = {
  tmpfs: mountingOf('mount -t tmpfs -o size=128m memmap-test "$0"'),
  ext4: mountingOf(image("mkfs.ext4 -q -F", "256M")),
  ext2: mountingOf(image("mkfs.ext2 -q -F", "256M")),
  xfs: mountingOf(image("mkfs.xfs -q -f", "400M")),
  btrfs: mountingOf(image("mkfs.btrfs -q -f", "400M")),
  FUSE: fuse(),
  "FUSE without fallocate": fuse("reserve"),
};

/** Why a file system cannot be had here; `false` if it can. */
function skipUnlessMounted(name: string, what: string): string | false {
  using folder = temporaryFolder();
  return unproved(`${what} (${name})`, MOUNTS[name]!(folder.path).skip);
}

for (const name of Object.keys(MOUNTS)) {
  test(
    `what maps wrote into holes is flushed, and the other holes stay (${name})`,
    {
      timeout: TIMEOUT,
      skip: skipUnlessMounted(name, "holes"),
    },
    () => {
      using folder = temporaryFolder();
      const mounted = MOUNTS[name]!(folder.path);
      assert.ok(mounted.skip === false);
      const child = runChild(new URL("./children/holes.ts", import.meta.url), {
        args: [mounted.folder],
        under: mounted.under,
      });
      assert.equal(child.status, 0, child.stderr);
      const report: HolesReport = JSON.parse(child.stdout);
      assert.deepEqual(report.problems, []);
      proof(
        `${report.flushes} flushes of files with holes on ${name}` +
          (report.hasHoles ? "" : ", which has none"),
      );
    },
  );
}
