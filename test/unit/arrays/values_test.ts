/**
 * Typed arrays from callers are recognized by what they are, not by what they claim.
 * They are read without anything that a subclass can override.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import {
  bytesOf,
  copyOf,
  isValuesOf,
  plainView,
  type Values,
  type ValuesConstructor,
} from "../../../src/arrays/values.ts";

const TYPES = [
  ...[Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array],
  ...[BigInt64Array, BigUint64Array, Float16Array, Float32Array, Float64Array],
] as unknown as ValuesConstructor[];

test("isValuesOf() tells each type from all others", () => {
  for (const type of TYPES) {
    for (const other of TYPES) {
      assert.equal(isValuesOf(new type(2), other), type === other);
    }
    for (const wrong of [new DataView(new ArrayBuffer(8)), [], {}, null, 1]) {
      assert.equal(isValuesOf(wrong, type), false);
    }
  }
});

test("a subclass, and an array of another realm, count as the built-in type", () => {
  const foreign = runInNewContext("new Float64Array([1, 2])");
  assert.ok(isValuesOf(foreign, Float64Array as unknown as ValuesConstructor));
  assert.deepEqual([...plainView(foreign)!], [1, 2]);
  assert.equal(plainView(Buffer.from("ab"))!.constructor, Uint8Array);
});

test("a false Symbol.toStringTag changes nothing", () => {
  const liar = new Uint8Array(8);
  Object.defineProperty(liar, Symbol.toStringTag, { value: "Float64Array" });
  assert.equal(
    isValuesOf(liar, Float64Array as unknown as ValuesConstructor),
    false,
  );
  assert.equal(plainView(liar)!.constructor, Uint8Array);
});

test("plainView() covers the same memory, and reads no property of the view", () => {
  const seen: string[] = [];
  class Hostile extends Int16Array<ArrayBuffer> {
    override get byteLength(): number {
      seen.push("byteLength");
      return super.byteLength;
    }
    override get length(): number {
      seen.push("length");
      return 1000;
    }
  }
  const source = new Hostile(new Int16Array([1, 2, 3]).buffer, 2, 2);
  const view = plainView(source)!;
  assert.deepEqual(seen, []);
  assert.equal(view.buffer, source.buffer);
  assert.equal(view.byteOffset, 2);
  assert.equal(view.length, 2);
  assert.equal(Object.getPrototypeOf(view), Int16Array.prototype);
});

test("plainView() is undefined for anything but a typed array", () => {
  for (const other of [[1], "ab", new DataView(new ArrayBuffer(2)), {}, 5]) {
    assert.equal(plainView(other), undefined);
  }
});

test("copyOf() has its own memory and the same bits", () => {
  const bits = new Uint8Array([1, 0, 0xf0, 0x7f, 0, 0, 0xf0, 0x7f]);
  for (const type of TYPES) {
    const source = new type(bits.slice().buffer);
    const copy: Values = copyOf(source);
    assert.equal(copy.constructor, type);
    assert.notEqual(copy.buffer, source.buffer);
    assert.deepEqual(bytesOf(copy), bits);
  }
  const part = Buffer.from([1, 2, 3, 4]).subarray(1, 3);
  const copy = copyOf(part);
  part[0] = 9;
  assert.deepEqual([...copy], [2, 3]);
});
