/**
 * The check that every file names the same version.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { versionProblems } from "../../../scripts/versions.ts";

/** A repository at version 1.2.3, but for `changes`. */
function problemsWith(
  changes: Readonly<Record<string, string>>,
  tag?: string,
): string[] {
  const files: Record<string, string> = {
    "deno.json": '{ "version": "1.2.3" }',
    "package.json": '{ "version": "1.2.3" }',
    "package-lock.json":
      '{ "version": "1.2.3", "packages": { "": { "version": "1.2.3" } } }',
    "CHANGELOG.md":
      "# Changelog\n\n## 1.2.3 (2026-11-29)\n\n## 1.2.2 (2026-11-01)\n",
    ...changes,
  };
  return versionProblems((path) => files[path]!, tag);
}

test("files that all name one version pass", () => {
  assert.deepEqual(problemsWith({}), []);
  assert.deepEqual(problemsWith({}, "v1.2.3"), []);
});

test("each file that names another version is reported", () => {
  const others: Record<string, string> = {
    "package.json": '{ "version": "1.2.4" }',
    "package-lock.json":
      '{ "version": "1.2.3", "packages": { "": { "version": "1.2.4" } } }',
    "CHANGELOG.md": "## 1.2.4 (unreleased)\n\n## 1.2.3 (2026-11-29)\n",
  };
  for (const [path, text] of Object.entries(others)) {
    const [problem = "", ...others] = problemsWith({ [path]: text });
    assert.deepEqual(others, []);
    assert.ok(problem.startsWith(path), problem);
    assert.match(problem, /1\.2\.4.*1\.2\.3/);
  }
  const lock = '{ "version": "1.2.4", "packages": { "": {} } }';
  assert.equal(problemsWith({ "package-lock.json": lock }).length, 2);
  assert.equal(
    problemsWith({ "deno.json": '{ "version": "2.0.0" }' }).length,
    4,
  );
});

test("a changelog without a heading of a version is reported", () => {
  assert.equal(problemsWith({ "CHANGELOG.md": "# Changelog\n" }).length, 1);
});

test("a release needs the tag of its version, and a date in the changelog", () => {
  assert.match(problemsWith({}, "v1.2.4").join(), /v1\.2\.4.*1\.2\.3/);
  assert.match(problemsWith({}, "1.2.3").join(), /the tag is 1\.2\.3/);
  const changelog = "## 1.2.3 (unreleased)\n";
  assert.deepEqual(problemsWith({ "CHANGELOG.md": changelog }), []);
  assert.match(
    problemsWith({ "CHANGELOG.md": changelog }, "v1.2.3").join(),
    /\(unreleased\)/,
  );
});
