/**
 * Runs a sequence of operations on the library and on the model. After each operation it
 * compares everything visible: bytes, lengths, states, layouts, views, errors, and the
 * files as `node:fs` reads them.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { libc } from "../../ffi/libc.ts";
import { journalPath } from "../../src/storage/journal/format.ts";
import {
  type FlushAsyncOptions,
  type FlushOptions,
  Memmap,
  type MemmapArray,
  type MemmapSlice,
  open,
  type Progress,
  type Strategy,
} from "../../mod.ts";
import {
  type Amount,
  type Bytes,
  type Command,
  type Content,
  NAMES,
  type Pattern,
  type ProgressKind,
  type Sequence,
} from "./commands.ts";
import {
  elementSize,
  ModelArray,
  type ModelType,
  someValue,
} from "./array_model.ts";
import {
  attempt,
  attemptLater,
  attemptModel,
  refuses,
  said,
  same,
  sameBytes,
  sameList,
  shown,
} from "./compare.ts";
import {
  joined,
  ModelFile,
  type ModelFlush,
  ModelFolder,
  ModelMap,
  type ModelSlice,
  type ModelView,
  Refusal,
} from "./model.ts";
import { atOnce, withLater } from "../support/later.ts";
import {
  descriptorsOf,
  fastFolder,
  mappingsOf,
  temporaryFolder,
} from "../support/support.ts";

/** An object of the library, and its counterpart in the model. */
interface Pair<M, R> {
  readonly model: M;
  readonly real: R;
  /** Its name in the list of steps. */
  readonly label: string;
}

type MapPair = Pair<ModelMap, Memmap>;
type SlicePair = Pair<ModelSlice, MemmapSlice>;
type ArrayPair = Pair<ModelArray, MemmapArray>;

interface HeldView {
  readonly model: ModelView;
  readonly slice: SlicePair;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
}

/** Memory moved out of the library's reach. */
interface StolenView {
  readonly buffer: ArrayBuffer;
  readonly slice: SlicePair;
  readonly wasFloating: boolean;
}

// How many of each are kept at once, and how many that can no longer be used.
const MOST_MAPS = 4;
const MOST_SLICES = 40;
const MOST_CARVED = 200;
const MOST_VIEWS = 12;
const MOST_ARRAYS = 6;
const MOST_STOLEN = 4;
/** Arrays of up to this many elements are compared as a whole. */
const MOST_ELEMENTS = 600;

const ABORTED = "The signal says so.";
const STOP = "onProgress has seen enough.";
const FAULT = "ERR_MEMMAP_FAULT";

/** Bytes that these numbers determine. Every fourth seed uses only a few values. */
function bytesOf({ bytes: length, seed }: Bytes): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = seed % 4 === 0 ? 97 + (state >>> 30) % 3 : state >>> 24;
  }
  return bytes;
}

function resolve(
  amount: Amount,
  length: number,
  edges: readonly number[],
  gaps: readonly (readonly [begin: number, end: number])[] = [],
): number {
  if (typeof amount === "number") return amount;
  if ("gap" in amount) {
    const [begin, end] = gaps[amount.gap % gaps.length] ?? [0, length];
    return begin + Math.round((end - begin) * amount.part / 1000);
  }
  if ("part" in amount) {
    const at = Math.round(length * amount.part / 1000);
    return amount.fromEnd ? at - length : at;
  }
  if ("edge" in amount) {
    return edges[amount.edge % edges.length]! + amount.plus;
  }
  const odd: unknown = {
    NaN: NaN,
    Infinity: Infinity,
    half: 0.5,
    text: "1",
    null: null,
  }[amount.odd];
  return odd as number;
}

/** An item of the list, in nine cases out of ten a usable one. */
function pick<T>(
  list: readonly T[],
  which: number,
  isUseful: (one: T) => boolean = () => true,
): T | undefined {
  const useful = which % 10 === 9 ? [] : list.filter(isUseful);
  const among = useful.length > 0 ? useful : list;
  return among[which % among.length];
}

/** The begin and end of a range. */
function inOrder(
  place: (amount: Amount) => number,
  range: { begin?: Amount; end?: Amount; turn?: boolean },
): readonly (number | undefined)[] {
  const [begin, end] = [range.begin, range.end].map((amount) =>
    amount === undefined ? undefined : place(amount)
  );
  const isTurned = range.turn && begin !== undefined && end !== undefined &&
    begin > end && end >= 0;
  return isTurned ? [end, begin] : [begin, end];
}

/** The folder, the maps of its files, and everything taken from them. */
class World {
  readonly #path: string;
  readonly #steps: string[] | undefined;
  readonly #folder: ModelFolder;
  #maps: MapPair[] = [];
  #slices: SlicePair[] = [];
  #arrays: ArrayPair[] = [];
  #views: HeldView[] = [];
  #stolen: StolenView[] = [];
  readonly #pairs = new WeakMap<ModelSlice, SlicePair>();
  /** A descriptor of every mapped file, which may have lost its name. */
  readonly #descriptors = new Map<ModelFile, number>();
  /** The map that is being flushed: nothing else is used meanwhile. */
  #only: MapPair | undefined;
  #made = { map: 0, slice: 0, array: 0, file: 0 };

  constructor(path: string, steps: string[] | undefined) {
    this.#path = path;
    this.#steps = steps;
    const { pageSize, guard } = libc();
    this.#folder = new ModelFolder(pageSize, guard !== null);
  }

  /** Does one operation, and compares; false if there was nothing to do it to. */
  async run(command: Command): Promise<boolean> {
    this.#steps?.push("");
    if (command.do === "flush async") return await this.#flushAsync(command);
    const isDone = this.#do(command);
    if (isDone) this.check();
    return isDone;
  }

  /** Closes everything, and checks that nothing is left behind. */
  end(): void {
    this.#steps?.push("");
    for (const map of this.#maps) {
      this.#both(map, "close", [{ discard: true }]);
    }
    this.check();
    this.#letGo();
    sameList(
      descriptorsOf(this.#path) ?? [],
      [],
      "open descriptors at the end",
    );
    sameList(mappingsOf(this.#path) ?? [], [], "mappings at the end");
  }

  /** Closes what a failure left open. */
  abandon(): void {
    for (const { real } of this.#maps) {
      try {
        real.close({ discard: true });
      } catch { /* The failure says more. */ }
    }
    this.#letGo();
  }

  #letGo(): void {
    for (const fd of this.#descriptors.values()) fs.closeSync(fd);
    this.#descriptors.clear();
  }

  #do(command: Command): boolean {
    if ("file" in command) return this.#doOnFile(command);
    if ("array" in command) return this.#doOnArray(command);
    if ("map" in command) return this.#doOnMap(command);
    if ("slice" in command) return this.#doOnSlice(command);
    return this.#doOnView(command);
  }

  /**
   * Flushes while the event loop goes on. After each step one of the operations is done,
   * to the map that is being flushed, as if nothing were.
   */
  async #flushAsync(
    command: Extract<Command, { do: "flush async" }>,
  ): Promise<boolean> {
    const map = pick(this.#maps, command.map, ({ model }) => !model.isClosed);
    if (map === undefined) return false;
    const { model, real, label } = map;
    if (model.isUnknown) return false;
    const { strategy, durable, progress, path: which } = command;
    const name = which === undefined ? undefined : NAMES[which];
    const calls: [done: number, total: number][] = [];
    const onProgress = this.#onProgress(map, progress, calls) as Progress;
    const controller = new AbortController();
    const { signal } = controller;
    const options: FlushAsyncOptions = { durable, signal };
    if (strategy !== undefined) options.strategy = strategy as Strategy;
    if (onProgress !== undefined) options.onProgress = onProgress;
    if (name !== undefined) options.path = join(this.#path, name);
    const planned = attemptModel(() =>
      model.planFlush({ ...options, path: name })
    );
    const plan = "value" in planned ? planned.value : undefined;
    if (plan !== undefined && this.#cutsOthers(map, plan)) return false;
    this.#note(`${label}.flushAsync(${shown(options)})`);
    if (plan === undefined) {
      // It may have begun, and then found that it cannot be done.
      for (const slice of model.slices) slice.dropViews("perhaps");
    }
    // Whether it counts is seen by what it changes; and nothing else may be going on.
    const isQuiet = plan !== undefined && plan.strategy !== "none" &&
      (plan.strategy !== "in-place" || plan.isCommit) && model.dirty &&
      !model.isStolen &&
      model.isFaulted === false && !model.isLost(0, model.mappedLength) &&
      (plan.strategy === "replace" || plan.isCommit ||
        // When the views go of an empty slice that moves, nobody has promised.
        (plan.content.length >= model.knownLength &&
          plan.pieces.every(({ state, begin, offset }) =>
            state === "floating" || begin === offset
          )));
    let step = 0;
    let failure: { error: unknown } | undefined;
    const turn = () => {
      if (step++ === command.abort) controller.abort(new Error(ABORTED));
      if (!isQuiet || failure !== undefined) return;
      try {
        this.#settleSaving(map);
        const next = command.meanwhile[step - 1];
        this.#only = map;
        if (next !== undefined && this.#do(next)) this.#note("// meanwhile");
        this.check();
      } catch (error) {
        failure = { error };
      } finally {
        this.#only = undefined;
      }
    };
    if (isQuiet) model.beginSaving(plan);
    const actual = await attemptLater(
      withLater(atOnce(turn), () => real.flushAsync(options)),
    );
    if (failure !== undefined) throw failure.error;
    if (isQuiet) this.#settleSaving(map);
    const hasCommitted = model.saving?.hasCommitted === true;
    if (isQuiet) model.endSaving();
    if ("failure" in actual) {
      const code = actual.failure.code ?? actual.failure.name;
      this.#note(`// rejects with ${said(actual)}`);
      const { message } = actual.error as Error;
      if (plan === undefined) {
        if (message === ABORTED) return true; // before it was found out
        const expected = attemptModel(() => {
          throw (planned as { error: unknown }).error;
        });
        assert.ok("failure" in expected);
        same(
          code,
          expected.failure.code ?? expected.failure.name,
          `what ${label}.flushAsync() rejects with`,
        );
      } else if (message === ABORTED) {
        same(
          command.abort !== undefined && step > command.abort,
          true,
          "aborted",
        );
        same(hasCommitted, false, "whether what was aborted counts");
        if (!isQuiet) model.abandonFlush(plan);
      } else {
        same(message, STOP, `what ${label}.flushAsync() rejects with`);
        if (plan.strategy === "in-place" && !plan.isCommit) {
          model.finishFlush(plan);
        } else if (!isQuiet) model.abandonFlush(plan);
        same(hasCommitted, false, "whether what was stopped counts");
      }
      if (!isQuiet || plan === undefined) {
        for (const slice of model.slices) slice.dropViews("perhaps");
      }
    } else {
      if (plan === undefined) {
        assert.fail(
          `${label}.flushAsync() should reject with ${said(planned)}`,
        );
      }
      const { strategy: done, bytesWritten } = actual.value;
      same(done, plan.strategy, `the strategy of ${label}.flushAsync()`);
      same(bytesWritten, plan.bytesWritten, "bytesWritten");
      if (isQuiet) same(hasCommitted, true, "whether it counts");
      else {
        model.finishFlush(plan);
        for (const slice of model.slices) slice.dropViews("perhaps");
      }
      const last = calls.at(-1)?.[0] ?? 0;
      const counts = progress === "counts" && !plan.isCommit;
      if (counts) same(last, bytesWritten, "the last progress");
    }
    this.check();
    return true;
  }

  /** Has the flush that is under way come to count since? */
  #settleSaving({ model, real }: MapPair): void {
    if (model.saving === null || model.saving.hasCommitted) return;
    // While an atomic map is appended to, what is written to it is pending all the same.
    const isPending = model.saving.plan.strategy === "extend"
      ? real.layout().some(({ state }) => state === "floating")
      : real.dirty;
    if (!isPending) model.commitSaving();
  }

  // Calls

  #note(step: string): void {
    if (this.#steps === undefined) return;
    const before = this.#steps.pop() ?? "";
    this.#steps.push(before === "" ? step : `${before}\n${step}`);
  }

  /**
   * Runs the same call on the library and the model, and returns both results, or
   * nothing if both threw the same error. The library comes first: if the model cannot
   * know whether a lost page was touched, it asks the library.
   */
  #compare<M, R>(
    step: string,
    model: () => M,
    real: () => R,
  ): readonly [model: M, real: R] | undefined {
    const actual = attempt(real);
    const expected = attemptModel(model);
    const isFailure = "failure" in expected;
    if (isFailure || "failure" in actual) {
      this.#note(`${step} // throws ${said(actual)}`);
      const isSame = isFailure && "failure" in actual &&
        actual.failure.name === expected.failure.name &&
        (expected.failure.code === undefined ||
          actual.failure.code === expected.failure.code);
      if (isSame) return undefined;
      assert.fail(
        `${step} throws ${said(actual)}, and should throw ${said(expected)}`,
      );
    }
    this.#note(step);
    return [expected.value, actual.value];
  }

  /** Calls a method of both. Their arguments differ only in the objects. */
  #both<M extends object, R extends object>(
    { model, real, label }: Pair<M, R>,
    method: string,
    args: readonly unknown[],
    modelArgs: readonly unknown[] = args,
  ): readonly [model: unknown, real: unknown] | undefined {
    type Methods = Record<string, (...args: readonly unknown[]) => unknown>;
    const step = this.#steps === undefined
      ? method
      : `${label}.${method}(${args.map(shown).join(", ")})`;
    return this.#compare(
      step,
      () => (model as Methods)[method]!(...modelArgs),
      () => (real as Methods)[method]!(...args),
    );
  }

  /** As {@linkcode #both}, for results that are plain values. */
  #answers<M extends object, R extends object>(
    pair: Pair<M, R>,
    method: string,
    args: readonly unknown[],
  ): true {
    const answers = this.#both(pair, method, args);
    if (answers !== undefined) {
      same(answers[1], answers[0], `${pair.label}.${method}()`);
    }
    return true;
  }

  // What operations name

  #edgesOf({ model }: MapPair): number[] {
    const edges = model.slices.flatMap(({ begin, end }) => [begin, end]);
    return [0, model.mappedLength, ...edges];
  }

  #onMap(map: MapPair, amount: Amount): number {
    const { model } = map;
    const gaps = model.isClosed ? [] : model.layout()
      .filter(({ state }) => state === "gap")
      .map(({ begin, end }) => [begin, end] as const);
    return resolve(amount, model.mappedLength, this.#edgesOf(map), gaps);
  }

  #onSlice({ model }: SlicePair, amount: Amount): number {
    const { begin, end, length } = model;
    return resolve(amount, length, [length, 0, end - begin]);
  }

  /** An argument for the library, and its counterpart for the model. */
  #content(
    content: Content,
    amount: (zeros: Amount) => number,
  ): readonly [real: unknown, model: unknown] {
    if ("wrong" in content) {
      const wrong = content.wrong === "text" ? "12" : null;
      return [wrong, wrong];
    }
    if ("zeros" in content) {
      const zeros = amount(content.zeros);
      return [zeros, zeros];
    }
    if ("bytes" in content) {
      const bytes = bytesOf(content);
      switch (content.as) {
        case "Uint8Array":
          return [bytes, bytes];
        case "ArrayBuffer":
          return [bytes.buffer, bytes.buffer];
        case "DataView": {
          const view = new DataView(bytes.buffer, bytes.length >> 2);
          return [view, view];
        }
        case "Uint16Array": {
          const view = new Uint16Array(bytes.buffer, 0, bytes.length >> 1);
          return [view, view];
        }
        case "list":
          return [[...bytes], [...bytes]];
      }
    }
    const slice = this.#pickSlice(content.slice);
    if (slice === undefined || !this.#isAlive(slice)) return [0, 0];
    if (slice.model.isFaulted) return [0, 0];
    const view = this.#view(slice).bytes;
    const [from, to] = [content.from, content.to].map((part) =>
      Math.round(slice.model.length * part / 1000)
    );
    // The checks of other arguments decide whether it is read at all.
    if (slice.model.isLost) slice.model.map.isFaulted ||= "perhaps";
    return [
      view.subarray(from, to),
      slice.model.peek().slice(from, to),
    ];
  }

  #pattern(pattern: Pattern, bytes: () => Uint8Array): unknown {
    if (typeof pattern === "string") return pattern;
    if ("wrong" in pattern) return 5;
    if ("bytes" in pattern) return bytesOf(pattern);
    const all = bytes();
    const from = Math.round(all.length * pattern.part / 1000);
    return all.slice(from, from + pattern.count);
  }

  #pickSlice(which: number): SlicePair | undefined {
    const only = this.#only?.model;
    const among = only === undefined
      ? this.#slices
      : this.#slices.filter(({ model }) => model.map === only);
    return pick(among, which, this.#isAlive);
  }

  #pickArray(which: number): ArrayPair | undefined {
    const isUseful = ({ model }: ArrayPair) =>
      model.slice.state === "mapped" || model.slice.state === "floating";
    const only = this.#only?.model;
    const among = only === undefined
      ? this.#arrays
      : this.#arrays.filter(({ model }) => model.slice.map === only);
    return pick(among, which, isUseful);
  }

  #isAlive({ model }: SlicePair): boolean {
    return model.state === "mapped" || model.state === "floating";
  }

  /** Takes a view and keeps it. */
  #view(slice: SlicePair): HeldView {
    const { buffer, bytes } = slice.real;
    same(bytes.buffer, buffer, `${slice.label}.bytes.buffer`);
    const held = this.#views.find((view) => view.buffer === buffer);
    if (held !== undefined) return held;
    const view = { model: slice.model.view(), slice, buffer, bytes };
    this.#views.push(view);
    return view;
  }

  #addSlice(made: readonly [unknown, unknown] | undefined): void {
    if (made === undefined) return;
    const [model, real] = made as readonly [ModelSlice, MemmapSlice];
    const label = `slice${this.#made.slice++}`;
    this.#note(`// is ${label}`);
    const pair = { model, real, label };
    this.#pairs.set(model, pair);
    this.#slices.push(pair);
  }

  #addArray(made: readonly [unknown, unknown] | undefined): void {
    if (made === undefined) return;
    const [model, real] = made as readonly [ModelArray, MemmapArray];
    // Any stride is right for an axis with one element, or without elements.
    real.strides.forEach((stride, axis) => {
      if (model.size > 0 && model.shape[axis]! > 1) {
        same(stride, model.strides[axis], `stride ${axis}`);
      }
    });
    model.strides = [...real.strides];
    const label = `array${this.#made.array++}`;
    this.#note(`// is ${label}`);
    this.#arrays.push({ model, real, label });
    if (this.#arrays.length > MOST_ARRAYS) this.#arrays.shift();
  }

  // Files, changed as by another process

  #doOnFile(command: Extract<Command, { file: number }>): boolean {
    const name = NAMES[command.file]!;
    const path = join(this.#path, name);
    const { files } = this.#folder;
    const file = files.get(name);
    switch (command.do) {
      case "open":
        return this.#open(name, command);
      case "replace file": {
        const bytes = bytesOf(command.content);
        this.#note(`file ${name} is replaced by ${bytes.length} bytes`);
        this.makeFile(name, bytes);
        return true;
      }
      case "link file": {
        const to = NAMES[command.to]!;
        if (file === undefined || files.has(to)) return false;
        this.#note(`file ${name} is linked to ${to}`);
        fs.linkSync(path, join(this.#path, to));
        files.set(to, file);
        return true;
      }
    }
    if (file === undefined) return false;
    switch (command.do) {
      case "grow file": {
        const bytes = bytesOf(command.content);
        this.#note(`file ${name} grows by ${bytes.length} bytes`);
        fs.appendFileSync(path, bytes);
        this.#folder.put(file, joined([file.bytes, bytes]));
        return true;
      }
      case "write into file": {
        const at = Math.round(file.bytes.length * command.part / 1000);
        const bytes = bytesOf(command.content)
          .subarray(0, file.bytes.length - at);
        this.#note(`${bytes.length} bytes are written at ${at} into ${name}`);
        const fd = fs.openSync(path, "r+");
        fs.writeSync(fd, bytes, 0, bytes.length, at);
        fs.closeSync(fd);
        file.bytes.set(bytes, at);
        return true;
      }
      case "cut file": {
        const length = Math.round(file.bytes.length * command.part / 1000);
        if (this.#folder.isMappedBeyond(file, length)) return false;
        this.#note(`file ${name} is cut to ${length} bytes`);
        fs.truncateSync(path, length);
        this.#folder.put(file, file.bytes.slice(0, length));
        return true;
      }
      case "remove file":
        this.#note(`file ${name} is removed`);
        fs.unlinkSync(path);
        files.delete(name);
        return true;
    }
  }

  /** Puts a new file in place of the existing one. */
  makeFile(name: string, bytes: Uint8Array): void {
    const temporary = join(this.#path, `${this.#made.file++}.new`);
    fs.writeFileSync(temporary, bytes);
    fs.renameSync(temporary, join(this.#path, name));
    this.#folder.files.set(name, new ModelFile(bytes));
  }

  // Maps

  #open(name: string, command: Extract<Command, { do: "open" }>): boolean {
    const { mode, how, create, atomic } = command;
    if (this.#maps.length >= MOST_MAPS) {
      const closed = this.#maps.findIndex(({ model }) => model.isClosed);
      if (closed === -1) return false;
      const { model } = this.#maps.splice(closed, 1)[0]!;
      this.#slices = this.#slices.filter((slice) => slice.model.map !== model);
    }
    const file = this.#folder.files.get(name);
    const size = file?.bytes.length ?? 100;
    const length = command.length === undefined
      ? undefined
      : resolve(command.length, size, [size, 0]);
    // "w+" first cuts the file to nothing, which takes the pages of all its maps.
    const isCut = mode === "w+" || mode === "write";
    if (isCut && file !== undefined && this.#folder.isMappedBeyond(file, 0)) {
      return false;
    }
    const options = {
      ...(length === undefined ? {} : { length }),
      ...(create === undefined ? {} : { create }),
      ...(atomic === undefined ? {} : { atomic }),
    };
    const path = name === "" ? "" : join(this.#path, name);
    const place = how === "URL" && path !== "" ? pathToFileURL(path) : path;
    const label = `map${this.#made.map++}`;
    const made = this.#compare(
      this.#steps && `${label} = open(${shown(name)}, ${shown(mode)}, ` +
            `${shown(options)})` || "open",
      () => new ModelMap(this.#folder, name, mode, length, create, atomic),
      () =>
        how === "new"
          ? new Memmap(place, mode as "r", options)
          : open(place, mode as "r", options),
    );
    if (made === undefined) return true;
    const [model, real] = made;
    model.askFaults = () => real.faults > 0;
    model.askDirty = () => real.dirty;
    this.#maps.push({ model, real, label });
    return true;
  }

  #doOnMap(command: Extract<Command, { map: number }>): boolean {
    const map = this.#only ??
      pick(this.#maps, command.map, ({ model }) => !model.isClosed);
    if (map === undefined || command.do === "flush async") return false;
    const place = (amount: Amount) => this.#onMap(map, amount);
    const range = "begin" in command || "end" in command
      ? inOrder(place, command)
      : [];
    switch (command.do) {
      case "close":
      case "dispose":
        return this.#close(map, command);
      case "slice":
        if (this.#slices.length >= MOST_SLICES) return false;
        this.#addSlice(this.#both(map, "slice", range));
        return true;
      case "carve": {
        const { length, step, count } = command;
        const begin = place(command.from);
        if (!Number.isSafeInteger(begin) || begin < 0) return false;
        const most = Math.min(count, MOST_CARVED - this.#slices.length);
        for (let i = 0; i < most; i++) {
          const at = begin + i * step;
          this.#addSlice(this.#both(map, "slice", [at, at + length]));
        }
        return true;
      }
      case "insert": {
        if (this.#slices.length >= MOST_SLICES) return false;
        const at = place(command.at);
        const [real, model] = this.#content(command.content, place);
        this.#addSlice(this.#both(map, "insert", [at, real], [at, model]));
        return true;
      }
      case "append": {
        const [real, model] = this.#content(command.content, place);
        this.#both(map, "append", [real], [model]);
        return true;
      }
      case "delete range":
        this.#both(map, "delete", range);
        return true;
      case "delete slice": {
        const slice = this.#pickSlice(command.slice);
        if (slice === undefined) return false;
        this.#both(map, "delete", [slice.real], [slice.model]);
        return true;
      }
      case "find": {
        const { model } = map;
        const pattern = this.#pattern(
          command.pattern,
          () =>
            model.isClosed
              ? new Uint8Array(3)
              : model.peek(0, model.mappedLength),
        );
        const method = command.last ? "rfind" : "find";
        return this.#answers(map, method, [pattern, ...range]);
      }
      case "move": {
        const places = [command.target, command.source, command.count]
          .map(place);
        // A move onto itself need not touch anything.
        const { model } = map;
        const isLost = model.isLost(0, model.mappedLength);
        if (isLost && places[0] === places[1]) return false;
        return this.#answers(map, "move", places);
      }
      case "read": {
        const made = this.#both(map, "read", range);
        if (made === undefined) return true;
        const [expected, actual] = made as [Uint8Array, Uint8Array];
        sameBytes(actual, expected, `${map.label}.read(${range})`);
        return true;
      }
      case "residency": {
        const made = this.#both(map, "residency", range);
        const share = made === undefined ? 1 : made[1] as number;
        same(share >= 0 && share <= 1, true, `is ${share} a share`);
        return true;
      }
      case "modified":
      case "revert": {
        const { model, label } = map;
        // With lost pages it depends on whether anything was ever written.
        const isSure = model.isClosed || (model.isFaulted === false &&
          !model.isLost(0, model.mappedLength) &&
          model.file.bytes.length >= model.knownLength);
        if (!isSure) return false;
        const made = this.#both(map, command.do, range);
        if (made === undefined || command.do === "revert") return true;
        type Ranges = { begin: number; end: number }[];
        const [expected, actual] = made as [Ranges, Ranges];
        const flat = (ranges: Ranges) =>
          ranges.flatMap(({ begin, end }) => [begin, end]);
        sameList(flat(actual), flat(expected), `${label}.modified(${range})`);
        return true;
      }
      case "write": {
        const [source, modelSource] = this.#content(command.source, place);
        if (typeof source === "number") return false;
        const offset = place(command.offset);
        this.#both(map, "write", [source, offset], [modelSource, offset]);
        return true;
      }
      case "advise":
        return this.#answers(map, "advise", [command.advice, ...range]);
      case "flush":
        return this.#flush(map, command);
      case "refresh":
        return this.#answers(map, "refresh", []);
      case "sync":
        return this.#answers(map, "sync", range);
    }
  }

  /** Would it take pages from another map that does not survive that? */
  #cutsOthers({ model }: MapPair, plan: ModelFlush): boolean {
    return (plan.strategy === "extend" || plan.strategy === "in-place") &&
      this.#folder.isMappedBeyond(model.file, plan.content.length, model);
  }

  #close(
    map: MapPair,
    command: Extract<Command, { do: "close" | "dispose" }>,
  ): boolean {
    const { model, real, label } = map;
    if (model.isUnknown) return false;
    const isDispose = command.do === "dispose";
    const discard = isDispose ? undefined : command.discard;
    if (!model.isClosed && model.writable && !discard) {
      const plan = attemptModel(() => model.planFlush());
      if ("value" in plan && this.#cutsOthers(map, plan.value)) return false;
    }
    if (isDispose) {
      this.#compare(
        `${label}[Symbol.dispose]()`,
        () => {
          // A fault that was reported before is not reported again. Only the library
          // knows whether it was.
          model.settleFaults();
          const isSilent = !model.isClosed && model.isFaulted === true &&
            !model.dirty;
          model.close({ discard: isSilent && real.closed });
        },
        () => real[Symbol.dispose](),
      );
    } else {
      this.#both(map, "close", discard === undefined ? [] : [{ discard }]);
    }
    return true;
  }

  #flush(map: MapPair, command: Extract<Command, { do: "flush" }>): boolean {
    const { model, real, label } = map;
    if (model.isUnknown) return false;
    const { strategy, durable, progress } = command;
    const name = command.path === undefined ? undefined : NAMES[command.path];
    const calls: [done: number, total: number][] = [];
    const onProgress = this.#onProgress(map, progress, calls);
    const options = { strategy, durable, onProgress };
    const path = name === undefined || name === ""
      ? name
      : join(this.#path, name);
    let plan: ModelFlush | undefined;
    const step = `${label}.flush(${
      shown(name === undefined ? options : { path: name, ...options })
    })`;
    const planned = attemptModel(() =>
      plan = model.planFlush({ ...options, path: name })
    );
    if (plan !== undefined && this.#cutsOthers(map, plan)) return false;
    const result = this.#compare(
      step,
      () => {
        if ("failure" in planned) throw planned.error;
        const { strategy, bytesWritten, isCommit } = planned.value;
        // A commit says how far it has got with looking, too.
        const isSilent = bytesWritten === 0 && !isCommit;
        if (progress !== "throws" || isSilent) {
          model.finishFlush(planned.value);
        } else {
          // An in-place flush can no longer stop: the error waits until it is done.
          if (strategy === "in-place" && !isCommit) {
            model.finishFlush(planned.value);
          } else model.abandonFlush(planned.value);
          throw new Refusal("Error", STOP);
        }
        return planned.value;
      },
      () => {
        const given = path === undefined ? options : { path, ...options };
        return real.flush(given as FlushOptions);
      },
    );
    if (result === undefined) return true;
    const [expected, actual] = result;
    same(actual.strategy, expected.strategy, `the strategy of ${step}`);
    const { bytesWritten } = expected;
    same(actual.bytesWritten, bytesWritten, `bytesWritten of ${step}`);
    const stale = expected.strategy === "none" ? model.stale : "no";
    same(actual.stale, stale, `stale of ${step}`);
    // Nothing more of the pages that were written is the map's own.
    if (model.isAtomic) same(real.dirty, false, `${label}.dirty after ${step}`);
    if (onProgress === undefined) return true;
    const { isCommit } = expected;
    const whole = isCommit ? calls[0]?.[1] ?? 0 : bytesWritten;
    same(
      calls.length > 0,
      bytesWritten > 0 || isCommit,
      `whether onProgress was called in ${step}`,
    );
    let before = 0;
    for (const [done, total] of calls) {
      same(total, whole, `the total of onProgress in ${step}`);
      same(done >= before, true, `onProgress counts up in ${step}`);
      before = done;
    }
    same(before, whole, `the end of onProgress in ${step}`);
    return true;
  }

  #onProgress(
    { model, real, label }: MapPair,
    kind: ProgressKind | undefined,
    calls: [done: number, total: number][],
  ): unknown {
    switch (kind) {
      case undefined:
        return undefined;
      case "no function":
        return "12";
      case "throws":
        return () => {
          throw Object.assign(new Error(STOP), { code: STOP });
        };
      case "counts":
        return (done: number, total: number) => calls.push([done, total]);
      case "uses the map": {
        const slice = this.#pairs.get(model.slices[0]!)?.real;
        return (done: number, total: number) => {
          calls.push([done, total]);
          if (calls.length > 1) return;
          const busy = (call: () => unknown) =>
            refuses(call, "ERR_MEMMAP_BUSY", `${label}, during its flush,`);
          busy(() => real.length);
          busy(() => real.insert(0, 5));
          busy(() => real.flush());
          busy(() => real.close({ discard: true }));
          busy(() => slice === undefined ? real.slices : slice.bytes);
          same(real.closed, false, `${label}.closed`);
        };
      }
    }
  }

  // Slices and their views

  #doOnSlice(
    command: Exclude<Extract<Command, { slice: number }>, { map: number }>,
  ): boolean {
    const slice = this.#pickSlice(command.slice);
    if (slice === undefined) return false;
    const place = (amount: Amount) => this.#onSlice(slice, amount);
    const { model, real, label } = slice;
    const range = command.do !== "copy" &&
        ("begin" in command || "end" in command)
      ? inOrder(place, command)
      : [];
    switch (command.do) {
      case "set": {
        const [source, modelSource] = this.#content(command.source, place);
        // A number is not array-like, and its effect is unspecified.
        if (typeof source === "number") return false;
        const more = command.offset === undefined
          ? []
          : [place(command.offset)];
        this.#both(slice, "set", [source, ...more], [modelSource, ...more]);
        return true;
      }
      case "fill":
        return this.#answers(slice, "fill", [command.value, ...range]);
      case "copy": {
        const { begin, end } = command;
        const copies = this.#both(slice, "slice", [begin, end]);
        if (copies === undefined) return true;
        const [expected, actual] = copies as [Uint8Array, Uint8Array];
        sameBytes(actual, expected, `${label}.slice(${begin}, ${end})`);
        return true;
      }
      case "find in slice": {
        const pattern = this.#pattern(
          command.pattern,
          () => this.#isAlive(slice) ? model.peek() : new Uint8Array(3),
        );
        const method = command.last ? "rfind" : "find";
        return this.#answers(slice, method, [pattern, ...range]);
      }
      case "resize":
        return this.#answers(slice, "resize", [place(command.length)]);
      case "splice": {
        const [offset, count] = [command.offset, command.count].map(place);
        if (command.content === undefined) {
          return this.#answers(slice, "splice", [offset, count]);
        }
        const [content, modelContent] = this.#content(command.content, place);
        this.#both(slice, "splice", [offset, count, content], [
          offset,
          count,
          modelContent,
        ]);
        return true;
      }
      case "sync slice":
        return this.#answers(slice, "sync", []);
      case "delete":
        return this.#answers(slice, "delete", []);
      case "dispose slice":
        this.#compare(`${label}[Symbol.dispose]()`, () => {
          if (this.#isAlive(slice)) model.delete();
        }, () => real[Symbol.dispose]());
        return true;
      case "view":
        if (this.#isAlive(slice) && !model.isFaulted) this.#view(slice);
        else {
          this.#compare(
            `${label}.bytes`,
            () => model.view(),
            () => real.bytes,
          );
        }
        return true;
      case "steal":
        if (!this.#isAlive(slice) || model.isFaulted) return false;
        this.#steal(slice, command.how);
        return true;
      case "array":
        return this.#array(slice, command);
    }
  }

  /** Moves a slice's memory out of the library's reach. */
  #steal(slice: SlicePair, how: "transfer" | "structuredClone"): void {
    const { model, real, label } = slice;
    this.#note(`${label}.buffer is moved away by ${how}()`);
    const { buffer } = real;
    const stolen = how === "transfer"
      ? buffer.transfer()
      : structuredClone(buffer, { transfer: [buffer] });
    if (!buffer.detached) return;
    model.dropViews(false);
    const wasFloating = model.floating !== null;
    if (!wasFloating) model.map.isStolen = true;
    this.#stolen.push({ buffer: stolen, slice, wasFloating });
    if (this.#stolen.length > MOST_STOLEN) this.#stolen.shift();
  }

  #doOnView(
    command: Extract<Command, { do: "poke" | "poke stolen" }>,
  ): boolean {
    if (command.do === "poke stolen") {
      return this.#pokeStolen(command.stolen, command.value);
    }
    const only = this.#only?.model;
    const among = this.#views.filter(({ model, slice }) =>
      !model.isPrivate && (only === undefined || slice.model.map === only)
    );
    const view = pick(among, command.view, ({ model }) => !!model.alive);
    if (view === undefined) return false;
    const { bytes, slice, model } = view;
    const at = Math.round(bytes.length * command.part / 1000);
    const isWithin = model.alive && at < bytes.length;
    if (isWithin && slice.model.isUnsure(at, at + 1)) return false;
    if (command.value % 4 === 0) {
      this.#note(`the view of ${slice.label}: [${at}] is read`);
      const byte = bytes[at];
      if (!isWithin) same(byte, undefined, "a byte outside a view");
      else {
        attemptModel(() => slice.model.read(at, at + 1));
        const [expected] = slice.model.peek(at, at + 1);
        const isAnything = slice.model.isLost && slice.model.map.isStrayed;
        if (!isAnything) same(byte, expected, `the view of ${slice.label}`);
      }
      return true;
    }
    this.#note(`the view of ${slice.label}: [${at}] = ${command.value}`);
    bytes[at] = command.value;
    if (isWithin) slice.model.poke(at, Uint8Array.of(command.value));
    return true;
  }

  /**
   * Writes to memory that was a floating slice's. It may still belong to that slice, but
   * to no other. Bytes that were cut off are not written, since they may become the
   * slice's again. Whoever moves memory away has to know that.
   */
  #pokeStolen(which: number, value: number): boolean {
    const writable = this.#stolen.filter(({ wasFloating }) => wasFloating);
    const stolen = pick(writable, which);
    if (stolen === undefined) return false;
    const { buffer, slice: { model, real, label } } = stolen;
    this.#note(`memory moved from ${label} is filled with ${value}`);
    const isFloating = model.state === "floating";
    const most = isFloating ? model.length : buffer.byteLength;
    new Uint8Array(buffer).fill(value, 0, most);
    if (isFloating) model.floating = real.slice();
    return true;
  }

  // Arrays

  #array(
    slice: SlicePair,
    command: Extract<Command, { do: "array" }>,
  ): boolean {
    const { type, order } = command;
    const byteOffset = command.byteOffset === undefined
      ? undefined
      : this.#onSlice(slice, command.byteOffset);
    // The model handles elements one by one, which is slow for a large array.
    const room = slice.model.length / elementSizeOf(type);
    const isLarge = room > MOST_ELEMENTS &&
      (command.shape ?? [-1]).includes(-1);
    const shape = isLarge ? [2, 7] : command.shape;
    const options = { byteOrder: order, byteOffset, shape };
    this.#addArray(this.#compare(
      this.#steps &&
          `${slice.label}.array(${shown(type)}, ${shown(options)})` || "array",
      () =>
        ModelArray.of(
          slice.model,
          type as ModelType,
          order,
          byteOffset,
          shape,
        ),
      () => slice.real.array(type as ModelType, options),
    ));
    return true;
  }

  #doOnArray(command: Extract<Command, { array: number }>): boolean {
    const array = this.#pickArray(command.array);
    if (array === undefined) return false;
    const { model, real, label } = array;
    const { dtype } = model;
    switch (command.do) {
      case "get":
        return this.#answers(array, "get", this.#index(model, command.at));
      case "get data": {
        const made = this.#compare(
          `${label}.data`,
          () => model.lookAtData(),
          () => real.data,
        );
        if (made === undefined) return true;
        const { floating, begin } = model.slice;
        const isAligned = model.byteOffset % model.itemSize === 0 &&
          (floating !== null || begin % model.itemSize === 0);
        const data = made[1];
        const hasData = model.isNative && isAligned && model.isForwards;
        same(data !== null, hasData, `${label} has data`);
        this.#view(this.#pairs.get(model.slice)!);
        if (data === null || model.size === 0) return true;
        const first = data[0];
        const value = attemptModel(() =>
          model.get(...model.shape.map(() => 0))
        );
        if ("failure" in value) same(Number(first), 0, `${label}.data[0]`);
        else if (dtype !== "bool") same(first, value.value, `${label}.data[0]`);
        return true;
      }
      case "set element": {
        const value = command.value % 16 === 0
          ? "1"
          : someValue(dtype, command.value);
        const index = this.#index(model, command.at);
        // Whether it writes depends on what it has read before.
        const { slice } = model;
        const isUnsure = slice.isUnsure(0, slice.length) ||
          (slice.isFaulted && model.size > MOST_ELEMENTS);
        if (isUnsure) return false;
        return this.#answers(array, "set", [...index, value]);
      }
      case "fill array":
        this.#both(array, "fill", [someValue(dtype, command.value)]);
        return true;
      case "apply": {
        const f = (value: unknown, i: number) =>
          i % 3 === 0 && !Number.isNaN(value)
            ? value
            : someValue(dtype, command.value + i);
        this.#both(array, "apply", [f]);
        return true;
      }
      case "to typed array": {
        const { begin, end } = command;
        const made = this.#both(array, "toTypedArray", [begin, end]);
        if (made === undefined) return true;
        const [expected, actual] = made as [Uint8Array, ArrayBufferView];
        sameBytes(bytesUnder(actual), expected, `${label}.toTypedArray()`);
        return true;
      }
      case "copy to": {
        // As many elements as are copied, and one more that must not change.
        const { begin, end } = command;
        const made = this.#compare(
          `${label}.copyTo(…, ${begin}, ${end})`,
          () => {
            model.toTypedArray();
            return model.toTypedArray(begin, end);
          },
          () => {
            const target = real.toTypedArray().slice(0, 5);
            const count = real.copyTo(target as never, begin, end);
            return bytesUnder(target).subarray(0, count * model.itemSize);
          },
        );
        if (made === undefined) return true;
        const most = Math.min(model.size, 5) * model.itemSize;
        sameBytes(made[1], made[0].subarray(0, most), `${label}.copyTo()`);
        return true;
      }
      case "subarray":
        this.#addArray(
          this.#both(array, "subarray", [command.begin, command.end]),
        );
        return true;
      case "copy from list": {
        const { count, value, offset } = command;
        const values = Array.from(
          { length: count },
          (_, i) => someValue(dtype, value + i * 7),
        );
        this.#both(array, "copyFrom", [values, offset]);
        return true;
      }
      case "copy from array": {
        const source = this.#pickArray(command.source)!;
        const values = attemptModel(() => source.model.peekValues());
        // NaN has many bit patterns, and engines choose among them.
        if ("value" in values && values.value.some(Number.isNaN)) return false;
        const { offset } = command;
        this.#both(array, "copyFrom", [source.real, offset], [
          source.model,
          offset,
        ]);
        return true;
      }
      case "reshape":
        this.#addArray(this.#both(array, "reshape", command.shape));
        return true;
      case "transpose": {
        const { ndim } = real;
        const order = command.shape.map((n) => Math.abs(n) % (ndim + 1));
        const all = Array.from({ length: ndim }, (_, axis) => axis);
        // Mostly each axis once, turned round as far as the shape says.
        const turn = order[0] ?? 0;
        const turned = [...all.slice(turn), ...all.slice(0, turn)];
        const axes = order.length === 3 ? order : turned;
        this.#addArray(this.#both(array, "transpose", axes));
        return true;
      }
      case "pick":
      case "lo":
      case "hi":
      case "step":
        this.#addArray(this.#both(array, command.do, command.numbers));
        return true;
      case "resize array":
        this.#both(array, "resize", [command.shape]);
        return true;
    }
  }

  /** An index for an array, sometimes off by one or of the wrong rank. */
  #index(model: ModelArray, at: number): number[] {
    const index = model.shape.map((length, axis) => {
      const i = Math.floor(at / (axis * 7 + 1));
      return at % 13 === 0 ? i % (length + 1) : i % Math.max(length, 1);
    });
    if (at % 17 === 0) index.push(0);
    return at % 19 === 0 ? index.map((i) => i - 1) : index;
  }

  // Comparing

  /** Compares everything visible. */
  check(): void {
    this.#settleFiles();
    for (const stolen of this.#stolen) this.#touchStolen(stolen);
    for (const { model } of this.#maps) model.settleFaults();
    for (const map of this.#maps) this.#settlePages(map);
    this.#settleViews();
    const only = this.#only?.model;
    for (const map of this.#maps) {
      // Another map of a file that is being extended may see it at any length.
      const isOther = only !== undefined && only !== map.model &&
        only.file === map.model.file;
      if (!isOther) this.#checkMap(map);
    }
    for (const slice of this.#slices) this.#checkSlice(slice);
    for (const view of this.#views) this.#checkView(view);
    for (const array of this.#arrays) this.#checkArray(array);
    this.#checkFiles();
    this.#forget();
  }

  /** Drops what maps wrote beyond a file's end, as a kernel may at any time. */
  #settleFiles(): void {
    for (const { model: { file, name, isClosed } } of this.#maps) {
      // Until now, the name of its newest map leads to it.
      if (isClosed || this.#descriptors.has(file)) continue;
      const fd = fs.openSync(join(this.#path, name), "r+");
      this.#descriptors.set(file, fd);
    }
    for (const [file, fd] of this.#descriptors) {
      if (!file.isSoiled || this.#only !== undefined) continue;
      fs.ftruncateSync(fd, file.bytes.length + 1);
      fs.ftruncateSync(fd, file.bytes.length);
      file.isSoiled = false;
    }
  }

  /** Which pages of an atomic map were written, where the same was written. */
  #settlePages({ model, real, label }: MapPair): void {
    if (!model.isAtomic || model.isClosed || model.isFaulted === true) return;
    const isRight = model.settlePages(real.modified());
    same(isRight, true, `whether all that was written to ${label} is pending`);
  }

  #touchStolen({ buffer, slice: { model: { map } } }: StolenView): void {
    touch(buffer);
    if (!map.isClosed && map.isLost(0, map.mappedLength)) {
      map.isFaulted ||= "perhaps";
    }
  }

  #checkMap({ model, real, label }: MapPair): void {
    same(real.closed, model.isClosed, `${label}.closed`);
    same(real.mode, model.mode, `${label}.mode`);
    same(real.path, join(this.#path, model.name), `${label}.path`);
    const place = `'${this.#path}/${model.name}'`;
    const text = String(model).replace(`'${model.name}'`, place);
    same(String(real), text, `String(${label})`);
    if (model.isClosed) {
      refuses(() => real.length, "ERR_MEMMAP_CLOSED", `${label}.length`);
      refuses(() => real.layout(), "ERR_MEMMAP_CLOSED", `${label}.layout()`);
      return;
    }
    same(real.length, model.length, `${label}.length`);
    same(real.mappedLength, model.mappedLength, `${label}.mappedLength`);
    same(real.writable, model.writable, `${label}.writable`);
    same(real.dirty, model.dirty, `${label}.dirty`);
    same(real.guarded, this.#folder.isGuarded, `${label}.guarded`);
    same(real.stale, model.stale, `${label}.stale`);
    same(real.faults > 0, model.isFaulted, `whether ${label} has faults`);
    const realOf = (slice: ModelSlice | null) =>
      slice === null ? null : this.#pairs.get(slice)!.real;
    sameList(real.slices, model.slices.map(realOf), `${label}.slices`);
    const pieces = model.layout();
    const layout = real.layout();
    same(layout.length, pieces.length, `the length of ${label}.layout()`);
    layout.forEach((entry, i) => {
      const { slice, state, begin, end, offset, length } = pieces[i]!;
      sameList(
        [
          entry.slice,
          entry.state,
          entry.begin,
          entry.end,
          entry.offset,
          entry.length,
        ],
        [realOf(slice), state, begin, end, offset, length],
        `${label}.layout()[${i}]`,
      );
    });
  }

  #checkSlice(slice: SlicePair): void {
    const { model, real, label } = slice;
    same(real.state, model.state, `${label}.state`);
    if (!this.#isAlive(slice)) {
      const code = model.isDeleted ? "ERR_MEMMAP_DELETED" : "ERR_MEMMAP_CLOSED";
      refuses(() => real.length, code, `${label}.length`);
      refuses(() => real.buffer, code, `${label}.buffer`);
      same(String(real), String(model), `String(${label})`);
      return;
    }
    same(real.begin, model.begin, `${label}.begin`);
    same(real.end, model.end, `${label}.end`);
    same(real.length, model.length, `${label}.length`);
    same(real.dirty, model.floating !== null, `${label}.dirty`);
    same(real.writable, model.map.mode !== "r", `${label}.writable`);
    same(String(real), String(model), `String(${label})`);
    if (model.isFaulted) {
      refuses(() => real.bytes, FAULT, `${label}.bytes`);
      if (model.length === 0) return;
      refuses(() => real.slice(), FAULT, `${label}.slice()`);
    } else if (!model.isLost) {
      // Operations should be the first to touch lost pages.
      sameBytes(real.slice(), model.peek(), `${label}.slice()`);
    }
  }

  /** If it is unspecified whether a view stays attached, both are accepted. */
  #settleViews(): void {
    for (const { model, slice, buffer } of this.#views) {
      if (model.alive !== "perhaps") continue;
      model.alive = slice.model.isFaulted
        ? !buffer.detached
        : this.#isAlive(slice) && slice.real.buffer === buffer;
    }
  }

  #checkView({ model, slice, buffer, bytes }: HeldView): void {
    const what = `a view of ${slice.label}`;
    if (model.alive) {
      same(buffer.byteLength, slice.model.length, `the length of ${what}`);
      if (slice.model.isFaulted) {
        refuses(() => slice.real.buffer, FAULT, `${slice.label}.buffer`);
        this.#checkLost(bytes, slice, what);
        return;
      }
      same(slice.real.buffer, buffer, `${slice.label}.buffer`);
      if (!slice.model.isLost) sameBytes(bytes, slice.model.peek(), what);
      return;
    }
    same(buffer.detached, true, `whether ${what} was detached`);
    same(
      buffer.byteLength,
      0,
      `the length of the stale buffer of ${slice.label}`,
    );
    same(bytes.length, 0, `the length of the stale bytes of ${slice.label}`);
    same(bytes[0], undefined, `a byte of ${what}, which is stale`);
  }

  /** A plain view cannot throw: it reads lost pages as zeros. */
  #checkLost(bytes: Uint8Array, { model }: SlicePair, what: string): void {
    const { map, begin, length } = model;
    const inSlice = (at: number) => Math.min(Math.max(at - begin, 0), length);
    const [kept, lost] = [inSlice(map.keptLength), inSlice(map.pagesEnd)];
    sameBytes(bytes.subarray(0, kept), model.peek(0, kept), what);
    touch(bytes.buffer as ArrayBuffer);
    if (map.isStrayed) return;
    const zeros = new Uint8Array(length - lost);
    sameBytes(bytes.subarray(lost), zeros, `the lost part of ${what}`);
  }

  #checkArray({ model, real, label }: ArrayPair): void {
    sameList(real.shape, model.shape, `${label}.shape`);
    sameList(real.strides, model.strides, `${label}.strides`);
    same(real.size, model.size, `${label}.size`);
    same(real.byteOffset, model.byteOffset, `${label}.byteOffset`);
    same(real.dtype, model.dtype, `${label}.dtype`);
    if (model.slice.state === "mapped" && model.slice.isFaulted) {
      same(String(real), "<MemmapArray of lost bytes>", `String(${label})`);
    }
    if (model.size > MOST_ELEMENTS) return;
    if (model.slice.isLost && !model.slice.isFaulted) return;
    const expected = attemptModel(() => model.toTypedArray());
    const actual = attempt(() => bytesUnder(real.toTypedArray()));
    if ("value" in expected && "value" in actual) {
      sameBytes(actual.value, expected.value, `${label}.toTypedArray()`);
      return;
    }
    const name = "failure" in expected ? expected.failure.name : undefined;
    const actualName = "failure" in actual ? actual.failure.name : undefined;
    same(actualName, name, `what ${label}.toTypedArray() throws`);
    const iterated = attempt(() => [...real]);
    const iteratedName = "failure" in iterated
      ? iterated.failure.name
      : undefined;
    same(iteratedName, name, `what a loop over ${label} throws`);
  }

  #checkFiles(): void {
    if (this.#only !== undefined) return; // they are being written
    const { files } = this.#folder;
    // A map that appends may keep a journal for as long as it is open.
    const kept = this.#maps
      .filter(({ model }) => !model.isClosed && model.writable)
      .map(({ model }) => basename(journalPath(join(this.#path, model.name))));
    const names = fs.readdirSync(this.#path)
      .filter((name) => !kept.includes(name)).sort();
    sameList(names, [...files.keys()].sort(), "the names in the folder");
    for (const [name, file] of files) {
      const bytes = fs.readFileSync(join(this.#path, name));
      sameBytes(bytes, file.bytes, `file ${name}`);
    }
  }

  /** Drops what can no longer be used, except a few objects, which must stay unusable. */
  #forget(): void {
    const useless = this.#slices.filter((slice) => !this.#isAlive(slice));
    const old = new Set(useless.slice(0, -6));
    if (old.size > 0) {
      this.#slices = this.#slices.filter((slice) => !old.has(slice));
    }
    while (this.#views.length > MOST_VIEWS) {
      const stale = this.#views.findIndex(({ model }) => !model.alive);
      this.#views.splice(Math.max(stale, 0), 1);
    }
  }
}

function elementSizeOf(type: string): number {
  return type === "float128" ? 16 : elementSize(type as ModelType);
}

function bytesUnder({ buffer, byteOffset, byteLength }: ArrayBufferView) {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Reads a byte of every page. Its value does not matter, if only it can be read. */
function touch(buffer: ArrayBuffer): void {
  const bytes = new Uint8Array(buffer);
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 4096) sum += bytes[at]!;
  if (bytes.length > 0) sum += bytes.at(-1)!;
  same(Number.isNaN(sum), false, "the sum of stolen bytes");
}

/**
 * Runs a sequence. Throws if the library does something else than the model.
 *
 * @param steps Receives the calls that each operation makes.
 * @param parent The folder in which to make one for the files.
 * @returns how many operations had an object to work on.
 */
export async function runSequence(
  sequence: Sequence,
  steps?: string[],
  parent: string = fastFolder(),
): Promise<number> {
  using folder = temporaryFolder(parent);
  const world = new World(folder.path, steps);
  let done = 0;
  try {
    sequence.files.forEach((bytes, i) => {
      world.makeFile(NAMES[i]!, bytesOf(bytes));
    });
    for (const command of sequence.commands) {
      if (await world.run(command)) done++;
    }
    world.end();
  } catch (error) {
    world.abandon();
    throw error;
  }
  return done;
}
