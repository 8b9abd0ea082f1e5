/** What counts as options and as a source of bytes, and the plain values they become. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import {
  bytesIn,
  checkAttached,
  checkOptions,
  checkSource,
} from "../../../src/base/arguments.ts";

/** A view whose memory is gone. */
function staleView(): Uint8Array {
  const view = new Uint8Array(8);
  view.buffer.transfer();
  return view;
}

const STALE = { name: "TypeError", message: /^The source is a stale view: / };

test("options are any object but an array, or left out", () => {
  assert.deepEqual(checkOptions(undefined, "{ length: 4096 }"), {});
  const options = { length: 3 };
  assert.equal(checkOptions(options, "{ length: 4096 }"), options);
  const bare = Object.create(null);
  assert.equal(checkOptions(bare, "{ length: 4096 }"), bare);
  for (const value of ["path", 8, true, null, [2, 2], () => {}]) {
    assert.throws(() => checkOptions(value as object, "{ length: 4096 }"), {
      name: "TypeError",
      message: "Options must be an object, such as { length: 4096 }.",
    });
  }
});

test("a view is attached until its buffer is transferred", () => {
  const view = new Uint16Array(4);
  checkAttached(view);
  checkAttached(new Uint8Array(0));
  view.buffer.transfer();
  assert.throws(() => checkAttached(view), STALE);
});

test("bytesIn covers exactly a view's bytes, and copies nothing", () => {
  const { buffer } = new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]);
  const views: [ArrayBufferView, number[]][] = [
    [new Uint8Array(buffer, 2, 3), [2, 3, 4]],
    [new Uint16Array(buffer, 4, 1), [4, 5]],
    [new DataView(buffer, 1, 2), [1, 2]],
    [new Uint8Array(buffer, 8), []],
  ];
  for (const [view, expected] of views) {
    const bytes = bytesIn(view)!;
    assert.equal(bytes.buffer, buffer);
    assert.deepEqual([...bytes], expected);
  }
  assert.equal(bytesIn(buffer)!.length, 8);
  assert.equal(bytesIn(buffer)!.buffer, buffer);
});

test("bytesIn takes shared buffers, and buffers of another realm", () => {
  assert.equal(bytesIn(new SharedArrayBuffer(5))!.length, 5);
  const foreign = runInNewContext("new Uint8Array([7, 8, 9]).buffer");
  assert.deepEqual([...bytesIn(foreign)!], [7, 8, 9]);
});

test("bytesIn is a plain view, whatever a subclass says of itself", () => {
  class Liar extends Uint8Array {
    override get length(): number {
      return 1e9;
    }
  }
  const bytes = bytesIn(new Liar(4))!;
  assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
  assert.equal(bytes.length, 4);
});

test("bytesIn of anything else is undefined, and of a stale view an error", () => {
  for (const value of ["abc", 3, null, undefined, [1, 2], { length: 2 }]) {
    assert.equal(bytesIn(value), undefined);
  }
  assert.throws(() => bytesIn(staleView()), STALE);
});

test("typed arrays and array-likes are sources as they are, others as their bytes", () => {
  const typed = new Float32Array(3);
  const likes = [typed, [1, 2, 3], { length: 2, 0: 1, 1: 2 }];
  for (const source of likes) assert.equal(checkSource(source), source);
  const buffer = new ArrayBuffer(3);
  const ofBuffer = checkSource(buffer) as Uint8Array;
  assert.ok(ofBuffer instanceof Uint8Array && ofBuffer.buffer === buffer);
  assert.equal(checkSource(new DataView(buffer, 1)).length, 2);
});

test("text, numbers and stale views are no sources", () => {
  for (const value of ["abc", 3, null, undefined, {}, () => {}]) {
    assert.throws(() => checkSource(value as unknown as number[]), {
      name: "TypeError",
      message:
        "The source must be an ArrayBuffer, a view of one, or an array of " +
        "numbers. Encode text with TextEncoder.",
    });
  }
  assert.throws(() => checkSource(staleView()), STALE);
  const view = new DataView(new ArrayBuffer(8));
  view.buffer.transfer();
  assert.throws(() => checkSource(view as ArrayBufferView), STALE);
});
