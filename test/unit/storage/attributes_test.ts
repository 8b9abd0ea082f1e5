/**
 * Extended attributes and access lists are copied to the file that replaces another.
 *
 * @module
 */

import "../../../ffi/mod.ts";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { type AttributeCalls, libc, provideLibc } from "../../../ffi/libc.ts";
import { open } from "../../../mod.ts";
import { copyAttributes } from "../../../src/storage/attributes.ts";
import { SystemError } from "../../../src/base/errors.ts";
import { temporaryFolder } from "../../support/support.ts";

/** The bytes of a text, one for each character. */
const bytesOf = (text: string) =>
  Uint8Array.from(text, (character) => character.charCodeAt(0));

const named = (name: string) => bytesOf(`${name}\0`);

/** The number of an error. */
function numberOf(name: string): number {
  for (let errno = 1; errno < 256; errno++) {
    if (libc().errnoName(errno) === name) return errno;
  }
  throw new Error(`${name} is unknown on this system`);
}

function setAttribute(fd: number, name: string, value: Uint8Array): boolean {
  return libc().attributes?.fsetxattr(fd, named(name), value) === 0;
}

function attributeOf(fd: number, name: string): Uint8Array | undefined {
  const { fgetxattr } = libc().attributes!;
  const size = fgetxattr(fd, named(name), null);
  if (size < 0) return undefined;
  const value = new Uint8Array(size);
  if (size > 0) assert.equal(fgetxattr(fd, named(name), value), size);
  return value;
}

function namesOf(fd: number): string[] {
  const { flistxattr } = libc().attributes!;
  const list = new Uint8Array(2 ** 16);
  const length = flistxattr(fd, list);
  assert.ok(length >= 0);
  return String.fromCharCode(...list.subarray(0, length)).split("\0")
    .slice(0, -1);
}

/** Two new files in their own folder, removed at the end of the block. */
function twoFiles(parent: string): { from: number; to: number } & Disposable {
  const folder = temporaryFolder(parent);
  const from = fs.openSync(join(folder.path, "old"), "wx+", 0o600);
  const to = fs.openSync(join(folder.path, "new"), "wx+", 0o600);
  return {
    from,
    to,
    [Symbol.dispose]: () => {
      fs.closeSync(from);
      fs.closeSync(to);
      folder[Symbol.dispose]();
    },
  };
}

/** A folder whose file system can keep such an attribute. */
function folderThatKeeps(name: string, value: Uint8Array): string | undefined {
  const folders = [tmpdir(), "/var/tmp", "/dev/shm", process.cwd()];
  return folders.find((folder) => {
    try {
      using files = twoFiles(folder);
      return setAttribute(files.from, name, value);
    } catch {
      return false; // it does not exist, or is not writable
    }
  });
}

/** One entry of an access list: its kind, its permissions, and whom it is for. */
function accessEntry(tag: number, permissions: number, id = -1): Uint8Array {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setUint16(0, tag, true);
  entry.setUint16(2, permissions, true);
  entry.setInt32(4, id, true);
  return new Uint8Array(entry.buffer);
}

const ACCESS = "system.posix_acl_access";
/** `user::r--, user:12345:rw-, group::---, mask::rw-, other::---` */
const ACCESS_LIST = Uint8Array.of(
  ...[2, 0, 0, 0], // version
  ...accessEntry(0x01, 4),
  ...accessEntry(0x02, 6, 12345),
  ...accessEntry(0x04, 0),
  ...accessEntry(0x10, 6),
  ...accessEntry(0x20, 0),
);

const SMALL = folderThatKeeps("user.memmap", new Uint8Array(100));
const LARGE = folderThatKeeps("user.memmap", new Uint8Array(2 ** 16));
const WITH_ACCESS = folderThatKeeps(ACCESS, ACCESS_LIST);
const skipUnless = (folder: string | undefined, what: string) =>
  folder === undefined
    ? `no file system for temporary files keeps ${what} here`
    : false;
const SKIP_SMALL = skipUnless(SMALL, "attributes");

test(
  "fgetxattr() and the other calls pass their arguments as this system expects them",
  {
    skip: SKIP_SMALL,
  },
  () => {
    using files = twoFiles(SMALL!);
    const { flistxattr, fgetxattr, fsetxattr, fremovexattr } = libc()
      .attributes!;
    const name = named("user.memmap");
    assert.equal(fsetxattr(files.from, name, bytesOf("first")), 0);
    assert.equal(fsetxattr(files.from, name, bytesOf("value")), 0);
    assert.equal(fgetxattr(files.from, name, null), 5);
    const value = new Uint8Array(9);
    assert.equal(fgetxattr(files.from, name, value.subarray(2)), 5);
    assert.deepEqual(value, bytesOf("\0\0value\0\0"));
    assert.equal(fgetxattr(files.from, name, value.subarray(0, 3)), -1);
    assert.equal(libc().errnoName(libc().errno()), "ERANGE");
    assert.ok(flistxattr(files.from, null) >= name.length);
    assert.ok(namesOf(files.from).includes("user.memmap"));
    assert.equal(fremovexattr(files.from, name), 0);
    assert.equal(fgetxattr(files.from, name, null), -1);
    const missing = libc().errnoName(libc().errno())!;
    assert.match(missing, /^(ENODATA|ENOATTR)$/);
    assert.equal(fsetxattr(-1, name, value), -1);
    assert.equal(libc().errnoName(libc().errno()), "EBADF");
  },
);

test("copyAttributes() copies names and values byte for byte", {
  skip: SKIP_SMALL,
}, () => {
  using files = twoFiles(SMALL!);
  const attributes: Record<string, Uint8Array> = {
    "user.text": bytesOf("text"),
    "user.empty": new Uint8Array(0),
    "user.nul": bytesOf("\0a\0\0b\0"),
    "user.every": Uint8Array.from({ length: 256 }, (_, i) => i),
    "user.caf\xc3\xa9": bytesOf("\xff\xfe"),
  };
  for (const [name, value] of Object.entries(attributes)) {
    assert.ok(setAttribute(files.from, name, value), name);
  }
  assert.ok(setAttribute(files.to, "user.text", bytesOf("other text")));
  assert.equal(copyAttributes(files.from, files.to, "new"), true);
  for (const [name, value] of Object.entries(attributes)) {
    assert.deepEqual(attributeOf(files.to, name), value, name);
  }
  assert.deepEqual(namesOf(files.to).sort(), namesOf(files.from).sort());
});

test("copyAttributes() copies what Python set, and Python reads it", {
  skip: SKIP_SMALL ||
    (spawnSync("python3", ["-c", "import os; os.setxattr"]).status === 0
      ? false
      : "there is no Python with os.setxattr"),
}, () => {
  using folder = temporaryFolder(SMALL);
  const old = join(folder.path, "old");
  const copy = join(folder.path, "new");
  const [from, to] = [fs.openSync(old, "wx+"), fs.openSync(copy, "wx+")];
  const python = (script: string, path: string) => {
    const { status, stdout, stderr } = spawnSync("python3", [
      "-c",
      `import os, sys\n${script}`,
      path,
    ], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout;
  };
  try {
    python(
      `os.setxattr(sys.argv[1], "user.python", bytes(range(255, -1, -1)))
os.setxattr(sys.argv[1], b"user.\\xff", b"")`,
      old,
    );
    copyAttributes(from, to, copy);
    const list =
      "print([(n, os.getxattr(sys.argv[1], n)) for n in sorted(os.listxattr(sys.argv[1]))])";
    const expected = python(list, old);
    assert.match(expected, /user\.python/);
    assert.equal(python(list, copy), expected);
  } finally {
    fs.closeSync(from);
    fs.closeSync(to);
  }
});

test("copyAttributes() copies many attributes", { skip: SKIP_SMALL }, () => {
  using files = twoFiles(SMALL!);
  const names = Array.from({ length: 80 }, (_, i) => `user.attribute${i}`);
  // As many as fit into the file system's limit, which is 4096 bytes in ext4.
  const kept = names.filter((name) =>
    setAttribute(files.from, name, bytesOf(name))
  );
  assert.ok(kept.length > 20);
  copyAttributes(files.from, files.to, "new");
  for (const name of kept) {
    assert.deepEqual(attributeOf(files.to, name), bytesOf(name));
  }
});

test("copyAttributes() copies a value of 64 KiB", {
  skip: skipUnless(LARGE, "attributes of 64 KiB"),
}, () => {
  using files = twoFiles(LARGE!);
  for (const size of [4095, 4096, 4097, 2 ** 16]) {
    const value = Uint8Array.from({ length: size }, (_, i) => i * 7 + size);
    assert.ok(setAttribute(files.from, "user.large", value));
    copyAttributes(files.from, files.to, "new");
    assert.deepEqual(attributeOf(files.to, "user.large"), value);
  }
});

test("copyAttributes() changes neither file if there is nothing to copy", {
  skip: SKIP_SMALL,
}, () => {
  using files = twoFiles(SMALL!);
  const before = namesOf(files.to);
  assert.equal(copyAttributes(files.from, files.to, "new"), true);
  assert.deepEqual(namesOf(files.to), before);
});

test(
  "copyAttributes() copies an access list after the attributes that it would forbid",
  {
    skip: skipUnless(WITH_ACCESS, "access lists"),
  },
  () => {
    using files = twoFiles(WITH_ACCESS!);
    const hasUser = setAttribute(files.from, "user.a", bytesOf("a"));
    assert.ok(setAttribute(files.from, ACCESS, ACCESS_LIST));
    assert.equal(copyAttributes(files.from, files.to, "new"), true);
    assert.deepEqual(attributeOf(files.to, ACCESS), ACCESS_LIST);
    assert.equal(fs.fstatSync(files.to).mode & 0o777, 0o460);
    if (hasUser) {
      assert.deepEqual(attributeOf(files.to, "user.a"), bytesOf("a"));
    }
  },
);

test(
  "copyAttributes() removes an access list that the old file does not have",
  {
    skip: skipUnless(WITH_ACCESS, "access lists"),
  },
  () => {
    // A new file can inherit one from its folder.
    using files = twoFiles(WITH_ACCESS!);
    assert.ok(setAttribute(files.to, ACCESS, ACCESS_LIST));
    assert.equal(copyAttributes(files.from, files.to, "new"), true);
    assert.equal(attributeOf(files.to, ACCESS), undefined);
  },
);

/** A system in memory. Descriptor 3 has `attributes`, and descriptor 4 those in `to`. */
class Pretended implements Disposable {
  readonly to = new Map<string, Uint8Array>();
  readonly calls: string[] = [];
  /** Errors for the first calls of each kind, such as `"fsetxattr user.a"`. */
  readonly failures: Record<string, string[]> = {};
  readonly #real = libc();
  #errno = 0;

  constructor(attributes: Record<string, string>) {
    const from = new Map(
      Object.entries(attributes).map(([name, v]) => [name, bytesOf(v)]),
    );
    const fail = (name: string) => {
      this.#errno = numberOf(name);
      return -1;
    };
    const nameIn = (bytes: Uint8Array) => {
      assert.equal(
        bytes.indexOf(0),
        bytes.length - 1,
        "a name ends with its only NUL",
      );
      return String.fromCharCode(...bytes.subarray(0, -1));
    };
    const call = (what: string, act: () => number) => {
      this.calls.push(what);
      const error = this.failures[what]?.shift();
      return error === undefined ? act() : fail(error);
    };
    const give = (value: Uint8Array, bytes: Uint8Array | null) => {
      if (bytes === null) return value.length;
      if (bytes.length < value.length) return fail("ERANGE");
      bytes.set(value);
      return value.length;
    };
    const calls: AttributeCalls = {
      flistxattr: (fd, names) =>
        call("flistxattr", () => {
          assert.equal(fd, 3);
          return give(
            bytesOf([...from.keys()].map((n) => `${n}\0`).join("")),
            names,
          );
        }),
      fgetxattr: (fd, name, value) =>
        call(`fgetxattr ${nameIn(name)}`, () => {
          const found = (fd === 3 ? from : this.to).get(nameIn(name));
          return found === undefined ? fail(MISSING) : give(found, value);
        }),
      fsetxattr: (fd, name, value) =>
        call(`fsetxattr ${nameIn(name)}`, () => {
          assert.equal(fd, 4);
          this.to.set(nameIn(name), value.slice());
          return 0;
        }),
      fremovexattr: (fd, name) =>
        call(`fremovexattr ${nameIn(name)}`, () => {
          assert.equal(fd, 4);
          assert.ok(this.to.delete(nameIn(name)));
          return 0;
        }),
    };
    const pretended = {
      ...this.#real,
      attributes: calls,
      errno: () => this.#errno,
    };
    provideLibc(() => pretended);
  }

  copy(): boolean {
    return copyAttributes(3, 4, "/new");
  }

  copied(): string[] {
    return [...this.to.keys()].sort();
  }

  [Symbol.dispose](): void {
    provideLibc(() => this.#real);
  }
}

const IS_MACOS = process.platform === "darwin";
const MISSING = IS_MACOS ? "ENOATTR" : "ENODATA";
const UNSUPPORTED = IS_MACOS ? "ENOTSUP" : "EOPNOTSUPP";

test("copyAttributes() skips attributes that are forbidden or unsupported in the new file", () => {
  for (const error of ["EPERM", "EACCES", "EINVAL", UNSUPPORTED]) {
    using pretended = new Pretended({ "user.a": "1", "trusted.b": "2" });
    pretended.failures["fsetxattr trusted.b"] = [error];
    assert.equal(pretended.copy(), true);
    assert.deepEqual(pretended.copied(), ["user.a"], error);
  }
});

test("copyAttributes() skips attributes that cannot be read or have disappeared", () => {
  for (const error of ["EPERM", "EACCES", MISSING]) {
    using pretended = new Pretended({ "user.a": "1", "user.b": "2" });
    pretended.failures["fgetxattr user.a"] = [error];
    assert.equal(pretended.copy(), true);
    assert.deepEqual(pretended.copied(), ["user.b"], error);
  }
});

test("copyAttributes() copies nothing from a file system without attributes", () => {
  for (const error of [UNSUPPORTED, "ENOSYS", "EPERM"]) {
    using pretended = new Pretended({ "user.a": "1" });
    pretended.failures["flistxattr"] = [error];
    pretended.failures[`fgetxattr ${ACCESS}`] = [error];
    assert.equal(pretended.copy(), true);
    assert.deepEqual(pretended.copied(), [], error);
  }
});

test("copyAttributes() throws a SystemError if the disk is full or fails", () => {
  for (const error of ["EIO", "ENOSPC", "EDQUOT", "ENOMEM"]) {
    const syscalls = ["flistxattr", "fgetxattr", "fsetxattr", "fremovexattr"];
    for (const syscall of syscalls) {
      using pretended = new Pretended({ "user.a": "1" });
      const argument = {
        flistxattr: "",
        fremovexattr: ` ${ACCESS}`,
      }[syscall] ?? " user.a";
      pretended.to.set(ACCESS, ACCESS_LIST);
      pretended.failures[`${syscall}${argument}`] = [error];
      assert.throws(() => pretended.copy(), (thrown) => {
        assert.ok(thrown instanceof SystemError);
        assert.equal(thrown.code, error);
        assert.equal(thrown.errno, -numberOf(error));
        assert.equal(thrown.syscall, syscall);
        assert.equal(thrown.path, "/new");
        return true;
      });
    }
  }
});

test("copyAttributes() repeats a call that a signal interrupted", () => {
  using pretended = new Pretended({ "user.a": "1" });
  pretended.failures["flistxattr"] = ["EINTR", "EINTR"];
  pretended.failures["fgetxattr user.a"] = ["EINTR"];
  pretended.to.set(ACCESS, ACCESS_LIST);
  pretended.failures["fsetxattr user.a"] = ["EINTR", "EINTR", "EINTR"];
  pretended.failures[`fremovexattr ${ACCESS}`] = ["EINTR"];
  assert.equal(pretended.copy(), true);
  assert.deepEqual(pretended.copied(), ["user.a"]);
});

test("copyAttributes() copes with names and values that change in size meanwhile", () => {
  const sizes = [[2, 8], [8, 2], [5, 0], [1, 60]] as const;
  for (const [before, after] of sizes) {
    using pretended = new Pretended({ "user.a": "1" });
    const real = libc();
    const calls = real.attributes!;
    let asked = 0;
    // Changes after its size was read.
    const fgetxattr: AttributeCalls["fgetxattr"] = (fd, name, value) => {
      if (fd === 4) return calls.fgetxattr(fd, name, value);
      const size = asked++ === 0 ? before : after;
      if (value === null) return size;
      if (value.length < size) {
        return calls.fgetxattr(fd, name, new Uint8Array(0));
      }
      value.fill(7, 0, size);
      return size;
    };
    const changing = { ...real, attributes: { ...calls, fgetxattr } };
    provideLibc(() => changing);
    assert.equal(pretended.copy(), true);
    assert.deepEqual(
      pretended.to.get("user.a"),
      new Uint8Array(after).fill(7),
    );
  }
  using pretended = new Pretended({ "user.a": "1", "user.b": "2" });
  const real = libc();
  const calls = real.attributes!;
  const flistxattr: AttributeCalls["flistxattr"] = (fd, names) =>
    names === null ? 1 : calls.flistxattr(fd, names);
  const misjudging = { ...real, attributes: { ...calls, flistxattr } };
  provideLibc(() => misjudging);
  assert.equal(pretended.copy(), true);
  assert.deepEqual(pretended.copied(), ["user.a", "user.b"]);
});

test("copyAttributes() skips attributes that describe only the old content", () => {
  using pretended = new Pretended({
    "security.capability": "1",
    "security.ima": "2",
    "security.evm": "3",
    "security.selinux": "4",
    "user.security.ima": "5",
  });
  assert.equal(pretended.copy(), true);
  assert.deepEqual(pretended.copied(), [
    "security.selinux",
    "user.security.ima",
  ]);
});

test("copyAttributes() sets access lists last", () => {
  using pretended = new Pretended({
    "system.nfs4_acl": "1",
    [ACCESS]: "2",
    "user.a": "3",
    "trusted.b": "4",
  });
  assert.equal(pretended.copy(), true);
  assert.deepEqual(
    pretended.calls.filter((call) => call.startsWith("fsetxattr")),
    [
      "fsetxattr user.a",
      "fsetxattr trusted.b",
      "fsetxattr system.nfs4_acl",
      `fsetxattr ${ACCESS}`,
    ],
  );
});

test("copyAttributes() returns false if it had to skip an access list", () => {
  for (const syscall of ["fgetxattr", "fsetxattr"]) {
    using pretended = new Pretended({ [ACCESS]: "1", "user.a": "2" });
    pretended.failures[`${syscall} ${ACCESS}`] = ["EINVAL"];
    assert.equal(pretended.copy(), false);
    assert.deepEqual(pretended.copied(), ["user.a"]);
  }
});

test("copyAttributes() returns false if it could not remove an access list", () => {
  using pretended = new Pretended({ "user.a": "1" });
  pretended.to.set(ACCESS, ACCESS_LIST);
  pretended.failures[`fremovexattr ${ACCESS}`] = ["EPERM"];
  assert.equal(pretended.copy(), false);
});

test("copyAttributes() does nothing on a system without attributes", () => {
  using _ = new Pretended({ "user.a": "1" });
  const without = { ...libc(), attributes: null };
  provideLibc(() => without);
  assert.equal(copyAttributes(-1, -1, "/new"), true);
});

test(
  "a flush by replace keeps the file's attributes, and saving elsewhere keeps the target's",
  {
    skip: SKIP_SMALL,
  },
  () => {
    using folder = temporaryFolder(SMALL);
    const fileCalled = (name: string) => {
      const path = join(folder.path, name);
      fs.writeFileSync(path, name);
      const fd = fs.openSync(path, "r+");
      assert.ok(setAttribute(fd, "user.name", bytesOf(name)));
      fs.closeSync(fd);
      return path;
    };
    const [path, target] = [fileCalled("file"), fileCalled("target")];
    const nameOf = (path: string) => {
      const fd = fs.openSync(path, "r");
      const value = attributeOf(fd, "user.name");
      fs.closeSync(fd);
      return value === undefined ? undefined : String.fromCharCode(...value);
    };
    using map = open(path);
    map.insert(0, bytesOf("new "));
    assert.equal(map.flush().strategy, "replace");
    assert.equal(fs.readFileSync(path, "latin1"), "new file");
    assert.equal(nameOf(path), "file");
    map.flush({ path: target });
    assert.equal(fs.readFileSync(target, "latin1"), "new file");
    assert.equal(nameOf(target), "target");
  },
);
