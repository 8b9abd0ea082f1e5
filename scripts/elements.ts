/**
 * Writes src/arrays/elements.generated.ts: one class for each element type.
 *
 *     deno run -A scripts/elements.ts           writes the file
 *     deno run -A scripts/elements.ts --check   fails if the file is not up to date
 *
 * The text must be what `deno fmt` leaves as it is.
 *
 * @module
 */

import * as fs from "node:fs";
import process from "node:process";

const FILE = new URL("../src/arrays/elements.generated.ts", import.meta.url);

/** One element type, in the terms of the template below. */
interface Type {
  /** The name of the type and of its class. */
  readonly name: string;
  /** What `get` returns, and what `typeof` says of a value for `set`. */
  readonly element: "boolean" | "number" | "bigint";
  /** Reads the element at byte `at`. */
  readonly read: string;
  /** The arguments that write `j` there, preceded by the method's name. */
  readonly write: string;
  /** Wraps the result of the slow way, so that engines know its representation. */
  readonly same: (slow: string) => string;
}

function bool(name: string): Type {
  return {
    name,
    element: "boolean",
    read: "getUint8(at) !== 0",
    write: "setUint8(at, j ? 1 : 0)",
    same: (slow) => slow,
  };
}

/** A type whose accessors in DataView are called `get` and `set` and then `accessor`. */
function numeric(
  name: string,
  accessor: string,
  element: "number" | "bigint" = "number",
): Type {
  // DataView's accessors of single bytes have no byte order.
  const order = accessor.endsWith("t8") ? "" : ", this.#isLittle";
  const wrap = name.startsWith("u") ? "BigInt.asUintN" : "BigInt.asIntN";
  return {
    name,
    element,
    read: `get${accessor}(at${order})`,
    write: `set${accessor}(at, j${order})`,
    same: (slow) => element === "bigint" ? `${wrap}(64, ${slow})` : `+${slow}`,
  };
}

const TYPES: readonly Type[] = [
  bool("bool"),
  numeric("int8", "Int8"),
  numeric("uint8", "Uint8"),
  numeric("int16", "Int16"),
  numeric("uint16", "Uint16"),
  numeric("int32", "Int32"),
  numeric("uint32", "Uint32"),
  numeric("int64", "BigInt64", "bigint"),
  numeric("uint64", "BigUint64", "bigint"),
  numeric("float16", "Float16"),
  numeric("float32", "Float32"),
  numeric("float64", "Float64"),
];

function classOf({ name, element, read, write, same }: Type): string {
  return `
        ${name}: class extends Elements {
          get(i: number, j?: number, k?: number, ...more: number[]): ${element} {
            if (j === undefined) {
              try {
                const at = i * this.#step + this.#first;
                const value = this.#vector.${read};
                GATE.getUint8(this.#faults[0]! | (Math.floor(i) === i ? 0 : 1));
                return value;
              } catch { /* below */ }
            }
            return ${same("slowGet(this as Any, i, j, k, more)")};
          }

          set(i?: Any, j?: Any, k?: Any, ...more: Any[]): Any {
            if (k === undefined && typeof j === "${element}") {
              try {
                GATE.getUint8(Math.floor(i) === i ? 0 : 1);
                const at = i * this.#step + this.#first;
                this.#writable.${write};
                GATE.getUint8(this.#faults[0]!);
                return j;
              } catch { /* below */ }
            }
            return slowSet(this as Any, arguments.length, i, j, k, more);
          }
        },`;
}

/** The loop of `apply` along one line. */
function applyOf({ name, element, read, write }: Type): string {
  const order = (access: string) =>
    access.replace("this.#isLittle", "isLittle").replace(
      "(at, j",
      "(at, value",
    );
  const little = read.includes("#isLittle") ? "isLittle" : "_";
  return `
  ${name}(view, at, stride, count, ${little}, faults, flat, f, write) {
    for (let done = 0; done < count; done++) {
      let value: Any;
      try {
        value = view.${order(read)};
        GATE.getUint8(faults[0]!);
      } catch {
        return done;
      }
      value = f(value, flat + done);
      try {
        if (typeof value !== "${element}") throw undefined;
        view.${order(write.replace("j ?", "value ?"))};
        GATE.getUint8(faults[0]!);
      } catch {
        write(at, value);
        return done + 1;
      }
      at += stride;
    }
    return count;
  },`;
}

/** What `next` returns: a class, so that its value has one representation. */
function resultOf({ name, element }: Type): string {
  const first = { boolean: "false", number: "0.5", bigint: "0n" }[element];
  return `
        ${name}: class {
          done = false;
          value: ${element} = ${first};
        },`;
}

/** \`isLine\`: all elements are on one line, so that nothing but the end comes behind it. */
function walkOf({ name, read, same }: Type, isLine: boolean): string {
  const end = isLine
    ? "this.#left === 0"
    : "this.#left === 0 && !this.#nextLine()";
  return `
        ${name}: class extends Walk {
          next(): IteratorResult<Any, undefined> {
            if (${end}) return END;
            const at = this.#at;
            this.#at = at + this.#stride;
            this.#left--;
            const result = this.#result;
            try {
              result.value = this.#values.${read};
              GATE.getUint8(this.#faults[0]!);
            } catch {
              result.value = ${same("this.#read(at)")};
            }
            return result;
          }
        },`;
}

/** The property of a cursor for a field of a type. */
function accessorOf({ name, element, read, write, same }: Type): string {
  const here = (access: string) => access.replace("this.#isLittle", "isLittle");
  const isOrdered = read.includes("#isLittle");
  return `
        ${name}: (field) => {
          const { offset${isOrdered ? ", isLittle" : ""} } = field;
          return {
            get(this: Any): ${element} {
              const position: Position = this["memmap position"];
              try {
                const root = position.#root;
                const at = root.#at + position.#offset + offset;
                const value = root.#values.${here(read)};
                GATE.getUint8(root.#faults[0]!);
                return value;
              } catch { /* below */ }
              return ${same("position.#read(field)")};
            },
            set(this: Any, j: Any) {
              const position: Position = this["memmap position"];
              if (typeof j === "${element}") {
                try {
                  const root = position.#root;
                  const at = root.#at + position.#offset + offset;
                  root.#writable.${here(write)};
                  return void GATE.getUint8(root.#faults[0]!);
                } catch { /* below */ }
              }
              position.#write(field, j);
            },
          };
        },`;
}

const TEXT = `\
// Generated by scripts/elements.ts. Change the template there, then run it.

/**
 * One class for each element type, with the two methods that loops call, made for
 * arrays of one axis.
 *
 * **Why a class for each type.** Engines compile a method for the types that it has
 * seen. One method for all types is fast until a program uses a second type, and
 * then three times slower for every type.
 *
 * **Why the methods are so bare.** A read from memory takes long, and the processor
 * starts the next ones meanwhile, as far as it can see ahead. In a loop, that there is
 * no second index is known beforehand and compiles to nothing. The DataView finds out
 * nearly everything else. It throws if there is no such element, if the bytes have moved
 * (it is detached then), and if there is more than one axis (it has no bytes then). The
 * gate finds out the rest: that \`i\` is a whole number, and that no page was lost, which
 * comes after the access, since that may have been the one that found it so. Whatever
 * throws, the slow way comes next and knows why.
 *
 * **Why nothing branches.** V8 compiles a DataView's checks to exits from compiled code,
 * so that the \`catch\` and the call in it are no part of a compiled loop. A branch to
 * that call would be: all that is known of the array would have to be loaded again
 * after it, in each turn of the loop, which takes three times as long.
 *
 * The \`+\` and \`BigInt.asIntN\` tell V8 that the slow way returns the same kind of
 * number. Without them it puts every element into a box.
 *
 * **Why here.** The views are over the slice's own buffer, which no user may reach:
 * nobody but the library can move or pin it. So they are in private fields, and the
 * classes that read them are inside the class that has them.
 *
 * @module
 */

import type { DType } from "./type_names.ts";

/** The types whose elements DataView can read. */
export type RealType = Exclude<DType, "complex64" | "complex128">;

// deno-lint-ignore no-explicit-any -- an index or, after the last one, the value
type Any = any;

/** Where an array points until it has looked for its bytes. */
const NO_BYTES: DataView = new DataView(new ArrayBuffer(0));

/**
 * Branch-free check: \`GATE.getUint8(n)\` throws unless \`n\` is 0. An \`if\` keeps V8 from
 * hoisting what does not change out of a loop, which is three times slower.
 * JavaScriptCore hoists the count itself out of a loop of nothing but reads; making
 * it look each time costs 30 % of such a loop.
 */
const GATE: DataView = new DataView(new ArrayBuffer(1));

const NO_FAULTS: Int32Array = new Int32Array(1);

/** \`get\` for whatever the fast way does not do. */
type SlowGet<T> = (array: T, i: Any, j: Any, k: Any, more: number[]) => Any;

/** \`set\` for that. The last of \`count\` arguments is the value, which it returns. */
type SlowSet<T> = (
  array: T,
  count: number,
  i: Any,
  j: Any,
  k: Any,
  more: Any[],
) => Any;

/** The classes of arrays, and what points one of their instances at its bytes. */
export interface ElementClasses<T, A extends unknown[]> {
  readonly classes: Readonly<Record<RealType, new (...args: A) => T>>;
  readonly point: (
    array: T,
    /** The array's bytes. None at all if it does not have one axis. */
    vector: DataView,
    /** The same, and none if they must not be written. */
    writable: DataView,
    /** Bytes from one element to the next, and to the first. */
    step: number,
    first: number,
    isLittle: boolean,
    /** One number: how many pages of the memory were found lost. */
    faults: Int32Array,
  ) => void;
}

/** The classes of arrays over \`Base\`, which has all the other methods. */
export function elementClasses<T extends object, A extends Any[]>(
  Base: new (...args: A) => T,
  slowGet: SlowGet<T>,
  slowSet: SlowSet<T>,
): ElementClasses<T, A> {
  let made: ElementClasses<T, A>;

  // Nobody needs the class itself: its static block makes what is returned.
  void class Elements extends (Base as new (...args: Any[]) => object) {
    #vector: DataView = NO_BYTES;
    #writable: DataView = NO_BYTES;
    #step = 0;
    #first = 0;
    #isLittle = true;
    #faults: Int32Array = NO_FAULTS;

    static {
      const point: ElementClasses<T, A>["point"] = (
        array,
        vector,
        writable,
        step,
        first,
        isLittle,
        faults,
      ) => {
        const elements = array as Any as Elements;
        elements.#vector = vector;
        elements.#writable = writable;
        elements.#step = step;
        elements.#first = first;
        elements.#isLittle = isLittle;
        elements.#faults = faults;
      };
      const classes = {${TYPES.map(classOf).join("")}
      };
      made = { classes: classes as Any, point };
    }
  };

  return made!;
}

/**
 * Sets \`count\` elements of a line, from byte \`at\` on, to what \`f\` makes of them.
 * Returns how many it has done: fewer where the bytes have moved meanwhile. \`write\`
 * writes one the slow way, or throws.
 */
export type Apply = (
  view: DataView,
  at: number,
  stride: number,
  count: number,
  isLittle: boolean,
  faults: Int32Array,
  flat: number,
  f: (value: Any, flat: number) => Any,
  write: (at: number, value: Any) => void,
) => number;

/** The loops of \`MemmapArray.apply\`. */
export const APPLY: Readonly<Record<RealType, Apply>> = {${
  TYPES.map(applyOf).join("")
}
};

/** What an iterator needs to know of an array's bytes. */
export interface Walked {
  readonly values: DataView;
  readonly isLittle: boolean;
  readonly faults: Int32Array;
  /** Reads the element at byte \`at\` of \`values\`, after looking where they are. */
  read(at: number): unknown;
}

/** The lines of its elements, one after another. */
export interface WalkedLines {
  readonly at: number;
  readonly count: number;
  readonly stride: number;
  next(): boolean;
}

/** Its properties come in another order than those of the results with values. */
const END: IteratorReturnResult<undefined> = Object.freeze({
  value: undefined,
  done: true,
});

/** Makes an iterator of the \`size\` elements of \`lines\`, the first at byte \`first\`. */
export type MakeWalk = (
  walked: Walked,
  lines: WalkedLines,
  first: number,
  size: number,
) => IteratorObject<Any, undefined>;

/** The iterators of arrays, one class for each type. */
export const WALK: Readonly<Record<RealType, MakeWalk>> = (() => {
  let made: Readonly<Record<RealType, MakeWalk>>;

  // As above, the static block makes what is returned. Each iterator returns the same
  // object every time, which every loop of the language reads at once: V8 would
  // allocate one for each element, and a box for the number in it.
  void class Walk {
    readonly #walked: Walked;
    readonly #lines: WalkedLines;
    readonly #first: number;
    readonly #isLittle: boolean;
    readonly #result: Any;
    #values: DataView;
    #faults: Int32Array;
    #stride = 0;
    #at = 0;
    #left = 0;

    constructor(
      walked: Walked,
      lines: WalkedLines,
      first: number,
      result: object,
    ) {
      this.#walked = walked;
      this.#lines = lines;
      this.#first = first;
      this.#isLittle = walked.isLittle;
      this.#result = result;
      this.#values = walked.values;
      this.#faults = walked.faults;
    }

    #nextLine(): boolean {
      if (!this.#lines.next()) return false;
      this.#begin();
      return true;
    }

    /** Goes to the beginning of the line. */
    #begin(): void {
      this.#at = this.#first + this.#lines.at;
      this.#left = this.#lines.count;
      this.#stride = this.#lines.stride;
    }

    #read(at: number): Any {
      const value = this.#walked.read(at);
      this.#values = this.#walked.values;
      this.#faults = this.#walked.faults;
      return value;
    }

    static {
      // What all iterators have: \`[Symbol.iterator]\`, and in newer runtimes \`map\` and
      // the like. Runtimes too old to open a file may have no \`Iterator\` to extend.
      const arrayIterator = Object.getPrototypeOf([][Symbol.iterator]());
      Object.setPrototypeOf(
        Walk.prototype,
        Object.getPrototypeOf(arrayIterator),
      );
      // The values of one type have one representation, since no other is put there:
      // each type has a class of results. A number's first value is a fraction, so that
      // V8 reserves room for any double.
      const results = {${TYPES.map(resultOf).join("")}
      };
      // A call in a loop, even one that hardly ever happens, has engines load everything
      // again in each turn. Most arrays have a single line, and need none.
      const ofOneLine = {${TYPES.map((type) => walkOf(type, true)).join("")}
      };
      const ofMore = {${TYPES.map((type) => walkOf(type, false)).join("")}
      };
      made = Object.fromEntries(
        Object.entries(results).map(([name, Result]) => {
          const make: MakeWalk = (walked, lines, first, size) => {
            const isLine = lines.next() && lines.count === size;
            const Class = (isLine ? ofOneLine : ofMore)[name as RealType];
            const walk: Walk = new Class(walked, lines, first, new Result());
            walk.#begin();
            return walk as Any;
          };
          return [name, make];
        }),
      ) as Any;
    }
  };

  return made!;
})();

/** What a cursor needs to know of its records. */
export interface CursorWindow {
  readonly values: DataView;
  readonly faults: Int32Array;
  readonly isWritable: boolean;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly size: number;
  readonly first: number;
  /** Looks where the bytes are now. */
  look(): unknown;
  /** The byte of a record in \`values\`. Throws if there is none with that index. */
  locateFlat(index: unknown): number;
}

/** A field, as a cursor sees it. */
export interface CursorField {
  readonly offset: number;
  readonly isLittle: boolean;
  /** Reads it in the record at byte \`at\`. */
  read(window: Any, at: number): unknown;
  /** A value as bytes, which \`store\` writes. May run the caller's code. */
  encode(value: unknown): unknown;
  store(window: Any, at: number, encoded: Any): void;
}

/** The property of a cursor for a field. */
type Accessor = (field: CursorField) => PropertyDescriptor;

/** What makes classes of cursors. */
export interface Cursors {
  /** The properties for fields of the types that DataView reads. */
  readonly accessors: Readonly<Record<RealType, Accessor>>;
  /** For a field of any other type. */
  readonly other: Accessor;
  /** For a field of records: a cursor of the class that \`inner\` returns. */
  readonly nested: (
    field: CursorField,
    inner: () => new (...args: Any[]) => object,
  ) => PropertyDescriptor;
  /** The class of cursors with these properties. */
  readonly classOf: (
    properties: readonly (readonly [name: string, of: PropertyDescriptor])[],
    hasIndex: boolean,
  ) => new (...args: Any[]) => object;
  /** A cursor at the first record. */
  readonly make: (
    Class: new (...args: Any[]) => object,
    window: CursorWindow,
  ) => object;
}

/**
 * Cursors: one object with a property for each field, moved from record to record.
 *
 * Each record type has a class of its own, so that a loop sees one class. All that the
 * classes have in common is text that would see them all, and private fields of more
 * than four classes are slow in V8. So what a cursor knows is in an object of a single
 * class, whose private fields nobody else can read; the way there is a property of the
 * cursor, with a name that is no field's, which cannot be changed.
 */
export const CURSORS: Cursors = (() => {
  let made: Cursors;

  // Nobody needs the class itself: its static block makes what is returned.
  void class Position {
    readonly #window: CursorWindow;
    /** That of the outermost record, which alone is moved, and where in it this begins. */
    readonly #root: Position;
    readonly #offset: number;
    #inner: Map<CursorField, object> | null = null;
    #index = 0;
    /** Where the record is in \`values\`. */
    #at = 0;
    #values: DataView = NO_BYTES;
    #writable: DataView = NO_BYTES;
    #faults: Int32Array = NO_FAULTS;
    /** Where records are if there is one axis. There are none until it has looked. */
    #size = 0;
    #first = 0;
    #step = 0;

    constructor(window: CursorWindow, root: Position | null, offset: number) {
      this.#window = window;
      this.#root = root ?? this;
      this.#offset = offset;
    }

    /** Looks where the record is now, and returns its byte in \`values\`. */
    #look(): number {
      const root = this.#root;
      const window = this.#window;
      window.look();
      root.#at = window.locateFlat(root.#index);
      root.#values = window.values;
      root.#writable = window.isWritable ? window.values : NO_BYTES;
      root.#faults = window.faults;
      const isVector = window.shape.length === 1;
      root.#size = isVector ? window.size : 0;
      root.#first = window.first;
      root.#step = isVector ? window.strides[0]! : 0;
      return root.#at + this.#offset;
    }

    #moveAny(index: Any): void {
      this.#window.look();
      this.#window.locateFlat(index);
      this.#index = index;
      this.#look();
    }

    #read(field: CursorField): Any {
      return field.read(this.#window, this.#look());
    }

    #write(field: CursorField, value: unknown): void {
      const encoded = field.encode(value);
      field.store(this.#window, this.#look(), encoded);
    }

    #nested(
      field: CursorField,
      inner: () => new (...args: Any[]) => object,
    ): object {
      const all = this.#inner ??= new Map();
      const known = all.get(field);
      if (known !== undefined) return known;
      const offset = this.#offset + field.offset;
      const cursor = new (inner())(
        new Position(this.#window, this.#root, offset),
      );
      all.set(field, cursor);
      return cursor;
    }

    static {
      const accessors: Cursors["accessors"] = {${TYPES.map(accessorOf).join("")}
      };
      const of = (cursor: Any): Position => cursor["memmap position"];
      const other: Accessor = (field) => ({
        get(): Any {
          return of(this).#read(field);
        },
        set(value: Any) {
          of(this).#write(field, value);
        },
      });
      const nested: Cursors["nested"] = (field, inner) => ({
        get(): Any {
          return of(this).#nested(field, inner);
        },
        set(value: Any) {
          of(this).#write(field, value);
        },
      });
      const index: PropertyDescriptor = {
        get(this: Any): number {
          const position: Position = this["memmap position"];
          return position.#index;
        },
        set(this: Any, i: Any) {
          const position: Position = this["memmap position"];
          try {
            const isOne = i >= 0 && i < position.#size && Math.floor(i) === i;
            GATE.getUint8(isOne ? 0 : 1);
            position.#at = i * position.#step + position.#first;
            position.#index = i;
            return;
          } catch { /* below */ }
          position.#moveAny(i);
        },
      };
      const classOf: Cursors["classOf"] = (properties, hasIndex) => {
        const Class = class {
          constructor(position: Position) {
            Object.defineProperty(this, "memmap position", { value: position });
          }
        };
        const own = hasIndex ? [["index", index] as const] : [];
        for (const [name, property] of [...properties, ...own]) {
          Object.defineProperty(Class.prototype, name, {
            ...property,
            configurable: false,
            enumerable: true,
          });
        }
        return Class as Any;
      };
      const make: Cursors["make"] = (Class, window) => {
        const position = new Position(window, null, 0);
        return new Class(position);
      };
      made = { accessors, other, nested, classOf, make };
    }
  };

  return made!;
})();
`;

if (process.argv.includes("--check")) {
  const found = fs.existsSync(FILE) ? fs.readFileSync(FILE, "utf8") : "";
  if (found !== TEXT) {
    console.error(
      "src/arrays/elements.generated.ts is not what scripts/elements.ts writes: run it.",
    );
    process.exit(1);
  }
} else {
  fs.writeFileSync(FILE, TEXT);
}
