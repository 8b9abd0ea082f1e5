/**
 * Types of records: which fields there are, and at which byte each begins. The codecs
 * of `MemmapRecords`.
 *
 * Reads what a caller wrote down once, before any state is looked at. Knows nothing of
 * slices.
 *
 * @module
 */

import { shown } from "../base/mod.ts";
import { type Axes, checkShape, countOf, rowMajor } from "../geometry/mod.ts";
import { agreedOrder, NATIVE } from "./byte_order.ts";
import { type Codec, isTypeName, parseTypeName } from "./codecs.ts";
import type { Fields } from "./field_names.ts";
import type { ItemCodec } from "./items.ts";
import { readShape } from "./options.ts";
import {
  type Padding,
  parseStringName,
  type StringEncoding,
  type TextCodec,
  textCodec,
  writeText,
} from "./text.ts";
import type { ByteOrder } from "./type_names.ts";

/** One field of a record. */
export interface Field {
  readonly name: string;
  readonly codec: Codec | TextCodec | RecordCodec;
  readonly byteOrder: ByteOrder;
  /** Where in the record it begins, in bytes. */
  readonly offset: number;
  /** The shape of what it holds; none for a single value. */
  readonly shape: Axes;
}

/** A type of records. */
export interface RecordCodec extends ItemCodec {
  readonly kind: "record";
  readonly fields: readonly Field[];
  readonly byName: ReadonlyMap<string, Field>;
  /** The bytes that fields take, in order: all but the padding between them. */
  readonly ranges: readonly Range[];
  readonly read: (view: DataView, at: number) => Record<string, unknown>;
}

/** Bytes of a record, half-open. */
export interface Range {
  readonly begin: number;
  readonly end: number;
}

/** What decides how fields are laid out. */
export interface LayoutOptions {
  /** Whether each field begins at a multiple of its alignment, as C's compilers do it. */
  readonly align: boolean;
  readonly byteOrder: ByteOrder | undefined;
  readonly encoding: StringEncoding;
  readonly padding: Padding;
  /** The offset of each field, which may overlap; for the outer record alone. */
  readonly offsets: readonly number[] | undefined;
  /** Bytes of a record; for the outer one alone. */
  readonly itemSize: number | undefined;
}

/** Records in records in records: more is an object that contains itself. */
const DEEPEST = 64;
/** More fields than anybody has. */
const MOST_FIELDS = 65_536;

/**
 * The types that there are, by all that they differ in. Two lists of the same fields are
 * one type, with one class of cursors: a function that is called for many files is
 * compiled for that class.
 */
const KNOWN = new Map<string, RecordCodec>();
/** More than programs have. Where there are more, the one that was made first goes. */
const MOST_KNOWN = 1000;

/** The type of records with these fields, each of which is read once. */
export function recordCodec(
  fields: unknown,
  options: LayoutOptions,
): RecordCodec {
  const made = parseFields(fields, options, 0);
  const key = JSON.stringify(keyOf(made));
  const known = KNOWN.get(key);
  if (known !== undefined) return known;
  if (KNOWN.size === MOST_KNOWN) KNOWN.delete(KNOWN.keys().next().value!);
  KNOWN.set(key, made);
  return made;
}

/** All that tells two types apart. */
function keyOf({ fields, size, alignment }: RecordCodec): unknown {
  return [
    size,
    alignment,
    fields.map(({ name, codec, byteOrder, offset, shape }) => [
      ...[name, byteOrder, offset, shape, codec.name],
      codec.kind === "record"
        ? keyOf(codec)
        : codec.kind === "string"
        ? [codec.encoding, codec.padding]
        : null,
    ]),
  ];
}

/** A field as it was written down, read. */
interface Entry {
  readonly name: string;
  readonly codec: Field["codec"];
  readonly byteOrder: ByteOrder;
  readonly shape: Axes;
  /** Nameless bytes between fields. */
  readonly isPadding: boolean;
}

function parseFields(
  fields: unknown,
  options: LayoutOptions,
  depth: number,
): RecordCodec {
  if (depth > DEEPEST) {
    throw new TypeError(`Records are nested more than ${DEEPEST} times.`);
  }
  const entries = readEntries(fields).map(([name, type, shape]) =>
    readEntry(name, type, shape, options, depth)
  );
  return laidOut(entries, options);
}

type Given = readonly [name: unknown, type: unknown, shape: unknown];

function readEntries(fields: unknown): Given[] {
  if (typeof fields !== "object" || fields === null) refuseFields(fields);
  if (!Array.isArray(fields)) {
    const entries = Object.keys(fields).map((name): Given => [
      name,
      (fields as Record<string, unknown>)[name],
      undefined,
    ]);
    if (entries.length === 0) refuseFields(fields);
    return entries;
  }
  const { length } = fields;
  if (!(length > 0 && length <= MOST_FIELDS)) refuseFields(fields);
  return Array.from({ length }, (_, i): Given => {
    const entry: unknown = fields[i];
    if (!Array.isArray(entry) || entry.length < 2 || entry.length > 3) {
      refuseFields(entry);
    }
    return [entry[0], entry[1], entry[2]];
  });
}

function refuseFields(given: unknown): never {
  throw new TypeError(
    'Fields must be a list such as [["id", ">u4"], ["point", "<f8", [3]]], or an ' +
      `object such as { id: ">u4" }, and there must be one, not ${
        shown(given)
      }.`,
  );
}

function readEntry(
  given: unknown,
  type: unknown,
  givenShape: unknown,
  options: LayoutOptions,
  depth: number,
): Entry {
  const name = readName(given);
  const shape = givenShape === undefined
    ? []
    : checkShape(readShape(givenShape as Axes));
  const bytes = typeof type === "string" ? voidSize(type) : undefined;
  if (bytes !== undefined) {
    const [codec] = parseTypeName("uint8");
    return {
      ...{ name, codec, byteOrder: NATIVE, isPadding: name === "" },
      shape: [...shape, bytes],
    };
  }
  if (name === "") {
    throw new TypeError(
      'A field must have a name, unless it is padding, such as ["", "|V4"].',
    );
  }
  const [codec, byteOrder] = readType(name, type, options, depth);
  return { name, codec, byteOrder, shape, isPadding: false };
}

/** The name of a field; numpy's `descr` may have a list of its title and its name. */
function readName(given: unknown): string {
  const name: unknown = Array.isArray(given) && given.length === 2
    ? given[1]
    : given;
  if (typeof name === "string") return name;
  throw new TypeError(
    `The name of a field must be a string, not ${shown(name)}.`,
  );
}

/** The bytes of `"V16"`, numpy's type of what it knows no more about. */
function voidSize(type: string): number | undefined {
  const match = /^[<>=|]?V(\d{1,9})$/.exec(type);
  return match === null ? undefined : Number(match[1]);
}

function readType(
  name: string,
  type: unknown,
  options: LayoutOptions,
  depth: number,
): [Field["codec"], ByteOrder] {
  if (typeof type === "object" && type !== null) {
    const inner = { ...options, offsets: undefined, itemSize: undefined };
    return [parseFields(type, inner, depth + 1), NATIVE];
  }
  const text = parseStringName(type);
  if (text !== undefined) {
    const { letter, count, order } = text;
    const { encoding, padding, byteOrder } = options;
    return [
      textCodec(letter, count, encoding, padding),
      order ?? byteOrder ?? NATIVE,
    ];
  }
  if (!isTypeName(type)) {
    throw new TypeError(
      `Field ${shown(name)} has the unknown type ${
        shown(type)
      }. There are numbers ` +
        '(">u4", "float64", "<c16" …), strings ("S16", "U8"), bytes ("V4"), and ' +
        "lists of fields.",
    );
  }
  const [codec, signed] = parseTypeName(type);
  return [codec, signed ?? agreedOrder(type, signed, options.byteOrder)];
}

/** Gives each field its place. */
function laidOut(
  entries: readonly Entry[],
  options: LayoutOptions,
): RecordCodec {
  const { align, offsets, itemSize } = options;
  const named = entries.filter(({ isPadding }) => !isPadding);
  if (offsets !== undefined && offsets.length !== named.length) {
    throw new RangeError(
      `There are ${offsets.length} offsets for ${named.length} fields.`,
    );
  }
  let [at, end, alignment] = [0, 0, 1];
  const fields: Field[] = [];
  for (const { name, codec, byteOrder, shape, isPadding } of entries) {
    const size = countOf(shape) * codec.size;
    if (align) {
      at = Math.ceil(at / codec.alignment) * codec.alignment;
      alignment = Math.max(alignment, codec.alignment);
    }
    if (!isPadding) {
      const offset = offsets === undefined
        ? at
        : checkPlace(offsets[fields.length]!, `offset of field ${shown(name)}`);
      fields.push({ name, codec, byteOrder, offset, shape });
      at = offset;
    }
    at += size;
    if (!Number.isSafeInteger(at)) {
      throw new RangeError(`A record cannot have ${at} bytes.`);
    }
    end = Math.max(end, at);
  }
  if (align) end = Math.ceil(end / alignment) * alignment;
  const size = itemSize === undefined
    ? end
    : checkPlace(itemSize, "itemSize of a record");
  if (size < end || size === 0) {
    throw new RangeError(
      `A record whose fields end at byte ${end} cannot have ${size} bytes.`,
    );
  }
  return codecOf(fields, size, align ? alignment : 1);
}

function checkPlace(given: number, what: string): number {
  if (Number.isSafeInteger(given) && given >= 0) return given;
  throw new RangeError(
    `Invalid ${what}: ${shown(given)}. It must be a whole number of bytes.`,
  );
}

function codecOf(
  fields: readonly Field[],
  size: number,
  alignment: number,
): RecordCodec {
  const byName = new Map(fields.map((field) => [field.name, field]));
  if (byName.size < fields.length || fields.length === 0) {
    const twice = fields.find((field) => byName.get(field.name) !== field);
    if (twice === undefined) refuseFields([]);
    throw new TypeError(
      `There are two fields with the name ${shown(twice.name)}.`,
    );
  }
  let ranges: readonly Range[] | undefined;
  return {
    kind: "record",
    ...{ name: `records of ${size} bytes`, size, unit: 1, alignment },
    ...{ fields, byName },
    // When it is asked for: there may be very many, until it is known that a record
    // fits into its slice.
    get ranges() {
      return ranges ??= merged(fields.flatMap(rangesOf));
    },
    read(view, at) {
      const row: Record<string, unknown> = {};
      for (const field of fields) {
        put(row, field.name, readField(field, view, at + field.offset));
      }
      return row;
    },
  };
}

/** Sets a property, whatever its name. */
function put(row: object, name: string, value: unknown): void {
  if (name !== "__proto__") (row as Record<string, unknown>)[name] = value;
  else {
    const all = { configurable: true, enumerable: true, writable: true };
    Object.defineProperty(row, name, { value, ...all });
  }
}

/** The bytes that a field takes, in its record. */
function rangesOf({ offset, codec, shape }: Field): Range[] {
  const { size } = codec;
  const count = countOf(shape);
  const inner = codec.kind === "record"
    ? codec.ranges
    : [{ begin: 0, end: size }];
  const isWhole = inner.length === 1 &&
    inner[0]!.end - inner[0]!.begin === size;
  if (isWhole) return [{ begin: offset, end: offset + count * size }];
  return Array.from(
    { length: count },
    (_, i) =>
      inner.map(({ begin, end }) => ({
        begin: offset + i * size + begin,
        end: offset + i * size + end,
      })),
  ).flat();
}

function merged(ranges: readonly Range[]): Range[] {
  const result: { begin: number; end: number }[] = [];
  for (const { begin, end } of ranges.toSorted((a, b) => a.begin - b.begin)) {
    const last = result.at(-1);
    if (begin === end) continue;
    if (last !== undefined && begin <= last.end) {
      last.end = Math.max(last.end, end);
    } else result.push({ begin, end });
  }
  return result;
}

/** Reads what is in a field: a value, or nested lists of values. */
export function readField(
  { codec, byteOrder, shape }: Field,
  view: DataView,
  at: number,
): unknown {
  const isLittle = byteOrder === "little";
  if (shape.length === 0) return codec.read(view, at, isLittle);
  const strides = rowMajor(shape, codec.size);
  const list = (axis: number, at: number): unknown =>
    axis === shape.length
      ? codec.read(view, at, isLittle)
      : Array.from({ length: shape[axis]! }, (_, i) =>
        list(axis + 1, at + i * strides[axis]!));
  return list(0, at);
}

/**
 * Writes what `values` has of a record's fields to byte `at` of memory of our own, and
 * calls `written` for the bytes of each. Reads everything of the caller's once. If
 * `isWhole`, all fields must be there.
 */
export function encodeRow(
  { fields, byName }: RecordCodec,
  values: unknown,
  view: DataView,
  at: number,
  isWhole: boolean,
  written: (range: Range) => void,
): void {
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw new TypeError(
      "A record must be an object with the values of its fields, such as " +
        `{ ${fields[0]!.name}: … }, not ${shown(values)}.`,
    );
  }
  let count = 0;
  for (const name of Object.keys(values)) {
    const field = byName.get(name);
    if (field === undefined) {
      throw new TypeError(
        `There is no field ${shown(name)}; there are: ` +
          `${fields.map((field) => field.name).join(", ")}.`,
      );
    }
    const value: unknown = (values as Record<string, unknown>)[name];
    if (value === undefined) continue;
    encodeField(field, value, view, at + field.offset, isWhole, written);
    count++;
  }
  if (!isWhole || count === fields.length) return;
  const given = Object.keys(values);
  const missing = fields.find(({ name }) => !given.includes(name));
  throw new TypeError(
    `A record has no value for its field ${shown(missing?.name)}.`,
  );
}

/** Writes a field's value, as {@linkcode encodeRow} does; `at` is where it begins. */
export function encodeField(
  { codec, byteOrder, shape, name }: Field,
  value: unknown,
  view: DataView,
  at: number,
  isWhole: boolean,
  written: (range: Range) => void,
): void {
  const isLittle = byteOrder === "little";
  const one = (value: unknown, at: number) => {
    if (codec.kind === "record") {
      encodeRow(codec, value, view, at, isWhole, written);
      return;
    }
    if (codec.kind === "string") {
      writeText(view, at, codec.encode(value), codec, byteOrder === NATIVE);
    } else codec.write(view, at, codec.encode(value), isLittle);
    written({ begin: at, end: at + codec.size });
  };
  const strides = rowMajor(shape, codec.size);
  const each = (axis: number, value: unknown, at: number) => {
    if (axis === shape.length) return one(value, at);
    const length = shape[axis]!;
    const list = value as ArrayLike<unknown>;
    if (typeof value !== "object" || value === null || list.length !== length) {
      throw new TypeError(
        `Field ${shown(name)} must be a list of ${length} values` +
          `${shape.length > 1 ? ` on axis ${axis}` : ""}, not ${shown(value)}.`,
      );
    }
    for (let i = 0; i < length; i++) {
      each(axis + 1, list[i], at + i * strides[axis]!);
    }
  };
  each(0, value, at);
}

/** A field's type, as it is written down: a name, or a list of fields. */
export function typeOf({ codec, byteOrder }: Field): string | Fields {
  if (codec.kind === "record") return descrOf(codec);
  const sign = byteOrder === "little" ? "<" : ">";
  if (codec.kind === "string") {
    return (codec.letter === "S" ? "|" : sign) + codec.name;
  }
  return (codec.unit === 1 ? "|" : sign) + codec.alias;
}

/** The fields of a type in numpy's `descr` form, padding included. */
export function descrOf({ fields, size }: RecordCodec): Fields {
  const entries: [string, string | Fields, number[]?][] = [];
  let at = 0;
  const padTo = (offset: number) => {
    if (offset > at) entries.push(["", `|V${offset - at}`]);
  };
  for (const field of fields.toSorted((a, b) => a.offset - b.offset)) {
    const { name, offset, shape, codec } = field;
    padTo(offset);
    const type = typeOf(field);
    entries.push(shape.length === 0 ? [name, type] : [name, type, [...shape]]);
    at = offset + countOf(shape) * codec.size;
  }
  padTo(size);
  return entries as unknown as Fields;
}
