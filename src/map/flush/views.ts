/**
 * What becomes of the views that users have when a flush begins that lets the event
 * loop go on: no write through one of them may be silently lost.
 *
 * Floating bytes are copied at any time until the end, so their views are detached at
 * once, and the slice gives out copies. Mapped bytes that stay where they are keep
 * their views. Those of a file that will be replaced do not: what is written after it
 * was copied would be in the old file alone.
 *
 * @module
 */

import { BREATH, type Steps } from "../../storage/mod.ts";
import type { OpenMap } from "../open_map.ts";

/** Slices between two pauses. */
const BETWEEN = 4096;

/** Before anything is looked at: of what floats. Arrays may only read from now on. */
export function* dropEdited(map: OpenMap): Steps {
  let turns = 0;
  for (const extent of map.registry) {
    if (++turns % BETWEEN === 0) yield BREATH;
    if (extent.isFloating) extent.dropViews();
    else extent.dropOwnView();
  }
}

/** Before the file is copied: of all that is mapped. */
export function* dropMapped(map: OpenMap): Steps {
  const { file, isPrivate, mappedLength, isGuarded, meanwhile } = map;
  const { fd, path } = file;
  // Private bytes are in its own mapping alone.
  meanwhile.keepPrivate(
    isPrivate ? "copied" : { fd, path, length: mappedLength, isGuarded },
  );
  let turns = 0;
  for (const extent of map.registry) {
    if (++turns % BETWEEN === 0) yield BREATH;
    extent.dropViews();
  }
}
