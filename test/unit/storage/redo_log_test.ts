import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { open } from "../../../mod.ts";
import { journalPath } from "../../../src/storage/journal/format.ts";
import { temporaryFolder } from "../../support/support.ts";

test("the journal that an atomic map keeps is for those who may read the file now", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, new Uint8Array(10_000));
  fs.chmodSync(path, 0o644);
  using map = open(path, "r+", { atomic: true });
  const place = journalPath(fs.realpathSync(path));
  const readers = () => fs.statSync(place).mode & 0o044;
  const commit = (byte: number): number => {
    let during: number | undefined;
    map.write([byte], 5000);
    map.flush({ onProgress: () => void (during ??= readers()) });
    return during!;
  };
  commit(1);
  assert.equal(commit(2), 0o044);
  fs.chmodSync(path, 0o600);
  assert.equal(commit(3), 0, "others can read what they may not");
  fs.chmodSync(path, 0o644);
  assert.equal(commit(4), 0o044, "who may read the file finds no journal");
  map.close();
  assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
});
