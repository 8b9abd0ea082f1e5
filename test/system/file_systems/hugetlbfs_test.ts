/**
 * hugetlbfs, where mapping a file also sets its length, in pages of megabytes.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { mounting } from "../../support/mounting.ts";
import { runChild, temporaryFolder, unproved } from "../../support/support.ts";

const MOUNT = 'mount -t hugetlbfs memmap-test "$0"';
/** How many huge pages the system may create on demand; they cost nothing before. */
const SURPLUS = "/proc/sys/vm/nr_overcommit_hugepages";
/** More than the child has at once. */
const NEEDED = 16;

function addSurplus(change: number): void {
  const now = Number(readFileSync(SURPLUS, "latin1"));
  writeFileSync(SURPLUS, String(now + change));
}

/** Lets the system create the pages until the end of the block, or says why it cannot. */
function hugePages(): Disposable | string {
  try {
    const about = readFileSync("/proc/meminfo", "latin1");
    const of = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(about)![1]);
    const kibibytes = of("Hugepagesize") * NEEDED;
    if (kibibytes * 4 > of("MemAvailable")) return "huge pages are too large";
    addSurplus(NEEDED);
  } catch (error) {
    return `huge pages are not available: ${(error as Error).message}`;
  }
  return { [Symbol.dispose]: () => addSurplus(-NEEDED) };
}

function skip(): string | false {
  const pages = hugePages();
  if (typeof pages === "string") return pages;
  using _ = pages;
  using folder = temporaryFolder();
  return mounting(MOUNT, folder.path).skip;
}

test("a file on hugetlbfs keeps its length, and reports that it is unguarded", {
  timeout: 300_000,
  skip: unproved("files of huge pages", skip()),
}, () => {
  const pages = hugePages();
  assert.ok(typeof pages !== "string");
  using _ = pages;
  using folder = temporaryFolder();
  const mounted = mounting(MOUNT, folder.path);
  assert.ok(mounted.skip === false);
  const child = runChild(new URL("./children/hugetlbfs.ts", import.meta.url), {
    args: [folder.path],
    under: mounted.under,
  });
  if (/ENOMEM/.test(child.stderr)) {
    unproved(
      "files of huge pages",
      "the system has no huge pages at the moment",
    );
    return;
  }
  assert.equal(child.status, 0, child.stderr);
  assert.equal(child.stdout.trimEnd().split("\n").length, 7);
});
