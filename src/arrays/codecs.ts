/**
 * The element types of arrays: their names, sizes, and how one element is read
 * from memory and written to it.
 *
 * Knows nothing of shapes or slices.
 *
 * @module
 */

/** What an array can hold: what one element is, and the typed array of them. */
export interface ElementTypes<B extends ArrayBufferLike> {
  /** `boolean`, `Uint8Array`. */
  bool: { element: boolean; values: Uint8Array<B> };
  /** `number`, `Int8Array`. */
  int8: { element: number; values: Int8Array<B> };
  /** `number`, `Uint8Array`. */
  uint8: { element: number; values: Uint8Array<B> };
  /** `number`, `Int16Array`. */
  int16: { element: number; values: Int16Array<B> };
  /** `number`, `Uint16Array`. */
  uint16: { element: number; values: Uint16Array<B> };
  /** `number`, `Int32Array`. */
  int32: { element: number; values: Int32Array<B> };
  /** `number`, `Uint32Array`. */
  uint32: { element: number; values: Uint32Array<B> };
  /** `bigint`, `BigInt64Array`. */
  int64: { element: bigint; values: BigInt64Array<B> };
  /** `bigint`, `BigUint64Array`. */
  uint64: { element: bigint; values: BigUint64Array<B> };
  /** `number`, `Float16Array`. */
  float16: { element: number; values: Float16Array<B> };
  /** `number`, `Float32Array`. */
  float32: { element: number; values: Float32Array<B> };
  /** `number`, `Float64Array`. */
  float64: { element: number; values: Float64Array<B> };
}

/** The type of an array's elements. */
export type DType =
  | "bool"
  | "int8"
  | "uint8"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64"
  | "float16"
  | "float32"
  | "float64";

/** What one element is in JavaScript: a boolean, a number, or a bigint for 64-bit integers. */
export type Element<T extends DType> = ElementTypes<ArrayBuffer>[T]["element"];

/** The typed array of an element type; that of `"bool"` is `Uint8Array`. */
export type TypedArrayOf<
  T extends DType,
  B extends ArrayBufferLike = ArrayBuffer,
> = ElementTypes<B>[T]["values"];

/** Which byte of an element comes first in memory: the least or the most significant. */
export type ByteOrder = "little" | "big";

/** The letter and size of numpy's type strings, without the byte order. */
export interface NumpyCodes {
  /** `"bool"`. */
  b1: "bool";
  /** `"int8"`. */
  i1: "int8";
  /** `"uint8"`. */
  u1: "uint8";
  /** `"int16"`. */
  i2: "int16";
  /** `"uint16"`. */
  u2: "uint16";
  /** `"int32"`. */
  i4: "int32";
  /** `"uint32"`. */
  u4: "uint32";
  /** `"int64"`. */
  i8: "int64";
  /** `"uint64"`. */
  u8: "uint64";
  /** `"float16"`. */
  f2: "float16";
  /** `"float32"`. */
  f4: "float32";
  /** `"float64"`. */
  f8: "float64";
}

/** numarray's names. */
export interface NumarrayNames {
  /** `"bool"`. */
  Bool: "bool";
  /** `"int8"`. */
  Int8: "int8";
  /** `"uint8"`. */
  UInt8: "uint8";
  /** `"int16"`. */
  Int16: "int16";
  /** `"uint16"`. */
  UInt16: "uint16";
  /** `"int32"`. */
  Int32: "int32";
  /** `"uint32"`. */
  UInt32: "uint32";
  /** `"int64"`. */
  Int64: "int64";
  /** `"uint64"`. */
  UInt64: "uint64";
  /** `"float16"`. */
  Float16: "float16";
  /** `"float32"`. */
  Float32: "float32";
  /** `"float64"`. */
  Float64: "float64";
}

/** numpy's signs for a byte order: little, big, native, not applicable, unsaid. */
export type OrderSign = "<" | ">" | "=" | "|" | "";

/**
 * Every name that an element type goes by: the canonical one (`"float64"`),
 * numpy's type string (`">f8"`, `"<i4"`, `"|u1"`, `"=i2"`), or numarray's name
 * (`"Float64"`).
 */
export type TypeName =
  | DType
  | `${OrderSign}${keyof NumpyCodes}`
  | keyof NumarrayNames;

/** The element type that a {@linkcode TypeName} stands for. */
export type DTypeOf<N extends TypeName> = N extends DType ? N
  : N extends keyof NumarrayNames ? NumarrayNames[N]
  : N extends keyof NumpyCodes ? NumpyCodes[N]
  : N extends `${Exclude<OrderSign, "">}${infer A}`
    ? A extends keyof NumpyCodes ? NumpyCodes[A] : never
  : never;

/** A typed array, of whatever type. */
export type Values<B extends ArrayBufferLike = ArrayBuffer> = TypedArrayOf<
  DType,
  B
>;

/** The constructor of a typed array; as if all were one, which TypeScript cannot say. */
export interface ValuesConstructor {
  new (length: number): Values;
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): Values;
  readonly prototype: Values;
  readonly BYTES_PER_ELEMENT: number;
}

/** All there is to know of one element type. */
export interface ElementType {
  readonly name: DType;
  /** numarray's name. */
  readonly title: keyof NumarrayNames;
  /** numpy's letter and size. */
  readonly alias: keyof NumpyCodes;
  /** Bytes. */
  readonly size: number;
  readonly kind: "boolean" | "integer" | "float";
  /** What `typeof` says of an element. */
  readonly typeOf: "boolean" | "number" | "bigint";
  readonly Values: ValuesConstructor;
  /** Reads the element at byte `at`. */
  readonly read: Read;
  /** Writes one there; integers wrap as those of typed arrays do. */
  readonly write: Write;
}

type Read = (
  view: DataView,
  at: number,
  little: boolean,
) => boolean | number | bigint;

type Write = (
  view: DataView,
  at: number,
  // deno-lint-ignore no-explicit-any -- checkElement() has seen that it is right
  value: any,
  little: boolean,
) => void;

function elementType(
  name: DType,
  title: keyof NumarrayNames,
  alias: keyof NumpyCodes,
  Values: unknown,
  read: Read,
  write: Write,
): ElementType {
  const is64Bit = alias === "i8" || alias === "u8";
  return {
    name,
    title,
    alias,
    size: Number(alias[1]),
    kind: alias[0] === "b" ? "boolean" : alias[0] === "f" ? "float" : "integer",
    typeOf: alias[0] === "b" ? "boolean" : is64Bit ? "bigint" : "number",
    Values: Values as ValuesConstructor,
    read,
    write,
  };
}

// Importing must not fail in a runtime too old to open a file: not all know Float16Array.
const TYPES: readonly ElementType[] = [
  elementType(
    "bool",
    "Bool",
    "b1",
    Uint8Array,
    (v, at) => v.getUint8(at) !== 0,
    (v, at, x) => v.setUint8(at, x ? 1 : 0),
  ),
  elementType(
    "int8",
    "Int8",
    "i1",
    Int8Array,
    (v, at) => v.getInt8(at),
    (v, at, x) => v.setInt8(at, x),
  ),
  elementType(
    "uint8",
    "UInt8",
    "u1",
    Uint8Array,
    (v, at) => v.getUint8(at),
    (v, at, x) => v.setUint8(at, x),
  ),
  elementType(
    "int16",
    "Int16",
    "i2",
    Int16Array,
    (v, at, l) => v.getInt16(at, l),
    (v, at, x, l) => v.setInt16(at, x, l),
  ),
  elementType(
    "uint16",
    "UInt16",
    "u2",
    Uint16Array,
    (v, at, l) => v.getUint16(at, l),
    (v, at, x, l) => v.setUint16(at, x, l),
  ),
  elementType(
    "int32",
    "Int32",
    "i4",
    Int32Array,
    (v, at, l) => v.getInt32(at, l),
    (v, at, x, l) => v.setInt32(at, x, l),
  ),
  elementType(
    "uint32",
    "UInt32",
    "u4",
    Uint32Array,
    (v, at, l) => v.getUint32(at, l),
    (v, at, x, l) => v.setUint32(at, x, l),
  ),
  elementType(
    "int64",
    "Int64",
    "i8",
    BigInt64Array,
    (v, at, l) => v.getBigInt64(at, l),
    (v, at, x, l) => v.setBigInt64(at, x, l),
  ),
  elementType(
    "uint64",
    "UInt64",
    "u8",
    BigUint64Array,
    (v, at, l) => v.getBigUint64(at, l),
    (v, at, x, l) => v.setBigUint64(at, x, l),
  ),
  elementType(
    "float16",
    "Float16",
    "f2",
    globalThis.Float16Array,
    (v, at, l) => v.getFloat16(at, l),
    (v, at, x, l) => v.setFloat16(at, x, l),
  ),
  elementType(
    "float32",
    "Float32",
    "f4",
    Float32Array,
    (v, at, l) => v.getFloat32(at, l),
    (v, at, x, l) => v.setFloat32(at, x, l),
  ),
  elementType(
    "float64",
    "Float64",
    "f8",
    Float64Array,
    (v, at, l) => v.getFloat64(at, l),
    (v, at, x, l) => v.setFloat64(at, x, l),
  ),
];

const BY_NAME: ReadonlyMap<string, ElementType> = new Map(
  TYPES.flatMap((type) =>
    [type.name, type.title, type.alias].map((name) => [name, type])
  ),
);

/** The machine's own byte order. */
export const NATIVE: ByteOrder =
  new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? "little" : "big";

const ORDERS: Readonly<Record<string, ByteOrder | undefined>> = {
  "<": "little",
  ">": "big",
  "=": NATIVE,
};

/**
 * What a name stands for, and the byte order that it says, if it says one.
 *
 * @throws {TypeError} that lists what is known.
 */
export function parseTypeName(
  name: string,
): [type: ElementType, order: ByteOrder | undefined] {
  if (typeof name === "string") {
    const type = BY_NAME.get(name);
    if (type !== undefined) return [type, undefined];
    const signed = BY_NAME.get(name.slice(1));
    // A sign stands before numpy's letters only.
    if (/^[<>=|]/.test(name) && signed?.alias === name.slice(1)) {
      return [signed, ORDERS[name[0]]];
    }
  }
  const list = (of: "name" | "alias" | "title") =>
    TYPES.map((type) => type[of]).join(", ");
  const given = typeof name === "string" ? JSON.stringify(name) : String(name);
  throw new TypeError(
    `Unknown element type ${given}. Known are ` +
      `${list("name")}; numpy's ${list("alias")}, with <, >, = or | before ` +
      `them; and numarray's ${list("title")}.`,
  );
}

/** Throws unless `value` is of the kind that `type` holds. */
export function checkElement(type: ElementType, value: unknown): void {
  const kind = typeof value;
  if (kind !== type.typeOf) refuse(type, value);
}

function refuse(type: ElementType, value: unknown): never {
  const given = typeof value === "bigint"
    ? `${value}n`
    : typeof value === "string"
    ? JSON.stringify(value)
    : typeof value === "object"
    ? "an object"
    : String(value);
  throw new TypeError(
    `An element of type ${type.name} must be a ${type.typeOf}, not ${given}.`,
  );
}
