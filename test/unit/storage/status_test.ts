import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  checkRegular,
  isFile,
  isLink,
  isSame,
  lstatIfThere,
  nameOfOpen,
  statIfThere,
  type Status,
  statusOf,
} from "../../../src/storage/status.ts";
import {
  skipWithoutProc,
  temporaryFolder,
  withLibc,
} from "../../support/support.ts";

/** Asks through libc, where it can be asked, and then through `node:fs`. */
function bothWays(ask: (way: string) => void): void {
  ask("libc");
  withLibc({ statx: null }, () => ask("node:fs"));
}

function assertIs(
  status: Status | undefined,
  stat: fs.BigIntStats,
  what: string,
): void {
  assert.deepEqual(
    status,
    {
      dev: stat.dev,
      ino: stat.ino,
      mode: Number(stat.mode),
      nlink: Number(stat.nlink),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: Number(stat.size),
      blocks: Number(stat.blocks),
      blksize: Number(stat.blksize),
      born: status?.born,
    },
    what,
  );
}

test("a status says what node:fs says, asked for by name or by descriptor", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "ein Ü \u{1f600}.dat");
  fs.writeFileSync(file, "0123456789");
  fs.linkSync(file, join(folder.path, "other"));
  fs.chmodSync(file, 0o640);
  const link = join(folder.path, "link");
  fs.symlinkSync(file, link);
  bothWays((way) => {
    for (const path of [file, link, folder.path, "/dev/null", "/proc", "/"]) {
      const stat = fs.statSync(path, { bigint: true });
      assertIs(statIfThere(path), stat, `${path}, ${way}`);
      const itself = fs.lstatSync(path, { bigint: true });
      assertIs(lstatIfThere(path), itself, `${path} itself, ${way}`);
    }
    const fd = fs.openSync(file, "r");
    assertIs(statusOf(fd, file), fs.fstatSync(fd, { bigint: true }), way);
    fs.closeSync(fd);
    assert.ok(isSame(statIfThere(file)!, statIfThere(link)!));
    assert.ok(!isSame(lstatIfThere(file)!, lstatIfThere(link)!));
    assert.ok(isFile(statIfThere(link)!) && isLink(lstatIfThere(link)!));
  });
});

test("both ways to ask say when a file was made, to the millisecond", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "a");
  const before = Date.now() - 1000; // the clock of the file system is coarser
  fs.writeFileSync(path, "");
  const born: number[] = [];
  bothWays(() => born.push(statIfThere(path)!.born));
  assert.equal(born[0], born[1]);
  assert.ok(born[0] === 0 || (born[0]! > before && born[0]! <= Date.now()));
});

test("a size needs more than 32 bits", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "sparse");
  fs.writeFileSync(path, "");
  fs.truncateSync(path, 2 ** 33 + 5);
  bothWays((way) => assert.equal(statIfThere(path)!.size, 2 ** 33 + 5, way));
});

test("nothing is there: undefined; a way that cannot be walked: the system's error", () => {
  using folder = temporaryFolder();
  const file = join(folder.path, "file");
  fs.writeFileSync(file, "");
  const dangling = join(folder.path, "dangling");
  fs.symlinkSync("nowhere", dangling);
  const loop = join(folder.path, "loop");
  fs.symlinkSync("loop", loop);
  bothWays((way) => {
    for (const ask of [statIfThere, lstatIfThere]) {
      assert.equal(ask(join(folder.path, "none")), undefined, way);
      assert.throws(() => ask(`${file}/none`), { code: "ENOTDIR" }, way);
      const long = `${folder.path}/${"x".repeat(300)}`;
      assert.throws(() => ask(long), { code: "ENAMETOOLONG", path: long }, way);
      const longest = folder.path + "/x".repeat(4000);
      assert.throws(() => ask(longest), { code: "ENAMETOOLONG" }, way);
    }
    assert.equal(statIfThere(dangling), undefined, way);
    assert.ok(isLink(lstatIfThere(dangling)!), way);
    assert.throws(() => statIfThere(loop), { code: "ELOOP", path: loop }, way);
    assert.throws(() => statusOf(999_999, "x"), { code: "EBADF" }, way);
  });
});

test("what is no regular file is refused by its kind", () => {
  using folder = temporaryFolder();
  const pipe = join(folder.path, "pipe");
  assert.equal(spawnSync("mkfifo", [pipe]).status, 0);
  const kinds: [string, RegExp][] = [
    [folder.path, /^EISDIR: .* a directory/],
    [pipe, /^ENODEV: .* a pipe/],
    ["/dev/null", /^ENODEV: .* a device/],
  ];
  bothWays(() => {
    for (const [path, message] of kinds) {
      const status = statIfThere(path)!;
      assert.ok(!isFile(status));
      assert.throws(() => checkRegular(status, path), { message });
    }
  });
});

test("an open file has the name by which it is reached now", {
  skip: skipWithoutProc,
}, () => {
  using folder = temporaryFolder();
  const path = join(fs.realpathSync(folder.path), "Ü");
  fs.writeFileSync(path, "");
  fs.symlinkSync(path, join(folder.path, "link"));
  const fd = fs.openSync(join(folder.path, "link"), "r");
  assert.equal(nameOfOpen(fd), path);
  fs.renameSync(path, `${path}2`);
  assert.equal(nameOfOpen(fd), `${path}2`);
  assert.equal(nameOfOpen(999_999), undefined);
  withLibc({ readlink: null }, () => assert.equal(nameOfOpen(fd), undefined));
  fs.closeSync(fd);
});
