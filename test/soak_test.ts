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
// What a runtime holds for itself comes and goes: by 5 MiB and a dozen mappings in the
// first thousands of rounds, and by no more in 100,000. A page a round would be 20 MiB
// in 5000 rounds, and a mapping in a hundred rounds 50.
const MAPPINGS = 40;
/** Bytes. */
const RESIDENT = 2 ** 24;

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
