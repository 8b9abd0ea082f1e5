/**
 * An n-dimensional array as text: numpy's layout, numarray's type at the end.
 *
 * The layout is that of numpy's `array_repr` with the default options of numpy 2.1.
 * (Later ones repeat the shape behind an array that is not shown in full, and let
 * float16 and float32 have exponents sooner.) What is not finite is spelled as
 * JavaScript spells it.
 *
 * Knows nothing of bytes or slices: {@linkcode Printable} is all it sees of an
 * array. First the elements to show are chosen and read, then all of them become
 * words of one width, then the words are set in brackets and lines.
 *
 * @module
 */

/** What printing must know of an array. */
export interface Printable {
  readonly shape: readonly number[];
  /** numarray's name of the element type: `Int32`, `Float64`, `Bool`. */
  readonly typeName: string;
  readonly kind: "integer" | "float" | "boolean";
  /**
   * The nearest value of the element type: `Math.fround`, `Math.f16round`, or the
   * number itself. Decides how many digits tell a float from its neighbours.
   */
  readonly round: (value: number) => number;
  /** The element at an n-d index. Called only for the elements that are shown. */
  readonly at: (index: readonly number[]) => number | bigint | boolean;
}

type Element = ReturnType<Printable["at"]>;
type Round = Printable["round"];

/** The positions shown along an axis, in order; `null` stands for those left out. */
type Axis = readonly (number | null)[];

const LINE_WIDTH = 75;
/** With more elements than that, the middle of long axes is left out. */
const THRESHOLD = 1000;
/** Positions shown at each end of an axis whose middle is left out. */
const EDGE = 3;
/** Digits behind the decimal point, at most. */
const PRECISION = 8;

const PREFIX = "array(";
const SEPARATOR = ", ";
const ELLIPSIS = "...";

/**
 * The text of an array: `array([1, 1, 1, 1], type=Int32)`.
 *
 * Reads the elements that are shown, each once, in row-major order: at most 1000,
 * or 6 along each axis.
 */
export function printArray(array: Printable): string {
  const { shape, typeName } = array;
  const size = shape.reduce((product, length) => product * length, 1);
  if (size === 0) return closed(`${PREFIX}[]`, emptyType(shape, typeName));
  const axes = shape.map((length) => shownAlong(length, size > THRESHOLD));
  const words = wordsOf(array, [...shownElements(array, axes)]);
  const text = bracketed(axes, words.values(), PREFIX.length);
  return closed(PREFIX + text, `type=${typeName}`);
}

/** numpy names the shape where the brackets cannot tell it, and then the type. */
function emptyType(shape: readonly number[], typeName: string): string {
  if (shape.length === 1) return `type=${typeName}`;
  return `shape=(${shape.join(SEPARATOR)}), type=${typeName}`;
}

/** Puts the type behind the text, on a line of its own where the last one is full. */
function closed(text: string, type: string): string {
  const lastLine = text.slice(text.lastIndexOf("\n") + 1);
  const fits = `${lastLine}, ${type})`.length <= LINE_WIDTH;
  return `${text},${fits ? " " : lineBreak(PREFIX.length)}${type})`;
}

function lineBreak(indent: number, lines = 1): string {
  return "\n".repeat(lines) + " ".repeat(indent);
}

// Which elements are shown

function shownAlong(length: number, isLarge: boolean): Axis {
  if (!isLarge || length <= 2 * EDGE) return range(0, length);
  return [...range(0, EDGE), null, ...range(length - EDGE, length)];
}

function range(begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, i) => begin + i);
}

function* shownElements(
  array: Printable,
  axes: readonly Axis[],
  index: readonly number[] = [],
): Generator<Element> {
  if (index.length === axes.length) {
    yield array.at(index);
    return;
  }
  for (const position of axes[index.length]) {
    if (position !== null) {
      yield* shownElements(array, axes, [...index, position]);
    }
  }
}

// From elements to words of one width

function wordsOf(array: Printable, elements: readonly Element[]): string[] {
  switch (array.kind) {
    case "integer":
      return rightAligned(elements.map(String));
    case "boolean":
      // numpy leaves room for a false even where there is none, but in 0-d.
      return rightAligned(
        elements.map(String),
        array.shape.length === 0 ? 0 : "false".length,
      );
    case "float":
      return rightAligned(floatWords(elements.map(Number), array.round));
  }
}

function rightAligned(words: readonly string[], atLeast = 0): string[] {
  const width = longest(words, atLeast);
  return words.map((word) => word.padStart(width));
}

function longest(words: readonly string[], atLeast = 0): number {
  return words.reduce((width, word) => Math.max(width, word.length), atLeast);
}

/** The floats, padded on the right so that points line up once aligned there. */
function floatWords(values: readonly number[], round: Round): string[] {
  const finite = values.filter(Number.isFinite);
  const finiteWords = needsExponent(finite, round)
    ? scientificWords(finite, round)
    : positionalWords(finite, round);
  const next = finiteWords.values();
  return values.map((value) =>
    Number.isFinite(value) ? next.next().value! : String(value)
  );
}

/** Whether the values are too large, too small or too far apart for plain digits. */
function needsExponent(finite: readonly number[], round: Round): boolean {
  const magnitudes = finite.filter((value) => value !== 0).map(Math.abs);
  if (magnitudes.length === 0) return false;
  const largest = magnitudes.reduce((a, b) => Math.max(a, b));
  const smallest = magnitudes.reduce((a, b) => Math.min(a, b));
  // numpy compares and divides in the element type: there, a float32 0.0001 is
  // not less than 0.0001.
  return largest >= 1e8 || smallest < round(0.0001) ||
    round(largest / smallest) > 1000;
}

function positionalWords(finite: readonly number[], round: Round): string[] {
  const wholes: string[] = [];
  const fractions: string[] = [];
  for (const value of finite) {
    const exact = exactDecimal(value);
    const wholeDigits = exact.exponent + 1;
    // All digits of the whole part are true ones: a float32 16777216 is not 16777220.
    const { digits, exponent } = shortestDecimal(
      exact,
      round,
      Math.max(1, wholeDigits),
      wholeDigits + PRECISION,
    );
    const fromUnits = "0".repeat(Math.max(0, -exponent)) + digits;
    const point = Math.max(0, exponent) + 1;
    wholes.push(signOf(value) + fromUnits.slice(0, point).padEnd(point, "0"));
    fractions.push(fromUnits.slice(point));
  }
  const width = longest(fractions);
  return wholes.map((whole, i) => `${whole}.${fractions[i].padEnd(width)}`);
}

function scientificWords(finite: readonly number[], round: Round): string[] {
  const exact = finite.map(exactDecimal);
  const shortest = exact.map((decimal) =>
    shortestDecimal(decimal, round, 1, 1 + PRECISION).digits
  );
  // What the longest needs, all get, and in true digits rather than zeros.
  const digitCount = longest(shortest);
  const decimals = exact.map((decimal) =>
    shortestDecimal(decimal, round, digitCount, digitCount)
  );
  const powers = decimals.map(({ exponent }) => `${Math.abs(exponent)}`);
  const powerWidth = longest(powers, 2);
  return decimals.map(({ digits, exponent }, i) => {
    const fraction = digits.slice(1).padEnd(digitCount - 1, "0");
    const power = powers[i].padStart(powerWidth, "0");
    const powerSign = exponent < 0 ? "-" : "+";
    return `${signOf(finite[i])}${digits[0]}.${fraction}e${powerSign}${power}`;
  });
}

/** `-` for a negative zero too, as numpy has it. */
function signOf(value: number): string {
  return value < 0 || Object.is(value, -0) ? "-" : "";
}

// Decimal digits of a float

/** The magnitude d.ddd… times ten to the `exponent`; no zeros at the end but a lone one. */
interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

/**
 * All digits of a magnitude, or the first 101. That is as good as all: no float
 * but one that lies there exactly comes that near to where rounding changes.
 */
function exactDecimal(value: number): Decimal {
  const [mantissa, exponent] = Math.abs(value).toExponential(100).split("e");
  return {
    digits: withoutZeros(mantissa.replace(".", "")),
    exponent: Number(exponent),
  };
}

/**
 * The fewest digits, of `least` to `most`, that read back as the same element;
 * where none do, the nearest with `most`.
 */
function shortestDecimal(
  exact: Decimal,
  round: Round,
  least: number,
  most: number,
): Decimal {
  const value = numberOf(exact);
  for (let count = least;; count++) {
    const [nearest, other] = roundedBothWays(exact, count);
    if (round(numberOf(nearest)) === value) return nearest;
    // Below a power of two the floats lie twice as dense as above it: what is
    // farther off, but above, may be the one that reads back.
    if (round(numberOf(other)) === value) return other;
    if (count === most) return nearest;
  }
}

/**
 * The decimals of `count` digits around a magnitude, the nearer first; of two as
 * near, the one whose last digit is even.
 */
function roundedBothWays(
  { digits, exponent }: Decimal,
  count: number,
): [nearest: Decimal, other: Decimal] {
  const kept = digits.slice(0, count);
  const rest = digits.slice(count);
  const below = { digits: withoutZeros(kept), exponent };
  const next = String(BigInt(kept) + 1n);
  // 999 becomes 1000: a digit more, a power of ten more.
  const carried = next.length - kept.length;
  const above = { digits: withoutZeros(next), exponent: exponent + carried };
  const isOdd = Number(kept.at(-1)) % 2 === 1;
  const isUp = rest === "5" ? isOdd : rest >= "5";
  return isUp ? [above, below] : [below, above];
}

function numberOf({ digits, exponent }: Decimal): number {
  return Number(`${digits}e${exponent - digits.length + 1}`);
}

function withoutZeros(digits: string): string {
  return digits.replace(/(?<=.)0+$/, "");
}

// From words to brackets and lines

/**
 * The next words of `words`, nested as the axes from `depth` on nest them. The
 * first line starts at column `indent`, where the text before it ends.
 */
function bracketed(
  axes: readonly Axis[],
  words: Iterator<string>,
  indent: number,
  depth = 0,
): string {
  if (depth === axes.length) return words.next().value!;
  const inside = indent + 1; // behind the bracket
  const parts = axes[depth].map((position) =>
    position === null ? ELLIPSIS : bracketed(axes, words, inside, depth + 1)
  );
  const inner = axes.length - depth - 1;
  if (inner === 0) return `[${filled(parts, inside, axes.length)}]`;
  // A line break more for each dimension: rows, then blank lines between tables.
  return `[${parts.join("," + lineBreak(inside, inner))}]`;
}

/**
 * Fills lines with the words of a row. Every line leaves room for what may end
 * the last one: the `brackets` that close, and a comma or parenthesis.
 */
function filled(
  words: readonly string[],
  indent: number,
  brackets: number,
): string {
  const room = LINE_WIDTH - brackets - 1;
  const lines: string[] = [];
  let line = words[0];
  for (const word of words.slice(1)) {
    const longer = line + SEPARATOR + word;
    if (indent + longer.length <= room) {
      line = longer;
    } else {
      lines.push(line + ",");
      line = word;
    }
  }
  lines.push(line);
  return lines.join(lineBreak(indent));
}
