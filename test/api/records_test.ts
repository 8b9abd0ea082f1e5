/**
 * `MemmapRecords`: numarray's record arrays and numpy's structured arrays. What is read and
 * written is compared with what a DataView finds.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Complex,
  type Cursor,
  type Fields,
  type MemmapArray,
  type MemmapRecords,
  type MemmapSlice,
  type MemmapStrings,
  open,
  type Row,
} from "../../mod.ts";
import { assertPrints, temporaryFolder } from "../support/support.ts";

const RANGE_ERROR = { name: "RangeError" };
const TYPE_ERROR = { name: "TypeError" };

function withSlice(length: number, use: (slice: MemmapSlice) => void): void {
  using folder = temporaryFolder();
  using map = open(join(folder.path, "records.dat"), "w+", { length });
  use(map.slice());
}

const TICK = [
  ["id", ">u4"],
  ["price", "<f8"],
  ["name", "S16"],
  ["time", "<i8"],
  ["flag", "u1"],
] as const;

test("records are read and written where a DataView finds their fields", () => {
  withSlice(5 + 37 * 4, (slice) => {
    const ticks = slice.records(TICK, { byteOffset: 5 });
    assert.deepEqual(
      [ticks.itemSize, ticks.shape, ticks.strides, ticks.size, ticks.length],
      [37, [4], [37], 4, 4],
    );
    const row = { id: 7, price: 1.5, name: "abc", time: -5n, flag: 255 };
    assert.equal(ticks.set(2, row), row);
    const view = new DataView(slice.buffer, 5 + 2 * 37, 37);
    assert.equal(view.getUint32(0), 7);
    assert.equal(view.getFloat64(4, true), 1.5);
    assert.equal(view.getUint32(12), 0x61626300);
    assert.equal(view.getBigInt64(28, true), -5n);
    assert.equal(view.getUint8(36), 255);
    assert.deepEqual(ticks.get(2), row);
    ticks.set(2, { price: 2.5 });
    assert.deepEqual(ticks.get(2), { ...row, price: 2.5 });
    assert.deepEqual(ticks.get(1), {
      ...{ id: 0, price: 0, name: "", time: 0n, flag: 0 },
    });
    for (const wrong of [[4], [-1], [0.5], [], [0, 0]]) {
      assert.throws(() => ticks.get(...wrong), RANGE_ERROR);
      assert.throws(() => ticks.set(...wrong as [number], {}), RANGE_ERROR);
    }
  });
});

test("set() checks everything before it writes the first byte", () => {
  withSlice(37 * 2, (slice) => {
    slice.fill(1);
    const before = slice.slice();
    // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
    const ticks: any = slice.records(TICK);
    const row = { id: 7, price: 1.5, name: "abc", time: -5n, flag: 255 };
    const wrong: [object | null | number | string, object][] = [
      [{ ...row, flag: "1" }, TYPE_ERROR],
      [{ ...row, time: 1 }, TYPE_ERROR],
      [{ ...row, name: "0123456789abcdefg" }, RANGE_ERROR],
      [{ ...row, other: 1 }, { message: /no field "other"; there are: id, / }],
      [null, TYPE_ERROR],
      [5, TYPE_ERROR],
      ["abc", TYPE_ERROR],
      [[1, 2], TYPE_ERROR],
    ];
    for (const [values, error] of wrong) {
      assert.throws(() => ticks.set(0, values), error);
      assert.throws(() => ticks.copyFrom([row, values]), error);
      assert.throws(() => ticks.resize(3, { fill: values }), error);
    }
    assert.throws(() => ticks.copyFrom([{ id: 1 }]), {
      name: "TypeError",
      message: 'A record has no value for its field "price".',
    });
    assert.throws(() => ticks.copyFrom([row, row, row]), RANGE_ERROR);
    assert.throws(() => ticks.copyFrom([row], 2), RANGE_ERROR);
    assert.deepEqual(slice.slice(), before);
  });
});

test("field() is a column, without a copy", () => {
  withSlice(37 * 10, (slice) => {
    const ticks = slice.records(TICK);
    const price: MemmapArray<"float64"> = ticks.field("price");
    const name: MemmapStrings = ticks.field("name");
    assert.deepEqual([price.shape, price.strides, price.byteOffset], [
      ...[[10], [37], 4],
    ]);
    price.apply((_, i) => i / 2);
    name.fill("x");
    assert.equal(ticks.get(3).price, 1.5);
    assert.equal(ticks.get(3).name, "x");
    assert.equal(ticks.field("price"), price);
    assert.equal(ticks.field("id").byteOrder, "big");
    assert.throws(() => ticks.field("prize" as "price"), {
      name: "RangeError",
      message: /no field "prize"; there are: id, price, name, time, flag/,
    });
    // Parts of the records have parts of the columns.
    assert.deepEqual([...ticks.subarray(2, 4).field("price")], [1, 1.5]);
    assert.deepEqual([...ticks.step(-4).field("price")], [4.5, 2.5, 0.5]);
    const table = ticks.reshape(2, 5);
    assert.equal(table.field("price").get(1, 4), 4.5);
    assert.equal(table.pick(1).field("price").get(0), 2.5);
    assert.equal(table.transpose().get(4, 1).price, 4.5);
    ticks.resize(11);
    assert.equal(ticks.field("price").size, 11);
    assert.equal(price.size, 10);
  });
});

test("fields may be records, arrays, complex numbers and bytes", () => {
  withSlice(400, (slice) => {
    const records = slice.records([
      ["kind", "bool"],
      ["where", [["x", ">f4"], ["y", ">f4"], ["tag", "U2"]]],
      ["matrix", "<i2", [2, 3]],
      ["spectrum", ">c16"],
      ["raw", "V3"],
      ["points", [["a", "u1"], ["b", ">u2"]], 2],
    ], { shape: 3, byteOffset: 1 });
    assert.equal(records.itemSize, 1 + 16 + 12 + 16 + 3 + 6);
    const row = {
      kind: true,
      where: { x: 0.5, y: -1, tag: "é!" },
      matrix: [[1, 2, 3], [4, 5, 6]],
      spectrum: [1.5, -2.5] as Complex,
      raw: [7, 8, 9],
      points: [{ a: 1, b: 258 }, { a: 2, b: 3 }],
    };
    records.set(1, row);
    assert.deepEqual(records.get(1), row);
    assert.deepEqual([...records.toArray(1, 2)], [row]);
    const at = 1 + records.itemSize;
    const view = new DataView(slice.buffer, at);
    assert.equal(view.getFloat32(1), 0.5);
    assert.equal(view.getInt16(17 + 10, true), 6);
    assert.equal(view.getFloat64(29 + 8), -2.5);
    assert.equal(view.getUint8(47), 9);
    assert.equal(view.getUint16(49), 258);
    records.set(1, { where: { y: 4 }, points: [{ a: 9 }, {}] });
    assert.deepEqual(records.get(1).where, { x: 0.5, y: 4, tag: "é!" });
    assert.deepEqual(records.get(1).points, [{ a: 9, b: 258 }, { a: 2, b: 3 }]);
    const where: MemmapRecords = records.field("where");
    assert.equal(where.field("x").get(1), 0.5);
    assert.deepEqual(records.field("matrix").shape, [3, 2, 3]);
    assert.equal(records.field("matrix").get(1, 1, 2), 6);
    assert.deepEqual(
      records.field("raw").pick(1).toTypedArray().slice(),
      new Uint8Array([7, 8, 9]),
    );
    assert.deepEqual(records.field("points").field("b").shape, [3, 2]);
    assert.equal(records.field("spectrum").imag.get(1), -2.5);
    records.copyFrom([row, row], 1);
    assert.deepEqual(records.get(2), row);
    // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
    const any: any = records;
    for (
      const wrong of [
        { matrix: [[1, 2, 3]] },
        { matrix: [1, 2, 3, 4, 5, 6] },
        { matrix: [[1, 2, 3], [4, 5, "6"]] },
        { raw: [1, 2] },
        { where: 5 },
        { where: { z: 1 } },
        { points: [{ a: 1 }] },
        { spectrum: 5 },
      ]
    ) assert.throws(() => any.set(0, wrong), TYPE_ERROR);
  });
});

test("align lays fields out as C does, and offsets and itemSize as they say", () => {
  withSlice(200, (slice) => {
    const offsetsOf = (records: MemmapRecords) => [
      ...[records.fields.map(({ offset }) => offset), records.itemSize],
    ];
    const fields = [["a", "u1"], ["b", "<f8"], ["c", "u1"]] as const;
    assert.deepEqual(offsetsOf(slice.records(fields)), [[0, 1, 9], 10]);
    assert.deepEqual(
      offsetsOf(slice.records(fields, { align: true })),
      [[0, 8, 16], 24],
    );
    assert.deepEqual(
      offsetsOf(slice.records(fields, { offsets: [4, 8, 0], itemSize: 32 })),
      [[4, 8, 0], 32],
    );
    assert.deepEqual(
      offsetsOf(slice.records([["a", "u1"], ["", "|V3"], ["b", "<i4"]])),
      [[0, 4], 8],
    );
    assert.deepEqual(
      offsetsOf(slice.records([["a", "u1"], ["b", "<i4"], ["", "V2"]])),
      [[0, 1], 7],
    );
    const union = slice.records([["whole", "<u4"], ["low", "<u2"]], {
      offsets: [0, 0],
    });
    union.set(0, { whole: 0x12345678 });
    assert.deepEqual([union.itemSize, union.get(0).low], [4, 0x5678]);
    const nested = slice.records(
      [["a", "u1"], ["b", [["x", "u1"], ["y", "<f8"]]], ["z", "<c16"]],
      { align: true },
    );
    assert.deepEqual(offsetsOf(nested as MemmapRecords), [[0, 8, 24], 40]);
    // Padding is neither read nor written.
    slice.fill(9);
    const padded = slice.records(fields, { align: true, shape: 2 });
    padded.copyFrom([{ a: 1, b: 2, c: 3 }, { a: 4, b: 5, c: 6 }]);
    padded.set(0, { a: 1 });
    const padding = [...slice.bytes.subarray(0, 48).entries()]
      .filter(([i]) => (i % 24 > 0 && i % 24 < 8) || i % 24 > 16);
    assert.ok(padding.every(([, byte]) => byte === 9));
    assert.deepEqual(padded.get(1), { a: 4, b: 5, c: 6 });
    for (
      const wrong of [
        { offsets: [0] },
        { offsets: [0, 1, -1] },
        { offsets: [0, 1, 0.5] },
        { itemSize: 9 },
        { itemSize: 0.5 },
        { itemSize: -1 },
        { itemSize: 1000, shape: 1 },
      ]
    ) assert.throws(() => slice.records(fields, wrong), RANGE_ERROR);
    for (const wrong of [{ align: 1 }, { order: "F" }, { byteOrder: "x" }]) {
      assert.throws(() => slice.records(fields, wrong as object), TYPE_ERROR);
    }
  });
});

test("fields are an object as well, and byteOrder, encoding and padding are for those that say none", () => {
  withSlice(100, (slice) => {
    const records = slice.records(
      { id: "u4", size: "<u2", name: "S4", where: { x: "f4" } },
      { byteOrder: "big", padding: "space", encoding: "latin1" },
    );
    assert.deepEqual(records.names, ["id", "size", "name", "where"]);
    records.set(0, { id: 1, size: 1, name: "é", where: { x: 1 } });
    assert.deepEqual(
      [...slice.bytes.subarray(0, 14)],
      [0, 0, 0, 1, 1, 0, 0xe9, 32, 32, 32, 0x3f, 0x80, 0, 0],
    );
    assert.deepEqual(records.get(0), {
      ...{ id: 1, size: 1, name: "é", where: { x: 1 } },
    });
    const row: Row<{ a: "u1"; b: "S4" }> = { a: 1, b: "x" };
    assert.equal(row.b, "x");
  });
});

test("descr and fields say what numpy's dtype says", () => {
  withSlice(200, (slice) => {
    const records = slice.records([
      ["a", "int8"],
      ["b", "=f8"],
      ["c", ">U2", 3],
      [["a title", "d"], [["x", "bool"]]],
    ], { align: true, byteOrder: "little" });
    assert.deepEqual(records.descr, [
      ["a", "|i1"],
      ["", "|V7"],
      ["b", "<f8"],
      ["c", ">U2", [3]],
      ["d", [["x", "|b1"]]],
      ["", "|V7"],
    ]);
    assert.deepEqual(records.names, ["a", "b", "c", "d"]);
    assert.deepEqual(records.fields[2], {
      ...{ name: "c", type: ">U2", shape: [3], offset: 16 },
    });
    const again = slice.records(records.descr);
    assert.deepEqual(again.fields, records.fields);
    assert.equal(again.itemSize, records.itemSize);
  });
});

test("what are no fields is a TypeError that says what would be", () => {
  withSlice(100, (slice) => {
    const circular: unknown[] = [];
    circular.push(["x", circular]);
    for (
      const wrong of [
        ...[undefined, null, 5, "u4", [], {}, [[]], [["a"]], ["a", "u4"]],
        ...[[["a", "u4", 1, 2]], [["a", "x9"]], [["a", 5]], [["", "u4"]]],
        ...[[[5, "u4"]], [["a", "u4"], ["a", "u4"]], [["a", []]], circular],
        ...[[["a", "u4", "2"]], { a: "float" }, [["a", "S0"]], [["a", null]]],
      ]
    ) {
      assert.throws(
        () => slice.records(wrong as Fields),
        TYPE_ERROR,
        String(wrong),
      );
    }
    assert.throws(
      () => slice.records([["a", "u4", -1]]),
      RANGE_ERROR,
    );
    assert.throws(() => slice.records([["a", "V0"]]), RANGE_ERROR);
    assert.throws(() => slice.records([["", "V4"]]), TYPE_ERROR);
    assert.throws(
      () => slice.records([["a", "u1", [2 ** 30, 2 ** 30]]]),
      RANGE_ERROR,
    );
    // However many ranges its padding makes.
    assert.throws(
      () =>
        slice.records([["a", [["x", "u1"], ["", "V1"]], 2 ** 40]], {
          shape: 1,
        }),
      RANGE_ERROR,
    );
  });
});

test("names that objects have already are names like any other", () => {
  withSlice(100, (slice) => {
    const names = ["__proto__", "constructor", "toString", "2", "1", "a b"];
    const records = slice.records(names.map((name) => [name, "u1"] as const));
    slice.bytes.set([1, 2, 3, 4, 5, 6]);
    // deno-lint-ignore no-explicit-any -- nothing is known of the names
    const row: any = records.get(0);
    assert.equal(Object.getPrototypeOf(row), Object.prototype);
    assert.deepEqual(Object.keys(row).toSorted(), names.toSorted());
    // deno-lint-ignore no-explicit-any -- nothing is known of the names
    const cursor: any = records.cursor();
    for (const [i, name] of names.entries()) {
      assert.equal(Object.getOwnPropertyDescriptor(row, name)?.value, i + 1);
      assert.equal(cursor[name], i + 1);
      assert.equal((records as MemmapRecords).field(name).get(0), i + 1);
    }
    records.set(1, row);
    assert.deepEqual([...slice.bytes.subarray(6, 12)], [1, 2, 3, 4, 5, 6]);
  });
});

test("a cursor is moved by its index, reads and writes", () => {
  withSlice(37 * 10, (slice) => {
    const ticks = slice.records(TICK);
    ticks.field("price").apply((_, i) => i / 2);
    const row: Cursor<typeof TICK> = ticks.cursor();
    assert.equal(row.index, 0);
    let sum = 0;
    for (let i = 0; i < ticks.size; i++) {
      row.index = i;
      sum += row.price;
      row.id = i * 3;
      row.name = `row ${i}`;
      row.time = BigInt(i);
    }
    assert.equal(sum, 22.5);
    assert.deepEqual(ticks.get(4), {
      ...{ id: 12, price: 2, name: "row 4", time: 4n, flag: 0 },
    });
    row.index = 4;
    assert.deepEqual([row.name, row.time, row.flag], ["row 4", 4n, 0]);
    // deno-lint-ignore no-explicit-any -- TypeScript would reject these values
    const any: any = row;
    for (const wrong of [-1, 10, 0.5, NaN, "1", null, undefined, {}, 1n, [1]]) {
      assert.throws(() => any.index = wrong, /RangeError|TypeError/);
      assert.equal(row.index, 4);
      assert.equal(row.id, 12);
    }
    assert.throws(() => any.price = "1", TYPE_ERROR);
    assert.throws(() => any.time = 1, TYPE_ERROR);
    assert.throws(() => any.name = "12345678901234567", RANGE_ERROR);
    assert.equal(ticks.get(4).name, "row 4");
    // Each of a type has the same class, and its own place.
    const other = ticks.cursor();
    assert.equal(Object.getPrototypeOf(other), Object.getPrototypeOf(row));
    assert.deepEqual([other.index, other.id, row.id], [0, 0, 12]);
    // A type that is written down again is the same, unless it differs in anything.
    const again = slice.records([...TICK.map((entry) => [...entry] as const)]);
    const sameClass = (records: MemmapRecords) =>
      Object.getPrototypeOf(records.cursor()) === Object.getPrototypeOf(row);
    assert.ok(sameClass(again as MemmapRecords));
    for (
      const options of [
        { padding: "space" },
        { encoding: "latin1" },
        { itemSize: 40 },
        { align: true },
        { offsets: [0, 4, 12, 28, 35] },
      ] as const
    ) assert.ok(!sameClass(slice.records(TICK, options)), options.toString());
    // Those of parts.
    const part = ticks.step(-3).cursor();
    part.index = 1;
    assert.equal(part.price, 3);
    const table = ticks.reshape(2, 5).transpose().cursor();
    table.index = 3; // (1, 1)
    assert.equal(table.price, 3);
    assert.throws(() => slice.records([["index", "u1"]]).cursor(), {
      name: "TypeError",
      message: /field\("index"\)/,
    });
  });
});

test("a cursor's records within records move with it", () => {
  withSlice(200, (slice) => {
    const records = slice.records([
      ["a", "u1"],
      ["b", [["x", "<f4"], ["c", [["y", "<u2"], ["list", "u1", 2]]]]],
    ], { shape: 5 });
    const cursor = records.cursor();
    const { b } = cursor;
    for (let i = 0; i < 5; i++) {
      cursor.index = i;
      b.x = i + 0.5;
      b.c.y = i;
      cursor.b.c.list = [i, i + 1];
    }
    assert.deepEqual(records.get(3), {
      ...{ a: 0, b: { x: 3.5, c: { y: 3, list: [3, 4] } } },
    });
    cursor.index = 2;
    assert.deepEqual([b.x, b.c.y, b.c.list], [2.5, 2, [2, 3]]);
    assert.equal(cursor.b, b);
    cursor.b = { x: 9 } as typeof b;
    assert.deepEqual(records.get(2).b.x, 9);
    slice.resize(300);
    assert.equal(b.c.y, 2);
    cursor.index = 3;
    assert.equal(b.x, 3.5);
  });
});

test("records and cursors follow their slice, and throw when it is gone", () => {
  withSlice(40, (slice) => {
    const records = slice.records([["a", "<u4"], ["b", "<u4"]]);
    const cursor = records.cursor();
    const field = records.field("b");
    cursor.index = 4;
    cursor.b = 7;
    slice.resize(80);
    assert.equal(cursor.b, 7);
    slice.map.insert(0, 3);
    slice.map.flush({ durable: false });
    assert.deepEqual([cursor.b, field.get(4), records.get(4).b], [7, 7, 7]);
    cursor.a = 5;
    assert.equal(records.get(4).a, 5);
    slice.resize(39);
    assert.throws(() => cursor.b, RANGE_ERROR);
    assert.throws(() => cursor.b = 1, RANGE_ERROR);
    assert.throws(() => records.get(0), RANGE_ERROR);
    assert.match(String(records), /beyond the end/);
    slice.resize(40);
    assert.equal(cursor.a, 5);
    records.resize(2);
    assert.throws(() => cursor.a, RANGE_ERROR); // it is at record 4
    cursor.index = 1;
    assert.equal(cursor.a, 0);
    slice.delete();
    const DELETED = { name: "DeletedSliceError" };
    assert.throws(() => cursor.a, DELETED);
    assert.throws(() => cursor.a = 1, DELETED);
    assert.throws(() => records.get(0), DELETED);
    assert.equal(String(records), "<MemmapRecords of a deleted slice>");
  });
});

test("in mode r, every write is a ReadonlyError", () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "readonly");
  open(path, "w+", { length: 8 }).close();
  using map = open(path, "r");
  const records = map.slice().records([["a", "<u4"], ["s", "S4"]]);
  const cursor = records.cursor();
  for (
    const write of [
      () => records.set(0, { a: 1 }),
      () => records.copyFrom([{ a: 1, s: "" }]),
      () => records.resize(2),
      () => cursor.a = 1,
      () => cursor.s = "x",
      () => records.field("a").set(0, 1),
    ]
  ) assert.throws(write, { name: "ReadonlyError" });
  assert.equal(cursor.a, 0);
});

test("copyFrom() and resize() of records", () => {
  withSlice(60, (slice) => {
    const records = slice.records([["a", "u1"], ["", "V1"], ["b", ">u2"]], {
      shape: 4,
    });
    const rows = [1, 2, 3, 4].map((a) => ({ a, b: a * 256 }));
    records.copyFrom(rows);
    assert.deepEqual([...records], rows);
    const other = slice.records([["b", "<u2"], ["a", "u1"]], {
      ...{ shape: 4, byteOffset: 30 },
    });
    // deno-lint-ignore no-explicit-any -- the same names in another order
    other.copyFrom(records as any);
    assert.deepEqual(other.get(2), { b: 768, a: 3 });
    records.subarray(1).copyFrom(records.subarray(0, 3));
    assert.deepEqual([...records].map(({ a }) => a), [1, 1, 2, 3]);
    const all = slice.records([["a", "u1"], ["b", ">u2"]], { shape: 20 });
    all.copyFrom(Array.from({ length: 20 }, (_, a) => ({ a, b: 0 })));
    all.resize(22);
    assert.equal(all.get(21).a, 1);
    all.resize(23, { fill: { a: 9, b: 9 } });
    assert.deepEqual(all.get(22), { a: 9, b: 9 });
    all.resize(24, { fill: 0 });
    assert.deepEqual(all.get(23), { a: 0, b: 0 });
  });
});

test("records print as numarray's", () => {
  withSlice(100, (slice) => {
    const records = slice.records(
      [["col1", "<i4"], ["col2", "S3"], ["col3", "<f8"]],
      { shape: 2 },
    );
    records.copyFrom([
      { col1: 456, col2: "dbe", col3: 1.2 },
      { col1: 2, col2: "de", col3: 3 },
    ]);
    assertPrints(
      records,
      "RecArray[ \n(456, 'dbe', 1.2),\n(2, 'de', 3.0)\n]",
    );
    slice.fill(0);
    const nested = slice.records(
      [["a", [["x", "bool"]]], ["b", "i1", [2, 1]], ["z", "<c8"]],
      { shape: 1 },
    );
    assertPrints(nested, "RecArray[ \n((false), [[0], [0]], (0.0+0.0j))\n]");
    const many = slice.map.insert(0, 2000).records([["a", "u1"]]);
    assert.equal(
      String(many),
      "RecArray[ \n(0),\n(0),\n(0),\n...,\n(0),\n(0),\n(0)\n]",
    );
  });
});

test("a record's getters may resize the slice, and do no harm", () => {
  withSlice(40, (slice) => {
    const records = slice.records([["a", "<u4"], ["b", "<u4"]]);
    const hostile = {
      b: 1,
      get a() {
        slice.resize(8);
        return 1;
      },
    };
    assert.throws(() => records.set(4, hostile), RANGE_ERROR);
    slice.resize(40);
    assert.throws(() => records.copyFrom([hostile], 4), RANGE_ERROR);
    assert.ok(slice.bytes.every((byte) => byte === 0));
  });
});

/** Compiles only if the two types are the same. */
function assertSame<A, B>(
  _same: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2)
    ? true
    : false,
): void {}

test("TypeScript infers records from the literal of their fields", () => {
  assertSame<
    Row<typeof TICK>,
    { id: number; price: number; name: string; time: bigint; flag: number }
  >(true);
  // Only compiled, never run.
  const _typed = (slice: MemmapSlice) => {
    const records = slice.records([
      ["a", "bool"],
      ["", "V3"],
      [["a title", "b"], "<c8"],
      ["c", [["x", "U4"], ["y", "i8", [2, 3]]]],
      ["d", "f4", 3],
      ["e", "f4", []],
    ]);
    const row = records.get(0);
    assertSame<typeof row.a, boolean>(true);
    assertSame<typeof row.b, Complex>(true);
    assertSame<typeof row.c, { x: string; y: bigint[][] }>(true);
    assertSame<typeof row.d, number[]>(true);
    assertSame<typeof row.e, number>(true);
    assertSame<keyof typeof row, "a" | "b" | "c" | "d" | "e">(true);
    const y: MemmapArray<"int64"> = records.field("c").field("y");
    const x: MemmapStrings = records.field("c").field("x");
    const cursor = records.cursor();
    const [real]: Complex = cursor.b;
    records.set(0, { c: { y: [[1n, 2n, 3n], new BigInt64Array(3)] } });
    // @ts-expect-error: there is no such field
    records.field("f");
    // @ts-expect-error: it is a boolean
    records.set(0, { a: 1 });
    // @ts-expect-error: copyFrom() takes whole records
    records.copyFrom([{ a: true }]);
    // @ts-expect-error: there is no such type
    slice.records([["a", "x4"]]);
    // @ts-expect-error: a cursor has no other properties
    cursor.f = 1;
    const fields: Fields = records.descr;
    const unknown: unknown = slice.records(fields).get(0)["any"];
    return [y, x, real, unknown];
  };
  assert.equal(typeof _typed, "function");
});
