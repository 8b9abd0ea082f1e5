/**
 * A failed open leaves nothing behind and changes nothing, and neither do a thousand
 * rounds of everything.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Mode,
  open,
  type OpenOptions,
  SystemError,
} from "../../../mod.ts";
import {
  descriptorsOf,
  fastFolder,
  isDeno,
  mappingsOf,
  runChild,
  skipWithoutProc,
  temporaryFolder,
} from "../../support/support.ts";

const MODES: readonly Mode[] = ["r", "c", "r+", "w+"];
const CONTENT = "The old content.";

/** Restores the default reaction to SIGXFSZ, if `env` can do that. */
const DEFAULT_SIGNAL =
  spawnSync("env", ["--default-signal=XFSZ", "true"]).status === 0
    ? ["env", "--default-signal=XFSZ"]
    : [];
/** Limits files to 2 GiB. `ulimit` counts in units of 512 bytes. */
const LIMITED = [
  ...DEFAULT_SIGNAL,
  "sh",
  "-c",
  `ulimit -f ${2 ** 22}; exec "$@"`,
  "sh",
];

/** Everything in a folder, to be compared afterwards. */
function picture(folder: string): unknown {
  return fs.readdirSync(folder).sort().map((name) => {
    const path = join(folder, name);
    const { ino, mode, size, mtimeMs } = fs.lstatSync(path);
    const content = fs.lstatSync(path).isFile()
      ? fs.readFileSync(path, "utf8")
      : "";
    return { name, ino, mode, size, mtimeMs, content };
  });
}

/** Fails to open something, and checks that nothing is left behind and nothing changed. */
function assertRefused(
  folder: string,
  path: string | URL,
  mode: Mode,
  options: OpenOptions,
  expected: object,
): Error {
  const before = picture(folder);
  let thrown: unknown;
  try {
    open(path, mode, options).close();
  } catch (error) {
    thrown = error;
  }
  assert.ok(thrown instanceof Error, `'${path}' opened in mode '${mode}'`);
  assert.throws(() => {
    throw thrown;
  }, expected);
  assert.deepEqual(picture(folder), before);
  assert.deepEqual(descriptorsOf(folder) ?? [], []);
  assert.deepEqual(mappingsOf(folder) ?? [], []);
  return thrown;
}

function assertSystemError(
  folder: string,
  path: string,
  code: string,
  errno: number,
  message: RegExp,
  modes: readonly Mode[] = MODES,
): void {
  for (const mode of modes) {
    const options = mode === "w+" ? { length: 10 } : {};
    const error = assertRefused(folder, path, mode, options, {
      name: "SystemError",
      code,
      errno,
      path,
    });
    assert.ok(error instanceof SystemError);
    const { syscall } = error;
    assert.ok(["open", "stat", "lstat"].includes(syscall), syscall);
    assert.match(error.message, message);
    assert.ok(error.message.includes(path), error.message);
  }
}

test("a missing file is ENOENT, and is not created", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "missing.dat");
  assertSystemError(folder.path, path, "ENOENT", -2, /no such file/i, [
    "r",
    "c",
    "r+",
  ]);
});

test("a file in a missing folder is ENOENT in every mode", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "missing", "file.dat");
  assertSystemError(folder.path, path, "ENOENT", -2, /no such file/i);
});

test("a path through a file is ENOTDIR", () => {
  using folder = temporaryFolder();
  fs.writeFileSync(join(folder.path, "file"), CONTENT);
  const path = join(folder.path, "file", "inner.dat");
  assertSystemError(folder.path, path, "ENOTDIR", -20, /not a directory/i);
});

test("a dangling link is ENOENT", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "link");
  fs.symlinkSync("nowhere", path);
  assertSystemError(folder.path, path, "ENOENT", -2, /leads to .*nowhere/, [
    "r",
    "c",
    "r+",
  ]);
});

test("a directory is EISDIR, and the message says so", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "directory");
  fs.mkdirSync(path);
  fs.symlinkSync(path, join(folder.path, "link"));
  assertSystemError(folder.path, path, "EISDIR", -21, /a directory/);
  assertSystemError(
    folder.path,
    join(folder.path, "link"),
    "EISDIR",
    -21,
    /a directory/,
  );
});

test(
  "a pipe is rejected without waiting for its other end",
  { timeout: 300_000 },
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "pipe");
    assert.equal(spawnSync("mkfifo", [path]).status, 0);
    const child = runChild(
      `
      import process from "node:process";
      import { open } from "../mod.ts";
      for (const mode of ["r", "c", "r+", "w+"]) {
        try {
          open(process.argv[2], mode, mode === "w+" ? { length: 10 } : {});
        } catch ({ name, code, errno, path, message }) {
          console.log(JSON.stringify({ mode, name, code, errno, path, message }));
        }
      }
    `,
      { args: [path], timeout: 120_000 },
    );
    assert.equal(child.signal, null, "opening the pipe waited");
    assert.equal(child.status, 0, child.stderr);
    const lines = child.stdout.trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    assert.deepEqual(lines.map(({ mode }) => mode), MODES);
    for (const { message, ...rest } of lines) {
      const { mode } = rest;
      assert.deepEqual(rest, {
        mode,
        name: "SystemError",
        code: "ENODEV",
        errno: -19,
        path,
      });
      assert.match(message, /a pipe/);
    }
    assertSystemError(folder.path, path, "ENODEV", -19, /a pipe/);
  },
);

test("a socket is rejected", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "socket");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    const before = descriptorsOf(path);
    assert.throws(() => open(path), {
      name: "SystemError",
      code: "ENODEV",
      errno: -19,
      path,
      message: /a socket/,
    });
    assert.deepEqual(descriptorsOf(path), before);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test("a device is rejected", () => {
  using folder = temporaryFolder();
  assertSystemError(folder.path, "/dev/null", "ENODEV", -19, /a device/);
});

test("a path with a NUL byte is a TypeError", () => {
  using folder = temporaryFolder();
  fs.writeFileSync(join(folder.path, "file"), CONTENT);
  for (const mode of MODES) {
    const path = join(folder.path, "file") + "\0.dat";
    assertRefused(folder.path, path, mode, { length: 1 }, TypeError);
    const error = assertRefused(folder.path, path, mode, { length: 1 }, {
      name: "TypeError",
    });
    assert.match(error.message, /NUL/);
    assert.ok(!error.message.includes("\0"));
  }
  const url = new URL("file:///tmp/a%00b");
  assertRefused(folder.path, url, "r", {}, TypeError);
});

test("anything but a path or a file: URL is a TypeError", () => {
  using folder = temporaryFolder();
  for (
    const path of ["", 5, null, undefined, {}, new URL("https://deno.com/")]
  ) {
    assertRefused(folder.path, path as string, "r", {}, TypeError);
  }
});

test("an unknown mode is a TypeError that lists the modes", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, CONTENT);
  for (
    const mode of ["", "w", "a", "rw", "R", "toString", "__proto__", 5, null]
  ) {
    const error = assertRefused(
      folder.path,
      path,
      mode as Mode,
      { length: 1 },
      {
        name: "TypeError",
      },
    );
    for (
      const known of [...MODES, "readonly", "copyonwrite", "readwrite", "write"]
    ) {
      assert.ok(error.message.includes(`'${known}'`), error.message);
    }
  }
});

test("a negative, fractional or unsafe length is a RangeError", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, CONTENT);
  for (
    const length of [
      -1,
      -0.5,
      1.5,
      NaN,
      Infinity,
      -Infinity,
      2 ** 53,
      "8",
      null,
    ]
  ) {
    for (const mode of MODES) {
      const error = assertRefused(folder.path, path, mode, {
        length: length as number,
      }, {
        name: "RangeError",
      });
      assert.ok(error.message.includes(String(length)), error.message);
    }
    const missing = join(folder.path, "missing");
    assertRefused(
      folder.path,
      missing,
      "w+",
      { length: length as number },
      RangeError,
    );
  }
});

test("a length larger than the file is a RangeError in modes 'r' and 'c'", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, CONTENT);
  for (const mode of ["r", "c"] as const) {
    const error = assertRefused(folder.path, path, mode, { length: 17 }, {
      name: "RangeError",
    });
    assert.match(error.message, /\b16\b.*\b17\b/);
    assert.ok(error.message.includes(path));
    assertRefused(folder.path, path, mode, { length: 2 ** 53 - 1 }, RangeError);
  }
});

test("mode 'w+' without a length is a TypeError", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, CONTENT);
  assertRefused(folder.path, path, "w+", {}, {
    name: "TypeError",
    message: /length/,
  });
  assertRefused(folder.path, join(folder.path, "new"), "write", {}, TypeError);
});

test("a length for which no system has room changes nothing", () => {
  using folder = temporaryFolder();
  const old = join(folder.path, "old");
  fs.writeFileSync(old, CONTENT);
  for (const path of [old, join(folder.path, "new")]) {
    for (const mode of ["r+", "w+"] as const) {
      if (mode === "r+" && path !== old) continue;
      for (const reserve of [true, false]) {
        const options = { length: Number.MAX_SAFE_INTEGER, reserve };
        const error = assertRefused(folder.path, path, mode, options, {
          name: "SystemError",
          path,
        });
        assert.ok(error instanceof SystemError);
        assert.match(error.code, /^(EFBIG|ENOSPC|ENOMEM|EOVERFLOW|EINVAL)$/);
        assert.ok(error.errno < 0);
        assert.match(error.syscall, /^(mmap|fallocate|ftruncate)$/);
      }
    }
  }
});

test("a file beyond the process's size limit is EFBIG, and a flush keeps its edits", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "old");
  fs.writeFileSync(path, CONTENT);
  const child = runChild(
    `
      import { existsSync, readdirSync, readFileSync } from "node:fs";
      import process from "node:process";
      import { open } from "../mod.ts";
      const path = process.argv[2];
      const report = (act) => {
        try {
          act();
          console.log("no error");
        } catch ({ name, code, errno, syscall }) {
          console.log(name, code, errno, syscall);
        }
        console.log(readFileSync(path, "latin1"));
      };
      const copy = open(path, "c");
      copy.insert(4, 2 ** 33);
      report(() => copy.flush({ path: path + "new" }));
      report(() => open(path, "w+", { length: 2 ** 33 }));
      report(() => open(path, "w+", { length: 2 ** 33, reserve: false }));
      report(() => open(path, "r+", { length: 2 ** 33 }));
      report(() => open(path + "new", "w+", { length: 2 ** 33 }));
      report(() => open(path + "new", "w+", { length: 2 ** 33, reserve: false }));
      console.log(existsSync(path + "new"));
      const map = open(path);
      map.insert(4, 2 ** 33);
      report(() => map.flush());
      report(() => map.flush({ strategy: "in-place" }));
      console.log(map.length, map.dirty, readdirSync(process.argv[3]).length);
      map.close({ discard: true });
    `,
    {
      args: [path, folder.path],
      under: LIMITED,
    },
  );
  assert.equal(child.status, 0, child.stderr);
  const refused = (
    syscall: string,
  ) => [`SystemError EFBIG -27 ${syscall}`, CONTENT];
  assert.deepEqual(child.stdout.trimEnd().split("\n"), [
    ...refused("fallocate"),
    ...refused("fallocate"),
    ...refused("fallocate"),
    ...refused("fallocate"),
    ...refused("fallocate"),
    ...refused("ftruncate"),
    "false",
    ...refused("fallocate"),
    ...refused("fallocate"),
    `${2 ** 33 + CONTENT.length} true 1`,
  ]);
});

test(
  "SIGXFSZ is ignored once a file is opened for writing, and a handler stays in place",
  {
    skip: skipWithoutProc,
  },
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "old");
    fs.writeFileSync(path, CONTENT);
    const outcomeOf = (prepare: string) => {
      const child = runChild(
        `
        import { readFileSync } from "node:fs";
        import process from "node:process";
        import { open } from "../mod.ts";
        const path = process.argv[2];
        const report = (when) => {
          const status = readFileSync("/proc/self/status", "latin1");
          const has = (name) => {
            const mask = status.slice(status.indexOf(name) + name.length + 1).trim();
            return BigInt("0x" + mask.slice(0, 16)) >> 24n & 1n;
          };
          console.log(when, has("SigIgn") ? "ignored" : has("SigCgt") ? "handled" : "default");
        };
        ${prepare}
        report("at first");
        open(path, "c").close();
        report("after reading");
        const map = open(path, "r+");
        report("after opening to write");
        map.insert(4, 2 ** 33);
        try { map.flush(); } catch ({ code }) { console.log(code); }
        map.close({ discard: true });
        process.exit();
      `,
        {
          args: [path],
          under: LIMITED,
        },
      );
      assert.equal(child.status, 0, child.stderr);
      return child.stdout.trimEnd().split("\n");
    };
    const outcome = outcomeOf("");
    // Bun ignores the signal itself. A child ignores what this process ignores.
    const atFirst = !isDeno
      ? "ignored"
      : DEFAULT_SIGNAL.length > 0
      ? "default"
      : outcome[0]!.split(" ")[2];
    assert.deepEqual(outcome, [
      `at first ${atFirst}`,
      `after reading ${atFirst}`,
      "after opening to write ignored",
      "EFBIG",
    ]);
    assert.deepEqual(outcomeOf(`process.on("SIGXFSZ", () => {});`), [
      "at first handled",
      "after reading handled",
      "after opening to write handled",
      "EFBIG",
    ]);
  },
);

test("a thousand rounds of open, edit, flush and close leave nothing behind", {
  timeout: 600_000,
  skip: skipWithoutProc,
}, () => {
  // Rounds rewrite megabytes. On a full disk they would fail for lack of room, and on a
  // busy one each would wait for its writes.
  using folder = temporaryFolder(fastFolder());
  const child = runChild(new URL("./children/rounds.ts", import.meta.url), {
    args: [folder.path],
  });
  assert.equal(child.status, 0, child.stderr);
  assert.equal(child.stdout, "1000 rounds\n");
});

test("flushes that make a new file each leave nothing on the heap", {
  timeout: 120_000,
}, () => {
  using folder = temporaryFolder(fastFolder());
  const child = runChild(
    `
    import * as fs from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    import { collectGarbage } from "./support/support.ts";
    const path = process.argv[2];
    async function heapAfter(rounds) {
      for (let i = 0; i < rounds; i++) {
        fs.writeFileSync(path, "content");
        using map = open(path);
        map.insert(3, 1);
        map.flush({ durable: false });
        if (i % 100 === 0) await new Promise((run) => setTimeout(run));
      }
      for (let i = 0; i < 5; i++) {
        collectGarbage();
        await new Promise((run) => setTimeout(run, 10));
      }
      return process.memoryUsage().heapUsed;
    }
    await heapAfter(1500);
    const before = await heapAfter(1);
    console.log(Math.round((await heapAfter(1500) - before) / 1500));
  `,
    { args: [join(folder.path, "file")] },
  );
  assert.equal(child.status, 0, child.stderr);
  const bytes = Number(child.stdout);
  assert.ok(bytes < 150, `${bytes} bytes a flush`);
});

test(
  "bytes that stay reachable after their map is gone pile up neither mappings nor heap",
  {
    timeout: 120_000,
    skip: skipWithoutProc,
  },
  () => {
    using folder = temporaryFolder();
    const child = runChild(new URL("./children/kept.ts", import.meta.url), {
      args: [folder.path],
    });
    assert.equal(child.status, 0, child.stderr);
    assert.equal(child.stdout.trimEnd().split("\n").length, 5);
  },
);
