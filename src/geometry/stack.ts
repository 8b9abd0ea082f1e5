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

/** Arguments of a call, and what the engine saves for it: bytes on the stack. */
const FRAME = 8 * 33 + 40;

/**
 * Calls itself, with many arguments. Not as the last thing it does, which JavaScriptCore
 * makes a loop of.
 */
// deno-fmt-ignore
function dig(
  depth: number,
  a0: number, a1: number, a2: number, a3: number, a4: number, a5: number, a6: number, a7: number,
  b0: number, b1: number, b2: number, b3: number, b4: number, b5: number, b6: number, b7: number,
  c0: number, c1: number, c2: number, c3: number, c4: number, c5: number, c6: number, c7: number,
  d0: number, d1: number, d2: number, d3: number, d4: number, d5: number, d6: number, d7: number,
): number {
  return depth === 0 ? 0 : 1 + dig(
    depth - 1,
    a0, a1, a2, a3, a4, a5, a6, a7,
    b0, b1, b2, b3, b4, b5, b6, b7,
    c0, c1, c2, c3, c4, c5, c6, c7,
    d0, d1, d2, d3, d4, d5, d6, d7,
  );
}

// deno-fmt-ignore
function checkRoom(calls: number): void {
  dig(
    calls,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  );
}

// Three times as many calls, where that costs little: an engine may merge some of them.
const LITTLE = 3 * Math.ceil(2 ** 12 / FRAME);
const MOST = Math.ceil(2 ** 17 / FRAME);

/**
 * Throws the runtime's own `RangeError` unless the stack has 4 KiB left: for a few
 * steps that only change memory, and call nothing for the first time. Costs 0.2 us.
 */
export function checkStack(): void {
  checkRoom(LITTLE);
}

// Not by calls: of so few arguments that an engine does not need five times as long.
const { apply } = Reflect;
const EIGHT_KIB: readonly number[] = new Array(2 ** 13 / 8).fill(0);
const nothing = () => {};

/**
 * The same for 8 KiB, in less than a microsecond: for steps that call the system or the
 * runtime, and nothing for the first time.
 */
export function checkStackForCalls(): void {
  apply(nothing, undefined, EIGHT_KIB);
}

/**
 * The same for 128 KiB, in some 10 us: for many steps that belong together and call the
 * system or the runtime, as those of a flush. V8 compiles a function at its first call,
 * and wants 40 KiB for that. One call with so many arguments takes V8 five times as long.
 */
export function checkDeepestStack(): void {
  checkRoom(MOST);
}
