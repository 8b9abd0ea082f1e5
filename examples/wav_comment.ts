/**
 * Writes a comment into a WAV file, and puts the sizes in its headers right, in one commit.
 *
 * A recorder that lost its power leaves sizes of 0, or of 4 GiB. Three places are changed
 * here: the size at the start of the file, that of the sound, and the comment, which may
 * have to be inserted in front of the sound. A crash between two of them would leave a
 * file that no player understands. With `{ atomic: true }` nothing reaches the file before
 * `flush()`, and then all of it does or nothing.
 *
 * ```sh
 * deno run -A examples/wav_comment.ts FILE 'A comment'
 * bun examples/wav_comment.ts FILE 'A comment'
 * ```
 *
 * @module
 */

import process from "node:process";
import { type FlushResult, type Memmap, open } from "../mod.ts";

/** Bytes before the first chunk: "RIFF", a size, "WAVE". */
const FILE_HEADER = 12;
/** Bytes before what a chunk holds: four letters, and a size. */
const CHUNK_HEADER = 8;

/** Where a chunk is in the file; behind it there may be a byte, so that the next is even. */
export interface Chunk {
  readonly id: string;
  readonly begin: number;
  readonly end: number;
}

function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** The chunks of a file. The sound is taken to reach its end where its size is wrong. */
export function chunksOf(map: Memmap): Chunk[] {
  const { mappedLength } = map;
  const kind = ascii(map.read(0, 4)) + ascii(map.read(8, FILE_HEADER));
  if (kind !== "RIFFWAVE") throw new Error(`'${map.path}' is no WAV file.`);
  const chunks: Chunk[] = [];
  for (let at = FILE_HEADER; at + CHUNK_HEADER <= mappedLength;) {
    const header = map.read(at, at + CHUNK_HEADER);
    const id = ascii(header.subarray(0, 4));
    const size = new DataView(header.buffer).getUint32(4, true);
    let end = at + CHUNK_HEADER + size;
    if (id === "data" && (size === 0 || end > mappedLength)) end = mappedLength;
    if (end > mappedLength) throw new Error(`'${map.path}' ends in '${id}'.`);
    chunks.push({ id, begin: at, end });
    at = end + end % 2;
  }
  return chunks;
}

/** A chunk with a comment, as long as an even number. */
function commentChunk(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const padded = bytes.length + bytes.length % 2;
  const chunk = new Uint8Array(CHUNK_HEADER + 4 + CHUNK_HEADER + padded);
  chunk.set(new TextEncoder().encode("LIST"));
  chunk.set(uint32(chunk.length - CHUNK_HEADER), 4);
  chunk.set(new TextEncoder().encode("INFOICMT"), CHUNK_HEADER);
  chunk.set(uint32(bytes.length), 16);
  chunk.set(bytes, 20);
  return chunk;
}

/** Has a WAV file say `text`, in place of what it said. Returns how it was written. */
export function comment(path: string, text: string): FlushResult {
  using map = open(path, "r+", { atomic: true });
  try {
    const chunks = chunksOf(map);
    const sound = chunks.find(({ id }) => id === "data");
    if (sound === undefined) throw new Error(`'${path}' has no sound.`);
    const chunk = commentChunk(text);
    const old = chunks.find(({ id }) => id === "LIST");
    if (old === undefined) map.insert(sound.begin, chunk);
    else {
      const slice = map.slice(old.begin, old.end);
      // Only another length moves what comes behind it.
      if (slice.length !== chunk.length) slice.resize(chunk.length);
      slice.set(chunk);
    }
    map.write(uint32(sound.end - sound.begin - CHUNK_HEADER), sound.begin + 4);
    map.write(uint32(map.length - CHUNK_HEADER), 4);
    return map.flush();
  } catch (error) {
    map.close({ discard: true }); // or the end of the block would write a part
    throw error;
  }
}

if (import.meta.main) {
  const [path, text] = process.argv.slice(2);
  if (path === undefined || text === undefined) {
    throw new TypeError("usage: wav_comment.ts FILE 'A comment'");
  }
  console.log(comment(path, text));
}
