/**
 * Drops maps without closing them, and checks what the process still holds.
 *
 * Run by memory_safety_test.ts with a folder as argument. Prints one line for each case.
 * Every case is a function, so that none of its values stays in a register or on the
 * stack.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type MemmapSlice, open } from "../../../../mod.ts";
import {
  collectThoroughly,
  descriptorsOf,
  givenArguments,
  isDeno,
  mappingsOf,
} from "../../../support/support.ts";

const [folder] = givenArguments("folder");
const LENGTH = 64 * 1024;
const GENEROUS = 30_000;

let count = 0;
function newFile(): string {
  const path = join(folder, `unclosed ${count++}.dat`);
  writeFileSync(path, new Uint8Array(LENGTH).fill(7));
  return path;
}

async function assertLetGo(path: string): Promise<void> {
  const end = Date.now() + GENEROUS;
  for (;;) {
    await collectThoroughly();
    const mapped = mappingsOf(path)!.length;
    const open = descriptorsOf(path)!.length;
    if (mapped === 0 && open === 0) return;
    assert.ok(
      Date.now() < end,
      `${mapped} mappings left, ${open} descriptors`,
    );
    // JavaScriptCore scans the stack conservatively, so overwrite it.
    JSON.parse(JSON.stringify(Array.from({ length: 1000 }, (_, i) => ({ i }))));
  }
}

async function assertKept(path: string): Promise<void> {
  await collectThoroughly();
  assert.notEqual(mappingsOf(path)!.length, 0);
}

/** A box that can be emptied. A local variable might live on in its frame. */
interface Box<T> {
  content: T | undefined;
}

type Held = { [index: number]: number } & ArrayBufferView;

const KEEPERS: Record<string, (slice: MemmapSlice) => Held> = {
  "bytes": (slice) => slice.bytes,
  "a Uint8Array over the buffer": (slice) => new Uint8Array(slice.buffer),
  "a subarray": (slice) => slice.bytes.subarray(5, 1000),
  "an Int8Array far inside": (slice) => new Int8Array(slice.buffer, 5000, 5),
};

const CASES: Record<string, () => Promise<void>> = {};

for (const mode of ["r", "c", "r+"] as const) {
  CASES[`${mode}: a map without slices`] = async () => {
    const path = newFile();
    (() => void open(path, mode))();
    await assertLetGo(path);
  };
  CASES[`${mode}: a map with slices and views`] = async () => {
    const path = newFile();
    (() => {
      const map = open(path, mode);
      for (let i = 0; i < 10; i++) {
        assert.equal(map.slice(i * 100, i * 100 + 100).bytes[0], 7);
      }
    })();
    await assertLetGo(path);
  };
  for (const [name, keep] of Object.entries(KEEPERS)) {
    CASES[`${mode}: ${name}`] = async () => {
      const path = newFile();
      const box: Box<Held> = { content: undefined };
      (() => {
        box.content = keep(open(path, mode).slice());
      })();
      for (let i = 0; i < 5; i++) {
        await assertKept(path);
        assert.equal(box.content![0], 7);
        assert.equal(box.content![4], 7);
      }
      (() => {
        box.content![1] = 9;
      })();
      if (mode === "r+") {
        assert.ok(readFileSync(path).includes(9), "the write reaches the file");
      } else assert.ok(!readFileSync(path).includes(9));
      box.content = undefined;
      await assertLetGo(path);
    };
  }
  CASES[`${mode}: a slice alone keeps everything`] = async () => {
    const path = newFile();
    const box: Box<MemmapSlice> = { content: undefined };
    (() => {
      box.content = open(path, mode).slice(0, 5000);
    })();
    await assertKept(path);
    assert.equal(box.content!.bytes[4999], 7);
    assert.equal(box.content!.map.path, path);
    box.content = undefined;
    await assertLetGo(path);
  };
}

CASES["a DataView"] = async () => {
  const path = newFile();
  const box: Box<DataView> = { content: undefined };
  (() => {
    box.content = new DataView(open(path).slice().buffer);
  })();
  await assertKept(path);
  assert.equal(box.content!.getUint8(LENGTH - 1), 7);
  box.content = undefined;
  await assertLetGo(path);
};

CASES["views of two slices, dropped one after the other"] = async () => {
  const path = newFile();
  const one: Box<Uint8Array> = { content: undefined };
  const two: Box<Uint8Array> = { content: undefined };
  (() => {
    const map = open(path);
    one.content = map.slice(0, 100).bytes;
    two.content = map.slice(100, 200).bytes;
  })();
  await assertKept(path);
  one.content = undefined;
  await assertKept(path);
  assert.equal(two.content![99], 7);
  two.content = undefined;
  await assertLetGo(path);
};

/** So long that no other mapping can take all of its addresses. */
function newLongFile(): string {
  const path = newFile();
  truncateSync(path, 2 ** 28);
  return path;
}

/** The file's bytes are out of reach now, and zeros are mapped over them. */
function assertZeros(bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i += LENGTH) {
    assert.equal(bytes[i], 0);
    bytes[i] = 1;
  }
}

CASES["a buffer transferred before the map was dropped"] = async () => {
  const path = newLongFile();
  const box: Box<Uint8Array> = { content: undefined };
  (() => {
    box.content = new Uint8Array(open(path).slice().buffer.transfer());
  })();
  await assertLetGo(path);
  assertZeros(box.content!);
};

CASES["a buffer transferred after the map was dropped"] = async () => {
  const path = newLongFile();
  const box: Box<Uint8Array> = { content: undefined };
  (() => {
    box.content = open(path).slice().bytes;
  })();
  // Once the descriptor is gone, so is the map, and only the view keeps the bytes.
  for (let i = 0; i < 100 && descriptorsOf(path)!.length > 0; i++) {
    await assertKept(path);
  }
  await assertKept(path);
  (() => {
    box.content = new Uint8Array(
      (box.content!.buffer as ArrayBuffer).transfer(),
    );
  })();
  await assertLetGo(path);
  assertZeros(box.content!);
};

CASES["a view of a floating slice"] = async () => {
  const path = newFile();
  const box: Box<Uint8Array> = { content: undefined };
  (() => {
    const slice = open(path).insert(0, 5000);
    slice.fill(5);
    box.content = slice.bytes;
  })();
  for (let i = 0; i < 5; i++) {
    await collectThoroughly();
    assert.ok(box.content!.every((byte) => byte === 5));
  }
  box.content = undefined;
  await assertLetGo(path);
};

CASES["a map that was appended to, and its journal"] = async () => {
  const path = newFile();
  (() => {
    const map = open(path);
    for (let i = 0; i < 3; i++) {
      map.insert(map.mappedLength, 10);
      map.flush();
    }
    // In Bun, a second one stands in for it, which unlocks it if its thread ends.
    assert.equal(descriptorsOf(".journal")!.length, isDeno ? 1 : 2);
  })();
  await assertLetGo(path);
  for (let i = 0; i < 100 && descriptorsOf(".journal")!.length > 0; i++) {
    await collectThoroughly();
  }
  assert.deepEqual(descriptorsOf(".journal"), []);
  const journals = () =>
    readdirSync(folder).filter((name) => name.endsWith(".journal"));
  assert.equal(journals().length, 1);
  open(path, "r").close();
  assert.equal(journals().length, 1);
  open(path).close();
  assert.deepEqual(journals(), []);
};

CASES["a closed map's views do not matter"] = async () => {
  const path = newFile();
  const map = open(path);
  const { bytes } = map.slice();
  map.close();
  assert.equal(mappingsOf(path)!.length, 0);
  assert.deepEqual(descriptorsOf(path), []);
  await collectThoroughly();
  assert.equal(bytes.length, 0);
};

for (const [name, run] of Object.entries(CASES)) {
  await run();
  console.log(name);
}
