/**
 * A set of ranges that are half-open, apart from each other, and in order.
 *
 * Pure arithmetic: must not know what the numbers stand for.
 *
 * @module
 */

/** Half-open. */
export interface Range {
  readonly begin: number;
  readonly end: number;
}

/** Ranges that were added; those that overlap or touch are one. */
export class Ranges {
  readonly #ranges: Range[] = [];

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** Where the last one ends, or 0. */
  get end(): number {
    return this.#ranges.at(-1)?.end ?? 0;
  }

  /** Adds one that is not empty: O(log n) if it is there already. */
  add({ begin, end }: Range): void {
    const ranges = this.#ranges;
    // The first that ends at `begin` or later.
    let first = 0;
    for (let high = ranges.length; first < high;) {
      const middle = (first + high) >> 1;
      if (ranges[middle]!.end < begin) first = middle + 1;
      else high = middle;
    }
    let after = first;
    while (after < ranges.length && ranges[after]!.begin <= end) after++;
    const joined = first === after ? { begin, end } : {
      begin: Math.min(begin, ranges[first]!.begin),
      end: Math.max(end, ranges[after - 1]!.end),
    };
    ranges.splice(first, after - first, joined);
  }

  [Symbol.iterator](): IterableIterator<Range> {
    return this.#ranges.values();
  }
}
