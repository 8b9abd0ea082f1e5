/**
 * Bulk copies between memory of different byte orders, at any alignment.
 *
 * Bytes are moved as integers, never as floats, so that every bit survives, even
 * those of a signalling NaN. The fastest way depends on the runtime, and this is the
 * one place that chooses it, as measured over 64 MiB by `bench/byteswap.ts`. Knows
 * nothing of element types: an element is a number of bytes.
 *
 * @module
 */

import { libc, runtime } from "../../ffi/mod.ts";
import { viewOf } from "./values.ts";

/** Bytes that are copied and then swapped in place, while they are still in the cache. */
const PIECE = 2 ** 17;

/** New memory of at least that many bytes is worth a call for huge pages. numpy's figure. */
const LARGE = 2 ** 22;

/**
 * Asks for huge pages under new memory before its first write. Most of the time of
 * that write goes into page faults, and huge pages have up to 512 times fewer. numpy
 * does the same (`numpy/_core/src/multiarray/alloc.cpp`). It is only a hint: if the
 * system refuses, nothing is different.
 */
export function adviseHuge(bytes: Uint8Array): void {
  const c = libc();
  const { MADV_HUGEPAGE } = c.constants;
  if (MADV_HUGEPAGE === undefined || bytes.length < LARGE) return;
  const address = runtime().addressOf(bytes);
  const begin = Math.ceil(address / c.pageSize) * c.pageSize;
  const end = address + bytes.length;
  // Sound: these are whole pages within the array, which is attached. The advice
  // changes no byte.
  c.madvise(begin, end - begin, MADV_HUGEPAGE);
}

/**
 * Copies `from` to `to`, reversing each element of `width` bytes. Both have the same
 * length and do not overlap.
 */
export function copySwapped(
  to: Uint8Array,
  from: Uint8Array,
  width: number,
): void {
  const { swapInPlace } = runtime();
  if (swapInPlace === null) {
    swapWords(viewOf(to), viewOf(from), width);
    return;
  }
  for (let at = 0; at < from.length; at += PIECE) {
    const end = Math.min(at + PIECE, from.length);
    to.set(from.subarray(at, end), at);
    swapInPlace(to.subarray(at, end), width);
  }
}

/**
 * Swaps by words of 8 bytes, whatever the width. V8 compiles a DataView's 64-bit
 * access to one machine instruction, or two if it reverses, and calculates with
 * 64-bit bigints in registers. The loop takes eight words at a time, since its own
 * work costs as much as one word.
 */
function swapWords(to: DataView, from: DataView, width: number): void {
  const length = from.byteLength;
  const words = length - length % 64;
  if (width === 8) swap64(to, from, words);
  else if (width === 4) swap32(to, from, words);
  else swap16(to, from, words);
  for (let at = words; at < length; at += width) {
    copyElement(to, at, from, at, width, true);
  }
}

function swap64(to: DataView, from: DataView, end: number): void {
  for (let at = 0; at < end; at += 64) {
    to.setBigUint64(at, from.getBigUint64(at), true);
    to.setBigUint64(at + 8, from.getBigUint64(at + 8), true);
    to.setBigUint64(at + 16, from.getBigUint64(at + 16), true);
    to.setBigUint64(at + 24, from.getBigUint64(at + 24), true);
    to.setBigUint64(at + 32, from.getBigUint64(at + 32), true);
    to.setBigUint64(at + 40, from.getBigUint64(at + 40), true);
    to.setBigUint64(at + 48, from.getBigUint64(at + 48), true);
    to.setBigUint64(at + 56, from.getBigUint64(at + 56), true);
  }
}

function swap32(to: DataView, from: DataView, end: number): void {
  for (let at = 0; at < end; at += 64) {
    // Reading reverses all eight bytes; exchanging the halves puts them in order.
    to.setBigUint64(at, halves(from.getBigUint64(at)), true);
    to.setBigUint64(at + 8, halves(from.getBigUint64(at + 8)), true);
    to.setBigUint64(at + 16, halves(from.getBigUint64(at + 16)), true);
    to.setBigUint64(at + 24, halves(from.getBigUint64(at + 24)), true);
    to.setBigUint64(at + 32, halves(from.getBigUint64(at + 32)), true);
    to.setBigUint64(at + 40, halves(from.getBigUint64(at + 40)), true);
    to.setBigUint64(at + 48, halves(from.getBigUint64(at + 48)), true);
    to.setBigUint64(at + 56, halves(from.getBigUint64(at + 56)), true);
  }
}

function swap16(to: DataView, from: DataView, end: number): void {
  for (let at = 0; at < end; at += 64) {
    to.setBigUint64(at, pairs(from.getBigUint64(at, true)), true);
    to.setBigUint64(at + 8, pairs(from.getBigUint64(at + 8, true)), true);
    to.setBigUint64(at + 16, pairs(from.getBigUint64(at + 16, true)), true);
    to.setBigUint64(at + 24, pairs(from.getBigUint64(at + 24, true)), true);
    to.setBigUint64(at + 32, pairs(from.getBigUint64(at + 32, true)), true);
    to.setBigUint64(at + 40, pairs(from.getBigUint64(at + 40, true)), true);
    to.setBigUint64(at + 48, pairs(from.getBigUint64(at + 48, true)), true);
    to.setBigUint64(at + 56, pairs(from.getBigUint64(at + 56, true)), true);
  }
}

// The outer asUintN changes no bit. It tells V8 that the result fits a register;
// without it V8 makes a bigint of each word, which is thirty times slower.

function halves(word: bigint): bigint {
  return BigInt.asUintN(
    64,
    BigInt.asUintN(64, word << 32n) | (word >> 32n),
  );
}

function pairs(word: bigint): bigint {
  return BigInt.asUintN(
    64,
    BigInt.asUintN(64, (word & 0xff00ff00ff00ffn) << 8n) |
      ((word >> 8n) & 0xff00ff00ff00ffn),
  );
}

/** Copies one element as integers of at most 32 bits, reversed or as it is. */
export function copyElement(
  to: DataView,
  toAt: number,
  from: DataView,
  fromAt: number,
  width: number,
  reversed: boolean,
): void {
  if (width === 8) {
    const first = reversed ? 4 : 0;
    to.setInt32(toAt, from.getInt32(fromAt + first, reversed));
    to.setInt32(toAt + 4, from.getInt32(fromAt + 4 - first, reversed));
  } else if (width === 4) {
    to.setInt32(toAt, from.getInt32(fromAt, reversed));
  } else if (width === 2) {
    to.setInt16(toAt, from.getInt16(fromAt, reversed));
  } else {
    to.setInt8(toAt, from.getInt8(fromAt));
  }
}
