/**
 * The only room that maps and unmaps. Owns addresses and their lifetimes: mappings,
 * the arena of floating bytes, search in mapped bytes. Knows nothing of slices,
 * modes or files beyond a descriptor.
 *
 * @module
 */

export { Arena, type Piece } from "./arena.ts";
export { Mapping } from "./mapping.ts";
export { findFirst, findLast, patternBytes } from "./search.ts";
