/**
 * A WAV file with comments that are known by their number.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { chunksOf } from "../../../examples/wav_comment.ts";
import { open } from "../../../mod.ts";

/** The sound, whose bytes never change. */
export const SOUND: Buffer = Buffer.from(
  Uint8Array.from({ length: 300_001 }, (_, i) => i * 7 % 251),
);

/** A file without a comment, and with sizes that nobody has put right. */
export function brokenWav(): Buffer {
  const header = Buffer.alloc(44);
  header.write("RIFF\0\0\0\0WAVEfmt \x10", 0, "latin1");
  header.write("data", 36, "latin1");
  header.writeUInt32LE(0xffff_ffff, 40);
  return Buffer.concat([header, SOUND]);
}

/** Some are as long as the one before, so that a commit moves nothing. */
export function textOf(number: number): string {
  const length = 100_000 + 50_000 * (Math.floor(number / 4) % 3);
  return `${number} `.padEnd(length, `${number} `);
}

/** The number of a file's comment. Throws if the file is not whole, or a mixture. */
export function numberOfComment(path: string): number {
  using map = open(path, "r");
  const { mappedLength } = map;
  const size = (at: number) =>
    new DataView(map.read(at, at + 4).buffer).getUint32(0, true);
  assert.equal(size(4), mappedLength - 8);
  const chunks = chunksOf(map);
  assert.deepEqual(chunks.map(({ id }) => id), ["fmt ", "LIST", "data"]);
  const [, list, data] = chunks as [unknown, ...typeof chunks];
  assert.equal(size(data!.begin + 4), SOUND.length);
  assert.ok(SOUND.equals(map.read(data!.begin + 8, data!.end)));
  const begin = list!.begin + 20;
  const text = Buffer.from(map.read(begin, begin + size(begin - 4) - 1));
  const number = Number.parseInt(text.toString("latin1", 0, 20));
  assert.ok(text.equals(Buffer.from(textOf(number))), `${number} is a mixture`);
  return number;
}
