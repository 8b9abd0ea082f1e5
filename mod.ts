/**
 * Memory-mapped files for Deno and Bun.
 *
 * {@linkcode open} maps a file of any size; the {@linkcode Memmap} is cut into
 * {@linkcode MemmapSlice}s that never overlap, each of which is memory to read,
 * write and resize. {@linkcode Memmap.flush} puts resized and inserted slices
 * back into the file, safely. `mmap`, `msync` and `munmap` are called straight
 * from TypeScript; nothing is compiled or downloaded.
 *
 * The model is that of `numarray.memmap` (2002–2006):
 *
 * - A **Memmap** is one mapped file, cut into **slices** that never overlap and
 *   can be resized.
 * - A resized or inserted slice is **floating**: its bytes live in memory until
 *   `flush()`.
 * - `flush()` puts floating slices into the file, moves what follows them, and
 *   maps everything again. `sync()` only makes sure that bytes already in the
 *   mapped file are on disk.
 * - **Offsets are file offsets as of the last flush.** They do not shift while
 *   edits are pending. `length` alone looks ahead.
 *
 * ```ts
 * import { open } from "@memmap/memmap";
 * import assert from "node:assert/strict";
 *
 * using map = open("memmap.tst", "w+", { length: 48 });
 * const n = map.slice(0, 16); // bytes 0 to 16 of the file, as memory
 * n.bytes.fill(1);
 * n.resize(24); // floats: in memory until flushed
 * map.insert(48, new Uint8Array([1, 2, 3]));
 * assert.equal(map.length, 59);
 * map.flush(); // the file has 59 bytes now
 * assert.equal(map.slice(24, 56).bytes[0], 0);
 * ```
 *
 * In Deno, run with `--allow-ffi`, `--allow-read` and, to write, `--allow-write`.
 *
 * @module
 */

export {
  type ArrayOf,
  type ArrayOptions,
  type ByteOrder,
  type ChangeOf,
  type Changes,
  type Complex,
  type Cursor,
  type DType,
  type DTypeOf,
  type Element,
  type ElementTypes,
  type EntryValue,
  type FieldArray,
  type FieldEntry,
  type FieldName,
  type FieldObject,
  type Fields,
  type FieldType,
  isTypeName,
  MemmapArray,
  MemmapRecords,
  MemmapStrings,
  type NameOf,
  type NDArray,
  type NumarrayNames,
  type NumpyCodes,
  type OrderSign,
  type Padding,
  type PartOf,
  type RecordField,
  type RecordOptions,
  type Row,
  type Shaped,
  type StringEncoding,
  type StringName,
  type StringOptions,
  type TypedArrayOf,
  type TypeName,
  type TypeOf,
  type ValueOf,
  type VoidName,
} from "./src/arrays/mod.ts";
export {
  BusyError,
  ClosedError,
  ConflictError,
  DeletedSliceError,
  FaultError,
  isMemmapError,
  type MemmapError,
  type Mode,
  OverlapError,
  ReadonlyError,
  type ShortMode,
  SystemError,
  UnsupportedError,
} from "./src/base/mod.ts";
export {
  type Advice,
  close,
  type CloseAsyncOptions,
  type CloseOptions,
  type FlushAsyncOptions,
  type FlushOptions,
  type FlushResult,
  type LayoutEntry,
  type LoadOptions,
  type LockOptions,
  type MappedBytes,
  Memmap,
  MemmapSlice,
  open,
  type OpenOptions,
  type Progress,
  type SliceState,
  type Stale,
  type Strategy,
  type WrittenRange,
} from "./src/map/mod.ts";
