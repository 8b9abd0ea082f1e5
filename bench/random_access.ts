/**
 * How long does it take to read a few bytes somewhere in a file?
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { type Memmap, open } from "../mod.ts";
import {
  askWhyNotCold,
  doubles,
  dropFromCache,
  GiB,
  MiB,
  PAGE,
  readWhole,
  sizeName,
  sparseFile,
  writeSynced,
  xorshift,
} from "./suite/files.ts";
import { ask, bun, isDeno } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival } from "./suite/question.ts";
import { inTurn, type Loop, loop, type Way } from "./suite/timing.ts";

/** The sizes of a record in bytes: what one read wants. */
const RECORDS = [1, 8, 4096];
/** The cost of reading a whole file is divided by this many reads of a record. */
const READS_OF_WHOLE = 1000;
/** Runs of slow ways read this many records, and fast ones one for each offset. */
const SLOW = 5000;
const COLD = 100;
/** After this many reads, most pages have been touched for the first time. */
const FIRST = 1000;
const LARGEST_WITH_DATA = 256 * MiB;

function sizes(quick: boolean): number[] {
  return quick ? [MiB, 16 * MiB] : [MiB, 256 * MiB, 4 * GiB];
}

function fileOf(folder: string, size: number): string {
  return join(folder, `doubles-${size}`);
}

/** The numbers of the records to read, as 32-bit integers. */
function offsetsOf(folder: string, size: number, record: number): string {
  return join(folder, `records-${size}-${record}`);
}

/** Which pages are read: any of a full file, and some of a sparse one. */
function pagesOf(size: number, quick: boolean): Float64Array {
  const random = xorshift();
  const count = quick ? 20_000 : size > LARGEST_WITH_DATA ? 20_000 : 500_000;
  return new Float64Array(count).map(() => Math.floor(random() * size / PAGE));
}

function prepare(folder: string, quick: boolean): void {
  for (const size of sizes(quick)) {
    const pages = pagesOf(size, quick);
    if (size <= LARGEST_WITH_DATA) {
      writeSynced(fileOf(folder, size), doubles(size));
    } else {
      writePages(sparseFile(folder, `doubles-${size}`, size), pages);
    }
    for (const record of RECORDS) {
      const random = xorshift(record);
      const places = PAGE / record;
      const numbers = Uint32Array.from(
        pages,
        (page) => page * places + Math.floor(random() * places),
      );
      fs.writeFileSync(offsetsOf(folder, size, record), numbers);
    }
  }
}

/** Writes data where a sparse file will be read, so that reads reach the disk. */
function writePages(path: string, pages: Float64Array): void {
  const page = doubles(PAGE);
  const fd = fs.openSync(path, "r+");
  for (const number of pages.toSorted()) {
    fs.writeSync(fd, page, 0, PAGE, number * PAGE);
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

function panel(size: number, record: number, isCold: boolean): Panel {
  const bytes = record === 1 ? "1 byte" : `${record} bytes`;
  return {
    title: `${bytes} of ${sizeName(size)}, ${isCold ? "cold" : "warm"}`,
    group: isCold
      ? "Cold: the file is on the disk only"
      : "Warm: the file is in the page cache, and was read here before",
    unit: "ns",
    per: "a read",
    better: "less",
    scale: "log",
    ways: isCold
      ? {
        "slice view": "mapped",
        'slice view, advise("random")': "mapped",
        "fs.readSync": "plain",
        "Deno.FsFile seek, read": "plain",
        "Bun.file().slice()": "plain",
        [WHOLE_COLD]: "plain",
      }
      : {
        "slice view": "mapped",
        "MemmapArray.get": "mapped",
        "Bun.mmap": "other",
        "C, mmap": "other",
        "Python mmap": "other",
        "numpy.memmap": "other",
        "fs.readSync": "plain",
        "Deno.FsFile seek, read": "plain",
        "Bun.file().slice()": "plain",
        [WHOLE]: "plain",
        "heap memory": "limit",
      },
    base: "fs.readSync",
  };
}

/** In the page cache, but new to this process: a page fault for each page, or for 16. */
function firstPanel(size: number): Panel {
  return {
    title: `8 bytes of ${sizeName(size)}, the first ${FIRST} reads`,
    group: "In the page cache, but for the first time here",
    unit: "ns",
    per: "a read",
    better: "less",
    scale: "log",
    ways: {
      "slice view": "mapped",
      "MemmapArray.get": "mapped",
      "fs.readSync": "plain",
    },
    base: "fs.readSync",
  };
}

const WHOLE = wholeFor(READS_OF_WHOLE);
const WHOLE_COLD = wholeFor(COLD);

/** Reading everything, divided by the reads that share it. */
function wholeFor(reads: number): string {
  return `whole file, for ${reads} reads`;
}

/** What the code of the loops uses. */
interface Given extends Record<string, unknown> {
  at: Uint32Array;
  values: unknown;
  step: number;
  bytes?: Uint8Array;
  read?: (at: number) => void;
}

/**
 * A loop that reads records. `load` makes record `at[i]` available from `place` on, and
 * `value` is one of its elements. In records of 4096 bytes, all elements are added up.
 */
function reading(
  record: number,
  load: string,
  value = (place: string) => `values[${place}]`,
): Loop<Given> {
  const consume = record > 8
    ? `for (let j = 0; j < ${record / 8}; j++) sum += ${value("place + j")};`
    : `sum += ${value("place")};`;
  return loop(["at", "values", "step", "read"], load + consume);
}

const DIRECT = "const place = at[i] * step;";
const READ = "read(at[i]); const place = 0;";

/** The panel for one size of file and one size of record. */
class RandomAccess implements Disposable {
  readonly #record: number;
  readonly #path: string;
  readonly #at: Uint32Array;
  readonly #map: Memmap;
  readonly #fd: number;
  readonly #file: Deno.FsFile | undefined;

  constructor(bench: Bench, size: number, record: number) {
    this.#record = record;
    this.#path = fileOf(bench.folder, size);
    const numbers = readWhole(offsetsOf(bench.folder, size, record));
    this.#at = new Uint32Array(numbers.buffer);
    this.#map = open(this.#path, "r");
    this.#fd = fs.openSync(this.#path, "r");
    this.#file = isDeno ? Deno.openSync(this.#path) : undefined;
  }

  [Symbol.dispose](): void {
    this.#map.close();
    fs.closeSync(this.#fd);
    this.#file?.close();
  }

  /** All ways to read a file that is in memory. */
  warm(): Record<string, Way> {
    const slice = this.#map.slice();
    const array = slice.array(this.#record === 1 ? "uint8" : "float64");
    const { buffer } = slice;
    const ways: Record<string, Way> = {
      "slice view": this.#fast(this.#typed(buffer)),
      "MemmapArray.get": this.#fast(array, (place) => `values.get(${place})`),
      ...this.#plain(SLOW),
    };
    if (bun !== undefined) {
      const { buffer } = bun.mmap(this.#path);
      ways["Bun.mmap"] = this.#fast(this.#typed(buffer));
    }
    if (this.#map.length <= LARGEST_WITH_DATA) {
      const { buffer } = readWhole(this.#path);
      ways["heap memory"] = this.#fast(this.#typed(buffer));
      ways[WHOLE] = this.#whole(READS_OF_WHOLE);
    }
    return ways;
  }

  /** The ways that can begin with an empty page cache. */
  cold(): Record<string, Way> {
    const values = this.#typed(this.#map.slice().buffer);
    const advised = (advice: "normal" | "random") => () => {
      this.#map.advise("dontneed");
      this.#map.advise(advice);
      dropFromCache(this.#fd);
    };
    const given = { at: this.#at, values, step: this.#step };
    const view = reading(this.#record, DIRECT);
    const ways: Record<string, Way> = {
      "slice view": {
        ...this.#onward((from, to) => view(given, from, to), COLD),
        before: advised("normal"),
      },
      'slice view, advise("random")': {
        ...this.#onward((from, to) => view(given, from, to), COLD),
        before: advised("random"),
      },
      ...this.#plain(COLD),
    };
    if (this.#map.length <= LARGEST_WITH_DATA) {
      ways[WHOLE_COLD] = this.#whole(COLD);
    }
    for (const way of Object.values(ways)) way.before ??= advised("normal");
    return ways;
  }

  /** The ways to read memory that this process has not touched yet. */
  first(): Record<string, Way> {
    const slice = this.#map.slice();
    const array = slice.array("float64");
    const values = this.#typed(slice.buffer);
    const get = (place: string) => `values.get(${place})`;
    const { "fs.readSync": readSync } = this.#plain(FIRST);
    const ways: Record<string, Way> = {
      "slice view": this.#fast(values, undefined, FIRST),
      "MemmapArray.get": this.#fast(array, get, FIRST),
      "fs.readSync": readSync!,
    };
    // The pages leave this process, but stay in the page cache.
    const before = () => this.#map.advise("dontneed");
    for (const way of Object.values(ways)) way.before = before;
    return ways;
  }

  get #step(): number {
    return this.#record > 8 ? this.#record / 8 : 1;
  }

  #typed(buffer: ArrayBufferLike): Uint8Array | Float64Array {
    return this.#record === 1
      ? new Uint8Array(buffer)
      : new Float64Array(buffer);
  }

  /** Reads all records, or the given number, straight from memory. */
  #fast(
    values: unknown,
    value?: (place: string) => string,
    most = this.#at.length,
  ): Way {
    const sum = reading(this.#record, DIRECT, value);
    const given = { at: this.#at, values, step: this.#step };
    return this.#onward(
      (from, to) => sum(given, from, to),
      this.#record > 8 ? Math.min(most, 50_000) : most,
    );
  }

  /** The ways of plain file I/O, with one call for each record. */
  #plain(count: number): Record<string, Way> {
    const record = this.#record;
    const bytes = new Uint8Array(record);
    const given = { at: this.#at, values: this.#typed(bytes.buffer), step: 0 };
    const bySync = reading(record, READ);
    const readSync = (at: number) => {
      fs.readSync(this.#fd, bytes, 0, record, at * record);
    };
    const ways: Record<string, Way> = {
      "fs.readSync": this.#onward(
        (from, to) => bySync({ ...given, read: readSync }, from, to),
        count,
      ),
    };
    if (bun === undefined) {
      const file = this.#file!;
      const byFile = reading(record, READ);
      const read = (at: number) => {
        file.seekSync(at * record, Deno.SeekMode.Start);
        file.readSync(bytes);
      };
      ways["Deno.FsFile seek, read"] = this.#onward(
        (from, to) => byFile({ ...given, read }, from, to),
        count,
      );
    } else {
      const file = bun.file(this.#path);
      const add = reading(record, "const place = 0;");
      ways["Bun.file().slice()"] = this.#onward(
        async (from, to) => {
          let sum = 0;
          for (let i = from; i < to; i++) {
            const begin = this.#at[i]! * record;
            const values = this.#typed(
              await file.slice(begin, begin + record).arrayBuffer(),
            );
            sum += add({ ...given, values }, 0, 1);
          }
          return sum;
        },
        Math.min(count, 500),
      );
    }
    return ways;
  }

  #whole(count: number): Way {
    const sum = reading(this.#record, DIRECT);
    return this.#onward((from, to) => {
      const { buffer } = readWhole(this.#path);
      const values = this.#typed(buffer);
      return sum({ at: this.#at, values, step: this.#step }, from, to);
    }, count);
  }

  /**
   * The first run reads the same records in every way, so that their sums can be
   * compared. Each later run continues where the last one ended.
   */
  #onward(
    read: (from: number, to: number) => number | Promise<number>,
    count: number,
  ): Way {
    let isFirst = true;
    let next = 0;
    const run = () => {
      if (isFirst) {
        isFirst = false;
        return read(0, COLD);
      }
      if (next + count > this.#at.length) next = 0;
      const from = next;
      next += count;
      return read(from, next);
    };
    return { run, count };
  }
}

async function measure(bench: Bench): Promise<void> {
  const all = sizes(bench.quick);
  const panels = (isCold: boolean) =>
    all.flatMap((size) => RECORDS.map((each) => panel(size, each, isCold)));
  bench.panels(...panels(false), ...all.map(firstPanel), ...panels(true));
  // Cold ones come first: what Bun.mmap has mapped stays mapped, and in the cache.
  for (const size of all) await measureCold(bench, size);
  for (const size of all) {
    using access = new RandomAccess(bench, size, 8);
    await inTurn(bench, firstPanel(size), access.first(), { time: 20 });
  }
  for (const size of all) await measureWarm(bench, size);
}

async function measureCold(bench: Bench, size: number): Promise<void> {
  // Ask with a file full of data: a hole is never read from the disk.
  const [smallest] = sizes(bench.quick);
  const whyNot = await askWhyNotCold(fileOf(bench.folder, smallest!));
  for (const record of RECORDS) {
    const about = panel(size, record, true);
    if (whyNot !== undefined) {
      bench.absent(about, Object.keys(about.ways), whyNot);
      continue;
    }
    using access = new RandomAccess(bench, size, record);
    await inTurn(bench, about, access.cold(), { samples: 1, time: 0 });
    if (size > LARGEST_WITH_DATA) {
      bench.absent(about, [WHOLE_COLD], tooLarge(size));
    }
  }
}

async function measureWarm(bench: Bench, size: number): Promise<void> {
  for (const record of RECORDS) {
    const about = panel(size, record, false);
    using access = new RandomAccess(bench, size, record);
    await inTurn(bench, about, access.warm(), { time: 20 });
    if (size > LARGEST_WITH_DATA) {
      bench.absent(about, [WHOLE, "heap memory"], tooLarge(size));
    }
  }
}

function tooLarge(size: number): string {
  return `nobody reads ${sizeName(size)} as a whole`;
}

function rivals(folder: string, quick: boolean): Rival[] {
  return sizes(quick).flatMap((size) => {
    const { title } = panel(size, 8, false);
    const args = ["random_access", fileOf(folder, size)];
    args.push(offsetsOf(folder, size, 8));
    return [
      { panel: title, way: "C, mmap", worker: "C", args },
      {
        panel: title,
        way: "Python mmap",
        worker: "Python",
        args: [...args, "mmap"],
      },
      {
        panel: title,
        way: "numpy.memmap",
        worker: "Python",
        needs: "numpy",
        args: [...args, "numpy"],
      },
    ] satisfies Rival[];
  });
}

export const question: Question = {
  name: "random_access",
  title: "How long does it take to read a few bytes somewhere in a file?",
  method:
    "Records at random places are read and added up. Every run of a way continues where " +
    "its last one ended. Files of more than 256 MiB are sparse, with data in the 20,000 " +
    "pages that are read. Warm means that every page was touched before. The first " +
    "reads of a process meet page faults. Cold means that the file was taken out of the " +
    "page cache before every run of 100 reads, and that the run did read from the disk.",
  seconds: 40,
  prepare,
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
