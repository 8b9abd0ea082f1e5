/**
 * Typed, shaped views of a slice's bytes. Knows a slice only as an extent, which
 * says where its bytes are.
 *
 * @module
 */

export { type ArrayOptions, makeArray, MemmapArray } from "./array.ts";
export {
  type ByteOrder,
  type DType,
  type DTypeOf,
  type Element,
  type ElementTypes,
  type NumarrayNames,
  type NumpyCodes,
  type OrderSign,
  type TypedArrayOf,
  type TypeName,
} from "./codecs.ts";
