/**
 * Element types as codecs: each says how large its elements are, how one is read,
 * written, checked, converted and printed.
 *
 * An array asks its codec and never looks at a type's name. Another kind of element
 * is another codec here. Knows nothing of shapes or slices.
 *
 * @module
 */

import { fillValues, shown } from "../base/mod.ts";
import { SIGNS } from "./byte_order.ts";
import type { ItemCodec } from "./items.ts";
import type {
  ByteOrder,
  Complex,
  DType,
  NumarrayNames,
  NumpyCodes,
  TypeName,
} from "./type_names.ts";
import type { Values, ValuesConstructor } from "./values.ts";
import {
  booleanWords,
  complexWords,
  floatWords,
  integerWords,
  type Words,
} from "./words.ts";

/** What one element can be in JavaScript. */
export type AnyElement = boolean | number | bigint | Complex;

/** An element as its typed array holds it; the two parts of a complex one. */
export type Encoded = number | bigint | Complex;

/** Everything that an array needs to know of its elements. */
export interface Codec extends ItemCodec {
  readonly kind: "number";
  /** The canonical name. */
  readonly name: DType;
  /** numarray's name. */
  readonly title: keyof NumarrayNames;
  /** numpy's letter and size. */
  readonly alias: keyof NumpyCodes;
  /** Numbers of its typed array that one element takes. */
  readonly parts: number;
  /** The typed array that holds such elements. */
  readonly Values: ValuesConstructor;
  /** Reads the element at byte `at`. */
  readonly read: Read;
  /** Writes an encoded element there. Integers wrap as those of typed arrays do. */
  readonly write: Write;
  /**
   * An element as its typed array holds it. Throws a `TypeError` if `value` is no
   * such element. For complex types it may run the caller's code.
   */
  readonly encode: (value: unknown) => Encoded;
  /** Encodes `count` elements from index `begin` of a list on. */
  readonly encodeAll: (
    values: Values,
    elements: ArrayLike<unknown>,
    begin: number,
    count: number,
  ) => void;
  /** Sets all of `values` to an encoded element. */
  readonly fill: (values: Values, encoded: Encoded) => void;
  /** A typed array's values as elements. */
  readonly decodeAll: (values: Values) => ArrayLike<AnyElement>;
  /** The elements that a typed array of another type stands for. */
  readonly elementsOf: (
    values: Values<ArrayBufferLike>,
  ) => ArrayLike<unknown>;
  /** Elements as words of one width, for printing. */
  readonly words: Words;
}

type Read = (view: DataView, at: number, little: boolean) => AnyElement;

type Write = (
  view: DataView,
  at: number,
  // deno-lint-ignore no-explicit-any -- encode() has returned it
  value: any,
  little: boolean,
) => void;

/** What tells types of the same kind apart. */
interface Numeric {
  readonly name: DType;
  readonly title: keyof NumarrayNames;
  readonly alias: keyof NumpyCodes;
  readonly Values: unknown;
  readonly read: Read;
  readonly write: Write;
}

/** What types of the same kind have in common. */
type Kind = Pick<
  Codec,
  "encode" | "encodeAll" | "decodeAll" | "words"
>;

function codec(type: Numeric, kind: Kind): Codec {
  const size = Number(type.alias.slice(1));
  const Values = type.Values as ValuesConstructor;
  return {
    ...{ ...type, ...kind, kind: "number", Values },
    ...{ size, unit: size, alignment: size, parts: 1 },
    fill: (values, encoded) => fillValues(values, encoded as number | bigint),
    elementsOf: (values) => values,
  };
}

// Each kind has a loop of its own for lists: one loop for all would call encode()
// without knowing which, at half the speed.

function boolean(type: Numeric): Codec {
  const encode = (value: unknown) => {
    if (typeof value !== "boolean") refuse(type, "a boolean", value);
    return value ? 1 : 0;
  };
  return codec(type, {
    encode,
    encodeAll(values, elements, begin, count) {
      for (let i = 0; i < count; i++) values[i] = encode(elements[begin + i]);
    },
    decodeAll: (values) =>
      Array.from(values as ArrayLike<number>, (value) => value !== 0),
    words: booleanWords,
  });
}

function bigInteger(type: Numeric): Codec {
  const encode = (value: unknown) => {
    if (typeof value !== "bigint") refuse(type, "a bigint", value);
    return value;
  };
  return codec(type, {
    encode,
    encodeAll(values, elements, begin, count) {
      for (let i = 0; i < count; i++) values[i] = encode(elements[begin + i]);
    },
    decodeAll: (values) => values,
    words: integerWords,
  });
}

function integer(type: Numeric): Codec {
  return number(type, integerWords);
}

/** `round` returns the nearest value of the type. */
function float(type: Numeric, round: (value: number) => number): Codec {
  return number(type, floatWords(round));
}

function number(type: Numeric, words: Words): Codec {
  const encode = (value: unknown) => {
    if (typeof value !== "number") refuse(type, "a number", value);
    return value;
  };
  return codec(type, {
    encode,
    encodeAll(values, elements, begin, count) {
      for (let i = 0; i < count; i++) values[i] = encode(elements[begin + i]);
    },
    decodeAll: (values) => values,
    words,
  });
}

/** Two numbers of the type `part` in a row. */
function complex(
  name: "complex64" | "complex128",
  title: "Complex32" | "Complex64",
  alias: "c8" | "c16",
  part: Codec,
): Codec {
  const unit = part.size;
  const refused = { name } as Numeric;
  const expected = "a list of a real and an imaginary number";
  const encode = (value: unknown): Complex => {
    if (typeof value !== "object" || value === null) {
      refuse(refused, expected, value);
    }
    const { length, 0: real, 1: imaginary } = value as ArrayLike<unknown>;
    if (
      length !== 2 || typeof real !== "number" ||
      typeof imaginary !== "number"
    ) refuse(refused, expected, value);
    return [real, imaginary];
  };
  const pairs = (values: Values<ArrayBufferLike>) =>
    Array.from({ length: values.length / 2 }, (_, i) => [
      values[2 * i],
      values[2 * i + 1],
    ]);
  return {
    kind: "number",
    ...{ name, title, alias, Values: part.Values },
    ...{ size: 2 * unit, unit, alignment: unit, parts: 2 },
    read: (view, at, little) => [
      part.read(view, at, little) as number,
      part.read(view, at + unit, little) as number,
    ],
    write(view, at, [real, imaginary]: Complex, little) {
      part.write(view, at, real, little);
      part.write(view, at + unit, imaginary, little);
    },
    encode,
    encodeAll(values, elements, begin, count) {
      for (let i = 0; i < count; i++) {
        const [real, imaginary] = encode(elements[begin + i]);
        values[2 * i] = real;
        values[2 * i + 1] = imaginary;
      }
    },
    fill(values, encoded) {
      const both = encoded as Complex;
      for (let i = 0; i < values.length; i++) values[i] = both[i % 2]!;
    },
    decodeAll: (values) => pairs(values) as unknown as Complex[],
    elementsOf: pairs,
    words: complexWords(part.words),
  };
}

function refuse({ name }: Numeric, kind: string, value: unknown): never {
  throw new TypeError(
    `An element of type ${name} must be ${kind}, not ${shown(value)}.`,
  );
}

// Each accessor is a function of its own, since engines compile a function for the
// types that it has seen. Importing must not fail in a runtime too old to open a
// file, which may know neither Float16Array nor Math.f16round.
const REAL: readonly Codec[] = [
  boolean({
    name: "bool",
    title: "Bool",
    alias: "b1",
    Values: Uint8Array,
    read: (view, at) => view.getUint8(at) !== 0,
    write: (view, at, value) => view.setUint8(at, value),
  }),
  integer({
    name: "int8",
    title: "Int8",
    alias: "i1",
    Values: Int8Array,
    read: (view, at) => view.getInt8(at),
    write: (view, at, value) => view.setInt8(at, value),
  }),
  integer({
    name: "uint8",
    title: "UInt8",
    alias: "u1",
    Values: Uint8Array,
    read: (view, at) => view.getUint8(at),
    write: (view, at, value) => view.setUint8(at, value),
  }),
  integer({
    name: "int16",
    title: "Int16",
    alias: "i2",
    Values: Int16Array,
    read: (view, at, little) => view.getInt16(at, little),
    write: (view, at, value, little) => view.setInt16(at, value, little),
  }),
  integer({
    name: "uint16",
    title: "UInt16",
    alias: "u2",
    Values: Uint16Array,
    read: (view, at, little) => view.getUint16(at, little),
    write: (view, at, value, little) => view.setUint16(at, value, little),
  }),
  integer({
    name: "int32",
    title: "Int32",
    alias: "i4",
    Values: Int32Array,
    read: (view, at, little) => view.getInt32(at, little),
    write: (view, at, value, little) => view.setInt32(at, value, little),
  }),
  integer({
    name: "uint32",
    title: "UInt32",
    alias: "u4",
    Values: Uint32Array,
    read: (view, at, little) => view.getUint32(at, little),
    write: (view, at, value, little) => view.setUint32(at, value, little),
  }),
  bigInteger({
    name: "int64",
    title: "Int64",
    alias: "i8",
    Values: BigInt64Array,
    read: (view, at, little) => view.getBigInt64(at, little),
    write: (view, at, value, little) => view.setBigInt64(at, value, little),
  }),
  bigInteger({
    name: "uint64",
    title: "UInt64",
    alias: "u8",
    Values: BigUint64Array,
    read: (view, at, little) => view.getBigUint64(at, little),
    write: (view, at, value, little) => view.setBigUint64(at, value, little),
  }),
  float({
    name: "float16",
    title: "Float16",
    alias: "f2",
    Values: globalThis.Float16Array,
    read: (view, at, little) => view.getFloat16(at, little),
    write: (view, at, value, little) => view.setFloat16(at, value, little),
  }, (value) => Math.f16round(value)),
  float({
    name: "float32",
    title: "Float32",
    alias: "f4",
    Values: Float32Array,
    read: (view, at, little) => view.getFloat32(at, little),
    write: (view, at, value, little) => view.setFloat32(at, value, little),
  }, Math.fround),
  float({
    name: "float64",
    title: "Float64",
    alias: "f8",
    Values: Float64Array,
    read: (view, at, little) => view.getFloat64(at, little),
    write: (view, at, value, little) => view.setFloat64(at, value, little),
  }, (value) => value),
];

const CODECS: readonly Codec[] = [
  ...REAL,
  complex("complex64", "Complex32", "c8", REAL.at(-2)!),
  complex("complex128", "Complex64", "c16", REAL.at(-1)!),
];

/** The type of the parts of complex elements. */
export function partOf({ name, parts, unit }: Codec): Codec {
  if (parts === 2) return REAL.at(unit === 4 ? -2 : -1)!;
  throw new TypeError(
    `Elements of ${name} have no real and imaginary parts: they are not complex.`,
  );
}

/** What a name stands for, and the byte order if the name says one. */
type Named = readonly [codec: Codec, order: ByteOrder | undefined];

// Every name that there is: looking one up is all that an array's making does with it.
const BY_NAME: ReadonlyMap<string, Named> = new Map(
  CODECS.flatMap((codec) => [
    ...[codec.name, codec.title, codec.alias].map((
      name,
    ): [string, Named] => [name, [codec, undefined]]),
    ...Object.entries(SIGNS).map((
      [sign, order],
    ): [string, Named] => [sign + codec.alias, [codec, order]]),
  ]),
);

/** Whether a value is the name of an element type, as `slice.array()` takes it. */
export function isTypeName(value: unknown): value is TypeName {
  return BY_NAME.has(value as string);
}

/**
 * The codec that a name stands for, and the byte order if the name says one.
 *
 * @throws {TypeError} that lists the known names.
 */
export function parseTypeName(name: string): Named {
  const named = BY_NAME.get(name);
  if (named !== undefined) return named;
  const problem = typeof name === "string"
    ? `Unknown element type ${shown(name)}`
    : `An element type must be a string, not ${shown(name)}`;
  const list = (of: "name" | "alias" | "title") =>
    CODECS.map((codec) => codec[of]).join(", ");
  throw new TypeError(
    `${problem}. Known are ${list("name")}; ` +
      `numpy's ${list("alias")}, with <, >, = or | before them; ` +
      `and numarray's ${list("title")}.`,
  );
}
