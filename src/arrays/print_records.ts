/**
 * Records as text: each a tuple, in numarray's form.
 *
 * Knows nothing of bytes or slices.
 *
 * @module
 */

import type { Field, RecordCodec } from "./record_type.ts";
import { stringWords } from "./words.ts";

/** An array of more records leaves out those in the middle. */
const THRESHOLD = 1000;
/** Records shown at each end of such an array. */
const EDGE = 3;

/**
 * `RecArray[ `, a record on each line, and `]`, as numarray's `records` module prints
 * them. `rows` returns the records from one flat index to another.
 */
export function printRecords(
  codec: RecordCodec,
  size: number,
  rows: (begin: number, end: number) => readonly unknown[],
): string {
  const lines = (begin: number, end: number) =>
    rows(begin, end).map((row) => tuple(codec, row));
  const all = size <= THRESHOLD
    ? lines(0, size)
    : [...lines(0, EDGE), "...", ...lines(size - EDGE, size)];
  return `RecArray[ \n${all.join(",\n")}\n]`;
}

function tuple({ fields }: RecordCodec, row: unknown): string {
  const values = row as Record<string, unknown>;
  const words = fields.map((field) =>
    word(field, field.shape.length, values[field.name])
  );
  return `(${words.join(", ")})`;
}

/** A value, or a list of values on `axes` axes. */
function word(field: Field, axes: number, value: unknown): string {
  if (axes > 0) {
    const list = value as readonly unknown[];
    return `[${list.map((one) => word(field, axes - 1, one)).join(", ")}]`;
  }
  const { codec } = field;
  if (codec.kind === "record") return tuple(codec, value);
  if (codec.kind === "string") return stringWords([value as string])[0]!;
  if (Array.isArray(value)) return complex(value as [number, number]);
  return codec.name.startsWith("float")
    ? float(value as number)
    : String(value);
}

/** A whole number as a float has a point, as in Python. */
function float(value: number): string {
  const text = Object.is(value, -0) ? "-0" : String(value);
  return /^-?\d+$/.test(text) ? `${text}.0` : text;
}

function complex([real, imaginary]: readonly [number, number]): string {
  const isNegative = imaginary < 0 || Object.is(imaginary, -0);
  const sign = isNegative ? "-" : "+";
  return `(${float(real)}${sign}${float(Math.abs(imaginary))}j)`;
}
