/**
 * `MemmapRecords`: one slice's bytes as records, each of which has the same fields.
 *
 * Owns what is done to whole records. Which fields there are is the type's to know
 * (`record_type.ts`), what all arrays have in common is in `ndarray.ts`.
 *
 * @module
 */

import { checkCount, clampRange, printAsString, shown } from "../base/mod.ts";
import { checkShape, Lines, rowMajor } from "../geometry/mod.ts";
import type { MemmapArray } from "./array.ts";
import { agreedOrder, NATIVE } from "./byte_order.ts";
import { cursorOf } from "./cursors.ts";
import type {
  Changes,
  Cursor,
  FieldEntry,
  FieldName,
  Fields,
  NameOf,
  Row,
  VoidName,
} from "./field_names.ts";
import {
  construct as constructAny,
  MAKERS,
  NDArray,
  windowOf,
} from "./ndarray.ts";
import {
  type ArrayOptions,
  readLength,
  readOffsets,
  readPlace,
  readRange,
  readShapeAndFill,
} from "./options.ts";
import type { Extent } from "./place.ts";
import { printRecords } from "./print_records.ts";
import {
  descrOf,
  encodeRow,
  type Field,
  type Range,
  type RecordCodec,
  recordCodec,
  typeOf,
} from "./record_type.ts";
import { storeRows, writeRow } from "./rows.ts";
import {
  checkText,
  type MemmapStrings,
  type StringOptions,
} from "./strings.ts";
import type { DTypeOf, TypeName } from "./type_names.ts";
import {
  absenceOf,
  checkRoom,
  movedBy,
  newView,
  resizeSlice,
  type View,
} from "./views.ts";
import { walk } from "./walk.ts";
import { Window } from "./window.ts";

/** Options of {@linkcode MemmapSlice.records}. */
export interface RecordOptions
  extends
    Omit<ArrayOptions, "order">,
    Pick<StringOptions, "encoding" | "padding"> {
  /**
   * Whether each field begins at a multiple of its alignment, with padding before it,
   * as C's compilers lay a struct out; numpy's `align`.
   */
  align?: boolean | undefined;
  /** Where in the record each field begins, in bytes. Fields may overlap. */
  offsets?: readonly number[] | undefined;
  /** Bytes of one record, if there are more than the fields take; numpy's `itemsize`. */
  itemSize?: number | undefined;
}

/** The names of the options of arrays of records. */
export const RECORD_OPTIONS: readonly (keyof RecordOptions)[] = [
  ...["shape", "byteOrder", "byteOffset", "strides"] as const,
  ...["align", "offsets", "itemSize", "encoding", "padding"] as const,
];

/** One field of {@linkcode MemmapRecords}. */
export interface RecordField {
  /** Its name. */
  readonly name: string;
  /** Its type: numpy's type string, or the list of a nested record's fields. */
  readonly type: string | Fields;
  /** The shape of what it holds; empty for a single value. */
  readonly shape: readonly number[];
  /** Where in the record it begins, in bytes. */
  readonly offset: number;
}

/** The type of the field of that name. */
export type TypeOf<F extends Fields, N> = F extends readonly FieldEntry[]
  ? F[number] extends infer E
    ? E extends readonly [unknown, infer T, ...unknown[]]
      ? N extends NameOf<E> ? T : never
    : never
  : never
  : N extends keyof F ? F[N]
  : never;

/** The class of arrays of a field's type. */
export type ArrayOf<T> = T extends TypeName ? MemmapArray<DTypeOf<T>>
  : T extends VoidName ? MemmapArray<"uint8">
  : T extends string ? MemmapStrings
  : T extends Fields ? MemmapRecords<T>
  : never;

/** The array that `records.field(name)` is. */
export type FieldArray<F extends Fields, N> = ArrayOf<TypeOf<F, N>>;

/** Creates an array of records; {@linkcode MemmapRecords}'s constructor is private. */
export function makeRecords<F extends Fields>(
  extent: Extent,
  fields: F,
  options: RecordOptions,
): MemmapRecords<F> {
  const { align, offsets, itemSize, byteOrder, encoding, padding } = options;
  if (align !== undefined && typeof align !== "boolean") {
    throw new TypeError(`align must be true or false, not ${shown(align)}.`);
  }
  checkText(encoding, padding);
  agreedOrder("", undefined, byteOrder);
  const codec = recordCodec(fields, {
    ...{ align: align ?? false, itemSize, byteOrder },
    ...{ encoding: encoding ?? "utf-8", padding: padding ?? "nul" },
    offsets: offsets === undefined ? undefined : readOffsets(offsets),
  });
  const place = readPlace(options, NATIVE);
  return construct(newView(extent, codec, place)) as unknown as MemmapRecords<
    F
  >;
}

let construct: (view: View<RecordCodec>) => MemmapRecords;

// deno-lint-ignore no-explicit-any -- an index or, after the last one, the value
type Any = any;

/** What `field()` returned, as long as that is still right. */
interface KnownField {
  readonly of: View;
  readonly view: View;
  readonly array: NDArray;
}

/**
 * A shaped view of one slice as records: numarray's `RecArray`, numpy's structured
 * arrays. Made by {@linkcode MemmapSlice.records}.
 *
 * - `get(i)` copies a record into a plain object, and `set(i, …)` writes some of its
 *   fields, or none if one value is wrong.
 * - `field("price")` is a column: an array over that field of all records, without a
 *   copy.
 * - `cursor()` is one object that is moved from record to record, for loops that are
 *   to allocate nothing.
 *
 * Fields that hold arrays are nested lists in a record, and records within records are
 * objects.
 *
 * | here | numarray | numpy |
 * |---|---|---|
 * | `records.field("price")` | `r.field("price")` | `a["price"]` |
 * | `records.get(3)` | `r[3]` | `a[3]` |
 * | `records.set(3, { price: 1 })` | `r.field("price")[3] = 1` | `a[3]["price"] = 1` |
 * | `records.names` | `r._names` | `a.dtype.names` |
 * | `records.descr` | | `a.dtype.descr` |
 * | `records.itemSize` | `r._itemsize` | `a.itemsize` |
 *
 * The array follows its slice. Flat indices count records in row-major order.
 *
 * @example
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * using map = open("example.dat", "w+", { length: 2 * 15 });
 * const records = map.slice().records([
 *   ["number", ">u4"],
 *   ["name", "S3"],
 *   ["price", "<f8"],
 * ]);
 * records.copyFrom([
 *   { number: 456, name: "dbe", price: 1.2 },
 *   { number: 2, name: "de", price: 1.3 },
 * ]);
 * assert.deepEqual(records.get(1), { number: 2, name: "de", price: 1.3 });
 * assert.equal(records.field("price").get(0), 1.2);
 *
 * const row = records.cursor();
 * let sum = 0;
 * for (let i = 0; i < records.size; i++) {
 *   row.index = i;
 *   sum += row.price;
 * }
 * assert.equal(sum, 2.5);
 * ```
 */
export class MemmapRecords<F extends Fields = Fields> extends NDArray
  implements Iterable<Row<F>> {
  readonly #window: Window<RecordCodec>;
  readonly #known: Map<string, KnownField> = new Map();
  #fields: readonly RecordField[] | null = null;

  private constructor(view: View<RecordCodec>) {
    const window = new Window(view);
    super(window);
    this.#window = window;
  }

  static {
    construct = (view) => {
      const array = new MemmapRecords(view);
      array.#window.lookAgain();
      return array;
    };
    MAKERS.record = construct;
    printAsString(MemmapRecords, (value) => #window in value);
  }

  /** The fields of each record, in the order in which they were given. */
  get fields(): readonly RecordField[] {
    return this.#fields ??= Object.freeze(
      this.#window.codec.fields.map((field) =>
        Object.freeze({
          name: field.name,
          type: typeOf(field),
          shape: Object.freeze(field.shape.slice()),
          offset: field.offset,
        })
      ),
    );
  }

  /** The names of the fields: numpy's `dtype.names`. */
  get names(): FieldName<F>[] {
    return this.#window.codec.fields.map(({ name }) => name as FieldName<F>);
  }

  /**
   * The fields as numpy's `dtype.descr` has them, padding included: what the header of
   * a `.npy` file says. Fields that overlap have none.
   */
  get descr(): Fields {
    return descrOf(this.#window.codec);
  }

  /**
   * The record at an index, which has a number for each axis, as a plain object.
   *
   * @throws {RangeError} if it is none of the array's.
   */
  get(...index: number[]): Row<F>;
  get(i: number, j?: number, k?: number, ...more: number[]): Row<F> {
    const window = this.#window;
    return window.read(window.locate(i, j, k, more)) as Row<F>;
  }

  /**
   * Sets fields of the record at an index: `records.set(i, { price: 1.5 })`. Fields that
   * are left out stay as they are, and so does padding. Everything is checked before the
   * first byte is written.
   *
   * @returns the object given.
   * @throws {RangeError} if the index is none of the array's, or a string is too long.
   * @throws {TypeError} if a value is of another kind than its field, or there is no
   * such field.
   * @throws {ReadonlyError} in mode `r`.
   */
  set(
    ...indexThenValues: [...index: number[], values: Changes<F>]
  ): Changes<F>;
  set(...given: Any[]): Any {
    const values = given.pop();
    this.#window.edit();
    const { codec } = this.#window;
    const row = new DataView(new ArrayBuffer(codec.size));
    const written: Range[] = [];
    encodeRow(codec, values, row, 0, false, (range) => written.push(range));
    const window = this.#window;
    const [i, j, k, ...more] = given;
    writeRow(window, window.locate(i, j, k, more), row, written);
    return values;
  }

  /**
   * A field of all records, as an array of its own: a column. Its shape is that of the
   * records, and then that of the field. Nothing is copied. It is the same object every
   * time, until the records are resized.
   *
   * @throws {RangeError} if there is no such field.
   */
  field<N extends FieldName<F>>(name: N): FieldArray<F, N> {
    checkCount(arguments.length, 1, "field(name)");
    const { view, codec } = this.#window;
    const known = this.#known.get(name);
    if (known?.of === view && windowOf(known.array)?.view === known.view) {
      return known.array as FieldArray<F, N>;
    }
    const field = codec.byName.get(name);
    if (field === undefined) {
      throw new RangeError(
        `There is no field ${shown(name)}; there are: ` +
          `${codec.fields.map((field) => field.name).join(", ")}.`,
      );
    }
    const array = constructAny(columnOf(view, field)) as NDArray;
    const own = windowOf(array)!.view;
    this.#known.set(name, { of: view, view: own, array });
    return array as FieldArray<F, N>;
  }

  /**
   * An object with a property for each field, which reads and writes the record that its
   * `index` says; that is 0 at first. A loop that sets `index` allocates nothing, as long
   * as it reads numbers and booleans. Records within records are objects that move with
   * it.
   *
   * @throws {TypeError} if a field is called `index`: use {@linkcode field} for those.
   */
  cursor(): Cursor<F> {
    checkCount(arguments.length, 0, "cursor()");
    return cursorOf(this.#window) as Cursor<F>;
  }

  /**
   * Copies records here, from flat index `offset` on: objects that have a value for every
   * field, or other records with the same fields.
   *
   * @throws {RangeError} if there is no room for them; nothing is written then.
   * @throws {TypeError} if a record is not whole, or a value of another kind.
   * @throws {ReadonlyError} in mode `r`.
   */
  copyFrom(
    source: ArrayLike<Row<F>> | MemmapRecords<F>,
    offset?: number,
  ): this {
    checkCount(arguments.length, 2, "copyFrom(source, offset)");
    const at = offset === undefined ? 0 : offset;
    const window = this.#window;
    window.edit();
    const { codec } = window;
    if (typeof source === "object" && source !== null && #window in source) {
      const from = source.#window;
      checkRoom(from.size, at, window.size);
      if (from.codec === codec) {
        const bytes = new Uint8Array(from.size * codec.size);
        from.load(bytes, 0);
        storeRows(window, bytes, at);
        return this;
      }
    }
    const rows = typeof source === "object" && source !== null &&
        #window in source
      ? source.toArray()
      : source;
    const count = readLength(rows);
    checkRoom(count, at, window.size);
    const bytes = new Uint8Array(count * codec.size);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < count; i++) {
      encodeRow(codec, rows[i], view, i * codec.size, true, () => {});
    }
    storeRows(window, bytes, at);
    return this;
  }

  /**
   * The records `begin` to `end` (flat; by the rules of `Array.prototype.slice`) as a
   * list of plain objects.
   */
  toArray(begin?: number, end?: number): Row<F>[] {
    checkCount(arguments.length, 2, "toArray(begin, end)");
    const [first, last] = readRange(begin, end);
    this.#window.look();
    const { codec, size } = this.#window;
    const [from, to] = clampRange(first, last, size);
    const bytes = new Uint8Array((to - from) * codec.size);
    this.#window.load(bytes, from);
    const view = new DataView(bytes.buffer);
    return Array.from(
      { length: to - from },
      (_, i) => codec.read(view, i * codec.size) as Row<F>,
    );
  }

  /**
   * Gives the array another shape, of more or fewer records, and resizes the slice with
   * it, as {@linkcode MemmapArray.resize} does: new records repeat the old, or are `fill`,
   * which is a whole record, or 0 for zero bytes.
   *
   * @throws {RangeError} if the records do not lie side by side.
   * @throws {ReadonlyError} in mode `r`.
   */
  resize(
    shape: number | readonly number[],
    options?: { fill?: Row<F> | 0 },
  ): this {
    const window = this.#window;
    const { codec } = window;
    const { shape: lengths, fill } = readShapeAndFill(
      ...[shape, options, arguments.length] as const,
    );
    const row = new DataView(new ArrayBuffer(codec.size));
    if (fill !== undefined && fill !== 0) {
      encodeRow(codec, fill, row, 0, true, () => {});
    }
    window.edit();
    const target = checkShape(lengths);
    const before = window.size;
    const { place } = window.view;
    resizeSlice(window.view, target, fill === undefined);
    const strides = rowMajor(target, codec.size);
    window.become({ place, shape: target, strides });
    if (fill === undefined || fill === 0) return this;
    for (let i = before; i < window.size; i++) {
      window.store(new Uint8Array(row.buffer), i);
    }
    return this;
  }

  /** The records in row-major order, each as a plain object of its own. */
  [Symbol.iterator](): IteratorObject<Row<F>, undefined> {
    const window = new Window(this.#window.view);
    window.lookAgain();
    const { codec, shape, strides, size, first } = window;
    const lines = new Lines(shape, strides, codec.size, 0, size);
    return walk(window, lines, first);
  }

  /**
   * The records as numarray prints its record arrays, each a tuple on a line of its own.
   * Of more than 1000 records, those in the middle are left out.
   */
  override toString(): string {
    const window = this.#window;
    const absence = absenceOf(window.view, "MemmapRecords");
    if (absence !== undefined) return absence;
    const { size, codec } = window;
    const rows = (begin: number, end: number) => this.toArray(begin, end);
    return printRecords(codec, size, rows);
  }
}

/** A field of all records of a view. */
function columnOf(
  { place, shape, strides }: View<RecordCodec>,
  { codec, byteOrder, offset, shape: own }: Field,
): View {
  const moved = movedBy(place, offset);
  return {
    place: { ...moved, codec, byteOrder },
    shape: [...shape, ...own],
    strides: [...strides, ...rowMajor(own, codec.size)],
  };
}
