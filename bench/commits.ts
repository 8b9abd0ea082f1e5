/**
 * What does it cost to change pages of a file all or nothing?
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { runtime } from "../ffi/mod.ts";
import { provideRuntime } from "../ffi/runtime.ts";
import { type Memmap, open } from "../mod.ts";
import {
  GiB,
  MiB,
  PAGE,
  sizeName,
  writeSynced,
  xorshift,
} from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";
import { inTurn, type Way } from "./suite/timing.ts";

/** Pages that a commit writes over. */
const COUNTS = [1000, 1] as const;

const ATOMIC = "flush, atomic map";
const SHARED = "flush, not atomic";
const PLAIN = "write, fsync, write, fsync";

const FOUND = "map.modified";
const COMPARED = "map.modified, no pagemap";
const READ = "fs.readSync, compare";

const PAGEMAP = "/proc/self/pagemap";

const committedSize = (quick: boolean): number => quick ? 16 * MiB : 256 * MiB;
const searchedSize = (quick: boolean): number => quick ? 16 * MiB : GiB;

function commitPanel(count: number, size: number): Panel {
  const pages = count === 1 ? "1 page" : `${count} random pages`;
  return {
    title: `${pages} of ${sizeName(size)}`,
    group: "Pages written over, until all is on disk",
    unit: "ns",
    per: "a commit",
    better: "less",
    scale: "log",
    ways: { [ATOMIC]: "mapped", [SHARED]: "mapped", [PLAIN]: "plain" },
    base: PLAIN,
  };
}

function searchPanel(size: number): Panel {
  return {
    title: `of ${sizeName(size)}`,
    group: "Finding 1000 pages that were written",
    unit: "ns",
    per: "a look",
    better: "less",
    scale: "log",
    ways: { [FOUND]: "mapped", [COMPARED]: "mapped", [READ]: "plain" },
    base: READ,
  };
}

function prepare(folder: string, quick: boolean): void {
  const bytes = new Uint8Array(committedSize(quick)).fill(1);
  for (const name of ["atomic", "shared", "plain"]) {
    writeSynced(join(folder, name), bytes);
  }
  const all = new Uint8Array(searchedSize(quick)).fill(1);
  writeSynced(join(folder, "searched"), all);
}

/** What is written next: other pages each time, with other bytes. */
class Pages {
  readonly #random = xorshift();
  readonly #count: number;
  readonly #pages: number;
  readonly bytes: Uint8Array = new Uint8Array(PAGE);
  offsets: number[] = [];

  constructor(count: number, size: number) {
    this.#count = count;
    this.#pages = size / PAGE;
  }

  choose(): void {
    this.bytes.fill(this.bytes[0]! + 1);
    const chosen = new Set<number>();
    while (chosen.size < this.#count) {
      chosen.add(Math.floor(this.#random() * this.#pages) * PAGE);
    }
    this.offsets = [...chosen].sort((a, b) => a - b);
  }

  /** Throws unless the file has what was written last. */
  check(path: string): void {
    const fd = fs.openSync(path, "r");
    const there = new Uint8Array(PAGE);
    for (const at of this.offsets) {
      fs.readSync(fd, there, 0, PAGE, at);
      assert.equal(Buffer.compare(there, this.bytes), 0, path);
    }
    fs.closeSync(fd);
  }
}

/** By flush(): the pages are written to memory before, which is not timed. */
function byFlush(map: Memmap, pages: Pages, count: number): Way {
  return {
    before() {
      pages.choose();
      for (const at of pages.offsets) map.write(pages.bytes, at);
    },
    run() {
      map.flush();
      return count * PAGE;
    },
  };
}

/** As a program does it that keeps a journal: all pages into that, then into the file. */
function byWriting(
  path: string,
  pages: Pages,
  count: number,
): Way & Disposable {
  const fd = fs.openSync(path, "r+");
  const journal = fs.openSync(`${path}.journal`, "w+");
  let all = new Uint8Array();
  return {
    before() {
      pages.choose();
      all = new Uint8Array(count * PAGE).fill(pages.bytes[0]!);
    },
    run() {
      let written = fs.writeSync(journal, all, 0, all.length, 0);
      fs.fsyncSync(journal);
      written += pages.offsets.reduce(
        (sum, at) => sum + fs.writeSync(fd, pages.bytes, 0, PAGE, at),
        0,
      );
      fs.fsyncSync(fd);
      return written / 2;
    },
    [Symbol.dispose]() {
      fs.closeSync(fd);
      fs.closeSync(journal);
    },
  };
}

async function measureCommits(bench: Bench): Promise<void> {
  const size = committedSize(bench.quick);
  const path = (name: string) => join(bench.folder, name);
  for (const count of COUNTS) {
    const panel = commitPanel(count, size);
    bench.panels(panel);
    using atomic = open(path("atomic"), "r+", { atomic: true });
    using shared = open(path("shared"), "r+");
    const pages = {
      [ATOMIC]: new Pages(count, size),
      [SHARED]: new Pages(count, size),
      [PLAIN]: new Pages(count, size),
    };
    using plain = byWriting(path("plain"), pages[PLAIN], count);
    const ways = {
      [ATOMIC]: byFlush(atomic, pages[ATOMIC], count),
      [SHARED]: byFlush(shared, pages[SHARED], count),
      [PLAIN]: plain,
    };
    const turns = count === 1 ? 20 : 6;
    await inTurn(bench, panel, ways, { turns, samples: 10, time: 30 });
    assert.equal(atomic.dirty, false);
    pages[ATOMIC].check(path("atomic"));
    pages[SHARED].check(path("shared"));
    pages[PLAIN].check(path("plain"));
  }
}

/** Runs `use` where the kernel does not tell which pages were written. */
function withoutPagemap<T>(use: () => T): T {
  const real = runtime();
  provideRuntime(() => ({
    ...real,
    mayUse: (path, way) => path !== PAGEMAP && real.mayUse(path, way),
  }));
  try {
    return use();
  } finally {
    provideRuntime(() => real);
  }
}

async function measureSearch(bench: Bench): Promise<void> {
  const size = searchedSize(bench.quick);
  const panel = searchPanel(size);
  bench.panels(panel);
  const path = join(bench.folder, "searched");
  const fd = fs.openSync(path, "r");
  using map = open(path, "r+", { atomic: true });
  assert.equal(map.find(new Uint8Array([2])), -1); // all its pages are in memory now
  const pages = new Pages(1000, size);
  pages.bytes.fill(1);
  pages.choose();
  for (const at of pages.offsets) map.write(pages.bytes, at);
  const bytesIn = () =>
    map.modified().reduce((sum, { begin, end }) => sum + end - begin, 0);
  const piece = new Uint8Array(MiB);
  const ways: Record<string, Way> = {
    [FOUND]: { run: bytesIn },
    [COMPARED]: { run: () => withoutPagemap(bytesIn) },
    [READ]: {
      run() {
        let found = 0;
        for (let at = 0; at < size; at += MiB) {
          fs.readSync(fd, piece, 0, MiB, at);
          const mapped = map.read(at, at + MiB);
          for (let page = 0; page < MiB; page += PAGE) {
            const order = Buffer.compare(
              piece.subarray(page, page + PAGE),
              mapped.subarray(page, page + PAGE),
            );
            if (order !== 0) found += PAGE;
          }
        }
        return found;
      },
    },
  };
  await inTurn(bench, panel, ways, { turns: 5, samples: 3, time: 30 });
  map.close({ discard: true });
  fs.closeSync(fd);
}

async function measure(bench: Bench): Promise<void> {
  await measureCommits(bench);
  await measureSearch(bench);
}

export const question: Question = {
  name: "commits",
  title: "What does it cost to change pages of a file all or nothing?",
  method:
    "Pages all over a file are written over, and brought to the disk. flush() of an " +
    "atomic map writes them into a journal, waits for the disk, writes them into the " +
    "file, and waits again; before, it waits for what others may have written. It finds " +
    "out which pages were written, and compares them with the file. The same by hand " +
    "does nothing but write and wait. flush() of a map that is not atomic waits once, and a " +
    "power cut leaves some of the pages. Writing to mapped memory is not timed. The " +
    "written pages of an atomic map are known from the kernel (pagemap); without " +
    "that, the whole file is compared. All pages of that file are in memory.",
  seconds: 25,
  prepare,
  measure,
};

if (import.meta.main) await ask(question);
