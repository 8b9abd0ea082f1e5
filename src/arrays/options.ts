/**
 * What callers hand over to make, cut and copy arrays, read once into plain values.
 *
 * A getter, a `valueOf` or an iterator of the caller's may run code, which may
 * resize the slice. So everything here is called before any state is looked at,
 * and looks at none.
 *
 * @module
 */

import { bytesIn, readOptions as readEach, shown } from "../base/mod.ts";
import { agreedOrder } from "./byte_order.ts";
import { type Codec, type Encoded, parseTypeName } from "./codecs.ts";
import type { ByteOrder } from "./type_names.ts";
import { isValuesOf } from "./values.ts";

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
  /**
   * For each axis, BYTES from one index to the next, as numpy's `strides`: any whole
   * numbers, also negative ones and 0. `strides: [37]` is one field of packed records
   * of 37 bytes. By default, elements lie side by side.
   */
  strides?: readonly number[] | undefined;
  /**
   * Instead of strides: `"C"` if the last axis is the fastest, which is the default,
   * `"F"` if the first one is, as in Fortran's files.
   */
  order?: "C" | "F" | undefined;
}

/** The same, read. */
export interface ReadOptions {
  readonly byteOrder: ByteOrder;
  readonly byteOffset: number;
  /** `undefined` stands for the default. */
  readonly shape: number | readonly number[] | undefined;
  readonly strides: readonly number[] | undefined;
  readonly order: "C" | "F";
}

/** The names of the options of arrays. */
export const ARRAY_OPTIONS: readonly (keyof ArrayOptions)[] = [
  ...["shape", "byteOrder", "byteOffset", "strides", "order"] as const,
];

/** Reads the type and the options of an array. */
export function readOptions(
  name: string,
  options: ArrayOptions,
): ReadOptions & { readonly codec: Codec } {
  const [codec, signed] = parseTypeName(name);
  const byteOrder = agreedOrder(name, signed, options.byteOrder);
  return { codec, ...readPlace(options, byteOrder) };
}

/** Reads where an array is; its byte order is known. */
export function readPlace(
  { shape, byteOffset, strides, order }: ArrayOptions,
  byteOrder: ByteOrder,
): ReadOptions {
  if (order !== undefined && order !== "C" && order !== "F") {
    throw new TypeError(
      `Invalid order ${
        shown(order)
      }: it is "C", the last axis fastest, or "F", ` +
        "the first.",
    );
  }
  if (order !== undefined && strides !== undefined) {
    throw new TypeError("Give strides or an order, not both.");
  }
  return {
    byteOrder,
    byteOffset: byteOffset ?? 0,
    shape: shape === undefined || shape === null ? undefined : readShape(shape),
    strides: strides === undefined || strides === null
      ? undefined
      : readNumbers(strides, "strides"),
    order: order ?? "C",
  };
}

/** More axes than anybody has; a list that says it has more is no shape. */
const MOST_AXES = 1024;

/** Reads a shape, so that no getter of it can run again. */
export function readShape(
  shape: number | readonly number[],
): number | readonly number[] {
  return typeof shape === "number" ? shape : readNumbers(shape, "shape");
}

function readNumbers(
  given: readonly number[],
  what: "shape" | "strides" | "offsets",
  most = MOST_AXES,
): readonly number[] {
  const length = typeof given === "object" && given !== null
    ? given.length
    : undefined;
  if (typeof length !== "number" || !(length >= 0 && length <= most)) {
    const [subject, kind] = what === "shape"
      ? ["A shape", "a number or a list of numbers"]
      : [what === "strides" ? "Strides" : "Offsets", "a list of numbers"];
    throw new TypeError(`${subject} must be ${kind}, not ${shown(given)}.`);
  }
  return Array.from({ length }, (_, axis) => {
    const one: unknown = given[axis];
    if (typeof one === "number") return one + 0; // never -0
    throw new TypeError(
      (what === "shape" ? "The lengths of a shape" : "Strides and offsets") +
        ` must be numbers; number ${axis} is ${shown(one)}.`,
    );
  });
}

/** Reads the offsets of fields. */
export function readOffsets(offsets: readonly number[]): readonly number[] {
  return readNumbers(offsets, "offsets", 65_536);
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
  const length: unknown = typeof source === "object" && source !== null
    ? source.length
    : undefined;
  if (typeof length !== "number") {
    throw new TypeError(
      "The source of copyFrom() must be an array, a typed array, another " +
        "MemmapArray, or something that has a length as they have, not " +
        `${shown(source)}.`,
    );
  }
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new RangeError(`A source of ${length} elements cannot be copied.`);
}

/** Reads what `resize()` is given, of which there may be too much. */
export function readShapeAndFill(
  shape: number | readonly number[],
  options: { fill?: unknown } | undefined,
  count: number,
): {
  readonly shape: number | readonly number[];
  /** `undefined` if new elements repeat the old. */
  readonly fill: unknown;
} {
  if (typeof options === "number" || count > 2) {
    throw new TypeError("resize() takes one shape: resize([2, 3]).");
  }
  const read = readShape(shape);
  const { fill } = readEach(options, ["fill"], "{ fill: 0 }");
  return { shape: read, fill };
}

/** The same for numbers, with `fill` as its typed array holds it; `undefined` for 0. */
export function readResize(
  codec: Codec,
  ...given: Parameters<typeof readShapeAndFill>
): {
  readonly shape: number | readonly number[];
  readonly repeats: boolean;
  readonly fill: Encoded | undefined;
} {
  const { shape, fill } = readShapeAndFill(...given);
  const isNothing = fill === undefined || fill === 0;
  return {
    shape,
    repeats: fill === undefined,
    fill: isNothing ? undefined : codec.encode(fill),
  };
}

/** Reads the target of `copyTo()` as its bytes. */
export function readTarget(codec: Codec, target: unknown): Uint8Array {
  if (isValuesOf(target, codec.Values)) return bytesIn(target)!;
  throw new TypeError(
    "The target of copyTo() must have the array's own type, " +
      `${codec.Values.name}.`,
  );
}

/** Throws unless `f` can be called for elements. */
export function checkFunction(f: unknown): void {
  if (typeof f === "function") return;
  throw new TypeError(`apply() takes a function, not ${shown(f)}.`);
}
