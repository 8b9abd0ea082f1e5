/**
 * What `scripts/test` runs: the tests of both runtimes side by side, in one runner
 * process a promise, and what else must hold.
 *
 * Arguments: the tier, and the path of Bun.
 *
 * @module
 */

import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { check } from "./check.ts";
import {
  type Counts,
  countTests,
  inParallel,
  print,
  run,
  scratchFolder,
  skippedTests,
} from "./steps.ts";

const [tier, bun] = process.argv.slice(2) as [
  "quick" | "ordinary" | "thorough",
  string,
];
const deno = process.execPath;
const root = fileURLToPath(new URL("../", import.meta.url));
const env: Record<string, string> = tier === "thorough"
  ? { MEMMAP_THOROUGH: "1" }
  : {};

type Runtime = "deno" | "bun";
const NAMES = { deno: "Deno", bun: "Bun" } as const;
const COMMANDS: Readonly<Record<Runtime, readonly string[]>> = {
  // The types are checked once, by scripts/check.
  deno: [deno, "test", "--allow-all", "--no-check"],
  bun: [bun, "test", "--timeout", "900000"],
};

/**
 * A folder in memory, where no test waits for a disk that others use, too; the
 * ordinary one where memory has no room for files.
 */
function memoryFolder(): string {
  try {
    accessSync("/dev/shm", constants.W_OK);
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize > 2 ** 30) return "/dev/shm";
  } catch {
    // There is none.
  }
  return tmpdir();
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command that is right or wrong as a whole. */
async function step(name: string, command: readonly string[]): Promise<void> {
  if (!print(name, await run(command, { env }))) total.failed++;
}

/** Runs tests and counts them. */
async function tests(
  name: string,
  runtime: Runtime,
  files: readonly string[],
  folder: string,
): Promise<void> {
  const outcome = await run([...COMMANDS[runtime], ...files], {
    env: { ...env, TMPDIR: folder },
  });
  const counts = countTests(runtime, outcome);
  const isRight = print(name, outcome);
  if (isRight && counts.failed > 0) console.log("  | No test ran.");
  if (isRight) {
    for (const test of skippedTests(outcome.output)) {
      console.log(`  skipped: ${test}`);
    }
  }
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}

/**
 * The documentation's examples. They write files such as "example.dat" where they
 * run: in a folder of their own. Deno adds an import of all that a module exports
 * to each, so unused ones must be allowed there.
 */
async function examples(folder: string): Promise<void> {
  mkdirSync(folder);
  const text = readFileSync(join(root, "deno.json"), "utf8");
  const { name, compilerOptions } = JSON.parse(text);
  const config = join(folder, "deno.json");
  writeFileSync(
    config,
    JSON.stringify({
      imports: { [name]: pathToFileURL(join(root, "mod.ts")).href },
      compilerOptions: { ...compilerOptions, noUnusedLocals: false },
    }),
  );
  // The examples' types are checked here and nowhere else.
  const outcome = await run([
    ...[deno, "test", "--allow-all", "--doc", "--config", config],
    ...["mod.ts", "src/", "README.md"].map((path) => join(root, path)),
  ], { cwd: folder });
  const counts = countTests("deno", outcome);
  print("documentation's examples", outcome);
  total.passed += counts.passed;
  total.failed += counts.failed;
}

/** Test files by the promise that they prove, or else by their folder. */
function groups(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const name of readdirSync(join(root, "test"), { recursive: true })) {
    if (typeof name !== "string" || !name.endsWith("_test.ts")) continue;
    const [room, promise] = name.split("/");
    const group = room === "system" ? promise! : room === "api" ? "API" : room!;
    found.set(group, [...found.get(group) ?? [], `./test/${name}`]);
  }
  for (const files of found.values()) files.sort();
  return found;
}

/** Groups that take long, begun first, so that none is left alone at the end. */
const LONGEST = [
  ...["crash", "large", "API", "unit", "file_systems", "sharing"],
  ...["hostile_arguments", "leaks", "memory_safety", "faults", "guest"],
  ...["permissions", "soak", "fuzz"],
];
/** Groups that take several GiB of memory: one runtime after the other. */
const ALONE = ["large"];
/**
 * Groups whose files need no disk, but for the thorough tier. Not those that give
 * Deno few permissions: below /dev it asks for all.
 */
const IN_MEMORY = ["crash", "faults", "fuzz", "leaks", "memory_safety", "soak"];

/** Jobs that run all test files under both runtimes. */
function testJobs(only?: readonly string[]): (() => Promise<void>)[] {
  const rank = (group: string) => {
    const index = LONGEST.indexOf(group);
    return index === -1 ? LONGEST.length : index;
  };
  const jobs: (() => Promise<void>)[] = [];
  const sorted = [...groups()].sort(([a], [b]) => rank(a) - rank(b));
  for (const [group, files] of sorted) {
    if (only !== undefined && !only.includes(group)) continue;
    const isInMemory = tier === "quick" ||
      tier === "ordinary" && IN_MEMORY.includes(group);
    const folder = isInMemory ? memory : tmpdir();
    const under = (runtime: Runtime) =>
      tests(`${NAMES[runtime]}: ${group}`, runtime, files, folder);
    if (ALONE.includes(group)) {
      jobs.push(async () => {
        await under("deno");
        await under("bun");
      });
    } else jobs.push(() => under("deno"), () => under("bun"));
  }
  return jobs;
}

/** A little fuzz, from another seed each time; what fails names its seed. */
async function fuzz(runtime: Runtime): Promise<void> {
  const folder = mkdtempSync(join(memory, "fuzz-"));
  const seed = Math.floor(Math.random() * 2 ** 24);
  const command = runtime === "deno"
    ? [deno, "run", "--quiet", "--allow-all", "--no-check"]
    : [bun, "run", "--no-install"];
  const args = ["scripts/fuzz.ts", folder, "5", String(seed)];
  await step(`${NAMES[runtime]}: fuzz from seed ${seed}`, [
    ...command,
    ...args,
  ]);
}

const scratch = scratchFolder(tmpdir());
const memory = scratchFolder(memoryFolder());
const version = await run([bun, "--version"]);
const { deno: denoVersion } = process.versions as Record<string, string>;
console.log(`Deno ${denoVersion}, Bun ${version.output.trim()}`);
// One more than there are processors, since some wait for the disk.
const width = Math.max(2, availableParallelism()) + 1;
if (tier === "quick") {
  const fuzzes = [() => fuzz("deno"), () => fuzz("bun")];
  await inParallel([...testJobs(["API", "unit"]), ...fuzzes], width);
} else {
  total.failed += await check();
  const bench = ["--quick", "--output", join(scratch, "bench")];
  await inParallel([
    // Each benchmark runs and reads the right bytes; how fast is not asked here.
    () => step("scripts/bench --quick", ["scripts/bench", ...bench]),
    ...testJobs(),
    () => examples(join(scratch, "examples")),
    () =>
      step("deno publish --dry-run", [
        ...[deno, "publish", "--dry-run", "--allow-dirty"],
      ]),
  ], width);
}

const { passed, failed, skipped } = total;
const summary = [`${passed} passed`, `${failed} failed`];
if (skipped > 0) summary.push(`${skipped} skipped`);
console.log(summary.join(", "));
process.exit(failed === 0 ? 0 : 1);
