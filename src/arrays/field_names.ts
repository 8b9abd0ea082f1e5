/**
 * How the fields of records are written down, and what TypeScript infers from that.
 *
 * Types only. What a list of fields means at run time is in `record_type.ts`.
 *
 * @module
 */

import type { StringName } from "./text.ts";
import type { DTypeOf, Element, OrderSign, TypeName } from "./type_names.ts";

/** numpy's type of bytes that mean nothing: `"|V4"` is padding of 4 bytes. */
export type VoidName = `${OrderSign}V${number}`;

/** The type of a field: that of an element, of a string, of bytes, or records again. */
export type FieldType = TypeName | StringName | VoidName | Fields;

/**
 * A field as numpy's `descr` has it: its name, or its title and its name; its type;
 * and the shape of what it holds, if that is an array.
 */
export type FieldEntry = readonly [
  name: string | readonly [title: string, name: string],
  type: FieldType,
  shape?: number | readonly number[],
];

/**
 * The fields of a record in their order: a list of {@linkcode FieldEntry}s, or an object
 * with a type for each name. JavaScript puts names such as `"2"` first in objects: use
 * a list for those.
 */
export type Fields = readonly FieldEntry[] | FieldObject;

/** The fields of a record as an object: `{ id: ">u4", name: "S16" }`. */
export interface FieldObject {
  /** The type of the field of that name. */
  readonly [name: string]: FieldType;
}

/** The name that an entry of a list of fields has; none for padding. */
export type NameOf<E> = E extends
  readonly [infer N extends string | readonly [string, string], ...unknown[]]
  ? N extends readonly [string, infer Own extends string] ? Own
  : N extends string ? N extends "" ? never : N
  : never
  : never;

/** What a value of a field's type is in JavaScript. */
export type ValueOf<T> = T extends TypeName ? Element<DTypeOf<T>>
  : T extends VoidName ? number[]
  : T extends string ? string
  : T extends Fields ? Row<T>
  : never;

/** A value for each index of a shape, in nested lists. */
export type Shaped<V, S> = S extends readonly [] | undefined ? V
  : S extends number | readonly [number] ? V[]
  : S extends readonly [number, ...infer Others] ? Shaped<V, Others>[]
  : unknown[];

/** What a value of an entry of a list of fields is. */
export type EntryValue<E> = E extends
  readonly [unknown, infer T, infer S extends number | readonly number[]]
  ? Shaped<ValueOf<T>, S>
  : E extends readonly [unknown, infer T] ? ValueOf<T>
  : E extends readonly [unknown, infer T, ...unknown[]] ? ValueOf<T> | unknown[]
  : never;

/**
 * A record as an object: the value of each field by its name. Of fields that are only
 * known at run time, TypeScript knows neither names nor values.
 */
export type Row<F extends Fields> = Fields extends F
  ? { [name: string]: unknown }
  : F extends readonly FieldEntry[]
    ? { [E in F[number] as NameOf<E>]: EntryValue<E> }
  : { -readonly [N in keyof F]: ValueOf<F[N]> };

/** What may be given for a value: lists of any kind, and parts of records. */
export type ChangeOf<V> = unknown extends V ? unknown
  : V extends string | number | bigint | boolean ? V
  : V extends readonly (infer E)[] ? ArrayLike<ChangeOf<E>>
  : { readonly [N in keyof V]?: ChangeOf<V[N]> };

/** What `records.set()` takes: some of the fields, of records within records too. */
export type Changes<F extends Fields> = {
  readonly [N in keyof Row<F>]?: ChangeOf<Row<F>[N]>;
};

/** The names of the fields. */
export type FieldName<F extends Fields> = string & keyof Row<F>;

/**
 * One object with a property for each field, which reads and writes the record that
 * `index` says.
 */
export type Cursor<F extends Fields> = Row<F> & {
  /** Which record it is at: a flat index, in row-major order. */
  index: number;
};
