/**
 * Whoever opens a file to which others commit, or locks it, sees one commit or the next,
 * and never a mixture; also where the committing process is killed.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { type Mode, open } from "../../../mod.ts";
import {
  isThorough,
  proof,
  randomFrom,
  SEED,
  temporaryFolder,
} from "../../support/support.ts";
import { makeNumbers, numberIn } from "./numbers.ts";
import { otherRuntime, start } from "./processes.ts";

const TIMEOUT = 900_000;
const COMMITS = isThorough ? 10_000 : 500;
const KILLS = isThorough ? 200 : 12;

/** Has one process commit, and others read in these ways. */
async function readDuring(
  strategy: string,
  ways: readonly string[],
): Promise<void> {
  using folder = temporaryFolder();
  const path = join(folder.path, "numbers");
  makeNumbers(path);
  fs.writeFileSync(`${path}.busy`, "");
  const readers = ways.map((how, i) =>
    start(
      "commit_reader",
      [path, how],
      i % 2 === 1 ? otherRuntime() : undefined,
    )
  );
  const writer = start("committer", [path, `${COMMITS}`, strategy]);
  // Nobody waits for a reader that has failed.
  const failed = Promise.all(readers.map(({ ended }) => ended));
  await Promise.race([writer.ended, failed]);
  fs.unlinkSync(`${path}.busy`);
  const found = (await failed).map((text) => JSON.parse(text));
  await writer.ended;
  assert.equal(numberIn(fs.readFileSync(path)), COMMITS);
  assert.deepEqual(fs.readdirSync(folder.path), ["numbers"]);
  ways.forEach((how, i) => {
    const { reads, numbers, busy } = found[i];
    assert.ok(numbers > 2, `${how}: ${numbers} numbers in ${reads} reads`);
    proof(
      `${reads} reads (${how}, ${strategy}) during ${COMMITS} commits: ` +
        `${numbers} of them, and no mixture; ${busy} opens were EBUSY`,
    );
  });
}

test(
  "under the lock, a reader sees one commit or the next, by a new map or by one that it keeps",
  {
    timeout: TIMEOUT,
  },
  () => readDuring("auto", ["afresh", "kept"]),
);

test(
  "without the lock, whoever opens a file that is replaced sees one commit or the next",
  {
    timeout: TIMEOUT,
  },
  () => readDuring("replace", ["without", "without"]),
);

test(
  "after a kill at any moment, whoever opens the file sees all of a commit, or nothing of it",
  {
    timeout: TIMEOUT,
  },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "numbers");
    makeNumbers(path);
    const random = randomFrom(SEED);
    const left = { acknowledged: 0, next: 0, journals: 0 };
    using kept = open(path, "r");
    const read = (mode: Mode) => {
      using map = open(path, mode);
      return numberIn(map.read());
    };
    for (let round = 0; round < KILLS; round++) {
      const strategy = "auto";
      const running = start("committer", [path, "4000000000", strategy]);
      while (running.output() === "") {
        await Promise.race([setTimeout(2), running.ended]);
      }
      await setTimeout(random() * 30);
      running.kill();
      const said = (await running.ended).trimEnd().split("\n");
      const acknowledged = Number(said.at(-1));
      const hasJournal = fs.readdirSync(folder.path).length > 1;
      if (hasJournal) left.journals++;
      const number = read("r");
      assert.ok(
        number === acknowledged || number === acknowledged + 1,
        `${number} after ${acknowledged}`,
      );
      left[number === acknowledged ? "acknowledged" : "next"]++;
      assert.equal(read("c"), number);
      {
        using _ = await kept.lock({ shared: true });
        assert.equal(numberIn(kept.read()), number);
      }
      // Every other time, the next process to commit finishes it.
      if (round % 2 === 0) continue;
      assert.equal(read("r+"), number);
      assert.equal(numberIn(fs.readFileSync(path)), number);
      assert.deepEqual(fs.readdirSync(folder.path), ["numbers"]);
    }
    assert.ok(process.platform !== "linux" || left.journals > 0);
    proof(
      `${KILLS} kills of a process that commits: ${left.acknowledged} times its last ` +
        `commit was there, ${left.next} times the next`,
    );
  },
);
