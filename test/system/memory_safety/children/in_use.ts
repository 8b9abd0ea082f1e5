/**
 * Lets bytes go, in every way, while operations on other threads use them.
 *
 * Run by memory_safety_test.ts with a folder and the number of bytes to work on. Prints
 * one line for each operation and way. A fault would end the process.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash, pbkdf2, scrypt } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { deflate } from "node:zlib";
import { libc } from "../../../../ffi/libc.ts";
import { type Memmap, type MemmapSlice, open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

const [folder, length] = givenArguments("folder", "length");
const LENGTH = Number(length);
const target = join(folder, "target.dat");
fs.writeFileSync(target, new Uint8Array(LENGTH).fill(9));

// As if thousands of threads had ended and left their rows. This one still has its own.
open(target, "r").close();
Atomics.add(libc().guard?.waiting ?? new Int32Array(1), 0, 5000);

type Bytes = Uint8Array<ArrayBuffer>;

/** Operations that use bytes for a while, on another thread or in a later turn. */
const OPERATIONS: Record<string, (bytes: Bytes) => Promise<unknown>> = {
  "scrypt": (bytes) =>
    new Promise((resolve) => scrypt(bytes, bytes, 64, resolve)),
  "pbkdf2": (bytes) =>
    new Promise((resolve) => pbkdf2(bytes, bytes, 1, 64, "sha256", resolve)),
  "deflate": (bytes) => new Promise((resolve) => deflate(bytes, resolve)),
  "digest": (bytes) => crypto.subtle.digest("SHA-256", bytes),
  "writeFile": (bytes) => fs.promises.writeFile(join(folder, "copy"), bytes),
  "read": (bytes) =>
    new Promise((resolve) => {
      const fd = fs.openSync(target, "r");
      fs.read(fd, bytes, 0, bytes.length, 0, (error) => {
        fs.closeSync(fd);
        resolve(error);
      });
    }),
  "stream": (bytes) =>
    new Response(
      new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
    ).arrayBuffer(),
  "body": (bytes) =>
    new Request("http://localhost/", { method: "POST", body: bytes })
      .arrayBuffer(),
  "createHash": async (bytes) => {
    await undefined;
    return createHash("sha256").update(bytes).digest();
  },
};

interface Scene {
  readonly map: Memmap;
  readonly slice: MemmapSlice;
  readonly path: string;
}

/** Ways to let bytes go: they may be unmapped, moved or cut off. */
const WAYS: Record<string, (scene: Scene) => void> = {
  "close": ({ map }) => map.close(),
  "close, then a cut by another": ({ map, path }) => {
    map.close();
    fs.truncateSync(path, 0);
  },
  "close, then of another map": ({ map }) => {
    using other = open(target, "r");
    assert.equal(other.slice().bytes[0], 9);
    map.close();
  },
  "resize": ({ slice }) => slice.resize(10),
  "delete": ({ slice }) => slice.delete(),
  "flush that cuts": ({ map, slice }) => {
    slice.resize(5);
    map.flush({ durable: false });
  },
  "flush by replace": ({ map, slice }) => {
    slice.resize(LENGTH + 1);
    map.flush({ durable: false, strategy: "replace" });
  },
  "flush in place that cuts": ({ map, slice }) => {
    slice.resize(0);
    map.flush({ durable: false, strategy: "in-place" });
  },
  "flush of a floating slice": ({ map, slice }) => {
    slice.splice(0, 1);
    map.flush({ durable: false });
  },
};

/** Ways to take away the bytes of a floating slice. */
const FLOATING_WAYS: Record<string, (scene: Scene) => void> = {
  "close of a floating slice": ({ map }) => map.close({ discard: true }),
  "resize of a floating slice": ({ slice }) => slice.resize(3 * LENGTH),
  "delete of a floating slice": ({ map, slice }) => {
    slice.delete();
    map.insert(0, 100).fill(1);
  },
};

for (const [name, operate] of Object.entries(OPERATIONS)) {
  for (const [way, letGo] of Object.entries({ ...WAYS, ...FLOATING_WAYS })) {
    const path = join(folder, "in-use.dat");
    fs.writeFileSync(path, new Uint8Array(LENGTH).fill(7));
    const map = open(path);
    const slice = map.slice();
    if (way in FLOATING_WAYS) slice.resize(LENGTH + 5);
    const operation = operate(slice.bytes).catch(() => {});
    // Some operations begin in this turn of the event loop, and some later.
    if (way.length % 2 === 0) await setTimeout(1);
    letGo({ map, slice, path });
    await operation;
    if (!map.closed) {
      assert.equal(map.faults, 0);
      map.close({ discard: true });
    }
    fs.unlinkSync(path);
    console.log(`${name}, ${way}`);
  }
}
