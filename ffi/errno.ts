/**
 * Keeps what errno said right after a call of the C library.
 *
 * errno belongs to the whole thread, and a runtime has calls of its own to make on
 * it. A garbage collection between a failed call and a question about errno is
 * enough: one in some millions of answers was `EAGAIN`, of a futex in Deno's, where
 * it had been `ENODATA`. So errno is not asked for by another call, which takes
 * memory: it is one load from the thread's own memory, made with each call. What is
 * left: Deno makes a bigint of an answer of 64 bits before that. None was seen to
 * be wrong in 40 million of those; where one is, a hole is copied as bytes, or a
 * copy made by reading and writing, or an `mmap` that failed is explained wrongly.
 *
 * @module
 */

/** See {@linkcode keepErrno}. */
export interface ErrnoKeeper {
  /** One element: the thread's errno itself. */
  readonly now: Int32Array;
  /** The `result` of a call as a number; if that is -1, `errno` is kept. */
  noted(result: number | bigint, errno: number): number;
  /** What was kept last. */
  last(): number;
}

/**
 * Keeps errno for one thread, at whose address of it `buffer` lies. To be used in
 * one expression, whose parts are evaluated from left to right:
 *
 * ```ts ignore
 * noted(c.munmap(address, length), now[0])
 * ```
 *
 * Sound: a thread's errno stays where it is as long as the thread lives, and neither
 * runtime moves an isolate from one thread to another.
 */
export function keepErrno(buffer: ArrayBuffer): ErrnoKeeper {
  let kept = 0;
  return {
    now: new Int32Array(buffer),
    noted(result, errno) {
      const answer = Number(result);
      if (answer === -1) kept = errno;
      return answer;
    },
    last: () => kept,
  };
}
