/**
 * Checks of options and of sources of bytes, which become plain values here.
 *
 * Must not know what the options or the bytes are for.
 *
 * @module
 */

import { types } from "node:util";

/**
 * Returns `options`, or none if they were left out. Throws a `TypeError` for what
 * cannot hold options: a path or a shape in their place would count as no options at
 * all, and `flush("other.dat")` would write the wrong file.
 */
export function checkOptions<T extends object>(
  options: T | undefined,
  example: string,
): Partial<T> {
  if (options === undefined) return {};
  if (
    typeof options === "object" && options !== null && !Array.isArray(options)
  ) {
    return options;
  }
  throw new TypeError(`Options must be an object, such as ${example}.`);
}

/** Throws a `TypeError` if a view's memory was released: the view would count as empty. */
export function checkAttached(view: ArrayBufferView): void {
  if (!(view.buffer as ArrayBuffer).detached) return;
  throw new TypeError(
    "The source is a stale view: its memory has been released. Get slice.bytes or " +
      "array.data again, and use that.",
  );
}

/**
 * All bytes of a view, or of a buffer from any realm, as a plain `Uint8Array`, whose
 * length no subclass can change afterwards. Returns `undefined` for anything else.
 */
export function bytesIn(source: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(source)) {
    checkAttached(source);
    const { buffer, byteOffset, byteLength } = source;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }
  return types.isAnyArrayBuffer(source) ? new Uint8Array(source) : undefined;
}

/** Returns typed arrays and array-likes as they are, and any other source as its bytes. */
export function checkSource(
  source: ArrayLike<number> | ArrayBufferLike | ArrayBufferView,
): ArrayLike<number> {
  if (typeof source === "object" && source !== null && "length" in source) {
    if (ArrayBuffer.isView(source)) checkAttached(source);
    return source;
  }
  const bytes = bytesIn(source);
  if (bytes !== undefined) return bytes;
  throw new TypeError(
    "The source must be an ArrayBuffer, a view of one, or an array of numbers. " +
      "Encode text with TextEncoder.",
  );
}
