/**
 * The example that comments on a WAV file is killed at random moments.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { comment } from "../../../examples/wav_comment.ts";
import { open } from "../../../mod.ts";
import {
  commandOf,
  isThorough,
  proof,
  randomFrom,
  SEED,
  temporaryFolder,
} from "../../support/support.ts";
import { brokenWav, numberOfComment, textOf } from "./wav.ts";

const KILLS = isThorough ? 200 : 10;
const CHILD = new URL("children/wav_comment.ts", import.meta.url);

/** Runs the child and kills it some time after its first comment. Returns its last. */
async function kill(
  path: string,
  number: number,
  milliseconds: number,
): Promise<number> {
  const [command, ...args] = commandOf(CHILD, [path, `${number}`]);
  const child = spawn(command, args);
  let [stdout, stderr] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  const begun = new Promise<void>((resolve) =>
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      resolve();
    })
  );
  const ended = new Promise<void>((resolve) => child.on("close", resolve));
  await Promise.race([begun, ended]);
  await setTimeout(milliseconds);
  child.kill("SIGKILL");
  await ended;
  assert.equal(child.signalCode, "SIGKILL", stderr);
  const lines = stdout.split("\n").slice(0, -1);
  return Number(lines.at(-1) ?? number - 1);
}

test("a WAV file whose sizes and comment are written in one commit is whole after each kill", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "sound.wav");
  fs.writeFileSync(path, brokenWav());
  comment(path, textOf(0));
  const random = randomFrom(SEED);
  let number = 0;
  let unfinished = 0;
  for (let i = 0; i < KILLS; i++) {
    const last = await kill(path, number + 1, random() * 40);
    const found = numberOfComment(path); // by a map that only reads
    const label =
      `seed ${SEED}, kill ${i}: ${last} was said, ${found} is there`;
    assert.ok(found === last || found === last + 1, label);
    if (fs.readdirSync(folder.path).length > 1) unfinished++;
    open(path, "r+").close(); // finishes what was begun, if something was
    assert.equal(numberOfComment(path), found, label);
    assert.deepEqual(fs.readdirSync(folder.path), ["sound.wav"], label);
    number = found;
  }
  proof(
    `a WAV file was whole after ${KILLS} kills amid ${number} commits, ` +
      `${unfinished} of which had left a journal`,
  );
});
