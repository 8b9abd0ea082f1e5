/**
 * Runs the suite. Each round asks a question in both runtimes in alternation, then runs the
 * rivals. Keeps the results, and has the report written.
 *
 * `scripts/bench` starts it, and describes its options.
 *
 * @module
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isatty } from "node:tty";
import { parseArgs } from "node:util";
import { QUESTIONS } from "./questions.ts";
import { describeMachine } from "./suite/machine.ts";
import type { Question, SuiteRecord } from "./suite/question.ts";
import { type Answers, checkResults, type Results } from "./suite/results.ts";
import { commandOf, setUpWorkshop, type Workshop } from "./suite/rivals.ts";
import { writePicture, writeReport } from "./report/report.ts";

const ROUNDS = 3;
const HERE = fileURLToPath(new URL(".", import.meta.url));

const { values: options, positionals } = parseArgs({
  options: {
    bun: { type: "string" },
    quick: { type: "boolean", default: false },
    report: { type: "boolean", default: false },
    picture: { type: "boolean", default: false },
    output: { type: "string", default: join(HERE, "results") },
  },
  allowPositionals: true,
});

/** The status that a shell reports for a program that a signal ended. */
const STATUS_AT = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

const runtimes: Record<"Deno" | "Bun", [program: string, ...string[]]> = {
  Deno: [process.execPath, "run", "--allow-all", "--v8-flags=--expose-gc"],
  Bun: [options.bun ?? "bun", "--no-install"],
};

let child: ChildProcess | undefined;
const folder = fs.mkdtempSync(join(tmpdir(), "memmap-bench-"));
const output = resolve(options.output);
function removeFolder(): void {
  fs.rmSync(folder, { recursive: true, force: true });
}

/** The questions whose names contain one of the filters. */
function selected(filters: string[]): Question[] {
  const found = QUESTIONS.filter(({ name }) =>
    filters.length === 0 || filters.some((filter) => name.includes(filter))
  );
  if (found.length > 0) return found;
  const names = QUESTIONS.map(({ name }) => name).join(", ");
  throw new Error(`no question is called '${filters.join(" ")}': ${names}`);
}

async function runAll(questions: Question[]): Promise<void> {
  const start = performance.now();
  const date = new Date().toISOString();
  const workshop = setUpWorkshop(folder);
  const rounds = options.quick ? 1 : ROUNDS;
  const progress = new Progress(questions, rounds);
  const answers: Answers[] = [];
  for (const question of questions) {
    answers.push(await answer(question, rounds, workshop, progress));
  }
  clearLine();
  const results: Results = {
    date,
    seconds: Math.round((performance.now() - start) / 1000),
    quick: options.quick,
    rounds,
    commit: commit(),
    machine: describeMachine(folder, versions(), workshop),
    questions: answers,
  };
  checkResults(results);
  fs.mkdirSync(output, { recursive: true });
  const json = JSON.stringify(results);
  fs.writeFileSync(join(output, "results.json"), json);
  fs.writeFileSync(
    join(output, `results-${date.replaceAll(/[:.]/g, "-")}.json`),
    json,
  );
}

/** All rounds of one question. */
async function answer(
  question: Question,
  rounds: number,
  workshop: Workshop,
  progress: Progress,
): Promise<Answers> {
  const { name, title, method } = question;
  const files = join(folder, name);
  fs.mkdirSync(files);
  progress.show(name, "making files");
  question.prepare(files, options.quick);
  const answers: Answers = {
    name,
    title,
    method,
    panels: [],
    figures: [],
    absences: [],
  };
  for (let round = 0; round < rounds; round++) {
    // The first one finds the machine as the last one left it, so they swap.
    const order = round % 2 === 0
      ? ["Deno", "Bun"] as const
      : ["Bun", "Deno"] as const;
    for (const runtime of order) {
      progress.show(name, `${runtime}, round ${round + 1} of ${rounds}`);
      const lines = await outputOf(`${name} in ${runtime}`, [
        ...runtimes[runtime],
        join(HERE, `${name}.ts`),
        "--folder",
        files,
        ...options.quick ? ["--quick"] : [],
      ]);
      for (const line of lines) add(answers, JSON.parse(line) as SuiteRecord);
      progress.done(question);
    }
    progress.show(name, `rivals, round ${round + 1} of ${rounds}`);
    await runRivals(question, files, workshop, answers);
  }
  fs.rmSync(files, { recursive: true });
  return answers;
}

/** Adds a record, unless an earlier round has added the same. */
function add(answers: Answers, record: SuiteRecord): void {
  if ("figure" in record) answers.figures.push(record.figure);
  else if ("panel" in record) {
    const { title } = record.panel;
    if (answers.panels.some((panel) => panel.title === title)) return;
    answers.panels.push(record.panel);
  } else {
    const { panel, way, worker } = record.absence;
    const isKnown = answers.absences.some((absence) =>
      absence.panel === panel && absence.way === way &&
      absence.worker === worker
    );
    if (!isKnown) answers.absences.push(record.absence);
  }
}

async function runRivals(
  question: Question,
  files: string,
  workshop: Workshop,
  answers: Answers,
): Promise<void> {
  for (const rival of question.rivals?.(files, options.quick) ?? []) {
    const { panel, way, worker } = rival;
    const command = commandOf(rival, workshop);
    if (typeof command === "string") {
      add(answers, { absence: { panel, way, worker, why: command } });
      continue;
    }
    const [program, args] = command;
    const lines = await outputOf(`${way} for ${question.name}`, [
      program,
      ...args,
    ]);
    const { samples, check } = JSON.parse(lines[0]!) as {
      samples: number[];
      check: number | null;
    };
    add(answers, {
      figure: {
        panel,
        way,
        worker,
        samples,
        ...check !== null && { check: String(check) },
      },
    });
  }
}

/** The lines that a command writes. If it fails, the error has what it wrote to stderr. */
function outputOf(
  what: string,
  [command, ...args]: [program: string, ...string[]],
): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const running = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TMPDIR: folder, NO_COLOR: "1" },
    });
    child = running;
    const output: string[] = [];
    const errors: string[] = [];
    running.stdout.setEncoding("utf8").on("data", (text) => output.push(text));
    running.stderr.setEncoding("utf8").on("data", (text) => errors.push(text));
    running.on("error", reject);
    running.on("close", (status, signal) => {
      child = undefined;
      if (status === 0) {
        resolve(output.join("").split("\n").filter((line) => line !== ""));
      } else {
        const end = signal ?? `status ${status}`;
        reject(new Error(`${what} failed (${end}):\n${errors.join("")}`));
      }
    });
  });
}

function versions(): Record<"Deno" | "Bun", string> {
  const { deno = "" } = process.versions as Record<string, string>;
  const { stdout } = spawnSync(runtimes.Bun[0], ["--version"], {
    encoding: "utf8",
  });
  return { Deno: deno, Bun: stdout.trim() };
}

function commit(): string | undefined {
  const { status, stdout } = spawnSync(
    "git",
    ["-C", HERE, "rev-parse", "--short", "HEAD"],
    { encoding: "utf8" },
  );
  return status === 0 ? stdout.trim() : undefined;
}

function clearLine(): void {
  if (isatty(2)) fs.writeSync(2, "\r\x1b[K");
}

/** Shows on stderr what is measured now, and how long the rest takes. */
class Progress {
  readonly #start = performance.now();
  readonly #total: number;
  readonly #isTerminal = isatty(2);
  #done = 0;

  constructor(questions: Question[], rounds: number) {
    this.#total = sum(questions.map(({ seconds }) => seconds)) * rounds * 2;
  }

  /** One round of a question in one runtime is over. */
  done({ seconds }: Question): void {
    this.#done += seconds;
  }

  show(name: string, step: string): void {
    const part = this.#done / this.#total;
    const line = `${
      Math.floor(part * 100).toString().padStart(3)
    } % ${name}: ${step}${this.#left(part)}`;
    fs.writeSync(2, this.#isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  }

  #left(part: number): string {
    const elapsed = (performance.now() - this.#start) / 1000;
    // A quick run is over before its length can be estimated.
    if (part === 0 && options.quick) return "";
    const left = part < 0.02
      ? this.#total * (1 - part)
      : elapsed / part * (1 - part);
    return left < 90
      ? `; ${Math.ceil(left / 5) * 5} s left`
      : `; ${Math.ceil(left / 60)} min left`;
  }
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

for (const [signal, status] of Object.entries(STATUS_AT)) {
  process.on(signal, () => {
    child?.kill("SIGKILL");
    removeFolder();
    process.exit(status);
  });
}
try {
  if (!options.report && !options.picture) await runAll(selected(positionals));
  const results = JSON.parse(
    fs.readFileSync(join(output, "results.json"), "utf8"),
  ) as Results;
  if (options.picture) {
    if (results.quick || results.questions.length < QUESTIONS.length) {
      throw new Error(
        "the README's picture needs a whole run that is not quick.",
      );
    }
    await writePicture(results);
  } else console.log(await writeReport(results, output));
} catch (error) {
  clearLine();
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  removeFolder();
}
