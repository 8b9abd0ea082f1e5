/**
 * The names of element types: the type that each stands for, the byte order that it
 * implies, and what TypeScript infers from it. Compiling this file checks the types.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  type ByteOrder,
  type Complex,
  type DType,
  type Element,
  type MemmapArray,
  type MemmapSlice,
  open,
  type TypedArrayOf,
  type TypeName,
} from "../../../mod.ts";
import { NATIVE } from "../../../src/arrays/byte_order.ts";
import { parseTypeName } from "../../../src/arrays/codecs.ts";
import { temporaryFolder } from "../../support/support.ts";

const OTHER: ByteOrder = NATIVE === "little" ? "big" : "little";

const TYPES = [
  ["bool", "Bool", "b1", 1],
  ["int8", "Int8", "i1", 1],
  ["uint8", "UInt8", "u1", 1],
  ["int16", "Int16", "i2", 2],
  ["uint16", "UInt16", "u2", 2],
  ["int32", "Int32", "i4", 4],
  ["uint32", "UInt32", "u4", 4],
  ["int64", "Int64", "i8", 8],
  ["uint64", "UInt64", "u8", 8],
  ["float16", "Float16", "f2", 2],
  ["float32", "Float32", "f4", 4],
  ["float64", "Float64", "f8", 8],
  ["complex64", "Complex32", "c8", 8],
  ["complex128", "Complex64", "c16", 16],
] as const;

/** A slice of 64 zero bytes. */
function withSlice(use: (slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "types.dat"), "w+", { length: 64 });
  use(map.slice());
}

test("an array's dtype is the canonical name, whichever name it was created with", () => {
  withSlice((slice) => {
    for (const [name, title, alias, size] of TYPES) {
      const signed = ["<", ">", "=", "|"].map((sign) => `${sign}${alias}`);
      for (const given of [name, title, alias, ...signed]) {
        const a = slice.array(given as TypeName);
        assert.equal(a.dtype, name, given);
        assert.equal(a.itemSize, size, given);
        assert.equal(a.size, 64 / size, given);
      }
    }
  });
});

test("< and > fix the byte order, = means the machine's, and no sign leaves it to byteOrder", () => {
  withSlice((slice) => {
    for (const [name, title, alias] of TYPES) {
      assert.equal(slice.array(`<${alias}`).byteOrder, "little");
      assert.equal(slice.array(`>${alias}`).byteOrder, "big");
      assert.equal(slice.array(`=${alias}`).byteOrder, NATIVE);
      for (const open of [name, title, alias, `|${alias}`] as const) {
        assert.equal(slice.array(open).byteOrder, NATIVE, open);
        for (const byteOrder of ["little", "big"] as const) {
          assert.equal(slice.array(open, { byteOrder }).byteOrder, byteOrder);
        }
      }
    }
  });
});

test("a sign and the byteOrder option must agree", () => {
  withSlice((slice) => {
    for (const [, , alias] of TYPES) {
      for (
        const [sign, says, conflict] of [
          ["<", "little", "big"],
          [">", "big", "little"],
          ["=", NATIVE, OTHER],
        ] as const
      ) {
        const name = `${sign}${alias}` as const;
        assert.equal(slice.array(name, { byteOrder: says }).byteOrder, says);
        assert.throws(() => slice.array(name, { byteOrder: conflict }), {
          name: "TypeError",
          message: `Type '${name}' is ${says}-endian, and byteOrder says ` +
            `"${conflict}".`,
        });
      }
    }
  });
});

test("an unknown byteOrder is a TypeError", () => {
  withSlice((slice) => {
    for (const wrong of ["native", ">", "", "LITTLE", "Big", null, 1, true]) {
      const byteOrder = wrong as ByteOrder;
      assert.throws(() => slice.array("int32", { byteOrder }), {
        name: "TypeError",
        message: /^Invalid byteOrder .*: it is "little" or "big"\.$/,
      });
    }
    assert.equal(slice.array("i4", { byteOrder: undefined }).byteOrder, NATIVE);
  });
});

test("an unknown type name is a TypeError that lists the known ones", () => {
  const unknown: unknown[] = [
    ...["", " ", "<", "int", "float", "double", "complex", "c4", "U1", "S1"],
    ...["i3", "f16", "i16", "b8", "<int32", ">Int32", "|float64", "=Bool"],
    ...[">>i4", "i4>", "<>i4", "!i4", "@i4", " i4", "i4 ", "\n>i4", "I4"],
    ...["INT32", "Uint8", "uInt8", "boolean", "bigint64", "4", "1", "8"],
    ...["__proto__", "constructor", "toString", "hasOwnProperty", "null"],
    ...[
      undefined,
      null,
      4,
      NaN,
      true,
      {},
      ["int32"],
      Symbol("int32"),
      Int32Array,
    ],
  ];
  withSlice((slice) => {
    for (const name of unknown) {
      const expected = (error: Error) => {
        assert.equal(error.name, "TypeError");
        assert.match(
          error.message,
          typeof name === "string"
            ? /^Unknown element type "/
            : /^An element type must be a string, not /,
        );
        for (const names of TYPES) {
          for (const known of names.slice(0, 3)) {
            assert.match(error.message, new RegExp(`\\b${known}\\b`));
          }
        }
        if (typeof name === "string") {
          assert.ok(error.message.includes(JSON.stringify(name)));
        }
        return true;
      };
      assert.throws(() => slice.array(name as TypeName), expected);
      assert.throws(() => parseTypeName(name as string), expected);
    }
  });
});

/** Compiles only if the two types are the same. */
function assertSame<A, B>(
  _same: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2)
    ? true
    : false,
): void {}

test("TypeScript knows the elements of each type by each of its names", () => {
  withSlice((slice) => {
    const number: number = slice.array(">i4").get(0);
    const bigint: bigint = slice.array("int64").get(0);
    const boolean: boolean = slice.array("bool").get(0);
    assert.deepEqual([number, bigint, boolean], [0, 0n, false]);
    const numbers: number[] = [
      slice.array("int8").get(0),
      slice.array("|u1").get(0),
      slice.array("Int16").get(0),
      slice.array("<u2").get(0),
      slice.array("uint32").get(0),
      slice.array("=f2").get(0),
      slice.array("Float32").get(0),
      slice.array("f8").get(0),
      ...slice.array("float64"),
      ...slice.array(">f4").toTypedArray(),
    ];
    assert.ok(numbers.every((value) => value === 0));
    const bigints: bigint[] = [
      slice.array("UInt64").get(0),
      slice.array("<i8").get(0),
      slice.array("=u8").get(0),
      ...slice.array("Int64"),
      ...slice.array("u8").toTypedArray(),
    ];
    assert.ok(bigints.every((value) => value === 0n));
    const booleans: boolean[] = [
      slice.array("Bool").get(0),
      ...slice.array("|b1"),
    ];
    assert.ok(booleans.every((value) => !value));
  });
  assertSame<Element<"bool">, boolean>(true);
  assertSame<Element<"int64">, bigint>(true);
  assertSame<Element<"float16">, number>(true);
  assertSame<Element<DType>, boolean | number | bigint | Complex>(true);
  assertSame<Element<"complex64">, readonly [real: number, imaginary: number]>(
    true,
  );
  // @ts-expect-error: the two differ. Without this, assertSame() would prove nothing.
  assertSame<Element<"bool">, number>(true);
});

test("TypeScript knows an array's type, and that of its data", () => {
  withSlice((slice) => {
    const a: MemmapArray<"float64"> = slice.array("<f8");
    const data: Float64Array<ArrayBuffer> | null = a.data;
    const dtype: "float64" = a.dtype;
    assert.equal(dtype, "float64");
    assert.equal(data?.length ?? 8, 8);
    assertSame<typeof a.data, Float64Array<ArrayBuffer> | null>(true);
    const b = slice.array("Bool");
    assertSame<typeof b, MemmapArray<"bool">>(true);
    assertSame<typeof b.data, Uint8Array<ArrayBuffer> | null>(true);
    const copy = slice.array("=u8").toTypedArray();
    assertSame<typeof copy, BigUint64Array<ArrayBuffer>>(true);
    const made = [
      slice.array("i1").subarray(1),
      slice.array("i1").transpose(),
      slice.array("i1").reshape(-1),
      slice.array("i1").fill(0),
      slice.array("i1").apply((x) => x + 1),
      slice.array("i1").copyFrom([1]),
      slice.array("i1").resize(64),
    ];
    assertSame<typeof made, MemmapArray<"int8">[]>(true);
    assertSame<TypedArrayOf<"float16">, Float16Array<ArrayBuffer>>(true);
    // A name that is known only at run time.
    const names: TypeName[] = [">i4", "float64"];
    for (const name of names) {
      const any = slice.array(name);
      const element: boolean | number | bigint | Complex = any.get(0);
      assertSame<typeof any, MemmapArray<DType>>(true);
      assert.ok(["number", "bigint", "boolean"].includes(typeof element));
    }
  });
});

test("TypeScript rejects what would throw at run time", () => {
  // Only compiled, never run: some of these would succeed, and some change the slice.
  const _refused = (slice: MemmapSlice) => {
    // @ts-expect-error: an element of int32 is a number
    const _bigint: bigint = slice.array("int32").get(0);
    // @ts-expect-error: an element of int64 is a bigint
    const _number: number = slice.array("int64").get(0);
    // @ts-expect-error: an element of bool is a boolean
    const _bit: number = slice.array("bool").get(0);
    // @ts-expect-error: data may be null
    const _data: Float64Array = slice.array("float64").data;
    // @ts-expect-error: data has the array's own element type
    const _floats: Float32Array | null = slice.array("float64").data;
    // @ts-expect-error: there is no such type
    slice.array("int");
    // @ts-expect-error: signs go with numpy's letters only
    slice.array(">int32");
    // @ts-expect-error: only one sign is allowed
    slice.array("<>i4");
    // @ts-expect-error: there is no such byte order
    slice.array("int32", { byteOrder: "native" });
    // @ts-expect-error: int64 takes bigints
    slice.array("int64").fill(1);
    // @ts-expect-error: int64 takes bigints
    slice.array("int64").set(0, 1);
    // @ts-expect-error: float64 takes numbers
    slice.array("float64").set(0, 1n);
    // @ts-expect-error: bool takes booleans
    slice.array("bool").set(0, 1);
    // @ts-expect-error: the callback returns an element
    slice.array("int32").apply((x) => String(x));
    // @ts-expect-error: bool takes booleans
    slice.array("bool").copyFrom([1, 0]);
    // @ts-expect-error: the target must have the array's element type
    slice.array("float32").copyTo(new Float64Array(1));
    // @ts-expect-error: shape is read-only
    slice.array("float32").shape = [1];
    // @ts-expect-error: so are its lengths
    slice.array("float32").shape[0] = 1;
  };
  assert.equal(typeof _refused, "function");
});
