/**
 * The public map and its slices, and the one state behind them: opening, editing,
 * flushing. Nothing but the entry points may import it.
 *
 * @module
 */

export type { SliceExtent, SliceState } from "./extent.ts";
export type {
  FlushAsyncOptions,
  FlushOptions,
  FlushResult,
  Progress,
  Strategy,
} from "./flush/mod.ts";
export {
  type Advice,
  type LoadOptions,
  type LockOptions,
  MappedBytes,
} from "./mapped_bytes.ts";
export {
  close,
  type CloseAsyncOptions,
  type CloseOptions,
  type LayoutEntry,
  Memmap,
  open,
} from "./memmap.ts";
export type { OpenOptions } from "./open.ts";
export type { Stale } from "../storage/mod.ts";
export { MemmapSlice } from "./slice.ts";
export type { WrittenRange } from "./written.ts";
