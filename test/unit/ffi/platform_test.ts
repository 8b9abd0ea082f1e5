/**
 * Which systems and runtimes are supported, and what happens on others: importing
 * works, and opening throws UnsupportedError.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { isAbsolute, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { errnosOf } from "../../../ffi/errno.ts";
import type { Constants } from "../../../ffi/libc.ts";
import { isAtLeast, OLDEST, platformOf } from "../../../ffi/platform.ts";
import { isDeno, runChild, temporaryFolder } from "../../support/support.ts";

const SYSTEMS = [
  ["linux", "x64"],
  ["linux", "arm64"],
  ["darwin", "x64"],
  ["darwin", "arm64"],
] as const;

test("platformOf() knows Linux and macOS on x64 and arm64", () => {
  for (const [os, arch] of SYSTEMS) {
    const platform = platformOf(os, arch);
    assert.ok(platform !== undefined);
    assert.ok(platform.libraries.length > 0);
    assert.equal(platform.system, os);
    assert.equal(
      platform.constants.MAP_ANONYMOUS,
      os === "linux" ? 0x20 : 0x1000,
    );
  }
});

test("platformOf() lists absolute libc paths, for --allow-ffi, of its own architecture only", () => {
  for (const [os, arch] of SYSTEMS) {
    const { libraries } = platformOf(os, arch)!;
    assert.ok(libraries.slice(0, -1).every(isAbsolute));
    assert.equal(new Set(libraries).size, libraries.length);
    const foreign = arch === "x64" ? /aarch64/ : /x86.64/;
    assert.ok(!libraries.some((path) => foreign.test(path)));
  }
});

test("platformOf() is undefined for any other system", () => {
  const others = [
    ["win32", "x64"],
    ["win32", "arm64"],
    ["linux", "ia32"],
    ["linux", "riscv64"],
    ["freebsd", "x64"],
    ["", ""],
    ["__proto__", ""],
  ] as const;
  for (const [os, arch] of others) {
    assert.equal(platformOf(os, arch), undefined);
  }
});

test("this system's libc is at one of its absolute paths", () => {
  const { libraries } = platformOf(process.platform, process.arch)!;
  // macOS has no file there: its loader keeps system libraries in a cache.
  assert.ok(
    process.platform === "darwin" ||
      libraries.filter(isAbsolute).some(fs.existsSync),
  );
});

test("the constants match this system's headers", {
  skip: spawnSync("cc", ["--version"]).status === 0
    ? false
    : "there is no C compiler",
}, () => {
  using folder = temporaryFolder();
  const { constants, system } = platformOf(process.platform, process.arch)!;
  const { numbers } = errnosOf(system);
  const isHere = (name: string) =>
    !(name in constants) || constants[name as keyof Constants] !== undefined &&
      (process.platform === "linux" || !name.startsWith("SYNC_FILE_RANGE"));
  const names = [...Object.keys(constants), ...numbers.keys()]
    .filter(isHere);
  const source = join(folder.path, "constants.c");
  fs.writeFileSync(
    source,
    "#define _GNU_SOURCE\n" +
      ["errno.h", "fcntl.h", "stdio.h", "sys/file.h", "sys/mman.h", "unistd.h"]
        .map((h) => `#include <${h}>\n`).join("") +
      `int main(void) {\n${
        names.map((name) => `printf("${name} %d\\n", (int) ${name});\n`).join(
          "",
        )
      }}\n`,
  );
  const program = join(folder.path, "constants");
  assert.equal(spawnSync("cc", ["-o", program, source]).status, 0);
  const actual = Object.fromEntries(
    spawnSync(program, { encoding: "utf8" }).stdout.trim().split("\n")
      .map((line) => line.split(" ")).map((
        [name, value],
      ) => [name, Number(value)]),
  );
  for (const [name, value] of Object.entries(constants)) {
    if (isHere(name)) assert.equal(value, actual[name], name);
  }
  for (const [name, value] of numbers) {
    assert.equal(value, actual[name], name);
  }
});

test("isAtLeast() compares versions number by number", () => {
  for (
    const [version, oldest, expected] of [
      ["2.9.0", "2.9.0", true],
      ["2.9.1", "2.9.0", true],
      ["2.10.0", "2.9.0", true],
      ["3.0.0", "2.9.9", true],
      ["2.8.9", "2.9.0", false],
      ["1.99.99", "2.0.0", false],
      ["2.9.0", "2.10.0", false],
      ["1.3.10", "1.3.9", true],
      ["1.4.5-canary.12+abc", "1.4.5", true],
      ["2.9.0-rc.1", "2.9.0", true],
      ["2.9.0+5ab1c9d", "2.9.1", false],
    ] as const
  ) {
    assert.equal(
      isAtLeast(version, oldest),
      expected,
      `${version} >= ${oldest}`,
    );
  }
});

test("this runtime is new enough", () => {
  const { deno, bun } = process.versions as Record<string, string | undefined>;
  assert.ok(isAtLeast((deno ?? bun)!, isDeno ? OLDEST.deno : OLDEST.bun));
});

/** Opens a file in a process that pretends to run elsewhere; returns the error. */
function openElsewhere(pretend: string): { message: string } {
  using folder = temporaryFolder();
  const path = join(folder.path, "new.dat");
  const child = runChild(
    `
      import process from "node:process";
      import { open, UnsupportedError } from "../mod.ts";
      const pretend = (name, value) =>
        Object.defineProperty(process, name, { value, configurable: true });
      ${pretend}
      try {
        open(process.argv[2], "w+", { length: 10 });
      } catch (error) {
        const { name, code, message } = error;
        const own = error instanceof UnsupportedError;
        console.log(JSON.stringify({ name, code, message, own }));
      }
    `,
    { args: [path] },
  );
  assert.equal(child.status, 0, child.stderr);
  assert.deepEqual(fs.readdirSync(folder.path), [], "the file was touched");
  const thrown = JSON.parse(child.stdout);
  assert.equal(thrown.name, "UnsupportedError");
  assert.equal(thrown.code, "ERR_MEMMAP_UNSUPPORTED");
  assert.equal(thrown.own, true);
  assert.ok(thrown.message.includes(`Deno ${OLDEST.deno}`), thrown.message);
  assert.ok(thrown.message.includes(`Bun ${OLDEST.bun}`), thrown.message);
  assert.match(thrown.message, /Linux and macOS, x64 and arm64/);
  return thrown;
}

test("importing works on Windows, and opening throws UnsupportedError", () => {
  const { message } = openElsewhere(`pretend("platform", "win32");`);
  assert.match(message, /^No backend for win32 on /);
});

test("importing works on another architecture, and opening throws UnsupportedError", () => {
  const { message } = openElsewhere(`pretend("arch", "riscv64");`);
  assert.match(message, /^No backend for \w+ on riscv64\. /);
});

test("importing works in an older runtime, and opening throws UnsupportedError", () => {
  const name = isDeno ? "deno" : "bun";
  const { message } = openElsewhere(
    `pretend("versions", { ${name}: "1.0.7" });`,
  );
  assert.ok(
    message.startsWith(`${isDeno ? "Deno" : "Bun"} 1.0.7 is too old. `),
    message,
  );
});

test("importing works in a runtime that is neither, and opening throws UnsupportedError", () => {
  const { message } = openElsewhere(`pretend("versions", { node: "99.0.0" });`);
  assert.match(message, /^No backend for this runtime\. /);
});

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const BUN = isDeno
  ? join(ROOT, "node_modules", ".bin", "bun")
  : process.execPath;
const NODE_SKIP = spawnSync("node", ["--version"]).status !== 0
  ? "there is no Node here"
  : spawnSync(BUN, ["--version"]).status !== 0
  ? "there is no Bun to bundle with for Node"
  : false;

test("importing works in Node, and opening throws UnsupportedError", {
  timeout: 60_000,
  skip: NODE_SKIP,
}, () => {
  using folder = temporaryFolder();
  const bundle = join(folder.path, "memmap.mjs");
  const built = spawnSync(
    BUN,
    ["build", join(ROOT, "mod.ts"), "--target=node", `--outfile=${bundle}`],
    { encoding: "utf8" },
  );
  assert.equal(built.status, 0, built.stderr);
  const script = join(folder.path, "script.mjs");
  fs.writeFileSync(
    script,
    `
      import { Memmap, open, UnsupportedError } from "./memmap.mjs";
      for (const act of [() => open("new.dat", "w+", { length: 5 }), () => new Memmap("new.dat")]) {
        try {
          act();
        } catch (error) {
          console.log(error instanceof UnsupportedError, error.name, error.code, error.message);
        }
      }
    `,
  );
  const child = spawnSync("node", [script], {
    cwd: folder.path,
    encoding: "utf8",
  });
  assert.equal(child.status, 0, child.stderr);
  const lines = child.stdout.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.match(
      line,
      /^true UnsupportedError ERR_MEMMAP_UNSUPPORTED No backend for this runtime\. /,
    );
    assert.ok(line.includes(OLDEST.deno) && line.includes(OLDEST.bun));
  }
  assert.deepEqual(fs.readdirSync(folder.path).sort(), [
    "memmap.mjs",
    "script.mjs",
  ]);
});
