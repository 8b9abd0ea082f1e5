/**
 * Records of random types, compared with a plain model byte by byte; and interchanged
 * with numpy, where there is one.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Fields,
  type MemmapRecords,
  type MemmapSlice,
  open,
} from "../../mod.ts";
import {
  type AnyEntry,
  encoded,
  layoutOf,
  leavesOf,
  someFields,
  someRow,
  valuesAt,
} from "../support/record_types.ts";
import {
  below,
  isThorough,
  proof,
  randomFrom,
  SEED,
  temporaryFolder,
} from "../support/support.ts";

const TYPES = isThorough ? 5000 : 500;
const ROWS = 3;

/** The bytes of records, but for the padding, which stays as it is. */
function write(
  bytes: Uint8Array,
  at: number,
  row: unknown,
  fields: readonly AnyEntry[],
  align: boolean,
): void {
  for (const leaf of leavesOf(fields, align)) {
    const values = valuesAt(row, leaf);
    assert.equal(values.length, leaf.offsets.length);
    leaf.offsets.forEach((offset, i) =>
      bytes.set(encoded(values[i], leaf), at + offset)
    );
  }
}

/** The column of a leaf. */
function columnOf(records: MemmapRecords, path: readonly string[]) {
  // deno-lint-ignore no-explicit-any -- nothing is known of the names
  return path.reduce<any>((array, name) => array.field(name), records);
}

function check(slice: MemmapSlice, seed: number): void {
  const random = randomFrom(seed);
  const fields = someFields(random);
  const align = random() < 0.5;
  const { offsets, size } = layoutOf(fields, align);
  const itemSize = size + (random() < 0.3 ? below(random, 9) : 0);
  const stride = itemSize + (random() < 0.3 ? below(random, 9) : 0);
  const isBackwards = random() < 0.3;
  const byteOffset = (isBackwards ? stride * (ROWS - 1) : 0) + below(random, 8);
  const records: MemmapRecords = slice.records(fields as unknown as Fields, {
    ...{ align, itemSize, byteOffset, shape: ROWS },
    strides: [isBackwards ? -stride : stride],
  });
  assert.deepEqual(records.fields.map(({ offset }) => offset), offsets);
  assert.equal(records.itemSize, itemSize);

  const bytes = new Uint8Array(slice.length).fill(0x5a);
  slice.set(bytes);
  const placeOf = (i: number) =>
    byteOffset + i * (isBackwards ? -stride : stride);
  const same = () =>
    assert.ok(bytes.every((byte, i) => byte === slice.bytes[i]), "bytes");

  // All at once, one by one, field by field.
  let rows = Array.from({ length: ROWS }, () => someRow(fields, random));
  records.copyFrom(rows);
  rows.forEach((row, i) => write(bytes, placeOf(i), row, fields, align));
  same();
  rows.forEach((row, i) => assert.deepEqual(records.get(i), row));
  assert.deepEqual([...records], rows);

  rows = Array.from({ length: ROWS }, () => someRow(fields, random));
  rows.forEach((row, i) => records.set(i, row));
  rows.forEach((row, i) => write(bytes, placeOf(i), row, fields, align));
  same();
  assert.deepEqual(records.toArray(), rows);

  for (const leaf of leavesOf(fields, align)) {
    const column = columnOf(records, leaf.path);
    const expected = rows.flatMap((row) => valuesAt(row, leaf));
    assert.deepEqual([...column], expected);
    column.copyFrom([...column].reverse());
    expected.reverse();
    const each = leaf.offsets.length;
    leaf.offsets.forEach((offset, k) => {
      for (let i = 0; i < ROWS; i++) {
        bytes.set(encoded(expected[i * each + k], leaf), placeOf(i) + offset);
      }
    });
    same();
  }

  // deno-lint-ignore no-explicit-any -- nothing is known of the names
  const cursor: any = records.cursor();
  const other = someRow(fields, random);
  cursor.index = 1;
  for (const [name] of fields) cursor[name] = other[name];
  write(bytes, placeOf(1), other, fields, align);
  same();
  for (let i = 0; i < ROWS; i++) {
    cursor.index = i;
    const row = records.get(i) as Record<string, unknown>;
    for (const [name, type, shape] of fields) {
      if (typeof type === "string" || shape !== undefined) {
        assert.deepEqual(cursor[name], row[name]);
      }
    }
  }
}

test("records of random types are bit for bit those of a plain model", () => {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "model"), "w+", { length: 8192 });
  const slice = map.slice();
  for (let i = 0; i < TYPES; i++) {
    try {
      check(slice, SEED + i);
    } catch (cause) {
      throw new Error(`with seed ${SEED + i}`, { cause });
    }
  }
});

/**
 * Reads what the library wrote with numpy's own idea of the same type, and writes it
 * again, backwards.
 */
const NUMPY = `
import json, sys, numpy as np
def entry(e):
    type = e[1] if isinstance(e[1], str) else [entry(x) for x in e[1]]
    return (e[0], type) if len(e) == 2 else (e[0], type, tuple(e[2]))
def assign(to, of):
    for name in of.dtype.names:
        if of.dtype[name].base.names: assign(to[name], of[name])
        else: to[name] = of[name]
answers = []
for case in json.load(open(sys.argv[1])):
    dtype = np.dtype([entry(e) for e in case["fields"]], align=case["align"])
    a = np.frombuffer(bytes.fromhex(case["bytes"]), dtype)
    b = np.frombuffer(bytearray(b"\\x5a" * (dtype.itemsize * len(a))), dtype)
    assign(b, a[::-1])
    leaves = []
    for path in case["leaves"]:
        column = a
        for name in path: column = column[name]
        kind = column.dtype.kind
        if kind == "U": leaves.append([str(x) for x in column.flat])
        elif kind == "S": leaves.append([x.decode() for x in column.flat])
        else: leaves.append(column.astype(column.dtype.newbyteorder("<")).tobytes().hex())
    answers.append({
        "itemsize": dtype.itemsize,
        "offsets": [dtype.fields[name][1] for name in dtype.names],
        "leaves": leaves,
        "bytes": b.tobytes().hex(),
    })
json.dump(answers, open(sys.argv[2], "w"))
`;

const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

test("1000 random types of records mean the same to numpy, in both directions", (t) => {
  const python = spawnSync("python3", ["-c", "import numpy"]);
  if (python.status !== 0) return t.skip("there is no numpy");
  using folder = temporaryFolder();
  using map = open(join(folder.path, "numpy"), "w+", { length: 16384 });
  const slice = map.slice();
  const cases = Array.from({ length: 1000 }, (_, i) => {
    const random = randomFrom(SEED + i);
    const fields = someFields(random);
    const align = random() < 0.5;
    const rows = Array.from({ length: ROWS }, () => someRow(fields, random));
    const leaves = leavesOf(fields, align);
    const records: MemmapRecords = slice.records(
      fields as unknown as Fields,
      { align, shape: ROWS },
    );
    slice.fill(0x5a);
    records.copyFrom(rows);
    const columns = leaves.map(({ path, type }) => {
      const column = columnOf(records, path);
      if (/[SU]/.test(type)) return column.toArray();
      return hex(new Uint8Array(column.toTypedArray().buffer));
    });
    const bytes = hex(slice.slice(0, ROWS * records.itemSize));
    const { itemSize } = records;
    return { fields, align, rows, leaves, columns, bytes, itemSize };
  });
  const [input, output, script] = ["in.json", "out.json", "script.py"]
    .map((name) => join(folder.path, name));
  fs.writeFileSync(
    input!,
    JSON.stringify(cases.map(({ fields, align, bytes, leaves }) => ({
      ...{ fields, align, bytes },
      leaves: leaves.map(({ path }) => path),
    }))),
  );
  fs.writeFileSync(script!, NUMPY);
  const run = spawnSync("python3", [script!, input!, output!], {
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
  const answers = JSON.parse(fs.readFileSync(output!, "utf8"));
  cases.forEach(({ fields, align, rows, columns, itemSize }, i) => {
    const { itemsize, offsets, leaves, bytes } = answers[i];
    assert.equal(itemSize, itemsize);
    assert.deepEqual(layoutOf(fields, align).offsets, offsets);
    assert.deepEqual(columns, leaves, `seed ${SEED + i}`);
    slice.set(
      Uint8Array.from(
        bytes.match(/../g),
        (byte) => parseInt(byte as string, 16),
      ),
    );
    const records: MemmapRecords = slice.records(
      fields as unknown as Fields,
      { align, shape: ROWS },
    );
    assert.deepEqual(records.toArray(), rows.toReversed(), `seed ${SEED + i}`);
  });
  proof(`${cases.length} types of records are the same in numpy`);
});
