/**
 * Signals that abort what takes long.
 *
 * As with buffers, the language's own methods are asked, as they were when this module
 * was loaded: no code of the caller's runs.
 *
 * @module
 */

import { shown } from "./shown.ts";

const { apply } = Reflect;
const Signal = AbortSignal;
const { throwIfAborted } = AbortSignal.prototype;

/** Throws a `TypeError` unless it is an `AbortSignal`, or was left out. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  if (signal instanceof Signal) {
    apply(throwIfAborted, signal, []); // of what only pretends, too
    return signal;
  }
  throw new TypeError(`signal must be an AbortSignal, not ${shown(signal)}.`);
}

/** Throws the signal's reason once it is aborted. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal !== undefined) apply(throwIfAborted, signal, []);
}
