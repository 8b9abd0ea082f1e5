/**
 * Checks on the paths that users give.
 *
 * @module
 */

import { shown } from "./shown.ts";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** A path that was checked. */
export interface CheckedPath {
  /** Absolute. */
  readonly path: string;
  /** As the user gave it. */
  readonly label: string;
}

/** Reads a path, which may be a `file:` URL; a `TypeError` says what is wrong with it. */
export function checkPath(given: string | URL): CheckedPath {
  const label = given instanceof URL ? fileURLToPath(given) : given;
  if (typeof label !== "string") {
    throw new TypeError(
      `A path must be a string or a file: URL, not ${shown(label)}.`,
    );
  }
  if (label.includes("\0")) {
    throw new TypeError(
      `A path cannot contain a NUL byte: ${JSON.stringify(label)}.`,
    );
  }
  if (label === "") throw new TypeError("A path cannot be empty.");
  return { path: absolute(label), label };
}

/**
 * Leaves ".." to the system, which knows the links that it leads through. A path that
 * can only be a folder's keeps a slash at its end: "file/" is not "file".
 */
function absolute(path: string): string {
  const names = path.split("/");
  if (names.includes("..")) {
    return isAbsolute(path) ? path : `${resolve()}/${path}`;
  }
  const isFolder = ["", "."].includes(names.at(-1)!);
  const resolved = resolve(path);
  return isFolder && resolved !== "/" ? `${resolved}/` : resolved;
}
