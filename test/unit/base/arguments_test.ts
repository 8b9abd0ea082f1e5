/** What is accepted as options and as bytes, and the plain values they become. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import {
  bytesIn,
  checkCount,
  numbersIn,
  readOptions,
} from "../../../src/base/arguments.ts";

/** A view whose buffer is detached. */
function staleView(): Uint8Array {
  const view = new Uint8Array(8);
  view.buffer.transfer();
  return view;
}

const STALE = { name: "TypeError", message: /^The source is a stale view: / };

const KNOWN = ["length", "reserve"] as const;
type Known = { length?: number; reserve?: boolean };

test("options are any object but an array, or are left out", () => {
  const read = (value: unknown) =>
    readOptions(value as Known, KNOWN, "{ length: 4096 }");
  assert.deepEqual({ ...read(undefined) }, {});
  assert.equal(read({ length: 3 }).length, 3);
  const bare = Object.assign(Object.create(null), { reserve: true });
  assert.equal(read(bare).reserve, true);
  for (const value of ["path", 8, true, null, [2, 2], () => {}]) {
    assert.throws(() => read(value), {
      name: "TypeError",
      message: /^Options must be an object, such as \{ length: 4096 \}, not /,
    });
  }
});

test("an unknown option is a TypeError that lists the known ones", () => {
  assert.throws(
    () => readOptions({ lenght: 3 } as Known, KNOWN, "{ length: 4096 }"),
    {
      name: "TypeError",
      message: 'Unknown option "lenght"; there are: length, reserve.',
    },
  );
});

test("each option is read once", () => {
  let looks = 0;
  const options = {
    get length() {
      return ++looks;
    },
  };
  const read = readOptions<"length" | "reserve", Known>(options, KNOWN, "{}");
  assert.equal(read.length! + read.length!, 2);
  assert.equal(looks, 1);
});

test("too many arguments are a TypeError that shows the signature", () => {
  checkCount(2, 2, "slice(begin, end)");
  assert.throws(() => checkCount(3, 2, "slice(begin, end)"), {
    name: "TypeError",
    message: "3 arguments were given where 2 would do: slice(begin, end).",
  });
});

test("bytesIn covers exactly the view's bytes, and copies nothing", () => {
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

test("bytesIn accepts shared buffers, and buffers of another realm", () => {
  assert.equal(bytesIn(new SharedArrayBuffer(5))!.length, 5);
  const foreign = runInNewContext("new Uint8Array([7, 8, 9]).buffer");
  assert.deepEqual([...bytesIn(foreign)!], [7, 8, 9]);
});

test("bytesIn returns a plain view, whatever a subclass claims", () => {
  class Liar extends Uint8Array {
    override get length(): number {
      return 1e9;
    }
  }
  const bytes = bytesIn(new Liar(4))!;
  assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype);
  assert.equal(bytes.length, 4);
});

test("bytesIn returns undefined for anything else, and throws for a stale view", () => {
  for (const value of ["abc", 3, null, undefined, [1, 2], { length: 2 }]) {
    assert.equal(bytesIn(value), undefined);
  }
  assert.throws(() => bytesIn(staleView()), STALE);
});

test("bytesIn reads no property of the view, and does not track a growing buffer", () => {
  const view = new Uint8Array([1, 2, 3]);
  for (const key of ["buffer", "byteOffset", "byteLength", "length"]) {
    Object.defineProperty(view, key, {
      get() {
        throw new Error(`asked for ${key}`);
      },
    });
  }
  Object.defineProperty(view, Symbol.toStringTag, { value: "Float64Array" });
  assert.deepEqual([...bytesIn(view)!], [1, 2, 3]);
  const shared = new SharedArrayBuffer(4, { maxByteLength: 64 });
  const whole = bytesIn(shared)!;
  const part = bytesIn(new Uint8Array(shared))!;
  shared.grow(64);
  assert.deepEqual([whole.length, part.length], [4, 4]);
});

test("a view is stale once its resizable buffer has become too short for it", () => {
  const buffer = new ArrayBuffer(16, { maxByteLength: 16 });
  const views = [new Uint8Array(buffer, 8, 8), new DataView(buffer, 8, 8)];
  buffer.resize(4);
  for (const view of views) assert.throws(() => bytesIn(view), STALE);
});

test("typed arrays give their numbers, and other sources give their bytes", () => {
  const typed = new Float32Array(3);
  assert.equal(numbersIn(typed, 0), typed);
  const { buffer } = new Uint8Array([1, 2, 3]);
  assert.deepEqual([...numbersIn(buffer, 0) as Uint8Array], [1, 2, 3]);
  const view = new DataView(buffer, 1);
  assert.deepEqual([...numbersIn(view, 0) as Uint8Array], [2, 3]);
});

test("each number of an array is read once, and taken modulo 256", () => {
  const looks: string[] = [];
  const source = new Proxy([1, 2, 259], {
    get(target, key) {
      looks.push(String(key));
      return Reflect.get(target, key);
    },
  });
  assert.deepEqual([...numbersIn(source, 3) as Uint8Array], [1, 2, 3]);
  assert.deepEqual(looks, ["length", "0", "1", "2"]);
  assert.throws(() => numbersIn([1, 2, 3], 2), { name: "RangeError" });
  assert.throws(() => numbersIn({ length: 2 ** 40 }, 2), {
    name: "RangeError",
  });
});

test("text is not accepted, nor is an array that holds anything but numbers", () => {
  for (const value of ["abc", 3, null, undefined, {}, () => {}]) {
    assert.throws(() => numbersIn(value, 9), {
      name: "TypeError",
      message:
        "The source must be an ArrayBuffer, a view of one, or an array of " +
        "numbers. Encode text with TextEncoder.",
    });
  }
  const wrong = [["a"], [1, , 3], [1n], [null], [{ valueOf: () => 1 }]];
  for (const value of wrong) {
    assert.throws(() => numbersIn(value, 9), {
      name: "TypeError",
      message: /^Element \d of the source must be a number, not /,
    });
  }
  assert.throws(() => numbersIn(staleView(), 9), STALE);
});
