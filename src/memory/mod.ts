/**
 * The memory room: the only one that maps and unmaps.
 *
 * Owns addresses and their lifetimes: mappings, the ArrayBuffers over them, the arena
 * of floating bytes, what stays reserved after a release, and search in mapped bytes.
 * Must not know slices, modes, or of a file more than its descriptor, and its path for
 * messages.
 *
 * @module
 */

export { Arena, type Piece } from "./arena.ts";
export { isDetached } from "./buffers.ts";
export { Mapping } from "./mapping.ts";
export { findFirst, findLast, patternBytes } from "./search.ts";
