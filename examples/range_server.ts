/**
 * Serves a file by HTTP, with ranges, while the file is being changed.
 *
 * The file has a title, which is its first line, and a body behind it. `GET` answers
 * with the body, or with the part of it that a `Range` header asks for. `PUT` replaces
 * the title. A longer title moves the body in the file, and the answers that are under
 * way do not notice: each reads from a slice, and a slice follows its bytes.
 *
 * ```sh
 * deno serve -A --host 127.0.0.1 --port 8000 examples/range_server.ts FILE
 * PORT=8000 bun examples/range_server.ts FILE
 *
 * curl -H 'Range: bytes=0-99' http://localhost:8000
 * curl -X PUT -d 'Another title' http://localhost:8000
 * ```
 *
 * @module
 */

import process from "node:process";
import { type Memmap, type MemmapSlice, open } from "../mod.ts";

/** Bytes that an answer copies at a time. */
const PIECE = 2 ** 16;

/**
 * The bytes from `begin` to `end` of a slice. Each piece is copied when it is asked for,
 * so that nothing that was handed out is detached by a flush, and an answer of a
 * gigabyte takes 64 KiB. A `Response` made of `slice.bytes` would copy all of it at once.
 */
function streamOf(
  slice: MemmapSlice,
  begin: number,
  end: number,
): ReadableStream<Uint8Array> {
  let at = begin;
  return new ReadableStream({
    pull(controller) {
      const next = Math.min(at + PIECE, end);
      if (next > at) controller.enqueue(slice.slice(at, next));
      at = next;
      if (at === end) controller.close();
    },
  });
}

/**
 * What a `Range` header asks for of `length` bytes: one range, half-open. `null` where
 * there is none that can be answered in part, `undefined` for one beyond the end.
 */
function rangeIn(
  header: string | null,
  length: number,
): readonly [begin: number, end: number] | null | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null) return null;
  const [, first, last] = match;
  if (first === "" && last === "") return null;
  if (first === "") { // the last bytes, so many of them
    const count = Math.min(Number(last), length);
    return count === 0 ? undefined : [length - count, length];
  }
  const begin = Number(first);
  const end = last === "" ? length : Math.min(Number(last) + 1, length);
  if (last !== "" && Number(last) < begin) return null;
  return begin >= length ? undefined : [begin, end];
}

/** A server of one file. */
export class RangeServer {
  readonly map: Memmap;
  readonly #title: MemmapSlice;
  readonly #body: MemmapSlice;
  /** The last change: one comes after the other. */
  #change: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.map = open(path);
    const newline = this.map.find("\n");
    const end = newline === -1 ? 0 : newline + 1;
    this.#title = this.map.slice(0, end);
    this.#body = this.map.slice(end);
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    switch (request.method) {
      case "GET":
        return this.#read(request.headers.get("Range"));
      case "PUT":
        await this.#rename(await request.text());
        return new Response(null, { status: 204 });
      default:
        return new Response(null, {
          status: 405,
          headers: { Allow: "GET, PUT" },
        });
    }
  };

  #read(header: string | null): Response {
    const { length } = this.#body;
    const range = rangeIn(header, length);
    const headers = new Headers({
      "Accept-Ranges": "bytes",
      "Content-Type": "application/octet-stream",
    });
    if (range === undefined) {
      headers.set("Content-Range", `bytes */${length}`);
      return new Response(null, { status: 416, headers });
    }
    const [begin, end] = range ?? [0, length];
    headers.set("Content-Length", `${end - begin}`);
    if (range !== null) {
      headers.set("Content-Range", `bytes ${begin}-${end - 1}/${length}`);
    }
    const status = range === null ? 200 : 206;
    return new Response(streamOf(this.#body, begin, end), { status, headers });
  }

  /** While this is being written, answers go on: the event loop is never held. */
  #rename(title: string): Promise<unknown> {
    const line = new TextEncoder().encode(`${title.split("\n")[0]}\n`);
    const change = this.#change.then(() => {
      this.#title.resize(line.length);
      this.#title.set(line);
      return this.map.flushAsync();
    });
    this.#change = change.catch(() => {}); // whoever asked for it is told
    return change;
  }
}

let server: RangeServer | undefined;

/** What `deno serve` and `bun` serve: the file that the command line names. */
export default {
  fetch(request: Request): Promise<Response> {
    server ??= new RangeServer(process.argv[2]!);
    return server.fetch(request);
  },
};
