/**
 * Flushes on different file systems. Each treats holes, room and refused calls in its own
 * way.
 *
 * Each is made in an image, or by the test's own FUSE file system, and mounted where only
 * one child process sees it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { open } from "../../../mod.ts";
import {
  image,
  mounting,
  passthrough,
  removePrograms,
  skipUnlessMounting,
  TMPFS,
} from "../../support/mounting.ts";
import {
  atEnd,
  ourShare,
  proof,
  runChild,
  temporaryFolder,
  unproved,
} from "../../support/support.ts";
import type { CommitsReport } from "./children/commits.ts";
import type { HolesReport } from "./children/holes.ts";

const TIMEOUT = 300_000;

atEnd(removePrograms);

/** Where a child finds the file system, and the command to run it under, or why not. */
type Mounted =
  | { folder: string; under: readonly string[]; skip: false }
  | { skip: string };

/** Mounts a file system for a child, in an existing folder. */
type Mount = (folder: string) => Mounted;

function mountingOf(commands: string): Mount {
  return (folder) => {
    const mounted = mounting(commands, folder);
    return mounted.skip === false ? { ...mounted, folder } : mounted;
  };
}

function fuse(refuse = ""): Mount {
  return (folder) => {
    const built = passthrough(refuse);
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

/** The same, and some more that refuse something. */
const MOUNTED: Readonly<Record<string, Mount>> = {
  ...MOUNTS,
  "FUSE that refuses permissions": fuse("chmod"),
  "FUSE that refuses waiting for a folder": fuse("syncfolder"),
};

/** What was found when a file system was to be mounted, by its name. */
const TRIED = new Map<string, string | false>();

/** Why a file system cannot be mounted here; `false` if it can. */
function skipUnlessMounted(name: string, what: string): string | false {
  let skip = TRIED.get(name);
  if (skip === undefined) {
    using folder = temporaryFolder();
    TRIED.set(name, skip = MOUNTED[name]!(folder.path).skip);
  }
  return unproved(`${what} (${name})`, skip);
}

for (const name of ourShare(Object.keys(MOUNTS))) {
  test(
    `writes into holes are flushed, and other holes stay holes (${name})`,
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
          (report.hasHoles ? "" : ", which keeps none"),
      );
    },
  );
}

for (const name of ourShare(Object.keys(MOUNTED))) {
  const skip = skipUnlessMounted(name, "commits");
  test(`atomic maps are committed, and their holes stay holes (${name})`, {
    timeout: TIMEOUT,
    skip,
  }, () => {
    using folder = temporaryFolder();
    const mounted = MOUNTED[name]!(folder.path);
    assert.ok(mounted.skip === false);
    const child = runChild(
      new URL("./children/commits.ts", import.meta.url),
      { args: [mounted.folder], under: mounted.under },
    );
    assert.equal(child.status, 0, child.stderr);
    const report: CommitsReport = JSON.parse(child.stdout);
    assert.deepEqual(report.problems, []);
    // Without a folder that can be synced, a journal protects from nothing.
    const isSynced = !name.endsWith("a folder");
    const share = isSynced ? 2 / 3 : 1 / 3;
    assert.equal(report.inPlace, report.flushes * share);
    proof(
      `${report.flushes} flushes of atomic maps on ${name}, ` +
        `${report.inPlace} of them in place`,
    );
  });
}

const REFUSALS: readonly (readonly [name: string, refuse: string])[] = [
  ["permissions", "chmod"],
  ["waiting for a folder", "syncfolder"],
];

for (const [name, refuse] of REFUSALS) {
  test(`every flush works on a file system that refuses ${name}`, {
    timeout: TIMEOUT,
    skip: skipUnlessMounted("FUSE", name),
  }, () => {
    using folder = temporaryFolder();
    const mounted = fuse(refuse)(folder.path);
    assert.ok(mounted.skip === false);
    flushInside(mounted.folder, mounted.under);
  });
}

/** Root may read every folder, unless it gives up that right. */
const WITHOUT_RIGHTS = process.geteuid?.() === 0
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
  : [];

test("every flush works in a folder that can be written but not read", {
  skip: unproved(
    "folders that may not be read",
    spawnSync(WITHOUT_RIGHTS[0] ?? "true", ["--version"]).status === 0
      ? false
      : "there is no setpriv",
  ),
}, () => {
  using folder = temporaryFolder();
  const inside = join(folder.path, "inside");
  fs.mkdirSync(inside);
  flushInside(inside, WITHOUT_RIGHTS, "unreadable");
});

/** Has a child flush in every way, in a folder where something is refused. */
function flushInside(
  folder: string,
  under: readonly string[],
  access: "readable" | "unreadable" = "readable",
): void {
  const child = runChild(
    `
    import assert from "node:assert/strict";
    import * as fs from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const folder = process.argv[2];
    const path = folder + "/file";
    const saved = folder + "/saved";
    fs.writeFileSync(path, "0123456789");
    fs.writeFileSync(saved, "old");
    const back = folder + "/../back/file";
    try {
      fs.chownSync(back, 12345, 12345); // the owner cannot be preserved either
    } catch {
      // There is no such file, or this process may not change its owner.
    }
    if (process.argv[3] === "unreadable") fs.chmodSync(folder, 0o300);
    const text = () => fs.readFileSync(path, "latin1");
    const bytes = new TextEncoder().encode("abc");
    const map = open(path);
    for (const strategy of ["auto", "replace", "in-place"]) {
      for (const durable of [true, false]) {
        map.insert(0, bytes);
        map.flush({ strategy, durable });
        map.flush();
        map.sync();
        map.insert(map.mappedLength, bytes);
        map.flush({ strategy, durable });
        map.sync();
      }
    }
    map.close();
    {
      using map = open(path);
      map.slice(map.mappedLength - 15).resize(0);
    }
    assert.equal(text(), "abc".repeat(6) + "0123456789" + "abc");
    {
      using map = open(path);
      map.insert(0, bytes);
      map.flush({ path: saved });
      map.flush();
      map.flush({ path: folder + "/new" });
    }
    const all = "abc".repeat(7) + "0123456789" + "abc";
    assert.equal(fs.readFileSync(saved, "latin1"), all);
    assert.equal(fs.readFileSync(folder + "/new", "latin1"), all);
    if (process.argv[3] === "unreadable") fs.chmodSync(folder, 0o700);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["file", "new", "saved"]);
  `,
    { args: [folder, access], under },
  );
  assert.equal(child.status, 0, child.stderr);
}

test(
  "a file with content but no size is ENODEV in every mode, with advice",
  {
    skip: skipUnlessMounted("FUSE", "files without a size"),
  },
  () => {
    using folder = temporaryFolder();
    const mounted = fuse("sizes")(folder.path);
    assert.ok(mounted.skip === false);
    const child = runChild(
      `
    import assert from "node:assert/strict";
    import * as fs from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const back = process.argv[2] + "/../back/";
    fs.writeFileSync(back + "file", "content");
    fs.writeFileSync(back + "empty", "");
    for (const mode of ["r", "c", "r+", "w+"]) {
      assert.throws(
        () => open(process.argv[2] + "/file", mode, { length: 0 }),
        { name: "SystemError", code: "ENODEV", message: /readFileSync/ },
      );
      open(process.argv[2] + "/empty", mode, { length: 0 }).close();
    }
    assert.equal(fs.readFileSync(back + "file", "latin1"), "content");
  `,
      { args: [mounted.folder], under: mounted.under },
    );
    assert.equal(child.status, 0, child.stderr);
  },
);

const onFullBtrfs = () => {
  using folder = temporaryFolder();
  const mounted = MOUNTS["btrfs"]!(folder.path);
  assert.ok(mounted.skip === false);
  const child = runChild(
    `
    import assert from "node:assert/strict";
    import * as fs from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const path = process.argv[2] + "/file";
    const before = new Uint8Array(40 * 2 ** 20).map((_, i) => i * 7919 >> 8);
    fs.writeFileSync(path, before);
    using map = open(path);
    const filler = fs.openSync(process.argv[2] + "/filler", "w");
    const chunk = new Uint8Array(2 ** 20).fill(1);
    let length = 0;
    try {
      for (;;) length += fs.writeSync(filler, chunk);
    } catch (error) {
      assert.equal(error.code, "ENOSPC");
    }
    fs.ftruncateSync(filler, length - 8 * 2 ** 20);
    fs.fsyncSync(filler);
    map.insert(0, new Uint8Array(4096));
    const flush = () => map.flush({ strategy: "in-place" });
    assert.throws(flush, { code: "ENOSPC", message: /nothing was written/ });
    assert.ok(fs.readFileSync(path).equals(before));
    assert.ok(map.dirty);
    assert.ok(fs.statSync(path).blocks * 512 <= before.length);
    fs.closeSync(filler);
    fs.unlinkSync(process.argv[2] + "/filler");
    flush();
    assert.equal(fs.statSync(path).size, before.length + 4096);
  `,
    { args: [mounted.folder], under: mounted.under },
  );
  assert.equal(child.status, 0, child.stderr);
};

for (const name of ourShare(["btrfs"])) {
  test(`in-place asks for room before it overwrites anything (${name})`, {
    timeout: TIMEOUT,
    skip: skipUnlessMounted(name, "in-place on a full disk"),
  }, onFullBtrfs);
}

const SHARING = [["btrfs", "careful"], ["xfs", "exact"]] as const;

for (const [name, how] of ourShare(SHARING)) {
  test(
    `blocks that another file has as well are not counted as the file's own (${name})`,
    {
      timeout: TIMEOUT,
      skip: skipUnlessMounted(name, "shared blocks on a full disk"),
    },
    () => {
      using folder = temporaryFolder();
      const mounted = MOUNTS[name]!(folder.path);
      assert.ok(mounted.skip === false);
      const child = runChild(
        new URL("./children/shared_blocks.ts", import.meta.url),
        { args: [mounted.folder, how], under: mounted.under },
      );
      assert.equal(child.status, 0, child.stderr);
      const { refused } = JSON.parse(child.stdout);
      proof(`${refused} writes over shared blocks on a full ${name} refused`);
    },
  );
}

test(
  "a path through another process's root leads to its files, and never to ours of that name",
  {
    skip: unproved(
      "another process's root",
      fs.existsSync("/proc/self/root") ? skipUnlessMounting(TMPFS) : "no /proc",
    ),
  },
  async () => {
    using folder = temporaryFolder();
    const ours = folder.path;
    for (const name of ["both", "ours alone"]) {
      fs.writeFileSync(join(ours, name), "ours, and precious");
    }
    const mounted = mounting(`${TMPFS} && printf theirs > "$0/both"`, ours);
    assert.ok(mounted.skip === false);
    const [command, ...args] = mounted.under;
    const holder = spawn(command!, [
      ...args,
      "sh",
      "-c",
      "echo; exec sleep 60",
    ]);
    try {
      await new Promise((resolve) => holder.stdout.once("data", resolve));
      const theirs = `/proc/${holder.pid}/root${ours}`;
      const names = (folder: string) => fs.readdirSync(folder).sort();
      const textOf = (path: string) => fs.readFileSync(path, "latin1");
      const bytes = new TextEncoder().encode("new");
      open(join(theirs, "made"), "w+", { length: 3 }).close();
      {
        using map = open(join(ours, "both"), "r");
        map.flush({ path: join(theirs, "saved") });
      }
      {
        using map = open(join(ours, "both"), "r");
        map.flush({ path: join(theirs, "ours alone") });
      }
      for (const strategy of ["replace", "in-place", "auto"] as const) {
        using map = open(join(theirs, "both"));
        map.insert(0, bytes);
        map.flush({ strategy });
        map.insert(map.mappedLength, bytes);
        map.flush();
      }
      assert.equal(textOf(join(theirs, "both")), "newnewnewtheirsnewnewnew");
      assert.equal(textOf(join(theirs, "saved")), "ours, and precious");
      assert.equal(textOf(join(theirs, "ours alone")), "ours, and precious");
      assert.equal(textOf(join(ours, "both")), "ours, and precious");
      assert.equal(textOf(join(ours, "ours alone")), "ours, and precious");
      assert.deepEqual(names(ours), ["both", "ours alone"]);
      assert.deepEqual(names(theirs), ["both", "made", "ours alone", "saved"]);
    } finally {
      holder.kill();
    }
  },
);
