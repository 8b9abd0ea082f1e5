/** `open(path, "r+", { create: true })`. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { type Mode, open } from "../../mod.ts";
import {
  descriptorsOf,
  FULL_DISK,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

const create = { create: true };

test("create makes an empty file where there is none, and opens one that is there", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  {
    using map = open(path, "r+", create);
    assert.equal(map.length, 0);
    assert.equal(fs.statSync(path).size, 0);
    map.append(new Uint8Array([1, 2, 3]));
  }
  {
    using map = open(path, "readwrite", create);
    assert.deepEqual([...map.read()], [1, 2, 3]);
  }
  const longer = join(folder.path, "longer");
  using map = open(longer, "r+", { create: true, length: 5000 });
  assert.equal(map.mappedLength, 5000);
  assert.equal(fs.statSync(longer).size, 5000);
});

test("without create nothing is made, and with another mode it is a TypeError", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  assert.throws(() => open(path, "r+", { create: false }), {
    code: "ENOENT",
    message: /'r\+' with \{ create: true \}/,
  });
  for (const mode of ["r", "c", "w+", "readonly", "write"] as Mode[]) {
    assert.throws(() => open(path, mode, { create: true, length: 5 }), {
      name: "TypeError",
      message: /create: true.*'r\+'/,
    });
  }
  assert.deepEqual(fs.readdirSync(folder.path), []);
});

test("the umask says what the permissions are", () => {
  using folder = temporaryFolder();
  for (const mask of [0o022, 0o077, 0]) {
    const path = join(folder.path, `mask ${mask}`);
    const before = process.umask(mask);
    try {
      open(path, "r+", create).close();
    } finally {
      process.umask(before);
    }
    assert.equal(fs.statSync(path).mode & 0o777, 0o666 & ~mask);
  }
});

test("a link to nothing has its target made; what is no file is left alone", () => {
  using folder = temporaryFolder();
  const link = join(folder.path, "link");
  fs.symlinkSync("target", link);
  open(link, "r+", create).close();
  assert.equal(fs.statSync(join(folder.path, "target")).size, 0);
  assert.ok(fs.lstatSync(link).isSymbolicLink());
  const pipe = join(folder.path, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  for (const path of [pipe, "/dev/null"]) {
    assert.throws(() => open(path, "r+", create), { code: "ENODEV" });
  }
  assert.throws(() => open(folder.path, "r+", create), { code: "EISDIR" });
  const nowhere = join(folder.path, "no folder", "file");
  assert.throws(() => open(nowhere, "r+", create), { code: "ENOENT" });
  const loop = join(folder.path, "loop");
  fs.symlinkSync("loop", loop);
  assert.throws(() => open(loop, "r+", create), { code: "ELOOP" });
  assert.throws(() => open(`${link}/`, "r+", create), { code: "ENOTDIR" });
  assert.throws(() => open(`${nowhere}/`, "r+", create), { code: "ENOTDIR" });
});

test("an open that fails removes the file that it made, and no other", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  const longer = { create: true, length: 5000 };
  const ENOMEM = libc().errnoNumber("ENOMEM");
  const failures = [
    FULL_DISK,
    { mmap: () => -1, errno: () => ENOMEM },
  ];
  for (const failure of failures) {
    withLibc(failure, () => assert.throws(() => open(path, "r+", longer)));
    assert.deepEqual(fs.readdirSync(folder.path), []);
  }
  // Others write to it before it fails.
  withLibc({
    mmap: () => {
      fs.appendFileSync(path, "another's");
      return -1;
    },
    errno: () => ENOMEM,
  }, () => assert.throws(() => open(path, "r+", longer)));
  assert.match(fs.readFileSync(path, "utf8"), /^(another's)+$/);
  fs.writeFileSync(path, "");
  withLibc(FULL_DISK, () => assert.throws(() => open(path, "r+", longer)));
  assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
  assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
});
