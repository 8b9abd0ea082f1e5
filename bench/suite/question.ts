/**
 * What a question of the suite is, and the records that its programs write.
 *
 * A question is asked by one file of `bench/`. The same file runs under each
 * runtime, as often as there are rounds, and writes one JSON record a line;
 * `run.ts` collects them, and `report/` draws them.
 *
 * @module
 */

/** Who did the work. */
export type Worker = "Deno" | "Bun" | "Python" | "C";

/**
 * What part a way plays: `mapped` is this library, `plain` file I/O as the
 * runtimes have it, `other` anything else that one might do instead, `limit` what
 * no way is expected to beat.
 */
export type Role = "mapped" | "plain" | "other" | "limit";

/** One chart: several ways to the same end. */
export interface Panel {
  /** What is measured, unique within its question. */
  title: string;
  /** Panels with the same group stand together, under its name. */
  group: string;
  /** `ns` and `B` are shown with prefixes, `B/s` too. */
  unit: "ns" | "B" | "B/s" | "faults";
  /** What a figure is for: "a read", "an element". */
  per: string;
  /** Is less better? Not for speeds. */
  better: "less" | "more";
  scale: "log" | "linear";
  /** All ways, in the order in which they are drawn. */
  ways: Record<string, Role>;
  /** The way that the ratios on the bars refer to. */
  base: string;
  /** What the horizontal axis of a line chart is; bars have none. */
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
  /** Where it stands on a line chart. */
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
  /** Where the files of the question are; the same one in all its programs. */
  readonly folder: string;
  /** Small files and few samples, to see whether everything works. */
  readonly quick: boolean;
  /** Announces panels; before anything that is measured for them. */
  panels(...panels: Panel[]): void;
  /** Adds samples of a way. */
  figure(
    panel: Panel,
    way: string,
    samples: number[],
    more?: Pick<Figure, "check" | "x">,
  ): void;
  /** Says why ways were not measured. */
  absent(panel: Panel, ways: string[], why: string): void;
}

/** A measurement outside JavaScript: arguments of `rivals/rivals.py` or of `rivals/rivals.c`. */
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
  /** In a reader's words, with a question mark. */
  title: string;
  /** How it was measured, in sentences. */
  method: string;
  /** How long one round takes in one runtime, in seconds: for the time left only. */
  seconds: number;
  /** Makes the files, once, before any program runs. */
  prepare(folder: string, quick: boolean): void;
  /** Measures every panel once, in this runtime. */
  measure(bench: Bench): Promise<void>;
  /** What is measured outside JavaScript in each round. */
  rivals?(folder: string, quick: boolean): Rival[];
}
