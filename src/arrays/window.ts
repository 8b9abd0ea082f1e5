/**
 * A window: the bytes of one view of a slice, wherever they are now.
 *
 * When those that it last saw are gone, it asks the slice's extent for the new ones.
 * Must not know what elements are: that is the codec's.
 *
 * @module
 */

import {
  type Axes,
  boundsOf,
  type Box,
  boxesOf,
  countOf,
} from "../geometry/mod.ts";
import type { Mapping } from "../memory/mod.ts";
import { type Elements, gather, scatter } from "./bulk.ts";
import { NATIVE } from "./byte_order.ts";
import type { ItemCodec } from "./items.ts";
import { checkFits } from "./place.ts";
import { bytesOf } from "./values.ts";
import {
  checkRoom,
  refuseAlong,
  refuseFlat,
  refuseIndex,
  type View,
} from "./views.ts";

/** Stands for the bytes where they must not be used, or are not known yet. */
export const NO_BYTES: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));

/** The bytes of a view. */
export class Window<C extends ItemCodec = ItemCodec> {
  view: View<C>;
  readonly codec: C;
  readonly isLittle: boolean;
  shape: Axes;
  strides: Axes;
  /** How many elements there are. */
  size: number;
  /** From the lowest byte to the highest. Detached once the bytes are elsewhere. */
  values: DataView<ArrayBuffer> = NO_BYTES;
  /** Where in `values` the first element is. */
  first = 0;
  /**
   * The count of lost pages of `memory`. Asking that for every element is a call too
   * many for JavaScriptCore to inline, which makes `get(i, j)` four times slower.
   */
  faults: Int32Array;
  /** Whether the bytes may be written. */
  isWritable = false;
  /** The memory that the bytes are in. */
  memory: Mapping;
  /** Called when the bytes were found. */
  onMove: (() => void) | null = null;

  constructor(view: View<C>) {
    this.view = view;
    this.codec = view.place.codec;
    this.isLittle = view.place.byteOrder === "little";
    this.shape = view.shape;
    this.strides = view.strides;
    this.size = countOf(view.shape);
    this.memory = view.place.extent.mapping;
    this.faults = this.memory.faultCount;
  }

  /** Shows other elements of the same place. */
  become(view: View<C>): void {
    this.view = view;
    this.shape = view.shape;
    this.strides = view.strides;
    this.size = countOf(view.shape);
    this.lookAgain();
  }

  /** The bytes, wherever they are now. */
  look(): DataView<ArrayBuffer> {
    // An empty buffer cannot tell that its memory is gone: it is never detached.
    if (this.values.buffer.detached || this.memory.isReleased) {
      return this.lookAgain();
    }
    this.memory.checkFaults();
    return this.values;
  }

  /** Asks the extent. Throws if the slice is gone or has become too short. */
  lookAgain(): DataView<ArrayBuffer> {
    const { place, shape, strides } = this.view;
    const { extent, codec, byteOffset } = place;
    extent.checkUsable();
    const isWritable = extent.isEditable;
    const bounds = boundsOf(shape, strides, codec.size);
    checkFits(shape, bounds, place);
    const { mapping, buffer } = extent.ownView();
    const { low, high } = bounds;
    // If there are no elements, byteOffset may lie past the end of the slice.
    const at = low === high ? 0 : byteOffset + low;
    this.memory = mapping;
    this.faults = mapping.faultCount;
    this.values = new DataView(buffer, at, high - low);
    // Never -0 + 0: engines keep that as a double, and every offset computed from it.
    this.first = low === 0 ? 0 : -low;
    this.isWritable = isWritable;
    this.onMove?.();
    return this.values;
  }

  /** The bytes, to be written. */
  edit(): DataView<ArrayBuffer> {
    const values = this.look();
    this.view.place.extent.checkEditable();
    return values;
  }

  /** Whether elements have the machine's byte order. */
  get isNative(): boolean {
    const { codec, byteOrder } = this.view.place;
    return byteOrder === NATIVE || codec.unit === 1;
  }

  /**
   * The byte in `values` of the element at an index. Up to three numbers come one by
   * one: a list would be allocated for every element.
   */
  locate(
    i: number | undefined,
    j: number | undefined,
    k: number | undefined,
    more: readonly number[],
  ): number {
    const axes = this.shape.length;
    const count = i === undefined
      ? 0
      : j === undefined
      ? 1
      : k === undefined
      ? 2
      : 3 + more.length;
    if (count !== axes) {
      refuseIndex(this.shape, [i, j, k, ...more].slice(0, count));
    }
    let { first: at } = this;
    if (count > 0) at += this.#along(0, i!);
    if (count > 1) at += this.#along(1, j!);
    if (count > 2) at += this.#along(2, k!);
    for (let axis = 3; axis < axes; axis++) {
      at += this.#along(axis, more[axis - 3]!);
    }
    return at;
  }

  /** The byte in `values` of the element at a flat index. */
  locateFlat(index: unknown): number {
    const { shape, strides, size, first } = this;
    if (
      typeof index !== "number" ||
      !(index >= 0 && index < size && Math.floor(index) === index)
    ) refuseFlat(shape, index);
    if (shape.length === 1) return first + index * strides[0]!;
    let [at, left] = [first, index];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const length = shape[axis]!;
      at += (left % length) * strides[axis]!;
      left = Math.floor(left / length);
    }
    return at;
  }

  /** Bytes from the first element to that at `index` along an axis. */
  #along(axis: number, index: number): number {
    const length = this.shape[axis]!;
    if (!(index >= 0 && index < length && Math.floor(index) === index)) {
      refuseAlong(this.shape, axis, index);
    }
    return index * this.strides[axis]!;
  }

  /**
   * Reads the element at byte `at` of `values`. Nothing is looked up first: if the
   * bytes are elsewhere by now, the view of them is detached and throws.
   */
  read(at: number): unknown {
    const { read } = this.codec;
    let value: unknown;
    try {
      value = read(this.values, at, this.isLittle);
    } catch (error) {
      if (!this.values.buffer.detached) throw error;
      value = read(this.look(), at, this.isLittle);
    }
    if (this.faults[0] !== 0) this.memory.checkFaults();
    return value;
  }

  /** Copies elements from flat index `begin` on to all of `to`, bit by bit. */
  load(to: Uint8Array, begin: number): void {
    const bytes = bytesOf(this.look());
    const boxes = this.#boxes(begin, to.length);
    gather(to, bytes, this.first, boxes, this.#elements);
    this.memory.checkFaults();
  }

  /** Copies `from`, which is no memory of this slice, to flat index `begin` on. */
  store(from: Uint8Array, begin: number): void {
    const bytes = bytesOf(this.edit());
    const boxes = this.#boxes(begin, from.length);
    scatter(bytes, from, this.first, boxes, this.#elements);
    this.memory.checkFaults();
  }

  get #elements(): Elements {
    const { size, unit } = this.codec;
    return { size, unit, isSwapped: !this.isNative };
  }

  /** The elements that take so many bytes from flat index `begin` on. */
  #boxes(begin: number, length: number): Box[] {
    const { size } = this.codec;
    const count = length / size;
    checkRoom(count, begin, this.size); // the last look before memory
    return boxesOf(this.shape, this.strides, size, begin, begin + count);
  }
}
