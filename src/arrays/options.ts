/**
 * What callers hand over to make, cut and copy arrays, read once into plain values.
 *
 * A getter, a `valueOf` or an iterator of the caller's may run code, which may
 * resize the slice. So everything here is called before any state is looked at,
 * and looks at none.
 *
 * @module
 */

import { type Codec, NATIVE, parseTypeName } from "./codecs.ts";
import type { ByteOrder } from "./type_names.ts";

/** Options of {@linkcode MemmapSlice.array}. */
export interface ArrayOptions {
  /**
   * Elements along each axis. One length may be -1: as many as fit. The default
   * is one axis, of as many whole elements as fit.
   */
  shape?: number | readonly number[] | undefined;
  /** The elements' byte order; the machine's by default. */
  byteOrder?: ByteOrder | undefined;
  /**
   * Where in the slice the first element is, in bytes: any value, aligned or
   * not. Negative ones count from the slice's end.
   */
  byteOffset?: number | undefined;
}

/** The same, read. */
export interface ReadOptions {
  readonly codec: Codec;
  readonly byteOrder: ByteOrder;
  readonly byteOffset: number;
  /** `undefined` stands for the default. */
  readonly shape: number | readonly number[] | undefined;
}

/** Reads the options of an array of the type `name`. */
export function readOptions(name: string, options: ArrayOptions): ReadOptions {
  const [codec, signed] = parseTypeName(name);
  const { shape, byteOrder, byteOffset } = options;
  return {
    codec,
    byteOrder: checkByteOrder(name, signed, byteOrder),
    byteOffset: byteOffset ?? 0,
    shape: shape === undefined || shape === null ? undefined : readShape(shape),
  };
}

/** Reads a shape, so that no iterator or getter of it can run again. */
export function readShape(
  shape: number | readonly number[],
): number | readonly number[] {
  return typeof shape === "number" ? shape : Array.from(shape);
}

/** Reads a range that will be clamped; by default from the first to the last. */
export function readRange(
  begin: number | undefined,
  end: number | undefined,
): [begin: number, end: number] {
  return [
    begin === undefined ? 0 : +begin,
    end === undefined ? Infinity : +end,
  ];
}

/** Reads how many elements the source of a copy has. */
export function readLength(source: ArrayLike<unknown>): number {
  const { length } = source;
  if (typeof length !== "number") {
    throw new TypeError(
      "The source of copyFrom() must be an array, a typed array, another " +
        "MemmapArray, or something that has a length as they have.",
    );
  }
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new RangeError(`A source of ${length} elements cannot be copied.`);
}

function checkByteOrder(
  name: string,
  signed: ByteOrder | undefined,
  option: ByteOrder | undefined,
): ByteOrder {
  if (option !== undefined && option !== "little" && option !== "big") {
    throw new TypeError(
      `Invalid byteOrder ${JSON.stringify(option)}: it is "little" or "big".`,
    );
  }
  if (signed !== undefined && option !== undefined && signed !== option) {
    throw new TypeError(
      `Type '${name}' is ${signed}-endian, and byteOrder says "${option}".`,
    );
  }
  return signed ?? option ?? NATIVE;
}

/** An argument for a message, so that it cannot be taken for a number that it is not. */
export function shown(argument: unknown): string {
  if (Array.isArray(argument)) return `[${argument.map(String)}]`;
  if (typeof argument === "bigint") return `${argument}n`;
  return typeof argument === "string"
    ? JSON.stringify(argument)
    : String(argument);
}
