/**
 * Thousands of rounds of open, slice, view, resize, flush and close leave the
 * process with what it had.
 *
 * @module
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { fastFolder } from "./fuzz_run.ts";
import { runChild, skipWithoutProc, temporaryFolder } from "./support.ts";

const isThorough = process.env["MEMMAP_THOROUGH"] !== undefined;
const ROUNDS = isThorough ? 100_000 : 5000;
// What a runtime holds for itself comes and goes. Measured over 100,000 rounds: Deno's
// resident memory rises by up to 20 MiB, and its mappings by up to 75, in the first
// 30,000 of them, as V8's heap takes its size, and not after that; Bun's stay within
// 1 MiB, and not one mapping more. A page a round would be 20 MiB in 5000 rounds and
// 400 in 100,000; a mapping in thirty rounds would be 166 and 3333.
const MAPPINGS = 150;
/** Bytes. */
const RESIDENT = isThorough ? 2 ** 25 : 2 ** 24;

test(
  "descriptors, mappings and memory end where they began, whatever the rounds",
  {
    skip: skipWithoutProc,
    timeout: 900_000,
  },
  () => {
    using folder = temporaryFolder(fastFolder());
    const { status, signal, stdout, stderr } = runChild(
      new URL("./child_soak.ts", import.meta.url),
      { args: [folder.path, String(ROUNDS)], timeout: 900_000 },
    );
    assert.deepEqual({ status, signal, stderr }, {
      status: 0,
      signal: null,
      stderr: "",
    });
    const { descriptors, mappings, resident } = JSON.parse(stdout);
    const growth = `${descriptors} descriptors, ${mappings} mappings and ` +
      `${(resident / 2 ** 20).toFixed(1)} MiB more than before`;
    assert.ok(descriptors <= 0, growth);
    assert.ok(mappings < MAPPINGS, growth);
    assert.ok(resident < RESIDENT, growth);
    console.log(`proof: ${ROUNDS} rounds of open to close: ${growth}`);
  },
);
