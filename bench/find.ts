/**
 * How fast is a pattern found in a file?
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { open } from "../mod.ts";
import { MiB, sizeName, writeSynced, xorshift } from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival } from "./suite/question.ts";
import { inTurn, type Way } from "./suite/timing.ts";

const CHUNK = MiB;
const LENGTH = 16;

function size(quick: boolean): number {
  return quick ? 4 * MiB : 256 * MiB;
}

interface Search {
  panel: Panel;
  file: string;
  backwards: boolean;
}

function searches(quick: boolean): Search[] {
  const search = (title: string, file: string, backwards = false): Search => ({
    panel: {
      title: `${title}, ${sizeName(size(quick))}`,
      group: "Bytes searched, warm",
      unit: "B/s",
      per: "",
      better: "more",
      scale: "log",
      ways: {
        "Memmap.find": "mapped",
        "Buffer.indexOf on a view": "mapped",
        "C, memmem": "other",
        "Python mmap.find": "other",
        "fs.readSync, indexOf": "plain",
        "fs.readFileSync, indexOf": "plain",
        "C, reading only": "limit",
      },
      base: "fs.readSync, indexOf",
    },
    file,
    backwards,
  });
  const backwards = search("rfind in random bytes", "random", true);
  backwards.panel.ways = {
    "Memmap.rfind": "mapped",
    "Buffer.lastIndexOf on a view": "mapped",
    "Python mmap.rfind": "other",
    "fs.readSync, lastIndexOf": "plain",
    "fs.readFileSync, lastIndexOf": "plain",
  };
  backwards.panel.base = "fs.readSync, lastIndexOf";
  return [
    search("find in random bytes", "random"),
    search("find in zeros, of zeros and a one", "zeros"),
    backwards,
  ];
}

/** The pattern: `LENGTH` bytes that the file has once, far from where the search begins. */
function patternOf(folder: string, file: string): string {
  return join(folder, `${file}-pattern`);
}

function prepare(folder: string, quick: boolean): void {
  const length = size(quick);
  const random = xorshift();
  const words = new Uint32Array(length / 4).map(() => random() * 2 ** 32);
  const bytes = new Uint8Array(words.buffer);
  writeSynced(join(folder, "random"), bytes);
  // Almost the same distance forwards and backwards.
  const middle = length / 2 + 4321;
  fs.writeFileSync(
    patternOf(folder, "random"),
    bytes.subarray(middle, middle + LENGTH),
  );
  bytes.fill(0);
  const pattern = new Uint8Array(LENGTH);
  pattern[LENGTH - 1] = 1;
  bytes.set(pattern, middle);
  writeSynced(join(folder, "zeros"), bytes);
  fs.writeFileSync(patternOf(folder, "zeros"), pattern);
}

/** Searches a file in chunks. They overlap, since a match may lie across two. */
function chunked(
  fd: number,
  length: number,
  pattern: Uint8Array,
  backwards: boolean,
): () => number {
  const buffer = Buffer.alloc(CHUNK);
  const step = CHUNK - pattern.length + 1;
  const search = (at: number) => {
    const count = fs.readSync(fd, buffer, 0, CHUNK, at);
    const chunk = buffer.subarray(0, count);
    const found = backwards
      ? chunk.lastIndexOf(pattern)
      : chunk.indexOf(pattern);
    return found === -1 ? -1 : at + found;
  };
  return () => {
    let found = -1;
    if (backwards) {
      for (let end = length; end > 0 && found === -1; end -= step) {
        found = search(Math.max(0, end - CHUNK));
      }
    } else {
      for (let at = 0; at < length && found === -1; at += step) {
        found = search(at);
      }
    }
    return found;
  };
}

async function measure(bench: Bench): Promise<void> {
  for (const { panel, file, backwards } of searches(bench.quick)) {
    bench.panels(panel);
    const path = join(bench.folder, file);
    const pattern = new Uint8Array(
      fs.readFileSync(patternOf(bench.folder, file)),
    );
    using map = open(path, "r");
    const view = Buffer.from(map.slice().buffer);
    const fd = fs.openSync(path, "r");
    const index = backwards ? "lastIndexOf" : "indexOf";
    const find = backwards ? "rfind" : "find";
    const runs: Record<string, () => number> = {
      [`Memmap.${find}`]: () => map[find](pattern),
      [`Buffer.${index} on a view`]: () => view[index](pattern),
      [`fs.readSync, ${index}`]: chunked(fd, map.length, pattern, backwards),
      [`fs.readFileSync, ${index}`]: () =>
        fs.readFileSync(path)[index](pattern),
    };
    const found = map[find](pattern);
    const count = backwards ? map.length - found : found + LENGTH;
    const ways = Object.fromEntries(
      Object.entries(runs).map(([way, run]): [string, Way] => [
        way,
        { run, count },
      ]),
    );
    await inTurn(bench, panel, ways, { turns: 3, samples: 3 });
    fs.closeSync(fd);
  }
}

function rivals(folder: string, quick: boolean): Rival[] {
  return searches(quick).flatMap(({ panel, file, backwards }) => {
    const args = ["find", join(folder, file), patternOf(folder, file)];
    const way = backwards ? "rfind" : "find";
    const python: Rival = {
      panel: panel.title,
      way: `Python mmap.${way}`,
      worker: "Python",
      args: [...args, way],
    };
    const c = ["memmem", "reading only"].map((what): Rival => ({
      panel: panel.title,
      way: `C, ${what}`,
      worker: "C",
      args: [...args, what],
    }));
    return backwards ? [python] : [python, ...c];
  });
}

export const question: Question = {
  name: "find",
  title: "How fast is a pattern found in a file?",
  method:
    "The pattern is 16 bytes that the file has once, half-way through. Speed counts the " +
    "bytes up to there. In zeros, a search for zeros and a one almost succeeds at every " +
    "byte, which is the worst case. The limit is C that adds the bytes up. Chunks are of " +
    "1 MiB, and overlap.",
  seconds: 20,
  prepare,
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
