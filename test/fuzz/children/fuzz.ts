/**
 * Runs random sequences, or one from a file. It is a process of its own, since the bugs
 * that it looks for may end it. `watch.ts` reads what it writes.
 *
 * Each sequence is written to `running.json` before it runs, to know which one the process
 * did not survive. Sequences come in batches, and each batch has its own seed, counting
 * up. So the seed of a failing batch reproduces the failure at once.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import fc from "fast-check";
import { asTest, type Sequence, sequences } from "../commands.ts";
import { runSequence } from "../run.ts";
import { givenArguments } from "../../support/support.ts";

const BATCH = 40;
const MOST_OPERATIONS = 80;
/** Milliseconds to spend on making a failing sequence shorter. */
const SHRINKING = 60_000;

const textOf = (error: unknown) =>
  error instanceof Error ? error.stack ?? error.message : String(error);

/**
 * Runs a failing sequence once more. Returns the error, or `first` if there is none now,
 * and a program that shows it.
 */
async function explain(
  sequence: Sequence,
  folder: string,
  seed: number,
  first: unknown,
): Promise<{ message: string; program: string }> {
  const steps: string[] = [];
  try {
    await runSequence(sequence, steps, folder);
  } catch (error) {
    const message = textOf(error);
    const about = [`Seed ${seed}:`, message.split("\n")[0]!];
    return { message, program: asTest(sequence, about, steps) };
  }
  return {
    message:
      "It did not fail the second time: it depends on what ran before. " +
      `The first time: ${textOf(first)}`,
    program: asTest(sequence, [`Seed ${seed}, not every time.`], steps),
  };
}

/** Leaves out whatever can be left out with the same end. */
async function shortened(
  sequence: Sequence,
  fails: (s: Sequence) => Promise<boolean>,
): Promise<Sequence> {
  const end = performance.now() + SHRINKING / 2;
  let { commands } = sequence;
  for (let i = commands.length - 1; i >= 0; i--) {
    if (performance.now() > end) break;
    const fewer = commands.toSpliced(i, 1);
    if (await fails({ ...sequence, commands: fewer })) commands = fewer;
  }
  return { ...sequence, commands };
}

async function run(
  folder: string,
  firstSeed: number,
  most: number,
  milliseconds: number,
): Promise<void> {
  const running = join(folder, "running.json");
  const end = performance.now() + milliseconds;
  const counts = { seed: firstSeed, sequences: 0, operations: 0 };
  const count = async (sequence: Sequence) => {
    fs.writeFileSync(running, JSON.stringify(sequence));
    counts.operations += await runSequence(sequence, undefined, folder);
    counts.sequences++;
  };
  while (counts.sequences < most && performance.now() < end) {
    const result = await fc.check(
      fc.asyncProperty(sequences(MOST_OPERATIONS), count),
      {
        seed: counts.seed,
        numRuns: Math.min(BATCH, most - counts.sequences),
        interruptAfterTimeLimit: SHRINKING,
      },
    );
    if (result.failed && result.counterexample !== null) {
      const sequence = await shortened(
        result.counterexample[0],
        async (shorter) => {
          try {
            await runSequence(shorter, undefined, folder);
            return false;
          } catch {
            return true;
          }
        },
      );
      const failure = await explain(
        sequence,
        folder,
        counts.seed,
        result.errorInstance,
      );
      say({ ...counts, failure });
      process.exitCode = 1;
      return;
    }
    counts.seed++;
    say(counts);
  }
}

function say(line: unknown): void {
  fs.writeSync(1, JSON.stringify(line) + "\n");
}

const [task, folder] = givenArguments("task", "folder");
if (task === "run") {
  const [, , seed, most, milliseconds] = givenArguments(
    "task",
    "folder",
    "seed",
    "most",
    "milliseconds",
  );
  await run(folder, Number(seed), Number(most), Number(milliseconds));
} else {
  const running = fs.readFileSync(join(folder, "running.json"), "utf8");
  await runSequence(JSON.parse(running), undefined, folder);
}
