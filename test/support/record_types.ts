/**
 * Random types of records and random records of them, and where their bytes are: a plain
 * model, which knows nothing of the library.
 *
 * @module
 */

import { below, type Random } from "./support.ts";

/** A field as numpy's `descr` has it. */
export type AnyEntry =
  | [name: string, type: string | AnyEntry[]]
  | [name: string, type: string | AnyEntry[], shape: number[]];

/** A field within records within records, with everything that finds its bytes. */
export interface Leaf {
  readonly path: readonly string[];
  /** numpy's type string, with a sign of byte order. */
  readonly type: string;
  /** Where the elements are in a record, in row-major order. */
  readonly offsets: readonly number[];
  readonly size: number;
}

const NUMBERS = [
  ...["b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"],
  ...["f2", "f4", "f8", "c8", "c16"],
];

/** Random fields; nested ones have fewer. */
export function someFields(random: Random, depth = 0): AnyEntry[] {
  const count = 1 + below(random, depth === 0 ? 6 : 3);
  return Array.from({ length: count }, (_, i): AnyEntry => {
    const name = `${"abcdefgh"[i]}${depth}`;
    const type = depth < 2 && random() < 0.2
      ? someFields(random, depth + 1)
      : someType(random);
    if (random() < 0.75) return [name, type];
    const shape = Array.from(
      { length: 1 + below(random, 2) },
      () => 1 + below(random, 3),
    );
    return [name, type, shape];
  });
}

function someType(random: Random): string {
  const sign = random() < 0.5 ? "<" : ">";
  if (random() < 0.15) return `|S${1 + below(random, 9)}`;
  if (random() < 0.1) return `${sign}U${1 + below(random, 4)}`;
  return sign + NUMBERS[below(random, NUMBERS.length)]!;
}

/** Bytes of an element, and of what C's compilers would align. */
function sizesOf(type: string | AnyEntry[], align: boolean): [number, number] {
  if (typeof type !== "string") {
    const { size, alignment } = layoutOf(type, align);
    return [size, alignment];
  }
  const count = Number(type.slice(2));
  if (type[1] === "S") return [count, 1];
  if (type[1] === "U") return [4 * count, 4];
  return [count, type[1] === "c" ? count / 2 : count];
}

/** Where each field begins, and how long a record is. */
export function layoutOf(
  fields: readonly AnyEntry[],
  align: boolean,
): { offsets: number[]; size: number; alignment: number } {
  let [at, largest] = [0, 1];
  const offsets = fields.map(([, type, shape = []]) => {
    const [size, alignment] = sizesOf(type, align);
    if (align) { while (at % alignment !== 0) at++; }
    largest = Math.max(largest, align ? alignment : 1);
    const offset = at;
    at += size * shape.reduce((a, b) => a * b, 1);
    return offset;
  });
  while (at % largest !== 0) at++;
  return { offsets, size: at, alignment: largest };
}

/** The leaves of a record's fields, in order. */
export function leavesOf(fields: readonly AnyEntry[], align: boolean): Leaf[] {
  const { offsets } = layoutOf(fields, align);
  return fields.flatMap(([name, type, shape = []], i) => {
    const [size] = sizesOf(type, align);
    const count = shape.reduce((a, b) => a * b, 1);
    const starts = Array.from(
      { length: count },
      (_, k) => offsets[i]! + k * size,
    );
    if (typeof type === "string") {
      return [{ path: [name], type, offsets: starts, size }];
    }
    return leavesOf(type, align).map((leaf) => ({
      ...leaf,
      path: [name, ...leaf.path],
      offsets: starts.flatMap((start) => leaf.offsets.map((at) => start + at)),
    }));
  });
}

/** A random record. No NaN, which has many bit patterns. */
export function someRow(
  fields: readonly AnyEntry[],
  random: Random,
): Record<string, unknown> {
  return Object.fromEntries(fields.map(([name, type, shape = []]) => {
    const list = (axis: number): unknown =>
      axis === shape.length
        ? typeof type === "string"
          ? someValue(type, random)
          : someRow(type, random)
        : Array.from({ length: shape[axis]! }, () => list(axis + 1));
    return [name, list(0)];
  }));
}

function someValue(type: string, random: Random): unknown {
  const count = Number(type.slice(2));
  const letter = type[1]!;
  const bits = new DataView(new ArrayBuffer(8));
  for (let i = 0; i < 8; i++) bits.setUint8(i, below(random, 256));
  const float = (size: number): number => {
    if (random() < 0.1) {
      return [0, -0, Infinity, -Infinity, 1][below(random, 5)]!;
    }
    const value = size === 2
      ? bits.getFloat16(0)
      : size === 4
      ? bits.getFloat32(0)
      : bits.getFloat64(0);
    return Number.isNaN(value) ? 1.5 : value;
  };
  switch (letter) {
    case "b":
      return random() < 0.5;
    case "S":
      return "aB 9~\u00e9".slice(0, below(random, Math.min(count, 5) + 1));
    case "U":
      return ["", "x", "\u00e9", "\u{1f600}"][below(random, 4)];
    case "f":
      return float(count);
    case "c":
      return [float(count / 2), count === 8 ? 0.5 : -2.25];
  }
  if (count === 8) {
    return letter === "i" ? bits.getBigInt64(0) : bits.getBigUint64(0);
  }
  const read = `get${letter === "i" ? "Int" : "Uint"}${
    8 * count
  }` as "getInt16";
  return bits[read](0);
}

/** The values of a leaf in a record, in order. */
export function valuesAt(row: unknown, { path, type }: Leaf): unknown[] {
  const isComplex = type[1] === "c"; // a list that is one value
  const isOne = (value: unknown) =>
    !Array.isArray(value) || (isComplex && typeof value[0] === "number");
  const flat = (
    value: unknown,
    [name, ...others]: readonly string[],
  ): unknown[] => {
    if (name === undefined ? isOne(value) : !Array.isArray(value)) {
      return name === undefined
        ? [value]
        : flat((value as Record<string, unknown>)[name], others);
    }
    const path = name === undefined ? [] : [name, ...others];
    return (value as unknown[]).flatMap((one) => flat(one, path));
  };
  return flat(row, path);
}

/** Encodes a value as a DataView, TextEncoder and code points have it. */
export function encoded(value: unknown, { type, size }: Leaf): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const isLittle = type[0] === "<";
  const letter = type[1]!;
  const count = Number(type.slice(2));
  if (letter === "S") bytes.set(new TextEncoder().encode(value as string));
  else if (letter === "U") {
    [...value as string].forEach((character, i) =>
      view.setUint32(4 * i, character.codePointAt(0)!, isLittle)
    );
  } else if (letter === "b") bytes[0] = value === true ? 1 : 0;
  else {
    const kind = letter === "i" ? "Int" : letter === "u" ? "Uint" : "Float";
    const big = count === 8 && letter !== "f" && letter !== "c" ? "Big" : "";
    const parts = letter === "c" ? value as number[] : [value];
    const each = size / parts.length;
    const write = `set${big}${kind}${8 * each}` as "setInt16";
    parts.forEach((part, i) => view[write](i * each, part as number, isLittle));
  }
  return bytes;
}
