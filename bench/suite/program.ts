/**
 * Runs a question's file as a program, under `run.ts` or by hand.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Bench, Question, SuiteRecord, Worker } from "./question.ts";

/** What the benchmarks use of Bun. Deno's type checker does not know it. */
interface BunCalls {
  mmap(path: string): Uint8Array;
  file(path: string): {
    slice(begin: number, end: number): Blob;
    stream(): AsyncIterable<Uint8Array>;
  };
  gc(force: boolean): void;
}

/** Bun's own calls; undefined in Deno. */
export const bun: BunCalls | undefined = (globalThis as { Bun?: unknown })
  .Bun as BunCalls | undefined;

/** Is this Deno? Otherwise it is Bun. */
export const isDeno: boolean = bun === undefined;

/** This runtime. */
const worker: Worker = isDeno ? "Deno" : "Bun";

/**
 * Measures a question in this runtime and writes the records to stdout.
 *
 * `run.ts` passes the folder that it has prepared: `--folder FOLDER`. By hand, files are
 * created and removed again.
 */
export async function ask(question: Question): Promise<void> {
  const quick = process.argv.includes("--quick");
  const given = process.argv.indexOf("--folder");
  const folder = given === -1
    ? fs.mkdtempSync(join(tmpdir(), "memmap-bench-"))
    : process.argv[given + 1]!;
  try {
    if (given === -1) question.prepare(folder, quick);
    await question.measure(benchIn(folder, quick));
  } finally {
    if (given === -1) fs.rmSync(folder, { recursive: true, force: true });
  }
}

function benchIn(folder: string, quick: boolean): Bench {
  return {
    folder,
    quick,
    panels(...panels) {
      for (const panel of panels) write({ panel });
    },
    figure({ title: panel }, way, samples, more) {
      write({ figure: { panel, way, worker, samples, ...more } });
    },
    absent({ title: panel }, ways, why) {
      for (const way of ways) write({ absence: { panel, way, worker, why } });
    },
  };
}

function write(record: SuiteRecord): void {
  // console.log may be asynchronous, and a crash would lose what it holds back.
  fs.writeSync(1, JSON.stringify(record) + "\n");
}

/** Runs a file in this runtime until it ends. Returns what it wrote. */
export function runInChild(
  script: string,
  args: string[],
  env: Record<string, string> = {},
): { stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...isDeno ? ["run", "--allow-all"] : [], script, ...args],
    {
      encoding: "utf8",
      env: { ...process.env, ...env },
      maxBuffer: 2 ** 28,
    },
  );
  assert.equal(status, 0, stderr);
  return { stdout, stderr };
}

/** Collects garbage, if the runtime was started with that option. */
export function collectGarbage(): void {
  if (bun !== undefined) bun.gc(true);
  else (globalThis as { gc?: () => void }).gc?.();
}
