/**
 * Room on the stack.
 *
 * A caller who recurses deeply gets "Maximum call stack size exceeded" wherever the
 * stack happens to end, which may be between two steps of ours, and may catch it. So
 * whatever takes steps that belong together asks for room first: then the error comes
 * before the first of them.
 *
 * @module
 */

const { apply } = Reflect;

/** 128 KiB of arguments to be pushed onto the stack, 8 bytes each. */
const MOST = new Array<undefined>(2 ** 14).fill(undefined);

function nothing(): void {}

/** Calls itself. Not as the last thing it does, which JavaScriptCore makes a loop of. */
function dig(
  depth: number,
  a: number,
  b: number,
  c: number,
  d: number,
  e: number,
): number {
  return depth === 0 ? 0 : 1 + dig(depth - 1, a, b, c, d, e);
}

/**
 * Throws the runtime's own `RangeError` unless the stack has 4 KiB left: for a few
 * steps that only change memory, and call nothing for the first time. Six arguments and
 * what a call saves take 88 bytes; of the 96 calls, JavaScriptCore may merge two into
 * one. That is ten times as fast as pushing as much as the arguments of one.
 */
export function checkStack(): void {
  dig(96, 0, 0, 0, 0, 0);
}

/**
 * The same for 128 KiB, in some 10 us: for many steps that belong together and call the
 * system or the runtime, as those of a flush. V8 compiles a function at its first call,
 * and wants 40 KiB for that.
 */
export function checkDeepestStack(): void {
  apply(nothing, undefined, MOST);
}
