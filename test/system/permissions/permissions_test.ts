import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { platformOf } from "../../../ffi/platform.ts";
import { open } from "../../../mod.ts";
import {
  commandOf,
  isDeno,
  runChild,
  skipWithoutProc,
  temporaryFolder,
} from "../../support/support.ts";

const CONTENT = "0123456789";
/** In /dev, Deno asks for all permissions: such a folder for temporary files will not do. */
const PARENT = tmpdir().startsWith("/dev/") ? "/var/tmp" : tmpdir();
const SKIP: string | false = isDeno ? false : "Bun has no permissions";
const TRACING: string | false =
  spawnSync("strace", ["-e", "trace=none", "true"]).status === 0
    ? false
    : "strace is missing or may not trace here";
const STRACE: string | false = SKIP || TRACING;

/** Runs a script under the given permissions. Returns the lines that it reports. */
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
    // Spelled so that the call that starts the child does not contain the path.
    { denoPermissions, args: [target.replaceAll("/", "|")], under },
  );
  assert.equal(child.status, 0, child.stderr);
  return child.stdout.trimEnd().split("\n");
}

/** A folder with one file, and an assertion that it has not changed. */
function oneFile():
  & { folder: string; path: string; assertUnchanged(): void }
  & Disposable {
  const folder = temporaryFolder(PARENT);
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
    // Deno makes no ArrayBuffer over a pointer if only one library may be loaded.
    const [libc] = platformOf(process.platform, process.arch)!.libraries;
    const limited = ["--allow-read", "--allow-write", `--allow-ffi=${libc}`];
    assert.deepEqual(report(limited, OPEN_ALL, file.path), denied);
    file.assertUnchanged();
  },
);

test(
  "--allow-ffi, and --allow-read of the file's path, are enough to read",
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
  "--allow-read and --allow-write of the file's path are enough for flushes that keep the inode",
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
    assert.match(lines[0]!, /^NotCapable/);
    assert.equal(lines[1], "true,11,65,floating");
    assert.match(lines[2]!, /^NotCapable/);
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
    using elsewhere = temporaryFolder(PARENT);
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
      assert.match(lines[0]!, /^NotCapable/, permissions.join(" "));
      assert.deepEqual(lines.slice(1), ["true,11,true,65", CONTENT, "replace"]);
      assert.equal(fs.readFileSync(file.path, "utf8"), "01234A56789");
      assert.deepEqual(fs.readdirSync(there), []);
    }
  },
);

test(
  "a flush creates every file beside the file anew, so that it writes through no planted link",
  { skip: TRACING },
  () => {
    using folder = temporaryFolder(PARENT);
    const path = join(folder.path, "file.dat");
    fs.writeFileSync(path, CONTENT);
    const trace = join(folder.path, "..", `memmap-trace-${process.pid}`);
    const calls = "trace=open,openat,creat,rename,renameat,renameat2," +
      "link,linkat,symlink,symlinkat,mknod,mknodat";
    try {
      const child = runChild(
        `
          import process from "node:process";
          import { open } from "../mod.ts";
          const path = process.argv[2];
          using map = open(path);
          for (const [offset, strategy] of [[10, "auto"], [0, "replace"]]) {
            map.insert(offset, 1);
            console.log(map.flush({ strategy }).strategy);
          }
          map.insert(0, 1);
          console.log(map.flush({ path: path + ".copy" }).strategy);
        `,
        {
          args: [path],
          under: ["strace", "-f", "-e", calls, "-s", "4096", "-o", trace],
        },
      );
      assert.equal(child.status, 0, child.stderr);
      assert.equal(child.stdout, "extend\nreplace\nreplace\n");
      const lines = fs.readFileSync(trace, "utf8").split("\n")
        .filter((line) => line.includes(join(folder.path, ".memmap-")));
      const made = lines.filter((line) => line.includes("O_CREAT"));
      const renamed = lines.filter((line) => / rename/.test(line));
      // Three journals and two new files, which are renamed in the end.
      assert.equal(made.length, 5, lines.join("\n"));
      assert.equal(renamed.length, 2, lines.join("\n"));
      for (const line of lines) {
        if (renamed.includes(line)) continue;
        assert.match(line, made.includes(line) ? /O_EXCL/ : /O_NOFOLLOW/);
      }
      const names = made.map((line) => /\.memmap-[^"]*/.exec(line)![0]);
      assert.equal(names.filter((name) => name.endsWith(".journal")).length, 3);
      assert.equal(
        new Set(names).size,
        4,
        "each new file has its own name",
      );
    } finally {
      fs.rmSync(trace, { force: true });
    }
  },
);

test("a file: URL stands for its path, decoded once, or is a TypeError", () => {
  using folder = temporaryFolder(PARENT);
  const name = "100%41 %2e%2e a\nb\tc?d#e\\f.dat";
  const path = join(folder.path, name);
  fs.writeFileSync(path, CONTENT);
  const url = pathToFileURL(path);
  using map = open(url, "r");
  assert.equal(map.path, path);
  const base = pathToFileURL(folder.path).href;
  for (
    const href of [
      `${base}/a%00b`,
      `${base}/%2e%2e%2Fa`,
      `${base}/a%2Fb`,
      `${base}/a%FFb`,
      `${base}/a%C0%AFb`,
      "file://elsewhere/a",
      "data:,a",
      "https://localhost/a",
    ]
  ) {
    const wrong = /^(TypeError|URIError)$/;
    const options = { length: 1 };
    assert.throws(() => open(new URL(href), "r"), { name: wrong }, href);
    assert.throws(
      () => open(new URL(href), "w+", options),
      { name: wrong },
      href,
    );
    assert.throws(() => map.flush({ path: new URL(href) }), { name: wrong });
  }
  assert.deepEqual(fs.readdirSync(folder.path), [name]);
});

test(
  "dots and encoded dots in a path or URL do not lead out of the permitted folder",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside } = folders;
    const lines = report(
      within(inside()),
      `
        const url = new URL("file://" + path.split("%").join("%25") + "/");
        for (
          const given of [
            path + "/../outside/secret.dat",
            path + "/below/../../outside/secret.dat",
            path + "/./..//outside/./secret.dat",
            path + "/none/../../outside/secret.dat",
            path + "/file.dat/../../outside/secret.dat",
            new URL("../outside/secret.dat", url),
            new URL("%2e%2e/outside/secret.dat", url),
            new URL(".%2E/outside/secret%2edat", url),
          ]
        ) {
          for (const mode of ["r", "r+", "w+"]) {
            report(() => open(given, mode, mode === "w+" ? { length: 1 } : {}));
          }
        }
      `,
      inside(),
    );
    assert.equal(lines.length, 24);
    for (const line of lines) assert.match(line, /^NotCapable/);
    folders.assertUntouched();
  },
);

test("importing needs no permission", { skip: SKIP }, () => {
  assert.deepEqual(report([], `report(() => typeof open);`, "/nowhere"), [
    "function",
  ]);
});

test("a relative path needs no permission beyond that for the file", {
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

/** A permitted folder and a forbidden one, side by side. */
function twoFolders():
  & {
    path: string;
    inside(...names: string[]): string;
    outside(...names: string[]): string;
    assertUntouched(): void;
  }
  & Disposable {
  const folder = temporaryFolder(PARENT);
  const inside = (...names: string[]) => join(folder.path, "inside", ...names);
  const outside = (...names: string[]) =>
    join(folder.path, "outside", ...names);
  fs.mkdirSync(inside("below"), { recursive: true });
  fs.mkdirSync(outside());
  fs.writeFileSync(inside("file.dat"), CONTENT);
  fs.writeFileSync(outside("secret.dat"), CONTENT);
  return {
    path: folder.path,
    inside,
    outside,
    assertUntouched: () => {
      assert.deepEqual(fs.readdirSync(outside()), ["secret.dat"]);
      assert.equal(fs.readFileSync(outside("secret.dat"), "utf8"), CONTENT);
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** Permissions to read and write in these folders only. */
function within(...folders: string[]): string[] {
  const list = folders.join(",");
  return ["--allow-ffi", `--allow-read=${list}`, `--allow-write=${list}`];
}

/** Creates links out of the permitted folder, and returns their paths. */
function layLinks(
  { inside, outside }: ReturnType<typeof twoFolders>,
): string[] {
  fs.symlinkSync(outside("secret.dat"), inside("absolute"));
  fs.symlinkSync("../outside/secret.dat", inside("relative"));
  fs.symlinkSync("../../outside/secret.dat", inside("below", "deep"));
  fs.symlinkSync("below/deep", inside("chain"));
  fs.symlinkSync("../outside", inside("folder"));
  fs.symlinkSync("folder", inside("folders"));
  fs.symlinkSync("folders/secret.dat", inside("through"));
  return [
    inside("absolute"),
    inside("relative"),
    inside("below", "deep"),
    inside("chain"),
    inside("folder", "secret.dat"),
    inside("folders", "secret.dat"),
    inside("through"),
    inside("below", "..", "relative"),
    inside("below") + "/../relative",
    inside("folders") + "//./secret.dat",
  ];
}

test(
  "a link inside the permitted folder reaches nothing outside it, in any mode",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    for (const link of layLinks(folders)) {
      const lines = report(
        within(folders.inside()),
        `
          report(() => open(path, "r"));
          report(() => open(path, "c"));
          report(() => open(path));
          report(() => open(path, "r+", { length: 20 }));
          report(() => open(path, "w+", { length: 5 }));
        `,
        link,
      );
      for (const line of lines) assert.match(line, /^NotCapable/, link);
      assert.equal(lines.length, 5);
      folders.assertUntouched();
    }
  },
);

test(
  "a link from a writable folder into a readable one reads, and writes nothing",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    for (const link of layLinks(folders)) {
      const lines = report(
        [
          "--allow-ffi",
          "--allow-read",
          `--allow-write=${folders.inside()}`,
        ],
        `
          report(() => open(path, "r").length);
          report(() => open(path, "c").length);
          report(() => open(path));
          report(() => open(path, "w+", { length: 5 }));
        `,
        link,
      );
      assert.deepEqual(lines.slice(0, 2), ["10", "10"]);
      for (const line of lines.slice(2)) assert.match(line, /^NotCapable/);
      folders.assertUntouched();
    }
  },
);

test(
  "a denied file is also denied through its links",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside } = folders;
    fs.symlinkSync("file.dat", inside("link"));
    const body = `
      report(() => open(path, "r").length);
      report(() => open(path).length);
      report(() => open(path, "w+", { length: 5 }).length);
      using map = open(${
      JSON.stringify(inside("other.dat"))
    }, "w+", { length: 5 });
      report(() => map.flush({ path }).strategy);
    `;
    for (const name of ["file.dat", "link"]) {
      for (const all of [within(inside()), within("/")]) {
        const write = [...all, `--deny-write=${inside("file.dat")}`];
        const lines = report(write, body, inside(name));
        assert.equal(lines[0], "10", name);
        assert.equal(lines.length, 4);
        for (const line of lines.slice(1)) assert.match(line, /^NotCapable/);
        const read = [...all, `--deny-read=${inside("file.dat")}`];
        for (const line of report(read, body, inside(name))) {
          assert.match(line, /^NotCapable/, name);
        }
      }
    }
    assert.equal(fs.readFileSync(inside("file.dat"), "utf8"), CONTENT);
  },
);

test(
  "nothing is created outside the permitted folder through a dangling link or a linked folder",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside, outside } = folders;
    layLinks(folders);
    fs.symlinkSync(outside("new.dat"), inside("dangling"));
    fs.symlinkSync("../outside/new.dat", inside("dangling relative"));
    fs.symlinkSync("dangling", inside("dangling chain"));
    for (
      const path of [
        inside("dangling"),
        inside("dangling relative"),
        inside("dangling chain"),
        inside("folder", "new.dat"),
        inside("folders", "new.dat"),
        inside("..", "outside", "new.dat"),
        inside() + "/../outside/new.dat",
      ]
    ) {
      const lines = report(
        within(inside()),
        `
          report(() => open(path, "w+", { length: 5 }));
          const map = open(${JSON.stringify(inside("file.dat"))}, "r");
          report(() => map.flush({ path }));
        `,
        path,
      );
      assert.equal(lines.length, 2);
      for (const line of lines) assert.match(line, /^NotCapable/, path);
      folders.assertUntouched();
    }
  },
);

test(
  "flush({ path }) to a link that leads out of the permitted folder is NotCapable and keeps the edits",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside } = folders;
    for (const link of layLinks(folders)) {
      const lines = report(
        within(inside()),
        `
          const map = open(${JSON.stringify(inside("file.dat"))}, "c");
          const inserted = map.insert(5, new Uint8Array([65]));
          report(() => map.flush({ path }));
          report(() => [map.dirty, map.length, inserted.bytes[0]].join());
        `,
        link,
      );
      assert.match(lines[0]!, /^NotCapable/, link);
      assert.deepEqual(lines.slice(1), ["true,11,65"]);
      folders.assertUntouched();
    }
    assert.equal(fs.readFileSync(inside("file.dat"), "utf8"), CONTENT);
  },
);

test(
  "swapping a link under an open map leads no flush out of the permitted folder",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside, outside } = folders;
    fs.symlinkSync("file.dat", inside("link"));
    for (const strategy of ["auto", "replace", "in-place"]) {
      for (const offset of [5, 10]) {
        const lines = report(
          // In Deno, creating links needs full permission, so another process does it.
          [...within(inside()), `--allow-run=/bin/ln`],
          `
            const map = open(path);
            map.insert(${offset}, new Uint8Array([65]));
            const to = (target) => new Deno.Command("/bin/ln", {
              args: ["-sfn", target, path],
            }).outputSync();
            to(${JSON.stringify(outside("secret.dat"))});
            report(() => map.flush({ strategy: "${strategy}" }).strategy);
            report(() => map.flush({ path }).strategy);
            to("file.dat");
            report(() => map.dirty && map.length);
          `,
          inside("link"),
        );
        assert.match(lines[0]!, /^ConflictError/);
        assert.ok(lines.some((line) => line.startsWith("NotCapable")));
        assert.equal(lines.at(-1), "11");
        folders.assertUntouched();
        assert.equal(fs.readFileSync(inside("file.dat"), "utf8"), CONTENT);
      }
    }
  },
);

test(
  "a folder that becomes a link while a file in it is opened leads to no other file",
  { skip: SKIP || skipWithoutProc },
  async () => {
    using folders = twoFolders();
    const { inside, outside } = folders;
    fs.mkdirSync(inside("folder"));
    fs.writeFileSync(inside("folder/secret.dat"), CONTENT);
    fs.symlinkSync(outside(), inside("link"));
    const secret = outside("secret.dat");
    fs.writeFileSync(secret, "a secret");
    const [command, ...args] = commandOf(
      new URL("./children/swap_folder.ts", import.meta.url),
      [inside("folder"), inside("link")],
    );
    const swapping = spawn(command!, args, { stdio: "ignore" });
    try {
      const lines = report(
        within(inside()),
        `
          let ours = 0;
          for (let i = 0; ours < 100 || i < 3000; i++) {
            try {
              const map = open(path, i % 2 === 0 ? "r" : "r+");
              if (map.find("secret") === -1) ours++;
              else console.log("a secret");
              map.close({ discard: true });
            } catch (error) {
              if (!/^(ENOENT|ENOTDIR|EACCES|NotCapable)/.test(error.code ?? error.name)) {
                throw error;
              }
            }
          }
          console.log("done");
        `,
        inside("folder/secret.dat"),
      );
      assert.deepEqual(lines, ["done"]);
    } finally {
      swapping.kill("SIGKILL");
      await once(swapping, "close");
    }
    assert.equal(fs.readFileSync(secret, "utf8"), "a secret");
  },
);

test(
  "links within the permitted folder are followed, even if the folder is reached by links",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside, path: parent } = folders;
    fs.symlinkSync("../file.dat", inside("below", "link"));
    fs.symlinkSync("new.dat", inside("dangling"));
    // /tmp and /var are links on macOS. The permission is for the name.
    fs.symlinkSync("inside", join(parent, "alias"));
    fs.mkdirSync(join(parent, "links"));
    fs.symlinkSync("..", join(parent, "links", "up"));
    for (
      const root of [
        inside(),
        join(parent, "alias"),
        join(parent, "links", "up", "alias"),
      ]
    ) {
      fs.writeFileSync(inside("file.dat"), CONTENT);
      const lines = report(
        within(root),
        `
          report(() => open(path + "/below/link", "r").length);
          {
            using map = open(path + "/below/link");
            map.insert(10, new Uint8Array([65]));
            report(() => map.flush().strategy);
            map.insert(5, new Uint8Array([66]));
            report(() => map.flush().strategy);
            report(() => map.flush({ path: path + "/dangling" }).strategy);
            map.insert(0, 1);
            report(() => map.flush({ path: path + "/copy.dat" }).strategy);
          }
          report(() => open(path + "/made.dat", "w+", { length: 3 }).length);
        `,
        root,
      );
      assert.deepEqual(
        lines,
        ["10", "extend", "replace", "replace", "replace", "3"],
        root,
      );
      assert.equal(fs.readFileSync(inside("file.dat"), "utf8"), "01234B56789A");
      assert.equal(fs.readFileSync(inside("new.dat"), "utf8"), "01234B56789A");
      assert.equal(fs.readlinkSync(inside("dangling")), "new.dat");
      assert.deepEqual(fs.readdirSync(inside()).sort(), [
        "below",
        "copy.dat",
        "dangling",
        "file.dat",
        "made.dat",
        "new.dat",
      ]);
      for (const name of ["copy.dat", "made.dat", "new.dat"]) {
        fs.rmSync(inside(name));
      }
    }
    folders.assertUntouched();
  },
);

test(
  "a link that a permission names may be used for flushes that keep the inode",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside, outside } = folders;
    layLinks(folders);
    const lines = report(
      within(inside("absolute")),
      `
        const map = open(path);
        map.insert(10, new Uint8Array([65]));
        report(() => map.flush().strategy);
        map.insert(5, new Uint8Array([66]));
        report(() => map.flush());
        report(() => map.flush({ strategy: "in-place" }).strategy);
      `,
      inside("absolute"),
    );
    assert.equal(lines[0], "extend");
    assert.match(lines[1]!, /^NotCapable/);
    assert.equal(lines[2], "in-place");
    assert.equal(
      fs.readFileSync(outside("secret.dat"), "utf8"),
      "01234B56789A",
    );
    assert.ok(fs.lstatSync(inside("absolute")).isSymbolicLink());
  },
);

test(
  "a link to a name that is not valid text does not lead out of the permitted folder",
  { skip: SKIP },
  (t) => {
    using folders = twoFolders();
    const { inside, outside } = folders;
    const made = spawnSync("sh", [
      "-c",
      'name=$(printf "\\377") && cp "$1/secret.dat" "$1/$name" && ' +
      'ln -s "$1/$name" "$2/link" && ' +
      'mkdir "$1/d$name" && cp "$1/secret.dat" "$1/d$name/secret.dat" && ' +
      'ln -s "$1/d$name" "$2/folder"',
      "sh",
      outside(),
      inside(),
    ]);
    if (made.status !== 0) {
      return t.skip("this file system only allows names that are text");
    }
    for (const path of [inside("link"), inside("folder", "secret.dat")]) {
      assert.equal(fs.statSync(path).size, 10);
      const permissions = [
        within(inside()),
        ["-A", `--deny-read=${outside()}`, `--deny-write=${outside()}`],
      ];
      for (const flags of permissions) {
        const lines = report(
          flags,
          `
          const nameOf = (act) => {
            try {
              return act();
            } catch ({ name }) {
              return name;
            }
          };
          for (const mode of ["r", "c", "r+"]) {
            report(() => nameOf(() => open(path, mode).length));
          }
          report(() => nameOf(() => open(path, "w+", { length: 3 }).length));
          using map = open(${JSON.stringify(inside("file.dat"))}, "r");
          report(() => nameOf(() => map.flush({ path }).strategy));
        `,
          path,
        );
        assert.equal(lines.length, 5);
        for (const line of lines) {
          assert.match(line, /^(SystemError|InvalidData|NotCapable)$/);
        }
        assert.equal(fs.readFileSync(path, "utf8"), CONTENT);
      }
    }
  },
);

test(
  "a worker reaches only what its own permissions allow",
  { skip: SKIP },
  () => {
    using folders = twoFolders();
    const { inside } = folders;
    layLinks(folders);
    const child = runChild(
      `
        import process from "node:process";
        import { open } from "../mod.ts";
        if (typeof WorkerGlobalScope === "undefined") {
          const [inside, link, outside] = process.argv.slice(2);
          open(outside).close(); // the thread that starts it has all permissions
          const worker = new Worker(import.meta.url, {
            type: "module",
            deno: { permissions: { ffi: true, read: [inside], write: [inside] } },
          });
          worker.onmessage = ({ data }) => {
            if (data === "ready") {
              worker.postMessage([inside + "/file.dat", link, outside]);
              return;
            }
            console.log(data.join());
            worker.terminate();
          };
        } else {
          self.onmessage = ({ data }) => {
            const ends = [];
            for (const path of data) {
              for (const mode of ["r", "c", "r+"]) {
                try {
                  ends.push(open(path, mode).length);
                } catch ({ name }) {
                  ends.push(name);
                }
              }
            }
            self.postMessage(ends);
          };
          self.postMessage("ready");
        }
      `,
      {
        denoPermissions: ["-A", "--unstable-worker-options"],
        args: [inside(), inside("chain"), folders.outside("secret.dat")],
      },
    );
    assert.equal(child.status, 0, child.stderr);
    assert.deepEqual(child.stdout.trimEnd().split(","), [
      ...Array(3).fill("10"),
      ...Array(6).fill("NotCapable"),
    ]);
    folders.assertUntouched();
  },
);

test(
  "create makes no file without --allow-write, and needs it for that file alone",
  {
    skip: SKIP,
  },
  () => {
    using file = oneFile();
    const path = join(file.folder, "new.dat");
    const make = `
    report(() => open(path, "r+", { create: true }).close());
    report(() => open(path + "too", "r+", { create: true }).close());
  `;
    const denied = Array(2).fill("NotCapable true");
    const read = `--allow-read=${file.folder}`;
    assert.deepEqual(report(["--allow-ffi", read], make, path), denied);
    const write = `--allow-write=${file.folder}`;
    assert.deepEqual(report(["--allow-ffi", write], make, path), denied);
    file.assertUnchanged();
    const both = [`--allow-read=${path}`, `--allow-write=${path}`];
    assert.deepEqual(report(["--allow-ffi", ...both], make, path), [
      "done",
      "NotCapable true",
    ]);
    assert.deepEqual(fs.readdirSync(file.folder).sort(), [
      "file.dat",
      "new.dat",
    ]);
  },
);

test("read, write, append and refresh need what the map was opened with", {
  skip: SKIP,
}, () => {
  using file = oneFile();
  const { path } = file;
  const act = `
    const { appendFileSync, renameSync, writeFileSync } = await import("node:fs");
    const map = open(path, "r+");
    report(() => map.write([65], 0));
    map.append(1);
    report(() => map.flush().strategy);
    appendFileSync(path, "x");
    report(() => map.refresh());
    report(() => map.read().length);
    Deno.permissions.revokeSync({ name: "read" });
    report(() => map.refresh());
    report(() => map.mappedLength);
  `;
  const both = [`--allow-read=${file.folder}`, `--allow-write=${file.folder}`];
  const lines = report(["--allow-ffi", ...both], act, path);
  assert.deepEqual(lines.slice(0, 4), ["done", "extend", "true", "12"]);
  // What may not be looked up is not there, as map.stale says, too.
  assert.match(lines[4]!, /^ConflictError.*no file at its path/);
  assert.equal(lines.at(-1), "12");
});

test("load, residency and lock need what the map was opened with", {
  skip: SKIP,
}, () => {
  using file = oneFile();
  const act = `
    const map = open(path, "r");
    await map.load();
    report(() => map.residency());
    const lock = await map.lock();
    report(() => lock[Symbol.dispose]());
    map.close();
  `;
  const read = [`--allow-read=${file.path}`];
  const lines = report(["--allow-ffi", ...read], act, file.path);
  assert.deepEqual(lines, ["1", "done"]);
  file.assertUnchanged();
});
