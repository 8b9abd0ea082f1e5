/** What a flush reports if the folder does not let a new file replace the old one. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { open } from "../../../mod.ts";
import { runChild, temporaryFolder, unproved } from "../../support/support.ts";

const isRoot = process.getuid?.() === 0;

/** Root may do everything, unless it does without that right. */
const WITHOUT_RIGHTS = isRoot
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
  : [];

/** Makes the folder refuse. Returns how to undo that, or why it is not possible here. */
function refuse(folder: string, path: string): (() => void) | string {
  if (!isRoot) {
    fs.chmodSync(folder, 0o555);
    return () => fs.chmodSync(folder, 0o755);
  }
  // Root may write into any folder, but cannot rename over a mount point.
  const { status } = spawnSync("mount", ["--bind", path, path]);
  if (status !== 0) return "nothing can be mounted here";
  return () => void spawnSync("umount", [path]);
}

test("if a folder refuses a new file, the error suggests in-place, which works", (t) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, "0123456789");
  const end = refuse(folder.path, path);
  if (typeof end === "string") {
    unproved("that a refused replace names in-place", end);
    return t.skip?.(end);
  }
  try {
    const map = open(path);
    try {
      map.insert(5, new TextEncoder().encode("abc"));
      assert.throws(() => map.flush(), {
        name: "SystemError",
        code: isRoot ? "EBUSY" : "EACCES",
        message: /strategy: 'in-place'/,
      });
      assert.equal(map.dirty, true);
      assert.equal(fs.readFileSync(path, "utf8"), "0123456789");
      assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
      map.flush({ strategy: "in-place" });
      assert.equal(fs.readFileSync(path, "utf8"), "01234abc56789");
    } finally {
      map.close({ discard: true });
    }
  } finally {
    end();
  }
});

test(
  "who may read a file and not write it is told of mode r, and who may not write its folder of in-place",
  {
    skip: unproved(
      "what is said where the permission to write is missing",
      spawnSync(WITHOUT_RIGHTS[0] ?? "true", ["--version"]).status === 0
        ? false
        : "there is no setpriv",
    ),
  },
  () => {
    using folder = temporaryFolder();
    const child = runChild(
      `
    import assert from "node:assert/strict";
    import * as fs from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    const path = process.argv[2] + "/file";
    fs.writeFileSync(path, "0123456789");
    fs.chmodSync(path, 0o444);
    const refused = { code: "EACCES", path, message: /mode 'r' only reads/ };
    assert.throws(() => open(path), refused);
    assert.throws(() => open(path, "r+"), refused);
    assert.throws(() => open(path, "w+", { length: 1 }), (error) =>
      error.code === "EACCES" && !/mode 'r'/.test(error.message));
    open(path, "r").close();
    fs.chmodSync(path, 0o222);
    assert.throws(() => open(path, "r"), (error) =>
      error.code === "EACCES" && !/mode 'r'/.test(error.message));
    fs.chmodSync(path, 0o600);
    fs.chmodSync(process.argv[2], 0o555);
    const map = open(path);
    map.insert(5, new Uint8Array(3));
    assert.throws(() => map.flush(), {
      code: "EACCES",
      message: /strategy: 'in-place'/,
    });
    map.flush({ strategy: "in-place" });
    map.close();
    assert.equal(fs.statSync(path).size, 13);
    fs.chmodSync(process.argv[2], 0o755);
  `,
      { args: [folder.path], under: WITHOUT_RIGHTS },
    );
    assert.equal(child.status, 0, child.stderr);
  },
);
