/**
 * Ordered file ranges that never overlap.
 *
 * A B+ tree: leaves hold up to 64 extents, inner nodes up to 64 children and,
 * for each, an extent that none in the child comes before. A million extents are
 * four levels, and no operation moves more than a few nodes' worth of pointers.
 *
 * | operation | cost |
 * |---|---|
 * | `add`, `remove`, `find`, `before` | O(log n) |
 * | `size` | O(1) |
 * | iteration, `rebuild` | O(n) |
 *
 * Knows nothing of memory or files; it can be tested with plain objects.
 *
 * @module
 */

/** A half-open range of file offsets, in bytes. The registry alone writes these. */
export interface Extent {
  begin: number;
  end: number;
  /** Keeps extents at equal offsets in the order in which they came. */
  order: number;
}

interface Leaf<E> {
  readonly children: null;
  /** The extents, in order. */
  readonly keys: E[];
  /**
   * Where the keys begin. Almost every comparison ends here, in consecutive
   * memory: to look at a million extents themselves is one cache miss each.
   */
  readonly begins: number[];
}

interface Inner<E> {
  readonly children: Node<E>[];
  /** `keys[i]` does not come after any extent below `children[i]`. */
  readonly keys: E[];
  readonly begins: number[];
}

type Node<E> = Leaf<E> | Inner<E>;

/** Where an extent belongs, and which extents it would stand between. */
interface Place<E> {
  readonly leaf: Leaf<E>;
  readonly at: number;
  readonly previous: E | undefined;
  readonly next: E | undefined;
}

const MAX = 64;
/** Two neighbours are joined when together they hold no more than this. */
const JOIN = MAX / 2;

/**
 * Negative if `a` comes before `b`. At one offset, empty extents (inserts) come
 * before the extent that has bytes there: what was inserted at its begin stands
 * in front of it.
 */
function compare(a: Extent, b: Extent): number {
  if (a.begin !== b.begin) return a.begin - b.begin;
  const aEmpty = a.end === a.begin;
  const bEmpty = b.end === b.begin;
  if (aEmpty !== bEmpty) return aEmpty ? -1 : 1;
  return a.order - b.order;
}

/** The number of keys of `node` that do not come after `extent`. */
function rank<E extends Extent>(node: Node<E>, extent: Extent): number {
  const { begins, keys } = node;
  const { begin } = extent;
  let low = 0;
  let high = begins.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = begins[middle];
    if (at === begin ? compare(keys[middle], extent) <= 0 : at < begin) {
      low = middle + 1;
    } else high = middle;
  }
  return low;
}

/** Ordered, non-overlapping extents. */
export class Registry<E extends Extent> implements Iterable<E> {
  #root: Node<E> = { children: null, keys: [], begins: [] };
  #size = 0;
  #nextOrder = 0;

  /** How many extents are registered. */
  get size(): number {
    return this.#size;
  }

  /**
   * Registers `extent` behind all that come before it or were here first, or,
   * where it overlaps one, answers that one and changes nothing.
   *
   * Two extents overlap when they share a byte, or when one is empty and lies
   * strictly inside the other.
   */
  add(extent: E): E | undefined {
    extent.order = this.#nextOrder;
    const { leaf, at, previous, next } = this.#locate(extent);
    if (previous !== undefined && previous.end > extent.begin) return previous;
    if (next !== undefined && next.begin < extent.end) return next;
    this.#nextOrder++;
    this.#size++;
    // Mostly the leaf has room, and nothing above it changes.
    if (at > 0 && leaf.keys.length < MAX) {
      insertAt(leaf.keys, at, extent);
      insertAt(leaf.begins, at, extent.begin);
      return undefined;
    }
    const right = insert(this.#root, extent);
    if (right !== undefined) {
      const left = this.#root;
      this.#root = {
        children: [left, right],
        keys: [left.keys[0], right.keys[0]],
        begins: [left.begins[0], right.begins[0]],
      };
    }
    return undefined;
  }

  /** Removes a registered extent; others keep their order. */
  remove(extent: E): void {
    if (!removeFrom(this.#root, extent)) {
      throw new Error(`Not registered: ${extent.begin} to ${extent.end}.`);
    }
    this.#size--;
    while (this.#root.children?.length === 1) {
      this.#root = this.#root.children[0];
    }
  }

  /** The first registered extent with exactly this range. */
  find(begin: number, end: number): E | undefined {
    // Orders are 0 or more, so this comes just before the first match.
    const found = this.#locate({ begin, end, order: -1 }).next;
    return found?.begin === begin && found.end === end ? found : undefined;
  }

  /** All extents, in file order. */
  *[Symbol.iterator](): IterableIterator<E> {
    for (const leaf of leaves(this.#root)) yield* leaf.keys;
  }

  /** All extents, in file order, in an array of their own. */
  toArray(): E[] {
    const all: E[] = [];
    for (const leaf of leaves(this.#root)) {
      for (const extent of leaf.keys) all.push(extent);
    }
    return all;
  }

  /** Replaces everything by `extents`, which are in order and do not overlap. */
  rebuild(extents: readonly E[]): void {
    extents.forEach((extent, i) => extent.order = i);
    this.#nextOrder = extents.length;
    this.#size = extents.length;
    let level: Node<E>[] = pieces(extents).map((keys) => ({
      children: null,
      keys,
      begins: keys.map(({ begin }) => begin),
    }));
    while (level.length > 1) {
      level = pieces(level).map((children) => ({
        children,
        keys: children.map((child) => child.keys[0]),
        begins: children.map((child) => child.begins[0]),
      }));
    }
    this.#root = level[0] ?? { children: null, keys: [], begins: [] };
  }

  #locate(extent: Extent): Place<E> {
    let node = this.#root;
    let left: Node<E> | undefined;
    let right: Node<E> | undefined;
    while (node.children !== null) {
      const { children } = node;
      const i = Math.max(rank(node, extent) - 1, 0);
      // Never an index of -1: engines look that up as a name, and slowly.
      left = i > 0 ? children[i - 1] : lastChild(left);
      right = i + 1 < children.length ? children[i + 1] : firstChild(right);
      node = children[i];
    }
    const { keys } = node;
    const at = rank(node, extent);
    return {
      leaf: node,
      at,
      previous: at > 0 ? keys[at - 1] : left?.keys.at(-1),
      next: at < keys.length ? keys[at] : right?.keys[0],
    };
  }
}

/** `array.splice(at, 0, value)`, without the array of nothing that splice answers. */
function insertAt<T>(array: T[], at: number, value: T): void {
  for (let i = array.length; i > at; i--) array[i] = array[i - 1];
  array[at] = value;
}

function lastChild<E>(node: Node<E> | undefined): Node<E> | undefined {
  return node?.children?.at(-1);
}

function firstChild<E>(node: Node<E> | undefined): Node<E> | undefined {
  return node?.children?.[0];
}

/** Inserts below `node`; answers the new right-hand sibling if it was split. */
function insert<E extends Extent>(
  node: Node<E>,
  extent: E,
): Node<E> | undefined {
  if (node.children === null) {
    const i = rank(node, extent);
    node.keys.splice(i, 0, extent);
    node.begins.splice(i, 0, extent.begin);
  } else {
    const before = rank(node, extent);
    if (before === 0) {
      node.keys[0] = extent;
      node.begins[0] = extent.begin;
    }
    const i = Math.max(before - 1, 0);
    const right = insert(node.children[i], extent);
    if (right !== undefined) {
      node.children.splice(i + 1, 0, right);
      node.keys.splice(i + 1, 0, right.keys[0]);
      node.begins.splice(i + 1, 0, right.begins[0]);
    }
  }
  if (node.keys.length <= MAX) return undefined;
  const keys = node.keys.splice(MAX / 2);
  const begins = node.begins.splice(MAX / 2);
  return node.children === null
    ? { children: null, keys, begins }
    : { children: node.children.splice(MAX / 2), keys, begins };
}

/** Removes from below `node`; false if it is not there. */
function removeFrom<E extends Extent>(node: Node<E>, extent: E): boolean {
  const i = rank(node, extent) - 1;
  if (i < 0) return false;
  if (node.children === null) {
    if (node.keys[i] !== extent) return false;
    node.keys.splice(i, 1);
    node.begins.splice(i, 1);
    return true;
  }
  if (!removeFrom(node.children[i], extent)) return false;
  // The key of a removed extent may stay: it still separates what it separated.
  if (node.children[i].keys.length === 0) {
    node.children.splice(i, 1);
    node.keys.splice(i, 1);
    node.begins.splice(i, 1);
  } else if (!join(node, i)) join(node, i - 1);
  return true;
}

/** Joins children `i` and `i + 1` of `node` where both are small. */
function join<E>(node: Inner<E>, i: number): boolean {
  const left = node.children[i];
  const right = node.children[i + 1];
  if (left === undefined || right === undefined) return false;
  if (left.keys.length + right.keys.length > JOIN) return false;
  left.keys.push(...right.keys);
  left.begins.push(...right.begins);
  if (left.children !== null && right.children !== null) {
    left.children.push(...right.children);
  }
  node.children.splice(i + 1, 1);
  node.keys.splice(i + 1, 1);
  node.begins.splice(i + 1, 1);
  return true;
}

function* leaves<E>(node: Node<E>): IterableIterator<Leaf<E>> {
  if (node.children === null) yield node;
  else for (const child of node.children) yield* leaves(child);
}

/** Cuts into nodes three quarters full, so that the next inserts find room. */
function pieces<T>(all: readonly T[]): T[][] {
  const size = MAX * 3 / 4;
  const cut: T[][] = [];
  for (let i = 0; i < all.length; i += size) cut.push(all.slice(i, i + size));
  return cut;
}
