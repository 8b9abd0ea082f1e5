/**
 * Byte-reversing copies, compared with a loop over single bytes. Both
 * implementations are tested on both runtimes: the runtime's own `swapInPlace`, and
 * the one that works on words.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { type Runtime, runtime } from "../../../ffi/mod.ts";
import "../../../mod.ts";
import { copyElement, copySwapped } from "../../../src/arrays/byteswap.ts";
import { viewOf } from "../../../src/arrays/values.ts";
import { isDeno, isThorough, withLibc } from "../../support/support.ts";

const WIDTHS = [2, 4, 8] as const;
const PIECE = 2 ** 16;

/** Stands in for `swapInPlace` in Deno, which has none of its own. */
function swapByBuffer(bytes: Uint8Array, width: number): void {
  const { buffer, byteOffset, byteLength } = bytes;
  const same = Buffer.from(buffer, byteOffset, byteLength);
  if (width === 8) same.swap64();
  else if (width === 4) same.swap32();
  else same.swap16();
}

const WAYS: readonly [
  name: string,
  swapInPlace: () => Runtime["swapInPlace"],
][] = [
  ["in place", () => runtime().swapInPlace ?? swapByBuffer],
  ["by words", () => null],
];

/** The specification: element by element, byte by byte. */
function swapped(from: Uint8Array, width: number): Uint8Array {
  return from.map((_, i) => from[i - i % width + width - 1 - i % width]!);
}

/** Bytes that differ from all their neighbours, so that a misplaced one shows. */
function someBytes(length: number): Uint8Array {
  return Uint8Array.from(
    { length },
    (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24,
  );
}

const PAD = 16;
const CANARY = 0xa5;

/** Copies between two offsets, and checks that nothing around the target changes. */
function checkCopy(
  from: Uint8Array,
  expected: Uint8Array,
  width: number,
  sourceAt: number,
  targetAt: number,
): void {
  const { length } = from;
  const source = new Uint8Array(length + PAD);
  source.set(from, sourceAt);
  const target = new Uint8Array(length + PAD).fill(CANARY);
  const to = target.subarray(targetAt, targetAt + length);
  copySwapped(to, source.subarray(sourceAt, sourceAt + length), width);
  const place = () =>
    `width ${width}, ${length} bytes from ${sourceAt} to ${targetAt}`;
  if (Buffer.compare(to, expected) !== 0) {
    assert.fail(`wrong bytes: ${place()}`);
  }
  const around = [
    ...target.subarray(0, targetAt),
    ...target.subarray(targetAt + length),
  ];
  if (around.some((byte) => byte !== CANARY)) {
    assert.fail(`wrote outside the target: ${place()}`);
  }
  if (
    Buffer.compare(source.subarray(sourceAt, sourceAt + length), from) !== 0
  ) {
    assert.fail(`changed the source: ${place()}`);
  }
}

for (const [name, swapInPlace] of WAYS) {
  test(`copySwapped() reverses each element, at any alignment: ${name}`, {
    timeout: 60_000,
  }, () => {
    withLibc({ swapInPlace: swapInPlace() }, () => {
      for (const width of WIDTHS) {
        for (let count = 0; count <= 200; count++) {
          const from = someBytes(count * width);
          const expected = swapped(from, width);
          // All alignments of both sides, for lengths where the unrolled loop differs.
          const every = isThorough || count <= 40 || count % 16 < 2;
          for (let sourceAt = 0; sourceAt <= 8; sourceAt++) {
            for (let targetAt = 0; targetAt <= 8; targetAt++) {
              if (!every && (sourceAt + targetAt + count) % 5 !== 0) continue;
              checkCopy(from, expected, width, sourceAt, targetAt);
            }
          }
        }
      }
    });
  });

  test(`copySwapped() reverses copies larger than one piece: ${name}`, {
    timeout: 60_000,
  }, () => {
    withLibc({ swapInPlace: swapInPlace() }, () => {
      for (const width of WIDTHS) {
        for (const pieces of isThorough ? [1, 2, 3, 16] : [1, 2]) {
          for (let more = -2; more <= 2; more++) {
            const from = someBytes(pieces * PIECE + more * width);
            const expected = swapped(from, width);
            for (
              const [sourceAt, targetAt] of [
                [0, 0],
                [1, 0],
                [0, 3],
                [8, 7],
              ] as const
            ) {
              checkCopy(from, expected, width, sourceAt, targetAt);
            }
          }
        }
      }
    });
  });

  test(`copySwapped() keeps the payload of every NaN: ${name}`, () => {
    withLibc({ swapInPlace: swapInPlace() }, () => {
      const bits = new BigUint64Array(100).map((_, i) =>
        (i % 2 === 0 ? 0x7ff0_0000_0000_0001n : 0xfff0_dead_beef_0001n) +
        BigInt(i)
      );
      const there = new Uint8Array(bits.byteLength);
      const back = new Uint8Array(bits.byteLength);
      copySwapped(there, new Uint8Array(bits.buffer), 8);
      copySwapped(back, there, 8);
      assert.deepEqual(new BigUint64Array(back.buffer), bits);
      const view = new DataView(there.buffer);
      assert.equal(view.getBigUint64(8), bits[1]); // DataView reads big-endian by default
    });
  });
}

test("Deno swaps by words, and Bun by its own swapInPlace", () => {
  const { swapInPlace } = runtime();
  assert.equal(swapInPlace === null, isDeno);
  if (swapInPlace === null) return;
  for (const width of WIDTHS) {
    const from = someBytes(5 * width + 1);
    const bytes = from.slice();
    swapInPlace(bytes.subarray(1), width);
    assert.deepEqual(bytes.subarray(1), swapped(from.subarray(1), width));
    assert.equal(bytes[0], from[0]);
  }
});

test("copyElement() copies one element, reversed or not, at any offset", () => {
  for (const width of [1, ...WIDTHS]) {
    for (const isReversed of [false, true]) {
      for (let fromAt = 0; fromAt <= 8; fromAt++) {
        for (let toAt = 0; toAt <= 8; toAt++) {
          const from = someBytes(24);
          const to = new Uint8Array(24).fill(CANARY);
          copyElement(
            viewOf(to),
            toAt,
            viewOf(from),
            fromAt,
            width,
            isReversed,
          );
          const element = from.slice(fromAt, fromAt + width);
          const expected = new Uint8Array(24).fill(CANARY);
          expected.set(isReversed ? element.reverse() : element, toAt);
          assert.deepEqual(
            to,
            expected,
            `width ${width}, ${fromAt} to ${toAt}`,
          );
        }
      }
    }
  }
});
