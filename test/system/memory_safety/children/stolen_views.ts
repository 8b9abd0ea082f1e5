/**
 * Moves slices' buffers out of the library's reach, lets the bytes go in every way, then
 * reads and writes what was moved.
 *
 * Run by memory_safety_test.ts with a folder as argument. Prints one line for each theft
 * and way.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, receiveMessageOnPort } from "node:worker_threads";
import { type Memmap, type MemmapSlice, open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

const [folder] = givenArguments("folder");
const LENGTH = 100_000;

const THEFTS: Record<string, (buffer: ArrayBuffer) => ArrayBuffer> = {
  "transfer()": (buffer) => buffer.transfer(),
  "transfer(less)": (buffer) => buffer.transfer(5000),
  "transfer(more)": (buffer) => buffer.transfer(2 ** 20),
  "transferToFixedLength()": (buffer) => buffer.transferToFixedLength(),
  "structuredClone()": (buffer) =>
    structuredClone(buffer, { transfer: [buffer] }),
  "structuredClone() of a view": (buffer) =>
    structuredClone(new Uint8Array(buffer, 8), { transfer: [buffer] }).buffer,
  "postMessage()": (buffer) => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(buffer, [buffer]);
    const moved = receiveMessageOnPort(port2)!.message as ArrayBuffer;
    port1.close();
    port2.close();
    return moved;
  },
};

interface Scene {
  map: Memmap;
  slice: MemmapSlice;
  first: MemmapSlice;
  path: string;
}

const WAYS: Record<string, (scene: Scene) => void> = {
  "close": ({ map }) => map.close(),
  "close, then an empty file": ({ map, path }) => {
    map.close();
    truncateSync(path, 0);
  },
  "discard": ({ map, slice }) => {
    slice.resize(5);
    map.close({ discard: true });
  },
  "delete and close": ({ map, slice }) => {
    slice.delete();
    map.close();
  },
  "resize and close": ({ map, slice }) => {
    slice.resize(10);
    map.close();
  },
  "flush by replace": ({ map, first }) => {
    first.resize(0);
    map.flush({ strategy: "replace", durable: false });
  },
  "flush that cuts the file": ({ map, slice }) => {
    slice.resize(0);
    assert.equal(map.flush({ durable: false }).strategy, "extend");
  },
  "flush in place that cuts the file": ({ map, slice, first }) => {
    first.resize(0);
    slice.resize(0);
    map.flush({ strategy: "in-place", durable: false });
    assert.equal(map.length, 0);
  },
  "resize of a floating slice, taken while floating": ({ slice }) =>
    slice.resize(2 ** 21),
};

/** Reads and writes every byte; a fault would end the process here. */
function use(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) {
    assert.ok(bytes[i] === 0 || bytes[i] === 7);
    bytes[i] = 99;
  }
}

const stolen: Uint8Array[] = [];
for (const [theft, steal] of Object.entries(THEFTS)) {
  for (const [way, letGo] of Object.entries(WAYS)) {
    const path = join(folder, `${theft} ${way}.dat`);
    writeFileSync(path, new Uint8Array(LENGTH).fill(7));
    const map = open(path);
    const first = map.slice(0, 20_000);
    const slice = map.slice(20_000, LENGTH);
    if (way.includes("while floating")) slice.resize(LENGTH);
    const { buffer } = slice;
    const bytes = new Uint8Array(steal(buffer));
    assert.equal(buffer.detached, true);
    assert.equal(slice.bytes.length, slice.length); // a fresh view
    letGo({ map, slice, first, path });
    const before = readFileSync(path);
    use(bytes);
    assert.deepEqual(
      readFileSync(path),
      before,
      "a late write reached the file",
    );
    map.close({ discard: true });
    stolen.push(bytes);
    console.log(`${theft}, ${way}`);
  }
}
for (const bytes of stolen) bytes.fill(1);
