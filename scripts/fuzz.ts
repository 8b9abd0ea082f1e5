/**
 * Runs random sequences of operations for a while, and says what came of it: what
 * `scripts/fuzz` runs under each runtime.
 *
 * @module
 */

import * as fs from "node:fs";
import process from "node:process";
import { isatty } from "node:tty";
import { watch } from "../test/fuzz/watch.ts";

/** Milliseconds after which a new process goes on: some memory is kept for good. */
const SHIFT = 30_000;

// scripts/fuzz gives all three.
const [folder, ...numbers] = process.argv.slice(2) as [
  folder: string,
  seconds: string,
  seed: string,
];
const [seconds, firstSeed] = [Number(numbers[0]), Number(numbers[1])];
const { deno, bun } = process.versions as Record<string, string | undefined>;
const runtime = deno === undefined ? `Bun ${bun}` : `Deno ${deno}`;

const whole = (count: number) => count.toLocaleString("en");

/** How far it is, on stderr: one line on a terminal, else one now and then. */
class Progress {
  readonly #isTerminal = isatty(2);
  #next = performance.now() + 1000;

  show(operations: number, sequences: number, milliseconds: number): void {
    if (performance.now() < this.#next) return;
    this.#next = performance.now() + (this.#isTerminal ? 200 : 10_000);
    const text = `${runtime}: ${whole(operations)} operations in ` +
      `${whole(sequences)} sequences, ` +
      `${Math.max(Math.ceil(milliseconds / 1000), 0)} s left`;
    fs.writeSync(2, this.#isTerminal ? `\r${text}\x1b[K` : `${text}\n`);
  }

  clear(): void {
    if (this.#isTerminal) fs.writeSync(2, "\r\x1b[K");
  }
}

const progress = new Progress();
const end = performance.now() + seconds * 1000;
let seed = firstSeed;
let sequences = 0;
let operations = 0;
while (performance.now() < end) {
  const counts = await watch({
    folder,
    seed,
    sequences: Infinity,
    milliseconds: Math.min(SHIFT, end - performance.now()),
    onProgress: (counts) =>
      progress.show(
        operations + counts.operations,
        sequences + counts.sequences,
        end - performance.now(),
      ),
  });
  seed = counts.seed;
  sequences += counts.sequences;
  operations += counts.operations;
  if (counts.failure === undefined) continue;
  progress.clear();
  const { message, program } = counts.failure;
  console.log(
    `${runtime}: FAILED after ${whole(operations)} operations in ` +
      `${
        whole(sequences)
      } sequences. \`scripts/fuzz 10 ${seed}\` finds it again.`,
  );
  console.log(
    `\n${message}\n\nAs test/fuzz/found_test.ts it is:\n\n${program}`,
  );
  process.exit(1);
}
progress.clear();
console.log(
  `${runtime}: ${whole(operations)} operations in ${whole(sequences)} ` +
    `sequences, nothing found (seed ${firstSeed})`,
);
