/**
 * What a question of the suite is, and the records that its programs write.
 *
 * Each question is one file of `bench/`. The file runs under each runtime, once a round,
 * and writes JSON records, one a line. `run.ts` collects them, and `report/` draws them.
 *
 * @module
 */

/** The language or runtime that did the work. */
export type Worker = "Deno" | "Bun" | "Python" | "C";

/**
 * The role of a way. `mapped` is this library, `plain` is the runtimes' own file I/O,
 * `other` is anything else that one might do instead, and `limit` is what no way is
 * expected to beat.
 */
export type Role = "mapped" | "plain" | "other" | "limit";

/** One chart: several ways to the same end. */
export interface Panel {
  /** What is measured, unique within its question. */
  title: string;
  /** Panels of the same group appear together, under its name. */
  group: string;
  /** `ns`, `B` and `B/s` are shown with prefixes. */
  unit: "ns" | "B" | "B/s" | "faults";
  /** What a figure is for: "a read", "an element". */
  per: string;
  /** Which figure is better? For speeds, more. */
  better: "less" | "more";
  scale: "log" | "linear";
  /** All ways, in the order in which they are drawn. */
  ways: Record<string, Role>;
  /** The way that the ratios on the bars refer to. */
  base: string;
  /** What the horizontal axis of a line chart means. Bars have none. */
  x?: string;
}

/** What one worker measured of one way, in the panel's unit. */
export interface Figure {
  panel: string;
  way: string;
  worker: Worker;
  samples: number[];
  /** The result of the work: the same from all workers and ways, or the run fails. */
  check?: string;
  /** Its place on the horizontal axis of a line chart. */
  x?: number;
}

/** A way that could not be measured, and why. */
export interface Absence {
  panel: string;
  way: string;
  worker: Worker;
  why: string;
}

/** A line that a program of the suite writes. */
export type SuiteRecord =
  | { panel: Panel }
  | { figure: Figure }
  | { absence: Absence };

/** What a question is measured with. */
export interface Bench {
  /** The folder of the question's files, the same for all its programs. */
  readonly folder: string;
  /** Use small files and few samples, only to see whether everything works? */
  readonly quick: boolean;
  /** Announces panels, before anything is measured for them. */
  panels(...panels: Panel[]): void;
  /** Adds samples of a way. */
  figure(
    panel: Panel,
    way: string,
    samples: number[],
    more?: Pick<Figure, "check" | "x">,
  ): void;
  /** Reports why ways were not measured. */
  absent(panel: Panel, ways: string[], why: string): void;
}

/** A measurement outside JavaScript: the arguments of `rivals.py` or `rivals.c`. */
export interface Rival {
  panel: string;
  way: string;
  worker: "Python" | "C";
  needs?: "numpy";
  args: (string | number)[];
}

/** What one file of `bench/` asks. */
export interface Question {
  /** The file's name, without its ending. */
  name: string;
  /** The question, in a reader's words. */
  title: string;
  /** How it was measured, in sentences. */
  method: string;
  /** Seconds that one round takes in one runtime, to estimate the time left. */
  seconds: number;
  /** Creates the files, once, before any program runs. */
  prepare(folder: string, quick: boolean): void;
  /** Measures every panel once, in this runtime. */
  measure(bench: Bench): Promise<void>;
  /** What is measured outside JavaScript in each round. */
  rivals?(folder: string, quick: boolean): Rival[];
}
