/**
 * The names of element types, and what TypeScript infers from each.
 *
 * Types only. What a type means at run time is in `codecs.ts`.
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
  /** `[real, imaginary]`; a `Float32Array` of both in turn. */
  complex64: { element: Complex; values: Float32Array<B> };
  /** `[real, imaginary]`; a `Float64Array` of both in turn. */
  complex128: { element: Complex; values: Float64Array<B> };
}

/** A complex number. */
export type Complex = readonly [real: number, imaginary: number];

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
  | "float64"
  | "complex64"
  | "complex128";

/** The type of the real and of the imaginary parts of complex elements. */
export type PartOf<T extends DType> = T extends "complex64" ? "float32"
  : T extends "complex128" ? "float64"
  : never;

/**
 * What one element is in JavaScript: a boolean, a number, a bigint for 64-bit integers,
 * or two numbers in a list for complex ones.
 */
export type Element<T extends DType> = ElementTypes<ArrayBuffer>[T]["element"];

/**
 * The typed array of an element type; that of `"bool"` is `Uint8Array`. Those of
 * complex types have two numbers for each element: its real and its imaginary part.
 */
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
  /** `"complex64"`. */
  c8: "complex64";
  /** `"complex128"`. */
  c16: "complex128";
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
  /** `"complex64"`: numarray counted the bits of one part. */
  Complex32: "complex64";
  /** `"complex128"`. */
  Complex64: "complex128";
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
