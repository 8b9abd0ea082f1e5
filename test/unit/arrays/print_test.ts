/**
 * How arrays print. numpy 2.4 printed the expected texts, with
 * `set_printoptions(legacy="2.1")`. Only `dtype=`, infinities and NaN are spelled
 * differently here.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Printable, printArray } from "../../../src/arrays/print.ts";
import {
  booleanWords,
  floatWords,
  integerWords,
} from "../../../src/arrays/words.ts";

/** An array whose elements are numbered in row-major order. */
function numbered(
  typeName: string,
  shape: readonly number[],
  element: (flatIndex: number) => number | bigint | boolean,
): Printable {
  return {
    shape,
    prefix: "array(",
    suffix: `type=${typeName}`,
    words: wordsOf(typeName),
    at: (index) =>
      element(index.reduce((flat, i, axis) => flat * shape[axis]! + i, 0)),
  };
}

function wordsOf(typeName: string): Printable["words"] {
  if (typeName === "Bool") return booleanWords;
  return typeName.startsWith("Float")
    ? floatWords(roundOf(typeName))
    : integerWords;
}

function roundOf(typeName: string): (value: number) => number {
  if (typeName === "Float32") return Math.fround;
  if (typeName === "Float16") return Math.f16round;
  return (value) => value;
}

/** How a 1-d array of these elements prints, each rounded to the type. */
function printed(
  typeName: string,
  ...elements: (number | bigint | boolean)[]
): string {
  const round = roundOf(typeName);
  return printArray(numbered(typeName, [elements.length], (i) => {
    const element = elements[i]!;
    return typeof element === "number" ? round(element) : element;
  }));
}

/** How an array of 0, `step`, 2 × `step` … in row-major order prints. */
function counted(typeName: string, shape: readonly number[], step = 1): string {
  return printArray(numbered(typeName, shape, (i) => i * step));
}

/** The lines without this file's indentation. */
function lines(...text: string[]): string {
  return text.join("\n");
}

test("integers are right-aligned to one width", () => {
  assert.equal(
    printed("Int32", 1, 1, 1, 1),
    "array([1, 1, 1, 1], type=Int32)",
  );
  assert.equal(
    printed("Int16", 5, -10, 100),
    "array([  5, -10, 100], type=Int16)",
  );
});

test("bigints print without the n", () => {
  assert.equal(
    printed("Int64", 2n ** 63n - 1n, -(2n ** 63n)),
    "array([ 9223372036854775807, -9223372036854775808], type=Int64)",
  );
});

test("booleans are padded to the width of false, even if all are true", () => {
  assert.equal(
    printed("Bool", true, false),
    "array([ true, false], type=Bool)",
  );
  assert.equal(printed("Bool", true, true), "array([ true,  true], type=Bool)");
});

test("a 0-d array has no brackets and no padding", () => {
  const scalar = (typeName: string, element: number | boolean) =>
    printArray(numbered(typeName, [], () => element));
  assert.equal(scalar("Int32", 5), "array(5, type=Int32)");
  assert.equal(scalar("Float32", Math.fround(0.1)), "array(0.1, type=Float32)");
  assert.equal(scalar("Bool", true), "array(true, type=Bool)");
});

test("an empty array names its shape unless that is (0,)", () => {
  assert.equal(counted("Int32", [0]), "array([], type=Int32)");
  assert.equal(
    counted("Int32", [0, 3]),
    "array([], shape=(0, 3), type=Int32)",
  );
  assert.equal(
    counted("Float64", [2, 0]),
    "array([], shape=(2, 0), type=Float64)",
  );
  assert.equal(
    counted("Float64", [...Array(20).fill(1), 0]),
    lines(
      "array([],",
      "      shape=(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0), type=Float64)",
    ),
  );
});

test("rows line up under the first, and a blank line separates tables", () => {
  assert.equal(
    counted("Int32", [2, 3, 4]),
    lines(
      "array([[[ 0,  1,  2,  3],",
      "        [ 4,  5,  6,  7],",
      "        [ 8,  9, 10, 11]],",
      "",
      "       [[12, 13, 14, 15],",
      "        [16, 17, 18, 19],",
      "        [20, 21, 22, 23]]], type=Int32)",
    ),
  );
  assert.equal(
    counted("UInt8", [2, 1, 2, 2]),
    lines(
      "array([[[[0, 1],",
      "         [2, 3]]],",
      "",
      "",
      "       [[[4, 5],",
      "         [6, 7]]]], type=UInt8)",
    ),
  );
});

test("long rows continue under their first element", () => {
  assert.equal(
    counted("UInt16", [30], 2000),
    lines(
      "array([    0,  2000,  4000,  6000,  8000, 10000, 12000, 14000, 16000,",
      "       18000, 20000, 22000, 24000, 26000, 28000, 30000, 32000, 34000,",
      "       36000, 38000, 40000, 42000, 44000, 46000, 48000, 50000, 52000,",
      "       54000, 56000, 58000], type=UInt16)",
    ),
  );
  assert.equal(
    counted("UInt8", [2, 23], 4),
    lines(
      "array([[  0,   4,   8,  12,  16,  20,  24,  28,  32,  36,  40,  44,  48,",
      "         52,  56,  60,  64,  68,  72,  76,  80,  84,  88],",
      "       [ 92,  96, 100, 104, 108, 112, 116, 120, 124, 128, 132, 136, 140,",
      "        144, 148, 152, 156, 160, 164, 168, 172, 176, 180]], type=UInt8)",
    ),
  );
});

test("the type goes on its own line if the last line is full", () => {
  assert.equal(
    counted("Int32", [15]),
    lines(
      "array([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14],",
      "      type=Int32)",
    ),
  );
});

test("floats print with the fewest digits that identify them in their type", () => {
  assert.equal(
    printed("Float64", 0.1, 1 / 3),
    "array([0.1       , 0.33333333], type=Float64)",
  );
  assert.equal(
    printed("Float32", 0.1, 0.2, 1 / 3),
    "array([0.1       , 0.2       , 0.33333334], type=Float32)",
  );
  assert.equal(
    printed("Float16", 0.1, 1 / 3),
    "array([0.1   , 0.3333], type=Float16)",
  );
});

test("the decimal points of floats line up, and -0. keeps its sign", () => {
  assert.equal(
    printed("Float64", 1, 2.5, -0, 100.25),
    "array([  1.  ,   2.5 ,  -0.  , 100.25], type=Float64)",
  );
  assert.equal(printed("Float64", 1, 2), "array([1., 2.], type=Float64)");
});

test("all digits before the decimal point are exact, not padded with zeros", () => {
  assert.equal(
    printed("Float32", 16777216),
    "array([16777216.], type=Float32)",
  );
});

test("a float half-way between two decimals rounds to the even one", () => {
  assert.equal(
    printed("Float64", 1 / 512, 3 / 512),
    "array([0.00195312, 0.00585938], type=Float64)",
  );
});

test("at a power of two, the shortest decimal that reads back may be the larger one", () => {
  assert.equal(printed("Float16", 2 ** -6), "array([0.01563], type=Float16)");
});

test("rounding up may carry into a new digit", () => {
  assert.equal(
    printed("Float64", 0.999999999, 9.999999999),
    "array([ 1., 10.], type=Float64)",
  );
  assert.equal(
    printed("Float64", 9.99999999999e9),
    "array([1.e+10], type=Float64)",
  );
});

test("floats of 1e8 and more have exponents", () => {
  assert.equal(
    printed("Float64", 99999999),
    "array([99999999.], type=Float64)",
  );
  assert.equal(printed("Float64", 1e8), "array([1.e+08], type=Float64)");
});

test("floats below 0.0001 have exponents", () => {
  assert.equal(
    printed("Float64", 0.0001, 0.05),
    "array([0.0001, 0.05  ], type=Float64)",
  );
  assert.equal(
    printed("Float64", 0.00009, 0.05),
    "array([9.e-05, 5.e-02], type=Float64)",
  );
  // Rounded to float32, it is less than the float64.
  assert.equal(printed("Float32", 0.0001), "array([0.0001], type=Float32)");
});

test("floats that differ by more than a factor of 1000 have exponents", () => {
  assert.equal(
    printed("Float64", 1, 1000),
    "array([   1., 1000.], type=Float64)",
  );
  assert.equal(
    printed("Float64", 1, 1001),
    "array([1.000e+00, 1.001e+03], type=Float64)",
  );
});

test("with exponents, all floats get as many digits as the longest", () => {
  assert.equal(
    printed("Float64", 1e-300, -1e10, 0),
    "array([ 1.e-300, -1.e+010,  0.e+000], type=Float64)",
  );
  assert.equal(
    printed("Float32", 0.1, 123456.79),
    "array([1.0000000e-01, 1.2345679e+05], type=Float32)",
  );
});

test("infinities and NaN are spelled as in JavaScript, and right-aligned", () => {
  assert.equal(printed("Float64", NaN, 1.5), "array([NaN, 1.5], type=Float64)");
  assert.equal(printed("Float64", NaN, NaN), "array([NaN, NaN], type=Float64)");
  assert.equal(
    printed("Float64", NaN, Infinity, -Infinity, 1),
    "array([      NaN,  Infinity, -Infinity,        1.], type=Float64)",
  );
  assert.equal(
    printed("Float64", Infinity, 1e-10),
    "array([Infinity,   1.e-10], type=Float64)",
  );
  assert.equal(
    printed("Float64", NaN, 1e10, -2.5e10),
    "array([     NaN,  1.0e+10, -2.5e+10], type=Float64)",
  );
});

test("beyond 1000 elements, the middle of long axes is left out", () => {
  assert.ok(!counted("Int32", [1000]).includes("..."));
  assert.equal(
    counted("Int32", [1001]),
    "array([   0,    1,    2, ...,  998,  999, 1000], type=Int32)",
  );
  assert.equal(
    counted("Float64", [2000]),
    lines(
      "array([0.000e+00, 1.000e+00, 2.000e+00, ..., 1.997e+03, 1.998e+03,",
      "       1.999e+03], type=Float64)",
    ),
  );
  assert.equal(
    counted("Int32", [40, 30]),
    lines(
      "array([[   0,    1,    2, ...,   27,   28,   29],",
      "       [  30,   31,   32, ...,   57,   58,   59],",
      "       [  60,   61,   62, ...,   87,   88,   89],",
      "       ...,",
      "       [1110, 1111, 1112, ..., 1137, 1138, 1139],",
      "       [1140, 1141, 1142, ..., 1167, 1168, 1169],",
      "       [1170, 1171, 1172, ..., 1197, 1198, 1199]], type=Int32)",
    ),
  );
});

test("a short axis is shown in full beside a long one", () => {
  assert.equal(
    counted("Int32", [2, 600]),
    lines(
      "array([[   0,    1,    2, ...,  597,  598,  599],",
      "       [ 600,  601,  602, ..., 1197, 1198, 1199]], type=Int32)",
    ),
  );
  assert.equal(
    counted("Int32", [600, 2]),
    lines(
      "array([[   0,    1],",
      "       [   2,    3],",
      "       [   4,    5],",
      "       ...,",
      "       [1194, 1195],",
      "       [1196, 1197],",
      "       [1198, 1199]], type=Int32)",
    ),
  );
});

test("a blank line stands on either side of tables that are left out", () => {
  assert.equal(
    counted("Int16", [7, 2, 80]),
    lines(
      "array([[[   0,    1,    2, ...,   77,   78,   79],",
      "        [  80,   81,   82, ...,  157,  158,  159]],",
      "",
      "       [[ 160,  161,  162, ...,  237,  238,  239],",
      "        [ 240,  241,  242, ...,  317,  318,  319]],",
      "",
      "       [[ 320,  321,  322, ...,  397,  398,  399],",
      "        [ 400,  401,  402, ...,  477,  478,  479]],",
      "",
      "       ...,",
      "",
      "       [[ 640,  641,  642, ...,  717,  718,  719],",
      "        [ 720,  721,  722, ...,  797,  798,  799]],",
      "",
      "       [[ 800,  801,  802, ...,  877,  878,  879],",
      "        [ 880,  881,  882, ...,  957,  958,  959]],",
      "",
      "       [[ 960,  961,  962, ..., 1037, 1038, 1039],",
      "        [1040, 1041, 1042, ..., 1117, 1118, 1119]]], type=Int16)",
    ),
  );
});

test("only the elements shown are read, each once and in order", () => {
  const read: number[] = [];
  const text = printArray(numbered("Int32", [1e9], (i) => {
    read.push(i);
    return i % 10;
  }));
  assert.equal(text, "array([0, 1, 2, ..., 7, 8, 9], type=Int32)");
  assert.deepEqual(read, [0, 1, 2, 999999997, 999999998, 999999999]);
});

test("an element that is not shown does not widen the columns", () => {
  const text = printArray(
    numbered("Float64", [2000], (i) => i === 1000 ? -Infinity : 0.5),
  );
  assert.equal(
    text,
    "array([0.5, 0.5, 0.5, ..., 0.5, 0.5, 0.5], type=Float64)",
  );
});
