/**
 * A file that tells a mixture at once: each commit writes its number into many pages.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import type { Memmap } from "../../../mod.ts";

/** Numbers in the file, several a page at places that differ, and one at its very end. */
const COUNT = 150;
const DISTANCE = 1716;
export const LENGTH: number = COUNT * DISTANCE + 4;

/** Makes the file, with number 0. */
export function makeNumbers(path: string): void {
  writeFileSync(path, new Uint8Array(LENGTH));
}

/** Writes a number everywhere: into the pages of an atomic map. */
export function putNumber(map: Memmap, number: number): void {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number);
  for (let i = 0; i <= COUNT; i++) map.write(bytes, i * DISTANCE);
}

/** The number, where it is the same everywhere. */
export function numberIn(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = view.getUint32(0);
  for (let i = 1; i <= COUNT; i++) {
    const number = view.getUint32(i * DISTANCE);
    if (number === first) continue;
    throw new Error(`a mixture: ${first} at 0, ${number} at ${i * DISTANCE}`);
  }
  return first;
}
