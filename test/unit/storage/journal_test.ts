/**
 * The journal of appends and new files, and recovery: what an open finds after a kill or
 * a power cut, and what it must not touch.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { libc } from "../../../ffi/libc.ts";
import { open, type Strategy } from "../../../mod.ts";
import { MappedFile } from "../../../src/storage/mapped_file.ts";
import {
  journalPath,
  temporaryName,
} from "../../../src/storage/journal/format.ts";
import { Journal } from "../../../src/storage/journal/journal.ts";
import type { OpenFile } from "../../../src/storage/open_file.ts";
import type { Steps } from "../../../src/storage/steps.ts";
import { temporaryFolder, withLibc } from "../../support/support.ts";

const OLD = "the old content";
const ADDED = "all of what is appended";

/** A file, its content, and the names of the files beside it. */
function fileIn(folder: string, name = "some file.dat") {
  const path = join(folder, name);
  fs.writeFileSync(path, OLD);
  return {
    path,
    content: () => fs.readFileSync(path, "latin1"),
    beside: () => fs.readdirSync(folder).filter((other) => other !== name),
    append: (text: string) => fs.appendFileSync(path, text),
  };
}

/** Runs all steps. */
function run<T>(steps: Steps<T>): T {
  let next = steps.next();
  while (!next.done) next = steps.next(next.value.run());
  return next.value;
}

/** Leaves the journal of a process that was killed during an append. */
function killWithinAppend(path: string, added = ADDED): string {
  const { file } = MappedFile.open(path, path, "r+", true);
  const journal = Journal.begin(fs.realpathSync(path))!;
  const bytes = new TextEncoder().encode(added);
  const write = function* (own: OpenFile, offset: number): Steps {
    yield {
      run() {
        own.write(bytes, offset);
        return bytes.length;
      },
    };
  };
  assert.ok(run(journal.noteAppend(file, bytes.length, true, write)));
  const name = fs.readdirSync(journal.folder)
    .find((name) => name.endsWith(".journal"));
  const place = join(journal.folder, name!);
  journal.leave(); // a kill closes the descriptors, which drops the lock
  file.close();
  return place;
}

/** Makes a journal look older than the last start of the system. */
function restartSystem(place: string): void {
  const journal = fs.readFileSync(place, "latin1");
  const restarted = journal.replace(
    /(?<="boot":")[^"]*/,
    (id) => "0".repeat(id.length),
  );
  fs.writeFileSync(place, restarted, "latin1");
}

test("a killed append is finished by the next writable open, and is not seen until then", () => {
  for (let begun = 1; begun <= ADDED.length; begun++) {
    using folder = temporaryFolder();
    const { path, content, beside, append } = fileIn(folder.path);
    killWithinAppend(path);
    append(ADDED.slice(0, begun));
    for (const mode of ["r", "c", "r"] as const) {
      using map = open(path, mode);
      assert.equal(map.length, OLD.length, mode);
      assert.equal(map.find("all of"), -1);
    }
    assert.equal(content(), OLD + ADDED.slice(0, begun));
    {
      using map = open(path);
      assert.equal(map.length, OLD.length + ADDED.length);
    }
    assert.equal(content(), OLD + ADDED);
    assert.deepEqual(beside(), []);
  }
});

test("an append killed before its first byte has not happened", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  killWithinAppend(path);
  open(path, "r").close();
  open(path).close();
  assert.equal(content(), OLD);
  assert.deepEqual(beside(), []);
});

test("zeros left by a power cut before the bytes were on disk are filled in", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  const added = "x".repeat(10_000);
  restartSystem(killWithinAppend(path, added));
  // To the end of one disk block; the file's new size was on disk first.
  fs.appendFileSync(path, added.slice(0, 1024 - OLD.length));
  fs.truncateSync(path, 1024 + 512);
  open(path).close();
  assert.equal(content(), OLD + added);
});

test("a file that another process is appending to is not opened for writing", () => {
  using folder = temporaryFolder();
  const { path, append } = fileIn(folder.path);
  const place = killWithinAppend(path);
  append(ADDED[0]!);
  const fd = fs.openSync(place, "r+");
  const c = libc();
  assert.equal(c.flock(fd, c.constants.LOCK_EX), 0);
  assert.throws(() => open(path), { name: "SystemError", code: "EBUSY" });
  open(path, "r").close();
  fs.closeSync(fd);
  using map = open(path);
  assert.equal(map.length, OLD.length + ADDED.length);
});

test("whoever holds the journal for a moment is waited for", () => {
  using folder = temporaryFolder();
  const { path, beside } = fileIn(folder.path);
  const real = libc();
  const EAGAIN = process.platform === "darwin" ? 35 : 11;
  using map = open(path);
  map.insert(map.length, new Uint8Array([66]));
  // The file's own lock, and then the journal's.
  const refusals = [true, true, true, false, true, true, true];
  let isRefused = false;
  let journals: string[] = [];
  withLibc({
    flock: (...values) => {
      isRefused = values[1] !== real.constants.LOCK_UN &&
        refusals.shift() === true;
      return isRefused ? -1 : real.flock(...values);
    },
    errno: () => isRefused ? (isRefused = false, EAGAIN) : real.errno(),
  }, () => map.flush({ onProgress: () => journals = beside() }));
  assert.deepEqual(refusals, []);
  assert.equal(journals.length, 1);
  assert.deepEqual(beside(), []);
});

test("opens that come in between, one after the other, leave a flush its journal", () => {
  using folder = temporaryFolder();
  const { path, beside } = fileIn(folder.path);
  const EAGAIN = process.platform === "darwin" ? 35 : 11;
  const real = libc();
  using map = open(path);
  map.append(1);
  // The file's own lock; then each open takes the new journal for a dead one, and has
  // the lock of it first.
  let locks = 0;
  let isRefused = false;
  const { atomic } = withLibc({
    flock: (...values) => {
      const isLock = values[1] !== real.constants.LOCK_UN;
      if (isLock) locks++;
      isRefused = isLock && locks <= 16 && locks % 2 === 0;
      return isRefused ? -1 : real.flock(...values);
    },
    errno: () => isRefused ? (isRefused = false, EAGAIN) : real.errno(),
  }, () => map.flush());
  assert.equal(atomic, true);
  assert.ok(locks > 16);
  assert.deepEqual(beside(), []);
});

test("while another process has the journal, a flush is EBUSY, and can be made later", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  for (const offset of [OLD.length, 0]) {
    fs.writeFileSync(path, OLD);
    const other = Journal.begin(fs.realpathSync(path))!;
    using map = open(path);
    const slice = map.insert(offset, new Uint8Array([66]));
    assert.throws(() => map.flush(), { name: "SystemError", code: "EBUSY" });
    assert.equal(content(), OLD);
    assert.deepEqual([map.dirty, slice.state], [true, "floating"]);
    other.end();
    map.flush();
    assert.equal(map.find("B"), offset);
    assert.deepEqual(beside(), []);
  }
});

test("on a system without locks, nothing is left beside the file", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  const real = libc();
  const ENOLCK = process.platform === "darwin" ? 77 : 37;
  let isLocking = false;
  withLibc({
    flock: () => (isLocking = true, -1),
    errno: () => isLocking ? (isLocking = false, ENOLCK) : real.errno(),
  }, () => {
    using map = open(path);
    map.insert(0, new Uint8Array([65]));
    assert.ok(map.flush({ strategy: "replace" }).atomic);
    map.insert(map.length, new Uint8Array([66]));
    assert.ok(!map.flush().atomic);
    assert.deepEqual(beside(), []);
  });
  assert.equal(content(), `A${OLD}B`);
});

test("bytes of another program are never touched, whatever a journal says", () => {
  const others = [
    "a line",
    `${ADDED.slice(0, 5)}?`,
    `${ADDED} and more`,
    `${ADDED.slice(0, -1)}!`,
    "\0",
  ];
  for (const other of others) {
    using folder = temporaryFolder();
    const { path, content, beside, append } = fileIn(folder.path);
    killWithinAppend(path);
    append(other);
    {
      using map = open(path, "r");
      assert.equal(map.length, OLD.length + other.length);
    }
    open(path).close();
    assert.equal(content(), OLD + other);
    assert.deepEqual(beside(), []);
  }
});

test("a journal does not apply to another file of the same name", () => {
  using folder = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  killWithinAppend(path);
  fs.renameSync(path, `${path} before`);
  const other = OLD.toUpperCase() + ADDED.slice(0, 5);
  fs.writeFileSync(path, other);
  open(path).close();
  assert.equal(content(), other);
});

test("a flush first settles the journal of one that died", () => {
  for (const strategy of ["auto", "replace", "in-place"] as const) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path);
    using map = open(path);
    killWithinAppend(path);
    map.insert(OLD.length, new TextEncoder().encode("all"));
    map.flush({ strategy });
    assert.deepEqual(beside(), [], strategy);
    open(path).close();
    assert.equal(content(), `${OLD}all`, strategy);
  }
});

test("a journal without any entry is removed, with the file that was created", () => {
  for (const text of ["", '{"size":', "null", " ".repeat(4096)]) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path);
    const place = killWithinAppend(path);
    fs.writeFileSync(place, text);
    fs.writeFileSync(join(folder.path, temporaryName(path)), "unfinished");
    open(path, "r").close();
    assert.equal(beside().length, 2);
    open(path).close();
    assert.equal(content(), OLD);
    assert.deepEqual(beside(), [], text);
  }
});

test("an unfinished new file is removed only by the next writable open", () => {
  using folder = temporaryFolder();
  const { path, beside } = fileIn(folder.path);
  const name = temporaryName(path);
  const journal = Journal.begin(path)!;
  run(journal.noteCreated(name, true));
  fs.writeFileSync(join(folder.path, name), "unfinished");
  // While the flush is alive, nothing is touched.
  open(path).close();
  assert.equal(beside().length, 2);
  journal.leave();
  open(path, "r").close();
  open(path, "c").close();
  assert.equal(beside().length, 2);
  open(path).close();
  assert.deepEqual(beside(), []);
});

test("a journal cannot make us remove a file that no flush created", () => {
  using folder = temporaryFolder();
  const { path } = fileIn(folder.path);
  const victim = join(folder.path, "victim");
  fs.writeFileSync(victim, OLD);
  for (const name of ["victim", "../victim", victim, ".memmap-victim"]) {
    const journal = Journal.begin(path)!;
    run(journal.noteCreated(name, false));
    journal.leave();
    open(path).close();
    assert.equal(fs.readFileSync(victim, "latin1"), OLD);
  }
});

test("entries that no flush can have written are ignored, and block nobody from the file", () => {
  using folder = temporaryFolder();
  using outside = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  const prefix = temporaryName(path).replace(/[0-9a-f]{24}$/, "");
  const random = "0123456789abcdef01234567";
  const secret = join(outside.path, `${prefix}${random}`);
  const victims = [
    secret,
    join(folder.path, "victim"),
    join(folder.path, `${prefix}notes`),
    join(folder.path, `${prefix}${random}0`),
    join(folder.path, `${prefix}${random.toUpperCase()}`),
    join(folder.path, temporaryName(join(folder.path, "victim"))),
  ];
  const { ino, birthtimeMs } = fs.statSync(path, { bigint: true });
  const identity = { inode: `${ino}`, born: `${birthtimeMs}` };
  const notes: unknown[] = [
    ...victims.map((victim) => ({ created: basename(victim) })),
    ...victims.map((victim) => ({ created: victim })),
    { created: join("..", basename(outside.path), basename(secret)) },
    { created: "" },
    { created: "." },
    { created: ".." },
    { created: "/" },
    { created: `${prefix}${random}/..` },
    { created: `${prefix}${random}\0` },
    { created: `${prefix}\0${random}` },
    { created: `${prefix}${"0".repeat(300)}` },
    { created: `${prefix}${random}\n` },
    { created: 1 },
    { created: [basename(victims[1]!)] },
    ...[-1, -(2 ** 52), 0, 1e300, null, "0", 2 ** 53]
      .flatMap((number) => [
        { ...identity, size: number, added: 8 },
        { ...identity, size: number, added: 2 ** 40 },
        { ...identity, size: OLD.length - 1, added: number },
        { ...identity, size: number, added: number },
      ]),
    [],
    0,
    "text",
    { __proto__: null, constructor: 1 },
  ];
  const place = killWithinAppend(path);
  for (const note of notes) {
    for (const victim of victims) fs.writeFileSync(victim, OLD);
    const text = JSON.stringify(note);
    fs.writeFileSync(place, text.padEnd(4096) + "\0".repeat(8));
    // A sparse file, as long as the entry says.
    const { added } = Object(note) as { added: number };
    if (added === 2 ** 40) fs.truncateSync(place, 4096 + added);
    open(path, "r").close();
    {
      using map = open(path);
      assert.equal(map.length, OLD.length, text);
    }
    assert.equal(content(), OLD, text);
    for (const victim of victims) {
      assert.equal(fs.readFileSync(victim, "latin1"), OLD, text);
    }
    assert.equal(beside().length, victims.length - 1, text);
  }
  // An empty journal: only what looks like a flush's new file is removed.
  fs.writeFileSync(place, "");
  open(path).close();
  assert.deepEqual(victims.filter((victim) => !fs.existsSync(victim)), []);
});

test("a killed append beside the target of a symbolic link is finished", () => {
  using folder = temporaryFolder();
  using links = temporaryFolder();
  const { path, content, beside, append } = fileIn(folder.path);
  const link = join(links.path, "link");
  fs.symlinkSync(path, link);
  killWithinAppend(link);
  append(ADDED[0]!);
  open(link).close();
  assert.equal(content(), OLD + ADDED);
  assert.deepEqual(beside(), []);
});

test("links and folders in place of a journal are neither followed nor removed", () => {
  using folder = temporaryFolder();
  const { path, content, append } = fileIn(folder.path);
  const place = killWithinAppend(path);
  append(ADDED[0]!);
  const elsewhere = join(folder.path, "elsewhere");
  fs.renameSync(place, elsewhere);
  for (
    const plant of [
      () => fs.symlinkSync(elsewhere, place),
      () => fs.linkSync(elsewhere, place),
      () => fs.mkdirSync(place),
    ]
  ) {
    plant();
    open(path).close();
    {
      using map = open(path);
      map.insert(0, new Uint8Array(1));
      map.flush();
      map.insert(map.length, new Uint8Array(1));
    }
    assert.ok(fs.existsSync(place));
    assert.ok(fs.existsSync(elsewhere));
    fs.rmSync(place, { recursive: true });
  }
  assert.equal(content(), `\0\0\0${OLD}${ADDED[0]}\0\0\0`);
});

test("anything planted under the name of a journal or a new file is not opened, followed or removed", async () => {
  using folder = temporaryFolder();
  using outside = temporaryFolder();
  const { path, content } = fileIn(folder.path);
  const journal = killWithinAppend(path);
  fs.rmSync(journal);
  const created = join(folder.path, temporaryName(path));
  const target = join(outside.path, "target");
  const server = createServer();
  const plants: Record<string, (place: string) => void | Promise<void>> = {
    dangling: (place) => fs.symlinkSync(target, place),
    loop: (place) => fs.symlinkSync(basename(place), place),
    "to the file": (place) => fs.symlinkSync(path, place),
    "to a folder": (place) => fs.symlinkSync(outside.path, place),
    folder: (place) => fs.mkdirSync(place),
    "hard link": (place) => fs.linkSync(join(outside.path, "other"), place),
    pipe: (place) => {
      assert.equal(spawnSync("mkfifo", [place]).status, 0);
    },
    socket: (place) =>
      new Promise((resolve) => server.listen(place, () => resolve())),
  };
  fs.writeFileSync(join(outside.path, "other"), OLD);
  for (const [what, plant] of Object.entries(plants)) {
    for (const place of [journal, created]) {
      fs.writeFileSync(path, OLD);
      await plant(place);
      const { ino } = fs.lstatSync(place);
      if (place === created) fs.writeFileSync(journal, ""); // "I made something"
      for (const mode of ["r", "c", "r+"] as const) open(path, mode).close();
      {
        using map = open(path);
        map.insert(map.length, new Uint8Array([65]));
        map.flush();
        map.insert(0, new Uint8Array([66]));
        assert.equal(map.flush().strategy, "replace", what);
        map.insert(0, new Uint8Array([67]));
        map.flush({ strategy: "in-place" });
      }
      assert.equal(content(), `CB${OLD}A`, what);
      assert.equal(fs.lstatSync(place).ino, ino, what);
      assert.deepEqual(
        fs.readdirSync(folder.path).sort(),
        [basename(place), basename(path)].sort(),
      );
      assert.deepEqual(fs.readdirSync(outside.path), ["other"], what);
      const other = fs.readFileSync(join(outside.path, "other"), "latin1");
      assert.equal(other, OLD, what);
      if (what === "socket") {
        await new Promise((resolve) => server.close(resolve));
      }
      fs.rmSync(place, { recursive: true, force: true });
    }
  }
});

test(
  "a pipe under a journal's name is not even opened",
  {
    skip: fs.existsSync("/proc/self/fd") ? false : "there is no /proc here",
  },
  async () => {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path);
    const place = killWithinAppend(path);
    fs.rmSync(place);
    assert.equal(spawnSync("mkfifo", [place]).status, 0);
    // A writer that waits for a reader would continue if the pipe were opened.
    const writer = spawn("sh", ["-c", ': > "$1"', "sh", place]);
    const ended = new Promise((resolve) => writer.on("exit", resolve));
    const isWaiting = () =>
      /fifo|pipe|wait_for_partner/.test(
        fs.readFileSync(`/proc/${writer.pid}/wchan`, "latin1"),
      );
    for (let tries = 0; tries < 200 && !isWaiting(); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    open(path, "r").close();
    open(path).close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(writer.exitCode, null);
    writer.kill("SIGKILL");
    await ended;
  },
);

test(
  "a file that was unlinked can be opened through /proc",
  {
    skip: fs.existsSync("/proc/self/fd") ? false : "there is no /proc here",
  },
  () => {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path);
    const fd = fs.openSync(path, "r+");
    fs.unlinkSync(path);
    using map = open(`/proc/self/fd/${fd}`, "r");
    assert.equal(map.length, OLD.length);
    fs.closeSync(fd);
  },
);

test(
  "another user's journal is not trusted",
  { skip: process.geteuid?.() !== 0 && "only root can give files away" },
  () => {
    using folder = temporaryFolder();
    const { path, content, append } = fileIn(folder.path);
    const place = killWithinAppend(path);
    append(ADDED[0]!);
    fs.chownSync(place, 12345, 12345);
    open(path).close();
    assert.equal(content(), OLD + ADDED[0]);
    assert.ok(fs.existsSync(place));
  },
);

test("nobody waits for what has a journal's name and is not ours, and a flush says so", () => {
  const isRoot = process.geteuid?.() === 0;
  const kinds: Record<string, (place: string) => void> = {
    link: (place) => fs.symlinkSync("nowhere", place),
    folder: (place) => fs.mkdirSync(place),
    linked: (place) => {
      fs.writeFileSync(`${place}-other`, "");
      fs.linkSync(`${place}-other`, place);
    },
    ...(isRoot && {
      foreign: (place: string) => {
        fs.writeFileSync(place, "theirs");
        fs.chownSync(place, 12345, 12345);
      },
    }),
  };
  for (const [kind, make] of Object.entries(kinds)) {
    using folder = temporaryFolder();
    const { path, content } = fileIn(folder.path);
    make(journalPath(path));
    const { wait } = Atomics;
    let waits = 0;
    Atomics.wait = ((...values: Parameters<typeof wait>) => {
      waits++;
      return wait(...values);
    }) as typeof wait;
    try {
      using map = open(path);
      const flush = (at: number, strategy: Strategy = "auto") => {
        map.insert(at, Buffer.from("new"));
        const result = map.flush({ strategy });
        return [result.strategy, result.atomic];
      };
      assert.deepEqual(flush(map.mappedLength), ["extend", false], kind);
      assert.deepEqual(flush(0), ["replace", true], kind);
      const end = map.mappedLength;
      assert.deepEqual(flush(end, "replace"), ["replace", true], kind);
      assert.deepEqual(flush(0, "in-place"), ["in-place", false], kind);
    } finally {
      Atomics.wait = wait;
    }
    assert.equal(waits, 0, kind);
    assert.equal(content(), `newnew${OLD}newnew`);
    assert.ok(fs.lstatSync(journalPath(path)));
  }
});

test(
  "an empty file of somebody else's does not keep a flush from having its journal",
  { skip: process.geteuid?.() !== 0 && "only root can give files away" },
  () => {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path);
    const place = journalPath(path);
    fs.writeFileSync(place, "");
    fs.chownSync(place, 12345, 12345);
    using map = open(path);
    assert.equal(fs.statSync(place).size, 0, "an open alone removes nothing");
    map.insert(map.mappedLength, Buffer.from("new"));
    let noted = 0;
    const { atomic } = map.flush({
      onProgress: () => noted = fs.statSync(place).size,
    });
    assert.ok(noted > 3, `${noted} bytes in the journal`);
    assert.equal(atomic, true);
    assert.equal(content(), `${OLD}new`);
    assert.deepEqual(beside(), []);
  },
);

test("zeros that another program wrote are not taken for an append's, unless the system was restarted", () => {
  for (const isRestarted of [false, true]) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path);
    const added = "x".repeat(10_000);
    const place = killWithinAppend(path, added);
    if (isRestarted) restartSystem(place);
    fs.truncateSync(path, 2048);
    {
      using map = open(path, "r");
      assert.equal(map.length, isRestarted ? OLD.length : 2048);
    }
    open(path).close();
    assert.equal(content(), isRestarted ? OLD + added : OLD.padEnd(2048, "\0"));
    assert.deepEqual(beside(), []);
  }
});

test("a killed append is also finished in a copy of the file, but not in another file", () => {
  for (const isCopy of [true, false]) {
    using folder = temporaryFolder();
    using backup = temporaryFolder();
    const { path, append } = fileIn(folder.path);
    const place = killWithinAppend(path);
    append(ADDED.slice(0, 5));
    const copy = join(backup.path, basename(path));
    fs.copyFileSync(path, copy);
    fs.copyFileSync(place, join(backup.path, basename(place)));
    if (!isCopy) fs.writeFileSync(copy, `1${OLD.slice(1)}${ADDED.slice(0, 5)}`);
    {
      using map = open(copy, "r");
      assert.equal(map.length, OLD.length + (isCopy ? 0 : 5));
    }
    open(copy).close();
    assert.equal(
      fs.readFileSync(copy, "latin1"),
      isCopy ? OLD + ADDED : `1${OLD.slice(1)}${ADDED.slice(0, 5)}`,
    );
    assert.deepEqual(fs.readdirSync(backup.path), [basename(path)]);
  }
});

test("whoever may read the file may read its journal, and nobody else", () => {
  const isRoot = process.geteuid?.() === 0;
  for (const mode of [0o600, 0o640, 0o644, 0o604, 0o664]) {
    using folder = temporaryFolder();
    const { path } = fileIn(folder.path);
    fs.chmodSync(path, mode);
    if (isRoot) fs.chownSync(path, 12345, 54321);
    let stat: fs.Stats | undefined;
    using map = open(path);
    // Also after a replace, when the map uses another file.
    for (let turn = 0; turn < 2; turn++) {
      map.insert(map.length, new Uint8Array(9));
      map.flush({
        onProgress() {
          const [name] = fs.readdirSync(folder.path)
            .filter((name) => name.endsWith(".journal"));
          stat = fs.statSync(join(folder.path, name!));
        },
      });
      const { uid, gid } = fs.statSync(path);
      assert.equal(stat!.mode & 0o777, 0o600 | mode & 0o044);
      assert.deepEqual([stat!.uid, stat!.gid], [uid, gid]);
      map.insert(0, 1);
      map.flush();
    }
  }
});

test(
  "a reader without permission to read the journal does not see a part of an append",
  {
    skip: process.geteuid?.() === 0 && "root may read everything",
  },
  () => {
    using folder = temporaryFolder();
    const { path, append } = fileIn(folder.path);
    const place = killWithinAppend(path);
    append(ADDED.slice(0, 5));
    fs.chmodSync(place, 0);
    assert.throws(() => open(path, "r"), {
      name: "SystemError",
      code: "EBUSY",
      message: /may not be read/,
    });
    fs.chmodSync(place, 0o600);
    open(path, "r").close();
  },
);

test("a killed append is known by the name it was flushed by alone", () => {
  const part = ADDED.slice(0, 7);
  for (const isFinished of [true, false]) {
    using folder = temporaryFolder();
    const { path, content, append, beside } = fileIn(folder.path);
    const other = join(folder.path, "other name");
    fs.linkSync(path, other);
    const place = killWithinAppend(path);
    append(part);
    const lengthOf = (path: string, mode: "r" | "c" | "r+") => {
      using map = open(path, mode);
      return map.length;
    };
    // As documented: by its other name, the file has a part of the append.
    for (const mode of ["r", "c", "r+"] as const) {
      assert.equal(lengthOf(other, mode), OLD.length + part.length, mode);
    }
    assert.equal(lengthOf(path, "r"), OLD.length);
    assert.ok(fs.existsSync(place));
    if (isFinished) {
      assert.equal(lengthOf(path, "r+"), OLD.length + ADDED.length);
      assert.equal(content(), OLD + ADDED);
    } else {
      // What is flushed by the other name meanwhile stays, and so does the part.
      {
        using map = open(other);
        map.insert(map.mappedLength, new TextEncoder().encode("new"));
      }
      const length = OLD.length + part.length + 3;
      assert.equal(lengthOf(path, "r+"), length);
      assert.equal(content(), `${OLD}${part}new`);
    }
    assert.deepEqual(beside(), ["other name"]);
  }
});

test("bytes that another program appends during the recovery of an append stay", () => {
  using folder = temporaryFolder();
  const { path, content, beside, append } = fileIn(folder.path);
  const added = "x".repeat(3 * 2 ** 20);
  killWithinAppend(path, added);
  append(added.slice(0, 5));
  const { measure } = MappedFile.prototype;
  const LINE = "another's line";
  let measured = 0;
  MappedFile.prototype.measure = function () {
    // After a third of it has been written.
    if (fs.statSync(path).size > 2 ** 20 && measured++ === 0) append(LINE);
    measure.call(this);
  };
  try {
    open(path).close();
  } finally {
    MappedFile.prototype.measure = measure;
  }
  assert.equal(measured > 0, true);
  assert.ok(content().endsWith(LINE));
  assert.deepEqual(beside(), []);
});

test("a killed append is left to the next open while another map flushes the file", () => {
  using folder = temporaryFolder();
  const { path, content, append } = fileIn(folder.path);
  killWithinAppend(path);
  append(ADDED[0]!);
  const { file } = MappedFile.open(path, path, "r+", true);
  const lock = file.lock();
  assert.throws(() => open(path), { name: "SystemError", code: "EBUSY" });
  open(path, "r").close();
  lock.release();
  open(path).close();
  assert.equal(content(), OLD + ADDED);
  file.close();
});

test("the holder of a file's lock can take it again, and it ends with the last one", () => {
  using folder = temporaryFolder();
  const { path } = fileIn(folder.path);
  const other = `${path} too`;
  fs.linkSync(path, other);
  const [one, two] = [path, other].map((name) =>
    MappedFile.open(name, name, "r+", true).file
  );
  const outer = one!.lock();
  const inner = one!.lock();
  assert.equal(two!.tryLock(), undefined);
  inner.release();
  inner.release();
  assert.equal(two!.tryLock(), undefined);
  outer.release();
  const lock = two!.tryLock();
  assert.notEqual(lock, undefined);
  assert.equal(one!.tryLock(), undefined);
  two!.close(); // releases the lock
  lock!.release();
  one!.lock().release();
  one!.close();
});

test("a file to which another program appends all the time can be opened", () => {
  for (const mode of ["r", "c", "r+"] as const) {
    using folder = temporaryFolder();
    const { path, append } = fileIn(folder.path);
    const { measure, stat } = MappedFile.prototype;
    MappedFile.prototype.measure = function () {
      append("line");
      measure.call(this);
    };
    MappedFile.prototype.stat = function () {
      append("line");
      return stat.call(this);
    };
    try {
      using map = open(path, mode);
      assert.equal((map.length - OLD.length) % 4, 0);
      assert.ok(map.length > OLD.length);
    } finally {
      MappedFile.prototype.measure = measure;
      MappedFile.prototype.stat = stat;
    }
  }
});
