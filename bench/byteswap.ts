/**
 * How fast arrays are, beside what JavaScript has without them.
 *
 * Run `deno run -A bench/byteswap.ts` or `bun bench/byteswap.ts`. Every line says
 * what was measured and, where there is one, the target, and whether it was met;
 * nothing is asserted but that both sides of a comparison answer the same. Needs
 * 1.5 GiB of memory and 0.5 GiB of disk, and about three minutes.
 *
 * What is compared is measured alternately in one run, in loops of the same form
 * that are compiled separately. Figures are medians over the rounds; the
 * quartiles stand in parentheses.
 *
 * Maps are opened in mode `r`, or `c` where they are written, and each page is
 * touched beforehand: pages of a shared map would be written to the disk, and
 * protected anew, whenever the kernel likes.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import * as fs from "node:fs";
import { type DType, type MemmapArray, open } from "../mod.ts";
import { allocating } from "./allocation.ts";
import {
  cachedFile,
  compare,
  type Loop,
  loop,
  MiB,
  quartiles,
  remark,
  report,
  type Rivals,
  run,
  sparseFile,
  timesAsLong,
  title,
} from "./support.ts";

const SIZE = 256 * MiB;
const PAGE = 4096;

await run(elements, native, copies, allocating);

/** Element by element: first as a program's only arrays, then among all types. */
async function elements(folder: string): Promise<void> {
  const path = cachedFile(folder, "big-endian", doubles(SIZE, false));
  using readable = open(path, "r");
  using writable = open(path, "c");
  const [source, target] = [readable.slice(), writable.slice()];
  touch(target.bytes);
  const reading = source.array("float64", { byteOrder: "big" });
  const writing = target.array("float64", { byteOrder: "big" });
  const onlyReading = new DataView(source.buffer);
  const both = new DataView(target.buffer);
  await atRandom("", reading, writing, onlyReading, both);
  await inOrder("", reading, writing, onlyReading, both);
  useAllTypes(folder);
  const after = ", after all types were used";
  await atRandom(after, reading, writing, onlyReading, both);
  await inOrder(after, reading, writing, onlyReading, both);
}

/** get() and set() at random, where memory is slow. */
async function atRandom(
  after: string,
  reading: MemmapArray<"float64">,
  writing: MemmapArray<"float64">,
  onlyReading: DataView,
  both: DataView,
): Promise<void> {
  title(`float64, big-endian, 256 MiB at random${after}: times a DataView`);
  const at = randomIndices(SIZE / 8);
  {
    const base: Loop<[DataView, Uint32Array]> = loop(
      ["view", "at"],
      "for (let i = 0; i < at.length; i++) sum += view.getFloat64(at[i] * 8);",
    );
    const own: Loop<[MemmapArray<"float64">, Uint32Array]> = loop(
      ["array", "at"],
      "for (let i = 0; i < at.length; i++) sum += array.get(at[i]);",
    );
    assert.equal(own(reading, at), base(onlyReading, at));
    const times = await compare(
      () => base(onlyReading, at),
      () => own(reading, at),
      11,
    );
    reportTimes("get(i)", times, at.length, 1.5);
  }
  {
    const base: Loop<[DataView, Uint32Array, number]> = loop(
      ["view", "at", "seed"],
      "for (let i = 0; i < at.length; i++) view.setFloat64(at[i] * 8, i + seed);",
    );
    const own: Loop<[MemmapArray<"float64">, Uint32Array, number]> = loop(
      ["array", "at", "seed"],
      "for (let i = 0; i < at.length; i++) array.set(at[i], i + seed);",
    );
    const written: Loop<[DataView, Uint32Array]> = loop(
      ["view", "at"],
      "for (let i = 0; i < at.length; i++) sum += view.getFloat64(at[i] * 8);",
    );
    base(both, at, 0.5);
    const expected = written(both, at);
    own(writing, at, 0.25);
    assert.notEqual(written(both, at), expected);
    own(writing, at, 0.5);
    assert.equal(written(both, at), expected);
    const times = await compare(
      () => base(both, at, 0.5),
      () => own(writing, at, 0.5),
      11,
    );
    reportTimes("set(i, v)", times, at.length, 1.5);
  }
}

/**
 * get(), for…of and apply() in order, where memory is fast. The bare loops do not
 * ask for `byteLength`, which takes V8 longer than an element once any buffer was
 * detached, as closing a map does.
 */
async function inOrder(
  after: string,
  reading: MemmapArray<"float64">,
  writing: MemmapArray<"float64">,
  onlyReading: DataView,
  both: DataView,
): Promise<void> {
  title(`The first 64 MiB of it in order${after}: times a DataView loop`);
  const count = 64 * MiB / 8;
  const array = reading.subarray(0, count);
  const changing = writing.subarray(0, count);
  const ways = {
    "get(i)": "for (let i = 0; i < count; i++) sum += array.get(i);",
    "for…of": "for (const x of array) sum += x;",
  };
  for (const [what, body] of Object.entries(ways)) {
    const base: Loop<[DataView, number]> = loop(
      ["view", "count"],
      "for (let i = 0; i < count; i++) sum += view.getFloat64(i * 8);",
    );
    const own: Loop<[MemmapArray<"float64">, number]> = loop(
      ["array", "count"],
      body,
    );
    assert.equal(own(array, count), base(onlyReading, count));
    const times = await compare(
      () => base(onlyReading, count),
      () => own(array, count),
      7,
    );
    reportTimes(what, times, count);
  }
  const base: Loop<[DataView, number]> = loop(
    ["view", "count"],
    "for (let i = 0; i < count; i++) " +
      "view.setFloat64(i * 8, view.getFloat64(i * 8) + 1);",
  );
  const own: Loop<[MemmapArray<"float64">, number]> = loop(
    ["array", "count"],
    "array.apply((x) => x + 1);",
  );
  const before = [...writing.toTypedArray(0, 1000)];
  base(both, count);
  own(changing, count);
  const sums = before.map((x) => x + 2);
  assert.deepEqual([...writing.toTypedArray(0, 1000)], sums);
  const times = await compare(
    () => base(both, count),
    () => own(changing, count),
    7,
  );
  reportTimes("apply(x => x + 1)", times, count);
}

/**
 * What a program leaves behind that has worked on arrays of every type: engines
 * compile code for what it has met.
 */
function useAllTypes(folder: string): void {
  const types: DType[] = ["bool", "int8", "uint8", "int16", "uint16", "int32"];
  types.push("uint32", "int64", "uint64", "float16", "float32", "float64");
  const count = 4096;
  using map = open(sparseFile(folder, "all-types", count * 8), "c");
  const slice = map.slice();
  for (let round = 0; round < 20; round++) {
    for (const type of types) {
      for (const byteOrder of ["little", "big"] as const) {
        const array = slice.array(type, { byteOrder });
        for (let i = 0; i < array.size; i++) array.set(i, array.get(i));
        let odd = 0;
        for (const value of array) if (Number(value) % 2 === 1) odd++;
        array.apply((value) => value).subarray(1).fill(array.get(odd * 0));
        array.copyFrom(array.toTypedArray());
        array.reshape(2, -1).transpose().apply((value) => value);
      }
    }
  }
}

/**
 * `data`, beside a typed array that plain JavaScript makes of the same bytes, and
 * beside one of heap memory. The latter two differ in more than the library: pages
 * of memory and pages of a file lie differently, and memory may have huge ones.
 */
async function native(folder: string): Promise<void> {
  const heap = new Float64Array(doubles(SIZE, true).buffer);
  const hugePages = hugeMiB();
  const path = cachedFile(folder, "native", new Uint8Array(heap.buffer));
  using map = open(path, "r");
  const slice = map.slice();
  const { data } = slice.array("float64");
  assert(data !== null);
  const at = randomIndices(data.length);
  title(
    "float64, native, 256 MiB through data: times a heap Float64Array, and " +
      "times a Float64Array over slice.buffer",
  );
  remark(
    "huge pages in this process",
    hugePages === undefined ? "unknown" : `${hugePages} MiB`,
  );
  const rivals = [
    ["heap", heap],
    ["slice.buffer", new Float64Array(slice.buffer)],
  ] as const;
  const bodies = {
    "at random": "for (let i = 0; i < at.length; i++) sum += values[at[i]];",
    "in order": "for (let i = 0; i < values.length; i++) sum += values[i];",
  };
  for (const [way, body] of Object.entries(bodies)) {
    for (const [rival, values] of rivals) {
      type Sum = Loop<[Float64Array, Uint32Array]>;
      const base: Sum = loop(["values", "at"], body);
      const own: Sum = loop(["values", "at"], body);
      assert.equal(own(data, at), base(values, at));
      const times = await compare(
        () => base(values, at),
        () => own(data, at),
        11,
      );
      const count = way === "in order" ? data.length : at.length;
      reportTimes(`${way}, ${rival}`, times, count, 1.05);
    }
  }
}

/** MiB of this process's memory in huge pages, where Linux tells. */
function hugeMiB(): number | undefined {
  const path = "/proc/self/smaps_rollup";
  if (!fs.existsSync(path)) return undefined;
  const rollup = fs.readFileSync(path, "latin1");
  const kiB = /^AnonHugePages: *(\d+) kB$/m.exec(rollup)?.[1];
  return kiB === undefined ? undefined : Math.round(Number(kiB) / 1024);
}

/**
 * copyTo() and copyFrom() of 64 MiB whose byte order is not the machine's, beside
 * Uint8Array's set() between the same places, which swaps nothing.
 *
 * Where source and target lie a little apart modulo 4096, processors take a load
 * for one of what was just stored, and wait. So the typed array begins at several
 * places of a page, and the median over all of them counts.
 */
async function copies(folder: string): Promise<void> {
  const length = 64 * MiB;
  using map = open(sparseFile(folder, "copies", length + PAGE), "c");
  const slice = map.slice();
  randomFillSync(slice.bytes);
  const memory = new ArrayBuffer(length + PAGE);
  const starts = [0, 584, 1168, 1752, 2336, 2920, 3504];
  const order = littleEndian() ? "big" : "little";
  title("64 MiB, copied and swapped: speed of set() times");
  const types = [
    ["uint16", Uint16Array],
    ["uint32", Uint32Array],
    ["uint64", BigUint64Array],
  ] as const;
  for (const [type, Values] of types) {
    const width = Values.BYTES_PER_ELEMENT;
    for (const byteOffset of [0, 1]) {
      const array = slice.array(type, {
        shape: length / width,
        byteOrder: order,
        byteOffset,
      });
      const mapped = new Uint8Array(slice.buffer, byteOffset, length);
      const place = byteOffset === 0 ? "page-aligned" : "at an odd byte";
      for (const way of ["copyTo", "copyFrom"] as const) {
        const all: Rivals = { base: [], own: [] };
        for (const start of starts) {
          const values = new Values(memory, start, length / width);
          const bytes = new Uint8Array(memory, start, length);
          const [to, from] = way === "copyTo"
            ? [bytes, mapped]
            : [mapped, bytes];
          // deno-lint-ignore no-explicit-any -- types and their arrays go together here
          const own = () => array[way](values as any);
          own();
          assertSwapped(to, from, width);
          const { base, own: times } = await compare(
            () => to.set(from),
            own,
            1,
          );
          all.base.push(...base);
          all.own.push(...times);
        }
        reportSpeed(`${type} ${way}, ${place}`, all, length, 0.6);
      }
    }
  }
  title("The same page-aligned, by other means: speed of set() times");
  for (const [type, Values] of types) {
    const width = Values.BYTES_PER_ELEMENT;
    const from = new Uint8Array(slice.buffer, 0, length);
    const swapping = {
      "a DataView loop": dataViewLoop(width),
      [`set() and swap${width * 8}()`]: (to: Uint8Array, from: Uint8Array) => {
        to.set(from);
        swapBuffer(to, width);
      },
    };
    for (const [means, swap] of Object.entries(swapping)) {
      const all: Rivals = { base: [], own: [] };
      for (const start of starts) {
        const to = new Uint8Array(memory, start, length);
        swap(to, from);
        assertSwapped(to, from, width);
        const { base, own } = await compare(
          () => to.set(from),
          () => swap(to, from),
          1,
        );
        all.base.push(...base);
        all.own.push(...own);
      }
      reportSpeed(`${type}, ${means}`, all, length);
    }
  }
}

function dataViewLoop(
  width: number,
): (to: Uint8Array, from: Uint8Array) => void {
  const type = width === 8 ? "BigUint64" : `Uint${width * 8}`;
  const swap: Loop<[DataView, DataView, number]> = loop(
    ["to", "from", "length"],
    `for (let at = 0; at < length; at += ${width}) ` +
      `to.set${type}(at, from.get${type}(at), true);`,
  );
  return (to, from) => swap(viewOf(to), viewOf(from), from.length);
}

function swapBuffer(bytes: Uint8Array, width: number): void {
  const { buffer, byteOffset, byteLength } = bytes;
  const swapped = Buffer.from(buffer, byteOffset, byteLength);
  if (width === 8) swapped.swap64();
  else if (width === 4) swapped.swap32();
  else swapped.swap16();
}

/** Throws unless each element of `to` is that of `from` with its bytes reversed. */
function assertSwapped(to: Uint8Array, from: Uint8Array, width: number): void {
  const [a, b] = [viewOf(to), viewOf(from)];
  let wrong = 0;
  for (let at = 0; at < from.length; at += width) {
    if (width === 2) wrong |= a.getUint16(at) ^ b.getUint16(at, true);
    else {
      wrong |= a.getUint32(at) ^ b.getUint32(at + width - 4, true);
      wrong |= a.getUint32(at + width - 4) ^ b.getUint32(at, true);
    }
  }
  assert.equal(wrong, 0, `elements of ${width} bytes were not reversed`);
}

/** `length` bytes of small doubles. */
function doubles(length: number, isLittle: boolean): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  for (let at = 0; at < length; at += 8) {
    view.setFloat64(at, at % 1021 / 8, isLittle);
  }
  return bytes;
}

function randomIndices(end: number): Uint32Array {
  return new Uint32Array(1_000_000).map(() => Math.random() * end);
}

/** Makes each page of a private map memory of this process, of the same bytes. */
function touch(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += PAGE) bytes[at] ^= 255;
  for (let at = 0; at < bytes.length; at += PAGE) bytes[at] ^= 255;
}

function littleEndian(): boolean {
  return new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function reportTimes(
  what: string,
  times: Rivals,
  count: number,
  target?: number,
): void {
  const [low, median, high] = timesAsLong(times);
  const [base, own] = [times.base, times.own].map((ns) =>
    (quartiles(ns)[1] / count).toFixed(2)
  );
  const figure = `${median.toFixed(3)} (${low.toFixed(3)} to ` +
    `${high.toFixed(3)}), ${own} ns to ${base} ns`;
  if (target === undefined) remark(what, figure);
  else report(what, figure, `≤ ${target}`, median <= target);
}

function reportSpeed(
  what: string,
  times: Rivals,
  length: number,
  target?: number,
): void {
  const [high, median, low] = timesAsLong(times).map((ratio) => 1 / ratio);
  const [base, own] = [times.base, times.own].map((ns) =>
    (length / quartiles(ns)[1]).toFixed(1)
  );
  const figure = `${median.toFixed(2)} (${low.toFixed(2)} to ` +
    `${high.toFixed(2)}), ${own} GB/s to ${base} GB/s`;
  if (target === undefined) remark(what, figure);
  else report(what, figure, `≥ ${target}`, median >= target);
}
