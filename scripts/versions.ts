/**
 * Checks that the version is one: in the files that carry it, in the newest heading of
 * CHANGELOG.md and, before a release, in the tag.
 *
 *     scripts/versions.ts          what scripts/check runs
 *     scripts/versions.ts v1.2.3   before a release: the changelog must have a date
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";

/** Reads a file of the repository, by its path there. */
export type Read = (path: string) => string;

/** What is wrong with the versions, one line each. */
export function versionProblems(read: Read, tag?: string): string[] {
  const { version } = JSON.parse(read("deno.json"));
  const lock = JSON.parse(read("package-lock.json"));
  const [, newest, state] = /^## (\S+) \((.*)\)$/m.exec(read("CHANGELOG.md")) ??
    [];
  const others: [place: string, version: unknown][] = [
    ["package.json", JSON.parse(read("package.json")).version],
    ["package-lock.json", lock.version],
    ["package-lock.json, packages", lock.packages[""].version],
    ["CHANGELOG.md, its newest heading", newest],
  ];
  const problems = others.filter(([, other]) => other !== version)
    .map(([place, other]) =>
      `${place} says ${other}, and deno.json says ${version}`
    );
  if (tag === undefined) return problems;
  if (tag !== `v${version}`) {
    problems.push(`the tag is ${tag}, and deno.json says ${version}`);
  }
  if (!/^\d{4}-\d\d-\d\d$/.test(state ?? "")) {
    problems.push(
      `CHANGELOG.md says (${state}) of ${newest}, where the date belongs`,
    );
  }
  return problems;
}

if (import.meta.main) {
  const root = new URL("../", import.meta.url);
  const read: Read = (path) => readFileSync(new URL(path, root), "utf8");
  const problems = versionProblems(read, process.argv[2]);
  for (const line of problems) console.error(line);
  if (problems.length > 0) process.exitCode = 1;
}
