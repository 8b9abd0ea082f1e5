/**
 * The registry: file ranges in order, none of which overlap.
 *
 * It is a B+ tree. A leaf holds up to 64 extents. An inner node holds up to 64
 * children and a separator for each: an extent that nothing in the child precedes.
 * A million extents make four levels, and no operation moves more than a few
 * nodes' worth of pointers.
 *
 * | operation | cost |
 * |---|---|
 * | `add`, `remove`, `find` | O(log n) |
 * | `size` | O(1) |
 * | iteration, `toArray`, `rebuild` | O(n) |
 *
 * Each operation is done as a whole or not at all, even where the stack ends: what
 * changes one node is one loop without a call, and what changes several asks for room
 * on the stack before the first of them.
 *
 * Must not know of memory or files: the tests use plain objects.
 *
 * @module
 */

import { checkStack } from "./stack.ts";

/**
 * A half-open range of file offsets, in bytes. An extent must not move while it is
 * registered, except on the way to {@linkcode Registry.rebuild}.
 */
export interface Extent {
  begin: number;
  end: number;
  /** Written by the registry: extents at equal offsets stay in the order of arrival. */
  order: number;
}

interface Leaf<E> {
  readonly children: null;
  /** The extents, in order. */
  readonly keys: E[];
  /**
   * `keys[i].begin`, copied. Almost every comparison is decided here, in consecutive
   * memory. Reading the begins from the extents themselves would be a cache miss each.
   */
  readonly begins: number[];
}

interface Inner<E> {
  readonly children: Node<E>[];
  /** `keys[i]` comes after no extent in `children[i]`. It may be one that was removed. */
  readonly keys: E[];
  readonly begins: number[];
}

type Node<E> = Leaf<E> | Inner<E>;

/** Where an extent belongs, and the neighbours that it would have there. */
interface Place<E> {
  readonly leaf: Leaf<E>;
  readonly at: number;
  readonly previous: E | undefined;
  readonly next: E | undefined;
}

/** Keys in a full node. */
const MAX_KEYS = 64;
/**
 * Adjacent siblings are joined when they hold no more than this together. Half of
 * a full node, so that the next few adds do not split it again.
 */
const MAX_JOINED = MAX_KEYS / 2;

/**
 * Negative if `a` comes before `b`. At one offset, empty extents (inserts) precede
 * the extent that has bytes there, since an insert at its begin goes in front of it.
 */
function compare(a: Extent, b: Extent): number {
  if (a.begin !== b.begin) return a.begin - b.begin;
  const aEmpty = a.end === a.begin;
  const bEmpty = b.end === b.begin;
  if (aEmpty !== bEmpty) return aEmpty ? -1 : 1;
  return a.order - b.order;
}

/** How many keys of `node` come before `extent` or compare equal to it. */
function upperBound<E extends Extent>(node: Node<E>, extent: Extent): number {
  const { begins, keys } = node;
  const { begin } = extent;
  let low = 0;
  let high = begins.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = begins[middle]!;
    if (at === begin ? compare(keys[middle]!, extent) <= 0 : at < begin) {
      low = middle + 1;
    } else high = middle;
  }
  return low;
}

/** Extents in file order, none of which overlap. */
export class Registry<E extends Extent> implements Iterable<E> {
  #root: Node<E> = { children: null, keys: [], begins: [] };
  #size = 0;
  #nextOrder = 0;

  /** How many extents are registered. */
  get size(): number {
    return this.#size;
  }

  /**
   * Registers `extent`. If it overlaps a registered extent, returns that extent and
   * changes nothing.
   *
   * Two extents overlap if they share a byte, or if one is empty and lies strictly
   * inside the other. Of several empty extents at one offset, the latest comes last.
   */
  add(extent: E): E | undefined {
    extent.order = this.#nextOrder;
    const { leaf, at, previous, next } = this.#locate(extent);
    if (previous !== undefined && previous.end > extent.begin) return previous;
    if (next !== undefined && next.begin < extent.end) return next;
    // The usual case: the leaf has room, and nothing above it is split.
    if (leaf.keys.length < MAX_KEYS) {
      if (at === 0) lowerSeparators(this.#root, extent);
      insertAt(leaf, at, extent);
      this.#nextOrder++;
      this.#size++;
      return undefined;
    }
    checkStack();
    const right = insert(this.#root, extent);
    if (right !== undefined) {
      const left = this.#root;
      this.#root = {
        children: [left, right],
        keys: [left.keys[0]!, right.keys[0]!],
        begins: [left.begins[0]!, right.begins[0]!],
      };
    }
    this.#nextOrder++;
    this.#size++;
    return undefined;
  }

  /** Removes a registered extent. The others keep their order. */
  remove(extent: E): void {
    // The usual case: the leaf stays, and neither sibling can be joined with it.
    let leaf = this.#root;
    let smallest = Infinity; // keys of the smaller sibling
    while (leaf.children !== null) {
      const i = Math.max(upperBound(leaf, extent) - 1, 0);
      const { children } = leaf;
      smallest = Math.min(
        i > 0 ? children[i - 1]!.keys.length : Infinity,
        i + 1 < children.length ? children[i + 1]!.keys.length : Infinity,
      );
      leaf = children[i]!;
    }
    const at = upperBound(leaf, extent) - 1;
    const left = leaf.keys.length - 1;
    const stays = leaf === this.#root ||
      (left > 0 && left + smallest > MAX_JOINED);
    if (stays && at >= 0 && leaf.keys[at] === extent) {
      removeAt(leaf, at);
      this.#size--;
      return;
    }
    checkStack();
    const { children } = this.#root;
    // Joins nothing, but is compiled now if it never ran, and not half-way.
    if (children !== null) join(this.#root as Inner<E>, children.length);
    if (!removeFrom(this.#root, extent)) {
      throw new Error(`Not registered: ${extent.begin} to ${extent.end}.`);
    }
    this.#size--;
    while (this.#root.children?.length === 1) {
      this.#root = this.#root.children[0]!;
    }
  }

  /** The first registered extent with exactly this range. */
  find(begin: number, end: number): E | undefined {
    // Every order is at least 0, so this probe sorts just before the first match.
    const found = this.#locate({ begin, end, order: -1 }).next;
    return found?.begin === begin && found.end === end ? found : undefined;
  }

  /** All extents, in file order. */
  *[Symbol.iterator](): IterableIterator<E> {
    for (const leaf of leaves(this.#root)) yield* leaf.keys;
  }

  /** All extents, in file order, in a new array. */
  toArray(): E[] {
    const all: E[] = [];
    for (const leaf of leaves(this.#root)) {
      for (const extent of leaf.keys) all.push(extent);
    }
    return all;
  }

  /** Replaces all extents by `extents`, which must be in order and must not overlap. */
  rebuild(extents: readonly E[]): void {
    extents.forEach((extent, i) => extent.order = i);
    let level: Node<E>[] = groups(extents).map((keys) => ({
      children: null,
      keys,
      begins: keys.map(({ begin }) => begin),
    }));
    while (level.length > 1) {
      level = groups(level).map((children) => ({
        children,
        keys: children.map((child) => child.keys[0]!),
        begins: children.map((child) => child.begins[0]!),
      }));
    }
    this.#root = level[0] ?? { children: null, keys: [], begins: [] };
    this.#nextOrder = extents.length;
    this.#size = extents.length;
  }

  /** Descends to the leaf, and looks into the siblings for a neighbour at its edges. */
  #locate(extent: Extent): Place<E> {
    let node = this.#root;
    let left: Node<E> | undefined;
    let right: Node<E> | undefined;
    while (node.children !== null) {
      const { children } = node;
      const i = Math.max(upperBound(node, extent) - 1, 0);
      // Never index with -1: engines look that up as a property name, which is slow.
      left = i > 0 ? children[i - 1] : lastChild(left);
      right = i + 1 < children.length ? children[i + 1] : firstChild(right);
      node = children[i]!;
    }
    const { keys } = node;
    const at = upperBound(node, extent);
    return {
      leaf: node,
      at,
      previous: at > 0 ? keys[at - 1] : left?.keys.at(-1),
      next: at < keys.length ? keys[at] : right?.keys[0],
    };
  }
}

/**
 * Lets the separators above the place of `extent` be no more than it. A separator that
 * is lower than it has to be does no harm, should the stack end half-way.
 */
function lowerSeparators<E extends Extent>(root: Node<E>, extent: E): void {
  for (let node = root; node.children !== null;) {
    const before = upperBound(node, extent);
    if (before === 0) {
      node.keys[0] = extent;
      node.begins[0] = extent.begin;
    }
    node = node.children[Math.max(before - 1, 0)]!;
  }
}

/** `splice(at, 0, …)` of both lists. No call comes between the two. */
function insertAt<E extends Extent>(
  { keys, begins }: Leaf<E>,
  at: number,
  extent: E,
): void {
  for (let i = keys.length; i > at; i--) {
    keys[i] = keys[i - 1]!;
    begins[i] = begins[i - 1]!;
  }
  keys[at] = extent;
  begins[at] = extent.begin;
}

/** `splice(at, 1)` of both lists. No call comes between the two. */
function removeAt<E>({ keys, begins }: Leaf<E>, at: number): void {
  const last = keys.length - 1;
  for (let i = at; i < last; i++) {
    keys[i] = keys[i + 1]!;
    begins[i] = begins[i + 1]!;
  }
  keys.length = last;
  begins.length = last;
}

function lastChild<E>(node: Node<E> | undefined): Node<E> | undefined {
  return node?.children?.at(-1);
}

function firstChild<E>(node: Node<E> | undefined): Node<E> | undefined {
  return node?.children?.[0];
}

/** Inserts into the subtree of `node`. If that splits `node`, returns its new right sibling. */
function insert<E extends Extent>(
  node: Node<E>,
  extent: E,
): Node<E> | undefined {
  if (node.children === null) {
    const at = upperBound(node, extent);
    insertAt(node, at, extent);
  } else {
    const before = upperBound(node, extent);
    if (before === 0) {
      node.keys[0] = extent;
      node.begins[0] = extent.begin;
    }
    const i = Math.max(before - 1, 0);
    const right = insert(node.children[i]!, extent);
    if (right !== undefined) {
      node.children.splice(i + 1, 0, right);
      node.keys.splice(i + 1, 0, right.keys[0]!);
      node.begins.splice(i + 1, 0, right.begins[0]!);
    }
  }
  if (node.keys.length <= MAX_KEYS) return undefined;
  const keys = node.keys.splice(MAX_KEYS / 2);
  const begins = node.begins.splice(MAX_KEYS / 2);
  return node.children === null
    ? { children: null, keys, begins }
    : { children: node.children.splice(MAX_KEYS / 2), keys, begins };
}

/** Removes from the subtree of `node`. Returns false if `extent` is not there. */
function removeFrom<E extends Extent>(node: Node<E>, extent: E): boolean {
  const i = upperBound(node, extent) - 1;
  if (i < 0) return false;
  if (node.children === null) {
    if (node.keys[i] !== extent) return false;
    removeAt(node, i);
    return true;
  }
  const child = node.children[i]!;
  if (!removeFrom(child, extent)) return false;
  // A removed extent may stay on as a key: it still separates its neighbours.
  if (child.keys.length === 0) {
    node.children.splice(i, 1);
    node.keys.splice(i, 1);
    node.begins.splice(i, 1);
  } else if (!join(node, i)) join(node, i - 1);
  return true;
}

/** Joins children `i` and `i + 1` of `node` if both are there and small. */
function join<E>(node: Inner<E>, i: number): boolean {
  const left = node.children[i];
  const right = node.children[i + 1];
  if (left === undefined || right === undefined) return false;
  if (left.keys.length + right.keys.length > MAX_JOINED) return false;
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

/** Splits into groups of three quarters of a node, which leaves room for later adds. */
function groups<T>(all: readonly T[]): T[][] {
  const size = MAX_KEYS * 3 / 4;
  const cut: T[][] = [];
  for (let i = 0; i < all.length; i += size) cut.push(all.slice(i, i + size));
  return cut;
}
