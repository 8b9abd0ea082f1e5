/**
 * What the suite should show at least, and whether a run did.
 *
 * @module
 */

import type { Panel, Worker } from "./suite/question.ts";
import { type Answers, type Results, spreadOf } from "./suite/results.ts";

/** One target, for both runtimes. */
export interface Target {
  /** In words, without the figure. */
  says: string;
  question: string;
  panel: string;
  own: string;
  /** What it is compared with, in the same runtime or by another worker. */
  base?: { way: string; worker?: Worker };
  /**
   * `faster`: at least this many times as fast. `as long`: at most this many times the
   * time. `longer`: at most this much more. `at most`: the figure itself.
   */
  kind: "faster" | "as long" | "longer" | "at most";
  figure: number;
  /** That of the figure itself; nanoseconds by default. */
  unit?: Panel["unit"];
  /** The place on the horizontal axis of a line chart. */
  x?: number;
  /** What a profile shows about a target that was missed. */
  profile?: string;
}

const NUMPY_SCALAR = { way: "numpy.memmap scalar", worker: "Python" } as const;

export const TARGETS: readonly Target[] = [
  {
    says: "random 8-byte read, warm, 256 MiB, view against fs.readSync",
    question: "random_access",
    panel: "8 bytes of 256 MiB, warm",
    own: "slice view",
    base: { way: "fs.readSync" },
    kind: "faster",
    figure: 50,
  },
  {
    says: "the same against heap memory",
    question: "random_access",
    panel: "8 bytes of 256 MiB, warm",
    own: "slice view",
    base: { way: "heap memory" },
    kind: "as long",
    figure: 1.05,
  },
  {
    says:
      "MemmapArray.get, big-endian float64, against numpy's scalar indexing",
    question: "byteswap",
    panel: "get, 64-bit",
    own: "MemmapArray.get",
    base: NUMPY_SCALAR,
    kind: "faster",
    figure: 20,
  },
  {
    says:
      "bulk byteswap of 64 MiB, float64, into new memory, against numpy's astype",
    question: "byteswap",
    panel: "all, 64-bit",
    own: "MemmapArray.toTypedArray",
    base: { way: "numpy.memmap astype", worker: "Python" },
    kind: "faster",
    figure: 1,
    profile:
      "The copy itself takes as long as numpy's: compare copyTo and copyto, which use " +
      "existing memory. The rest is the system's work to find and clear new pages. numpy " +
      "gives its pages back at once and gets them again, and an engine gives them back " +
      "when it collects garbage.",
  },
  {
    says:
      "insert in the middle, 256 MiB, auto durable, against plain write, fsync, rename",
    question: "resize_flush",
    panel: "in the middle of 256 MiB, durable",
    own: "flush, auto",
    base: { way: "read, write new, rename" },
    kind: "faster",
    figure: 1.6,
  },
  {
    says: "insert in the middle, 256 MiB, in-place against Python's mmap",
    question: "resize_flush",
    panel: "in the middle of 256 MiB, durable",
    own: "flush, in-place",
    base: { way: "Python mmap, resize, move", worker: "Python" },
    kind: "as long",
    figure: 1.2,
  },
  {
    says: "120 bytes appended, durable, against write and fsync",
    question: "appends",
    panel: "durable",
    own: "append, flush",
    base: { way: "fs.writeSync" },
    kind: "faster",
    figure: 0.5,
    profile:
      "The disk has to empty its cache twice, for the journal's bytes and then for the " +
      "file's; a plain append asks for that once. A C program that makes just these " +
      "calls reaches 0.58.",
  },
  {
    says: "120 bytes appended, not durable, against fs.writeSync",
    question: "appends",
    panel: "not durable",
    own: "append, flush",
    base: { way: "fs.writeSync" },
    kind: "faster",
    figure: 0.1,
    profile:
      "Where a plain append is one system call, this is five: the lock and its end, " +
      "what others did to the file, whether a dead flush left a journal, and the write.",
  },
  {
    says: "bringing 1 GiB into memory, against fs.readSync",
    question: "load",
    panel: "speed",
    own: "map.load",
    base: { way: "fs.readSync" },
    kind: "faster",
    figure: 0.9,
  },
  {
    says: "longest stall meanwhile",
    question: "load",
    panel: "the longest that nothing else ran",
    own: "map.load",
    kind: "at most",
    figure: 5e6,
    profile:
      "By what the system counts in schedstat, most of it is waiting for a processor. " +
      "In Deno, an idle loop waits as long; in Bun, a third of that.",
  },
  {
    says:
      "1000 random pages of 256 MiB committed by an atomic map, against writing them " +
      "twice and two fsyncs",
    question: "commits",
    panel: "1000 random pages of 256 MiB",
    own: "flush, atomic map",
    base: { way: "write, fsync, write, fsync" },
    kind: "as long",
    figure: 3,
  },
  {
    says: "the same with 1 page",
    question: "commits",
    panel: "1 page of 256 MiB",
    own: "flush, atomic map",
    base: { way: "write, fsync, write, fsync" },
    kind: "as long",
    figure: 2,
    profile:
      "The disk has to empty its cache three times, where the same by hand asks for that " +
      "twice: what others wrote to the file has to be on it before the journal says " +
      "what the file has. The rest is some thirty system calls, a tenth of a " +
      "millisecond: a disk that empties its cache in less leaves no room for them.",
  },
  {
    says: "finding the pages of 1 GiB that were written",
    question: "commits",
    panel: "of 1 GiB",
    own: "map.modified",
    kind: "at most",
    figure: 10e6,
    profile:
      "The kernel looks at each page that is in memory, which is the worst case here.",
  },
  {
    says: "1 MiB inserted at an odd offset into 512 MiB, XFS, durable",
    question: "reflinks",
    panel: "1 MiB into 512 MiB, XFS",
    own: "flush, replace",
    kind: "at most",
    figure: 30e6,
  },
  {
    says: "new blocks for that",
    question: "reflinks",
    panel: "room for 1 MiB into 512 MiB, XFS",
    own: "flush, replace",
    kind: "at most",
    figure: 2 * 2 ** 20,
    unit: "B",
  },
  {
    says: "field(name).get of packed records, against a DataView by hand",
    question: "records",
    panel: "one field of each record",
    own: "field(name).get",
    base: { way: "DataView by hand" },
    kind: "as long",
    figure: 1.5,
  },
  {
    says: "a cursor over packed records, against a DataView by hand",
    question: "records",
    panel: "one field of each record",
    own: "cursor",
    base: { way: "DataView by hand" },
    kind: "as long",
    figure: 1.5,
  },
  {
    says: "counting by a column, copied in pieces, against a DataView by hand",
    question: "records",
    panel: "records that a column counts in",
    own: "toTypedArray, in pieces",
    base: { way: "DataView by hand" },
    kind: "as long",
    figure: 1.2,
  },
  {
    says: "for…of over an array, against a bare loop",
    question: "records",
    panel: "for…of",
    own: "for…of",
    base: { way: "a bare loop" },
    kind: "as long",
    figure: 3,
  },
  {
    says: "apply, against a bare loop",
    question: "records",
    panel: "apply",
    own: "apply",
    base: { way: "a bare loop" },
    kind: "as long",
    figure: 3,
    profile:
      "V8 inlines the function that apply is given as long as a program has given " +
      "only one for that element type. From the second on each element is a call, and " +
      "its numbers are put into boxes for it.",
  },
  {
    says: "find against Python's mmap.find",
    question: "find",
    panel: "find in random bytes, 256 MiB",
    own: "Memmap.find",
    base: { way: "Python mmap.find", worker: "Python" },
    kind: "faster",
    figure: 2,
  },
  {
    says: "resident memory for 1000 random pages of 100 GiB, over the start",
    question: "footprint",
    panel: "Resident memory, over the start",
    own: "a slice a page",
    kind: "at most",
    figure: 16 * 2 ** 20,
    unit: "B",
  },
  {
    says:
      "bulk byteswap of 64 MiB, float64, into memory at hand, against plain file I/O",
    question: "byteswap",
    panel: "all, 64-bit",
    own: "MemmapArray.copyTo",
    base: { way: "fs.readSync, swap64" },
    kind: "faster",
    figure: 1,
  },
  {
    says: "longest stall of flushAsync, 1 MiB into the middle of 1 GiB",
    question: "event_loop",
    panel: "longest stall, in the middle of 1 GiB",
    own: "flushAsync",
    kind: "at most",
    figure: 20_000_000,
  },
  {
    says: "the same flush as a whole, against flush",
    question: "event_loop",
    panel: "time, in the middle of 1 GiB",
    own: "flushAsync",
    base: { way: "flush" },
    kind: "as long",
    figure: 1.3,
  },
  {
    says: "registering one of a million slices, in random order",
    question: "registry",
    panel: "Registering all of them, in random order",
    own: "Memmap.slice",
    kind: "at most",
    figure: 2000,
    x: 1_000_000,
  },
  {
    says: 'open, slice and close of 1 MiB, mode "r"',
    question: "open_close",
    panel: "1 MiB, nothing read",
    own: 'open, "r"',
    kind: "at most",
    figure: 40_000,
  },
  {
    says: "8 bytes through a view with the guard, against guard: false",
    question: "guard",
    panel: "8 bytes through a view, random, of 256 MiB",
    own: "with the guard",
    base: { way: "guard: false" },
    kind: "as long",
    figure: 1.02,
  },
  {
    says: "MemmapArray.get, against one that does not look for faults",
    question: "guard",
    panel: "MemmapArray.get, random, of 256 MiB",
    own: "with the guard",
    base: { way: "without looking for faults" },
    kind: "as long",
    figure: 1.02,
    profile:
      "The check is a load, a comparison and a bounds check after each access. One check " +
      "for a whole loop would be free, but the loop would read lost pages to its end.",
  },
  {
    says: "open and close with the guard, over guard: false",
    question: "guard",
    panel: "open and close",
    own: "with the guard",
    base: { way: "guard: false" },
    kind: "longer",
    figure: 5000,
  },
];

/** How one runtime did on a target. */
export interface Verdict {
  runtime: "Deno" | "Bun";
  /** In the terms of the target, or undefined if it was not measured. */
  figure?: number;
  met?: boolean;
}

/** The target's panel in these results, if it was measured. */
function panelOf(
  target: Target,
  { questions, quick }: Results,
): [Answers, Panel] | undefined {
  // Small files say nothing about large ones, even if their panels have the same name.
  if (quick) return undefined;
  const answers = questions.find(({ name }) => name === target.question);
  const panel = answers?.panels.find(({ title }) => title === target.panel);
  return answers && panel && [answers, panel];
}

/** Whether both runtimes met a target. */
export function judge(target: Target, results: Results): Verdict[] {
  const found = panelOf(target, results);
  return (["Deno", "Bun"] as const).map((runtime) => {
    if (found === undefined) return { runtime };
    const figure = figureOf(target, ...found, runtime);
    if (figure === undefined) return { runtime };
    const met = target.kind === "faster"
      ? figure >= target.figure
      : figure <= target.figure;
    return { runtime, figure, met };
  });
}

function figureOf(
  { panel: title, own: way, base, kind, x }: Target,
  answers: Answers,
  panel: Panel,
  runtime: Worker,
): number | undefined {
  const own = spreadOf(answers, title, way, runtime, x)?.[1];
  if (base === undefined || own === undefined) return own;
  const other = spreadOf(answers, title, base.way, base.worker ?? runtime, x)
    ?.[1];
  if (other === undefined) return undefined;
  if (kind === "longer") return own - other;
  const times = panel.better === "less" ? other / own : own / other;
  return kind === "faster" ? times : 1 / times;
}
