/**
 * After thousands of rounds of open, slice, view, resize, flush and close, the process
 * holds what it held before.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fastFolder,
  isThorough,
  proof,
  runChild,
  skipWithoutProc,
  temporaryFolder,
} from "../../support/support.ts";

const ROUNDS = isThorough ? 100_000 : 2000;
// The runtime's own memory varies by 7 MiB and 20 mappings in the first thousands of
// rounds, and by no more in 100,000. Its spare room is known to within a few MiB. In
// 100,000 rounds, one leaked page in every twelve rounds would exceed the limit.
const DESCRIPTORS = 20;
const MAPPINGS = 100;
/** In bytes. */
const RESIDENT = 2 ** 25;

test(
  "descriptors, mappings and memory end where they began, whatever the rounds",
  {
    skip: skipWithoutProc,
    timeout: 900_000,
  },
  () => {
    using folder = temporaryFolder(fastFolder());
    const { status, signal, stdout, stderr } = runChild(
      new URL("./children/soak.ts", import.meta.url),
      { args: [folder.path, String(ROUNDS)], timeout: 900_000 },
    );
    assert.deepEqual(
      { status, signal },
      { status: 0, signal: null },
      stderr,
    );
    const { descriptors, mappings, resident } = JSON.parse(stdout);
    const growth = `${descriptors} descriptors, ${mappings} mappings and ` +
      `${(resident / 2 ** 20).toFixed(1)} MiB more than before`;
    assert.ok(descriptors < DESCRIPTORS, growth);
    assert.ok(mappings < MAPPINGS, growth);
    assert.ok(resident < RESIDENT, growth);
    proof(`${ROUNDS} rounds of open to close: ${growth}`);
  },
);
