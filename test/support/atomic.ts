/**
 * What the tests of atomic maps share: files, both ways to find out what was written, and
 * what a commit leaves that is killed.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { runtime } from "../../ffi/runtime.ts";
import { type Memmap, open } from "../../mod.ts";
import { journalPath } from "../../src/storage/journal/format.ts";
import { withLibc } from "./support.ts";

/** The options that make a map atomic. */
export const ATOMIC = { atomic: true };

/** Bytes of which no two sectors are the same. */
export function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i;
    bytes[i] = state >>> 8;
  }
  return bytes;
}

/** A file of a test. */
export interface TestFile {
  readonly path: string;
  /** Its bytes, as `node:fs` reads them. */
  content(): Uint8Array<ArrayBuffer>;
  /** The names of the files beside it. */
  beside(): string[];
  /** Writes into it, as another program. */
  put(bytes: Uint8Array | readonly number[], offset: number): void;
}

/** Makes a file in a folder. */
export function fileIn(
  folder: string,
  content: Uint8Array,
  name = "file.dat",
): TestFile {
  const path = join(folder, name);
  fs.writeFileSync(path, content);
  return {
    path,
    content: () => new Uint8Array(fs.readFileSync(path)),
    beside: () => fs.readdirSync(folder).filter((other) => other !== name),
    put(bytes, offset) {
      const fd = fs.openSync(path, "r+");
      const given = Uint8Array.from(bytes);
      fs.writeSync(fd, given, 0, given.length, offset);
      fs.closeSync(fd);
    },
  };
}

/** Runs `use` where the kernel tells what was written, and where it does not. */
export function eachWay(use: (way: string) => void): void {
  use("by the kernel");
  const { mayUse } = runtime();
  withLibc({
    mayUse: (path, access) =>
      path !== "/proc/self/pagemap" && mayUse(path, access),
  }, () => use("by comparing"));
}

/** What a commit has left that was killed. */
export interface KilledCommit {
  /** The journal's path, and its bytes. */
  readonly place: string;
  readonly journal: Uint8Array<ArrayBuffer>;
  readonly before: Uint8Array<ArrayBuffer>;
  readonly after: Uint8Array<ArrayBuffer>;
  /** Gives the file the sectors that `isNew`, and the others as they were. */
  mix(isNew: (sector: number) => boolean): void;
}

const SECTOR = 512;

/**
 * Leaves a commit of `edit` as a kill leaves it whose journal was whole: the file, the
 * same as before, has the old bytes, and the journal lies beside it.
 */
export function killCommit(
  file: TestFile,
  edit: (map: Memmap) => void,
): KilledCommit {
  const { path } = file;
  const before = file.content();
  const place = journalPath(fs.realpathSync(path));
  let journal: Uint8Array<ArrayBuffer> | undefined;
  const map = open(path, "r+", ATOMIC);
  edit(map);
  map.flush({
    onProgress(done, total) {
      // Noted in the first half, written in the second.
      if (done > total / 2) journal ??= new Uint8Array(fs.readFileSync(place));
    },
  });
  map.close();
  const after = file.content();
  assert.ok(journal !== undefined);
  assert.equal(before.length, after.length);
  assert.ok(!file.beside().includes(basename(place)));
  // Without chmod(), which some file systems refuse.
  const fd = fs.openSync(place, "wx", 0o600);
  fs.writeSync(fd, journal, 0, journal.length, 0);
  fs.closeSync(fd);
  const mix = (isNew: (sector: number) => boolean) => {
    const mixed = before.slice();
    for (let at = 0; at < mixed.length; at += SECTOR) {
      if (isNew(at / SECTOR)) mixed.set(after.subarray(at, at + SECTOR), at);
    }
    file.put(mixed, 0);
  };
  mix(() => false);
  return { place, journal, before, after, mix };
}
