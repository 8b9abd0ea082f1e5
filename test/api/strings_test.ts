/** `MemmapStrings`: strings of a fixed length, as numarray and numpy lay them out. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  type MemmapSlice,
  type MemmapStrings,
  open,
  type StringName,
} from "../../mod.ts";
import { assertPrints, temporaryFolder } from "../support/support.ts";

const RANGE_ERROR = { name: "RangeError" };
const TYPE_ERROR = { name: "TypeError" };

function withSlice(length: number, use: (slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "strings.dat"), "w+", { length });
  use(map.slice());
}

const bytesOf = (text: string) => [...new TextEncoder().encode(text)];

test("set() pads with NULs, and get() strips them, as numpy does", () => {
  withSlice(20, (slice) => {
    slice.fill(0x7f);
    const a = slice.strings("S5");
    assert.deepEqual([a.shape, a.strides, a.itemSize], [[4], [5], 5]);
    assert.deepEqual([a.dtype, a.encoding, a.padding], ["S5", "utf-8", "nul"]);
    assert.equal(a.set(1, "abc"), "abc");
    assert.deepEqual(
      [...slice.bytes.subarray(4, 11)],
      [0x7f, ...bytesOf("abc"), 0, 0, 0x7f],
    );
    assert.equal(a.get(1), "abc");
    a.set(1, "ab c ");
    assert.equal(a.get(1), "ab c ");
    a.set(1, "a\0b\0");
    assert.equal(a.get(1), "a\0b");
    a.set(1, "");
    assert.equal(a.get(1), "");
    a.set(2, "fünf");
    assert.equal(a.get(2), "fünf");
  });
});

test("padding: 'space' is numarray's, and that of FITS files", () => {
  withSlice(16, (slice) => {
    const a = slice.strings("a8", { padding: "space" });
    assert.deepEqual([a.dtype, a.padding], ["S8", "space"]);
    a.fill("SIMPLE");
    assert.deepEqual([...slice.bytes.subarray(8)], bytesOf("SIMPLE  "));
    assert.equal(a.get(1), "SIMPLE");
    assert.equal(slice.strings("S8").get(0), "SIMPLE  ");
    slice.fill(0);
    assert.equal(a.get(0), "\0".repeat(8));
  });
});

test("U strings are code points of 4 bytes in either byte order", () => {
  withSlice(40, (slice) => {
    const text = "a\u00e9\u{1f600}";
    for (const [name, isLittle] of [["<U5", true], [">U5", false]] as const) {
      const a = slice.strings(name);
      assert.deepEqual([a.shape, a.itemSize, a.encoding], [[2], 20, "ucs-4"]);
      assert.equal(a.byteOrder, isLittle ? "little" : "big");
      slice.fill(1);
      a.set(1, text);
      const view = new DataView(slice.buffer, 20);
      const points = [0, 4, 8, 12, 16].map((at) =>
        view.getUint32(at, isLittle)
      );
      assert.deepEqual(points, [0x61, 0xe9, 0x1f600, 0, 0]);
      assert.equal(a.get(1), text);
      a.copyFrom(["xyz", text]);
      assert.deepEqual([...a], ["xyz", text]);
      assert.deepEqual(a.toArray(), ["xyz", text]);
      view.setUint32(0, 0xd800, isLittle);
      view.setUint32(4, 0x110000, isLittle);
      assert.equal(a.get(1), "\ufffd\ufffd\u{1f600}");
      a.set(1, "\ud800");
      assert.equal(a.get(1), "\ufffd");
      a.set(0, "\u{1f600}".repeat(5)); // ten units, and five code points
      assert.throws(() => a.set(0, "abcdef"), {
        name: "RangeError",
        message: /"abcdef" has 6 code points.* U5 has 5/,
      });
    }
    const spaces = slice.strings(">U2", { padding: "space" }).fill("x");
    assert.equal(new DataView(slice.buffer).getUint32(4), 32);
    assert.equal(spaces.get(4), "x");
  });
});

test("bytes that are no UTF-8 are U+FFFD, as TextDecoder has it", () => {
  withSlice(8, (slice) => {
    const a = slice.strings("S4");
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    for (
      const bytes of [
        [0xff, 0x41, 0xc3, 0xa9],
        [0xf0, 0x9f, 0x98, 0x80],
        [0xf0, 0x9f, 0x98, 0],
        [0xef, 0xbb, 0xbf, 0x41],
        [0xed, 0xa0, 0x80, 0x41],
        [0xc0, 0x80, 0, 0],
      ]
    ) {
      slice.set(bytes, 4);
      const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
      const expected = decoder.decode(Uint8Array.from(bytes.slice(0, end)));
      assert.equal(a.get(1), expected);
      assert.deepEqual(a.toArray(1), [expected]);
    }
    a.set(0, "\ud800");
    assert.equal(a.get(0), "\ufffd");
  });
});

test("encoding: 'latin1' has a byte for each character up to U+00FF", () => {
  withSlice(4, (slice) => {
    const a = slice.strings("S4", { encoding: "latin1" });
    assert.equal(a.encoding, "latin1");
    a.set(0, "\u0080é\u00ff");
    assert.deepEqual([...slice.bytes], [0x80, 0xe9, 0xff, 0]);
    assert.equal(a.get(0), "\u0080é\u00ff"); // not windows-1252
    assert.throws(() => a.set(0, "€"), {
      name: "RangeError",
      message: /latin1 does not have, at index 0/,
    });
  });
});

test("a string that is too long is a RangeError with both lengths, and nothing is written", () => {
  withSlice(12, (slice) => {
    const a = slice.strings("S4");
    a.copyFrom(["one", "two", "six"]);
    const before = slice.slice();
    const error = {
      name: "RangeError",
      message:
        '"three" has 5 bytes in utf-8, and an element of S4 has 4. Nothing was written.',
    };
    assert.throws(() => a.set(0, "three"), error);
    assert.throws(() => a.fill("three"), error);
    assert.throws(() => a.copyFrom(["a", "b", "three"]), error);
    assert.throws(() => a.set(0, "äöü"), RANGE_ERROR);
    assert.throws(() => a.copyFrom(["a", "b", "c", "d"]), RANGE_ERROR);
    assert.throws(() => a.copyFrom(["a"], 3), RANGE_ERROR);
    assert.throws(() => a.resize(4, { fill: "three" }), error);
    // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
    for (const wrong of [1, null, undefined, {}, ["a"], true] as any[]) {
      assert.throws(() => a.set(0, wrong), TYPE_ERROR);
      assert.throws(() => a.fill(wrong), TYPE_ERROR);
      assert.throws(() => a.copyFrom(["a", wrong]), TYPE_ERROR);
      assert.throws(() => a.apply(() => wrong), TYPE_ERROR);
    }
    assert.deepEqual(slice.slice(), before);
  });
});

test("unknown types, encodings and paddings are a TypeError that lists what there is", () => {
  withSlice(16, (slice) => {
    const wrong = [
      ...["S", "S0", "U0", "s4", "S-1", "S1.5", "S04", "int8", "V4", "", "SS4"],
      ...["S4 ", "S99999999999", 4, null, undefined, ["S4"], "U4\n"],
    ];
    for (const name of wrong) {
      assert.throws(() => slice.strings(name as StringName), {
        name: "TypeError",
        message: /^Unknown type of strings .*"S16" or "a16"/,
      });
    }
    const refused: object[] = [
      { encoding: "ascii" },
      { padding: " " },
      { byteOrder: "native" },
      { charset: "utf-8" },
    ];
    for (const options of refused) {
      assert.throws(() => slice.strings("S4", options), TYPE_ERROR);
    }
    assert.throws(
      () => slice.strings("U4", { encoding: "utf-8" }),
      TYPE_ERROR,
    );
    assert.throws(
      () => slice.strings("<U4", { byteOrder: "big" }),
      TYPE_ERROR,
    );
    // Bytes have no order.
    assert.equal(slice.strings("<S4", { byteOrder: "big" }).itemSize, 4);
    assert.throws(() => slice.strings("S17", { shape: 1 }), RANGE_ERROR);
  });
});

test("shapes, strides and parts are those of all arrays", () => {
  withSlice(60, (slice) => {
    const a = slice.strings("S3", {
      shape: [2, 3],
      byteOffset: 1,
      strides: [30, 5],
    });
    const words = ["one", "two", "six", "ten", "a", "b"];
    a.copyFrom(words);
    assert.deepEqual([...slice.bytes.subarray(36, 39)], bytesOf("a\0\0"));
    assert.equal(a.get(1, 0), "ten");
    assert.deepEqual([...a.pick(1)], ["ten", "a", "b"]);
    assert.deepEqual(a.transpose().toArray(), [
      ...["one", "ten", "two", "a", "six", "b"],
    ]);
    assert.deepEqual(a.step(-1, -2).toArray(), ["b", "ten", "six", "one"]);
    assert.deepEqual(a.subarray(1).reshape(3).toArray(), ["ten", "a", "b"]);
    assert.deepEqual(a.toArray(1, -3), ["two", "six"]);
    a.transpose().copyFrom(a);
    const parts: MemmapStrings = a.lo(0, 1);
    assert.deepEqual(parts.shape, [2, 2]);
    for (const wrong of [[2, 0], [0, 3], [0], [0, 0, 0], [0.5, 0]]) {
      assert.throws(() => a.get(...wrong), RANGE_ERROR);
      assert.throws(() => a.set(...wrong as [number], "x"), RANGE_ERROR);
    }
    assert.equal(slice.strings("S3", { shape: [] }).set("abc"), "abc");
  });
});

test("apply(), fill() and copies between types", () => {
  withSlice(100, (slice) => {
    const a = slice.strings("S4", { shape: 3 });
    a.fill("ab").apply((text, i) => text.toUpperCase() + i);
    assert.deepEqual([...a], ["AB0", "AB1", "AB2"]);
    const b = slice.strings(">U4", { shape: 3, byteOffset: 30 });
    b.copyFrom(a);
    assert.deepEqual([...b], [...a]);
    const c = slice.strings("S4", { shape: 5, byteOffset: 79 });
    c.copyFrom(a, 2);
    assert.deepEqual([...c], ["", "", "AB0", "AB1", "AB2"]);
    // Of the same memory, which is read first.
    a.subarray(1).copyFrom(a.subarray(0, 2));
    assert.deepEqual([...a], ["AB0", "AB0", "AB1"]);
  });
});

test("resize() repeats the strings, or fills, and the array follows its slice", () => {
  withSlice(8, (slice) => {
    const a = slice.strings("S4");
    a.copyFrom(["ab", "cd"]);
    a.resize(5);
    assert.deepEqual([...a], ["ab", "cd", "ab", "cd", "ab"]);
    a.resize([3, 2], { fill: "x" });
    assert.deepEqual(a.get(2, 1), "x");
    assert.equal(slice.length, 24);
    slice.map.flush({ durable: false });
    assert.equal(a.get(2, 1), "x");
    assert.throws(() => a.transpose().resize(2), RANGE_ERROR);
    slice.delete();
    assert.throws(() => a.get(0, 0), { name: "DeletedSliceError" });
    assert.equal(String(a), "<MemmapStrings of a deleted slice>");
  });
});

test("a loop over strings goes on after slice.resize()", () => {
  withSlice(12, (slice) => {
    const a = slice.strings("S4").fill("ab");
    const seen: string[] = [];
    for (const text of a) {
      seen.push(text);
      slice.resize(slice.length + 4);
    }
    a.apply((text) => {
      slice.resize(slice.length + 4);
      return text + "c";
    });
    assert.deepEqual(seen, ["ab", "ab", "ab"]);
    assert.deepEqual([...a], ["abc", "abc", "abc"]);
  });
});

test("in mode r, every write is a ReadonlyError", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "readonly");
  open(path, "w+", { length: 8 }).close();
  using map = open(path, "r");
  const a = map.slice().strings("S4");
  for (
    const write of [
      () => a.set(0, "x"),
      () => a.fill("x"),
      () => a.apply((text) => text),
      () => a.copyFrom(["x"]),
      () => a.resize(1),
    ]
  ) assert.throws(write, { name: "ReadonlyError" });
});

test("strings print as numarray's CharArray", () => {
  withSlice(64, (slice) => {
    const a = slice.strings("S4", { shape: 4 });
    a.copyFrom(["this", "that", "the", "othe"]);
    assertPrints(a, "CharArray(['this', 'that', 'the', 'othe'])");
    assertPrints(
      a.reshape(2, 2),
      "CharArray([['this', 'that'],\n           ['the', 'othe']])",
    );
    a.copyFrom(["it's", 'a"b', "\n\\\t", "\x01\x7f'\""]);
    assertPrints(
      a,
      `CharArray(["it's", 'a"b', '\\n\\\\\\t', '\\x01\\x7f\\'"'])`,
    );
    assertPrints(slice.strings("S4", { shape: 0 }), "CharArray([])");
  });
});
