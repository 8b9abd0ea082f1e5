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

/** Arguments to be pushed onto the stack, 8 bytes each. */
function room(bytes: number): readonly undefined[] {
  return new Array<undefined>(bytes / 8).fill(undefined);
}

const LITTLE = room(2 ** 12);
const MOST = room(2 ** 17);

function nothing(): void {}

/**
 * Throws the runtime's own `RangeError` unless the stack has 4 KiB left: for a few
 * steps that only change memory, and call nothing for the first time. Costs as much as
 * pushing that much, 0.2 us.
 */
export function checkStack(): void {
  apply(nothing, undefined, LITTLE);
}

/**
 * The same for 128 KiB, in some 10 us: for many steps that belong together and call the
 * system or the runtime, as those of a flush. V8 compiles a function at its first call,
 * and wants 40 KiB for that.
 */
export function checkDeepestStack(): void {
  apply(nothing, undefined, MOST);
}
