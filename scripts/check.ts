/**
 * Format, lint, types, layers, the public API, docs, versions: what `scripts/check` runs. The
 * steps run side by side; each is right or wrong as a whole.
 *
 * @module
 */

import { availableParallelism } from "node:os";
import process from "node:process";
import { inParallel, print, run } from "./steps.ts";

const deno = process.execPath;
const script = (path: string, ...args: string[]) => [
  ...[deno, "run", "--quiet", "--allow-all", "--no-check"],
  ...[path, ...args],
];

/** The steps, the longest first. A new step is one more line. */
const STEPS: readonly (readonly [name: string, command: readonly string[]])[] =
  [
    ["deno check", [deno, "check"]],
    ["tsc, the library", ["node_modules/.bin/tsc", "-p", "."]],
    ["tsc, all else", ["node_modules/.bin/tsc", "-p", "tsconfig.tests.json"]],
    ["public API", script("scripts/api.ts")],
    ["deno fmt --check", [deno, "fmt", "--check"]],
    ["deno lint", [deno, "lint"]],
    ["deno doc --lint", [deno, "doc", "--lint", "mod.ts"]],
    ["layers", script("scripts/layers.ts")],
    ["generated classes", script("scripts/elements.ts", "--check")],
    ["docs", script("scripts/docs.ts", "--check")],
    ["versions", script("scripts/versions.ts")],
  ];

/** Runs all steps; how many went wrong. */
export async function check(): Promise<number> {
  let failed = 0;
  const jobs = STEPS.map(([name, command]) => async () => {
    if (!print(name, await run(command))) failed++;
  });
  await inParallel(jobs, Math.max(2, availableParallelism()));
  return failed;
}

if (import.meta.main) process.exit(await check() === 0 ? 0 : 1);
