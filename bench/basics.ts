/**
 * How fast the basics are, beside what they should cost.
 *
 * Run `deno run -A bench/basics.ts` or `bun bench/basics.ts`. Every line says
 * what was measured, the target, and whether it was met; nothing is asserted,
 * and the exit code is 0 either way. Needs 1.5 GiB of memory and 0.4 GiB of disk.
 *
 * What is compared is measured alternately in one run, so that other processes
 * slow down both sides alike. Times are medians; the quartiles stand in
 * parentheses.
 *
 * @module
 */

import { randomFillSync } from "node:crypto";
import { do_not_optimize, measure } from "mitata";
import { type Memmap, type Mode, open } from "../mod.ts";
import {
  cachedFile,
  fastest,
  type Loop,
  loop,
  MiB,
  quartiles,
  report,
  run,
  SINGLY,
  sparseFile,
  title,
} from "./support.ts";

const TiB = 2 ** 40;

await run(reading, registering, opening, searching);

/** The same sum over mapped and over heap memory that holds the same bytes. */
async function reading(folder: string): Promise<void> {
  const heap = new Float64Array(128 * MiB / 8).map((_, i) => i % 1021 / 8);
  const path = cachedFile(folder, "doubles", new Uint8Array(heap.buffer));
  title("Sum of 128 MiB through slice.bytes, times the same over heap memory");
  using map = open(path, "r");
  const { bytes } = map.slice();
  for (const Values of [Uint8Array, Float64Array]) {
    const mapped = new Values(bytes.buffer);
    const onHeap = new Values(heap.buffer);
    for (const order of ["heap first", "mapped first"]) {
      const sum: Loop<[ArrayLike<number>]> = loop(
        ["values"],
        "for (let i = 0; i < values.length; i++) sum += values[i];",
      );
      const time = (values: ArrayLike<number>) => fastest(() => sum(values));
      const ratios: number[] = [];
      const speeds: number[] = [];
      for (let round = 0; round < 7; round++) {
        const first = await time(order === "heap first" ? onHeap : mapped);
        const second = await time(order === "heap first" ? mapped : onHeap);
        const [base, own] = order === "heap first"
          ? [first, second]
          : [second, first];
        ratios.push(own / base);
        speeds.push(mapped.byteLength / own);
      }
      const [low, median, high] = quartiles(ratios);
      report(
        `${Values.name}, ${order}`,
        `${median.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)}), ` +
          `${quartiles(speeds)[1].toFixed(1)} GB/s`,
        "≤ 1.05",
        median <= 1.05,
      );
    }
  }
}

/** A million slices in random order, three times over, and one more. */
async function registering(folder: string): Promise<void> {
  const count = 1_000_000;
  const size = 64;
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  const path = sparseFile(folder, "slices", count * size);
  const register = (map: Memmap): number => {
    const start = performance.now();
    for (const i of order) map.slice(i * size, (i + 1) * size);
    return performance.now() - start;
  };
  title("One million slices, registered in random order");
  for (const run of ["first", "second", "third"]) {
    using map = open(path, "c");
    const ms = register(map);
    report(
      `${run} time in this process`,
      `${(ms / 1e3).toFixed(2)} s`,
      "≤ 2 s",
      ms <= 2e3,
    );
    if (run !== "third") continue;
    let next = 0;
    const oneMore = () => map.insert(order[next++ % count] * size, 8);
    const limits = { min_samples: 20_000, max_samples: 20_000 };
    const { p25, p50, p75, p99 } = await measure(oneMore, {
      ...SINGLY,
      ...limits,
    });
    report(
      "inserting one more",
      `${micros(p50)} (${micros(p25)} to ${micros(p75)}; p99 ${micros(p99)})`,
      "≤ 10 µs",
      p50 <= 10e3,
    );
  }
}

/** open, slice, close; the size of the file should hardly matter. */
async function opening(folder: string): Promise<void> {
  const small = cachedFile(folder, "1MiB", new Uint8Array(MiB));
  const large = sparseFile(folder, "1TiB", TiB);
  title("open + slice + close of an existing file");
  for (const mode of ["r", undefined] as const) {
    const [smallTimes, largeTimes]: [number[], number[]] = [[], []];
    for (let round = 0; round < 4; round++) {
      smallTimes.push(...await openings(small, mode));
      largeTimes.push(...await openings(large, mode));
    }
    const label = mode === undefined ? "default mode" : `mode ${mode}`;
    const [low, median, high] = quartiles(smallTimes);
    report(
      `1 MiB, ${label}`,
      `${micros(median)} (${micros(low)} to ${micros(high)})`,
      "≤ 100 µs",
      median <= 100e3,
    );
    const [lowLarge, medianLarge, highLarge] = quartiles(largeTimes);
    report(
      `sparse 1 TiB, ${label}`,
      `${micros(medianLarge)} (${micros(lowLarge)} to ${micros(highLarge)}), ` +
        `${(medianLarge / median).toFixed(2)} times 1 MiB`,
      "≤ 2 times",
      medianLarge <= 2 * median,
    );
  }
}

/** Nanoseconds, one for each time. */
async function openings(
  path: string,
  mode: Mode | undefined,
): Promise<number[]> {
  const opening = () => {
    const map = open(path, mode);
    do_not_optimize(map.slice());
    map.close();
  };
  return (await measure(opening, { ...SINGLY, min_cpu_time: 2e8 })).samples;
}

/** Patterns that are nowhere, so that every byte is searched. */
async function searching(folder: string): Promise<void> {
  const path = cachedFile(folder, "random", randomBytes(256 * MiB));
  using map = open(path, "r");
  title("Search of 256 MiB of random bytes, cached");
  for (const length of [8, 16, 32]) {
    const pattern = randomBytes(length);
    for (const search of ["find", "rfind"] as const) {
      // The call that mitata makes before it measures touches every page.
      const { p25, p50, p75 } = await measure(
        () => do_not_optimize(map[search](pattern)),
        { ...SINGLY, min_samples: 12, min_cpu_time: 6e8 },
      );
      const [low, median, high] = [p75, p50, p25].map((ns) =>
        map.mappedLength / ns
      );
      report(
        `${search} of ${length} bytes`,
        `${median.toFixed(1)} GB/s (${low.toFixed(1)} to ${high.toFixed(1)})`,
        "≥ 10 GB/s",
        median >= 10,
      );
    }
  }
}

function randomBytes(length: number): Uint8Array {
  return randomFillSync(new Uint8Array(length));
}

function micros(nanoseconds: number): string {
  return `${(nanoseconds / 1e3).toFixed(1)} µs`;
}
