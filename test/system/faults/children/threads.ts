/**
 * Many threads, each with maps whose files are cut while it reads them.
 *
 * Run by faults_test.ts with a folder and the number of threads. Prints how many maps
 * were cut in how many threads, how many faults that caused, and how many threads share
 * one table.
 *
 * @module
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { libc } from "../../../../ffi/libc.ts";
import { open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

/** How many maps each thread opens. */
const MAPS = 4;
/** What each waiting thread adds to a number in the guard's table. */
const MARK = 1_000_000;
/** How many threads start at a time; a small machine copes with this many. */
const AT_ONCE = 25;
const THREAD = new URL("./thread.ts", import.meta.url);

async function main(folder: string, count: number): Promise<void> {
  const path = join(folder, "main.dat");
  writeFileSync(path, "x");
  using _ = open(path);
  let faults = 0;
  let sharing = 0;
  for (let first = 0; first < count; first += AT_ONCE) {
    const workers = Array.from(
      { length: AT_ONCE },
      () => new Worker(THREAD, { type: "module" }),
    );
    const answers = () =>
      Promise.all(
        workers.map((worker) =>
          new Promise<unknown>((resolve, reject) => {
            worker.onmessage = ({ data }) => resolve(data);
            worker.onerror = (event) => reject(new Error(event.message));
          })
        ),
      );
    let next = answers();
    workers.forEach((worker, i) =>
      worker.postMessage(join(folder, String(first + i)))
    );
    await next;
    sharing += Math.floor(Atomics.load(libc().guard!.waiting!, 0) / MARK);
    next = answers();
    for (const worker of workers) worker.postMessage("go");
    for (const count of await next) faults += Number(count);
    for (const worker of workers) worker.terminate();
  }
  console.log(
    JSON.stringify({
      workers: count,
      maps: count * MAPS,
      faults,
      sharing,
    }),
  );
}

const [folder, threads] = givenArguments("folder", "threads");
await main(folder, Number(threads));
