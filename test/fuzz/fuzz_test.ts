/**
 * Random sequences of all public operations, over several maps and modes, compared with
 * the model in `model.ts`. `scripts/fuzz` runs them for any length of time.
 *
 * `MEMMAP_FUZZ_SEED` selects other sequences.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { watch } from "./watch.ts";
import {
  fastFolder,
  isThorough,
  proof,
  SEED,
  temporaryFolder,
} from "../support/support.ts";

const SEQUENCES = isThorough ? 12_000 : 800;

test("random sequences of all operations do what a plain model does", {
  timeout: 900_000,
}, async () => {
  using folder = temporaryFolder(fastFolder());
  const { sequences, operations, failure } = await watch({
    folder: folder.path,
    seed: SEED,
    sequences: SEQUENCES,
    milliseconds: Infinity,
  });
  if (failure !== undefined) {
    assert.fail(`${failure.message}\n\n${failure.program}`);
  }
  assert.equal(sequences, SEQUENCES);
  proof(
    `${sequences} random sequences of ${operations} operations did what ` +
      "the model does",
  );
});
