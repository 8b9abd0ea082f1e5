/**
 * Elements as words: what each kind of element looks like in print, all words of
 * an array having one width.
 *
 * Floats are laid out as numpy 2.1 lays them out with its default options. (Later
 * versions let float16 and float32 have exponents sooner.) Infinities and NaN are
 * spelled as JavaScript spells them. Knows nothing of arrays.
 *
 * @module
 */

/** An element, as printing takes it. */
export type Printed = boolean | number | bigint | readonly number[] | string;

/** Makes words of one width of the elements of an array with `ndim` axes. */
export type Words = (elements: readonly Printed[], ndim: number) => string[];

/** Returns the nearest value of a float type. */
type Round = (value: number) => number;

/** Digits after the decimal point, at most. */
const PRECISION = 8;

/** `  5`, `-10`, `100`. */
export function integerWords(
  elements: readonly Printed[],
): string[] {
  return rightAligned(elements.map(String));
}

/** ` true`, `false`. numpy leaves room for a false even where there is none, but not in 0-d. */
export function booleanWords(
  elements: readonly Printed[],
  ndim: number,
): string[] {
  return rightAligned(elements.map(String), ndim === 0 ? 0 : "false".length);
}

/**
 * Makes the words of a float type: `1.5`, `1.e+10`. `round` decides how many digits
 * tell a value from its neighbours: `Math.fround`, `Math.f16round` or the identity.
 */
export function floatWords(round: Round): Words {
  return (elements) => rightAligned(pointedWords(elements.map(Number), round));
}

/**
 * Makes the words of a complex type, whose parts have the words of `part`: `1.+2.j`,
 * as numpy prints them. The two columns are lined up by themselves.
 */
export function complexWords(part: Words): Words {
  return (elements, ndim) => {
    const pairs = elements as readonly (readonly number[])[];
    const real = part(pairs.map(([real]) => real!), ndim);
    const magnitudes = part(pairs.map((pair) => Math.abs(pair[1]!)), ndim);
    const signed = pairs.map((pair, i) => {
      const word = magnitudes[i]!.trimStart();
      const digits = word.trimEnd();
      return signOf(pair[1]!, "+") + digits + "j" + word.slice(digits.length);
    });
    const imaginary = rightAligned(signed);
    return real.map((word, i) => word + imaginary[i]!);
  };
}

/** `'text'`, as Python writes strings. */
export function stringWords(elements: readonly Printed[]): string[] {
  return elements.map((element) => quoted(String(element)));
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\\": "\\\\",
};

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let inside = "";
  for (const character of text) {
    const point = character.codePointAt(0)!;
    if (character === quote) inside += `\\${quote}`;
    else if (character in ESCAPES) inside += ESCAPES[character];
    else if (point < 0x20 || (point >= 0x7f && point < 0xa0)) {
      inside += `\\x${point.toString(16).padStart(2, "0")}`;
    } else inside += character;
  }
  return quote + inside + quote;
}

function rightAligned(words: readonly string[], atLeast = 0): string[] {
  const width = longest(words, atLeast);
  return words.map((word) => word.padStart(width));
}

function longest(words: readonly string[], atLeast = 0): number {
  return words.reduce((width, word) => Math.max(width, word.length), atLeast);
}

/** The floats, padded on the right so that their points line up once right-aligned. */
function pointedWords(values: readonly number[], round: Round): string[] {
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
  // numpy compares and divides in the element type, where a float32 0.0001 is not
  // less than 0.0001.
  return largest >= 1e8 || smallest < round(0.0001) ||
    round(largest / smallest) > 1000;
}

function positionalWords(finite: readonly number[], round: Round): string[] {
  const parts = finite.map((value) => {
    const exact = exactDecimal(value);
    const wholeDigits = exact.exponent + 1;
    // Every digit of the whole part is exact: a float32 16777216 is not 16777220.
    const { digits, exponent } = shortestDecimal(
      exact,
      round,
      Math.max(1, wholeDigits),
      wholeDigits + PRECISION,
    );
    const fromUnits = "0".repeat(Math.max(0, -exponent)) + digits;
    const point = Math.max(0, exponent) + 1;
    return {
      whole: signOf(value) + fromUnits.slice(0, point).padEnd(point, "0"),
      fraction: fromUnits.slice(point),
    };
  });
  const width = longest(parts.map(({ fraction }) => fraction));
  return parts.map(({ whole, fraction }) =>
    `${whole}.${fraction.padEnd(width)}`
  );
}

function scientificWords(finite: readonly number[], round: Round): string[] {
  const parts = finite.map((value) => ({ value, exact: exactDecimal(value) }));
  const shortest = parts.map(({ exact }) =>
    shortestDecimal(exact, round, 1, 1 + PRECISION).digits
  );
  // All get as many digits as the longest needs, and true digits rather than zeros.
  const digitCount = longest(shortest);
  const decimals = parts.map(({ value, exact }) => ({
    sign: signOf(value),
    ...shortestDecimal(exact, round, digitCount, digitCount),
  }));
  const powerWidth = longest(
    decimals.map(({ exponent }) => `${Math.abs(exponent)}`),
    2,
  );
  return decimals.map(({ sign, digits, exponent }) => {
    const fraction = digits.slice(1).padEnd(digitCount - 1, "0");
    const power = `${Math.abs(exponent)}`.padStart(powerWidth, "0");
    const powerSign = exponent < 0 ? "-" : "+";
    return `${sign}${digits.charAt(0)}.${fraction}e${powerSign}${power}`;
  });
}

/** `-` for a negative zero too, as in numpy. */
function signOf(value: number, positive = ""): string {
  return value < 0 || Object.is(value, -0) ? "-" : positive;
}

/** The magnitude d.ddd… times ten to the `exponent`, without trailing zeros. */
interface Decimal {
  readonly digits: string;
  readonly exponent: number;
}

/**
 * All digits of a magnitude, or the first 101. Those are as good as all: no float
 * comes that near to a point where rounding changes without lying on it.
 */
function exactDecimal(value: number): Decimal {
  const text = Math.abs(value).toExponential(100);
  const e = text.indexOf("e");
  return {
    digits: withoutZeros(text.slice(0, e).replace(".", "")),
    exponent: Number(text.slice(e + 1)),
  };
}

/**
 * The fewest digits, from `least` to `most`, that read back as the same element. If
 * none do, the nearest decimal of `most` digits.
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
    // Below a power of two floats lie twice as dense as above it, so the decimal
    // that reads back may be the farther one, on the upper side.
    if (round(numberOf(other)) === value) return other;
    if (count === most) return nearest;
  }
}

/**
 * The decimals of `count` digits on both sides of a magnitude, the nearer first. If
 * both are as near, the one whose last digit is even comes first.
 */
function roundedBothWays(
  { digits, exponent }: Decimal,
  count: number,
): [nearest: Decimal, other: Decimal] {
  const kept = digits.slice(0, count);
  const rest = digits.slice(count);
  const below = { digits: withoutZeros(kept), exponent };
  const next = String(BigInt(kept) + 1n);
  // 999 becomes 1000: one digit more, and one power of ten more.
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
