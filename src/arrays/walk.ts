/**
 * Loops over the elements of any array, one by one: slower than those of the types
 * that `elements.generated.ts` has, for elements that have to be made anyway.
 *
 * @module
 */

import type { Apply, Walked, WalkedLines } from "./elements.generated.ts";

/**
 * The elements of `lines`, each as it is when its turn comes. The first is at byte
 * `first`. Allocates nothing but the element.
 */
export function walk<E>(
  walked: Walked,
  lines: WalkedLines,
  first: number,
): IteratorObject<E, undefined> {
  const made: unknown = new Walk(walked, lines, first);
  return made as IteratorObject<E, undefined>;
}

/** Returns the same object each time, which every loop of the language reads at once. */
class Walk {
  readonly #walked: Walked;
  readonly #lines: WalkedLines;
  readonly #first: number;
  readonly #result: { done: boolean; value: unknown };
  #at = 0;
  #left = 0;

  static {
    // What all iterators have; see elements.generated.ts.
    const arrayIterator = Object.getPrototypeOf([][Symbol.iterator]());
    Object.setPrototypeOf(
      Walk.prototype,
      Object.getPrototypeOf(arrayIterator),
    );
  }

  constructor(walked: Walked, lines: WalkedLines, first: number) {
    this.#walked = walked;
    this.#lines = lines;
    this.#first = first;
    this.#result = { done: false, value: undefined };
  }

  next(): { done: boolean; value: unknown } {
    const result = this.#result;
    if (this.#left === 0 && !this.#nextLine()) {
      return { done: true, value: undefined };
    }
    const at = this.#at;
    this.#at = at + this.#lines.stride;
    this.#left--;
    result.value = this.#walked.read(at);
    return result;
  }

  #nextLine(): boolean {
    if (!this.#lines.next()) return false;
    this.#at = this.#first + this.#lines.at;
    this.#left = this.#lines.count;
    return true;
  }
}

/** `apply` for elements that `read` reads. */
export function applyWith(
  read: (view: DataView, at: number, isLittle: boolean) => unknown,
): Apply {
  return (view, at, stride, count, isLittle, faults, flat, f, write) => {
    for (let done = 0; done < count; done++) {
      let value: unknown;
      try {
        value = read(view, at + done * stride, isLittle);
      } catch {
        return done; // the bytes have moved
      }
      if (faults[0] !== 0) return done;
      write(at + done * stride, f(value, flat + done));
    }
    return count;
  };
}
