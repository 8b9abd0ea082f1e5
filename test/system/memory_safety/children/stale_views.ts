/**
 * Takes every kind of view, makes it stale in every way, and uses it.
 *
 * Run by memory_safety_test.ts with a folder as argument. Prints one line for each way.
 *
 * @module
 */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Memmap, type MemmapSlice, open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

const [folder] = givenArguments("folder");
const LENGTH = 100_000;

interface Views {
  buffer: ArrayBuffer;
  all: (Uint8Array | Uint16Array | DataView)[];
}

function viewsOf(slice: MemmapSlice): Views {
  const { buffer, bytes } = slice;
  const part = bytes.subarray(8, 16);
  const views = [
    bytes,
    part,
    new Uint16Array(buffer, 0, 8),
    new DataView(buffer),
  ];
  assert.equal(bytes.length, slice.length);
  assert.notEqual(buffer.byteLength, 0);
  return { buffer, all: views };
}

function assertStale({ buffer, all }: Views): void {
  assert.equal(buffer.detached, true);
  assert.equal(buffer.byteLength, 0);
  for (const view of all) {
    if (view instanceof DataView) {
      assert.throws(() => view.byteLength, TypeError);
      assert.throws(() => view.getUint8(0), TypeError);
      assert.throws(() => view.setUint8(0, 1), TypeError);
      continue;
    }
    assert.equal(view.length, 0);
    assert.equal(view.byteLength, 0);
    assert.equal(view[0], undefined);
    view[0] = 1; // has no effect, and does not fault
    assert.throws(() => view.at(-1), TypeError);
    assert.throws(() => view.fill(1), TypeError);
  }
}

/** What each way works on: a map with three slices, and the middle one's views. */
interface Scene {
  map: Memmap;
  first: MemmapSlice;
  middle: MemmapSlice;
  last: MemmapSlice;
  views: Views;
}

const WAYS: Record<string, (scene: Scene) => void> = {
  "grown": ({ middle }) => middle.resize(30_000),
  "cut": ({ middle }) => middle.resize(10),
  "resized to nothing": ({ middle }) => middle.resize(0),
  "spliced": ({ middle }) => middle.splice(3, 2, 100),
  "deleted": ({ middle }) => middle.delete(),
  "deleted by range": ({ map }) => map.delete(20_000, 40_000),
  "disposed": ({ middle }) => middle[Symbol.dispose](),
  "closed": ({ map }) => map.close(),
  "discarded": ({ map }) => map.close({ discard: true }),
  "flushed by replace": ({ map, first }) => {
    first.resize(30_000);
    map.flush({ strategy: "replace", durable: false });
  },
  "flushed by replace, not moved": ({ map, last }) => {
    last.resize(10);
    map.flush({ strategy: "replace", durable: false });
  },
  "moved up in place": ({ map, first }) => {
    first.resize(30_000);
    map.flush({ strategy: "in-place", durable: false });
  },
  "moved down in place": ({ map, first }) => {
    first.resize(0);
    map.flush({ strategy: "in-place", durable: false });
  },
  "saved elsewhere": ({ map }) =>
    map.flush({ path: join(folder, "elsewhere.dat"), durable: false }),
  "mapped anew, the spare address space being too small": ({ map }) => {
    map.insert(map.mappedLength, 2 ** 27);
    map.flush({ strategy: "in-place", durable: false });
  },
  "mapped anew, a later view being out of reach": ({ map, last }) => {
    const stolen = new Uint8Array(last.buffer.transfer());
    last.resize(0);
    map.flush({ strategy: "in-place", durable: false });
    stolen.fill(1);
  },
  "floating, resized again": ({ middle, views }) => {
    middle.resize(30_000);
    Object.assign(views, viewsOf(middle));
    middle.resize(50_000_000);
  },
  "floating, resized within its room": ({ middle, views }) => {
    middle.resize(30_000);
    Object.assign(views, viewsOf(middle));
    middle.resize(29_999);
  },
  "floating, deleted": ({ middle, views }) => {
    middle.resize(30_000);
    Object.assign(views, viewsOf(middle));
    middle.delete();
  },
  "floating, flushed by replace": ({ map, middle, views }) => {
    middle.resize(30_000);
    Object.assign(views, viewsOf(middle));
    map.flush({ durable: false });
  },
  "floating, flushed in place": ({ map, middle, views }) => {
    middle.resize(30_000);
    Object.assign(views, viewsOf(middle));
    map.flush({ strategy: "in-place", durable: false });
  },
  "floating, closed": ({ map, middle, views }) => {
    middle.resize(30_000);
    Object.assign(views, viewsOf(middle));
    map.close();
  },
  "inserted, flushed by extend": ({ map, views }) => {
    Object.assign(
      views,
      viewsOf(map.insert(map.mappedLength, new Uint8Array(99))),
    );
    assert.equal(map.flush({ durable: false }).strategy, "extend");
  },
  "inserted, deleted": ({ map, views }) => {
    const inserted = map.insert(0, 2 ** 20);
    Object.assign(views, viewsOf(inserted));
    inserted.delete();
  },
};

const kept: Views[] = [];
for (const mode of ["r+", "c", "r"] as const) {
  for (const [way, make] of Object.entries(WAYS)) {
    if (mode !== "r+" && /flush|moved|mapped anew/.test(way)) continue;
    if (mode === "r" && !/^(deleted|disposed|closed|discarded)/.test(way)) {
      continue;
    }
    const path = join(folder, `${mode} ${way}.dat`);
    writeFileSync(path, new Uint8Array(LENGTH).fill(7));
    const map = open(path, mode);
    const first = map.slice(0, 20_000);
    const middle = map.slice(20_000, 40_000);
    const last = map.slice(40_000, LENGTH);
    const views = viewsOf(middle);
    const before = { ...views };
    make({ map, first, middle, last, views });
    if (!way.startsWith("inserted")) assertStale(before);
    assertStale(views);
    kept.push(before, views);
    if (middle.state === "mapped" || middle.state === "floating") {
      assert.equal(middle.bytes.length, middle.length);
    }
    map.close({ discard: true });
    console.log(`${mode} ${way}`);
  }
}
kept.forEach(assertStale);
