/**
 * Timing: ways that take turns, and loops that are compiled separately.
 *
 * @module
 */

import assert from "node:assert/strict";
import { do_not_optimize, measure } from "mitata";
import type { Bench, Panel } from "./question.ts";

/** A way to do the work. */
export interface Way {
  /** Does it, and returns a result on which all ways must agree. */
  run: () => number | Promise<number>;
  /** How often a run does the unit of work; 1 by default. */
  count?: number;
  /** Prepares the state to be measured; this is not timed. */
  before?: () => void;
}

/** How many samples are taken. */
export interface Effort {
  /** How many turns each way gets; fewer in a quick run. */
  turns?: number;
  /** The most samples in a turn. */
  samples?: number;
  /** Milliseconds after which a turn takes no further sample. */
  time?: number;
}

/**
 * Measures ways in turn: some samples of the first, of the second …, and then again. Before
 * anything is timed, all ways must return the same result, or the program fails.
 *
 * A turn begins with a run that is not timed, so that caches hold what this way
 * left there. With `before` every run begins as it prepares, that one too.
 */
export async function inTurn(
  bench: Bench,
  panel: Panel,
  ways: Record<string, Way>,
  { turns = 5, samples = 5, time = 40 }: Effort = {},
): Promise<void> {
  const result = await agreedResult(panel, ways);
  const figures = new Map<string, number[]>();
  for (let turn = 0; turn < (bench.quick ? 1 : turns); turn++) {
    for (const [way, { run, count = 1, before }] of Object.entries(ways)) {
      const { samples: nanoseconds } = await measure(
        () => {
          const result = run();
          do_not_optimize(result);
          // Promises are awaited.
          return result;
        },
        {
          ...SINGLY,
          ...before && { params: [before] },
          min_samples: 1,
          max_samples: bench.quick ? 2 : samples,
          min_cpu_time: time * 1e6,
        },
      );
      const all = figures.get(way) ?? [];
      all.push(...nanoseconds.map((each) => inUnit(panel, each, count)));
      figures.set(way, all);
    }
  }
  for (const [way, samples] of figures) {
    bench.figure(panel, way, samples, { check: String(result) });
  }
}

/** Times calls one by one, without batches and without collecting garbage before. */
const SINGLY = { gc: false, batch_threshold: 0, warmup_samples: 0 } as const;

function inUnit(panel: Panel, nanoseconds: number, count: number): number {
  return panel.unit === "B/s" ? count / nanoseconds * 1e9 : nanoseconds / count;
}

async function agreedResult(
  panel: Panel,
  ways: Record<string, Way>,
): Promise<number> {
  let agreed: number | undefined;
  for (const [way, { run, before }] of Object.entries(ways)) {
    before?.();
    const result = await run();
    agreed ??= result;
    assert.equal(
      result,
      agreed,
      `${panel.title}: '${way}' has another result than '${
        Object.keys(ways)[0]
      }'.`,
    );
  }
  assert(agreed !== undefined);
  return agreed;
}

/** A loop that was compiled by {@linkcode loop}. */
export type Loop<Given> = (given: Given, from: number, to: number) => number;

let loops = 0;

/**
 * A separate loop for `i` from `from` to `to` that returns `sum`. It is compiled anew, so
 * that no way profits or suffers from another's type feedback or code. No two loops have
 * the same text, since V8 would treat them as one function and share the feedback.
 *
 * @param names What the loop's body may use; given as an object of these names.
 */
export function loop<Given extends Record<string, unknown>>(
  names: (keyof Given & string)[],
  body: string,
): Loop<Given> {
  return new Function(
    "given",
    "from",
    "to",
    `const { ${names.join(", ")} } = given; let sum = 0; ` +
      `for (let i = from; i < to; i++) { ${body} } ` +
      `return sum; // ${++loops}`,
  ) as Loop<Given>;
}

/** The 25th, 50th and 75th percentile, interpolated between two values. */
export function quartiles(
  values: readonly number[],
): [low: number, mid: number, high: number] {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => {
    const place = part * (sorted.length - 1);
    const [below, above] = [Math.floor(place), Math.ceil(place)];
    const low = sorted[below]!;
    return low + (sorted[above]! - low) * (place - below);
  };
  return [at(0.25), at(0.5), at(0.75)];
}
