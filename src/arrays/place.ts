/**
 * Where an array is: a place in a slice, and how its bytes are read.
 *
 * Everything that arrays ask of a slice's extent is in {@linkcode Extent}. Knows
 * nothing of strides: to a place, an array is a range of bytes.
 *
 * @module
 */

import { type Axes, printed } from "../geometry/mod.ts";
import type { MemmapSlice } from "../map/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import type { ItemCodec } from "./items.ts";
import type { ByteOrder } from "./type_names.ts";

/** What arrays ask of a slice's extent. */
export interface Extent {
  readonly slice: MemmapSlice;
  /** Bytes now. */
  readonly length: number;
  /** The memory that the bytes are in now, and where in it they begin. */
  readonly mapping: Mapping;
  readonly offset: number;
  /** Whether the bytes are the file's and pages of them were lost. */
  readonly hasLostBytes: boolean;
  /**
   * The bytes in a buffer that no user ever sees, so that it is detached when they
   * move, and only then.
   */
  ownView(): { readonly mapping: Mapping; readonly buffer: ArrayBuffer };
  /** The same for users. */
  view(): { readonly buffer: ArrayBuffer };
  readonly state: "mapped" | "floating" | "deleted" | "closed";
  readonly isEditable: boolean;
  /** May a view that was taken elsewhere show the same bytes at another address? */
  readonly isMappedTwice: boolean;
  /** Throws unless the slice can be used now. */
  checkUsable(): void;
  /** Throws unless the bytes can be changed now. */
  checkEditable(): void;
  /** Gives the slice another length. */
  resize(length: number): void;
  /** Replaces bytes of the slice by others, or by so many zeros. */
  splice(
    offset: number,
    deleteCount: number,
    content: number | Uint8Array,
  ): void;
  /** Writes `count` bytes at `offset` again and again behind them, up to `end`. */
  repeat(offset: number, count: number, end: number): void;
  /** Runs `copy`, which may read a view of the file, and throws if it met lost pages. */
  copyChecked<T>(copy: () => T): T;
}

/** What an array is a view of. */
export interface Place<C extends ItemCodec = ItemCodec> {
  readonly extent: Extent;
  readonly codec: C;
  readonly byteOrder: ByteOrder;
  /**
   * Where in the slice the first element is, in bytes. With negative strides others
   * come before it.
   */
  readonly byteOffset: number;
}

/** Where elements lie, in bytes from the first; see {@linkcode boundsOf}. */
interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** Whether bytes from the place on lie within the slice. */
export function isWithin(
  { low, high }: Bounds,
  { extent, byteOffset }: Place,
): boolean {
  if (low === high) return true; // no bytes
  return byteOffset + low >= 0 && high <= extent.length - byteOffset;
}

/** Throws a `RangeError` unless an array of `shape` lies within the slice. */
export function checkFits(shape: Axes, bounds: Bounds, place: Place): void {
  if (isWithin(bounds, place)) return;
  const { extent, byteOffset, codec } = place;
  const { low, high } = bounds;
  const what = `An array of ${codec.name} of shape ${printed(shape)}`;
  if (low < 0) {
    throw new RangeError(
      `${what} takes the bytes from ${byteOffset + low} to ` +
        `${byteOffset + high}, and the slice has ${extent.length}.`,
    );
  }
  const room = Math.max(extent.length - byteOffset, 0);
  throw new RangeError(
    `${what} has ${high} bytes, and the slice of ${extent.length} has ` +
      `${room} from byte ${byteOffset} on. resize() it first.`,
  );
}
