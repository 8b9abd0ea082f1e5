/**
 * Byte orders: the machine's own, and numpy's signs for them.
 *
 * Knows no element type.
 *
 * @module
 */

import { shown } from "../base/mod.ts";
import type { ByteOrder } from "./type_names.ts";

/** The machine's own byte order. */
export const NATIVE: ByteOrder =
  new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? "little" : "big";

/** What numpy writes before its letters; `|` says that there is no order. */
export const SIGNS: Readonly<Record<string, ByteOrder | undefined>> = {
  "<": "little",
  ">": "big",
  "=": NATIVE,
  "|": undefined,
};

/** The byte order that a type's name and an option say together. */
export function agreedOrder(
  name: string,
  signed: ByteOrder | undefined,
  option: ByteOrder | undefined,
): ByteOrder {
  if (option !== undefined && option !== "little" && option !== "big") {
    throw new TypeError(
      `Invalid byteOrder ${shown(option)}: it is "little" or "big".`,
    );
  }
  if (signed !== undefined && option !== undefined && signed !== option) {
    throw new TypeError(
      `Type '${name}' is ${signed}-endian, and byteOrder says "${option}".`,
    );
  }
  return signed ?? option ?? NATIVE;
}
