/**
 * ArrayBuffers that are in users' hands: is one detached, and detaching it.
 *
 * Users may define properties on a buffer, and patch `ArrayBuffer.prototype`. What is
 * unmapped depends on the answers given here. So both functions are taken from the
 * prototype when this file is loaded, and no property of a buffer is looked up.
 *
 * Must not know what a buffer lies over.
 *
 * @module
 */

const { apply } = Reflect;
const { transfer } = ArrayBuffer.prototype;
// Older releases of Node.js have neither. Importing is harmless there, and nothing opens.
const detached = Object.getOwnPropertyDescriptor(
  ArrayBuffer.prototype,
  "detached",
)?.get as (this: ArrayBuffer) => boolean;
/** How an engine refuses to detach a buffer. */
const Refusal = TypeError;

export function isDetached(buffer: ArrayBuffer): boolean {
  return apply(detached, buffer, []);
}

/**
 * Detaches `buffer`. Returns false if that cannot be done, so that somebody can still
 * reach its bytes. `transfer(0)` never copies: plain `transfer()` would, of a buffer
 * that Bun pins.
 */
export function detach(buffer: ArrayBuffer): boolean {
  if (isDetached(buffer)) return false; // moved by the user, who still reaches the bytes
  try {
    apply(transfer, buffer, [0]);
  } catch (error) {
    // Too deep a stack, or no heap left: nothing is known, and it can be tried again.
    if (!(error instanceof Refusal)) throw error;
    return false; // it is as attached as before
  }
  return isDetached(buffer);
}
