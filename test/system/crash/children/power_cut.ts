/**
 * Flushes on a small ext4 image. After every system call that changes something, it
 * stops the flush and copies the image, which is what a power cut would leave. Then it
 * checks each copy, as after a restart.
 *
 * Run by crash_test.ts in its own mount namespace, with a folder for images, and "all"
 * or "sample".
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  FINISHED,
  leaveKilled,
  restartSystem,
  whatIsLeft,
} from "../aftermath.ts";
import {
  type Driver,
  same,
  type Scenario,
  scenarioNamed,
  SCENARIOS,
} from "../flush_scenarios.ts";
import { Forks } from "../../../support/strace.ts";
import type { Request } from "./flush.ts";
import {
  forEach,
  givenArguments,
  isDeno,
  ourShare,
} from "../../../support/support.ts";

/** What came of it. */
export interface PowerCutReport {
  flushes: number;
  /** The number of power cuts, by what was found afterwards. */
  old: number;
  new: number;
  /** Of these, how many left an image that had been checked already. */
  repeated: number;
}

/** What else happens during a flush. */
type Meanwhile = "nothing" | "commits" | "writeback";

/** A flush and the circumstances of its power cuts. */
interface Cut {
  readonly action: "flush" | "reopen";
  readonly driver: Driver;
  readonly scenario: Scenario;
  readonly meanwhile: Meanwhile;
  /** How ext4 orders data and metadata. */
  readonly data: "ordered" | "writeback";
}

const [root, extent] = givenArguments("folder", "extent");
const CHILD = new URL("./flush.ts", import.meta.url);
const SIZE = 24 * 2 ** 20;

/**
 * Calls that change a file, a folder or the disk. strace ignores those that it does not
 * know. copy_file_range is left out, since it restarts for as long as a signal is
 * pending. What it has done shows after the next call.
 */
const CHANGING = [
  "openat",
  "write",
  "pwrite64",
  "ftruncate",
  "fallocate",
  "fsync",
  "fdatasync",
  "sync_file_range",
  "?rename",
  "renameat",
  "renameat2",
  "?unlink",
  "unlinkat",
  "?link",
  "linkat",
  "fchmod",
  "fchown",
  "fsetxattr",
  "fremovexattr",
  "msync",
  "munmap",
  "close",
].join();

function command(name: string, ...args: string[]): void {
  const { status, stderr, error } = spawnSync(name, args, { encoding: "utf8" });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${name} ${args.join(" ")}: ${stderr}`);
}

/** A mounted image, until the end of the block. */
function mounted(
  image: string,
  options = "",
): { path: string } & Disposable {
  const path = `${image}.mounted`;
  fs.mkdirSync(path);
  // The kernel writes nothing back by itself within the next hour.
  command("mount", "-o", `loop,commit=3600${options}`, image, path);
  return {
    path,
    [Symbol.dispose]: () => {
      command("umount", path);
      fs.rmdirSync(path);
    },
  };
}

function makeImage(path: string): void {
  fs.writeFileSync(path, "");
  fs.truncateSync(path, SIZE);
  // Leaves the kernel nothing to do later by itself.
  const extended = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
  command("mkfs.ext4", "-q", "-F", "-E", extended, path);
}

/** What has reached the disk. It is read until two reads agree. */
function readDisk(image: string, bytes: Uint8Array, again: Uint8Array): void {
  const fd = fs.openSync(image, "r");
  try {
    do {
      for (const buffer of [bytes, again]) fs.readSync(fd, buffer, 0, SIZE, 0);
    } while (!same(bytes, again));
  } finally {
    fs.closeSync(fd);
  }
}

const report: PowerCutReport = { flushes: 0, old: 0, new: 0, repeated: 0 };
const problems: string[] = [];

/** A working folder, and buffers for states of a disk. */
interface Bench {
  readonly root: string;
  readonly now: Uint8Array;
  readonly last: Uint8Array;
  readonly scratch: Uint8Array;
}

/** Runs a flush, and checks what is on the disk after each of its system calls. */
async function run(cut: Cut, forks: Forks, bench: Bench): Promise<void> {
  const { action, driver, scenario, meanwhile, data } = cut;
  const { root, now, last, scratch } = bench;
  const image = join(root, "image");
  makeImage(image);
  {
    using disk = mounted(image, `,data=${data}`);
    const folder = join(disk.path, "folder");
    const other = join(disk.path, "other");

    const disturb = () => {
      if (meanwhile === "writeback") command("sync", "-f", disk.path);
      if (meanwhile !== "commits") return;
      // All files share ext4's journal: this also commits what waits in it.
      const fd = fs.openSync(other, "a");
      fs.writeSync(fd, "x");
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    };

    let left: "old" | "new" | undefined;
    const cutPower = (after: string, hasReturned: boolean) => {
      const where = `power cut, data=${data}, ${meanwhile} meanwhile, ` +
        `${
          action === "flush" ? driver : action
        } of "${scenario.name}" after ${after}`;
      readDisk(image, now, scratch);
      try {
        if (left !== undefined && same(now, last)) report.repeated++;
        else {
          last.set(now);
          left = undefined;
          left = lookAt(now, join(root, "copy"), scenario, where);
        }
        report[left]++;
        if (action === "reopen") assert.equal(left, FINISHED, where);
        else if (hasReturned) assert.equal(left, "new", `${where}, the last`);
      } catch (error) {
        problems.push((error as Error).message);
      }
    };

    let hasReturned = false;
    const watch = async (pid: number, trace: string) => {
      for (let stops = 0; !hasReturned && !isGone(pid);) {
        const text = fs.readFileSync(trace, "utf8");
        const times = text.split("--- SIGSTOP {").length - 1;
        if (times === stops) {
          await sleep(1);
          continue;
        }
        stops = times;
        const calls = text.split("\n").filter((line) => /^\w+\(/.test(line));
        hasReturned = text.includes('"/memmap-test-ends"');
        disturb();
        if (text.includes('"/memmap-test-begins"')) {
          cutPower(calls.at(-1)!, hasReturned);
        }
        process.kill(pid, hasReturned ? "SIGKILL" : "SIGCONT");
      }
    };

    if (action === "reopen") leaveKilled(folder, scenario);
    const request: Request = { action, driver, name: scenario.name, folder };
    const { stderr } = await forks.runTraced(request, {
      inject: `${CHANGING}:signal=SIGSTOP`,
      prepare: () => command("sync", "-f", disk.path),
      watch,
      timeout: 120_000,
    });
    assert.ok(hasReturned, `${scenario.name}: ${stderr}`);
  }
  fs.unlinkSync(image);
  report.flushes++;
}

/** Mounts a copy, which replays ext4's journal, and checks the file in it. */
function lookAt(
  disk: Uint8Array,
  copy: string,
  scenario: Scenario,
  where: string,
): "old" | "new" {
  fs.writeFileSync(copy, disk);
  try {
    using again = mounted(copy);
    const folder = join(again.path, "folder");
    restartSystem(folder, scenario);
    return whatIsLeft(folder, scenario, where);
  } finally {
    fs.unlinkSync(copy);
  }
}

function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch {
    return true;
  }
}

function cuts(): readonly Cut[] {
  const durable = SCENARIOS.filter(({ options }) => options.durable !== false);
  const pattern = RegExp(process.env["MEMMAP_SCENARIOS"] ?? "");
  const chosen = durable.filter(({ name, isSample }) =>
    (extent === "all" || isSample) && pattern.test(name)
  );
  const circumstances: Pick<Cut, "meanwhile" | "data">[] = [
    { meanwhile: "nothing", data: "ordered" },
    { meanwhile: "commits", data: "ordered" },
    { meanwhile: "writeback", data: "ordered" },
    { meanwhile: "commits", data: "writeback" },
  ];
  const all: Cut[] = [];
  for (const [j, circumstance] of circumstances.entries()) {
    if (extent !== "all" && circumstance.meanwhile === "writeback") continue;
    for (const [i, scenario] of chosen.entries()) {
      // The same calls in the same order. So each runtime has one of the two.
      const isSync = (i + j) % 2 === Number(isDeno);
      const driver = isSync ? "flush" : "flushAsync, at once";
      all.push({ action: "flush", driver, scenario, ...circumstance });
    }
    if (extent === "all") {
      for (const name of ["append", "commit", "commit and append"]) {
        const scenario = scenarioNamed(name);
        const driver = "flush";
        all.push({ action: "reopen", driver, scenario, ...circumstance });
      }
    }
  }
  return ourShare(all);
}

const buffer = () => new Uint8Array(SIZE);

const forks = new Forks(CHILD);
await forEach(cuts(), async (cut) => {
  // The copy is mounted beside the original, so its device has another number. That can
  // also happen after a restart.
  const [now, last, scratch] = [buffer(), buffer(), buffer()];
  const folder = fs.mkdtempSync(join(root, "bench-"));
  await run(cut, forks, { root: folder, now, last, scratch });
  fs.rmSync(folder, { recursive: true });
});
forks[Symbol.dispose]();
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
console.log(JSON.stringify(report));
