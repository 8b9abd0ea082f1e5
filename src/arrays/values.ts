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
  return typeNameOf(values) === type.name;
}

/**
 * A caller's typed array as a plain one over the same memory, with no subclass and
 * no getter in the way. `undefined` for anything else.
 */
export function plainView(
  values: unknown,
): Values<ArrayBufferLike> | undefined {
  const Type = typeOf(values);
  if (Type === undefined) return undefined;
  const { buffer, byteOffset, byteLength } = values as Values;
  return new Type(buffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
}

/** A copy of a typed array, of the same type. A Buffer's `slice()` would not copy. */
export function copyOf(values: Values<ArrayBufferLike>): Values {
  return new (typeOf(values)!)(new Uint8Array(bytesOf(values)).buffer);
}

/** The bytes of a view, as a plain view that no subclass of the caller's can change. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** A DataView of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The getter of a typed array's tag. It reads an internal slot, which nobody can fake. */
const TAG = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!;

/** The built-in type of a typed array. */
function typeOf(values: unknown): ValuesConstructor | undefined {
  const name = typeNameOf(values);
  if (name === undefined) return undefined;
  return (globalThis as unknown as Record<string, ValuesConstructor>)[name];
}

/** `Int32Array`, also for its subclasses. `undefined` for what is no typed array. */
function typeNameOf(values: unknown): string | undefined {
  return Reflect.apply(TAG, values, []);
}
