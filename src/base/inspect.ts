/**
 * What the REPLs of Deno, Bun and Node print: an object's `toString()`.
 *
 * @module
 */

const CUSTOM_INSPECT = [
  Symbol.for("nodejs.util.inspect.custom"), // Node and Bun
  Symbol.for("Deno.customInspect"),
];

/**
 * Makes `console.log` print instances of `type` as `toString()` does. What only
 * inherits from one, as `type.prototype` does itself, prints as the class's name.
 */
export function printAsString(
  type: { name: string; prototype: { toString(): string } },
  isInstance: (value: object) => boolean,
): void {
  for (const key of CUSTOM_INSPECT) {
    Object.defineProperty(type.prototype, key, {
      value(this: object): string {
        return isInstance(this) ? String(this) : type.name;
      },
    });
  }
}
