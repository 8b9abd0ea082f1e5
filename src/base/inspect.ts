/**
 * Makes the REPLs of Deno, Bun and Node.js print an object by its `toString()`.
 *
 * Must not know the classes that print themselves so.
 *
 * @module
 */

const CUSTOM_INSPECT = [
  Symbol.for("nodejs.util.inspect.custom"), // Node.js and Bun
  Symbol.for("Deno.customInspect"),
];

/**
 * Makes `console.log` print instances of `type` as `toString()` does. Objects that
 * inherit from `type.prototype` without being instances, and the prototype itself,
 * print as the class's name: `toString()` would throw for them.
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
