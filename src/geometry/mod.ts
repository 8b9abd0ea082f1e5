/**
 * Pure arithmetic: which ranges of a file are registered, what a flush would put
 * where, shapes and strides. Imports nothing, so it is tested with plain objects.
 *
 * @module
 */

export {
  appendRun,
  layoutOf,
  type Run,
  runsOf,
  type Segment,
  type Sized,
} from "./layout.ts";
export { Registry } from "./registry.ts";
export {
  type Axes,
  checkShape,
  countOf,
  isContiguous,
  Lines,
  printed,
  reshaped,
  rowMajor,
  spanOf,
} from "./shape.ts";
