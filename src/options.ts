/**
 * Checks on what users give as options.
 *
 * @module
 */

/**
 * Answers `options`, or throws unless it is an object of them: a path or a shape in
 * its place would be taken for no options at all, and the wrong file be written.
 */
export function checkOptions<T extends object>(options: T, example: string): T {
  if (
    typeof options === "object" && options !== null && !Array.isArray(options)
  ) {
    return options;
  }
  throw new TypeError(`Options must be an object, such as ${example}.`);
}
