/**
 * Runs commands side by side and prints what came of each: the machinery below
 * scripts/check and scripts/test. Knows nothing of what the commands are.
 *
 * @module
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

/** How a command ended, and what it printed, stdout and stderr as they came. */
export interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly seconds: number;
}

/** How many tests ended in which way. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const running = new Set<ChildProcess>();
const folders = new Set<string>();

/** Removes temporary folders and ends what still runs, with its own children. */
function cleanUp(): void {
  for (const { pid } of running) {
    try {
      process.kill(-pid!, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
  for (const folder of folders) {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.on("exit", cleanUp);
for (
  const [signal, status] of [["SIGHUP", 129], ["SIGINT", 130], [
    "SIGTERM",
    143,
  ]] as const
) {
  process.on(signal, () => process.exit(status));
}

/** A fresh folder that is gone when the process ends. */
export function scratchFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, "memmap-check."));
  folders.add(folder);
  return folder;
}

/** Runs a command in a process group of its own. */
export function run(
  command: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const start = performance.now();
  const child = spawn(command[0]!, command.slice(1), {
    cwd: options.cwd,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  running.add(child);
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text) => output += text);
  child.stderr!.setEncoding("utf8").on("data", (text) => output += text);
  return new Promise((resolve) => {
    const end = (status: number) => {
      running.delete(child);
      resolve({ status, output, seconds: (performance.now() - start) / 1000 });
    };
    child.on("error", (error) => {
      output += `${error.message}\n`;
      end(127);
    });
    child.on("close", (status, signal) => {
      if (signal !== null) output += `It was ended by ${signal}.\n`;
      end(status ?? 1);
    });
  });
}

/** Runs jobs, at most `width` at a time, in their order. */
export async function inParallel(
  jobs: readonly (() => Promise<void>)[],
  width: number,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < jobs.length) await jobs[next++]!();
  };
  await Promise.all(Array.from({ length: width }, worker));
}

const PROOF = /^proof: (.*)$/gm;
/** What test runners print of what went well. */
const NOISE =
  /^(.* \.\.\. ok \(.*|\(pass\) .*|Check .*|proof: .*|-+ (output|output end) -+)\n/gm;

/**
 * Prints a command's name and how it went: what was proved and what could not be,
 * in the tests' own words, or else everything that it said. True if it went well.
 */
export function print(
  name: string,
  { status, output, seconds }: Outcome,
): boolean {
  const isRight = status === 0;
  const time = `${seconds.toFixed(1)} s`.padStart(8);
  const lines = [`${name.padEnd(34)}${isRight ? "ok    " : "FAILED"}${time}`];
  for (const [, text] of output.matchAll(PROOF)) lines.push(`  ${text}`);
  if (!isRight) {
    const rest = output.replace(NOISE, "").trimEnd();
    lines.push(...rest.split("\n").map((line) => `  | ${line}`));
  }
  console.log(lines.join("\n"));
  return isRight;
}

/** Reads the closing lines of `deno test`. */
function denoCounts(output: string): Counts {
  // ok | 12 passed (3 steps) | 0 failed | 1 ignored (2s)
  const found = [...output.matchAll(/^\w+ \| (\d+) passed.*$/gm)].pop();
  const count = (what: string) =>
    Number(new RegExp(`(\\d+) ${what}`).exec(found?.[0] ?? "")?.[1] ?? 0);
  return {
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("ignored"),
  };
}

/** Reads the closing lines of `bun test`. */
function bunCounts(output: string): Counts {
  const count = (what: string) => {
    const found = [...output.matchAll(RegExp(`^ *(\\d+) ${what}$`, "gm"))];
    return Number(found.pop()?.[1] ?? 0);
  };
  return {
    passed: count("pass"),
    failed: count("fail"),
    skipped: count("skip"),
  };
}

/**
 * Counts the tests of a runner's output. A runner that crashed before it told, or
 * that ran nothing, counts as one failure.
 */
export function countTests(
  runner: "deno" | "bun",
  { status, output }: Outcome,
): Counts {
  const counts = runner === "deno" ? denoCounts(output) : bunCounts(output);
  if (counts.failed === 0 && (status !== 0 || counts.passed === 0)) {
    counts.failed = 1;
  }
  return counts;
}

/** The names of the tests that a runner says it skipped. */
export function skippedTests(output: string): string[] {
  const pattern =
    /^(?:\(skip\) (.*?)|(.*) \.\.\. ignored) *(?:\(.*?\)|\[.*?\])?$/gm;
  // Bun names them twice, where they are and at the end.
  return [
    ...new Set(
      [...output.matchAll(pattern)].map(([, bun, deno]) => bun ?? deno!),
    ),
  ];
}
