/**
 * find() and rfind() of maps and of mapped and floating slices, compared with those of
 * Node's Buffer.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Memmap, type MemmapSlice, open } from "../../mod.ts";
import {
  below,
  isThorough,
  type Random,
  randomFrom,
  temporaryFolder,
} from "../support/support.ts";

/** Random bytes from a small alphabet, with repeated stretches. */
function randomBytes(random: Random, length: number, letters: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) {
    const copied = at > 0 && random() < 0.02;
    const count = Math.min(1 + below(random, 400), length - at);
    const from = below(random, at);
    for (let i = 0; i < count; i++) {
      bytes[at + i] = copied ? bytes[from + i]! : below(random, letters);
    }
    at += count;
  }
  return bytes;
}

/** What maps and slices have in common. */
type Searched = Pick<MemmapSlice, "find" | "rfind">;

function modelFind(
  bytes: Buffer,
  pattern: Uint8Array,
  begin: number,
  end: number,
): number {
  if (pattern.length === 0) return begin;
  const found = bytes.subarray(begin, end).indexOf(pattern);
  return found === -1 ? -1 : begin + found;
}

function modelRfind(
  bytes: Buffer,
  pattern: Uint8Array,
  begin: number,
  end: number,
): number {
  if (pattern.length === 0) return end;
  // As strings: Buffer's own lastIndexOf is wrong in Deno 2.7 to 2.9.0.
  const found = bytes.toString("latin1", begin, end)
    .lastIndexOf(Buffer.from(pattern).toString("latin1"));
  return found === -1 ? -1 : begin + found;
}

/** Asserts that both searches find what Buffer finds, in every place. */
function assertFound(
  places: Places,
  bytes: Buffer,
  pattern: Uint8Array,
  begin: number,
  end: number,
  seed: number,
): void {
  const first = modelFind(bytes, pattern, begin, end);
  const last = modelRfind(bytes, pattern, begin, end);
  for (const [place, searched] of Object.entries(places.all)) {
    const about =
      `${pattern.length} bytes from ${begin} to ${end}, seed ${seed}`;
    const found = searched.find(pattern, begin, end);
    assert.equal(found, first, `find, ${place}: ${about}`);
    const foundLast = searched.rfind(pattern, begin, end);
    assert.equal(foundLast, last, `rfind, ${place}: ${about}`);
  }
}

/** What {@linkcode placesOf} cuts a map into. */
type TwoSlices = readonly [floating: MemmapSlice, mapped: MemmapSlice];

interface Places extends Disposable {
  map: Memmap;
  /** The map, a mapped slice and a floating one, each with exactly `bytes`. */
  all: Record<string, Searched>;
}

/** The same bytes in every place that can be searched. */
function placesOf(bytes: Uint8Array): Places {
  const folder = temporaryFolder();
  const path = join(folder.path, "search.tst");
  writeFileSync(path, bytes);
  const map = open(path, "c");
  const floating = map.insert(0, bytes);
  const mapped = map.slice();
  return {
    map,
    all: { map, mapped, floating },
    [Symbol.dispose]: () => {
      map.close();
      folder[Symbol.dispose]();
    },
  };
}

/** Runs `check` in each place, with `bytes` there. */
function inEveryPlace(
  bytes: Uint8Array,
  check: (searched: Searched) => void,
): void {
  using places = placesOf(bytes);
  for (const searched of Object.values(places.all)) check(searched);
}

test("random patterns of 0 to 300 bytes are found where Buffer finds them", () => {
  for (let letters = 1; letters <= 4; letters++) {
    const random = randomFrom(letters);
    const bytes = randomBytes(random, 30_000, letters);
    using places = placesOf(bytes);
    for (let length = 0; length <= 300; length++) {
      // Where long ones are compared, one is like the next.
      const isTried = isThorough || length < 40 || length % 8 === letters;
      if (!isTried) continue;
      const at = below(random, bytes.length - length);
      const pattern = Buffer.from(bytes.subarray(at, at + length));
      assertFound(places, bytes, pattern, 0, bytes.length, letters);
      if (length === 0) continue;
      pattern[below(random, length)]! ^= 1; // a long one is now rarely there
      assertFound(places, bytes, pattern, 0, bytes.length, letters);
    }
  }
});

test("random patterns in random ranges are found where Buffer finds them", () => {
  for (let seed = 11; seed <= 14; seed++) {
    const random = randomFrom(seed);
    const bytes = randomBytes(random, 20_000, 1 + seed % 3);
    using places = placesOf(bytes);
    for (let i = 0; i < 2000; i++) {
      const begin = below(random, bytes.length + 1);
      const room = bytes.length - begin + 1;
      const most = random() < 0.5 ? room : Math.min(room, 64);
      const end = begin + below(random, most);
      const length = below(random, random() < 0.5 ? 6 : 300);
      const at = below(random, bytes.length - length);
      const pattern = bytes.subarray(at, at + length);
      assertFound(places, bytes, pattern, begin, end, seed);
    }
  }
});

test("all ranges of a short content over a tiny alphabet are searched as Buffer does", () => {
  const random = randomFrom(21);
  const patterns = [0, 1, 2, 3].flatMap((length) =>
    Array.from(
      { length: 2 ** length },
      (_, code) => Uint8Array.from({ length }, (_, bit) => code >> bit & 1),
    )
  );
  for (let round = 0; round < 12; round++) {
    const bytes = randomBytes(random, below(random, 9), 2);
    using places = placesOf(bytes);
    for (const pattern of patterns) {
      for (let begin = 0; begin <= bytes.length; begin++) {
        for (let end = begin; end <= bytes.length; end++) {
          assertFound(places, bytes, pattern, begin, end, 21);
        }
      }
    }
  }
});

test("rfind finds a match that starts at the edge of any of its windows", () => {
  const length = 2 ** 19;
  using folder = temporaryFolder();
  using map = open(join(folder.path, "search.tst"), "w+", { length });
  const mapped = map.slice();
  const { bytes } = mapped;
  for (const size of [1, 2, 3, 17, 300, 4095, 4096, 4097, 10_000]) {
    const pattern = new Uint8Array(size).fill(1);
    for (let k = 0; k < 7; k++) {
      // Windows double in size, so they begin 4096·(2^k - 1) starts before the last one.
      for (const edge of [4096 * 2 ** k, 4096 * (2 ** k - 1)]) {
        for (const end of [length, length - 4095]) {
          for (let by = -2; by <= 2; by++) {
            for (const last of [end - size, end - size + 1]) {
              const at = last - edge + by;
              if (at < 0 || at + size > end) continue;
              bytes.set(pattern, at);
              assert.equal(map.rfind(pattern, 0, end), at);
              assert.equal(map.rfind(pattern, at, end), at);
              assert.equal(map.rfind(pattern, at + 1, end), -1);
              const from = Math.max(0, at - 9000);
              assert.equal(map.rfind(pattern, from, at + size - 1), -1);
              assert.equal(map.find(pattern, 0, end), at);
              bytes.fill(0, at, at + size);
            }
          }
        }
      }
    }
  }
});

test("rfind finds the last of two matches in the same window, or in two windows", () => {
  const length = 100_000;
  const random = randomFrom(31);
  using folder = temporaryFolder();
  using map = open(join(folder.path, "search.tst"), "w+", { length });
  const { bytes } = map.slice();
  for (let i = 0; i < 1500; i++) {
    const pattern = Uint8Array.from({ length: 1 + below(random, 9) }, () => 7);
    const at = below(random, length - pattern.length);
    const other = below(random, length - pattern.length);
    bytes.set(pattern, at);
    bytes.set(pattern, other);
    const label = `seed 31, at ${at} and ${other}`;
    // If they touch or overlap, the last start may lie between the two.
    const wanted = Buffer.from(bytes.buffer).lastIndexOf(pattern);
    assert.equal(map.rfind(pattern), wanted, label);
    assert.ok(wanted >= Math.max(at, other), label);
    bytes.fill(0, at, at + pattern.length);
    bytes.fill(0, other, other + pattern.length);
  }
});

test("patterns at the very beginning and the very end are found", () => {
  const bytes = Buffer.alloc(12_345, "-");
  for (let length = 1; length <= 300; length += 23) {
    const head = Buffer.alloc(length, "<");
    const tail = Buffer.alloc(length, ">");
    bytes.fill("-");
    bytes.set(head, 0);
    bytes.set(tail, bytes.length - length);
    inEveryPlace(bytes, (searched) => {
      const last = bytes.length - length;
      assert.equal(searched.find(head), 0);
      assert.equal(searched.rfind(head), 0);
      assert.equal(searched.find(tail), last);
      assert.equal(searched.rfind(tail), last);
      assert.equal(searched.find(head, 1), -1);
      assert.equal(searched.rfind(head, 1), -1);
      assert.equal(searched.find(tail, 0, bytes.length - 1), -1);
      assert.equal(searched.rfind(tail, 0, bytes.length - 1), -1);
    });
  }
});

test("a match must lie entirely within the range", () => {
  const bytes = Buffer.from("..abc..abc..");
  inEveryPlace(bytes, (searched) => {
    assert.equal(searched.find("abc", 2, 5), 2);
    assert.equal(searched.find("abc", 2, 4), -1);
    assert.equal(searched.find("abc", 3, 9), -1);
    assert.equal(searched.find("abc", 3), 7);
    assert.equal(searched.rfind("abc", 0, 10), 7);
    assert.equal(searched.rfind("abc", 0, 9), 2);
    assert.equal(searched.rfind("abc", 3, 9), -1);
  });
});

test("a slice's search finds nothing outside the slice", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "search.tst");
  writeFileSync(path, "abcabcabcabc");
  using map = open(path, "c");
  const slice = map.slice(1, 8); // bcabcab
  assert.equal(slice.find("abc"), 2);
  assert.equal(slice.rfind("abc"), 2);
  assert.equal(slice.find("abca"), 2);
  assert.equal(slice.find("abcabc"), -1);
  assert.equal(slice.rfind("bc"), 3);
  const floating = map.insert(9, Buffer.from("bca"));
  map.insert(9, Buffer.from("bca")); // adjacent in memory
  assert.equal(floating.find("ab"), -1);
  assert.equal(floating.rfind("bca"), 0);
  slice.resize(6); // bcabca
  assert.equal(slice.state, "floating");
  assert.equal(slice.rfind("ab"), 2);
  assert.equal(slice.find("cab"), 1);
  slice.resize(8);
  assert.equal(slice.find("\0\0"), 6);
});

test("a map's find() searches the file's bytes, not floating slices", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "search.tst");
  writeFileSync(path, "0123456789");
  using map = open(path, "r+");
  const slice = map.slice(2, 6);
  slice.splice(1, 2, Buffer.from("xyz"));
  assert.equal(slice.find("xyz"), 1);
  assert.equal(map.find("xyz"), -1);
  assert.equal(map.find("2345"), 2);
  map.flush();
  assert.equal(map.find("xyz"), 3);
  assert.equal(map.rfind("9"), 10);
});

test("bytes written through a view are found at once", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "search.tst"), "w+", { length: 10_000 });
  const slice = map.slice(5000, 6000);
  slice.bytes[7] = 1;
  assert.equal(map.find("\x01"), 5007);
  assert.equal(slice.rfind("\x01"), 7);
  slice.bytes[7] = 0;
  assert.equal(map.find("\x01"), -1);
});

test("a string stands for its UTF-8 bytes", () => {
  const text = "naïve café – 😀 日本語 naïve \0 end";
  const bytes = Buffer.from(text);
  inEveryPlace(bytes, (searched) => {
    for (
      const part of ["ï", "é –", "😀", "日本", "語 n", "naïve", "\0", text]
    ) {
      assert.equal(searched.find(part), bytes.indexOf(part), part);
      assert.equal(searched.rfind(part), bytes.lastIndexOf(part), part);
    }
    assert.equal(searched.find("日语"), -1);
    assert.equal(searched.find("nai\u0308ve"), -1); // nothing is normalized
    assert.equal(searched.find("\u00ff"), -1);
  });
});

test("a lone surrogate is encoded as U+FFFD, as TextEncoder does", () => {
  inEveryPlace(Buffer.from("a\ufffdb"), (searched) => {
    assert.equal(searched.find("\ud800"), 1);
    assert.equal(searched.rfind("\udc00b"), 1);
  });
});

test("find() finds an empty pattern at begin, and rfind() at end", () => {
  inEveryPlace(Buffer.from("abc"), (searched) => {
    for (const pattern of ["", new Uint8Array(0)]) {
      assert.equal(searched.find(pattern), 0);
      assert.equal(searched.rfind(pattern), 3);
      assert.equal(searched.find(pattern, 2), 2);
      assert.equal(searched.rfind(pattern, 0, 2), 2);
      assert.equal(searched.find(pattern, 3), 3);
      assert.equal(searched.rfind(pattern, 3, 3), 3);
    }
  });
});

test("an empty map and an empty slice contain only the empty pattern", () => {
  inEveryPlace(new Uint8Array(0), (searched) => {
    assert.equal(searched.find(""), 0);
    assert.equal(searched.rfind(""), 0);
    assert.equal(searched.find("a"), -1);
    assert.equal(searched.rfind("a"), -1);
    assert.equal(searched.rfind(new Uint8Array(5000)), -1);
  });
});

test("a pattern longer than its range is not found", () => {
  inEveryPlace(Buffer.alloc(100, "a"), (searched) => {
    assert.equal(searched.find("a".repeat(100)), 0);
    assert.equal(searched.rfind("a".repeat(100)), 0);
    assert.equal(searched.find("a".repeat(101)), -1);
    assert.equal(searched.rfind("a".repeat(101)), -1);
    assert.equal(searched.find("aaa", 10, 12), -1);
    assert.equal(searched.rfind("aaa", 10, 12), -1);
    assert.equal(searched.find("a", 50, 50), -1);
    assert.equal(searched.rfind("a", 50, 50), -1);
    assert.equal(searched.rfind("a".repeat(100_000)), -1);
  });
});

test("a run of equal bytes is found at its first start and at its last", () => {
  const bytes = Buffer.alloc(300_000, 0xaa);
  inEveryPlace(bytes, (searched) => {
    for (const length of [1, 2, 255, 4096, 4097, 150_000, 299_999, 300_000]) {
      const pattern = bytes.subarray(0, length);
      const last = bytes.length - length;
      assert.equal(searched.find(pattern), 0);
      assert.equal(searched.rfind(pattern), last);
      assert.equal(searched.rfind(pattern, 0, length), 0);
    }
  });
});

test("patterns that almost match everywhere are found only where they match", () => {
  const bytes = Buffer.alloc(200_000, "a");
  bytes[0] = 0x62; // "b"
  bytes[100_000] = 0x62;
  inEveryPlace(bytes, (searched) => {
    for (const length of [1, 31, 32, 33, 256, 5000, 50_000]) {
      const run = "a".repeat(length);
      assert.equal(searched.find(`b${run}`), 0);
      assert.equal(searched.rfind(`b${run}`), 100_000);
      assert.equal(searched.find(`${run}b`), 100_000 - length);
      assert.equal(searched.rfind(`${run}b`), 100_000 - length);
      assert.equal(searched.find(`c${run}`), -1);
      assert.equal(searched.rfind(`c${run}`), -1);
      assert.equal(searched.find(`${run}c`), -1);
      assert.equal(searched.rfind(`${run}c`), -1);
    }
  });
});

test("a pattern may be part of a larger buffer, or a view of the map itself", () => {
  const bytes = Buffer.from("the quick brown fox jumps over the lazy dog");
  inEveryPlace(bytes, (searched) => {
    const around = new TextEncoder().encode("<<over>>");
    assert.equal(searched.find(around.subarray(2, 6)), 26);
    assert.equal(searched.find(new Uint8Array(around.buffer, 2, 4)), 26);
    assert.equal(searched.find(Buffer.from("xxover").subarray(2)), 26);
    assert.equal(searched.rfind(Buffer.from("the")), 31);
  });
  using places = placesOf(bytes);
  const [floating, mapped] = places.map.slices as TwoSlices;
  for (const { bytes } of [floating, mapped]) {
    for (const searched of Object.values(places.all)) {
      assert.equal(searched.find(bytes), 0);
      assert.equal(searched.find(bytes.subarray(31, 34)), 0);
      assert.equal(searched.rfind(bytes.subarray(0, 3)), 31);
    }
  }
});

test("a pattern in shared memory is found", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(3));
  shared.set([0x62, 0x63, 0x64]);
  inEveryPlace(Buffer.from("abcdabcd"), (searched) => {
    assert.equal(searched.find(shared), 1);
    assert.equal(searched.rfind(shared), 5);
  });
});

test("a pattern of another type is a TypeError", () => {
  inEveryPlace(Buffer.from("1,2,3 null undefined"), (searched) => {
    for (
      const pattern of [
        undefined,
        null,
        1,
        1n,
        true,
        [49],
        {},
        /1/,
        Symbol("1"),
        new ArrayBuffer(1),
        new Uint16Array(1),
        new Int8Array(1),
        new DataView(new ArrayBuffer(1)),
      ]
    ) {
      assert.throws(() => searched.find(pattern as string), TypeError);
      assert.throws(() => searched.rfind(pattern as string), TypeError);
    }
  });
});

test("negative offsets count from the end", () => {
  inEveryPlace(Buffer.from("abcabcabc"), (searched) => {
    assert.equal(searched.find("abc", -3), 6);
    assert.equal(searched.find("abc", -4, -1), -1);
    assert.equal(searched.find("abc", -9, -6), 0);
    assert.equal(searched.rfind("abc", 0, -1), 3);
    assert.equal(searched.rfind("abc", -6, -3), 3);
  });
});

test("an offset out of range is a RangeError, and is never clamped", () => {
  inEveryPlace(Buffer.from("abc"), (searched) => {
    for (
      const [begin, end] of [
        [0, 4],
        [4, 4],
        [-4, 3],
        [0, -4],
        [2, 1],
        [3, -1],
        [0.5, 3],
        [0, 1.5],
        [NaN, 3],
        [0, NaN],
        [0, Infinity],
        [-Infinity, 3],
        [2 ** 53, 2 ** 53],
      ]
    ) {
      const label = `${begin} to ${end}`;
      assert.throws(() => searched.find("a", begin, end), RangeError, label);
      assert.throws(() => searched.rfind("a", begin, end), RangeError, label);
      assert.throws(() => searched.find("", begin, end), RangeError, label);
    }
  });
});

test("searching does not change the map or detach its views", () => {
  using places = placesOf(Buffer.from("abcabc"));
  const [floating, mapped] = places.map.slices as TwoSlices;
  const views = [floating.bytes, mapped.bytes] as const;
  for (const searched of Object.values(places.all)) {
    searched.find("bc");
    searched.rfind("bc");
  }
  assert.equal(floating.bytes, views[0]);
  assert.equal(mapped.bytes, views[1]);
  assert.equal(String(Buffer.from(views[1])), "abcabc");
});

test("a search works in every mode", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "search.tst");
  for (const mode of ["r", "c", "r+", "w+"] as const) {
    writeFileSync(path, "abcabc");
    using map = open(path, mode, { length: 6 });
    const found = mode === "w+" ? -1 : 1;
    assert.equal(map.find("bc"), found);
    assert.equal(map.rfind("bc"), mode === "w+" ? -1 : 4);
    assert.equal(map.slice(1, 6).rfind("bc"), mode === "w+" ? -1 : 3);
  }
});

test("a search of a closed map or a deleted slice throws", () => {
  using places = placesOf(Buffer.from("abc"));
  const { map } = places;
  const [floating, mapped] = map.slices as TwoSlices;
  floating.delete();
  for (const method of ["find", "rfind"] as const) {
    assert.throws(() => floating[method]("a"), { name: "DeletedSliceError" });
  }
  map.close();
  for (const method of ["find", "rfind"] as const) {
    assert.throws(() => map[method]("a"), { name: "ClosedError" });
    assert.throws(() => mapped[method]("a"), { name: "ClosedError" });
  }
});
