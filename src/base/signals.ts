/**
 * Signals that abort what takes long.
 *
 * @module
 */

import { stateOfSignal } from "./intrinsics.ts";
import { shown } from "./shown.ts";

/** What aborts: an `AbortSignal`, read without running code of the caller's. */
export interface Abort {
  /** Throws the signal's reason once it was aborted. */
  check(): void;
}

/** Throws a `TypeError` unless it is an `AbortSignal`, or was left out. */
export function checkSignal(signal: unknown): Abort | undefined {
  if (signal === undefined) return undefined;
  const state = stateOfSignal(signal);
  if (state === undefined) {
    throw new TypeError(`signal must be an AbortSignal, not ${shown(signal)}.`);
  }
  return {
    check() {
      if (state.isAborted()) throw state.reason();
    },
  };
}
