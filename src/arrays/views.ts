/**
 * Views: the place, shape and strides of an array that is made, cut, turned or
 * reshaped, with the errors for what cannot be.
 *
 * Reads no byte. What callers hand over has been read into plain values before.
 *
 * @module
 */

import {
  bufferOf,
  checkOffset,
  checkSpan,
  clampRange,
  counted,
  lengthOfTyped,
  shown,
} from "../base/mod.ts";
import {
  type Axes,
  checkShape,
  countOf,
  isContiguous,
  printed,
  reshaped,
  rowMajor,
  spanOf,
} from "../geometry/mod.ts";
import type { ReadOptions } from "./options.ts";
import { checkFits, type Extent, isWithin, type Place } from "./place.ts";
import type { Values } from "./values.ts";

/** Which elements an array has. */
export interface View {
  readonly place: Place;
  readonly shape: Axes;
  /** For each axis, elements of memory from one index to the next. */
  readonly strides: Axes;
}

/** The view that the options of a new array ask for. */
export function newView(extent: Extent, options: ReadOptions): View {
  const { codec, byteOrder } = options;
  const byteOffset = checkOffset(options.byteOffset, extent.length, "slice");
  const available = Math.floor((extent.length - byteOffset) / codec.size);
  const place = { extent, codec, byteOrder, byteOffset };
  // One axis of all that there is: nothing to check, and most arrays are that.
  if (options.shape === undefined) {
    return { place, shape: [available], strides: [1] };
  }
  const shape = checkShape(options.shape, available);
  checkFits(shape, countOf(shape), place);
  return { place, shape, strides: rowMajor(shape) };
}

/**
 * A typed array over the view's memory, or `null` where the address is no multiple of
 * the element's alignment. It is `known`, as long as that is still right.
 */
export function dataOf(
  { place, shape, strides }: View,
  known: Values | null,
): Values | null {
  const { extent, codec, byteOffset } = place;
  if (byteOffset % codec.alignment !== 0) return null;
  // A mapping begins at a page, and so at a multiple of every element's size.
  if (extent.offset % codec.alignment !== 0) return null;
  const { buffer } = extent.view();
  const length = spanOf(shape, strides);
  if (
    known !== null && bufferOf(known) === buffer &&
    lengthOfTyped(known) === length
  ) return known;
  // If there are no elements, byteOffset may lie past the end of the slice.
  return new codec.Values(buffer, length === 0 ? 0 : byteOffset, length);
}

/** What to print instead of elements that cannot be read; `undefined` if they can. */
export function absenceOf({ place, shape, strides }: View): string | undefined {
  const { state, hasLostBytes } = place.extent;
  if (state === "deleted" || state === "closed") {
    return `<MemmapArray of a ${state} slice>`;
  }
  if (hasLostBytes) return "<MemmapArray of lost bytes>";
  if (isWithin(spanOf(shape, strides), place)) return undefined;
  return "<MemmapArray beyond the end of its slice>";
}

/** The part from `begin` to `end` of the first axis. */
export function cut(
  { place, shape, strides }: View,
  begin: number,
  end: number,
): View {
  const length = shape[0];
  if (length === undefined) {
    throw new RangeError("An array without axes has no subarray.");
  }
  const [from, to] = clampRange(begin, end, length);
  const { extent, codec, byteOrder } = place;
  const byteOffset = place.byteOffset + from * strides[0]! * codec.size;
  return {
    place: { extent, codec, byteOrder, byteOffset },
    shape: [to - from, ...shape.slice(1)],
    strides,
  };
}

/** The axes in the order of `axes`; reversed if there are none. */
export function turned({ place, shape, strides }: View, axes: Axes): View {
  const all = shape.map((_, axis) => axis);
  const order = axes.length === 0 ? all.toReversed() : axes;
  if (
    order.length !== all.length || !all.every((axis) => order.includes(axis))
  ) {
    throw new RangeError(
      `transpose(${axes.map(shown).join(", ")}) must name each axis once, ` +
        `one by one, as transpose(${all.toReversed().join(", ")}) does.`,
    );
  }
  return {
    place,
    shape: order.map((axis) => shape[axis]!),
    strides: order.map((axis) => strides[axis]!),
  };
}

/** The same elements in the shape `lengths`, one of which may be -1. */
export function inShape({ place, shape, strides }: View, lengths: Axes): View {
  if (lengths.some((length) => typeof length === "object")) {
    throw new TypeError("reshape() takes lengths one by one: reshape(2, 3).");
  }
  const size = countOf(shape);
  const target = checkShape(lengths, size);
  if (countOf(target) !== size) {
    throw new RangeError(
      `${size} elements do not have shape ${printed(lengths)}.`,
    );
  }
  const result = reshaped(shape, strides, target);
  if (result === undefined) {
    throw new RangeError(
      `Shape ${printed(lengths)} needs a copy, since the elements do not lie ` +
        "side by side: use toTypedArray().",
    );
  }
  return { place, shape: target, strides: result };
}

/**
 * Resizes the slice so that an array of `to` takes the view's place in it. New
 * elements repeat those that are there, or are 0.
 */
export function resizeSlice(
  { place, shape, strides }: View,
  to: Axes,
  repeats: boolean,
): void {
  if (!isContiguous(shape, strides)) {
    throw new RangeError(
      "The elements of this array do not lie side by side: resize the array " +
        "that it was made from.",
    );
  }
  const { extent, codec, byteOffset } = place;
  const before = countOf(shape) * codec.size;
  const after = countOf(to) * codec.size;
  if (!Number.isSafeInteger(extent.length - before + after)) {
    throw new RangeError(`Shape ${printed(to)} has too many bytes.`);
  }
  const change = Math.abs(after - before);
  const end = byteOffset + Math.min(before, after);
  // An empty array may begin beyond the end of its slice.
  if (change > 0) {
    checkSpan(end, before - Math.min(before, after), extent.length, "slice");
  }
  if (byteOffset + before === extent.length) extent.resize(byteOffset + after);
  else if (after > before) extent.splice(end, 0, change);
  else if (after < before) extent.splice(end, change, 0);
  if (repeats && before > 0 && after > before) {
    extent.repeat(byteOffset, before, byteOffset + after);
  }
}

/** Throws a `RangeError`: an index has too many or too few numbers. */
export function refuseIndex(shape: Axes, index: readonly unknown[]): never {
  throw new RangeError(
    `An array of shape ${printed(shape)} has no element at index ` +
      `[${index.map(shown).join(", ")}]: it takes ${
        counted(shape.length, "number")
      }.`,
  );
}

/** Throws a `RangeError`: one number of an index is not on its axis. */
export function refuseAlong(shape: Axes, axis: number, index: unknown): never {
  throw new RangeError(
    `Index ${shown(index)} is not on axis ${axis}, whose length is ` +
      `${shape[axis]}, of an array of shape ${printed(shape)}.`,
  );
}

/** Throws unless `count` elements have room from flat index `offset` of `size` on. */
export function checkRoom(count: number, offset: number, size: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(`Invalid offset ${shown(offset)} of elements.`);
  }
  if (count > size - offset) {
    throw new RangeError(
      `${count} elements do not fit at ${offset} into an array of ${size}.`,
    );
  }
}
