/**
 * Cursors: which properties the class of a record type's cursors has.
 *
 * The class itself is in `elements.generated.ts`; it is made once a type, when the first
 * cursor is asked for.
 *
 * @module
 */

import { countOf } from "../geometry/mod.ts";
import {
  type CursorField,
  CURSORS,
  type RealType,
} from "./elements.generated.ts";
import {
  encodeField,
  type Field,
  type Range,
  readField,
  type RecordCodec,
} from "./record_type.ts";
import { writeRow } from "./rows.ts";
import type { Window } from "./window.ts";

type CursorClass = ReturnType<typeof CURSORS.classOf>;

const OUTER = new WeakMap<RecordCodec, CursorClass>();
/** Those of records within records, which no index moves. */
const INNER = new WeakMap<RecordCodec, CursorClass>();

/** A cursor over the records of a window. */
export function cursorOf(window: Window<RecordCodec>): object {
  return CURSORS.make(classOf(window.codec, true), window);
}

function classOf(codec: RecordCodec, hasIndex: boolean): CursorClass {
  const classes = hasIndex ? OUTER : INNER;
  const known = classes.get(codec);
  if (known !== undefined) return known;
  const taken = [...hasIndex ? ["index"] : [], "memmap position"]
    .find((name) => codec.byName.has(name));
  if (taken !== undefined) {
    throw new TypeError(
      `A cursor cannot have the field "${taken}", since that is what moves it: use ` +
        `field("${taken}"), or get().`,
    );
  }
  const made = CURSORS.classOf(
    codec.fields.map((field) => [field.name, propertyOf(field)] as const),
    hasIndex,
  );
  classes.set(codec, made);
  return made;
}

function propertyOf(field: Field): PropertyDescriptor {
  const { codec, shape } = field;
  const { accessors, other, nested } = CURSORS;
  const own = fieldOf(field);
  if (shape.length > 0) return other(own);
  if (codec.kind === "record") return nested(own, () => classOf(codec, false));
  const isReal = codec.kind === "number" && codec.name in accessors;
  return isReal ? accessors[codec.name as RealType](own) : other(own);
}

/** A field's value as bytes, each at its place within a record. */
interface Encoded {
  readonly row: DataView;
  readonly written: readonly Range[];
}

function fieldOf(field: Field): CursorField {
  const { offset, byteOrder, codec, shape } = field;
  const end = offset + countOf(shape) * codec.size;
  return {
    offset,
    isLittle: byteOrder === "little",
    read(window: Window, at) {
      const value = readField(field, window.values, at + offset);
      if (window.faults[0] !== 0) window.memory.checkFaults();
      return value;
    },
    encode(value): Encoded {
      const row = new DataView(new ArrayBuffer(end));
      const written: Range[] = [];
      const note = (range: Range) => written.push(range);
      encodeField(field, value, row, offset, false, note);
      return { row, written };
    },
    store(window: Window<RecordCodec>, at, { row, written }: Encoded) {
      writeRow(window, at, row, written);
    },
  };
}
