/**
 * The programs in `examples/` do what they say.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { RangeServer } from "../../examples/range_server.ts";
import { comment } from "../../examples/wav_comment.ts";
import { temporaryFolder } from "../support/support.ts";

const BODY = Uint8Array.from({ length: 1_000_003 }, (_, i) => i * 7 % 251);

/** A file with a title and {@linkcode BODY}, and its server. */
async function served(
  use: (server: RangeServer, path: string) => Promise<void>,
): Promise<void> {
  using folder = temporaryFolder();
  const path = join(folder.path, "served");
  fs.writeFileSync(path, "title\n");
  fs.appendFileSync(path, BODY);
  const server = new RangeServer(path);
  await use(server, path);
  await server.map.closeAsync();
}

function get(server: RangeServer, range?: string): Promise<Response> {
  const headers = range === undefined ? {} : { Range: range };
  return server.fetch(new Request("http://localhost/", { headers }));
}

test("the range server answers with all bytes, or with those that are asked for", async () => {
  await served(async (server) => {
    const { length } = BODY;
    const ranges: [string | undefined, number, number, number][] = [
      [undefined, 200, 0, length],
      ["bytes=0-0", 206, 0, 1],
      ["bytes=65000-200000", 206, 65_000, 200_001],
      ["bytes=999999-", 206, 999_999, length],
      ["bytes=999999-2000000", 206, 999_999, length],
      ["bytes=-5", 206, length - 5, length],
      ["bytes=-2000000", 206, 0, length],
      ["bytes=5-4", 200, 0, length],
      ["bytes=0-1,5-6", 200, 0, length],
      ["lines=1-2", 200, 0, length],
    ];
    for (const [range, status, begin, end] of ranges) {
      const label = range ?? "all";
      const response = await get(server, range);
      assert.equal(response.status, status, label);
      const { headers } = response;
      assert.equal(headers.get("Content-Length"), `${end - begin}`, label);
      assert.equal(
        headers.get("Content-Range"),
        status === 206 ? `bytes ${begin}-${end - 1}/${length}` : null,
        label,
      );
      const found = new Uint8Array(await response.arrayBuffer());
      assert.deepEqual(found, BODY.subarray(begin, end), label);
    }
    for (const range of [`bytes=${length}-`, "bytes=-0"]) {
      const response = await get(server, range);
      assert.equal(response.status, 416, range);
      assert.equal(response.headers.get("Content-Range"), `bytes */${length}`);
    }
  });
});

test("answers of the range server go on while a flush moves their bytes", async () => {
  await served(async (server, path) => {
    const answers = await Promise.all([
      get(server),
      get(server, "bytes=100000-899999"),
    ]);
    const readers = answers.map(({ body }) => body!.getReader());
    const parts: Uint8Array[][] = readers.map(() => []);
    const titles = ["a title that is much longer", "", "a third one"];
    for (let turn = 0, open = readers.length; open > 0; turn++) {
      const put = titles[turn];
      const changed = put === undefined ? undefined : server.fetch(
        new Request("http://localhost/", { method: "PUT", body: put }),
      );
      open = 0;
      for (const [i, reader] of readers.entries()) {
        const { done, value } = await reader.read();
        if (done) continue;
        open++;
        parts[i]!.push(value);
      }
      assert.equal((await changed)?.status ?? 204, 204);
    }
    const found = parts.map((list) => Buffer.concat(list));
    assert.ok(found[0]!.equals(BODY));
    assert.ok(found[1]!.equals(BODY.subarray(100_000, 900_000)));
    const content = fs.readFileSync(path);
    assert.ok(content.equals(
      Buffer.concat([Buffer.from("a third one\n"), BODY]),
    ));
  });
});

test("the range server refuses what it does not know", async () => {
  await served(async (server) => {
    const request = new Request("http://localhost/", { method: "DELETE" });
    const response = await server.fetch(request);
    assert.equal(response.status, 405);
    assert.equal(response.headers.get("Allow"), "GET, PUT");
  });
});

test("a WAV file gets a comment and its sizes put right, whatever it had before", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "sound.wav");
  const sound = Buffer.from([1, 2, 3, 4, 5, 6]);
  const format = Buffer.from("fmt \x04\0\0\0abcd", "latin1");
  const file = (size: number, comment: string, sizeOfSound: number) => {
    const bytes = Buffer.from(
      `RIFF....WAVE${format.toString("latin1")}${comment}data....`,
      "latin1",
    );
    bytes.writeUInt32LE(size, 4);
    bytes.writeUInt32LE(sizeOfSound, bytes.length - 4);
    return Buffer.concat([bytes, sound]);
  };
  const list = (text: string, size: string, sizeOfText: string) =>
    `LIST${size}\0\0\0INFOICMT${sizeOfText}\0\0\0${text}`;
  fs.writeFileSync(path, file(0, "", 0xffff_ffff));
  const read = () => fs.readFileSync(path);
  assert.equal(comment(path, "odd").strategy, "replace");
  const whole = file(54, list("odd\0", "\x10", "\x04"), 6);
  assert.deepEqual(read(), whole);
  assert.equal(comment(path, "new").strategy, "in-place");
  assert.deepEqual(read(), file(54, list("new\0", "\x10", "\x04"), 6));
  assert.equal(comment(path, "even").strategy, "replace");
  assert.deepEqual(read(), file(56, list("even\0\0", "\x12", "\x05"), 6));
  const other = join(folder.path, "other");
  fs.writeFileSync(other, "RIFF, but not of that kind");
  assert.throws(() => comment(other, "text"), /no WAV file/);
  assert.equal(fs.readFileSync(other, "utf8"), "RIFF, but not of that kind");
});
