/**
 * A panel as bars. Below the name of each way is a bar for each worker, with the quartiles
 * as a line, followed by the ratio to the base. Limits are lines from top to bottom.
 *
 * @module
 */

import type { TopLevelSpec } from "vega-lite";
import type { Panel, Worker } from "../suite/question.ts";
import { type Answers, spreadOf, timesBetter } from "../suite/results.ts";
import { figureIn, roundFigureIn, times } from "./format.ts";
import { COLOURS, CONFIG, inPixels, NAMED_COLOUR } from "./picture.ts";

const WIDTH = 352;
/** The width for bars. Figures need room to their right. */
const BARS = 232;
const NAME_HEIGHT = 17;
const BAR_HEIGHT = 11;
const BAR_GAP = 3;
const WAY_GAP = 8;
const WORKERS: readonly Worker[] = ["Deno", "Bun", "Python", "C"];

const TEXT = {
  type: "text",
  align: "left",
  baseline: "middle",
  fontSize: 11,
  color: COLOURS.ink,
} as const;

interface Bar {
  top: number;
  bottom: number;
  middle: number;
  low: number;
  mid: number;
  high: number;
  /** The figure follows at this value. */
  end: number;
  figure: string;
  colour: string;
  opacity: number;
}

interface Name {
  y: number;
  way: string;
  weight: "bold" | "normal";
}

interface Limit {
  mid: number;
  colour: string;
}

/** What is drawn, with places in pixels from the top. */
interface Layout {
  bars: Bar[];
  names: Name[];
  limits: Limit[];
  height: number;
}

function layOut(answers: Answers, panel: Panel): Layout {
  const layout: Layout = { bars: [], names: [], limits: [], height: 0 };
  let y = 2;
  for (const [way, role] of Object.entries(panel.ways)) {
    const spreads = WORKERS.flatMap((worker) => {
      const spread = spreadOf(answers, panel.title, way, worker);
      return spread === undefined ? [] : [{ worker, spread }];
    });
    if (spreads.length === 0) continue;
    if (role === "limit") {
      for (const { worker, spread: [, mid] } of spreads) {
        layout.limits.push({ mid, colour: COLOURS[worker] });
      }
      continue;
    }
    const weight = role === "mapped" ? "bold" : "normal";
    layout.names.push({ y: y + NAME_HEIGHT / 2, way, weight });
    y += NAME_HEIGHT;
    for (const { worker, spread: [low, mid, high] } of spreads) {
      const ratio = ratioOf(answers, panel, way, worker, mid);
      const figure = figureIn(panel.unit, mid);
      layout.bars.push({
        top: y,
        bottom: y + BAR_HEIGHT,
        middle: y + BAR_HEIGHT / 2,
        low,
        mid,
        high,
        end: Math.max(mid, high),
        figure: ratio === undefined ? figure : `${ratio} · ${figure}`,
        colour: COLOURS[worker],
        opacity: role === "mapped" ? 1 : 0.5,
      });
      y += BAR_HEIGHT + BAR_GAP;
    }
    y += WAY_GAP;
  }
  layout.height = y;
  return layout;
}

function ratioOf(
  answers: Answers,
  panel: Panel,
  way: string,
  worker: Worker,
  mid: number,
): string | undefined {
  if (way === panel.base) return undefined;
  const base = spreadOf(answers, panel.title, panel.base, worker)?.[1];
  if (base === undefined || !(base > 0) || !(mid > 0)) return undefined;
  return times(timesBetter(panel, mid, base));
}

/** An axis: its range, and its labels. */
export interface Axis {
  type: "linear" | "log";
  domain: [low: number, high: number];
  values: number[];
}

/** The axes of panels. A group shares one, so that its bars can be compared. */
export function sharedAxes(answers: Answers): Map<Panel, Axis> {
  const bars = answers.panels.filter(({ x }) => x === undefined);
  const sharing = Map.groupBy(bars, ({ group, unit }) => `${unit} ${group}`);
  return new Map(
    [...sharing.values()].flatMap((panels) => {
      const axis = axisOf(answers, panels);
      return panels.map((panel): [Panel, Axis] => [panel, axis]);
    }),
  );
}

function axisOf(answers: Answers, panels: Panel[]): Axis {
  const { scale, unit } = panels[0]!;
  const all = panels.flatMap((panel) => {
    const { bars, limits } = layOut(answers, panel);
    return [
      ...bars.flatMap(({ low, mid, high }) => [low, mid, high]),
      ...limits.map(({ mid }) => mid),
    ];
  });
  const least = Math.min(...all);
  const most = Math.max(...all);
  if (scale === "linear" || least <= 0) {
    const step = roundStep(most / 3, unit);
    const values = [0, 1, 2, 3].map((i) => i * step)
      .filter((value) => value <= most);
    return { type: "linear", domain: [0, most || 1], values };
  }
  // Even the shortest bar has a length.
  const low = least / 1.2 / (most / least) ** 0.08;
  return { type: "log", domain: [low, most], values: powers(low, most) };
}

/** The powers of ten in a range that have room for labels; if too few, halves as well. */
function powers(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const every = Math.ceil(decades / 4);
  const factors = decades < 1.2 ? [1, 2, 5] : [1];
  const values = [];
  for (
    let power = Math.floor(Math.log10(low));
    power <= Math.log10(high);
    power++
  ) {
    if (power % every !== 0) continue;
    for (const factor of factors) {
      const value = Number(`${factor}e${power}`);
      if (value >= low && value <= high) values.push(value);
    }
  }
  return values;
}

/** The next round number, also in units of bytes. */
function roundStep(step: number, unit: Panel["unit"]): number {
  const base = unit === "B"
    ? 1024 ** Math.max(0, Math.floor(Math.log2(step) / 10))
    : 1;
  const power = 10 ** Math.floor(Math.log10(step / base));
  const factor = [1, 2, 5, 10].find((factor) => factor * power * base >= step);
  return (factor ?? 10) * power * base;
}

/** The chart of a panel. */
export function barChart(
  answers: Answers,
  panel: Panel,
  { type, domain, values }: Axis,
): TopLevelSpec {
  const layout = layOut(answers, panel);
  const labels = Object.fromEntries(
    values.map((value) => [value, roundFigureIn(panel.unit, value)]),
  );
  const x = {
    field: "mid",
    type: "quantitative" as const,
    scale: { type, domain, range: [0, BARS], nice: false },
    axis: {
      values,
      labelExpr: `(${JSON.stringify(labels)})[toString(datum.value)]`,
      labelFlush: 10,
      title: null,
    },
  };
  return {
    config: CONFIG,
    width: WIDTH,
    height: layout.height,
    autosize: "none",
    padding: { left: 1, right: 1, top: 1, bottom: 20 },
    layer: [
      {
        data: { values: layout.bars },
        mark: { type: "rect", cornerRadiusEnd: 2, clip: true },
        encoding: {
          x,
          x2: { datum: domain[0] },
          y: inPixels("top"),
          y2: { field: "bottom" },
          fill: NAMED_COLOUR,
          opacity: {
            field: "opacity",
            type: "quantitative",
            scale: null,
            legend: null,
          },
        },
      },
      {
        data: { values: layout.limits },
        mark: { type: "rule", strokeDash: [4, 3], strokeWidth: 1.5 },
        encoding: { x, stroke: NAMED_COLOUR },
      },
      // Text over bars and lines has a margin in the colour of the paper.
      ...[
        { stroke: COLOURS.paper, strokeWidth: 3 },
        { stroke: COLOURS.ink, strokeWidth: 1.25 },
      ].map((line) => ({
        data: { values: layout.bars },
        mark: { type: "rule" as const, ...line },
        encoding: {
          x: { ...x, field: "low" },
          x2: { field: "high" },
          y: inPixels("middle"),
        },
      })),
      ...[{ stroke: COLOURS.paper, strokeWidth: 4 }, {}].flatMap((margin) => [
        {
          data: { values: layout.bars },
          mark: { ...TEXT, ...margin, dx: 6 },
          encoding: {
            x: { ...x, field: "end" },
            y: inPixels("middle"),
            text: { field: "figure" },
          },
        },
        {
          data: { values: layout.names },
          mark: { ...TEXT, ...margin, fontWeight: { expr: "datum.weight" } },
          encoding: {
            x: { value: 0 },
            y: inPixels("y"),
            text: { field: "way" },
          },
        },
      ]),
    ],
  } as TopLevelSpec;
}
