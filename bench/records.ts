/**
 * What do records cost, next to a DataView and offsets by hand?
 *
 * @module
 */

import { join } from "node:path";
import { type DType, type MemmapSlice, open } from "../mod.ts";
import { writeSynced } from "./suite/files.ts";
import { ask } from "./suite/program.ts";
import type { Bench, Panel, Question } from "./suite/question.ts";
import { inTurn, loop, type Way } from "./suite/timing.ts";

/** A record of 37 bytes, packed: no field but the first is aligned. */
const TICK = [
  ["id", ">u4"],
  ["price", "<f8"],
  ["name", "S16"],
  ["time", "<i8"],
  ["flag", "u1"],
] as const;
const SIZE = 37;
/** Records that are copied out at a time. */
const PIECE = 8192;

function count(quick: boolean): number {
  return quick ? 20_000 : 1_000_000;
}

function fileIn(folder: string): string {
  return join(folder, "ticks");
}

const HAND = "DataView by hand";
const FIELD = "field(name).get";
const CURSOR = "cursor";
const PIECES = "toTypedArray, in pieces";
const BARE = "a bare loop";

function panelOf(title: string, per: string, ways: string[]): Panel {
  return {
    ...{ title, per, group: "Packed records of 37 bytes", unit: "ns" },
    ...{ better: "less", scale: "linear", base: ways[0]! },
    ways: Object.fromEntries(
      ways.map((way, i) => [way, i === 0 ? "limit" : "mapped"]),
    ),
  };
}

/** Uses every element type in every loop of the library, as a large program would. */
function useAllTypes(slice: MemmapSlice): void {
  const types: DType[] = [
    ...["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32"] as const,
    ...["int64", "uint64", "float16", "float32", "float64"] as const,
  ];
  for (const type of types) {
    const array = slice.array(type, { shape: 2000 });
    for (let turn = 0; turn < 20; turn++) {
      array.apply((value) => value);
      for (const value of array) void value;
    }
    const records = slice.records([["x", type], ["y", "<f8"]], { shape: 200 });
    const cursor = records.cursor();
    const x = records.field("x");
    for (let i = 0; i < 20_000; i++) {
      cursor.index = i % 200;
      void cursor.x;
      void x.get(i % 200);
    }
  }
}

interface Given extends Record<string, unknown> {
  view?: DataView;
  field?: { get(i: number): number };
  cursor?: { index: number; price: number };
  array?: Iterable<number>;
}

function each(
  names: (keyof Given & string)[],
  body: string,
  given: Given,
  total: number,
): Way {
  const read = loop<Given>(names, body);
  return { run: () => read(given, 0, total), count: total };
}

async function measure(bench: Bench): Promise<void> {
  const total = count(bench.quick);
  const one = panelOf("one field of each record", "a record", [
    ...[HAND, FIELD, CURSOR],
  ]);
  const filter = panelOf("records that a column counts in", "a record", [
    ...[HAND, PIECES],
  ]);
  const loops = panelOf("for…of", "an element", [BARE, "for…of"]);
  const applied = panelOf("apply", "an element", [BARE, "apply"]);
  bench.panels(one, filter, loops, applied);
  using map = open(fileIn(bench.folder), "c");
  const slice = map.slice();
  useAllTypes(slice);
  const records = slice.records(TICK);
  const view = new DataView(slice.buffer);
  records.field("price").apply((_, i) => (i * 7919) % 1000);
  const field = records.field("price");
  const cursor = records.cursor();
  const effort = { turns: 15, samples: 5, time: 200 };
  const read = `view.getFloat64(i * ${SIZE} + 4, true)`;
  await inTurn(bench, one, {
    [HAND]: each(["view"], `sum += ${read};`, { view }, total),
    [FIELD]: each(["field"], "sum += field.get(i);", { field }, total),
    [CURSOR]: each(
      ["cursor"],
      "cursor.index = i; sum += cursor.price;",
      { cursor },
      total,
    ),
  }, effort);
  await inTurn(bench, filter, {
    [HAND]: each(["view"], `if (${read} > 500) sum++;`, { view }, total),
    [PIECES]: {
      run() {
        let found = 0;
        for (let at = 0; at < total; at += PIECE) {
          const values = field.toTypedArray(at, at + PIECE);
          for (let i = 0; i < values.length; i++) {
            if (values[i]! > 500) found++;
          }
        }
        return found;
      },
      count: total,
    },
  }, effort);
  const array = slice.array(">f8", { shape: total }).fill(1.5);
  const all = loop<Given>(["array"], "for (const x of array) sum += x;");
  await inTurn(bench, loops, {
    [BARE]: each(["view"], "sum += view.getFloat64(i * 8);", { view }, total),
    "for…of": { run: () => all({ array }, 0, 1), count: total },
  }, effort);
  const bare = loop<Given>(
    ["view"],
    "view.setFloat64(i * 8, view.getFloat64(i * 8) + 1);",
  );
  await inTurn(bench, applied, {
    [BARE]: { run: () => bare({ view }, 0, total), count: total },
    apply: {
      run() {
        array.apply((x) => x + 1);
        return 0;
      },
      count: total,
    },
  }, effort);
}

export const question: Question = {
  name: "records",
  title: "What do records cost?",
  method:
    "A file of a million packed records of 37 bytes. A loop reads one field of each, or " +
    "counts the records in which it is large. Before anything is timed, the program has " +
    "used all element types, in loops, columns and cursors.",
  seconds: 8,
  prepare: (folder, quick) =>
    writeSynced(fileIn(folder), new Uint8Array(count(quick) * SIZE)),
  measure,
};

if (import.meta.main) await ask(question);
