/**
 * The iterator of an array: from line to line, from element to element.
 *
 * Sees an array as memory whose elements have a flat position. Allocates nothing
 * for an element.
 *
 * @module
 */

import type { Lines } from "../geometry/mod.ts";

/** The elements of memory, in the order in which they lie there. */
interface Flat<E> {
  get(at: number): E;
}

/**
 * A hidden class of its own, since the properties come in another order: results
 * with numbers keep unboxed doubles.
 */
const END: IteratorReturnResult<undefined> = Object.freeze({
  value: undefined,
  done: true,
});

/**
 * The elements of `lines`, each as it is when its turn comes. `placeholder` is of
 * their representation; see {@linkcode Codec.placeholder}.
 */
export function walk<E>(
  flat: Flat<E>,
  lines: Lines,
  placeholder: unknown,
): IteratorObject<E, undefined> {
  const made: unknown = new Walk(flat, lines, placeholder as E);
  return made as IteratorObject<E, undefined>;
}

/**
 * Returns the same object each time, which every loop of the language reads at
 * once. V8 would allocate one for each element, and a box for the number in it.
 */
class Walk<E> {
  readonly #flat: Flat<E>;
  readonly #lines: Lines;
  readonly #result: { done: false; value: E };
  #at = 0;
  #left = 0;

  static {
    // What all iterators have: `[Symbol.iterator]`, and in newer runtimes `map` and
    // the like. Runtimes too old to open a file may have no `Iterator` to extend.
    const arrayIterator = Object.getPrototypeOf([][Symbol.iterator]());
    Object.setPrototypeOf(
      Walk.prototype,
      Object.getPrototypeOf(arrayIterator),
    );
  }

  constructor(flat: Flat<E>, lines: Lines, placeholder: E) {
    this.#flat = flat;
    this.#lines = lines;
    this.#result = { done: false, value: placeholder };
  }

  next(): IteratorResult<E, undefined> {
    if (this.#left === 0 && !this.#nextLine()) return END;
    const at = this.#at;
    this.#at = at + this.#lines.stride;
    this.#left--;
    this.#result.value = this.#flat.get(at);
    return this.#result;
  }

  #nextLine(): boolean {
    if (!this.#lines.next()) return false;
    this.#at = this.#lines.at;
    this.#left = this.#lines.count;
    return true;
  }
}
