/**
 * What does it cost to insert bytes where files can share blocks?
 *
 * Such a file system is made in an image, and mounted where one child process sees it:
 * this file once more, with the folder to measure in.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { open } from "../mod.ts";
import { ExpectedFile } from "./suite/expected_file.ts";
import { MiB, sizeName } from "./suite/files.ts";
import { ask, isDeno } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";

/** File systems, and how one is made in a file. */
const SYSTEMS = {
  XFS: "mkfs.xfs -q -f",
  btrfs: "mkfs.btrfs -q -f",
} as const;

/** Bytes inserted. */
const COUNTS = [MiB, 1000] as const;
const FLUSH = "flush, replace";
const PLAIN = "read, write new, rename";

function sizeOf(quick: boolean): number {
  return (quick ? 16 : 512) * MiB;
}

function inserted(count: number): string {
  return count === MiB ? "1 MiB" : `${count} bytes`;
}

function timePanel(system: string, size: number, count: number): Panel {
  return {
    title: `${inserted(count)} into ${sizeName(size)}, ${system}`,
    group: `${
      inserted(count)
    } inserted at an odd offset in the middle, durable`,
    unit: "ns",
    per: "an insert",
    better: "less",
    scale: "log",
    ways: { [FLUSH]: "mapped", [PLAIN]: "plain" },
    base: PLAIN,
  };
}

function roomPanel(system: string, size: number, count: number): Panel {
  return {
    ...timePanel(system, size, count),
    title: `room for ${inserted(count)} into ${sizeName(size)}, ${system}`,
    group: `Disk that is taken while old and new file are there, for ${
      inserted(count)
    }`,
    unit: "B",
  };
}

const WAYS: Record<string, (path: string, at: number, b: Uint8Array) => void> =
  {
    [FLUSH](path, at, bytes) {
      using map = open(path);
      map.insert(at, bytes);
      map.flush({ strategy: "replace" });
    },
    [PLAIN](path, at, bytes) {
      const content = fs.readFileSync(path);
      const fd = fs.openSync(`${path}.new`, "w");
      const parts = [content.subarray(0, at), bytes, content.subarray(at)];
      for (const part of parts) fs.writeFileSync(fd, part);
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      fs.renameSync(`${path}.new`, path);
      syncFolder(dirname(path));
    },
  };

function syncFolder(path: string): void {
  const fd = fs.openSync(path, "r");
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

/** Milliseconds between two looks at the room. */
const PAUSE = 50;
const NEVER = new Int32Array(new SharedArrayBuffer(4));

/**
 * Bytes that are free, once all that was written is on the disk, and all that was closed
 * is given back: XFS does that later, some at a time.
 */
function roomIn(folder: string): number {
  for (let room = -1;;) {
    spawnSync("sync", ["-f", folder]);
    const { bfree, bsize } = fs.statfsSync(folder);
    if (bfree * bsize === room) return room;
    room = bfree * bsize;
    Atomics.wait(NEVER, 0, 0, PAUSE);
  }
}

/** What an insert took: nanoseconds, and bytes of the disk. */
interface Sample {
  way: string;
  count: number;
  time: number;
  room: number;
}

/** Makes each insert in each way, and looks whether the file is right then. */
function measureInside(folder: string, quick: boolean): Sample[] {
  const samples: Sample[] = [];
  const path = join(folder, "file");
  const expected = ExpectedFile.create(path, sizeOf(quick));
  for (let turn = 0; turn < (quick ? 1 : 5); turn++) {
    for (const count of COUNTS) {
      const bytes = new Uint8Array(count).fill(7);
      for (const [way, insert] of Object.entries(WAYS)) {
        // Not to a block's multiple, whatever was inserted before.
        const at = Math.floor(expected.middle / 4096) * 4096 + 7;
        // The old file stays as long as this is open.
        const old = fs.openSync(path, "r");
        const before = roomIn(folder);
        const start = performance.now();
        insert(path, at, bytes);
        const time = (performance.now() - start) * 1e6;
        const room = Math.max(before - roomIn(folder), 0);
        fs.closeSync(old);
        expected.insert(at, bytes);
        if (quick || turn === 0) expected.check(path);
        samples.push({ way, count, time, room });
      }
    }
  }
  return samples;
}

/** Has a child measure in an image of its own; or why that cannot be done. */
function measureApart(
  folder: string,
  format: string,
  quick: boolean,
): Sample[] | string {
  const size = quick ? "320M" : "3G";
  const mounted = fs.mkdtempSync(join(folder, "mounted-"));
  const image = `${mounted}.image`;
  const script = `truncate -s ${size} "$0.image" &&
    ${format} "$0.image" > "$0.log" 2>&1 && mount -o loop "$0.image" "$0" &&
    exec "$@"`;
  const under = ["--mount", "sh", "-c", script, mounted];
  try {
    const probe = spawnSync("unshare", [...under, "true"], {
      encoding: "utf8",
    });
    if (probe.status !== 0) {
      const why = probe.error?.message ?? probe.stderr.trim();
      return `'${format}' cannot be run and mounted here: ${why}`;
    }
    const child = spawnSync(
      "unshare",
      [
        ...under,
        process.execPath,
        ...isDeno ? ["run", "--allow-all"] : [],
        fileURLToPath(import.meta.url),
        "--inside",
        mounted,
        ...quick ? ["--quick"] : [],
      ],
      { encoding: "utf8" },
    );
    if (child.status !== 0) throw new Error(child.stderr);
    return JSON.parse(child.stdout) as Sample[];
  } finally {
    for (const path of [image, `${mounted}.log`]) {
      fs.rmSync(path, { force: true });
    }
    fs.rmdirSync(mounted);
  }
}

async function measure(bench: Bench): Promise<void> {
  const size = sizeOf(bench.quick);
  for (const [system, format] of Object.entries(SYSTEMS)) {
    const samples = measureApart(bench.folder, format, bench.quick);
    for (const count of COUNTS) {
      const time = timePanel(system, size, count);
      const room = roomPanel(system, size, count);
      bench.panels(time, room);
      for (const way of Object.keys(WAYS)) {
        if (typeof samples === "string") {
          bench.absent(time, [way], samples);
          bench.absent(room, [way], samples);
          continue;
        }
        const own = samples.filter((s) => s.way === way && s.count === count);
        bench.figure(time, way, own.map(({ time }) => time));
        bench.figure(room, way, own.map(({ room }) => room));
      }
    }
  }
  await Promise.resolve();
}

export const question: Question = {
  name: "reflinks",
  title: "What does it cost to insert bytes where files can share blocks?",
  method:
    "On an XFS and on a btrfs in a file of their own, mounted through a loop device: " +
    "bytes are inserted at an odd offset in the middle of a file that is on disk and in " +
    "the page cache. The file is opened, edited, flushed and closed. What room that " +
    "takes is measured while the old file is held open. 1 MiB moves what is behind it " +
    "by whole blocks, which can be shared; 1000 bytes do not.",
  seconds: 60,
  prepare() {},
  measure,
};

const inside = process.argv.indexOf("--inside");
if (import.meta.main && inside !== -1) {
  const quick = process.argv.includes("--quick");
  console.log(JSON.stringify(measureInside(process.argv[inside + 1]!, quick)));
} else if (import.meta.main) await ask(question);
