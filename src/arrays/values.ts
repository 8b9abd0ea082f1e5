/**
 * Typed arrays, as if all of them had one type: those that callers pass in and
 * those that hold elements on their way.
 *
 * Knows nothing of arrays over slices or of element types.
 *
 * @module
 */

import {
  copyOfTyped,
  isAnyView,
  plainTyped,
  typedArrayName,
} from "../base/mod.ts";
import type { DType, TypedArrayOf } from "./type_names.ts";

/** A typed array of any type. */
export type Values<B extends ArrayBufferLike = ArrayBuffer> = TypedArrayOf<
  DType,
  B
>;

/** The constructor of any typed array. TypeScript cannot call a union of them. */
export interface ValuesConstructor {
  new (length: number): Values;
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): Values;
  readonly name: string;
  readonly prototype: Values;
  readonly BYTES_PER_ELEMENT: number;
}

/** Whether `values` is a typed array of that type, from any realm. */
export function isValuesOf(
  values: unknown,
  type: ValuesConstructor,
): values is Values<ArrayBufferLike> {
  return isAnyView(values) && typedArrayName(values) === type.name;
}

/**
 * A caller's typed array, which no subclass, property or growing buffer of theirs can
 * change any more. `undefined` for anything else.
 *
 * @throws {TypeError} if its memory was released.
 */
export function plainView(
  values: unknown,
): Values<ArrayBufferLike> | undefined {
  if (!isAnyView(values)) return undefined;
  return plainTyped(values) as Values<ArrayBufferLike> | undefined;
}

/** A copy of a typed array, of the same type. A Buffer's `slice()` would not copy. */
export function copyOf(values: Values<ArrayBufferLike>): Values {
  return copyOfTyped(values) as Values;
}

/** The bytes of a view of our own. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A DataView of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
