/**
 * Watches a process that runs random sequences: its counts, its findings, and whether it
 * survives.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { asTest, type Sequence } from "./commands.ts";
import { commandOf } from "../support/support.ts";

const CHILD = new URL("./children/fuzz.ts", import.meta.url);
/** Milliseconds of silence after which the child counts as hanging. */
const SILENCE = 240_000;
/** Milliseconds to spend on shortening a sequence that kills its process. */
const SHRINKING = 120_000;

/** What a process has done so far. */
export interface Counts {
  /** The seed of the next batch. */
  readonly seed: number;
  readonly sequences: number;
  readonly operations: number;
  readonly failure?: {
    readonly message: string;
    /** The text of a test that fails. */
    readonly program: string;
  };
}

/** What to run. */
export interface Task {
  /** A folder for the files of the sequences, on a fast disk. */
  readonly folder: string;
  readonly seed: number;
  /** At most how many sequences to run. */
  readonly sequences: number;
  /** At most how long to run. A batch that has begun is finished. */
  readonly milliseconds: number;
  readonly onProgress?: (counts: Counts) => void;
}

/** Runs sequences in their own process, until one fails or the limit is reached. */
export async function watch(task: Task): Promise<Counts> {
  const { folder, seed, sequences, milliseconds } = task;
  const [command, ...args] = commandOf(CHILD, [
    "run",
    folder,
    ...[seed, sequences, milliseconds].map(String),
  ]);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  const stop = () => {
    child.kill("SIGKILL");
    process.exit(143);
  };
  process.on("SIGTERM", stop);
  let counts: Counts = { seed, sequences: 0, operations: 0 };
  let complaint = "";
  let isHanging = false;
  const hang = () => {
    isHanging = true;
    child.kill("SIGKILL");
  };
  let watchdog = setTimeout(hang, SILENCE);
  createInterface({ input: child.stdout }).on("line", (line) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(hang, SILENCE);
    counts = JSON.parse(line);
    task.onProgress?.(counts);
  });
  child.stderr.on("data", (data) => complaint += data);
  const [status, signal] = await new Promise<
    [status: number | null, signal: string | null]
  >((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve([status, signal]));
  });
  clearTimeout(watchdog);
  process.off("SIGTERM", stop);
  if (status === 0 || counts.failure !== undefined) return counts;
  const end = isHanging
    ? `wrote nothing for ${SILENCE / 1000} seconds`
    : signal !== null
    ? `died of ${signal}`
    : `ended with status ${status}`;
  const message = `The process ${end}. ${complaint.slice(0, 2000)}`.trim();
  return { ...counts, failure: explain(folder, counts.seed, message) };
}

/** Finds a shorter sequence that still kills its process. */
function explain(folder: string, seed: number, message: string): {
  message: string;
  program: string;
} {
  const path = join(folder, "running.json");
  if (!fs.existsSync(path)) return { message, program: "" };
  let sequence: Sequence = JSON.parse(fs.readFileSync(path, "utf8"));
  const end = performance.now() + SHRINKING;
  const dies = (sequence: Sequence) => {
    fs.writeFileSync(path, JSON.stringify(sequence));
    const [command, ...args] = commandOf(CHILD, ["replay", folder]);
    const { status } = spawnSync(command, args, {
      stdio: "ignore",
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    // 1 is an ordinary error, which is a different failure.
    return status !== 0 && status !== 1;
  };
  const about = [`Seed ${seed}:`, message.split("\n")[0]!];
  if (!dies(sequence)) {
    about.push("Not every time: it depends on what ran before.");
    return { message, program: asTest(sequence, about, []) };
  }
  for (let size = sequence.commands.length; size >= 1; size >>= 1) {
    for (let at = sequence.commands.length - size; at >= 0; at -= size) {
      if (performance.now() > end) break;
      const commands = sequence.commands.toSpliced(at, size);
      if (dies({ ...sequence, commands })) sequence = { ...sequence, commands };
    }
  }
  return { message, program: asTest(sequence, about, []) };
}
