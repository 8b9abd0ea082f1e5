/**
 * What does it cost to append a line, again and again?
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { open } from "../mod.ts";
import { KiB } from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";
import { inTurn, type Way } from "./suite/timing.ts";

/** Bytes of a line. */
const LINE = new Uint8Array(120).fill(65);
/** Lines appended in a run. A run that waits for the disk has few. */
const COUNT = { durable: 10, "not durable": 50 } as const;
/** Bytes that are in each file before. */
const BEFORE = 64 * KiB + 1000;

type Wait = keyof typeof COUNT;

const FLUSH = "append, flush";
const SLICE = "insert, flush, delete";
const PLAIN = "fs.writeSync";

function panelOf(wait: Wait): Panel {
  return {
    title: wait,
    group: "120 bytes appended to a file that stays open",
    unit: "ns",
    per: "an append",
    better: "less",
    scale: "log",
    ways: { [FLUSH]: "mapped", [SLICE]: "mapped", [PLAIN]: "plain" },
    base: PLAIN,
  };
}

/** The ways to append to files in `folder`, and how to close these. */
function waysIn(
  folder: string,
  wait: Wait,
): { ways: Record<string, Way>; close: () => void } {
  const durable = wait === "durable";
  const count = COUNT[wait];
  const newFile = (name: string) => {
    const path = join(folder, name);
    fs.writeFileSync(path, new Uint8Array(BEFORE));
    return path;
  };
  const appended = open(newFile("appended"));
  const sliced = open(newFile("sliced"));
  const fd = fs.openSync(newFile("plain"), "a");
  const each: Record<string, () => number> = {
    [FLUSH]() {
      appended.append(LINE);
      return appended.flush({ durable }).bytesWritten;
    },
    [SLICE]() {
      using _ = sliced.insert(sliced.mappedLength, LINE);
      return sliced.flush({ durable }).bytesWritten;
    },
    [PLAIN]() {
      const written = fs.writeSync(fd, LINE);
      if (durable) fs.fsyncSync(fd);
      return written;
    },
  };
  const ways = Object.entries(each).map(([way, once]): [string, Way] => [way, {
    run() {
      let written = 0;
      for (let i = 0; i < count; i++) written += once();
      return written;
    },
    count,
  }]);
  return {
    ways: Object.fromEntries(ways),
    close() {
      appended.close();
      sliced.close();
      fs.closeSync(fd);
    },
  };
}

async function measure(bench: Bench): Promise<void> {
  for (const wait of ["durable", "not durable"] as const) {
    const panel = panelOf(wait);
    bench.panels(panel);
    const { ways, close } = waysIn(bench.folder, wait);
    try {
      await inTurn(bench, panel, ways, { turns: 10, time: 20 });
    } finally {
      close();
    }
  }
}

export const question: Question = {
  name: "appends",
  title: "What does it cost to append a line, again and again?",
  method:
    "A file stays open or mapped, and 120 bytes are appended to it at a time. A " +
    "durable append waits for the disk: fsync after each write, or flush(). Whatever " +
    "happens, what flush() appends is there as a whole or not at all; a plain write may " +
    "be cut by a kill or a power cut. memmap keeps a journal for that, and does without " +
    "where the append is not durable and stays within a page.",
  seconds: 10,
  prepare() {},
  measure,
};

if (import.meta.main) await ask(question);
