/**
 * The flushes that crash_test.ts and its children break on purpose: the file's content
 * before, the edits, and the content afterwards.
 *
 * @module
 */

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type FlushOptions,
  type FlushResult,
  type Memmap,
  open,
} from "../../../mod.ts";

/** One flush. */
export interface Scenario {
  readonly name: string;
  /** Is it part of the short sample? The others need `MEMMAP_THOROUGH`. */
  readonly isSample: boolean;
  /** The file's content when it is opened, and still when the flush begins. */
  readonly before: Uint8Array;
  /** The file to be flushed to afterwards. */
  readonly after: Uint8Array;
  readonly mode: "r" | "c" | "r+";
  /**
   * Bytes at the end of `before` that the map appends and flushes in two parts, before
   * the flush that all is about. So it has a journal by then, which it keeps.
   */
  readonly appended: number;
  /** How many bytes to map; all by default. */
  readonly length?: number;
  readonly reserve: boolean;
  readonly isAtomic: boolean;
  /**
   * What was written to an atomic map and flushed before the flush that all is about: so
   * it has a journal by then, which it keeps. `before` is {@linkcode FILE} with that.
   */
  readonly written: readonly Patch[];
  readonly edit: (map: Memmap) => void;
  /** What it appends without a slice. */
  readonly tail: Uint8Array;
  readonly options: Omit<FlushOptions, "path">;
  /** Save to another file, which has these bytes before, or does not exist: `null`. */
  readonly saveTo?: Uint8Array | null;
  /** Open through a symbolic link? */
  readonly isLinked: boolean;
  /** Does it share blocks, where that can be done? */
  readonly shares: boolean;
  /** The strategy that the flush will report. */
  readonly strategy: FlushResult["strategy"];
}

/** Bytes to be written at an offset. */
export type Patch = readonly [offset: number, bytes: Uint8Array];

/**
 * Who takes the steps: `flush()`, or `flushAsync()` with its long calls on other threads
 * or at once, on the thread that is traced.
 */
export const DRIVERS = ["flush", "flushAsync, at once", "flushAsync"] as const;
export type Driver = (typeof DRIVERS)[number];

/** Where a scenario happens. */
export interface Place {
  /** The file that is opened, or a link to it. */
  readonly path: string;
  /** The file that is opened. */
  readonly source: string;
  /** The file that the flush writes: the same one or another. */
  readonly target: string;
}

/** Bytes whose pattern no shift by whole pages preserves. */
export function noise(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    words[i] = state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + i;
  }
  return new Uint8Array(words.buffer, 0, length);
}

function join_(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const LENGTH = 700_001;
const CUT = 350_007;
const FILE = noise(LENGTH);
const HEAD = FILE.subarray(0, CUT);
const TAIL = FILE.subarray(CUT);
const NEW = noise(1000, 2);
/** Whole blocks, of any size in use: what comes behind them can be shared. */
const BLOCKS = noise(2 ** 16, 5);
const OTHER = noise(9000, 4);
const NOTHING = new Uint8Array(0);

/** The value that `make` gives, made when it is first asked for. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

const large = once(() => noise(5 * 2 ** 20 + 3, 3));

/**
 * A scenario whose contents are made when they are first asked for. Each blow starts a
 * child, which needs the contents of one scenario; making all of them took it longer
 * than everything else.
 */
type Given =
  & Pick<Scenario, "name" | "edit" | "strategy">
  & Partial<Omit<Scenario, "before" | "after" | "tail">>
  & {
    readonly before?: () => Uint8Array;
    readonly after: () => Uint8Array;
    readonly tail?: () => Uint8Array;
  };

function scenario({ before, after, tail, ...given }: Given): Scenario {
  const makeBefore = once(before ?? (() => FILE));
  const makeAfter = once(after);
  const makeTail = once(tail ?? (() => NOTHING));
  return {
    isSample: false,
    mode: "r+",
    appended: 0,
    reserve: true,
    isAtomic: false,
    written: [],
    options: {},
    isLinked: false,
    shares: false,
    ...given,
    get before() {
      return makeBefore();
    },
    get after() {
      return makeAfter();
    },
    get tail() {
      return makeTail();
    },
  };
}

/** Single bytes, a part of a page, several pages, the end. */
const patches = once((): readonly Patch[] => [
  [5, NEW.subarray(0, 1)],
  [4000, NEW],
  [CUT, OTHER],
  [500_000, large().subarray(0, 130_000)],
  [LENGTH - 3, NEW.subarray(0, 3)],
]);

function patched(
  content: Uint8Array,
  written: readonly Patch[] = patches(),
): Uint8Array {
  const result = content.slice();
  for (const [offset, bytes] of written) result.set(bytes, offset);
  return result;
}

function patch(map: Memmap, written: readonly Patch[] = patches()): void {
  for (const [offset, bytes] of written) map.write(bytes, offset);
}

const insertInTheMiddle = (map: Memmap) => void map.insert(CUT, NEW);
const append = (map: Memmap) => void map.insert(map.mappedLength, NEW);
const appendLine = (map: Memmap) => map.append(NEW);
const nothing = () => {};

export const SCENARIOS: readonly Scenario[] = [
  scenario({
    name: "grow in the middle",
    isSample: true,
    after: () => join_(HEAD, NEW, TAIL),
    edit: insertInTheMiddle,
    strategy: "replace",
  }),
  scenario({
    name: "append",
    isSample: true,
    after: () => join_(FILE, NEW),
    edit: append,
    strategy: "extend",
  }),
  scenario({
    name: "append for the third time",
    after: () => join_(FILE, NEW),
    edit: append,
    appended: 3000,
    strategy: "extend",
  }),
  scenario({
    name: "append for the third time, not durable",
    after: () => join_(FILE, NEW),
    edit: append,
    appended: 3000,
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append within a page, not durable",
    after: () => join_(FILE, NEW.subarray(0, 300)),
    edit: (map) => void map.insert(map.mappedLength, NEW.subarray(0, 300)),
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append within a page, not durable, with a journal kept",
    after: () => join_(FILE, NEW.subarray(0, 300)),
    edit: (map) => void map.insert(map.mappedLength, NEW.subarray(0, 300)),
    appended: 3000,
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append a line for the third time",
    isSample: true,
    after: () => join_(FILE, NEW),
    edit: appendLine,
    tail: () => NEW,
    appended: 3000,
    strategy: "extend",
  }),
  scenario({
    name: "append a line for the third time, not durable",
    after: () => join_(FILE, NEW),
    edit: appendLine,
    tail: () => NEW,
    appended: 3000,
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append a line within a page, not durable",
    after: () => join_(FILE, NEW.subarray(0, 300)),
    edit: (map) => map.append(NEW.subarray(0, 300)),
    tail: () => NEW.subarray(0, 300),
    appended: 200,
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append a line within a page, not durable, with a journal kept",
    after: () => join_(FILE, NEW.subarray(0, 300)),
    edit: (map) => map.append(NEW.subarray(0, 300)),
    tail: () => NEW.subarray(0, 300),
    appended: 3000,
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append much with a journal kept",
    after: () => join_(FILE, large()),
    edit: (map) => void map.insert(map.mappedLength, large()),
    appended: 3000,
    strategy: "extend",
  }),
  scenario({
    name: "cut at the end with a journal kept",
    after: () => FILE.subarray(0, LENGTH - 5000),
    edit: (map) => map.slice(CUT).resize(LENGTH - CUT - 5000),
    appended: 3000,
    strategy: "extend",
  }),
  scenario({
    name: "cut what was appended last",
    isSample: true,
    after: () => FILE.subarray(0, LENGTH - 700),
    edit: (map) => map.slice(CUT).resize(LENGTH - CUT - 700),
    appended: 3000,
    strategy: "extend",
  }),
  scenario({
    name: "grow in the middle with a journal kept",
    after: () => join_(HEAD, NEW, TAIL),
    edit: insertInTheMiddle,
    appended: 3000,
    strategy: "replace",
  }),
  scenario({
    name: "grow in the middle, not durable",
    after: () => join_(HEAD, NEW, TAIL),
    edit: insertInTheMiddle,
    options: { durable: false },
    strategy: "replace",
  }),
  scenario({
    name:
      "grow many slices in a mapped prefix, through a link, without reserve",
    length: CUT,
    after: () =>
      join_(
        FILE.subarray(0, 10),
        NEW,
        FILE.subarray(10, 20),
        NEW,
        FILE.subarray(20, 300_000),
        NEW,
        FILE.subarray(300_000),
      ),
    edit: (map) => {
      for (const offset of [10, 20, 300_000]) map.insert(offset, NEW);
    },
    reserve: false,
    isLinked: true,
    strategy: "replace",
  }),
  scenario({
    name: "grow in the middle by whole blocks",
    after: () => join_(HEAD, BLOCKS, TAIL),
    edit: (map) => void map.insert(CUT, BLOCKS),
    shares: true,
    strategy: "replace",
  }),
  scenario({
    name: "shrink",
    after: () => join_(FILE.subarray(0, CUT - 1000), TAIL),
    edit: (map) => map.slice(10, CUT).resize(CUT - 1010),
    strategy: "replace",
  }),
  scenario({
    name: "insert at 0",
    after: () => join_(NEW, FILE),
    edit: (map) => void map.insert(0, NEW),
    strategy: "replace",
  }),
  scenario({
    name: "change bytes of a slice that floats",
    after: () =>
      join_(FILE.subarray(0, 100), new Uint8Array(10), FILE.subarray(110)),
    edit: (map) => {
      const slice = map.slice(100, 200);
      slice.resize(201);
      slice.resize(100);
      slice.bytes.fill(0, 0, 10);
    },
    strategy: "replace",
  }),
  scenario({
    name: "delete all",
    after: () => NOTHING,
    edit: (map) => map.slice().resize(0),
    strategy: "extend",
  }),
  scenario({
    name: "delete all by replacing",
    after: () => NOTHING,
    edit: (map) => map.slice().resize(0),
    options: { strategy: "replace" },
    strategy: "replace",
  }),
  scenario({
    name: "cut at the end",
    after: () => FILE.subarray(0, LENGTH - 5000),
    edit: (map) => map.slice(CUT).resize(LENGTH - CUT - 5000),
    strategy: "extend",
  }),
  scenario({
    name: "append several MiB",
    after: () => join_(FILE, NEW, large()),
    edit: (map) => {
      map.append(large());
      map.insert(LENGTH, NEW);
    },
    tail: large,
    strategy: "extend",
  }),
  scenario({
    name: "append, not durable, without reserve",
    after: () => join_(FILE, NEW),
    edit: append,
    reserve: false,
    options: { durable: false },
    strategy: "extend",
  }),
  scenario({
    name: "append by replacing",
    after: () => join_(FILE, NEW),
    edit: append,
    options: { strategy: "replace" },
    strategy: "replace",
  }),
  scenario({
    name: "append many, and insert",
    after: () => join_(HEAD, NEW, TAIL, ...Array(200).fill(NEW)),
    edit: (map) => {
      insertInTheMiddle(map);
      for (let i = 0; i < 200; i++) map.append(NEW);
    },
    tail: () => join_(...Array(200).fill(NEW)),
    strategy: "replace",
  }),
  scenario({
    name: "append to an empty file, through a link",
    before: () => NOTHING,
    after: () => NEW,
    edit: append,
    isLinked: true,
    strategy: "extend",
  }),
  scenario({
    name: "commit",
    isSample: true,
    isAtomic: true,
    after: () => patched(FILE),
    edit: (map) => patch(map),
    strategy: "in-place",
  }),
  scenario({
    name: "commit for the second time",
    isAtomic: true,
    written: [[5, OTHER], [600_000, NEW]],
    before: () => patched(FILE, [[5, OTHER], [600_000, NEW]]),
    after: () => patched(patched(FILE, [[5, OTHER], [600_000, NEW]])),
    edit: (map) => patch(map),
    strategy: "in-place",
  }),
  scenario({
    name: "commit, not durable, without reserve, through a link",
    isAtomic: true,
    after: () => patched(FILE),
    edit: (map) => patch(map),
    reserve: false,
    isLinked: true,
    options: { durable: false },
    strategy: "in-place",
  }),
  scenario({
    name: "commit and append",
    isAtomic: true,
    after: () => join_(patched(FILE), NEW),
    edit: (map) => {
      patch(map);
      append(map);
    },
    strategy: "in-place",
  }),
  scenario({
    name: "commit for the second time and append much, not durable",
    isAtomic: true,
    written: [[5, OTHER], [600_000, NEW]],
    before: () => patched(FILE, [[5, OTHER], [600_000, NEW]]),
    after: () =>
      join_(
        patched(patched(FILE, [[5, OTHER], [600_000, NEW]])),
        NEW,
        large(),
      ),
    edit: (map) => {
      patch(map);
      append(map);
      map.append(large());
    },
    tail: large,
    options: { durable: false },
    strategy: "in-place",
  }),
  scenario({
    name: "commit in a mapped prefix",
    isAtomic: true,
    length: CUT,
    after: () => patched(FILE, patches().slice(0, 2)),
    edit: (map) => patch(map, patches().slice(0, 2)),
    strategy: "in-place",
  }),
  scenario({
    name: "commit an insert and written bytes",
    isAtomic: true,
    written: [[5, OTHER]],
    before: () => patched(FILE, [[5, OTHER]]),
    after: () =>
      join_(
        patched(patched(FILE, [[5, OTHER]])).subarray(0, CUT),
        NEW,
        patched(patched(FILE, [[5, OTHER]])).subarray(CUT),
      ),
    edit: (map) => {
      insertInTheMiddle(map);
      patch(map);
    },
    strategy: "replace",
  }),
  scenario({
    name: "append to an atomic map that was committed",
    isAtomic: true,
    written: [[5, OTHER]],
    before: () => patched(FILE, [[5, OTHER]]),
    after: () => join_(patched(FILE, [[5, OTHER]]), NEW),
    edit: append,
    strategy: "extend",
  }),
  scenario({
    name: "save an atomic map",
    isAtomic: true,
    after: () => patched(FILE),
    edit: (map) => patch(map),
    saveTo: OTHER,
    strategy: "replace",
  }),
  scenario({
    name: "save as a new file",
    after: () => join_(HEAD, NEW, TAIL),
    edit: insertInTheMiddle,
    saveTo: null,
    strategy: "replace",
  }),
  scenario({
    name: "save by whole blocks, not durable, without reserve",
    after: () => join_(HEAD, BLOCKS, TAIL),
    edit: (map) => void map.insert(CUT, BLOCKS),
    reserve: false,
    options: { durable: false },
    saveTo: OTHER,
    shares: true,
    strategy: "replace",
  }),
  scenario({
    name: "save as a file that exists",
    after: () => join_(HEAD, NEW, TAIL),
    edit: insertInTheMiddle,
    saveTo: OTHER,
    strategy: "replace",
  }),
  scenario({
    name: "save a private copy",
    mode: "c",
    after: () => join_(new Uint8Array(20), FILE.subarray(20), NEW),
    edit: (map) => {
      map.slice(0, 20).bytes.fill(0);
      append(map);
    },
    saveTo: OTHER,
    strategy: "replace",
  }),
  scenario({
    name: "save what was opened for reading, not durable",
    mode: "r",
    after: () => FILE,
    edit: nothing,
    options: { durable: false },
    saveTo: null,
    strategy: "replace",
  }),
];

/** The scenario with that name. */
export function scenarioNamed(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`No scenario is named '${name}'.`);
  return found;
}

/** The paths of `scenario` in `folder`. */
export function placeIn(folder: string, scenario: Scenario): Place {
  const data = join(folder, "data");
  const source = join(data, "file");
  return {
    path: scenario.isLinked ? join(folder, "link") : source,
    source,
    target: scenario.saveTo === undefined ? source : join(data, "saved"),
  };
}

/** Creates the files with which `scenario` begins. */
export function prepare(folder: string, scenario: Scenario): Place {
  const place = placeIn(folder, scenario);
  mkdirSync(join(folder, "data"), { recursive: true });
  const { before, appended, written } = scenario;
  const content = written.length > 0 ? FILE : before;
  writeFileSync(place.source, content.subarray(0, content.length - appended));
  if (scenario.isLinked) symlinkSync("data/file", place.path);
  if (scenario.saveTo) writeFileSync(place.target, scenario.saveTo);
  return place;
}

/** The target's content before the flush, or `null` if it does not exist. */
export function targetBefore(scenario: Scenario): Uint8Array | null {
  return scenario.saveTo === undefined ? scenario.before : scenario.saveTo;
}

/** Are the bytes the same? `null` stands for no file. */
export function same(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  return Buffer.compare(a, b) === 0;
}

/** Opens what {@linkcode prepare} made, and appends what is to be there when it is flushed. */
export function openScenario(scenario: Scenario, { path }: Place): Memmap {
  const { mode, length, reserve, isAtomic: atomic } = scenario;
  const { before, appended, written, options } = scenario;
  const given = { reserve, atomic };
  const map = open(
    path,
    mode,
    length === undefined ? given : {
      ...given,
      length,
    },
  );
  if (written.length > 0) {
    patch(map, written);
    map.flush(options);
  }
  for (let at = before.length - appended; at < before.length;) {
    const end = Math.min(at + Math.ceil(appended / 2), before.length);
    map.insert(map.mappedLength, before.subarray(at, end));
    map.flush(options);
    for (const slice of map.slices) slice.delete();
    at = end;
  }
  return map;
}

/** The bytes at `path`, or `null` if there is no file. */
export function contentOf(path: string): Uint8Array | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return null;
    throw error;
  }
}

/**
 * What the map would hold if it were flushed now. What was appended nobody can look at:
 * there is as much of it as `appended` has.
 */
export function contentOfMap(
  map: Memmap,
  appended: Uint8Array = NOTHING,
): Uint8Array {
  const content = new Uint8Array(map.length);
  // Gaps have no view of their own, and a slice cut for the look would stay.
  for (const { slice, state, begin, end, offset, length } of map.layout()) {
    if (slice === null && state === "floating") {
      if (length === appended.length) content.set(appended, offset);
      continue;
    }
    const part = slice ?? map.slice(begin, end);
    content.set(part.bytes, offset);
    if (slice === null) part.delete();
  }
  return content;
}
