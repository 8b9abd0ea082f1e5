/**
 * An n-dimensional array as text: numpy's layout, with numarray's type at the end.
 *
 * The layout is that of numpy's `array_repr` with the default options of numpy 2.1.
 * (Later versions repeat the shape after an array that is not shown in full.) First
 * the elements to show are chosen and read, then they become words, then the words
 * are set in brackets and lines.
 *
 * Knows nothing of bytes, slices or element types: {@linkcode Printable} is all that
 * it sees of an array.
 *
 * @module
 */

import type { Words } from "./words.ts";

/** What printing needs to know of an array. */
export interface Printable {
  readonly shape: readonly number[];
  /** What comes before the elements: `array(`. */
  readonly prefix: string;
  /** What comes behind them, if anything does: `type=Int32`. */
  readonly suffix: string;
  /** Turns the elements that are shown into words of one width. */
  readonly words: Words;
  /**
   * The element at an n-d index, which must not be kept. Called only for the elements
   * that are shown.
   */
  readonly at: (index: readonly number[]) => Element;
}

type Element = Parameters<Words>[0][number];

/** The positions shown along an axis, in order. `null` stands for those left out. */
type Axis = readonly (number | null)[];

const LINE_WIDTH = 75;
/** An array of more elements leaves out the middle of its long axes. */
const THRESHOLD = 1000;
/** Positions shown at each end of an axis whose middle is left out. */
const EDGE = 3;

const SEPARATOR = ", ";
const ELLIPSIS = "...";

/**
 * The text of an array: `array([1, 1, 1, 1], type=Int32)`.
 *
 * Reads each element that is shown once, in row-major order: at most 1000, or 6
 * along each axis.
 */
export function printArray(array: Printable): string {
  const { shape, prefix, suffix } = array;
  const size = shape.reduce((product, length) => product * length, 1);
  if (size === 0) {
    return closed(`${prefix}[]`, emptySuffix(shape, suffix), prefix);
  }
  const axes = shape.map((length) => shownAlong(length, size > THRESHOLD));
  const words = array.words(shownElements(array, axes), shape.length);
  const text = bracketed(axes, words.values(), prefix.length);
  return closed(prefix + text, suffix, prefix);
}

/** numpy names the shape where brackets cannot show it, before the type. */
function emptySuffix(shape: readonly number[], suffix: string): string {
  if (shape.length === 1) return suffix;
  const named = `shape=(${shape.join(SEPARATOR)})`;
  return suffix === "" ? named : `${named}, ${suffix}`;
}

/** Puts the type after the text, on a line of its own if the last line is full. */
function closed(text: string, suffix: string, prefix: string): string {
  if (suffix === "") return `${text})`;
  const lastLine = text.slice(text.lastIndexOf("\n") + 1);
  const fits = `${lastLine}, ${suffix})`.length <= LINE_WIDTH;
  return `${text},${fits ? " " : lineBreak(prefix.length)}${suffix})`;
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

/** The elements that are shown, in row-major order. */
function shownElements(array: Printable, axes: readonly Axis[]): Element[] {
  const elements: Element[] = [];
  const index: number[] = []; // one for all: there may be as many axes as elements
  const visit = (depth: number) => {
    const axis = axes[depth];
    if (axis === undefined) {
      elements.push(array.at(index));
      return;
    }
    for (const position of axis) {
      if (position === null) continue;
      index[depth] = position;
      visit(depth + 1);
    }
  };
  visit(0);
  return elements;
}

// From words to brackets and lines

/**
 * The next words of `words`, nested as the axes from `depth` on. The first line
 * starts at column `indent`, where the text before it ends.
 */
function bracketed(
  axes: readonly Axis[],
  words: Iterator<string>,
  indent: number,
  depth = 0,
): string {
  const axis = axes[depth];
  if (axis === undefined) return words.next().value!;
  const inside = indent + 1; // after the bracket
  const parts = axis.map((position) =>
    position === null ? ELLIPSIS : bracketed(axes, words, inside, depth + 1)
  );
  const inner = axes.length - depth - 1;
  if (inner === 0) return `[${filled(parts, inside, axes.length)}]`;
  // One more line break for each dimension: rows, then blank lines between tables.
  return `[${parts.join("," + lineBreak(inside, inner))}]`;
}

/**
 * Fills lines with the words of a row. Every line leaves room for what may end the
 * last one: the `brackets` that close, and a comma or parenthesis.
 */
function filled(
  words: readonly string[],
  indent: number,
  brackets: number,
): string {
  const room = LINE_WIDTH - brackets - 1;
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of words) {
    const longer = line === undefined ? word : line + SEPARATOR + word;
    if (line === undefined || indent + longer.length <= room) {
      line = longer;
    } else {
      lines.push(line + ",");
      line = word;
    }
  }
  lines.push(line ?? "");
  return lines.join(lineBreak(indent));
}
