/**
 * What a flush costs, beside plain file I/O that is as safe, and Python's mmap.
 *
 * Run `deno run -A bench/flush.ts` or `bun bench/flush.ts`. Each way to edit the
 * file runs in a process of its own, which tells its time and the most memory it
 * had; the ways take turns, and each begins with the same file, in the page cache
 * and on disk. Figures are medians over the rounds, with the quartiles in
 * parentheses. Waiting for the disk is part of each, so an idle machine counts.
 * Needs Linux, 1 GiB of disk, and about two minutes.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { open, type Strategy } from "../mod.ts";
import {
  isDeno,
  MiB,
  quartiles,
  remark,
  report,
  run,
  sparseFile,
  title,
} from "./support.ts";

const SIZE = 256 * MiB;
const ADDED = 1000;
const ROUNDS = 7;

const PYTHON = `
import json, mmap, os, sys, time
path, added = sys.argv[1], b"\\x07" * ${ADDED}
start = time.perf_counter()
with open(path, "r+b") as file:
    size = os.fstat(file.fileno()).st_size
    with mmap.mmap(file.fileno(), size) as m:
        m.resize(size + len(added))
        m.move(size // 2 + len(added), size // 2, size - size // 2)
        m[size // 2 : size // 2 + len(added)] = added
        m.flush()
print(json.dumps({"time": (time.perf_counter() - start) * 1e3, "memory": 0}))
`;

/** What a child says of itself. */
interface Cost {
  /** Milliseconds. */
  time: number;
  /** The most bytes of memory that it had, over what it began with. */
  memory: number;
}

const [way, file] = process.argv.slice(2);
if (way === undefined) await run(inserting, appending);
else console.log(JSON.stringify(edit(way, file)));

async function inserting(folder: string): Promise<void> {
  title(
    `Insert of ${ADDED} bytes in the middle of ${SIZE / MiB} MiB, on disk`,
  );
  const path = join(folder, "file");
  const ways = ["plain", "auto", "in-place"];
  if (hasPython()) ways.push("python");
  const costs = new Map<string, Cost[]>(ways.map((way) => [way, []]));
  const expected = insertedInto(content());
  for (let round = 0; round < ROUNDS; round++) {
    for (const way of ways) {
      fs.rmSync(path, { force: true });
      writeSynced(path, content());
      costs.get(way)!.push(costOf(way, path));
      if (round > 0) continue;
      assert.ok(expected.equals(fs.readFileSync(path)), `${way} went wrong`);
    }
  }
  const plain = costs.get("plain")!;
  const auto = costs.get("auto")!;
  const inPlace = costs.get("in-place")!;
  const python = costs.get("python");
  for (const [way, all] of costs) {
    const memory = way === "python"
      ? ""
      : `, ${(most(all) / MiB).toFixed(1)} MiB of memory`;
    remark(way, `${inMs(all)}${memory}`);
  }
  against("auto, times plain", auto, plain, 0.6);
  if (python === undefined) {
    remark("in-place, times python", "skipped: there is no python3 here");
  } else against("in-place, times python", inPlace, python, 1.2);
  const share = most(auto) / most(plain);
  report(
    "memory of auto over plain",
    `${(share * 100).toFixed(1)} %`,
    "≤ 10 %",
    share <= 0.1,
  );
  await Promise.resolve();
}

async function appending(folder: string): Promise<void> {
  title(`Append of ${ADDED} bytes, on disk`);
  const sizes = [MiB, 1024 * MiB];
  const paths = sizes.map((size) => sparseFile(folder, `${size}`, size));
  const times: number[][] = [[], []];
  for (let round = 0; round < 40; round++) {
    paths.forEach((path, i) => {
      using map = open(path, "r+", { reserve: false });
      map.insert(map.length, ADDED);
      const start = performance.now();
      map.flush();
      times[i].push(performance.now() - start);
    });
  }
  const [small, large] = times.map(quartiles);
  remark("to 1 MiB", `${shown(small)} ms`);
  remark("to 1 GiB", `${shown(large)} ms`);
  const ratio = Math.max(small[1] / large[1], large[1] / small[1]);
  report("one over the other", ratio.toFixed(2), "≤ 1.2", ratio <= 1.2);
  await Promise.resolve();
}

/** The part that runs in a child. */
function edit(way: string, path: string): Cost {
  const before = peak();
  const start = performance.now();
  if (way === "plain") insertPlainly(path);
  else insertMapped(path, way as Strategy);
  const time = performance.now() - start;
  return { time, memory: peak() - before };
}

function insertMapped(path: string, strategy: Strategy): void {
  using map = open(path);
  map.insert(map.length / 2, added());
  map.flush({ strategy });
}

/** Read, splice, write, fsync, rename: as safe as flush, and what people write. */
function insertPlainly(path: string): void {
  const changed = insertedInto(fs.readFileSync(path));
  writeSynced(`${path}.new`, changed);
  fs.renameSync(`${path}.new`, path);
  const folder = fs.openSync(dirname(path), "r");
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

function hasPython(): boolean {
  return spawnSync("python3", ["--version"]).status === 0;
}

function costOf(way: string, path: string): Cost {
  const script = fileURLToPath(import.meta.url);
  const [command, args] = way === "python"
    ? ["python3", ["-c", PYTHON, path]]
    : [process.execPath, [
      ...(isDeno ? ["run", "--allow-all"] : []),
      script,
      way,
      path,
    ]];
  const child = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(child.status, 0, child.stderr);
  return JSON.parse(child.stdout) as Cost;
}

function content(): Uint8Array {
  return new Uint8Array(SIZE).map((_, i) => i ^ (i >> 8));
}

function added(): Uint8Array {
  return new Uint8Array(ADDED).fill(7);
}

function insertedInto(bytes: Uint8Array): Uint8Array & {
  equals(other: Uint8Array): boolean;
} {
  const middle = bytes.length / 2;
  const result = Buffer.allocUnsafe(bytes.length + ADDED);
  result.set(bytes.subarray(0, middle));
  result.set(added(), middle);
  result.set(bytes.subarray(middle), middle + ADDED);
  return result;
}

function writeSynced(path: string, bytes: Uint8Array): void {
  const fd = fs.openSync(path, "w");
  for (let done = 0; done < bytes.length;) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done);
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** The most memory that this process has had, mapped pages among it, in bytes. */
function peak(): number {
  // Not what getrusage says: that begins with what the parent had.
  const status = fs.readFileSync("/proc/self/status", "utf8");
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function against(what: string, own: Cost[], base: Cost[], limit: number): void {
  const ratios = own.map(({ time }, round) => time / base[round].time);
  const figures = quartiles(ratios);
  report(what, shown(figures), `≤ ${limit}`, figures[1] <= limit);
}

function inMs(costs: Cost[]): string {
  return `${shown(quartiles(costs.map(({ time }) => time)), 0)} ms`;
}

function most(costs: Cost[]): number {
  return Math.max(...costs.map(({ memory }) => memory));
}

function shown([low, mid, high]: number[], digits = 2): string {
  return `${mid.toFixed(digits)} (${low.toFixed(digits)} to ${
    high.toFixed(digits)
  })`;
}
