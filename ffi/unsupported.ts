/**
 * The error for runtimes and systems without a backend. Knows none of them.
 *
 * @module
 */

/**
 * This runtime, operating system or architecture has no backend.
 *
 * Importing memmap never throws it; opening a file does.
 */
export class UnsupportedError extends Error {
  /** `"UnsupportedError"`. */
  override name = "UnsupportedError";
  /** Always `"ERR_MEMMAP_UNSUPPORTED"`. */
  readonly code = "ERR_MEMMAP_UNSUPPORTED";
}
