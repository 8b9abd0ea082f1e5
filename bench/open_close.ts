/**
 * What does it cost to open a file and to close it again?
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { type Mode, open, type OpenOptions } from "../mod.ts";
import {
  doubles,
  MiB,
  sizeName,
  sparseFile,
  TiB,
  writeSynced,
} from "./suite/files.ts";
import { ask, bun } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival, Role } from "./suite/question.ts";
import { inTurn, type Way } from "./suite/timing.ts";

const SIZES = [MiB, TiB];
/** How often a file is opened in each run. */
const COUNT = 50;

/** How the library opens a file. A line here makes a row in the report. */
const OPENINGS: Record<string, [mode: Mode, options?: OpenOptions]> = {
  'open, "r"': ["r"],
  'open, "r+"': ["r+"],
  'open, "c"': ["c"],
};

function openings(): [way: string, role: Role][] {
  return Object.keys(OPENINGS).map((way) => [way, "mapped"]);
}

/** Nobody can have written, so closing need not wait for the disk. */
const UNREAD: Panel = {
  title: "1 MiB, nothing read",
  group: "Opened, a slice made, closed",
  unit: "ns",
  per: "a file",
  better: "less",
  scale: "log",
  ways: {
    ...Object.fromEntries(openings()),
    "fs.openSync": "plain",
  },
  base: "fs.openSync",
};

function panelOf(size: number): Panel {
  return {
    title: size === TiB ? "1 TiB, sparse" : sizeName(size),
    group: "Opened, 8 bytes of it read, closed",
    unit: "ns",
    per: "a file",
    better: "less",
    scale: "log",
    ways: {
      ...Object.fromEntries(openings()),
      "Bun.mmap": "other",
      "Python mmap": "other",
      "fs.openSync, readSync": "plain",
      "Deno.openSync, readSync": "plain",
      "Bun.file().slice()": "plain",
      "fs.readFileSync": "plain",
      "C, mmap": "limit",
    },
    base: "fs.openSync, readSync",
  };
}

function fileOf(folder: string, size: number): string {
  return join(folder, `file-${size}`);
}

function prepare(folder: string): void {
  writeSynced(fileOf(folder, MiB), doubles(MiB));
  sparseFile(folder, `file-${TiB}`, TiB);
}

function unreadWays(path: string): Record<string, Way> {
  const each: Record<string, () => number> = {};
  for (const [way, [mode, options]] of Object.entries(OPENINGS)) {
    each[way] = () => {
      using map = open(path, mode, options);
      return map.slice(4096, 4104).length;
    };
  }
  each["fs.openSync"] = () => {
    fs.closeSync(fs.openSync(path, "r"));
    return 8;
  };
  return counted(each);
}

function ways(path: string, size: number): Record<string, Way> {
  const at = 4096;
  const bytes = new Uint8Array(8);
  const value = new Float64Array(bytes.buffer);
  const each: Record<string, () => number | Promise<number>> = {};
  for (const [way, [mode, options]] of Object.entries(OPENINGS)) {
    // Most systems refuse a private, writable terabyte.
    if (mode === "c" && size > MiB) continue;
    each[way] = () => {
      using map = open(path, mode, options);
      return new Float64Array(map.slice(at, at + 8).buffer)[0]!;
    };
  }
  each["fs.openSync, readSync"] = () => {
    const fd = fs.openSync(path, "r");
    fs.readSync(fd, bytes, 0, 8, at);
    fs.closeSync(fd);
    return value[0]!;
  };
  if (bun === undefined) {
    each["Deno.openSync, readSync"] = () => {
      using file = Deno.openSync(path);
      file.seekSync(at, Deno.SeekMode.Start);
      file.readSync(bytes);
      return value[0]!;
    };
  } else {
    const { file, mmap } = bun;
    each["Bun.file().slice()"] = async () =>
      new Float64Array(
        await file(path).slice(at, at + 8).arrayBuffer(),
      )[0]!;
    if (size === MiB) {
      // Only the garbage collector closes it, so this is half of the work.
      each["Bun.mmap"] = () => new Float64Array(mmap(path).buffer, at, 1)[0]!;
    }
  }
  if (size === MiB) {
    each["fs.readFileSync"] = () => fs.readFileSync(path).readDoubleLE(at);
  }
  return counted(each);
}

function counted(
  each: Record<string, () => number | Promise<number>>,
): Record<string, Way> {
  return Object.fromEntries(
    Object.entries(each).map(([way, once]): [string, Way] => [
      way,
      { run: () => repeated(once), count: COUNT },
    ]),
  );
}

function repeated(
  once: () => number | Promise<number>,
): number | Promise<number> {
  let value = once();
  if (value instanceof Promise) return repeatedLater(once);
  for (let i = 1; i < COUNT; i++) value = once();
  return value;
}

async function repeatedLater(
  once: () => number | Promise<number>,
): Promise<number> {
  let value = NaN;
  for (let i = 0; i < COUNT; i++) value = await once();
  return value;
}

async function measure(bench: Bench): Promise<void> {
  const effort = { turns: 10, time: 20 };
  bench.panels(UNREAD);
  const unread = unreadWays(fileOf(bench.folder, MiB));
  await inTurn(bench, UNREAD, unread, effort);
  for (const size of SIZES) {
    const panel = panelOf(size);
    bench.panels(panel);
    if (size === TiB) {
      bench.absent(
        panel,
        ['open, "c"'],
        "the system refuses that much memory",
      );
      bench.absent(panel, ["fs.readFileSync"], "nobody reads 1 TiB as a whole");
      if (bun !== undefined) {
        bench.absent(panel, ["Bun.mmap"], "makes no ArrayBuffer of 1 TiB");
      }
    }
    await inTurn(bench, panel, ways(fileOf(bench.folder, size), size), effort);
  }
}

function rivals(folder: string): Rival[] {
  return SIZES.flatMap((size) => {
    const panel = panelOf(size).title;
    const args = ["open_close", fileOf(folder, size)];
    return [
      { panel, way: "C, mmap", worker: "C", args },
      { panel, way: "Python mmap", worker: "Python", args },
    ] satisfies Rival[];
  });
}

export const question: Question = {
  name: "open_close",
  title: "What does it cost to open a file and to close it again?",
  method:
    "A file is opened, 8 bytes of it are read, and it is closed. In mode r+, somebody " +
    "with a view may have written, so closing waits for the disk. In the first chart " +
    "there is no view, and it does not wait. Bun.mmap is not closed, but left to the " +
    "garbage collector. A sparse file of 1 TiB shows whether the size matters.",
  seconds: 5,
  prepare,
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
