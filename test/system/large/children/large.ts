/**
 * Uses files far larger than memory, and checks how much stays resident.
 *
 * Run by large_test.ts with the name of a case and a folder as arguments.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { runtime } from "../../../../ffi/mod.ts";
import { open } from "../../../../mod.ts";
import { collectGarbage, givenArguments } from "../../../support/support.ts";

const [name, folder] = givenArguments("case", "folder");
const path = join(folder, "large.dat");

const MiB = 2 ** 20;
const GiB = 2 ** 30;
/** How much the runtime's own heap may grow meanwhile. */
const NOISE = 16 * MiB;

function sparse(length: number): void {
  const fd = fs.openSync(path, "w");
  fs.ftruncateSync(fd, length);
  fs.closeSync(fd);
}

function readAt(position: number, length: number): Uint8Array {
  const fd = fs.openSync(path, "r");
  const bytes = new Uint8Array(length);
  assert.equal(fs.readSync(fd, bytes, 0, length, position), length);
  fs.closeSync(fd);
  return bytes;
}

function writeAt(position: number, bytes: Uint8Array): void {
  const fd = fs.openSync(path, "r+");
  assert.equal(
    fs.writeSync(fd, bytes, 0, bytes.length, position),
    bytes.length,
  );
  fs.closeSync(fd);
}

/** Asserts that `use` makes little more than `touched` bytes resident. */
function assertResident(touched: number, use: () => void): void {
  collectGarbage();
  const before = process.memoryUsage().rss;
  use();
  collectGarbage();
  const grown = process.memoryUsage().rss - before;
  assert.ok(
    grown <= touched + NOISE,
    `${Math.round(grown / MiB)} MiB more became resident`,
  );
}

/** Reads and writes near the end of a sparse file of `length` bytes. */
function useEnds(length: number): void {
  sparse(length);
  for (const mode of ["r", "r+"] as const) {
    writeAt(length - 100, Uint8Array.of(65, 66, 67));
    assertResident(MiB, () => {
      const map = open(path, mode);
      assert.equal(map.length, length);
      const first = map.slice(0, 4096);
      const last = map.slice(length - 1000, length);
      assert.equal(first.bytes[0], 0);
      assert.deepEqual([...last.bytes.subarray(900, 904)], [65, 66, 67, 0]);
      assert.equal(map.find("ABC", length - 4096), length - 100);
      assert.equal(map.rfind("ABC"), length - 100);
      last.bytes[0] = 7;
      if (mode !== "r") {
        map.move(length - 50, length - 100, 3);
        assert.equal(last.bytes[952], 67);
      }
      assert.throws(() => map.slice(length, length + 1), {
        name: "RangeError",
      });
      map.close();
    });
    assert.equal(readAt(length - 1000, 1)[0], mode === "r+" ? 7 : 0);
    assert.equal(readAt(length - 50, 1)[0], mode === "r+" ? 65 : 0);
  }
  assert.ok(fs.statSync(path).blocks * 512 < MiB);
}

const CASES: Record<string, () => void> = {
  "100 GiB": () => useEnds(100 * GiB),
  "1 TiB": () => {
    try {
      sparse(1024 * GiB);
    } catch (error) {
      console.log(`skipped: ${(error as Error).message}`);
      return;
    }
    useEnds(1024 * GiB);
  },
  "exact offsets": () => {
    const places = [2 ** 31, 2 ** 32, 2 ** 33, 2 ** 36]
      .flatMap((power) => [power - 1, power, power + 1]);
    sparse(2 ** 36 + 10);
    places.forEach((place, i) => writeAt(place, Uint8Array.of(i + 1)));
    const map = open(path, "r+");
    places.forEach((place, i) => {
      const slice = map.slice(place, place + 1);
      assert.deepEqual([slice.begin, slice.end], [place, place + 1]);
      assert.equal(slice.bytes[0], i + 1);
      assert.equal(
        map.find(Uint8Array.of(i + 1), place - 10, place + 3),
        place,
      );
      slice.bytes[0] = 100 + i;
      slice.sync();
      map.delete(place, place + 1);
    });
    places.forEach((place, i) => assert.equal(readAt(place, 1)[0], 100 + i));
    const from = map.slice(-10);
    assert.equal(from.begin, 2 ** 36);
    map.advise("dontneed", 2 ** 32 + 1, 2 ** 36 + 1);
    assert.deepEqual(map.layout().map(({ begin, end }) => [begin, end]), [
      [0, 2 ** 36],
      [2 ** 36, 2 ** 36 + 10],
    ]);
    map.close();
  },
  "a slice larger than 4 GiB": () => {
    const length = 5 * GiB;
    sparse(length + 8192);
    const map = open(path, "r+", { reserve: false });
    const slice = map.slice(4096, length + 4096);
    assert.equal(slice.length, length);
    const limit = runtime().maxBufferLength;
    if (length > limit) {
      const tooLarge = { name: "RangeError", message: new RegExp(`${limit}`) };
      assert.throws(() => slice.buffer, tooLarge);
      assert.throws(() => slice.bytes, tooLarge);
    } else {
      assert.equal(slice.buffer.byteLength, length);
      slice.bytes[length - 1] = 9;
      assert.equal(readAt(length + 4095, 1)[0], 9);
      slice.bytes[length - 1] = 0;
    }
    const at = 2 ** 32 + 1000;
    assertResident(32 * MiB, () => {
      slice.set(new TextEncoder().encode("needle"), at);
      slice.fill(255, length - 3);
      slice.fill(1, at + 10, at + 20);
      assert.equal(slice.find("needle", 2 ** 32), at);
      assert.equal(slice.find("needle", at + 1, at + MiB), -1);
      assert.equal(slice.rfind("needle", at - MiB, at + MiB), at);
      assert.equal(slice.rfind(Uint8Array.of(255)), length - 1);
      assert.deepEqual(slice.slice(-4), Uint8Array.of(0, 255, 255, 255));
      assert.deepEqual(slice.slice(at, at + 1), Uint8Array.of(110));
      slice.sync();
    });
    assert.equal(new TextDecoder().decode(readAt(4096 + at, 6)), "needle");
    assert.deepEqual([...readAt(4096 + length - 4, 5)], [0, 255, 255, 255, 0]);
    const state = `<MemmapSlice of length:${length} writable>`;
    assert.equal(String(slice), state);
    assertResident(MiB, () => {
      slice.resize(1000);
      assert.equal(slice.bytes.length, 1000);
      assert.equal(map.length, 9192);
      slice.delete();
      assert.equal(map.length, length + 8192);
    });
    const again = map.slice(4096, length + 4096);
    assert.equal(again.find("needle", at), at);
    map.delete(again);
    map.close();
  },
  "a larger slice is cut by a flush": () => {
    const length = 5 * GiB;
    sparse(length + 8192);
    writeAt(length + 4096, Uint8Array.of(1, 2, 3));
    const map = open(path, "r+", { reserve: false });
    const slice = map.slice(4096, length + 4096);
    slice.set([8], 999);
    slice.resize(1000);
    assertResident(4 * MiB, () => map.flush());
    assert.equal(map.length, 9192);
    assert.equal(slice.bytes[999], 8);
    assert.deepEqual([...readAt(5096, 4)], [1, 2, 3, 0]);
    map.close();
  },
  "an insert larger than 4 GiB, in place": () => {
    const length = 4 * GiB + 16 * MiB;
    sparse(10 * MiB);
    writeAt(0, Uint8Array.of(1, 2, 3));
    writeAt(10 * MiB - 1, Uint8Array.of(9));
    const map = open(path, "r+", { reserve: false });
    const tail = map.slice(10 * MiB - 10, 10 * MiB);
    assertResident(64 * MiB, () => {
      const inserted = map.insert(0, length);
      assert.equal(map.length, length + 10 * MiB);
      inserted.set([42], 2 ** 32 + 5);
      const { strategy } = map.flush({ strategy: "in-place", durable: false });
      assert.equal(strategy, "in-place");
      assert.deepEqual([inserted.begin, inserted.end], [0, length]);
    });
    assert.equal(fs.statSync(path).size, length + 10 * MiB);
    assert.deepEqual([tail.begin, tail.length], [length + 10 * MiB - 10, 10]);
    assert.equal(tail.bytes[9], 9);
    assert.equal(readAt(2 ** 32 + 5, 1)[0], 42);
    assert.deepEqual([...readAt(length - 1, 5)], [0, 1, 2, 3, 0]);
    map.close({ discard: true });
  },
};

CASES[name]!();
