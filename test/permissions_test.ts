import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { platformOf } from "../ffi/platform.ts";
import { isDeno, runChild, temporaryFolder } from "./support.ts";

const CONTENT = "0123456789";
const SKIP: string | false = isDeno ? false : "Bun has no permissions";
const STRACE: string | false = SKIP ||
  (spawnSync("strace", ["-e", "trace=none", "true"]).status === 0
    ? false
    : "there is no strace that may trace here");

/** Runs what is to be reported, under the given permissions; answers its lines. */
function report(
  denoPermissions: readonly string[],
  body: string,
  target: string,
  under: readonly string[] = [],
): string[] {
  const child = runChild(
    `
      import process from "node:process";
      import { open } from "../mod.ts";
      const [path, ...others] = process.argv.slice(2)
        .map((argument) => argument.split("|").join("/"));
      function report(act) {
        try {
          console.log(act() ?? "done");
        } catch (error) {
          const isDenos = error instanceof Deno.errors.NotCapable;
          console.log(isDenos ? "NotCapable" : error.stack, error.message.includes(path));
        }
      }
      ${body}
    `,
    // Spelt so that the call that starts the child does not name the path.
    { denoPermissions, args: [target.replaceAll("/", "|")], under },
  );
  assert.equal(child.status, 0, child.stderr);
  return child.stdout.trimEnd().split("\n");
}

/** A folder with one file, and what must be true of it afterwards. */
function oneFile():
  & { folder: string; path: string; assertUnchanged(): void }
  & Disposable {
  const folder = temporaryFolder();
  const path = join(folder.path, "file.dat");
  fs.writeFileSync(path, CONTENT);
  return {
    folder: folder.path,
    path,
    assertUnchanged: () => {
      assert.deepEqual(fs.readdirSync(folder.path), ["file.dat"]);
      assert.equal(fs.readFileSync(path, "utf8"), CONTENT);
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

const OPEN_ALL = `
  report(() => open(path, "r"));
  report(() => open(path, "c"));
  report(() => open(path));
  report(() => open(path, "w+", { length: 5 }));
  report(() => open(path + "new", "w+", { length: 5 }));
`;

test("without --allow-read, opening is NotCapable in every mode", {
  skip: SKIP,
}, () => {
  using file = oneFile();
  const denied = Array(5).fill("NotCapable true");
  assert.deepEqual(report(["--allow-ffi"], OPEN_ALL, file.path), denied);
  assert.deepEqual(
    report(["--allow-ffi", "--allow-write"], OPEN_ALL, file.path),
    denied,
  );
  assert.deepEqual(
    report(["--allow-ffi", "--allow-read=/usr"], OPEN_ALL, file.path),
    denied,
  );
  file.assertUnchanged();
});

test(
  "without --allow-read, no system call names the file",
  { skip: STRACE },
  () => {
    using file = oneFile();
    const trace = join(file.folder, "..", `memmap-trace-${process.pid}`);
    const under = [
      "strace",
      "-f",
      "-s",
      "4096",
      "-e",
      "trace=%file",
      "-o",
      trace,
    ];
    try {
      report(["--allow-ffi", "--allow-write"], OPEN_ALL, file.path, under);
      assert.ok(!fs.readFileSync(trace, "utf8").includes(file.path));
      report(["--allow-ffi", "--allow-read"], OPEN_ALL, file.path, under);
      assert.ok(
        fs.readFileSync(trace, "utf8").includes(file.path),
        "the trace works",
      );
    } finally {
      fs.rmSync(trace, { force: true });
    }
    file.assertUnchanged();
  },
);

test("without --allow-write, 'r' and 'c' open, 'r+' and 'w+' are NotCapable", {
  skip: SKIP,
}, () => {
  using file = oneFile();
  const { path } = file;
  const expected = [
    `<Memmap on file '${path}' with mode='r', length=10, 0 slices>`,
    `<Memmap on file '${path}' with mode='c', length=10, 0 slices>`,
    ...Array(3).fill("NotCapable true"),
  ];
  const body = OPEN_ALL.replaceAll(
    /report\(\(\) => (.*)\);/g,
    "report(() => String($1));",
  );
  assert.deepEqual(
    report(["--allow-ffi", `--allow-read=${file.folder}`], body, path),
    expected,
  );
  const elsewhere = ["--allow-ffi", "--allow-read", "--allow-write=/usr"];
  assert.deepEqual(report(elsewhere, body, path), expected);
  file.assertUnchanged();
});

test(
  "without --allow-ffi, opening is NotCapable, and the file is not touched",
  {
    skip: SKIP,
  },
  () => {
    using file = oneFile();
    const denied = Array(5).fill("NotCapable false");
    assert.deepEqual(
      report(["--allow-read", "--allow-write"], OPEN_ALL, file.path),
      denied,
    );
    const elsewhere = [
      "--allow-read",
      "--allow-write",
      "--allow-ffi=/usr/lib/other.so",
    ];
    assert.deepEqual(report(elsewhere, OPEN_ALL, file.path), denied);
    // Deno gives no ArrayBuffer over a pointer to who may load one library only.
    const [libc] = platformOf(process.platform, process.arch)!.libraries;
    const limited = ["--allow-read", "--allow-write", `--allow-ffi=${libc}`];
    assert.deepEqual(report(limited, OPEN_ALL, file.path), denied);
    file.assertUnchanged();
  },
);

test(
  "--allow-ffi and the file's path for --allow-read are enough to read",
  {
    skip: SKIP,
  },
  () => {
    using file = oneFile();
    const lines = report(
      ["--allow-ffi", `--allow-read=${file.path}`],
      `
      report(() => {
        using map = open(path, "r");
        const [first] = map.slice(0, 5).bytes;
        map.advise("willneed");
        return [first, map.find("89"), map.length].join();
      });
      report(() => {
        using map = open(path, "c");
        map.insert(0, 5).bytes.fill(1);
        return map.length;
      });
    `,
      file.path,
    );
    assert.deepEqual(lines, ["48,8,10", "15"]);
    file.assertUnchanged();
  },
);

test(
  "the file's path for --allow-read and --allow-write is enough for what keeps the inode",
  {
    skip: SKIP,
  },
  () => {
    using file = oneFile();
    const permissions = [
      "--allow-ffi",
      `--allow-read=${file.path}`,
      `--allow-write=${file.path}`,
    ];
    const lines = report(
      permissions,
      `
      const map = open(path);
      map.slice(0, 1).set([65]);
      report(() => map.sync());
      map.insert(map.length, new Uint8Array([66]));
      report(() => map.flush().strategy);
      map.insert(1, new Uint8Array([67]));
      report(() => map.flush({ strategy: "in-place" }).strategy);
      map.insert(map.length, new Uint8Array([68]));
      report(() => map.close());
    `,
      file.path,
    );
    assert.deepEqual(lines, ["done", "extend", "in-place", "done"]);
    assert.equal(fs.readFileSync(file.path, "utf8"), "AC123456789BD");
  },
);

test(
  "a flush that may not write beside the file is NotCapable and keeps the edits",
  {
    skip: SKIP,
  },
  () => {
    using file = oneFile();
    const permissions = [
      "--allow-ffi",
      "--allow-read",
      `--allow-write=${file.path}`,
    ];
    const lines = report(
      permissions,
      `
      const map = open(path);
      const inserted = map.insert(5, new Uint8Array([65]));
      report(() => map.flush().strategy);
      report(() => [map.dirty, map.length, inserted.bytes[0], inserted.state].join());
      report(() => map.close());
      report(() => map.closed);
      report(() => map.close({ discard: true }));
    `,
      file.path,
    );
    assert.match(lines[0], /^NotCapable/);
    assert.equal(lines[1], "true,11,65,floating");
    assert.match(lines[2], /^NotCapable/);
    assert.deepEqual(lines.slice(3), ["false", "done"]);
    file.assertUnchanged();
  },
);

test(
  "flush({ path }) to a path that is not permitted is NotCapable and keeps the edits",
  {
    skip: SKIP,
  },
  () => {
    using file = oneFile();
    using elsewhere = temporaryFolder();
    const target = join(elsewhere.path, "copy.dat");
    const there = elsewhere.path;
    for (
      const permissions of [
        [`--allow-read=${file.folder}`, `--allow-write=${file.folder}`],
        [
          `--allow-read=${file.folder},${there}`,
          `--allow-write=${file.folder}`,
        ],
        [
          `--allow-read=${file.folder}`,
          `--allow-write=${file.folder},${there}`,
        ],
      ]
    ) {
      fs.writeFileSync(file.path, CONTENT);
      const lines = report(
        ["--allow-ffi", ...permissions],
        `
        const map = open(path);
        const { ino } = Deno.statSync(path);
        const inserted = map.insert(5, new Uint8Array([65]));
        report(() => map.flush({ path: ${JSON.stringify(target)} }));
        report(() => [map.dirty, map.length, map.path === path, inserted.bytes[0]].join());
        report(() => Deno.statSync(path).ino === ino && Deno.readTextFileSync(path));
        report(() => map.flush().strategy);
      `,
        file.path,
      );
      assert.match(lines[0], /^NotCapable/, permissions.join(" "));
      assert.deepEqual(lines.slice(1), ["true,11,true,65", CONTENT, "replace"]);
      assert.equal(fs.readFileSync(file.path, "utf8"), "01234A56789");
      assert.deepEqual(fs.readdirSync(there), []);
    }
  },
);

test("importing needs no permission at all", { skip: SKIP }, () => {
  assert.deepEqual(report([], `report(() => typeof open);`, "/nowhere"), [
    "function",
  ]);
});

test("a relative path needs no more permission than the file's own", {
  skip: SKIP,
}, () => {
  using file = oneFile();
  const lines = report(
    ["--allow-ffi", `--allow-read=${file.path}`],
    `report(() => String(open("./file.dat", "r")));`,
    file.path,
    ["env", "-C", file.folder],
  );
  assert.deepEqual(lines, [
    "<Memmap on file './file.dat' with mode='r', length=10, 0 slices>",
  ]);
});
