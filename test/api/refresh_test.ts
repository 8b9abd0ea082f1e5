/** `refresh()`: following what others did to the file. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../ffi/libc.ts";
import { type Memmap, type Mode, open } from "../../mod.ts";
import {
  descriptorsOf,
  mappingsOf,
  temporaryFolder,
  withLibc,
} from "../support/support.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const conflict = { name: "ConflictError", code: "ERR_MEMMAP_CONFLICT" };
const MODES: readonly Mode[] = ["r", "c", "r+", "w+"];

function fileIn(folder: string) {
  const path = join(folder, "file.dat");
  fs.writeFileSync(path, "0123456789");
  return {
    path,
    /** The file, mapped in any mode, with its ten bytes. */
    map(mode: Mode, length?: number): Memmap {
      if (mode !== "w+") {
        return open(path, mode, length === undefined ? {} : { length });
      }
      const map = open(path, "w+", { length: 10 });
      map.write(bytesOf("0123456789"), 0);
      return map;
    },
    replace(text: string) {
      fs.writeFileSync(`${path}.new`, text);
      fs.renameSync(`${path}.new`, path);
    },
  };
}

/** All that can be seen of a map. */
function seen(map: Memmap): unknown {
  return [
    map.mappedLength,
    map.length,
    map.dirty,
    map.stale,
    map.layout().map(({ slice, ...numbers }) => ({ ...numbers, slice })),
  ];
}

function refuses(map: Memmap, message: RegExp): void {
  const before = seen(map);
  assert.throws(() => map.refresh(), { ...conflict, message });
  assert.deepEqual(seen(map), before);
}

test("where nothing has changed, refresh() is false, with edits pending too", () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path);
  for (const mode of MODES) {
    const map = file.map(mode);
    const { bytes } = map.slice(0, 4);
    assert.equal(map.refresh(), false);
    if (mode !== "r") map.append(1);
    assert.equal(map.refresh(), false);
    assert.equal(textOf(bytes), "0123");
    map.close({ discard: true });
  }
});

test("a file that grew is mapped as far as it goes, and its views live where they can", () => {
  for (const mode of MODES) {
    using folder = temporaryFolder();
    const file = fileIn(folder.path);
    const map = file.map(mode);
    const slice = map.slice(2, 10);
    const { bytes } = slice;
    for (const count of [3, 5000]) {
      const before = map.mappedLength;
      fs.appendFileSync(file.path, "+".repeat(count));
      assert.equal(map.stale, "grown");
      assert.equal(map.refresh(), true);
      assert.equal(map.stale, "no");
      assert.equal(map.mappedLength, before + count);
      assert.equal(map.length, before + count);
      assert.equal(textOf(map.read(before)), "+".repeat(count));
      assert.equal(map.refresh(), false);
    }
    assert.equal(textOf(slice.bytes), "23456789");
    if (map.writable) {
      assert.equal(textOf(bytes), "23456789");
      map.append(bytesOf("end"));
      assert.equal(map.flush().strategy, "extend");
      assert.equal(fs.statSync(file.path).size, 5016);
    } else assert.equal(bytes.length, 0);
    map.close();
    assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
    assert.deepEqual(mappingsOf(folder.path) ?? [], []);
  }
});

test("a file that grew beyond the room that was kept is mapped elsewhere", () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path);
  using map = file.map("r+");
  const slice = map.slice(0, 4);
  const { bytes } = slice;
  fs.truncateSync(file.path, 2 ** 27);
  assert.equal(map.refresh(), true);
  assert.equal(map.mappedLength, 2 ** 27);
  assert.equal(bytes.length, 0);
  assert.equal(textOf(slice.bytes), "0123");
  slice.bytes[0] = 65;
  assert.equal(fs.readFileSync(file.path)[0], 65);
});

test("a file that was cut makes the map shorter, unless a slice would lose bytes", () => {
  for (const mode of MODES) {
    using folder = temporaryFolder();
    const file = fileIn(folder.path);
    const map = file.map(mode);
    const slice = map.slice(0, 4);
    const other = map.slice(6, 8);
    fs.truncateSync(file.path, 7);
    refuses(map, /7 bytes could be mapped, and the slice from 6 to 8/);
    other.delete();
    assert.equal(map.refresh(), true);
    assert.equal(map.mappedLength, 7);
    assert.equal(textOf(slice.bytes), "0123");
    assert.equal(textOf(map.read()), "0123456");
    fs.appendFileSync(file.path, "abc");
    assert.equal(map.refresh(), true);
    assert.equal(textOf(map.read()), "0123456abc");
    map.close();
  }
});

test("a replaced file is opened by its path, and slices keep their offsets", () => {
  for (const mode of MODES) {
    using folder = temporaryFolder();
    const file = fileIn(folder.path);
    const map = file.map(mode);
    const slice = map.slice(2, 5);
    const { bytes } = slice;
    file.replace("abcd");
    assert.equal(map.stale, "replaced");
    refuses(map, /the slice from 2 to 5 would lose bytes/);
    assert.equal(textOf(bytes), "234");
    file.replace("abcdefghijklmnop");
    assert.equal(map.refresh(), true);
    assert.equal(map.stale, "no");
    assert.equal(map.mode, mode);
    assert.equal(map.mappedLength, 16);
    assert.equal(bytes.length, 0);
    assert.equal(textOf(slice.bytes), "cde");
    if (map.writable) {
      slice.resize(0);
      map.flush();
      assert.equal(fs.readFileSync(file.path, "utf8"), "abfghijklmnop");
    }
    map.close();
    assert.deepEqual(descriptorsOf(folder.path) ?? [], []);
    assert.deepEqual(mappingsOf(folder.path) ?? [], []);
  }
});

test("a map of a prefix stays one, as long as the file has as many bytes", () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path);
  using map = file.map("r+", 4);
  fs.appendFileSync(file.path, "abc");
  assert.equal(map.refresh(), true);
  assert.equal(map.mappedLength, 4);
  map.append(bytesOf("-"));
  map.flush();
  assert.equal(fs.readFileSync(file.path, "utf8"), "0123-456789abc");
  file.replace("xyz");
  assert.equal(map.refresh(), true);
  assert.equal(map.mappedLength, 3);
});

test("pending edits, and a path without a file, are a conflict, and stay as they are", () => {
  for (const change of ["grow", "cut", "replace", "remove"]) {
    using folder = temporaryFolder();
    const file = fileIn(folder.path);
    const map = file.map("r+");
    map.append(bytesOf("tail"));
    map.slice(0, 2).resize(3);
    if (change === "grow") fs.appendFileSync(file.path, "x");
    if (change === "cut") fs.truncateSync(file.path, 8);
    if (change === "replace") file.replace("abcdefghijkl");
    if (change === "remove") fs.unlinkSync(file.path);
    refuses(map, /edits are pending/);
    map.close({ discard: true });
  }
  using folder = temporaryFolder();
  const file = fileIn(folder.path);
  using map = file.map("r+");
  fs.unlinkSync(file.path);
  refuses(map, /no file at its path/);
  map.flush({ path: file.path });
  assert.equal(fs.readFileSync(file.path, "utf8"), "0123456789");
  assert.equal(map.refresh(), false);
});

test("bytes written in mode c are never lost, and none written are no reason to refuse", () => {
  for (const change of ["grow", "replace"]) {
    using folder = temporaryFolder();
    const file = fileIn(folder.path);
    const map = file.map("c");
    assert.equal(textOf(map.slice(0, 2).bytes), "01"); // could have been written
    map.write(bytesOf("0"), 0); // the same as before
    if (change === "grow") fs.appendFileSync(file.path, "x");
    else file.replace("abcdefghijkl");
    map.write(bytesOf("X"), 9);
    refuses(map, /bytes were written in mode 'c'/);
    assert.equal(textOf(map.read()), "012345678X");
    map.write(bytesOf("9"), 9);
    assert.equal(map.refresh(), true);
    const wanted = change === "grow" ? "0123456789x" : "abcdefghijkl";
    assert.equal(textOf(map.read()), wanted);
    map.close();
  }
});

test("where the system refuses, the map is as it was", () => {
  for (const change of ["grow", "replace"]) {
    using folder = temporaryFolder();
    const file = fileIn(folder.path);
    using map = file.map("r");
    const { bytes } = map.slice(0, 4);
    if (change === "grow") fs.appendFileSync(file.path, "x");
    else file.replace("abcdefghijkl");
    const before = seen(map);
    const ENOMEM = libc().errnoNumber("ENOMEM");
    withLibc({ mmap: () => -1, errno: () => ENOMEM }, () => {
      assert.throws(() => map.refresh(), { code: "ENOMEM" });
    });
    assert.deepEqual(seen(map), before);
    assert.equal(textOf(bytes), "0123");
    assert.equal(map.refresh(), true);
  }
  using folder = temporaryFolder();
  const file = fileIn(folder.path);
  using map = file.map("r");
  fs.unlinkSync(file.path);
  fs.mkdirSync(file.path);
  const before = seen(map);
  assert.throws(() => map.refresh(), { code: "EISDIR" });
  assert.deepEqual(seen(map), before);
  fs.rmdirSync(file.path);
});

test("what a killed append left counts as when the file is opened", () => {
  using folder = temporaryFolder();
  const file = fileIn(folder.path);
  using r = file.map("r");
  using other = file.map("r+");
  const map = open(file.path);
  map.append(bytesOf("abcdef"));
  // The journal as it is in the midst of the append, and a part of the bytes.
  const names = () => fs.readdirSync(folder.path);
  let journal: Uint8Array | undefined;
  let name = "";
  map.flush({
    onProgress() {
      name = names().find((one) => one.endsWith(".journal"))!;
      journal = fs.readFileSync(join(folder.path, name));
    },
  });
  map.close();
  fs.truncateSync(file.path, 12);
  fs.writeFileSync(join(folder.path, name), journal!);
  assert.equal(r.stale, "grown");
  assert.equal(r.refresh(), false); // the append does not count
  assert.equal(r.mappedLength, 10);
  assert.equal(other.refresh(), true); // finishes it
  assert.equal(fs.readFileSync(file.path, "utf8"), "0123456789abcdef");
  assert.deepEqual(names(), ["file.dat"]);
  assert.equal(r.refresh(), true);
  assert.equal(textOf(r.read()), "0123456789abcdef");
});

test("after lost pages are there again, refresh() makes the map good again", () => {
  for (const mode of ["r", "r+"] as const) {
    using folder = temporaryFolder();
    const path = join(folder.path, "file.dat");
    fs.writeFileSync(path, new Uint8Array(2 ** 17).fill(1));
    using map = open(path, mode);
    if (!map.guarded) return; // macOS: touching lost pages would end the process
    const { bytes } = map.slice(0, 4);
    fs.truncateSync(path, 4);
    assert.throws(() => map.read(), { code: "ERR_MEMMAP_FAULT" });
    assert.equal(map.refresh(), true);
    assert.deepEqual([map.faults, map.mappedLength], [0, 4]);
    assert.equal(bytes.length, 0);
    fs.truncateSync(path, 2 ** 17);
    assert.equal(map.refresh(), true);
    fs.truncateSync(path, 4);
    assert.throws(() => map.read(), { code: "ERR_MEMMAP_FAULT" });
    fs.truncateSync(path, 2 ** 17);
    assert.equal(map.stale, "no");
    assert.equal(map.refresh(), true);
    assert.equal(map.read().length, 2 ** 17);
    assert.equal(map.refresh(), false);
  }
});

test("refresh() takes nothing, and nothing of a closed map", () => {
  using folder = temporaryFolder();
  const map = fileIn(folder.path).map("r");
  // deno-lint-ignore no-explicit-any -- what TypeScript would refuse
  assert.throws(() => (map as any).refresh({}), { name: "TypeError" });
  map.close();
  assert.throws(() => map.refresh(), { code: "ERR_MEMMAP_CLOSED" });
});
