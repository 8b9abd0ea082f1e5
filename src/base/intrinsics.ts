/**
 * The language's own methods of buffers and views, as they were when this module was
 * loaded.
 *
 * An object that a caller hands over may have properties of its own that hide the
 * real ones, and prototypes may be patched later on. What is asked here the engine
 * itself answers: no code of the caller's runs, and the answer is true.
 *
 * @module
 */

const { apply, getOwnPropertyDescriptor, getPrototypeOf } = Reflect;
const { isView } = ArrayBuffer;

/** The getter of a property, for any object; importing fails nowhere for want of one. */
function getter<T>(prototype: object, key: PropertyKey): (of: object) => T {
  const get = getOwnPropertyDescriptor(prototype, key)?.get;
  if (get === undefined) return (of) => Reflect.get(prototype, key, of) as T;
  // Three times as fast as Reflect.apply in JavaScriptCore.
  return (of) => get.call(of) as T;
}

const TYPED = getPrototypeOf(Uint8Array.prototype) as Uint8Array;
const { set, at, fill } = TYPED;

/** How a kind of view says where its bytes are. */
interface Getters {
  readonly buffer: (of: object) => ArrayBufferLike;
  readonly byteOffset: (of: object) => number;
  readonly byteLength: (of: object) => number;
}

function gettersOf(prototype: object): Getters {
  return {
    buffer: getter(prototype, "buffer"),
    byteOffset: getter(prototype, "byteOffset"),
    byteLength: getter(prototype, "byteLength"),
  };
}

const OF_TYPED_ARRAYS = gettersOf(TYPED);
const OF_DATA_VIEWS = gettersOf(DataView.prototype);
const lengthOfPlain = getter<number>(ArrayBuffer.prototype, "byteLength");
const lengthOfShared = getter<number>(
  SharedArrayBuffer.prototype,
  "byteLength",
);

/** `"Int32Array"` for typed arrays, of subclasses and other realms too; else `undefined`. */
export const typedArrayName: (of: object) => string | undefined = getter(
  TYPED,
  Symbol.toStringTag,
);

const lengthIfTyped = getter<number>(TYPED, "length");

/** How many elements a typed array has; 0 for a DataView, or if its memory is gone. */
export function lengthOfTyped(of: object): number {
  try {
    return lengthIfTyped(of);
  } catch {
    return 0;
  }
}

/** Is it a typed array or a DataView, from any realm? */
export function isAnyView(value: unknown): value is ArrayBufferView {
  return isView(value);
}

/** Bytes of a buffer, plain or shared, from any realm; `undefined` for anything else. */
export function lengthOfBuffer(value: object): number | undefined {
  try {
    return lengthOfPlain(value);
  } catch {
    try {
      return lengthOfShared(value);
    } catch {
      return undefined;
    }
  }
}

/**
 * All bytes of a view, as a plain view of a length that never changes: neither a
 * subclass nor a buffer that grows can make it longer.
 *
 * @throws {TypeError} if its memory was released, or a resizable buffer has shrunk
 * under it.
 */
export function bytesOfView(view: ArrayBufferView): Uint8Array {
  const isTyped = typedArrayName(view) !== undefined;
  const of = isTyped ? OF_TYPED_ARRAYS : OF_DATA_VIEWS;
  try {
    const length = of.byteLength(view);
    // Throws if there are no bytes since the view has none any more.
    if (length === 0 && isTyped) apply(at, view, [0]);
    return new Uint8Array(of.buffer(view), of.byteOffset(view), length);
  } catch (cause) {
    throw new TypeError(
      "The source is a stale view: its memory has been released. Get slice.bytes " +
        "or array.data again, and use that.",
      { cause },
    );
  }
}

/** The constructor of a kind of typed array. */
interface Type {
  readonly BYTES_PER_ELEMENT: number;
  new (from: ArrayLike<number>): ArrayBufferView;
  new (buffer: ArrayBufferLike, at: number, length: number): ArrayBufferView;
}

const TYPES = new Map<string, Type>(
  [
    ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array],
    ...[Int32Array, Uint32Array, BigInt64Array, BigUint64Array],
    ...[globalThis.Float16Array, Float32Array, Float64Array],
  ].filter((type) => type !== undefined).map((type) => [
    type.name,
    type as unknown as Type,
  ]),
);

/** A copy of a typed array, of the same type. */
export function copyOfTyped<T extends ArrayBufferView>(values: T): T {
  const Type = TYPES.get(typedArrayName(values)!)!;
  const made: unknown = new Type(values as unknown as ArrayLike<number>);
  return made as T;
}

/**
 * The same memory in a typed array of the built-in type and of a length that never
 * changes. `undefined` for a DataView. Throws as {@linkcode bytesOfView} does.
 */
export function plainTyped(view: ArrayBufferView): ArrayBufferView | undefined {
  const Type = TYPES.get(typedArrayName(view) ?? "");
  if (Type === undefined) return undefined;
  const { buffer, byteOffset, byteLength } = bytesOfView(view);
  return new Type(buffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
}

/** The buffer of a view. */
export function bufferOf(view: ArrayBufferView): ArrayBufferLike {
  const isTyped = typedArrayName(view) !== undefined;
  return (isTyped ? OF_TYPED_ARRAYS : OF_DATA_VIEWS).buffer(view);
}

/** `TypedArray.prototype.set` from a typed array, which runs no code of the caller's. */
export function setBytes(
  to: Uint8Array,
  from: ArrayBufferView,
  offset = 0,
): void {
  set.call(to, from as Uint8Array, offset);
}

/** `TypedArray.prototype.fill`. */
export function fillValues(values: object, value: number | bigint): void {
  apply(fill, values, [value]);
}

const ofSignals = (key: "aborted" | "reason") =>
  typeof AbortSignal === "undefined"
    ? undefined
    : getOwnPropertyDescriptor(AbortSignal.prototype, key)?.get;
const abortedOf = ofSignals("aborted");
const reasonOf = ofSignals("reason");

/** What there is to know of an `AbortSignal`; `undefined` for anything else. */
export function stateOfSignal(
  value: unknown,
): { isAborted(): boolean; reason(): unknown } | undefined {
  if (abortedOf === undefined || reasonOf === undefined) return undefined;
  try {
    apply(abortedOf, value, []);
  } catch {
    return undefined;
  }
  return {
    isAborted: () => apply(abortedOf, value, []) === true,
    reason: () => apply(reasonOf, value, []),
  };
}
