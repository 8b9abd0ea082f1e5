/**
 * Bytes to insert, to append, or to put into a slice.
 *
 * @module
 */

/** How many zeros, or which bytes. */
export type Content = number | Uint8Array;

/** Bytes of the content. */
export function contentLength(content: Content): number {
  return typeof content === "number" ? content : content.length;
}
