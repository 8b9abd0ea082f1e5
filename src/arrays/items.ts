/**
 * What every array needs to know of its elements, whatever they are: numbers, strings
 * or records.
 *
 * Types only. Each kind of element has its codecs in a file of its own.
 *
 * @module
 */

/** The kinds of elements, each of which has a class of arrays. */
export type Kind = "number" | "string" | "record";

/** One element type. */
export interface ItemCodec {
  readonly kind: Kind;
  /** Its name, for messages. */
  readonly name: string;
  /** Bytes of one element. */
  readonly size: number;
  /** Bytes of each of the equal parts of one, whose byte order the array's is. */
  readonly unit: number;
  /** What a byte offset must be a multiple of for a typed array over the elements. */
  readonly alignment: number;
  /** Reads the element at byte `at`. */
  readonly read: (view: DataView, at: number, little: boolean) => unknown;
}
