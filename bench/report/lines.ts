/**
 * A panel as lines: a figure for each size, with the quartiles as a band.
 *
 * The horizontal axis is logarithmic and the vertical one is linear, so that logarithmic
 * growth is a straight line. What grows faster leaves the chart at the top.
 *
 * @module
 */

import type { TopLevelSpec } from "vega-lite";
import type { Panel, Worker } from "../suite/question.ts";
import { type Answers, spreadOf } from "../suite/results.ts";
import { figureIn } from "./format.ts";
import { COLOURS, CONFIG, NAMED_COLOUR } from "./picture.ts";

interface Point {
  line: string;
  x: number;
  low: number;
  mid: number;
  high: number;
  colour: string;
  isMapped: boolean;
}

/** The chart of a panel that has an `x`. */
export function lineChart(answers: Answers, panel: Panel): TopLevelSpec {
  const points = pointsOf(answers, panel);
  const mapped = points.filter(({ isMapped }) => isMapped);
  const most = 1.5 * Math.max(...mapped.map(({ high }) => high));
  const xs = [...new Set(points.map(({ x }) => x))];
  const last = mapped.filter(({ x }) => x === Math.max(...xs));
  const x = {
    field: "x",
    type: "quantitative" as const,
    scale: { type: "log" as const, nice: false },
    axis: { values: xs, format: "~s", title: panel.x, labelFlush: 8 },
  };
  const y = {
    type: "quantitative" as const,
    scale: { domain: [0, most], nice: false },
    axis: {
      tickCount: 5,
      labelExpr: `datum.value >= 1000 ? datum.value / 1000 + " µs" : ` +
        `datum.value + " ns"`,
      title: null,
    },
  };
  return {
    config: CONFIG,
    width: 270,
    height: 220,
    padding: { left: 2, right: 10, top: 8, bottom: 2 },
    data: { values: points },
    layer: [
      {
        mark: { type: "area", opacity: 0.18, clip: true },
        encoding: {
          x,
          y: { ...y, field: "low" },
          y2: { field: "high" },
          detail: { field: "line" },
          fill: NAMED_COLOUR,
        },
      },
      {
        mark: { type: "line", clip: true },
        encoding: {
          x,
          y: { ...y, field: "mid" },
          detail: { field: "line" },
          stroke: NAMED_COLOUR,
          strokeDash: {
            condition: { test: "datum.isMapped", value: [1, 0] },
            value: [4, 3],
          },
        },
      },
      {
        data: { values: mapped },
        mark: { type: "circle", size: 32, opacity: 1 },
        encoding: { x, y: { ...y, field: "mid" }, fill: NAMED_COLOUR },
      },
      {
        data: {
          values: last.map((point) => ({
            ...point,
            text: figureIn(panel.unit, point.mid),
          })),
        },
        mark: {
          type: "text",
          align: "right",
          dx: -4,
          dy: -9,
          fontSize: 11,
        },
        encoding: {
          x,
          y: { ...y, field: "mid" },
          text: { field: "text" },
          fill: NAMED_COLOUR,
        },
      },
    ],
  } as TopLevelSpec;
}

function pointsOf(answers: Answers, { title, ways }: Panel): Point[] {
  return Object.entries(ways).flatMap(([way, role]) =>
    (["Deno", "Bun"] as Worker[]).flatMap((worker) => {
      const xs = answers.figures.filter((figure) =>
        figure.panel === title && figure.way === way && figure.worker === worker
      ).map(({ x }) => x!);
      return [...new Set(xs)].sort((a, b) => a - b).map((x) => {
        const [low, mid, high] = spreadOf(answers, title, way, worker, x)!;
        return {
          line: `${way}, ${worker}`,
          x,
          low,
          mid,
          high,
          colour: COLOURS[worker as "Deno" | "Bun"],
          isMapped: role === "mapped",
        };
      });
    })
  );
}
