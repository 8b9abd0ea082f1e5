/**
 * Strings of a fixed number of bytes or code points: how one is read, padded and
 * checked. The codecs of `MemmapStrings`.
 *
 * Knows nothing of shapes or slices. Asks for no method of a string or of a decoder
 * that a program may have replaced, since those would see the slice's own memory.
 *
 * @module
 */

import { counted, shown } from "../base/mod.ts";
import { SIGNS } from "./byte_order.ts";
import type { ItemCodec } from "./items.ts";
import type { ByteOrder, OrderSign } from "./type_names.ts";

/**
 * A type of strings: numpy's and numarray's `"S16"` or numarray's `"a16"` for strings of
 * 16 bytes, numpy's `"U16"` for strings of 16 code points of 4 bytes each. Signs of byte
 * order matter to `U` alone.
 */
export type StringName = `${OrderSign}${"S" | "a" | "U"}${number}`;

/** How the bytes of an `S` string are read. Those of `U` are code points. */
export type StringEncoding = "utf-8" | "latin1";

/** What follows a string that is shorter than its element. */
export type Padding = "nul" | "space";

/** A type of strings. */
export interface TextCodec extends ItemCodec {
  readonly kind: "string";
  readonly letter: "S" | "U";
  readonly encoding: StringEncoding | "ucs-4";
  readonly padding: Padding;
  readonly read: (view: DataView, at: number, little: boolean) => string;
  /**
   * A string as the bytes of an element, in the machine's order. Runs no code of the
   * caller's.
   */
  readonly encode: (value: unknown) => Uint8Array;
}

const { fromCharCode, fromCodePoint } = String;
const { apply } = Reflect;
const { decode } = TextDecoder.prototype;
const { encode } = TextEncoder.prototype;
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });
const ENCODER = new TextEncoder();
const { codePointAt } = String.prototype;

const REPLACEMENT = 0xfffd;
const PADDING_BYTES: Readonly<Record<Padding, number>> = { nul: 0, space: 32 };
const NAME = /^([<>=|]?)([SaU])([1-9]\d*)$/;
const { exec } = RegExp.prototype;

/** How many bytes an element may have: more is no length of a string that anybody has. */
const MOST = 2 ** 31 - 1;

/** What a string type's name says; `undefined` if it is none. */
export function parseStringName(
  name: unknown,
): {
  readonly letter: "S" | "U";
  readonly count: number;
  readonly order: ByteOrder | undefined;
} | undefined {
  if (typeof name !== "string") return undefined;
  const match = apply(exec, NAME, [name]) as RegExpExecArray | null;
  if (match === null) return undefined;
  const [, sign, letter, digits] = match;
  const count = Number(digits);
  const isWide = letter === "U";
  if (count * (isWide ? 4 : 1) > MOST) return undefined;
  return {
    letter: isWide ? "U" : "S",
    count,
    order: isWide ? SIGNS[sign!] : undefined,
  };
}

const KNOWN = new Map<string, TextCodec>();

/** The codec of strings. There is one for each type, so that types can be compared. */
export function textCodec(
  letter: "S" | "U",
  count: number,
  encoding: StringEncoding,
  padding: Padding,
): TextCodec {
  const key = `${letter}${count} ${letter === "S" ? encoding : ""} ${padding}`;
  const known = KNOWN.get(key);
  if (known !== undefined) return known;
  const made = letter === "U"
    ? wideCodec(count, padding)
    : narrowCodec(count, encoding, padding);
  if (KNOWN.size < 1000) KNOWN.set(key, made);
  return made;
}

function narrowCodec(
  size: number,
  encoding: StringEncoding,
  padding: Padding,
): TextCodec {
  const name = `S${size}`;
  const pad = PADDING_BYTES[padding];
  const isLatin = encoding === "latin1";
  const encodeText = isLatin ? latin : utf8;
  return {
    kind: "string",
    ...{ name, letter: "S", size, unit: 1, alignment: 1, encoding, padding },
    read(view, at) {
      let end = size;
      while (end > 0 && view.getUint8(at + end - 1) === pad) end--;
      let text = "";
      for (let i = 0; i < end; i++) {
        const byte = view.getUint8(at + i);
        if (byte >= 0x80 && !isLatin) return decoded(view, at, end);
        text += fromCharCode(byte);
      }
      return text;
    },
    encode(value) {
      const text = checkText(name, value);
      const bytes = encodeText(text, name);
      if (bytes.length > size) {
        throw new RangeError(
          `${shown(text)} has ${
            counted(bytes.length, "byte")
          } in ${encoding}, ` +
            `and an element of ${name} has ${size}. Nothing was written.`,
        );
      }
      return padded(bytes, new Uint8Array(size), pad);
    },
  };
}

function wideCodec(count: number, padding: Padding): TextCodec {
  const name = `U${count}`;
  const pad = PADDING_BYTES[padding];
  return {
    kind: "string",
    ...{ name, letter: "U", size: 4 * count, unit: 4, alignment: 4, padding },
    encoding: "ucs-4",
    read(view, at, little) {
      let end = count;
      while (end > 0 && view.getUint32(at + 4 * (end - 1), little) === pad) {
        end--;
      }
      let text = "";
      for (let i = 0; i < end; i++) {
        const point = view.getUint32(at + 4 * i, little);
        const isOne = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
        text += fromCodePoint(isOne ? point : REPLACEMENT);
      }
      return text;
    },
    encode(value) {
      const text = checkText(name, value);
      const points = new Uint32Array(text.length);
      let length = 0;
      for (let i = 0; i < text.length; i++) {
        const point = apply(codePointAt, text, [i]) as number;
        if (point > 0xffff) i++;
        const isOne = point < 0xd800 || point > 0xdfff;
        points[length++] = isOne ? point : REPLACEMENT;
      }
      if (length > count) {
        throw new RangeError(
          `${shown(text)} has ${
            counted(length, "code point")
          }, and an element ` +
            `of ${name} has ${count}. Nothing was written.`,
        );
      }
      const all = new Uint32Array(count);
      for (let i = 0; i < count; i++) all[i] = i < length ? points[i]! : pad;
      return new Uint8Array(all.buffer);
    },
  };
}

function padded(from: Uint8Array, to: Uint8Array, pad: number): Uint8Array {
  const { length } = from;
  for (let i = 0; i < to.length; i++) to[i] = i < length ? from[i]! : pad;
  return to;
}

function checkText(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new TypeError(
    `An element of type ${name} must be a string, not ${shown(value)}.`,
  );
}

/** A copy goes to the decoder: nobody else is to see the slice's own memory. */
function decoded(view: DataView, at: number, length: number): string {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = view.getUint8(at + i);
  return apply(decode, DECODER, [bytes]) as string;
}

function utf8(text: string): Uint8Array {
  return apply(encode, ENCODER, [text]) as Uint8Array;
}

function latin(text: string, name: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = (apply(codePointAt, text, [i]) as number) & 0x1fffff;
    if (unit > 0xff) {
      throw new RangeError(
        `${
          shown(text)
        } has characters that latin1 does not have, at index ${i}: ` +
          `an element of ${name} cannot hold it. Nothing was written.`,
      );
    }
    bytes[i] = unit;
  }
  return bytes;
}

/** Writes an encoded string to byte `at` of an array's bytes. */
export function writeText(
  view: DataView,
  at: number,
  encoded: Uint8Array,
  { unit }: TextCodec,
  isNative: boolean,
): void {
  for (let i = 0; i < encoded.length; i++) {
    const from = isNative ? i : i - i % unit + (unit - 1 - i % unit);
    view.setUint8(at + i, encoded[from]!);
  }
}
