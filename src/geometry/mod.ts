/**
 * The geometry room: pure arithmetic on numbers.
 *
 * Owns the ranges of a file that are registered as slices, the layout of a flush, and
 * the shapes and strides of arrays. Must not know of bytes, files, runtimes or any
 * other room: it imports nothing, so its tests use plain objects.
 *
 * @module
 */

export {
  appendRun,
  layingOut,
  layoutOf,
  type Run,
  runsOf,
  type Segment,
  type Sized,
} from "./layout.ts";
export { Registry } from "./registry.ts";
export { checkDeepestStack, checkStack, checkStackForCalls } from "./stack.ts";
export { type Box, type BoxAxis, boxesOf } from "./boxes.ts";
export {
  type Axes,
  boundsOf,
  checkShape,
  columnMajor,
  countOf,
  isContiguous,
  Lines,
  printed,
  reshaped,
  rowMajor,
} from "./shape.ts";
