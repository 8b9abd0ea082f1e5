/**
 * The four modes in which a file is opened: their names, and what each allows.
 *
 * Must not know how a file is opened or mapped in a mode.
 *
 * @module
 */

import { shown } from "./shown.ts";

/** How a file is opened. The long names are numarray's. */
export type Mode =
  | "r"
  | "c"
  | "r+"
  | "w+"
  | "readonly"
  | "copyonwrite"
  | "readwrite"
  | "write";

/** The short names of the modes. */
export type ShortMode = "r" | "c" | "r+" | "w+";

const SHORT_MODES: ReadonlyMap<string, ShortMode> = new Map<Mode, ShortMode>([
  ["r", "r"],
  ["c", "c"],
  ["r+", "r+"],
  ["w+", "w+"],
  ["readonly", "r"],
  ["copyonwrite", "c"],
  ["readwrite", "r+"],
  ["write", "w+"],
]);

/** The short name of a mode. Throws a `TypeError` that lists the modes for anything else. */
export function shortMode(mode: string): ShortMode {
  const short = SHORT_MODES.get(mode);
  if (short !== undefined) return short;
  if (typeof mode === "object" && mode !== null) {
    throw new TypeError(
      "The mode must be a string, not an object. Options come third: " +
        'open(path, "r+", { length: 4096 }).',
    );
  }
  const known = [...SHORT_MODES.keys()].map((key) => `'${key}'`).join(", ");
  const given = typeof mode === "string" ? `'${mode}'` : shown(mode);
  throw new TypeError(`Unknown mode ${given}; the modes are ${known}.`);
}

/** May bytes be written through slices, be it to the file or to a private copy? */
export function isEditable(mode: ShortMode): boolean {
  return mode !== "r";
}

/** Do writes through slices reach the file? */
export function isWritable(mode: ShortMode): boolean {
  return mode === "r+" || mode === "w+";
}
