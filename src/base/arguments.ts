/**
 * What callers give, made into plain values: options, sources of bytes, numbers.
 *
 * A getter, a `toString` or a proxy of the caller's may run any code at every look,
 * and another thread may grow a shared buffer. So each thing is read once, before any
 * state is looked at, and what comes out here can neither change nor run code. Must
 * not know what the options or the bytes are for.
 *
 * @module
 */

import {
  bytesOfView,
  isAnyView,
  lengthOfBuffer,
  lengthOfTyped,
} from "./intrinsics.ts";
import { checkLength } from "./offsets.ts";
import { counted, shown } from "./shown.ts";

/** Throws a `TypeError` if more arguments were given than the method takes. */
export function checkCount(given: number, most: number, usage: string): void {
  if (given <= most) return;
  throw new TypeError(
    `${counted(given, "argument")} ${
      given === 1 ? "was" : "were"
    } given where ` +
      `${most} would do: ${usage}.`,
  );
}

/**
 * Reads the options named in `known` once each; those that were left out are
 * `undefined`. Throws a `TypeError` for unknown names, and for what cannot hold
 * options: a path or a shape in their place would count as no options at all, and
 * `flush("other.dat")` would write the wrong file.
 */
export function readOptions<K extends string, T extends { [N in K]?: unknown }>(
  options: T | undefined,
  known: readonly K[],
  example: string,
): { [N in K]?: T[N] } {
  // Without a prototype: what was left out must not come from Object.prototype, where
  // anybody may have put something.
  const read: { [N in K]?: T[N] } = Object.create(null);
  if (options === undefined) return read;
  if (
    typeof options !== "object" || options === null || Array.isArray(options)
  ) {
    throw new TypeError(
      `Options must be an object, such as ${example}, not ${shown(options)}.`,
    );
  }
  for (const name of Object.keys(options)) {
    if ((known as readonly string[]).includes(name)) continue;
    throw new TypeError(
      `Unknown option ${shown(name)}; there are: ${known.join(", ")}.`,
    );
  }
  for (const name of known) {
    if (isGiven(options, name)) read[name] = options[name];
  }
  return read;
}

/** Has an object this property, or one of the classes that it is of but Object itself? */
function isGiven(of: object, name: string): boolean {
  if (!(name in Object.prototype)) return true; // mostly
  for (
    let at: object | null = of;
    at !== null;
    at = Object.getPrototypeOf(at)
  ) {
    if (Object.hasOwn(at, name)) return at !== Object.prototype;
  }
  return false;
}

/**
 * All bytes of a view or of a buffer, from any realm, as a plain `Uint8Array` whose
 * length can change no more. Returns `undefined` for anything else.
 *
 * @throws {TypeError} if it is a view whose memory was released: it would count as
 * empty.
 */
export function bytesIn(source: unknown): Uint8Array | undefined {
  if (isAnyView(source)) {
    return bytesOfView(source);
  }
  if (typeof source !== "object" || source === null) return undefined;
  const length = lengthOfBuffer(source);
  if (length === undefined) return undefined;
  return new Uint8Array(source as ArrayBufferLike, 0, length);
}

/** A source of numbers that can run no code: a typed array, or a copy of an array. */
export type Numbers = ArrayLike<number> & ArrayBufferView;

/**
 * What `TypedArray.prototype.set` takes, made safe to copy from: typed arrays as they
 * are, the bytes of other views and of buffers, and a copy of an array of numbers,
 * whose elements are read once. No more than `room` elements are read.
 *
 * @throws {TypeError} if it is none of these, or an element is no number.
 * @throws {RangeError} if an array has more than `room` elements.
 */
export function numbersIn(
  source: unknown,
  room: number,
  what: "memmap" | "slice" = "slice",
): Numbers {
  if (typeof source === "object" && source !== null) {
    if (isAnyView(source) && lengthOfTyped(source) > 0) {
      return source as Numbers;
    }
    const bytes = bytesIn(source);
    if (bytes !== undefined) return bytes;
    if ("length" in source) {
      return readNumbers(source as ArrayLike<unknown>, room, what);
    }
  }
  throw new TypeError(
    "The source must be an ArrayBuffer, a view of one, or an array of numbers. " +
      "Encode text with TextEncoder.",
  );
}

/** The error for more bytes than there is room for, `where` of a slice or of a map. */
export function noRoom(
  length: number,
  where: string,
  room: number,
  what: "memmap" | "slice",
): RangeError {
  const many = length === 1 ? "1 byte does" : `${length} bytes do`;
  return new RangeError(
    what === "slice"
      ? `${many} not fit${where} into a slice of ${room}; resize() it first.`
      : `${many} not fit${where} into the ${room} that are mapped; ` +
        "insert() and append() add bytes.",
  );
}

function readNumbers(
  source: ArrayLike<unknown>,
  room: number,
  what: "memmap" | "slice",
): Uint8Array {
  const length = checkLength(source.length, "length of the source");
  if (length > room) throw noRoom(length, "", room, what);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const value = source[i];
    if (typeof value !== "number") {
      throw new TypeError(
        `Element ${i} of the source must be a number, not ${shown(value)}.`,
      );
    }
    bytes[i] = value;
  }
  return bytes;
}
