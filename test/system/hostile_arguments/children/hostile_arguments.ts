/**
 * Calls every public method with arguments that run code of their own during the call,
 * lie about themselves, or change. Checks the map after each call. Run by
 * `hostile_arguments_test.ts`; prints one line for each method.
 *
 * Methods are found by reflection. USUAL has the arguments of a harmless call of each. A
 * method that is missing there ends the run.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import {
  close,
  Memmap,
  MemmapArray,
  MemmapRecords,
  MemmapSlice,
  MemmapStrings,
  open,
} from "../../../../mod.ts";
import { givenArguments, ourShare } from "../../../support/support.ts";

const [folder] = givenArguments("folder");
process.chdir(folder); // some arguments are paths, and some of those make files
const path = join(folder, "hostile.dat");
const PART = 4096;
const [LEFT, RIGHT] = [0x11, 0x33];

/** A map of three slices. No call may change the outer two. */
interface World {
  readonly map: Memmap;
  readonly left: MemmapSlice;
  readonly slice: MemmapSlice;
  readonly right: MemmapSlice;
  readonly array: MemmapArray;
  readonly strings: MemmapStrings;
  readonly records: MemmapRecords;
  readonly cursor: object;
  /** Views taken before the call. */
  readonly views: Uint8Array[];
}

/** Fields of every kind, with padding between them. */
const FIELDS = [
  ["id", ">u2"],
  ["", "|V3"],
  ["price", "<f8"],
  ["name", "S5"],
  ["point", [["x", ">f4"], ["y", "<i8"]]],
  ["list", "<i2", [2, 2]],
  ["z", "<c8"],
] as const;

function makeWorld(): World {
  const content = new Uint8Array(3 * PART).fill(LEFT, 0, PART);
  content.fill(RIGHT, 2 * PART);
  fs.writeFileSync(path, content);
  const map = open(path, "r+");
  const left = map.slice(0, PART);
  const slice = map.slice(PART, 2 * PART);
  const right = map.slice(2 * PART);
  const array = slice.array("int32", { shape: [16, 16] });
  const strings = slice.strings("S8", { shape: [16, 16], byteOffset: 5 });
  const records = slice.records(FIELDS, { shape: [8, 8], byteOffset: 3 });
  const cursor = records.cursor();
  const views = [left.bytes, slice.bytes, right.bytes];
  const arrays = { array, strings, records: records as MemmapRecords, cursor };
  return { map, left, slice, right, ...arrays, views };
}

// The usual arguments of each method

type Arguments = readonly unknown[];

const USUAL_OF_MAPS: Record<PropertyKey, (world: World) => Arguments> = {
  slice: () => [PART, PART],
  insert: () => [2 * PART, new Uint8Array([1, 2, 3])],
  append: () => [new Uint8Array([1, 2, 3])],
  delete: ({ slice }) => [slice],
  find: () => ["ab", PART, 2 * PART],
  rfind: () => ["ab", PART, 2 * PART],
  read: () => [PART, PART + 16],
  write: () => [new Uint8Array([1, 2, 3]), PART],
  move: () => [PART, PART + 16, 16],
  modified: () => [PART, 2 * PART],
  revert: () => [PART, 2 * PART],
  layout: () => [],
  advise: () => ["normal", PART, 2 * PART],
  flush: () => [{ strategy: "replace", durable: false, onProgress() {} }],
  flushAsync: () => [{
    strategy: "replace",
    durable: false,
    onProgress() {},
    signal: new AbortController().signal,
  }],
  sync: () => [PART, PART + 16],
  refresh: () => [],
  residency: () => [PART, 2 * PART],
  syncAsync: () => [PART, PART + 16],
  lock: () => [{ shared: true, signal: new AbortController().signal }],
  load: () => [PART, 2 * PART, {
    signal: new AbortController().signal,
    onProgress() {},
  }],
  close: () => [{ discard: true }],
  closeAsync: () => [{ discard: true, durable: false }],
  [Symbol.asyncDispose]: () => [],
  toString: () => [],
  [Symbol.dispose]: () => [],
};

const USUAL_OF_SLICES: Record<PropertyKey, (world: World) => Arguments> = {
  set: () => [new Uint8Array([1, 2, 3]), 5],
  fill: () => [7, 5, 50],
  slice: () => [5, 50],
  find: () => [new Uint8Array([1, 2]), 0, 50],
  rfind: () => [new Uint8Array([1, 2]), 0, 50],
  array: () => ["int16", {
    shape: [4, 4],
    byteOrder: "big",
    byteOffset: 300,
    strides: [-20, 3],
  }],
  strings: () => ["S8", {
    shape: [4, 4],
    byteOffset: 300,
    strides: [-40, 9],
    encoding: "latin1",
    padding: "space",
  }],
  records: () => [FIELDS, {
    ...{ shape: 4, byteOffset: 300, strides: [-50], itemSize: 60 },
    ...{ offsets: [0, 4, 12, 20, 32, 40], align: false, byteOrder: "big" },
    ...{ encoding: "latin1", padding: "space" },
  }],
  resize: () => [PART + 100],
  splice: () => [10, 5, new Uint8Array([1, 2, 3])],
  sync: () => [],
  delete: () => [],
  toString: () => [],
  [Symbol.dispose]: () => [],
};

const USUAL_OF_ARRAYS: Record<PropertyKey, (world: World) => Arguments> = {
  get: () => [3, 4],
  set: () => [3, 4, 5],
  fill: () => [9],
  apply: () => [(x: number) => x + 1],
  toTypedArray: () => [1, 9],
  copyTo: () => [new Int32Array(8), 1, 9],
  copyFrom: () => [new Int32Array(8), 3],
  subarray: () => [2, 5],
  pick: () => [2, null],
  lo: () => [1, 2],
  hi: () => [3, 4],
  step: () => [2, -1],
  transpose: () => [1, 0],
  reshape: () => [4, 64],
  resize: () => [[16, 17], { fill: 5 }],
  toString: () => [],
  [Symbol.iterator]: () => [],
};

const USUAL_OF_STRINGS: Record<PropertyKey, (world: World) => Arguments> = {
  get: () => [3, 4],
  set: () => [3, 4, "text"],
  fill: () => ["text"],
  apply: () => [(x: string) => x + "!"],
  toArray: () => [1, 9],
  copyFrom: () => [["a", "b", "c"], 3],
  resize: () => [[16, 17], { fill: "x" }],
  toString: () => [],
  [Symbol.iterator]: () => [],
};

const ROW = {
  ...{ id: 1, price: 2.5, name: "abc", point: { x: 1, y: 2n } },
  ...{ list: [[1, 2], [3, 4]], z: [1, 2] },
};

const USUAL_OF_RECORDS: Record<PropertyKey, (world: World) => Arguments> = {
  get: () => [3, 4],
  set: () => [3, 4, ROW],
  field: () => ["price"],
  cursor: () => [],
  toArray: () => [1, 9],
  copyFrom: () => [[ROW, ROW], 3],
  resize: () => [[8, 9], { fill: ROW }],
  toString: () => [],
  [Symbol.iterator]: () => [],
};

/** Setters of a cursor. */
const USUAL_OF_CURSORS: Record<PropertyKey, (world: World) => Arguments> = {
  index: () => [5],
  ...Object.fromEntries(
    Object.entries(ROW).map(([name, value]) => [name, () => [value]]),
  ),
};

// Hostile arguments

/** What an argument does during a call. */
const ACTS: Record<string, (world: World) => void> = {
  flush: ({ map, slice }) => {
    if (slice.state === "mapped") slice.resize(PART + 1);
    map.flush({ durable: false });
  },
  "cut and flush": ({ map, slice }) => {
    slice.resize(0);
    map.flush({ durable: false });
  },
  close: ({ map }) => map.close({ discard: true }),
  delete: ({ slice }) => slice.delete(),
  shrink: ({ slice }) => slice.resize(1),
  grow: ({ slice }) => slice.resize(2 ** 21),
  throw: () => {
    throw new EvalError("thrown by an argument");
  },
};

/** Turns the usual argument into a hostile one, which calls `act` whenever it is read. */
type Hostile = (usual: unknown, act: () => void) => unknown;

const KEYS = ["buffer", "byteOffset", "byteLength", "length", "constructor"];

/** An object whose properties are getters that act, then tell the truth or lie. */
function withGetters(
  target: object,
  keys: readonly PropertyKey[],
  act: () => void,
  value: (key: PropertyKey) => unknown,
): object {
  for (const key of keys) {
    Object.defineProperty(target, key, {
      configurable: true,
      enumerable: true,
      get() {
        act();
        return value(key);
      },
    });
  }
  return target;
}

/** A proxy that acts on every trap. */
function proxied(target: object, act: () => void): object {
  const traps: ProxyHandler<object> = {};
  for (const name of Object.getOwnPropertyNames(Reflect)) {
    const trap = Reflect[name as keyof typeof Reflect] as (
      ...args: unknown[]
    ) => unknown;
    if (typeof trap !== "function") continue;
    Object.assign(traps, {
      [name]: (...args: unknown[]) => {
        act();
        return trap(...args);
      },
    });
  }
  return new Proxy(target, traps);
}

function asObject(usual: unknown): object {
  return typeof usual === "object" && usual !== null ? usual : Object(usual);
}

const RUNNING: Record<string, Hostile> = {
  "converted": (usual, act) => {
    const convert = () => {
      act();
      return usual;
    };
    return {
      valueOf: convert,
      toString: convert,
      [Symbol.toPrimitive]: convert,
    };
  },
  "a proxy": (usual, act) => proxied(asObject(usual), act),
  "a proxy of an array": (_, act) => proxied([1, 2, 3], act),
  "a proxy of a function": (_, act) => proxied(() => 1, act),
  "an array of getters": (_, act) =>
    withGetters([], [0, 1, 2], act, (key) => Number(key)),
  "a lying array-like": (_, act) => {
    let asked = 0;
    return withGetters(
      {},
      ["length", 0, 1, 2, Symbol.iterator, Symbol.toStringTag],
      act,
      (key) => key === "length" ? (asked++ === 0 ? 3 : 2 ** 30) : 1,
    );
  },
  "a view of getters": (_, act) =>
    withGetters(
      new Uint8Array([1, 2, 3]),
      KEYS,
      act,
      (key) => key === "buffer" ? new ArrayBuffer(2 ** 16) : 2 ** 28,
    ),
  "an Int32Array of getters": (_, act) =>
    withGetters(
      new Int32Array(8),
      [...KEYS, Symbol.toStringTag, Symbol.iterator],
      act,
      (key) => key === Symbol.toStringTag ? "Uint8Array" : 2 ** 28,
    ),
  "a subclass": (_, act) => {
    class Lying extends Uint8Array {
      static get [Symbol.species](): Uint8ArrayConstructor {
        act();
        return class extends Uint8Array {} as unknown as Uint8ArrayConstructor;
      }
    }
    const keys = [...KEYS, "slice", "subarray", "set", Symbol.toStringTag];
    withGetters(
      Lying.prototype,
      keys,
      act,
      (key) => key === "constructor" ? Lying : 2 ** 28,
    );
    return new Lying(8);
  },
  "a buffer of getters": (_, act) =>
    withGetters(
      new ArrayBuffer(8),
      ["byteLength", "slice", "transfer", "detached", "constructor"],
      act,
      () => 2 ** 28,
    ),
  "options of getters": (usual, act) => {
    const options = asObject(usual);
    return withGetters(
      {},
      Object.keys(options),
      act,
      (key) => Reflect.get(options, key),
    );
  },
  "options of objects": (usual, act) =>
    Object.fromEntries(
      Object.entries(asObject(usual)).map(([key, value]) => [
        key,
        typeof value === "function"
          ? (...args: unknown[]) => (act(), value(...args))
          : RUNNING["converted"]!(value, act),
      ]),
    ),
  "a function": (_, act) => () => {
    act();
    return 1;
  },
};

const STILL: Record<string, (usual: unknown, world: World) => unknown> = {
  undefined: () => undefined,
  null: () => null,
  NaN: () => NaN,
  "-1": () => -1,
  "0.5": () => 0.5,
  "2^53": () => 2 ** 53,
  "2^40": () => 2 ** 40,
  "1e308": () => 1e308,
  bigint: () => 1n,
  text: () => "abc",
  "a NUL": () => "\0",
  symbol: () => Symbol("s"),
  true: () => true,
  "no prototype": () => Object.create(null),
  "a revoked proxy": () => {
    const { proxy, revoke } = Proxy.revocable([], {});
    revoke();
    return proxy;
  },
  "a prototype": () => Uint8Array.prototype,
  "another prototype": () => MemmapSlice.prototype,
  "a stale view": () => {
    const view = new Uint8Array(8);
    structuredClone(view.buffer, { transfer: [view.buffer] });
    return view;
  },
  "a view that its buffer left": () => {
    const buffer = new ArrayBuffer(16, { maxByteLength: 16 });
    const view = new Uint8Array(buffer, 8);
    buffer.resize(4);
    return view;
  },
  "a growable buffer": () =>
    new SharedArrayBuffer(16, { maxByteLength: 2 ** 20 }),
  "its own bytes": (_, { slice }) =>
    slice.state === "deleted" ? 0 : slice.bytes,
  "its own array": (_, { array }) => array,
  "its own map": (_, { map }) => map,
  "its neighbour": (_, { left }) => left,
};

// The checks afterwards

function check({ map, left, right, views }: World): void {
  for (const view of views) {
    // Reading must be safe, whatever happened.
    assert.ok(view.length === 0 || view[0]! + view.at(-1)! >= 0);
  }
  if (map.closed) return;
  const layout = map.layout();
  let [begin, offset] = [0, 0];
  for (const entry of layout) {
    assert.equal(entry.begin, begin);
    assert.equal(entry.offset, offset);
    begin = entry.end;
    offset += entry.length;
    if (entry.slice === null) continue;
    assert.equal(entry.slice.length, entry.length);
    // In Bun, larger slices have no view.
    if (entry.length < 2 ** 32) {
      assert.equal(entry.slice.bytes.length, entry.length);
    }
    assert.equal(entry.slice.state, entry.state);
  }
  assert.equal(begin, map.mappedLength);
  assert.equal(offset, map.length);
  assert.equal(fs.statSync(path).size, map.mappedLength);
  assert.equal(
    map.slices.length,
    layout.filter(({ slice }) => slice !== null).length,
  );
  for (const [slice, byte] of [[left, LEFT], [right, RIGHT]] as const) {
    if (slice.state === "deleted") continue;
    const { bytes } = slice;
    assert.equal(bytes.length, PART);
    assert.ok(bytes.every((value) => value === byte), "a neighbour's bytes");
  }
}

/** Asserts that the map still works: a flush makes the file what layout() says. */
function checkFlush(world: World): void {
  const { map } = world;
  if (map.closed) return;
  const { length } = map;
  if (length > 2 ** 26) return; // a legitimate edit that would fill the disk
  map.flush({ durable: false });
  assert.equal(fs.statSync(path).size, length);
  check(world);
}

// The calls

interface Target {
  readonly name: string;
  readonly prototype: object;
  readonly of: (world: World) => object;
  readonly usual: Record<PropertyKey, (world: World) => Arguments>;
}

const TARGETS: readonly Target[] = [
  {
    name: "MappedBytes",
    prototype: Object.getPrototypeOf(Memmap.prototype),
    of: ({ map }) => map,
    usual: USUAL_OF_MAPS,
  },
  {
    name: "Memmap",
    prototype: Memmap.prototype,
    of: ({ map }) => map,
    usual: USUAL_OF_MAPS,
  },
  {
    name: "MemmapSlice",
    prototype: MemmapSlice.prototype,
    of: ({ slice }) => slice,
    usual: USUAL_OF_SLICES,
  },
  {
    name: "NDArray",
    prototype: Object.getPrototypeOf(MemmapArray.prototype),
    of: ({ array }) => array,
    usual: USUAL_OF_ARRAYS,
  },
  {
    name: "MemmapArray",
    prototype: MemmapArray.prototype,
    of: ({ array }) => array,
    usual: USUAL_OF_ARRAYS,
  },
  {
    name: "MemmapStrings",
    prototype: MemmapStrings.prototype,
    of: ({ strings }) => strings,
    usual: USUAL_OF_STRINGS,
  },
  {
    name: "MemmapRecords",
    prototype: MemmapRecords.prototype,
    of: ({ records }) => records,
    usual: USUAL_OF_RECORDS,
  },
  {
    name: "Cursor",
    prototype: Object.getPrototypeOf(makeWorld().cursor),
    of: ({ cursor }) => cursor,
    usual: USUAL_OF_CURSORS,
  },
];

/** Methods that REPLs call. */
const CUSTOM_INSPECT: readonly PropertyKey[] = [
  Symbol.for("nodejs.util.inspect.custom"),
  Symbol.for("Deno.customInspect"),
];

const tallies = new Map<string, Map<string, number>>();

/** Makes one call, then checks everything, at once and when its promise is settled. */
async function attempt(
  label: string,
  kind: string,
  call: (
    world: World,
    once: (act: (world: World) => void) => () => void,
  ) => unknown,
): Promise<void> {
  const world = makeWorld();
  let isActing = false;
  const once = (act: (world: World) => void) => () => {
    if (isActing) return; // the act itself may read the argument
    isActing = true;
    act(world);
  };
  let end = "returned";
  try {
    const result = call(world, once);
    if (result instanceof Promise) await result;
  } catch (error) {
    end = (error as Error).name;
  }
  const tally = tallies.get(label) ?? new Map<string, number>();
  tallies.set(label, tally.set(end, (tally.get(end) ?? 0) + 1));
  try {
    check(world);
    checkFlush(world);
  } catch (error) {
    console.error(`after ${label} with ${kind}, which ended with ${end}`);
    throw error;
  } finally {
    world.map.close({ discard: true });
  }
}

/** Makes all hostile calls of a function whose usual arguments are `usual`. */
async function attack(
  label: string,
  usual: (world: World) => Arguments,
  call: (world: World, args: Arguments) => unknown,
): Promise<void> {
  await attempt(label, "usual arguments", (world) => call(world, usual(world)));
  const { length } = usual(makeWorldOnce());
  for (let at = 0; at <= length; at++) {
    for (const [kind, make] of Object.entries(STILL)) {
      // It would repeat its elements until memory is full, as requested.
      const repeats = /^Memmap(Array|Strings|Records)\.resize$/.test(label);
      if (repeats && kind === "2^40") continue;
      await attempt(label, `${kind} at ${at}`, (world) => {
        const args = [...usual(world)];
        args[at] = make(args[at], world);
        return call(world, args);
      });
    }
    if (at === length) break;
    for (const [kind, make] of Object.entries(RUNNING)) {
      for (const [act, run] of ourShare(Object.entries(ACTS))) {
        // It writes to where the neighbour is then, as it was asked to.
        if (label === "MappedBytes.write" && act === "cut and flush") continue;
        await attempt(
          label,
          `${kind} at ${at} that does "${act}"`,
          (world, once) => {
            const args = [...usual(world)];
            args[at] = make(args[at], once(run));
            return call(world, args);
          },
        );
      }
    }
  }
}

/** Lets go of a lock, which keeps out the flush that comes next. */
async function free(lock: unknown): Promise<void> {
  (await lock as Disposable)[Symbol.dispose]();
}

let spare: World | undefined;
function makeWorldOnce(): World {
  return spare ??= makeWorld();
}

for (const { name, prototype, of, usual } of TARGETS) {
  for (const key of Reflect.ownKeys(prototype)) {
    if (key === "constructor" || CUSTOM_INSPECT.includes(key)) continue;
    const { value, get, set } = Object.getOwnPropertyDescriptor(
      prototype,
      key,
    )!;
    const label = `${name}.${String(key)}`;
    if (get !== undefined) {
      // Whenever it is read, it answers or throws.
      for (const object of [{}, prototype, proxied({}, () => {})]) {
        assert.throws(() => Reflect.apply(get, object, []), TypeError, label);
      }
      await attempt(
        label,
        "nothing",
        (world) => Reflect.apply(get, of(world), []),
      );
      if (set !== undefined) {
        await attack(
          `${label}=`,
          usual[key]!,
          (world, args) => Reflect.apply(set, of(world), args),
        );
      }
      continue;
    }
    const args = usual[key];
    assert.ok(
      args !== undefined,
      `no test here calls ${label}: add it to USUAL`,
    );
    for (const object of [{}, prototype, proxied({}, () => {})]) {
      // Some throw, and some reject.
      await assert.rejects(
        async () => await Reflect.apply(value, object, args(makeWorldOnce())),
        TypeError,
        label,
      );
    }
    await attack(label, args, (world, args) => {
      const result: Iterable<unknown> = Reflect.apply(value, of(world), args);
      if (key === "lock") return free(result);
      return key === Symbol.iterator ? [...result] : result;
    });
  }
}

const other = join(folder, "other.dat");
fs.writeFileSync(other, new Uint8Array(PART));
await attack(
  "open",
  () => [other, "r+", { length: PART, guard: true, create: true }],
  (_, args) => Reflect.apply(open, undefined, args).close({ discard: true }),
);
await attack(
  "close",
  ({ map }) => [map],
  (_, args) => Reflect.apply(close, undefined, args),
);

// Objects with properties that the user defined. The library must ask the engine instead.
{
  const world = makeWorld();
  const { buffer } = world.slice;
  for (const key of ["transfer", "detached", "byteLength"]) {
    Object.defineProperty(buffer, key, { value: () => buffer });
  }
  const [view] = [new Uint8Array(buffer)];
  Object.defineProperty(world.slice, "delete", { value: () => {} });
  world.map.delete(world.slice);
  assert.equal(view.length, 0);
  check(world);
  world.map.close({ discard: true });
}

// Prototypes patched after the import.
{
  const world = makeWorld();
  const { buffer } = ArrayBuffer.prototype as unknown as { buffer: unknown };
  assert.equal(buffer, undefined);
  const patched: [object, PropertyKey, PropertyDescriptor][] = [];
  const patch = (on: object, key: PropertyKey, by: PropertyDescriptor) => {
    patched.push([on, key, Object.getOwnPropertyDescriptor(on, key)!]);
    Object.defineProperty(on, key, { ...by, configurable: true });
  };
  const Typed = Object.getPrototypeOf(Uint8Array);
  patch(ArrayBuffer.prototype, "transfer", { value: () => new ArrayBuffer(0) });
  patch(ArrayBuffer.prototype, "detached", { get: () => true });
  patch(Typed, Symbol.species, { get: () => Float64Array });
  patch(Typed.prototype, "set", { value: () => {} });
  patch(Typed.prototype, "slice", { value: () => new Uint8Array(2 ** 20) });
  const before = world.slice.bytes;
  try {
    world.slice.set(new Uint8Array([1, 2, 3]));
    world.slice.splice(1, 1, new Uint8Array([8, 9]));
  } finally {
    for (const [on, key, by] of patched) Object.defineProperty(on, key, by);
  }
  assert.equal(before.length, 0);
  assert.deepEqual([...world.slice.bytes.subarray(0, 4)], [1, 8, 9, 3]);
  check(world);
  checkFlush(world);
  world.map.close({ discard: true });
}

for (const [label, tally] of tallies) {
  const ends = [...tally].map(([end, count]) => `${end} ${count}`);
  console.log(`${label}: ${ends.join(", ")}`);
}
console.log("done");
