/**
 * Uses a map in one way, repeatedly, while another process truncates its file.
 *
 * Run by faults_test.ts with a folder, the name of a use and `guarded` or not. For
 * each cut it writes a file, prints its path and the length to cut it to, and repeats
 * the use until the cut is noticed. Then it checks what the map reports. At the end it
 * prints "survived": an unhandled fault would have killed the process before.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  type Memmap,
  type MemmapArray,
  type MemmapSlice,
  type Mode,
  open,
} from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

/** In bytes: many pages, but not a whole number of them. */
export const LENGTH = 3_000_001;

/** What is left of the file: nothing, a page, a page and a half, or most of it. */
export const CUTS: readonly number[] = [0, 4096, 6000, LENGTH - 9000];

/** What a use has to work with. */
interface Scene {
  readonly map: Memmap;
  readonly slice: MemmapSlice;
  readonly array: MemmapArray<"float64">;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly folder: string;
}

interface Use {
  readonly mode?: Mode;
  /** One round. It may throw the library's errors for lost pages. */
  readonly round: (scene: Scene) => unknown;
  /** Only the kernel touches the lost pages, so this process never faults. */
  readonly isBlind?: boolean;
  /** Would never end in Bun, whose compiled read loop may check for faults only once. */
  readonly isDenos?: boolean;
}

const EDIT = { durable: false, onProgress: () => {} } as const;
const WIDTH = 8;

export const USES: Readonly<Record<string, Use>> = {
  "a typed array": {
    round: ({ bytes }) => bytes.reduce((sum, byte) => sum + byte),
  },
  "a typed array, written": { round: ({ bytes }) => bytes.fill(1) },
  "a DataView": {
    mode: "r",
    round: ({ bytes }) => {
      const view = new DataView(bytes.buffer);
      let sum = 0;
      for (let at = 0; at + WIDTH <= bytes.length; at += WIDTH) {
        sum += view.getFloat64(at);
      }
      return sum;
    },
  },
  "get()": {
    mode: "r",
    round: ({ array }) => {
      let sum = 0;
      for (let i = 0; i < array.size; i++) sum += array.get(i);
      return sum;
    },
  },
  "get() in a loop that never ends": {
    isDenos: true,
    round: ({ array }) => {
      let sum = 0; // keeps the reads from being optimized away
      for (let i = 0; sum >= 0; i = (i + 1) % array.size) sum += array.get(i);
    },
  },
  "get() of one element, forever": {
    isDenos: true,
    round: ({ array }) => {
      const last = array.size - 1;
      for (let sum = 0; sum >= 0;) sum += array.get(last);
    },
  },
  "set() in a loop that never ends": {
    round: ({ array }) => {
      for (let i = 0;; i = (i + 1) % array.size) array.set(i, i);
    },
  },
  "for…of": {
    mode: "c",
    round: ({ array }) => {
      let sum = 0;
      for (const value of array) sum += value;
      return sum;
    },
  },
  "apply()": { round: ({ array }) => array.apply((x) => x + 1) },
  "fill() of an array": { round: ({ array }) => array.fill(2) },
  "toTypedArray()": { mode: "r", round: ({ array }) => array.toTypedArray() },
  "copyFrom()": {
    mode: "c",
    round: ({ array }) => array.copyFrom(new Float64Array(array.size)),
  },
  "toString() of an array": { round: ({ array }) => String(array) },
  "find()": { mode: "r", round: ({ map }) => map.find("not there") },
  "rfind()": { round: ({ map }) => map.rfind("not there") },
  "find() of a slice": { round: ({ slice }) => slice.find("not there") },
  "move()": { round: ({ map }) => map.move(0, 1, LENGTH - 1) },
  "fill()": { mode: "c", round: ({ slice }) => slice.fill(3) },
  "set()": { round: ({ slice }) => slice.set(new Uint8Array(LENGTH)) },
  "slice()": { mode: "r", round: ({ slice }) => slice.slice() },
  "resize()": {
    round: ({ map }) => {
      const slice = map.slices.find(({ state }) => state === "mapped")!;
      slice.resize(LENGTH + 1);
      slice.delete(); // its bytes are the file's again
      map.slice();
    },
  },
  "insert() of its own bytes": {
    round: ({ map, bytes }) => map.insert(0, bytes).delete(),
  },
  "flush()": {
    round: ({ map }) => {
      map.insert(0, 3);
      map.flush(EDIT);
    },
    isBlind: true,
  },
  "flush() of strategy in-place": {
    round: ({ map }) => {
      map.insert(map.mappedLength, 3);
      map.flush({ ...EDIT, strategy: "in-place" });
    },
    isBlind: true,
  },
  "flush() of a private map": {
    round: ({ map, folder }) => {
      using copy = open(map.path, "c");
      copy.insert(0, 3);
      copy.flush({ ...EDIT, path: join(folder, "saved.dat") });
    },
    isBlind: true,
  },
  "sync()": {
    round: ({ map, bytes }) => {
      bytes[0] = 1;
      map.sync();
    },
    isBlind: true,
  },
  "TextDecoder": {
    mode: "r",
    round: ({ bytes }) => new TextDecoder("latin1").decode(bytes),
  },
  "crypto.subtle.digest()": {
    mode: "r",
    round: ({ bytes }) => crypto.subtle.digest("SHA-256", bytes),
  },
  "Buffer.indexOf()": {
    round: ({ bytes }) => Buffer.from(bytes.buffer).indexOf("not there"),
  },
  "structuredClone()": {
    mode: "c",
    round: ({ bytes }) => structuredClone(bytes),
  },
  "writeFile()": {
    mode: "r",
    round: ({ bytes, folder }) =>
      fs.promises.writeFile(join(folder, "written.dat"), bytes),
    isBlind: true,
  },
  "read() into it": {
    round: ({ bytes, folder }) => {
      const fd = fs.openSync(join(folder, "zeros.dat"), "r");
      try {
        fs.readSync(fd, bytes, 0, bytes.length, 0);
      } finally {
        fs.closeSync(fd);
      }
    },
    isBlind: true,
  },
};

/** Rethrows errors that a cut of the file does not explain. */
function assertExpected(error: unknown): void {
  const { name, code } = error as { name: string; code?: string };
  const isOurs = ["FaultError", "ConflictError"].includes(name);
  // A system call on lost memory fails with EFAULT.
  const isSystems = code === "EFAULT" || String(error).includes("os error 14");
  if (!isOurs && !isSystems) throw error;
}

/** Rounds after the pages are gone, for a use that never touches them. */
const BLIND_ROUNDS = 20;
/** The same for any other use: far more than it needs to notice. */
const MOST_ROUNDS = 200;

/** Repeats the use until the file is cut, and the use has noticed or cannot notice. */
async function useUntilCut(path: string, use: Use, scene: Scene) {
  const most = use.isBlind ? BLIND_ROUNDS : MOST_ROUNDS;
  for (let rounds = 0; rounds <= most;) {
    // The other process creates this file once the pages are gone.
    if (fs.existsSync(`${path}.cut`)) rounds++;
    try {
      await use.round(scene);
    } catch (error) {
      assertExpected(error);
      return;
    }
    if (scene.map.faults > 0) return;
  }
  assert.ok(use.isBlind, "the cut was not noticed");
}

const FAULT = { name: "FaultError", code: "ERR_MEMMAP_FAULT" };

function assertArrayRefuses(array: MemmapArray<"float64">): void {
  assert.throws(() => array.get(0), FAULT);
  if (array.slice.writable) assert.throws(() => array.set(0, 1), FAULT);
  assert.throws(() => array.toTypedArray(), FAULT);
  assert.throws(() => [...array], FAULT);
  assert.equal(String(array), "<MemmapArray of lost bytes>");
}

/** Asserts that a map with lost pages rejects all use of them, and can be closed. */
function assertRefuses({ map, folder }: Scene, floating: MemmapSlice): void {
  const slice = map.slices.find(({ state }) => state === "mapped")!;
  assert.ok(map.faults > 0);
  assert.throws(() => map.find("x"), FAULT);
  assert.throws(() => map.rfind("x"), FAULT);
  assert.throws(() => slice.bytes, FAULT);
  assert.throws(() => slice.buffer, FAULT);
  assert.throws(() => slice.slice(0, 1), FAULT);
  assert.throws(() => slice.find("x"), FAULT);
  assert.throws(() => slice.array("int8"), FAULT);
  if (map.mode !== "r") {
    assert.throws(() => map.move(0, 1, 1), FAULT);
    assert.throws(() => map.insert(0, 1), FAULT);
    assert.throws(() => slice.fill(1), FAULT);
    assert.throws(() => slice.set([1]), FAULT);
    assert.throws(() => slice.resize(1), FAULT);
    assert.throws(() => slice.splice(0, 1), FAULT);
    const path = join(folder, "elsewhere.dat");
    assert.throws(() => map.flush({ path }), FAULT);
    assert.ok(!fs.existsSync(path));
  }
  if (map.writable) {
    assert.throws(() => map.flush(), FAULT);
    assert.throws(() => map.sync(), FAULT);
    assert.throws(() => slice.sync(), FAULT);
    assert.throws(() => map.close(), FAULT);
  }
  // Bytes that were in memory before the cut are intact.
  if (floating !== undefined) assert.deepEqual([...floating.bytes], [1, 2, 3]);
  assert.equal(map.closed, false);
  map.close({ discard: true });
  assert.equal(map.closed, true);
}

async function main(folder: string, name: string, guard: boolean) {
  const use = USES[name]!;
  fs.writeFileSync(join(folder, "zeros.dat"), new Uint8Array(LENGTH));
  for (const cut of CUTS) {
    const path = join(folder, `cut to ${cut}.dat`);
    fs.writeFileSync(path, new Uint8Array(LENGTH).fill(0x40));
    const map = open(path, use.mode ?? "r+", { guard });
    assert.equal(map.guarded, guard);
    assert.equal(map.faults, 0);
    const slice = map.slice();
    const array = slice.array(">f8", { byteOffset: 1 });
    const { bytes } = slice;
    const scene = { map, slice, array, bytes, folder };
    const floating = map.mode === "r" || use.isBlind
      ? undefined
      : map.insert(0, new Uint8Array([1, 2, 3]));
    console.log(JSON.stringify({ path, cut }));
    await useUntilCut(path, use, scene);
    // Touch whatever is still mapped over lost pages.
    if (bytes.length > 0 && bytes.buffer.byteLength > 0) {
      for (let at = 0; at < bytes.length; at += 512) bytes[at] = 1;
    }
    if (map.faults > 0) {
      if (slice.state === "mapped") assertArrayRefuses(array);
      assertRefuses(scene, floating!);
    } else map.close({ discard: true });
  }
  console.log("survived");
}

if (process.argv.length > 4) {
  const [folder, name, guard] = givenArguments("folder", "use", "guard");
  await main(folder, name, guard === "guarded");
}
