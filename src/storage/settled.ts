/**
 * Whether all of a file is on the disk still, after a wait for that.
 *
 * Nobody tells whether others have written since, but a file system that stamps each
 * change exactly does: Linux since 6.13, where somebody has looked at the time of the
 * last change (`Documentation/filesystems/multigrain-ts.rst`). Others stamp with the time
 * of the last tick of a clock, and two changes within one tick look like one. Which it is
 * shows when a file of our own is written to twice.
 *
 * What is written through another process's map counts as well: the first write to a page
 * that is on the disk changes the time. Unseen is a write for which the system was just
 * making the page writable when the wait began, and which came after it.
 *
 * @module
 */

import { stampsExactly } from "./blocks.ts";
import type { OpenFile } from "./open_file.ts";
import { changeTimeOf, statusOf } from "./status.ts";

/**
 * Nanoseconds: less than a tick of any clock, since the kernel has up to a thousand of
 * them a second, and more than two writes take.
 */
const TICK = 500_000n;
/** Pairs of writes, and how many of them must be told apart in less than a tick. */
const [PAIRS, TOLD_APART] = [4, 2];

/** Is all of one file on the disk? Whoever asks holds the file's lock. */
export class Settled {
  readonly #file: OpenFile;
  #isExact: boolean | undefined;
  /** When that was changed last of which all is on the disk. */
  #since: bigint | undefined;

  constructor(file: OpenFile) {
    this.#file = file;
  }

  /** Is it known that nobody has changed the file since the wait that ended last? */
  get isSettled(): boolean {
    return this.#since !== undefined &&
      changeTimeOf(this.#file.fd) === this.#since;
  }

  /**
   * Finds out, once, whether changes are stamped exactly. `scratch` is a file of our own
   * beside the other one, of which the byte at `at` says nothing.
   */
  tryOut(scratch: OpenFile, at: number): void {
    this.#isExact ??= isStampedExactly(this.#file, scratch, at);
  }

  /** To be called before a wait for the disk. Returns what to call once it has ended. */
  beginWait(): () => void {
    this.#since = undefined;
    if (!this.#isExact) return () => {};
    const before = changeTimeOf(this.#file.fd);
    return () => {
      this.#since = before;
    };
  }
}

function isStampedExactly(
  file: OpenFile,
  scratch: OpenFile,
  at: number,
): boolean {
  const deviceOf = ({ fd, path }: OpenFile) => statusOf(fd, path).dev;
  if (deviceOf(file) !== deviceOf(scratch) || !stampsExactly(file)) {
    return false;
  }
  let toldApart = 0;
  for (let i = 0; i < PAIRS; i++) {
    const [first, second] = [0, 1].map((byte) => {
      scratch.write(Uint8Array.of(byte), at);
      return changeTimeOf(scratch.fd);
    });
    if (first === undefined || second === undefined) return false;
    if (second <= first) return false;
    if (second - first < TICK) toldApart++;
  }
  return toldApart >= TOLD_APART;
}
