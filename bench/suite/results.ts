/**
 * The results of a run, as they are kept in JSON, and ways to look things up in them.
 *
 * @module
 */

import type { Absence, Figure, Panel, Worker } from "./question.ts";
import { quartiles } from "./timing.ts";

/** On which machine, and with which versions, the figures were measured. */
export interface Machine {
  processor: string;
  cores: number;
  /** In bytes. */
  memory: number;
  system: string;
  architecture: string;
  fileSystem: string;
  /** Versions by name: Deno, Bun, Python, numpy, cc. */
  versions: Record<string, string>;
}

/** What was measured for one question. */
export interface Answers {
  name: string;
  title: string;
  method: string;
  panels: Panel[];
  figures: Figure[];
  absences: Absence[];
}

/** One run of the suite. */
export interface Results {
  /** When it began, in ISO 8601. */
  date: string;
  /** How long it took, in seconds. */
  seconds: number;
  quick: boolean;
  rounds: number;
  /** The commit of the sources, if known. */
  commit?: string | undefined;
  machine: Machine;
  questions: Answers[];
}

/** The quartiles of what one worker measured for a way, if it did. */
export function spreadOf(
  { figures }: Answers,
  panel: string,
  way: string,
  worker: Worker,
  x?: number,
): [low: number, mid: number, high: number] | undefined {
  const samples = figures.filter((figure) =>
    figure.panel === panel && figure.way === way && figure.worker === worker &&
    figure.x === x
  ).flatMap(({ samples }) => samples);
  return samples.length === 0 ? undefined : quartiles(samples);
}

/** The panels that appear together, by the name of their group. */
export function groupsOf({ panels }: Answers): Map<string, Panel[]> {
  return Map.groupBy(panels, ({ group }) => group);
}

/** How many times better `own` is than `base`: above 1 it wins. */
export function timesBetter(
  { better }: Panel,
  own: number,
  base: number,
): number {
  return better === "less" ? base / own : own / base;
}

/**
 * Throws unless every panel of every question has figures from both runtimes, all figures
 * are finite numbers, and the results of the work agree.
 */
export function checkResults({ questions }: Results): void {
  for (const { name, panels, figures, absences } of questions) {
    if (panels.length === 0) throw new Error(`${name}: it measured nothing.`);
    for (const { title } of panels) {
      const here = figures.filter(({ panel }) => panel === title);
      for (const runtime of ["Deno", "Bun"]) {
        const isThere = [...here, ...absences.filter((a) => a.panel === title)]
          .some(({ worker }) => worker === runtime);
        if (!isThere) {
          throw new Error(
            `${name}: '${title}' was not measured in ${runtime}.`,
          );
        }
      }
      checkFigures(`${name}: '${title}'`, here);
    }
  }
}

function checkFigures(where: string, figures: Figure[]): void {
  const checks = new Map<number, string>();
  for (const { way, worker, samples, check } of figures) {
    if (samples.length === 0 || !samples.every(Number.isFinite)) {
      throw new Error(`${where}: ${way} in ${worker} has no finite numbers.`);
    }
    if (check !== undefined) checks.set(Number(check), `${way} in ${worker}`);
  }
  if (checks.size > 1) {
    const results = [...checks].map(([result, who]) => `${result} (${who})`);
    throw new Error(`${where}: results differ: ${results.join(", ")}.`);
  }
}
