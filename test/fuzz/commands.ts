/**
 * The operations in the sequences of the fuzz test, as plain data, and how they are
 * drawn.
 *
 * An operation names its maps, slices, views and arrays by number. The number is an index
 * into a list, modulo its length, so that a sequence still makes sense after something
 * was left out. Places and lengths are numbers, or fractions of what exists. Their values
 * are known only when they are needed.
 *
 * @module
 */

import fc, { type Arbitrary } from "fast-check";
import { MODEL_TYPES, type ModelType } from "./array_model.ts";

/** The names in the folder. The last one is invalid. */
export const NAMES: readonly string[] = ["a", "b", "c", "d", ""];

/** A place or a length. */
export type Amount =
  | number
  /** Thousandths of what exists; with `fromEnd`, negative and counted from its end. */
  | { readonly part: number; readonly fromEnd?: boolean }
  /** A place without a slice. */
  | { readonly gap: number; readonly part: number }
  /** A number of bytes from where a slice begins or ends, or from a slice's length. */
  | { readonly edge: number; readonly plus: number }
  /** A value that is never valid. */
  | { readonly odd: "NaN" | "Infinity" | "half" | "text" | "null" };

/** Bytes that these numbers determine. */
export interface Bytes {
  readonly bytes: number;
  readonly seed: number;
}

/** What is inserted or copied. */
export type Content =
  | { readonly zeros: Amount }
  | Bytes & { readonly as: (typeof CONTENT_KINDS)[number] }
  /** A part of the bytes of a slice, by its view. */
  | { readonly slice: number; readonly from: number; readonly to: number }
  | { readonly wrong: "text" | "null" };

/** The kinds of objects that hold bytes. */
export const CONTENT_KINDS = [
  "Uint8Array",
  "ArrayBuffer",
  "DataView",
  "Uint16Array",
  "list",
] as const;

/** What is searched for. */
export type Pattern =
  | string
  | Bytes
  /** Existing bytes: this many, from this fraction on. */
  | { readonly part: number; readonly count: number }
  | { readonly wrong: "number" };

interface OnMap {
  readonly map: number;
}

interface OnSlice {
  readonly slice: number;
}

interface OnArray {
  readonly array: number;
}

interface OnFile {
  readonly file: number;
}

interface InRange {
  readonly begin?: Amount;
  readonly end?: Amount;
  /** Are the two swapped if the end comes before the beginning? */
  readonly turn?: boolean;
}

/** What kind of function `flush` calls while it works. */
export type ProgressKind = "counts" | "uses the map" | "throws" | "no function";

/** One operation. */
export type Command =
  | OnFile & {
    readonly do: "open";
    readonly mode: string;
    readonly length?: Amount;
    readonly create?: boolean;
    readonly atomic?: boolean;
    readonly how: "open" | "new" | "URL";
  }
  | OnMap & { readonly do: "close"; readonly discard?: boolean }
  | OnMap & { readonly do: "dispose" }
  | OnMap & { readonly do: "refresh" }
  | OnMap & InRange & { readonly do: "slice" }
  | OnMap & {
    readonly do: "carve";
    readonly from: Amount;
    readonly length: number;
    readonly step: number;
    readonly count: number;
  }
  | OnMap & {
    readonly do: "insert";
    readonly at: Amount;
    readonly content: Content;
  }
  | OnMap & { readonly do: "append"; readonly content: Content }
  | OnMap & { readonly do: "delete range"; begin: Amount; end: Amount }
  | OnMap & OnSlice & { readonly do: "delete slice" }
  | OnMap & InRange & {
    readonly do: "find";
    readonly pattern: Pattern;
    readonly last: boolean;
  }
  | OnMap & {
    readonly do: "move";
    readonly target: Amount;
    readonly source: Amount;
    readonly count: Amount;
  }
  | OnMap & InRange & {
    readonly do: "read" | "residency" | "modified" | "revert";
  }
  | OnMap & {
    readonly do: "write";
    readonly source: Content;
    readonly offset: Amount;
  }
  | OnMap & InRange & { readonly do: "advise"; readonly advice: string }
  | OnMap & {
    readonly do: "flush";
    readonly strategy?: string;
    readonly durable?: boolean;
    readonly path?: number;
    readonly progress?: ProgressKind;
  }
  // The same while the event loop goes on, and what is done to the map meanwhile: one
  // after each step.
  | OnMap & {
    readonly do: "flush async";
    readonly strategy?: string;
    readonly durable: boolean;
    readonly path?: number;
    readonly progress?: ProgressKind;
    /** The step after which it is aborted. */
    readonly abort?: number;
    readonly meanwhile: readonly Command[];
  }
  | OnMap & InRange & { readonly do: "sync" }
  | OnSlice & {
    readonly do: "set";
    readonly source: Content;
    readonly offset?: Amount;
  }
  | OnSlice & InRange & { readonly do: "fill"; readonly value: number }
  | OnSlice & InRange & { readonly do: "copy" }
  | OnSlice & InRange & {
    readonly do: "find in slice";
    readonly pattern: Pattern;
    readonly last: boolean;
  }
  | OnSlice & { readonly do: "resize"; readonly length: Amount }
  | OnSlice & {
    readonly do: "splice";
    readonly offset: Amount;
    readonly count: Amount;
    readonly content?: Content;
  }
  | OnSlice & { readonly do: "sync slice" | "delete" | "dispose slice" }
  | OnSlice & { readonly do: "view" }
  | {
    readonly do: "poke";
    readonly view: number;
    readonly part: number;
    readonly value: number;
  }
  | OnSlice & {
    readonly do: "steal";
    readonly how: "transfer" | "structuredClone";
  }
  | { readonly do: "poke stolen"; readonly stolen: number; value: number }
  | OnSlice & {
    readonly do: "array";
    readonly type: ModelType | "float128";
    readonly order: "little" | "big";
    readonly byteOffset?: Amount;
    readonly shape?: readonly number[];
  }
  | OnArray & { readonly do: "get" | "get data"; readonly at: number }
  | OnArray & { readonly do: "set element"; at: number; value: number }
  | OnArray & { readonly do: "fill array" | "apply"; readonly value: number }
  | OnArray & {
    readonly do: "to typed array" | "copy to" | "subarray";
    readonly begin: number;
    readonly end: number;
  }
  | OnArray & {
    readonly do: "copy from list";
    readonly count: number;
    readonly value: number;
    readonly offset: number;
  }
  | OnArray & { readonly do: "copy from array"; source: number; offset: number }
  | OnArray & {
    readonly do: "reshape" | "resize array" | "transpose";
    readonly shape: readonly number[];
  }
  | OnArray & {
    readonly do: "pick" | "lo" | "hi" | "step";
    readonly numbers: readonly (number | null)[];
  }
  // What another process might do
  | OnFile & { readonly do: "grow file"; readonly content: Bytes }
  | OnFile & { readonly do: "replace file"; readonly content: Bytes }
  | OnFile & {
    readonly do: "write into file";
    readonly part: number;
    readonly content: Bytes;
  }
  | OnFile & { readonly do: "remove file" }
  | OnFile & { readonly do: "link file"; readonly to: number }
  | OnFile & { readonly do: "cut file"; readonly part: number };

/** The files at the beginning, and the operations. */
export interface Sequence {
  readonly files: readonly Bytes[];
  readonly commands: readonly Command[];
}

// Critical lengths: a page, a cache line, to which floating memory is aligned, and a
// mebibyte, from which on a floating slice has its own memory.
const EDGES = [63, 64, 65, 128, 4095, 4096, 4097, 8192, 12_289];
const LARGE = 2 ** 20;
const LARGE_EDGES = [LARGE - 64, LARGE - 1, LARGE, LARGE + 1];

const size: Arbitrary<number> = fc.oneof(
  { weight: 10, arbitrary: fc.nat(40) },
  { weight: 6, arbitrary: fc.nat(700) },
  { weight: 4, arbitrary: fc.constantFrom(0, ...EDGES) },
  { weight: 2, arbitrary: fc.nat(20_000) },
);

const largeSize: Arbitrary<number> = fc.oneof(
  { weight: 60, arbitrary: size },
  { weight: 1, arbitrary: fc.constantFrom(...LARGE_EDGES, LARGE * 1.5) },
);

const part = fc.nat(1000);
const which = fc.nat(30);
const gap = fc.record({ gap: which, part });
const odd: Arbitrary<Amount> = fc.constantFrom(
  { odd: "NaN" },
  { odd: "Infinity" },
  { odd: "half" },
  { odd: "text" },
  { odd: "null" },
);

const offset: Arbitrary<Amount> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ part }) },
  {
    weight: 8,
    arbitrary: fc.record({
      edge: which,
      plus: fc.constantFrom(0, 0, 0, 1, -1),
    }),
  },
  { weight: 4, arbitrary: fc.integer({ min: -20, max: 40 }) },
  { weight: 2, arbitrary: fc.constantFrom(...EDGES) },
  { weight: 6, arbitrary: gap },
  { weight: 2, arbitrary: fc.record({ part, fromEnd: fc.constant(true) }) },
  { weight: 1, arbitrary: odd },
);

const openLength: Arbitrary<Amount> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ part }) },
  {
    weight: 8,
    arbitrary: fc.record({
      edge: fc.constant(0),
      plus: fc.constantFrom(0, -1, 1, 100, 4096),
    }),
  },
  { weight: 2, arbitrary: size },
  { weight: 1, arbitrary: fc.constantFrom(-1, 2 ** 52) },
  { weight: 1, arbitrary: odd },
);

const length: Arbitrary<Amount> = fc.oneof(
  { weight: 12, arbitrary: largeSize },
  { weight: 6, arbitrary: fc.record({ part }) },
  {
    weight: 4,
    arbitrary: fc.record({
      edge: which,
      plus: fc.constantFrom(0, 0, 1, -1, 64),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom(-1, -5, 2 ** 52) },
  { weight: 1, arbitrary: odd },
);

function bytesOf(size: Arbitrary<number>): Arbitrary<Bytes> {
  return fc.record({ bytes: size, seed: fc.nat(1000) });
}

const content: Arbitrary<Content> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ zeros: length }) },
  {
    weight: 12,
    arbitrary: fc.record({
      bytes: largeSize,
      seed: fc.nat(1000),
      as: fc.constantFrom(...CONTENT_KINDS.slice(0, 4)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ slice: which, from: part, to: part }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ wrong: fc.constantFrom("text", "null") }),
  },
);

const source: Arbitrary<Content> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      bytes: fc.nat(100),
      seed: fc.nat(1000),
      as: fc.constantFrom(
        "Uint8Array",
        "ArrayBuffer",
        "Uint16Array",
        "list",
      ),
    }),
  },
  { weight: 2, arbitrary: content.filter((one) => "slice" in one) },
);

const pattern: Arbitrary<Pattern> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ part, count: fc.nat(9) }) },
  { weight: 2, arbitrary: bytesOf(fc.nat(3)) },
  { weight: 1, arbitrary: fc.constantFrom("", "a", "ab", "é\0", "\0\0") },
  { weight: 1, arbitrary: fc.constant({ wrong: "number" as const }) },
);

const file = fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 3);
const turn = fc.constantFrom(true, true, true, true, false);
const range = { begin: offset, end: offset, turn };
const value = fc.nat(0xffff_ffff);
const flat = fc.nat(2000);
const rank = fc.integer({ min: -8, max: 40 });
const axes = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.nat(4) },
    { weight: 2, arbitrary: fc.nat(9) },
    { weight: 1, arbitrary: fc.constant(-1) },
  ),
  { maxLength: 3 },
);

const choices = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.nat(3) },
    { weight: 2, arbitrary: fc.integer({ min: -3, max: -1 }) },
    { weight: 3, arbitrary: fc.constant(null) },
  ),
  { maxLength: 3 },
);

const MODES = ["r", "c", "r+", "w+"];
const LONG_MODES = ["readonly", "copyonwrite", "readwrite", "write", "a"];

type Kind = Command["do"];

/** Makes a command. All its required parts must be there. */
function command(
  kind: Kind,
  fields: Record<string, Arbitrary<unknown>>,
  optional: readonly string[] = [],
): Arbitrary<Command> {
  const required = Object.keys(fields).filter((key) => !optional.includes(key));
  return fc.record({ do: fc.constant(kind), ...fields }, {
    requiredKeys: ["do", ...required as "do"[]],
  }) as unknown as Arbitrary<Command>;
}

const openFile = command("open", {
  file: fc.oneof(
    { weight: 40, arbitrary: file },
    { weight: 1, arbitrary: fc.constant(4) },
  ),
  mode: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...MODES, "r+", "r+", "c") },
    { weight: 1, arbitrary: fc.constantFrom(...LONG_MODES) },
  ),
  length: openLength,
  create: fc.constantFrom(false, true),
  how: fc.constantFrom("open", "open", "new", "URL"),
}, ["length", "create"]);

const openAtomic = command("open", {
  file,
  mode: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom("r+", "readwrite") },
    { weight: 1, arbitrary: fc.constantFrom("r", "c", "w+") },
  ),
  length: openLength,
  create: fc.constantFrom(false, true),
  atomic: fc.constant(true),
  how: fc.constantFrom("open", "new", "URL"),
}, ["length", "create"]);

const RANGE = ["begin", "end"];
// Two places without a slice, mostly in the same gap.
const freeRange = fc.tuple(gap, part).map(([begin, to]) => ({
  begin,
  end: { ...begin, part: to },
}));
const freeSlice: Arbitrary<Command> = fc.record({ map: which, freeRange })
  .map(({ map, freeRange }) => ({
    do: "slice",
    map,
    ...freeRange,
    turn: true,
  }));

/** The weight of each command, and how its parts are drawn. */
const COMMANDS: readonly [weight: number, Arbitrary<Command>][] = [
  [14, openFile],
  [8, openAtomic],
  [4, command("modified", { map: which, ...range }, RANGE)],
  [6, command("revert", { map: which, ...range }, RANGE)],
  [3, command("close", { map: which, discard: fc.boolean() }, ["discard"])],
  [2, command("dispose", { map: which })],
  [14, command("slice", { map: which, ...range }, RANGE)],
  [24, freeSlice],
  [
    2,
    command("carve", {
      map: which,
      from: offset,
      length: fc.nat(40),
      step: fc.nat(80),
      count: fc.nat(150),
    }),
  ],
  [28, command("insert", { map: which, at: offset, content })],
  [10, command("append", { map: which, content })],
  [3, command("delete range", { map: which, ...range })],
  [2, command("delete slice", { map: which, slice: which })],
  [
    6,
    command("find", { map: which, pattern, last: fc.boolean(), ...range }, [
      ...RANGE,
    ]),
  ],
  [
    8,
    command("move", {
      map: which,
      target: offset,
      source: offset,
      count: fc.oneof(size, offset),
    }),
  ],
  [4, command("read", { map: which, ...range }, RANGE)],
  [2, command("residency", { map: which, ...range }, RANGE)],
  [8, command("write", { map: which, source, offset })],
  [
    4,
    command("advise", {
      map: which,
      advice: fc.constantFrom(
        "normal",
        "random",
        "sequential",
        "willneed",
        "dontneed",
        "dontneed",
        "hugepage",
        "cold",
        "pageout",
        "free",
      ),
      ...range,
    }, RANGE),
  ],
  [
    36,
    command("flush", {
      map: which,
      strategy: fc.oneof(
        {
          weight: 12,
          arbitrary: fc.constantFrom("auto", "replace", "in-place"),
        },
        { weight: 1, arbitrary: fc.constant("fast") },
      ),
      durable: fc.oneof(
        { weight: 12, arbitrary: fc.constant(false) },
        { weight: 1, arbitrary: fc.constant(true) },
      ),
      progress: fc.constantFrom(
        "counts",
        "counts",
        "uses the map",
        "throws",
        "throws",
        "no function",
      ),
    }, ["strategy", "progress"]),
  ],
  [
    9,
    command("flush", {
      map: which,
      path: fc.nat(4),
      strategy: fc.constantFrom("auto", "replace", "in-place"),
      durable: fc.constant(false),
      progress: fc.constantFrom("counts", "uses the map", "throws"),
    }, ["strategy", "progress"]),
  ],
  [8, command("refresh", { map: which })],
  [4, command("sync", { map: which, ...range }, RANGE)],
  [10, command("set", { slice: which, source, offset }, ["offset"])],
  [
    8,
    command("fill", {
      slice: which,
      value: fc.oneof(
        fc.integer({ min: -1, max: 300 }),
        fc.double({ noNaN: true, noDefaultInfinity: true }),
      ),
      ...range,
    }, RANGE),
  ],
  [4, command("copy", { slice: which, begin: rank, end: rank }, RANGE)],
  [
    5,
    command("find in slice", {
      slice: which,
      pattern,
      last: fc.boolean(),
      ...range,
    }, RANGE),
  ],
  [24, command("resize", { slice: which, length })],
  [
    18,
    command("splice", {
      slice: which,
      offset,
      count: fc.oneof(fc.constant(0), size, offset),
      content,
    }, ["content"]),
  ],
  [2, command("sync slice", { slice: which })],
  [7, command("delete", { slice: which })],
  [3, command("dispose slice", { slice: which })],
  [16, command("view", { slice: which })],
  [12, command("poke", { view: which, part, value: fc.nat(255) })],
  [
    5,
    command("steal", {
      slice: which,
      how: fc.constantFrom("transfer", "structuredClone"),
    }),
  ],
  [4, command("poke stolen", { stolen: which, value: fc.nat(255) })],
  [
    20,
    command("array", {
      slice: which,
      type: fc.oneof(
        { weight: 40, arbitrary: fc.constantFrom(...MODEL_TYPES) },
        { weight: 1, arbitrary: fc.constant("float128") },
      ),
      order: fc.constantFrom("little", "big"),
      byteOffset: fc.oneof(
        { weight: 6, arbitrary: fc.nat(16) },
        { weight: 1, arbitrary: offset },
      ),
      shape: axes,
    }, ["byteOffset", "shape"]),
  ],
  [4, command("get", { array: which, at: flat })],
  [3, command("get data", { array: which, at: flat })],
  [5, command("set element", { array: which, at: flat, value })],
  [2, command("fill array", { array: which, value })],
  [2, command("apply", { array: which, value })],
  [2, command("to typed array", { array: which, begin: rank, end: rank })],
  [2, command("copy to", { array: which, begin: rank, end: rank })],
  [3, command("subarray", { array: which, begin: rank, end: rank })],
  [
    4,
    command("copy from list", {
      array: which,
      count: fc.nat(12),
      value,
      offset: fc.integer({ min: -1, max: 12 }),
    }),
  ],
  [
    3,
    command("copy from array", {
      array: which,
      source: which,
      offset: fc.nat(6),
    }),
  ],
  [2, command("transpose", { array: which, shape: axes })],
  [2, command("reshape", { array: which, shape: axes })],
  [6, command("resize array", { array: which, shape: axes })],
  [2, command("pick", { array: which, numbers: choices })],
  [2, command("lo", { array: which, numbers: choices })],
  [2, command("hi", { array: which, numbers: choices })],
  [3, command("step", { array: which, numbers: choices })],
  [2, command("grow file", { file, content: bytesOf(fc.nat(5000)) })],
  [2, command("replace file", { file, content: bytesOf(size) })],
  [
    3,
    command("write into file", { file, part, content: bytesOf(fc.nat(5000)) }),
  ],
  [1, command("remove file", { file })],
  [1, command("link file", { file, to: file })],
  // Half of the time to nothing: most files are smaller than a page.
  [
    9,
    command("cut file", { file, part: fc.oneof(part, fc.constant(0)) }),
  ],
];

const oneCommand: Arbitrary<Command> = fc.oneof(
  ...COMMANDS.map(([weight, arbitrary]) => ({ weight, arbitrary })),
);

/** What the map that is being flushed is asked for, or refuses, meanwhile. */
const meanwhile: Arbitrary<Command> = oneCommand.filter((one) =>
  !("file" in one) && one.do !== "steal" && one.do !== "poke stolen"
);

const flushAsync = command("flush async", {
  map: which,
  strategy: fc.constantFrom("auto", "auto", "replace", "in-place"),
  durable: fc.boolean(),
  path: fc.nat(3),
  progress: fc.constantFrom("counts", "throws"),
  abort: fc.nat(12),
  meanwhile: fc.array(meanwhile, { maxLength: 14 }),
}, ["strategy", "path", "progress", "abort"]);

const anyCommand: Arbitrary<Command> = fc.oneof(
  { weight: 14, arbitrary: oneCommand },
  { weight: 1, arbitrary: flushAsync },
);

/** Sequences with up to this many operations. */
export function sequences(most: number): Arbitrary<Sequence> {
  const files = fc.array(bytesOf(largeSize), { minLength: 1, maxLength: 3 });
  const others = fc.array(anyCommand, { maxLength: most - 1, size: "max" });
  return fc.record({
    files,
    commands: fc.tuple(fc.oneof(openFile, openAtomic), others).map((
      [first, rest],
    ) => [
      first,
      ...rest,
    ]),
  });
}

/** A sequence as the text of a program that runs it. */
export function asTest(
  sequence: Sequence,
  about: readonly string[],
  steps: readonly string[],
): string {
  const literal = (value: unknown) =>
    JSON.stringify(value).replace(/"(\w+)":/g, "$1: ").replace(
      /,(?=\w+: )/g,
      ", ",
    );
  const commands = sequence.commands.flatMap((one, i) => [
    ...(steps[i] ?? "").split("\n").filter((line) => line !== "")
      .map((line) => `      // ${line}`),
    `      ${literal(one)},`,
  ]);
  return [
    ...about.flatMap((text) => text.split("\n")).map((line) =>
      `// ${line}`.trimEnd()
    ),
    'import { test } from "node:test";',
    'import { runSequence } from "./run.ts";',
    "",
    'test("a sequence that the fuzz test found", async () => {',
    "  await runSequence({",
    `    files: ${literal(sequence.files)},`,
    "    commands: [",
    ...commands,
    "    ],",
    "  });",
    "});",
    "",
  ].join("\n");
}
