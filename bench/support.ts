/**
 * What the benchmarks share: files to map, alternate timing, and the form of the
 * report.
 *
 * @module
 */

import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { do_not_optimize, measure } from "mitata";

/** Bytes. */
export const MiB: number = 2 ** 20;

/** Is this Deno? Otherwise it is Bun. */
export const isDeno: boolean = "deno" in process.versions;

/** Calls timed one by one, neither in batches nor with a collection before them. */
export const SINGLY = {
  gc: false,
  batch_threshold: 0,
  warmup_samples: 1,
} as const;

/** Runs benchmarks one after the other, each given a folder that is gone afterwards. */
export async function run(
  ...benchmarks: ((folder: string) => Promise<void>)[]
): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "memmap-bench-"));
  try {
    const { deno, bun } = process.versions as Record<string, string>;
    const runtime = isDeno ? `Deno ${deno}` : `Bun ${bun}`;
    console.log(`${runtime}, ${process.platform} ${process.arch}`);
    for (const benchmark of benchmarks) await benchmark(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/**
 * Nanoseconds of the fastest of three calls. The one that mitata makes before them
 * touches every page.
 */
export async function fastest(call: () => unknown): Promise<number> {
  const limits = { min_samples: 3, max_samples: 3, min_cpu_time: 0 };
  const calling = () => do_not_optimize(call());
  return (await measure(calling, { ...SINGLY, ...limits })).min;
}

/** Two ways to the same end, timed alternately: nanoseconds, one for each round. */
export interface Rivals {
  base: number[];
  own: number[];
}

/** Times `base`, `own`, `base`, `own` … */
export async function compare(
  base: () => unknown,
  own: () => unknown,
  rounds: number,
): Promise<Rivals> {
  const times: Rivals = { base: [], own: [] };
  for (let round = 0; round < rounds; round++) {
    times.base.push(await fastest(base));
    times.own.push(await fastest(own));
  }
  return times;
}

/** How many times as long as `base` the other took, in quartiles. */
export function timesAsLong({ base, own }: Rivals): ReturnType<
  typeof quartiles
> {
  return quartiles(own.map((time, round) => time / base[round]));
}

/** A loop that was compiled by {@linkcode loop}. */
export type Loop<A extends unknown[]> = (...args: A) => number;

let loops = 0;

/**
 * A function of its own that answers `sum`: compiled anew, so that neither type
 * feedback nor code from another comparison favours one side. No two have the
 * same text, since V8 takes them for one function then, feedback and all.
 */
export function loop<A extends unknown[]>(
  parameters: string[],
  body: string,
): Loop<A> {
  const code = `let sum = 0; ${body} return sum; // ${++loops}`;
  return new Function(...parameters, code) as Loop<A>;
}

/** A file of these bytes that is in the page cache, and not on its way to the disk. */
export function cachedFile(
  folder: string,
  name: string,
  bytes: Uint8Array,
): string {
  const path = join(folder, name);
  const fd = fs.openSync(path, "w");
  for (let done = 0; done < bytes.length;) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done);
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  return path;
}

/** A file of zeros that takes no space. */
export function sparseFile(folder: string, name: string, size: number): string {
  const path = join(folder, name);
  fs.writeFileSync(path, "");
  fs.truncateSync(path, size);
  return path;
}

/** The 25th, 50th and 75th percentile. */
export function quartiles(
  values: number[],
): [low: number, mid: number, high: number] {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))];
  return [at(0.25), at(0.5), at(0.75)];
}

/** Prints what the lines that follow are about. */
export function title(text: string): void {
  console.log(`\n${text}`);
}

/** Prints a figure that has a target. */
export function report(
  what: string,
  figure: string,
  target: string,
  met: boolean,
): void {
  const verdict = met ? "met" : "MISSED";
  remark(what, `${figure}; target ${target}: ${verdict}`);
}

/** Prints a figure that has none. */
export function remark(what: string, figure: string): void {
  console.log(`  ${what.padEnd(27)} ${figure}`);
}
