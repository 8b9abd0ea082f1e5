/**
 * Typed arrays, as if all of them had one type: those that callers pass in and
 * those that hold elements on their way.
 *
 * Knows nothing of arrays over slices or of element types.
 *
 * @module
 */

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
  return ArrayBuffer.isView(values) && tagOf(values) === type.name;
}

/** A copy of a typed array, of the same type. A Buffer's `slice()` would not copy. */
export function copyOf(view: ArrayBufferView): Values {
  const types = globalThis as unknown as Record<string, ValuesConstructor>;
  return new types[tagOf(view)]!(new Uint8Array(bytesOf(view)).buffer);
}

/** The bytes of a view, as a plain view that no subclass of the caller's can change. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A DataView of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `Int32Array`: the built-in type's name, which subclasses inherit. */
function tagOf(view: ArrayBufferView): string {
  return Object.prototype.toString.call(view).slice("[object ".length, -1);
}
