/**
 * The four modes, their long names, and what each allows.
 *
 * @module
 */

/** How a file is opened; the long names are numarray's. */
export type Mode =
  | "r"
  | "c"
  | "r+"
  | "w+"
  | "readonly"
  | "copyonwrite"
  | "readwrite"
  | "write";

/** A mode by its short name. */
export type ShortMode = "r" | "c" | "r+" | "w+";

const SHORT: Readonly<Record<string, ShortMode>> = {
  "r": "r",
  "c": "c",
  "r+": "r+",
  "w+": "w+",
  readonly: "r",
  copyonwrite: "c",
  readwrite: "r+",
  write: "w+",
};

/** The short name of a mode; a `TypeError` lists the modes for anything else. */
export function shortMode(mode: string): ShortMode {
  if (Object.hasOwn(SHORT, mode)) return SHORT[mode];
  const known = Object.keys(SHORT).map((name) => `'${name}'`).join(", ");
  throw new TypeError(`Unknown mode '${mode}'; the modes are ${known}.`);
}

/** May bytes be written through the slices, to the file or to a private copy? */
export function isEditable(mode: ShortMode): boolean {
  return mode !== "r";
}

/** Do writes reach the file? */
export function isWritable(mode: ShortMode): boolean {
  return mode === "r+" || mode === "w+";
}
