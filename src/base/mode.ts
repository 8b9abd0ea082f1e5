/**
 * The four modes in which a file is opened: their names, and what each allows.
 *
 * Must not know how a file is opened or mapped in a mode.
 *
 * @module
 */

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

/** The short name of a mode. Throws a `TypeError` that lists the modes for any other string. */
export function shortMode(mode: string): ShortMode {
  // Converted once: a toString() of the caller may say something else each time.
  const name = String(mode);
  const short = SHORT_MODES.get(name);
  if (short !== undefined) return short;
  const known = [...SHORT_MODES.keys()].map((key) => `'${key}'`).join(", ");
  throw new TypeError(`Unknown mode '${name}'; the modes are ${known}.`);
}

/** May bytes be written through slices, be it to the file or to a private copy? */
export function isEditable(mode: ShortMode): boolean {
  return mode !== "r";
}

/** Do writes through slices reach the file? */
export function isWritable(mode: ShortMode): boolean {
  return mode === "r+" || mode === "w+";
}
