/**
 * Checks on arguments that are no offsets: options, and where bytes come from.
 *
 * @module
 */

import { types } from "node:util";

/**
 * Answers `options`, or throws unless it is an object of them: a path or a shape in
 * its place would be taken for no options at all, and the wrong file be written.
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

/** Throws where a view's memory was let go of: it would be taken for an empty one. */
export function checkAttached(view: ArrayBufferView): void {
  if (!(view.buffer as ArrayBuffer).detached) return;
  throw new TypeError(
    "The source is a stale view, whose memory was let go of: take slice.bytes or " +
      "array.data again.",
  );
}

/**
 * All bytes of a buffer, of whatever realm, or of a view, as a plain view whose length
 * no subclass can change any more; `undefined` for anything else.
 */
export function bytesIn(source: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(source)) {
    checkAttached(source);
    const { buffer, byteOffset, byteLength } = source;
    return new Uint8Array(buffer, byteOffset, byteLength);
  }
  return types.isAnyArrayBuffer(source) ? new Uint8Array(source) : undefined;
}

/** Typed arrays and what is like an array as they are, all else as its bytes. */
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
