/**
 * Stops a worker in the middle of a flush. Then it flushes the file in this thread, and
 * in another process.
 *
 * Run by sharing_test.ts with the file's path, how to flush, how to stop, and whether by
 * `flush` or by `flushAsync`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  isMainThread,
  parentPort,
  Worker,
  workerData,
} from "node:worker_threads";
import { type FlushOptions, open } from "../../../../mod.ts";
import { commandOf } from "../../../support/support.ts";

const MIB = 2 ** 20;

/** Flushes `path` as `how` says, and never finishes. */
async function flushForEver(
  path: string,
  how: string,
  stop: string,
  driver: string,
): Promise<void> {
  const map = open(path);
  map.insert(how === "extend" ? map.mappedLength : 5, new Uint8Array(9 * MIB));
  let calls = 0;
  const options: FlushOptions = {
    onProgress() {
      if (++calls !== 1) return;
      parentPort!.postMessage("flushing");
      if (stop === "exit") process.exit();
      const end = Date.now() + 1000;
      while (Date.now() < end);
    },
  };
  if (how === "save") options.path = `${path}.saved`;
  if (how === "in-place") options.strategy = how;
  if (driver === "flush") map.flush(options);
  else await map.flushAsync(options);
}

if (isMainThread) {
  const [, self, path, how, stop, driver] = process.argv;
  const target = how === "save" ? `${path}.saved` : path!;
  fs.writeFileSync(path!, new Uint8Array(3 * MIB).fill(1));
  if (how === "save") fs.writeFileSync(target, "");
  const worker = new Worker(new URL(`file://${self}`), {
    workerData: { path, how, stop, driver },
  });
  await new Promise((resolve) => worker.once("message", resolve));
  await worker.terminate();
  // Deno lets the flush finish.
  const append = () => {
    using map = open(target);
    map.insert(map.mappedLength, new Uint8Array([7]));
    map.flush();
  };
  let failure: unknown = "none";
  for (let tries = 0; tries < 200 && failure !== undefined; tries++) {
    try {
      append();
      failure = undefined;
    } catch (error) {
      failure = error;
      await sleep(50);
    }
  }
  if (failure !== undefined) throw failure;
  const appender = new URL("./appender.ts", import.meta.url);
  const [command, ...args] = commandOf(appender, [target, "7", "1", "1"]);
  const other = spawnSync(command!, args, {
    encoding: "utf8",
    timeout: 60_000,
  });
  if (other.stdout !== "1\n") {
    throw new Error(`Another process: ${other.stderr}`);
  }
  const bytes = fs.readFileSync(target);
  console.log(JSON.stringify({
    size: bytes.length,
    ends: bytes.subarray(-2).equals(Buffer.from([7, 7])),
    beside: fs.readdirSync(new URL(".", `file://${path}`)).length,
  }));
  process.exit(0);
} else {
  const { path, how, stop, driver } = workerData;
  await flushForEver(path, how, stop, driver);
}
