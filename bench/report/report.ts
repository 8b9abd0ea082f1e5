/**
 * Makes the report of a run: a page, and a picture for each panel.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { machineInWords } from "../suite/machine.ts";
import type { Panel } from "../suite/question.ts";
import type { Results } from "../suite/results.ts";
import { judge, TARGETS } from "../targets.ts";
import { barChart, sharedAxes } from "./bars.ts";
import { dayOf, escaped } from "./format.ts";
import { lineChart } from "./lines.ts";
import { page, value } from "./page.ts";
import { draw, standalone } from "./picture.ts";
import { summaryChart } from "./summary.ts";

const PICTURE = fileURLToPath(new URL("summary.svg", import.meta.url));

/** Writes `report.html` and the pictures into a folder. Returns what to tell the user. */
export async function writeReport(
  results: Results,
  folder: string,
): Promise<string> {
  const panels = new Map<Panel, string>();
  for (const answers of results.questions) {
    const axes = sharedAxes(answers);
    for (const [i, panel] of answers.panels.entries()) {
      const svg = await draw(
        panel.x === undefined
          ? barChart(answers, panel, axes.get(panel)!)
          : lineChart(answers, panel),
      );
      panels.set(panel, svg);
      fs.writeFileSync(
        join(folder, `${answers.name}-${i + 1}.svg`),
        standalone(svg, escaped(`${answers.title} ${panel.title}`)),
      );
    }
  }
  const summary = await drawSummary(results);
  if (summary !== undefined) {
    fs.writeFileSync(join(folder, "summary.svg"), asPicture(summary, results));
  }
  const path = join(folder, "report.html");
  const narrow = await drawSummary(results, true);
  fs.writeFileSync(path, page(results, { summary, narrow, panels }));
  return [...verdicts(results), `The report: ${path}`].join("\n");
}

/** Writes the picture for README.md. */
export async function writePicture(results: Results): Promise<void> {
  const summary = await drawSummary(results);
  if (summary === undefined) throw new Error("there is nothing to draw.");
  fs.writeFileSync(PICTURE, asPicture(summary, results));
}

async function drawSummary(
  results: Results,
  isNarrow = false,
): Promise<string | undefined> {
  const chart = summaryChart(results, isNarrow);
  return chart && await draw(chart);
}

function asPicture(svg: string, { machine, date }: Results): string {
  return standalone(
    svg,
    escaped(
      `How many times as fast mapping is as plain file I/O; ${
        machineInWords(machine)
      }, ${dayOf(date)}`,
    ),
  );
}

/** One line for each target. A quick run has none. */
function verdicts(results: Results): string[] {
  return TARGETS.flatMap((target) => {
    const all = judge(target, results).filter(({ figure }) =>
      figure !== undefined
    );
    if (all.length === 0) return [];
    const figures = all.map(({ runtime, figure, met }) =>
      `${runtime} ${value(target, figure!)} ${met ? "met" : "MISSED"}`
    );
    return [`${target.says}: ${figures.join(", ")}`];
  });
}
