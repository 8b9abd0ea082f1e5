/**
 * Typed, shaped views of a slice's bytes. Owns element types, byte order, and the
 * way from an index to a byte.
 *
 * Knows a slice only as an extent, which says where its bytes are. Must not map,
 * open or flush anything.
 *
 * @module
 */

export { makeArray, MemmapArray } from "./array.ts";
export { isTypeName } from "./codecs.ts";
export type {
  ChangeOf,
  Changes,
  Cursor,
  EntryValue,
  FieldEntry,
  FieldName,
  FieldObject,
  Fields,
  FieldType,
  NameOf,
  Row,
  Shaped,
  ValueOf,
  VoidName,
} from "./field_names.ts";
export { NDArray } from "./ndarray.ts";
export {
  type ArrayOf,
  type FieldArray,
  makeRecords,
  MemmapRecords,
  RECORD_OPTIONS,
  type RecordField,
  type RecordOptions,
  type TypeOf,
} from "./records.ts";
export { ARRAY_OPTIONS, type ArrayOptions } from "./options.ts";
export {
  makeStrings,
  MemmapStrings,
  STRING_OPTIONS,
  type StringOptions,
} from "./strings.ts";
export type { Padding, StringEncoding, StringName } from "./text.ts";
export type {
  ByteOrder,
  Complex,
  DType,
  DTypeOf,
  Element,
  ElementTypes,
  NumarrayNames,
  NumpyCodes,
  OrderSign,
  PartOf,
  TypedArrayOf,
  TypeName,
} from "./type_names.ts";
