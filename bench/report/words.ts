/**
 * The figures in sentences: where mapping loses.
 *
 * @module
 */

import type { Panel, Role, Worker } from "../suite/question.ts";
import { type Answers, spreadOf, timesBetter } from "../suite/results.ts";
import { digits } from "./format.ts";

/** A smaller difference counts as noise. */
const NOTEWORTHY = 1.05;

/** A panel in which plain file I/O beats mapping, in one runtime. */
export interface Loss {
  panel: string;
  runtime: Worker;
  /** How many times worse the best mapped way is, or the first one. */
  ratio: number;
  /** Is there a mapped way that does not lose? */
  isAvoidable: boolean;
  sentence: string;
}

/** Where mapping loses, panel by panel and runtime by runtime. */
export function lossesIn(answers: Answers): Loss[] {
  return answers.panels.flatMap((panel) =>
    (["Deno", "Bun"] as const).flatMap((runtime) =>
      lossIn(answers, panel, runtime) ?? []
    )
  );
}

/** The number of comparisons with plain file I/O. */
export function comparisonsIn(answers: Answers): number {
  return answers.panels.flatMap((panel) =>
    (["Deno", "Bun"] as const).filter((runtime) =>
      (["mapped", "plain"] as const).every((role) =>
        ranked(answers, panel, runtime, role).length > 0
      )
    )
  ).length;
}

/** A sentence for a question: how often mapping loses, and by how much. */
export function verdictOn(answers: Answers): string | undefined {
  const count = comparisonsIn(answers);
  if (count === 0) return undefined;
  const losses = lossesIn(answers);
  const real = losses.filter(({ isAvoidable }) => !isAvoidable);
  const avoidable = losses.length - real.length;
  const sentences = [
    real.length === 0
      ? `Mapping loses in none of ${count} comparisons.`
      : `Mapping loses in ${real.length} of ${count} comparisons: by ` +
        `${range(real.map(({ ratio }) => ratio))}.`,
  ];
  if (avoidable > 0) {
    sentences.push(
      `In ${avoidable} more, its first way loses, but another one does not.`,
    );
  }
  return sentences.join(" ");
}

function range(ratios: number[]): string {
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)].map(digits);
  return low === high ? `${low} times` : `${low} to ${high} times`;
}

function lossIn(
  answers: Answers,
  panel: Panel,
  runtime: Worker,
): Loss | undefined {
  if (panel.x !== undefined) return undefined;
  const mapped = ranked(answers, panel, runtime, "mapped");
  const plain = ranked(answers, panel, runtime, "plain")[0];
  const [best] = mapped;
  if (best === undefined || plain === undefined) return undefined;
  if (!(plain.mid > 0)) return undefined;
  const names = Object.keys(panel.ways);
  const first = names.map((name) => mapped.find(({ way }) => way === name))
    .find((found) => found !== undefined) ?? best;
  const isAvoidable = worse(panel, best.mid, plain.mid) <= NOTEWORTHY;
  const loser = isAvoidable ? first : best;
  const ratio = worse(panel, loser.mid, plain.mid);
  if (ratio <= NOTEWORTHY) return undefined;
  return {
    panel: panel.title,
    runtime,
    ratio,
    isAvoidable,
    sentence: `“${loser.way}” ${inTimes(panel, ratio)} “${plain.way}”` +
      (isAvoidable ? `; “${best.way}” does not lose` : ""),
  };
}

function worse(panel: Panel, own: number, plain: number): number {
  return 1 / timesBetter(panel, own, plain);
}

/** How many times worse, up to where the other way's name follows. */
function inTimes({ unit }: Panel, ratio: number): string {
  const count = `${digits(ratio)} times`;
  if (unit === "B") return `takes ${count} the memory of`;
  if (unit === "faults") return `has ${count} the page faults of`;
  return `takes ${count} as long as`;
}

/** The ways of a role, the best first. */
function ranked(
  answers: Answers,
  panel: Panel,
  worker: Worker,
  role: Role,
): { way: string; mid: number }[] {
  return Object.keys(panel.ways)
    .filter((way) => panel.ways[way] === role)
    .flatMap((way) => {
      const spread = spreadOf(answers, panel.title, way, worker);
      return spread === undefined ? [] : [{ way, mid: spread[1] }];
    })
    .sort((a, b) => panel.better === "less" ? a.mid - b.mid : b.mid - a.mid);
}
