/**
 * What the figures say, in sentences: where mapping loses.
 *
 * @module
 */

import type { Panel, Role, Worker } from "../suite/question.ts";
import {
  type Answers,
  type Results,
  spreadOf,
  timesBetter,
} from "../suite/results.ts";
import { digits } from "./format.ts";

/** A difference that is smaller is no loss, but noise. */
const NOTEWORTHY = 1.05;

/** A panel in which plain file I/O is better than mapping. */
export interface Loss {
  question: string;
  sentence: string;
}

/** Where mapping loses, panel by panel and runtime by runtime. */
export function losses({ questions }: Results): Loss[] {
  return questions.flatMap((answers) =>
    answers.panels.flatMap((panel) =>
      (["Deno", "Bun"] as const).flatMap((worker) => {
        const sentence = lossIn(answers, panel, worker);
        return sentence === undefined
          ? []
          : [{ question: answers.name, sentence }];
      })
    )
  );
}

function lossIn(
  answers: Answers,
  panel: Panel,
  worker: Worker,
): string | undefined {
  if (panel.x !== undefined) return undefined;
  const mapped = ranked(answers, panel, worker, "mapped");
  const plain = ranked(answers, panel, worker, "plain")[0];
  if (mapped.length === 0 || plain === undefined) return undefined;
  const [best] = mapped;
  const first = mapped.find(({ way }) =>
    way ===
      Object.keys(panel.ways).find((way) => panel.ways[way] === "mapped")
  ) ?? best;
  const loss = (own: number) => 1 / timesBetter(panel, own, plain.mid);
  const inWords = (own: number) => inTimes(panel, loss(own)) + ` ${plain.way}`;
  if (loss(best.mid) > NOTEWORTHY) {
    return `${panel.title}, ${worker}: ${best.way}, the best of the mapped ` +
      `ways, ${inWords(best.mid)}.`;
  }
  if (first !== best && loss(first.mid) > NOTEWORTHY) {
    return `${panel.title}, ${worker}: ${first.way} ${inWords(first.mid)}, ` +
      `and loses; ${best.way} does not.`;
  }
  return undefined;
}

/** How many times worse, up to the name of what it is worse than. */
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
