/**
 * The summary in one picture: how many times as fast mapping is as plain file I/O.
 *
 * @module
 */

import type { TopLevelSpec } from "vega-lite";
import { machineInWords } from "../suite/machine.ts";
import type { Panel } from "../suite/question.ts";
import {
  type Answers,
  type Results,
  spreadOf,
  timesBetter,
} from "../suite/results.ts";
import { dayOf, times } from "./format.ts";
import { COLOURS, CONFIG, inPixels, NAMED_COLOUR } from "./picture.ts";

/** A comparison. The pattern matches the panel's title in quick and in full runs. */
interface Row {
  /** In words, with `%` for the size of the file. */
  says: string;
  question: string;
  panel: RegExp;
  own: string;
}

const RANDOM = "random_access";
const LARGE = "(256|16) MiB";

const ROWS: readonly Row[] = [
  {
    says: "8 bytes anywhere in %",
    question: RANDOM,
    panel: RegExp(`^8 bytes of ${LARGE}, warm`),
    own: "slice view",
  },
  {
    says: "the same, the first 1000 reads",
    question: RANDOM,
    panel: RegExp(`^8 bytes of ${LARGE}, the first`),
    own: "slice view",
  },
  {
    says: "the same, not in memory yet",
    question: RANDOM,
    panel: RegExp(`^8 bytes of ${LARGE}, cold`),
    own: 'slice view, advise("random")',
  },
  {
    says: "4096 bytes anywhere in %",
    question: RANDOM,
    panel: RegExp(`^4096 bytes of ${LARGE}, warm`),
    own: "slice view",
  },
  {
    says: "search through %",
    question: "find",
    panel: /^find in random bytes/,
    own: "Memmap.find",
  },
  {
    says: "big-endian doubles, all of %",
    question: "byteswap",
    panel: /^all, 64-bit/,
    own: "MemmapArray.copyTo",
  },
  {
    says: "all of %, added up",
    question: "sequential",
    panel: /, warm, with open and close/,
    own: "slice view",
  },
  {
    says: "the same, not in memory yet",
    question: "sequential",
    panel: /, cold, with open and close/,
    own: "slice view",
  },
  {
    says: "insert into %, on disk",
    question: "resize_flush",
    panel: /^in the middle of (256|4) MiB, durable/,
    own: "flush, auto",
  },
  {
    says: "append to %, on disk",
    question: "resize_flush",
    panel: /^at the end of (64|4) MiB, durable/,
    own: "flush, auto",
  },
  {
    says: "open %, read 8 bytes, close",
    question: "open_close",
    panel: /^1 MiB/,
    own: 'open, "r"',
  },
];

const BAR = 12;
/** The space between the two bars of a row. */
const GAP = 2;

/** The width, and whether the names of rows are left of their bars or above them. */
interface Form {
  width: number;
  namesAbove: boolean;
  row: number;
  /** The space left of the bars, for names. */
  left: number;
  /** The space above them, for the title and the legend. */
  top: number;
}

const WIDE: Form = {
  width: 440,
  namesAbove: false,
  row: 40,
  left: 214,
  top: 88,
};
const NARROW: Form = {
  width: 336,
  namesAbove: true,
  row: 52,
  left: 8,
  top: 106,
};

interface Bar {
  ratio: number;
  top: number;
  bottom: number;
  middle: number;
  colour: string;
  text: string;
}

/** The chart, or undefined if none of its questions was asked. */
export function summaryChart(
  results: Results,
  isNarrow = false,
): TopLevelSpec | undefined {
  const form = isNarrow ? NARROW : WIDE;
  const [bars, names] = barsOf(results, form);
  if (bars.length === 0) return undefined;
  const ratios = bars.map(({ ratio }) => ratio);
  const low = Math.min(0.3, ...ratios) / (isNarrow ? 5 : 3);
  const high = Math.max(10, ...ratios) * (isNarrow ? 6 : 3);
  const values = [0.01, 0.1, 1, 10, 100, 1000, 10_000]
    .filter((value) => value >= low && value <= high);
  const x = {
    field: "ratio",
    type: "quantitative" as const,
    scale: { type: "log" as const, domain: [low, high], nice: false },
    axis: {
      values,
      labelExpr: 'format(datum.value, ",") + "×"',
      labelFlush: 16,
      title: null,
    },
  };
  const height = names.length * form.row;
  const { date, machine } = results;
  const { Deno: deno, Bun: bun } = machine.versions;
  const words = machineInWords(machine);
  return {
    config: CONFIG,
    width: form.width,
    height,
    // Without a canvas, the width of texts is greatly overestimated.
    autosize: "none",
    padding: { left: form.left, right: 14, top: form.top, bottom: 28 },
    title: {
      text: "Mapping, times as fast as plain file I/O",
      subtitle: isNarrow
        ? [`Deno ${deno} and Bun ${bun}, ${dayOf(date)}`, words]
        : [`Deno ${deno} and Bun ${bun}, ${words}, ${dayOf(date)}`],
      dx: 8 - form.left,
      offset: 30,
    },
    layer: [
      {
        data: { values: bars },
        mark: { type: "rect" },
        encoding: {
          x,
          x2: { datum: 1 },
          y: inPixels("top"),
          y2: { field: "bottom" },
          fill: NAMED_COLOUR,
        },
      },
      {
        data: { values: [{ one: 1 }] },
        mark: { type: "rule", strokeWidth: 1.5 },
        encoding: {
          x: { ...x, field: "one" },
          stroke: { value: COLOURS.ink },
        },
      },
      ...[true, false].map((isFaster) => ({
        data: {
          values: bars.filter(({ ratio }) => (ratio >= 1) === isFaster),
        },
        mark: {
          type: "text" as const,
          align: isFaster ? "left" as const : "right" as const,
          baseline: "middle" as const,
          dx: isFaster ? 5 : -5,
          fontSize: 11,
          color: COLOURS.ink,
        },
        encoding: { x, y: inPixels("middle"), text: { field: "text" } },
      })),
      ...[{ stroke: COLOURS.paper, strokeWidth: 4 }, {}].map((margin) => ({
        data: { values: names },
        mark: {
          type: "text" as const,
          align: isNarrow ? "left" as const : "right" as const,
          baseline: "middle" as const,
          fontSize: 12,
          color: COLOURS.ink,
          ...margin,
        },
        encoding: {
          x: { value: isNarrow ? 0 : -10 },
          y: inPixels("y"),
          text: { field: "says" },
        },
      })),
      {
        data: {
          values: [
            { text: "Deno", at: 1, dx: 12, colour: COLOURS.Deno },
            { text: "Bun", at: 1, dx: 52, colour: COLOURS.Bun },
          ],
        },
        mark: {
          type: "text",
          align: "left",
          fontSize: 12,
          fontWeight: 600,
          xOffset: { expr: "datum.dx" },
        },
        encoding: {
          x: { ...x, field: "at" },
          y: { value: -10 },
          text: { field: "text" },
          fill: NAMED_COLOUR,
        },
      },
      {
        data: { values: [{ at: 1, text: "mapping is slower" }] },
        mark: { type: "text", align: "right", fontSize: 11, dx: -8 },
        encoding: {
          x: { ...x, field: "at" },
          y: { value: -10 },
          text: { field: "text" },
          fill: { value: COLOURS.muted },
        },
      },
      {
        data: { values: [{ at: 1, text: "mapping is faster" }] },
        mark: { type: "text", align: "left", fontSize: 11, dx: 92 },
        encoding: {
          x: { ...x, field: "at" },
          y: { value: -10 },
          text: { field: "text" },
          fill: { value: COLOURS.muted },
        },
      },
    ],
  } as TopLevelSpec;
}

/** What the rows of the chart compare, in words. */
export function summaryRows(
  results: Results,
): { says: string; own: string; base: string }[] {
  return rowsIn(results).map(({ says, own, panel }) => ({
    says,
    own,
    base: panel.base,
  }));
}

/** The rows that were measured, with the size of the file in their words. */
function rowsIn(
  { questions }: Results,
): { says: string; own: string; answers: Answers; panel: Panel }[] {
  return ROWS.flatMap(({ says, question, panel: pattern, own }) => {
    const answers = questions.find(({ name }) => name === question);
    const panel = answers?.panels.find(({ title }) => pattern.test(title));
    if (answers === undefined || panel === undefined) return [];
    const words = says.replace("%", sizeIn(panel));
    return [{ says: words, own, answers, panel }];
  });
}

function sizeIn({ title, group }: Panel): string {
  return /\d+ [KMGT]iB/.exec(`${title} ${group}`)?.[0] ?? "";
}

function barsOf(
  results: Results,
  { namesAbove, row }: Form,
): [bars: Bar[], names: { says: string; y: number }[]] {
  const bars: Bar[] = [];
  const names: { says: string; y: number }[] = [];
  for (const { says, own, answers, panel } of rowsIn(results)) {
    const y = names.length * row;
    const both = 2 * BAR + GAP;
    const first = namesAbove ? y + row - both - 4 : y + (row - both) / 2;
    names.push({
      says,
      y: namesAbove ? first - 9 : y + row / 2,
    });
    (["Deno", "Bun"] as const).forEach((worker, i) => {
      const spreads = [own, panel.base].map((way) =>
        spreadOf(answers, panel.title, way, worker)
      );
      if (spreads[0] === undefined || spreads[1] === undefined) return;
      const ratio = timesBetter(panel, spreads[0][1], spreads[1][1]);
      const top = first + i * (BAR + GAP);
      bars.push({
        ratio,
        top,
        bottom: top + BAR,
        middle: top + BAR / 2,
        colour: COLOURS[worker],
        text: times(ratio),
      });
    });
  }
  return [bars, names];
}
