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
export function checkOptions<T extends object>(options: T, example: string): T {
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

/** Buffers, of whatever realm, and DataViews as their bytes; array-likes as they are. */
export function checkSource(
  source: ArrayLike<number> | ArrayBufferLike | ArrayBufferView,
): ArrayLike<number> {
  if (types.isAnyArrayBuffer(source)) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) {
    checkAttached(source);
    if (types.isDataView(source)) {
      return new Uint8Array(
        source.buffer,
        source.byteOffset,
        source.byteLength,
      );
    }
  }
  if (typeof source === "object" && source !== null && "length" in source) {
    return source;
  }
  throw new TypeError(
    "The source must be an ArrayBuffer, a view of one, or an array of numbers. " +
      "Encode text with TextEncoder.",
  );
}
