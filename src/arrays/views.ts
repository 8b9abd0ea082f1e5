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
  boundsOf,
  checkShape,
  columnMajor,
  countOf,
  isContiguous,
  printed,
  reshaped,
  rowMajor,
} from "../geometry/mod.ts";
import type { Codec } from "./codecs.ts";
import type { ItemCodec } from "./items.ts";
import type { ReadOptions } from "./options.ts";
import { checkFits, type Extent, isWithin, type Place } from "./place.ts";
import type { Values } from "./values.ts";

/** Which elements an array has. */
export interface View<C extends ItemCodec = ItemCodec> {
  readonly place: Place<C>;
  readonly shape: Axes;
  /** For each axis, bytes from one index to the next. */
  readonly strides: Axes;
}

/** The view that the options of a new array ask for. */
export function newView<C extends ItemCodec>(
  extent: Extent,
  codec: C,
  options: ReadOptions,
): View<C> {
  const { byteOrder, strides } = options;
  const byteOffset = checkOffset(options.byteOffset, extent.length, "slice");
  const place = { extent, codec, byteOrder, byteOffset };
  if (strides !== undefined) {
    return stridedView(place, options.shape ?? [-1], strides);
  }
  const available = Math.floor((extent.length - byteOffset) / codec.size);
  // One axis of all that there is: nothing to check, and most arrays are that.
  if (options.shape === undefined) {
    return { place, shape: [available], strides: [codec.size] };
  }
  const shape = checkShape(options.shape, available);
  const laidOut = options.order === "F" ? columnMajor : rowMajor;
  const bytes = countOf(shape) * codec.size;
  checkFits(shape, { low: 0, high: bytes }, place);
  return { place, shape, strides: laidOut(shape, codec.size) };
}

/** A view with strides as given, and one length of which may be -1. */
function stridedView<C extends ItemCodec>(
  place: Place<C>,
  given: number | Axes,
  strides: Axes,
): View<C> {
  const lengths = typeof given === "number" ? [given] : given;
  if (strides.length !== lengths.length) {
    throw new RangeError(
      `${counted(strides.length, "stride")} for ` +
        `${
          counted(lengths.length, "axis", "axes")
        }: there must be one for each.`,
    );
  }
  for (const stride of strides) {
    if (Number.isSafeInteger(stride)) continue;
    throw new RangeError(
      `Invalid strides ${printed(strides)}: they are whole numbers of bytes.`,
    );
  }
  const unknown = lengths.indexOf(-1);
  const shape = checkShape(
    unknown === -1
      ? lengths
      : lengths.with(unknown, fitting(place, lengths, strides, unknown)),
  );
  const bounds = boundsOf(shape, strides, place.codec.size);
  if (
    !Number.isSafeInteger(bounds.low) || !Number.isSafeInteger(bounds.high)
  ) {
    throw new RangeError(
      `Strides ${printed(strides)} reach too far for shape ${printed(shape)}.`,
    );
  }
  checkFits(shape, bounds, place);
  return { place, shape, strides };
}

/** How many indices along one axis lie within the slice. */
function fitting(
  { extent, byteOffset, codec }: Place,
  lengths: Axes,
  strides: Axes,
  axis: number,
): number {
  const others = checkShape(lengths.with(axis, 1));
  const stride = strides[axis]!;
  if (stride === 0 || others.includes(0)) {
    throw new RangeError(
      `The -1 of shape ${printed(lengths)} could be anything.`,
    );
  }
  const { low, high } = boundsOf(others, strides, codec.size);
  const room = stride > 0
    ? extent.length - byteOffset - high
    : byteOffset + low;
  // Not even the first index may fit.
  if (byteOffset + low < 0 || byteOffset + high > extent.length) return 0;
  return Math.floor(room / Math.abs(stride)) + 1;
}

/**
 * A typed array over the view's memory, or `null` where its elements are not at
 * multiples of their size. It is `known`, as long as that is still right.
 */
export function dataOf(
  { place, shape, strides }: View<Codec>,
  known: Values | null,
): Values | null {
  const { extent, codec, byteOffset } = place;
  if (byteOffset % codec.alignment !== 0) return null;
  // A mapping begins at a page, and so at a multiple of every element's size.
  if (extent.offset % codec.alignment !== 0) return null;
  const { low, high } = boundsOf(shape, strides, codec.size);
  // The first element is the first of `data`, and each is at an index.
  const isReached = strides.every((stride, axis) =>
    high === 0 || shape[axis]! <= 1 || stride % codec.size === 0
  );
  if (low < 0 || !isReached) return null;
  const { buffer } = extent.view();
  const length = high / codec.unit;
  if (
    known !== null && bufferOf(known) === buffer &&
    lengthOfTyped(known) === length
  ) return known;
  // If there are no elements, byteOffset may lie past the end of the slice.
  return new codec.Values(buffer, length === 0 ? 0 : byteOffset, length);
}

/** What to print instead of elements that cannot be read; `undefined` if they can. */
export function absenceOf(
  { place, shape, strides }: View,
  name: string,
): string | undefined {
  const { state, hasLostBytes } = place.extent;
  if (state === "deleted" || state === "closed") {
    return `<${name} of a ${state} slice>`;
  }
  if (hasLostBytes) return `<${name} of lost bytes>`;
  const bounds = boundsOf(shape, strides, place.codec.size);
  if (isWithin(bounds, place)) return undefined;
  return `<${name} beyond the end of its slice>`;
}

/** The same place, so many bytes further on. */
export function movedBy<C extends ItemCodec>(
  place: Place<C>,
  bytes: number,
): Place<C> {
  const { extent, codec, byteOrder, byteOffset } = place;
  return { extent, codec, byteOrder, byteOffset: byteOffset + bytes };
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
  return {
    place: movedBy(place, from * strides[0]!),
    shape: [to - from, ...shape.slice(1)],
    strides,
  };
}

/** What `pick`, `lo`, `hi` and `step` are given: a number for an axis, or nothing. */
export type Choice = number | null | undefined;

/** Checks a list of choices; one for each axis at most. */
function checkChoices(
  { shape }: View,
  choices: readonly Choice[],
  method: string,
  least: (length: number) => number,
  most: (length: number) => number,
): void {
  if (choices.length > shape.length) {
    throw new RangeError(
      `${method}() takes ${
        counted(shape.length, "argument")
      } at most, one for ` +
        `each axis of shape ${printed(shape)}, not ${choices.length}.`,
    );
  }
  for (const [axis, choice] of choices.entries()) {
    if (choice === null || choice === undefined) continue;
    const [low, high] = [least(shape[axis]!), most(shape[axis]!)];
    if (Number.isSafeInteger(choice) && choice >= low && choice <= high) {
      continue;
    }
    throw new RangeError(
      `${method}() takes whole numbers from ${low} to ${high}, or null, for ` +
        `axis ${axis} of shape ${printed(shape)}, not ${shown(choice)}.`,
    );
  }
}

/** Without the axes for which there is a number: at that index of each. */
export function picked(view: View, index: readonly Choice[]): View {
  const { place, shape, strides } = view;
  checkChoices(view, index, "pick", () => 0, (length) => length - 1);
  const isKept = (axis: number) =>
    index[axis] === null || index[axis] === undefined;
  const at = strides.reduce(
    (sum, stride, axis) => isKept(axis) ? sum : sum + index[axis]! * stride,
    0,
  );
  return {
    place: movedBy(place, at),
    shape: shape.filter((_, axis) => isKept(axis)),
    strides: strides.filter((_, axis) => isKept(axis)),
  };
}

/** From an index on, along each axis for which there is one. */
export function from(view: View, index: readonly Choice[]): View {
  const { place, shape, strides } = view;
  checkChoices(view, index, "lo", () => 0, (length) => length);
  const begin = shape.map((_, axis) => index[axis] ?? 0);
  const at = begin.reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
  return {
    place: movedBy(place, at),
    shape: shape.map((length, axis) => length - begin[axis]!),
    strides,
  };
}

/** The first so many indices along each axis for which there is a number. */
export function first(view: View, lengths: readonly Choice[]): View {
  const { place, shape, strides } = view;
  checkChoices(view, lengths, "hi", () => 0, (length) => length);
  return {
    place,
    shape: shape.map((length, axis) => (lengths[axis] ?? length) + 0),
    strides,
  };
}

/** Every n-th index along each axis for which there is a number, backwards if it is negative. */
export function stepped(view: View, steps: readonly Choice[]): View {
  const { place, shape, strides } = view;
  const most = Number.MAX_SAFE_INTEGER;
  checkChoices(view, steps, "step", () => -most, () => most);
  if (steps.includes(0)) {
    throw new RangeError("step() takes no 0: it would never end.");
  }
  let at = 0;
  const lengths = shape.map((length, axis) => {
    const step = steps[axis] ?? 1;
    if (step < 0) at += Math.max(length - 1, 0) * strides[axis]!;
    return Math.ceil(length / Math.abs(step));
  });
  return {
    place: movedBy(place, at),
    shape: lengths,
    strides: strides.map((stride, axis) =>
      // One element has no next one, which might be too far away for a number.
      lengths[axis]! <= 1 ? stride : stride * (steps[axis] ?? 1)
    ),
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
  const result = reshaped(shape, strides, target, place.codec.size);
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
  if (!isContiguous(shape, strides, place.codec.size)) {
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

/** Throws a `RangeError`: no element has that flat index. */
export function refuseFlat(shape: Axes, index: unknown): never {
  throw new RangeError(
    `Index ${shown(index)} is none of the ${
      countOf(shape)
    } elements of an array ` +
      `of shape ${printed(shape)}.`,
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
