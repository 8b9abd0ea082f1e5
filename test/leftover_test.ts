import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { open } from "../mod.ts";
import { MappedFile } from "../src/file.ts";
import { createBeside, UndoRecord, unlock } from "../src/leftover.ts";
import { temporaryFolder } from "./support.ts";

const OLD = "the old content";

/** A file, and how many bytes it has, and what is beside it. */
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

/** Leaves what a process leaves that is killed within an append of `added` bytes. */
function killWithin(path: string, added: number): void {
  const { file } = MappedFile.open(path, path, "r+", true);
  const record = UndoRecord.write(file, added, false);
  assert.ok(record !== undefined);
  const { folder } = record;
  const [name] = fs.readdirSync(folder).filter((name) =>
    name.startsWith(".memmap-")
  );
  const text = fs.readFileSync(join(folder, name));
  record.remove();
  file.close();
  // A kill closes descriptors, and with them goes the lock.
  fs.writeFileSync(join(folder, name), text, { mode: 0o600 });
}

test("an append that was killed is not seen by any mode, and cut off by one that writes", () => {
  using folder = temporaryFolder();
  const { path, content, beside, append } = fileIn(folder.path);
  killWithin(path, 100);
  append("a part of it");
  for (const mode of ["r", "c", "r"] as const) {
    using map = open(path, mode);
    assert.equal(map.length, OLD.length, mode);
    assert.equal(map.find("a part"), -1);
  }
  assert.equal(content(), `${OLD}a part of it`);
  assert.equal(beside().length, 1);
  {
    using map = open(path);
    assert.equal(map.length, OLD.length);
    map.insert(map.length, new Uint8Array([33]));
  }
  assert.equal(content(), `${OLD}!`);
  assert.deepEqual(beside(), []);
});

test("an append that was killed when it was whole, but not done, is cut off as well", () => {
  using folder = temporaryFolder();
  const { path, content, append } = fileIn(folder.path);
  killWithin(path, 4);
  append("1234");
  open(path).close();
  assert.equal(content(), OLD);
});

test("a record says nothing about another file of that name, or one that grew further", () => {
  using folder = temporaryFolder();
  const { path, content, beside, append } = fileIn(folder.path);
  killWithin(path, 4);
  append("12345"); // by somebody else
  open(path).close();
  assert.equal(content(), `${OLD}12345`);
  assert.deepEqual(beside(), []);

  killWithin(path, 100);
  fs.renameSync(path, `${path} before`);
  fs.writeFileSync(path, `${OLD} and much more than that`);
  open(path).close();
  assert.equal(content(), `${OLD} and much more than that`);
});

test("a record that was killed before it said anything is removed", () => {
  for (const text of ["", '{"size":', "null", '{"size":-1,"added":9}']) {
    using folder = temporaryFolder();
    const { path, content, beside } = fileIn(folder.path);
    const { fd } = createBeside(path, 0o600, ".undo");
    fs.writeSync(fd, text);
    fs.closeSync(fd);
    open(path).close();
    assert.equal(content(), OLD);
    assert.deepEqual(beside(), [], text);
  }
});

test("an unfinished new file is removed by the next open that writes, and only by that", () => {
  using folder = temporaryFolder();
  const { path, beside } = fileIn(folder.path);
  fs.closeSync(createBeside(path, 0o644).fd);
  open(path, "r").close();
  open(path, "c").close();
  assert.equal(beside().length, 1);
  open(path).close();
  assert.deepEqual(beside(), []);
});

test("what another flush is working with is left alone", () => {
  using folder = temporaryFolder();
  const { path, beside } = fileIn(folder.path);
  const { fd } = createBeside(path, 0o644);
  open(path).close();
  assert.equal(beside().length, 1);
  unlock(fd);
  open(path).close();
  assert.deepEqual(beside(), []);
  fs.closeSync(fd);
});

test("a flushed file is not locked", () => {
  using folder = temporaryFolder();
  const { path, content, beside } = fileIn(folder.path);
  using map = open(path);
  map.insert(0, new Uint8Array([65]));
  assert.equal(map.flush().strategy, "replace");
  const copy = join(folder.path, beside()[0] ?? "none");
  assert.ok(!fs.existsSync(copy));
  assert.equal(content(), `A${OLD}`);
  using other = open(path);
  other.insert(0, new Uint8Array([66]));
  assert.equal(other.flush().strategy, "replace");
});

test("files of similar names keep theirs", () => {
  using folder = temporaryFolder();
  const { path } = fileIn(folder.path, "a");
  fileIn(folder.path, "b");
  fs.closeSync(createBeside(path, 0o644).fd);
  fs.writeFileSync(join(folder.path, ".memmap-mine"), "");
  open(join(folder.path, "b")).close();
  assert.equal(fs.readdirSync(folder.path).length, 4);
});

test("what lies beside the file that a link leads to is cleared away", () => {
  using folder = temporaryFolder();
  using links = temporaryFolder();
  const { path, content, beside, append } = fileIn(folder.path);
  const link = join(links.path, "link");
  fs.symlinkSync(path, link);
  killWithin(link, 100);
  append("a part");
  open(link).close();
  assert.equal(content(), OLD);
  assert.deepEqual(beside(), []);
});

test("links and folders of such names are not followed, opened or removed", () => {
  using folder = temporaryFolder();
  const { path, beside } = fileIn(folder.path);
  const made = createBeside(path, 0o600, ".undo");
  fs.closeSync(made.fd);
  fs.unlinkSync(made.path);
  const victim = join(folder.path, "victim");
  fs.writeFileSync(victim, OLD);
  fs.symlinkSync(victim, made.path);
  fs.mkdirSync(made.path.replace(".undo", ""));
  open(path).close();
  assert.equal(fs.readFileSync(victim, "latin1"), OLD);
  assert.equal(beside().length, 3);
});

test(
  "a record of another user is not believed",
  { skip: process.geteuid?.() !== 0 && "only root can give files away" },
  () => {
    using folder = temporaryFolder();
    const { path, content, beside, append } = fileIn(folder.path);
    killWithin(path, 100);
    append("all of this is mine");
    fs.chownSync(join(folder.path, beside()[0]), 12345, 12345);
    open(path).close();
    assert.equal(content(), `${OLD}all of this is mine`);
    assert.equal(beside().length, 1);
  },
);
