/**
 * How fast are numbers in the other byte order?
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { type MemmapSlice, open } from "../mod.ts";
import { doubles, MiB, PAGE, sizeName, writeSynced } from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question, Rival } from "./suite/question.ts";
import { inTurn, type Loop, loop, type Way } from "./suite/timing.ts";

/** An element type, and other ways to read its elements. */
interface Type {
  dtype: "uint16" | "uint32" | "float64";
  /** As DataView and Buffer name it. */
  name: "Uint16" | "Uint32" | "Float64";
  buffer: "readUInt16BE" | "readUInt32BE" | "readDoubleBE";
  Values: typeof Uint16Array | typeof Uint32Array | typeof Float64Array;
  /** Code for the element at byte `at` of `bytes`, by hand. */
  shifts: string;
  width: number;
}

const WORD = (at: string) =>
  `(bytes[${at}] << 24 | bytes[${at} + 1] << 16 | ` +
  `bytes[${at} + 2] << 8 | bytes[${at} + 3])`;

const TYPES: Type[] = [
  {
    dtype: "uint16",
    name: "Uint16",
    buffer: "readUInt16BE",
    Values: Uint16Array,
    shifts: "sum += bytes[i * 2] << 8 | bytes[i * 2 + 1];",
    width: 2,
  },
  {
    dtype: "uint32",
    name: "Uint32",
    buffer: "readUInt32BE",
    Values: Uint32Array,
    shifts: `sum += ${WORD("i * 4")} >>> 0;`,
    width: 4,
  },
  {
    dtype: "float64",
    name: "Float64",
    buffer: "readDoubleBE",
    Values: Float64Array,
    shifts: `words[1] = ${WORD("i * 8")}; words[0] = ${WORD("i * 8 + 4")}; ` +
      "sum += number[0];",
    width: 8,
  },
];

function size(quick: boolean): number {
  return quick ? 2 * MiB : 64 * MiB;
}

/**
 * Where the target begins within a page: at several places in turn. If source and target
 * are a small distance apart modulo 4096, processors mistake a load for one of bytes that
 * were just stored, and wait.
 */
const STARTS = [0, 584, 1168, 1752, 2336, 2920, 3504];

/** Runs of slow ways take this many elements. */
function fewer(quick: boolean): number {
  return quick ? 2000 : 20_000;
}

function fileIn(folder: string): string {
  return join(folder, "big-endian");
}

function elementPanel(quick: boolean, { name, buffer, width }: Type): Panel {
  return {
    title: `get, ${width * 8}-bit`,
    group: `One element after another, of ${sizeName(size(quick))}, big-endian`,
    unit: "ns",
    per: "an element",
    better: "less",
    scale: "log",
    ways: {
      "MemmapArray.get": "mapped",
      [`DataView.get${name} on a view`]: "mapped",
      [`Buffer.${buffer} on a view`]: "mapped",
      "shifts on a view": "mapped",
      "Python struct, mmap": "other",
      "numpy.memmap scalar": "other",
      [`fs.readSync, get${name}`]: "plain",
      "C, mmap": "limit",
    },
    base: `fs.readSync, get${name}`,
  };
}

function bulkPanel(quick: boolean, { width }: Type): Panel {
  const bits = width * 8;
  const swap = `swap${bits}`;
  return {
    title: `all, ${bits}-bit`,
    group: `${
      sizeName(size(quick))
    }, big-endian, into an array of native order`,
    unit: "B/s",
    per: "",
    better: "more",
    scale: "linear",
    ways: {
      "MemmapArray.copyTo": "mapped",
      "MemmapArray.toTypedArray": "mapped",
      [`view: set, ${swap}`]: "mapped",
      "view: DataView loop": "mapped",
      "view: shifts": "mapped",
      "numpy.memmap astype": "other",
      "numpy.memmap astype, small pages": "other",
      "numpy.memmap copyto": "other",
      [`fs.readSync, ${swap}`]: "plain",
      [`fs.readFileSync, ${swap}`]: "plain",
      "C, mmap": "limit",
    },
    base: `fs.readSync, ${swap}`,
  };
}

interface Given extends Record<string, unknown> {
  array?: unknown;
  view?: DataView;
  buffer?: Buffer;
  bytes?: Uint8Array;
  words?: Uint32Array;
  number?: Float64Array;
  read?: (at: number) => void;
}

function elementWays(
  slice: MemmapSlice,
  fd: number,
  quick: boolean,
  type: Type,
): Record<string, Way> {
  const { dtype, name, buffer, width } = type;
  const all = slice.length / width;
  const bytes = new Uint8Array(width);
  const number = new Float64Array(1);
  const given: Given = {
    array: slice.array(dtype, { byteOrder: "big" }),
    view: new DataView(slice.buffer),
    buffer: Buffer.from(slice.buffer),
    bytes: slice.bytes,
    number,
    words: new Uint32Array(number.buffer),
  };
  const few = fewer(quick);
  const onward = (body: string, given: Given, count: number): Way => {
    const names = [
      "array",
      "view",
      "buffer",
      "bytes",
      "words",
      "number",
      "read",
    ];
    const sum: Loop<Given> = loop(names, body);
    let next = -1;
    const run = () => {
      // The result of the first run is compared.
      const from = next === -1 || next + count > all ? 0 : next;
      const to = from + (next === -1 ? few : count);
      next = to;
      return sum(given, from, to);
    };
    return { run, count };
  };
  return {
    "MemmapArray.get": onward("sum += array.get(i);", given, all),
    [`DataView.get${name} on a view`]: onward(
      `sum += view.get${name}(i * ${width});`,
      given,
      all,
    ),
    [`Buffer.${buffer} on a view`]: onward(
      `sum += buffer.${buffer}(i * ${width});`,
      given,
      all,
    ),
    "shifts on a view": onward(type.shifts, given, all),
    [`fs.readSync, get${name}`]: onward(
      `read(i * ${width}); sum += view.get${name}(0);`,
      {
        view: new DataView(bytes.buffer),
        read: (at: number) => void fs.readSync(fd, bytes, 0, width, at),
      },
      few,
    ),
  };
}

/** Reverses the bytes of each element, in place. */
function swapped(bytes: Buffer, width: number): Buffer {
  return width === 8
    ? bytes.swap64()
    : width === 4
    ? bytes.swap32()
    : bytes.swap16();
}

/** Code by hand, in words of 32 bits, from `source` to `target`. */
const SHIFTS: Record<number, string> = {
  2: "const w = source[i]; target[i] = w >>> 8 & 0xff00ff | (w & 0xff00ff) << 8;",
  4: "const w = source[i]; target[i] = w >>> 24 | w >>> 8 & 0xff00 | " +
    "(w & 0xff00) << 8 | w << 24;",
  8: "const w = source[i ^ 1]; target[i] = w >>> 24 | w >>> 8 & 0xff00 | " +
    "(w & 0xff00) << 8 | w << 24;",
};

/** Memory to convert into, in all the forms that the ways need. */
class Target {
  readonly values: Uint16Array | Uint32Array | Float64Array;
  readonly memory: Buffer;
  readonly view: DataView;
  readonly words: Uint32Array;

  constructor({ Values, width }: Type, buffer: ArrayBuffer, start: number) {
    const length = buffer.byteLength - PAGE;
    this.values = new Values(buffer, start, length / width);
    this.memory = Buffer.from(buffer, start, length);
    this.view = new DataView(buffer, start, length);
    this.words = new Uint32Array(buffer, start, length / 4);
  }
}

function bulkWays(
  path: string,
  slice: MemmapSlice,
  fd: number,
  type: Type,
): Record<string, Way> {
  const { dtype, width } = type;
  const count = slice.length;
  const swap = `swap${width * 8}`;
  const array = slice.array(dtype, { byteOrder: "big" });
  const source = {
    view: new DataView(slice.buffer),
    words: new Uint32Array(slice.buffer),
  };
  const memory = new ArrayBuffer(count + PAGE);
  const targets = STARTS.map((start) => new Target(type, memory, start));
  const dataViewType = width === 8 ? "BigUint64" : `Uint${width * 8}`;
  const byDataView = loop<{ source: DataView; target: DataView }>(
    ["source", "target"],
    `target.set${dataViewType}(i * ${width}, ` +
      `source.get${dataViewType}(i * ${width}), true);`,
  );
  const byShifts = loop<{ source: Uint32Array; target: Uint32Array }>(
    ["source", "target"],
    SHIFTS[width]!,
  );
  const ways: Record<string, (target: Target) => ArrayBufferView | void> = {
    "MemmapArray.copyTo"({ values }) {
      // deno-lint-ignore no-explicit-any -- types and their arrays go together here
      array.copyTo(values as any);
    },
    "MemmapArray.toTypedArray": () => array.toTypedArray(),
    [`view: set, ${swap}`]({ memory }) {
      memory.set(slice.bytes);
      swapped(memory, width);
    },
    "view: DataView loop"({ view }) {
      byDataView({ source: source.view, target: view }, 0, count / width);
    },
    "view: shifts"({ words }) {
      byShifts({ source: source.words, target: words }, 0, count / 4);
    },
    [`fs.readSync, ${swap}`]({ memory }) {
      for (let at = 0; at < count;) {
        at += fs.readSync(fd, memory, at, count - at, at);
      }
      swapped(memory, width);
    },
    [`fs.readFileSync, ${swap}`]: () => swapped(fs.readFileSync(path), width),
  };
  return Object.fromEntries(
    Object.entries(ways).map(([way, convert]): [string, Way] => {
      let runs = 0;
      const run = () => {
        const target = targets[runs % targets.length]!;
        const result = convert(target) ?? target.values;
        if (runs++ > 0) return result.byteLength;
        const digest = digestOf(result);
        target.values.fill(0);
        return digest;
      };
      return [way, { run, count }];
    }),
  );
}

/** A number that depends on the value and the place of every word. */
function digestOf({ buffer, byteOffset, byteLength }: ArrayBufferView): number {
  const words = new Uint32Array(buffer, byteOffset, byteLength / 4);
  let digest = 0;
  for (let i = 0; i < words.length; i++) {
    digest = (Math.imul(digest, 31) + words[i]!) | 0;
  }
  return digest;
}

async function measure(bench: Bench): Promise<void> {
  const path = fileIn(bench.folder);
  using map = open(path, "r");
  const slice = map.slice();
  const fd = fs.openSync(path, "r");
  for (const type of TYPES) {
    const panel = elementPanel(bench.quick, type);
    bench.panels(panel);
    await inTurn(bench, panel, elementWays(slice, fd, bench.quick, type), {
      samples: 3,
    });
  }
  for (const type of TYPES) {
    const panel = bulkPanel(bench.quick, type);
    bench.panels(panel);
    await inTurn(bench, panel, bulkWays(path, slice, fd, type), {
      turns: 4,
      samples: 3,
    });
  }
  fs.closeSync(fd);
}

function rivals(folder: string, quick: boolean): Rival[] {
  const path = fileIn(folder);
  return TYPES.flatMap((type) => {
    const { title: element } = elementPanel(quick, type);
    const { title: bulk } = bulkPanel(quick, type);
    const get = ["byteswap_get", path, type.width, fewer(quick)];
    const all = ["byteswap_all", path, type.width];
    const numpy = { worker: "Python", needs: "numpy" } as const;
    return [
      { panel: element, way: "C, mmap", worker: "C", args: get },
      {
        panel: element,
        way: "Python struct, mmap",
        worker: "Python",
        args: [...get, "struct"],
      },
      {
        panel: element,
        way: "numpy.memmap scalar",
        ...numpy,
        args: [...get, "numpy"],
      },
      { panel: bulk, way: "C, mmap", worker: "C", args: all },
      {
        panel: bulk,
        way: "numpy.memmap astype",
        ...numpy,
        args: [...all, "astype"],
      },
      {
        panel: bulk,
        way: "numpy.memmap astype, small pages",
        ...numpy,
        args: [...all, "astype", "small"],
      },
      {
        panel: bulk,
        way: "numpy.memmap copyto",
        ...numpy,
        args: [...all, "copyto"],
      },
    ] satisfies Rival[];
  });
}

export const question: Question = {
  name: "byteswap",
  title: "How fast are numbers in the other byte order?",
  method:
    "The file is in the page cache. All bytes of each conversion are compared " +
    "beforehand. copyTo, copyto, readSync and the loops convert into existing memory. " +
    "toTypedArray, astype and readFileSync convert into new memory, which may cost a " +
    "page fault for every page. numpy asks Linux for huge pages, unless it is told not " +
    "to. C is a loop over a mapping, vectorized by the compiler.",
  seconds: 20,
  prepare: (folder, quick) =>
    writeSynced(fileIn(folder), doubles(size(quick), false)),
  measure,
  rivals,
};

if (import.meta.main) await ask(question);
