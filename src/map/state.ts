/**
 * The state of one open map, and who may change it: the methods here alone.
 *
 * ```text
 *              beginFlush                endFlush, on disk
 *   ┌──────┐ ─────────────▶ ┌──────────┐ ──────────────────▶ open
 *   │ open │                │ flushing │
 *   └──────┘    beginFlush  └──────────┘ endFlush, not waited for, or failed
 *      ▲     ┌─────────────────▲   │ │ ─────────────────────▶ unsettled
 *      │     │                     │
 *    settle  │                     │ tear           ┌──────┐
 *   ┌───────────┐                  └──────────────▶ │ torn │
 *   │ unsettled │                                   └──────┘
 *   └───────────┘         close, from open, unsettled and torn ──▶ closed
 * ```
 *
 * - *open*: the file holds what the books say, and is on disk but for what was
 *   written through views.
 * - *flushing*: a flush is under way, and nobody may use the map.
 * - *unsettled*: the last flush wrote to the file and did not wait for the disk, or
 *   failed, perhaps after it had written. The next sync waits for the whole file.
 * - *torn*: a flush failed half-way through the file, which is a mixture. Floating
 *   slices can be read, and the map be closed; it is never flushed again.
 * - *closed*: for good.
 *
 * @module
 */

import { BusyError, ClosedError, ConflictError } from "../base/mod.ts";

/** See above. */
export type StateName = "open" | "flushing" | "unsettled" | "torn" | "closed";

/** The state of the map of the file at `path`. */
export class MapState {
  #name: StateName = "open";

  get name(): StateName {
    return this.#name;
  }

  get isClosed(): boolean {
    return this.#name === "closed";
  }

  /** May bytes of the last flush not be on disk yet? */
  get needsFsync(): boolean {
    return this.#name === "unsettled" || this.#name === "torn";
  }

  /** Throws unless the map can be used now. */
  checkUsable(path: string): void {
    if (this.#name === "closed") {
      throw new ClosedError(
        `The map of '${path}' is closed; open the file again to use it.`,
      );
    }
    if (this.#name === "flushing") {
      throw new BusyError(
        `The map of '${path}' is being flushed; onProgress must not use it.`,
      );
    }
  }

  /** A flush begins. Throws where it must not. */
  beginFlush(path: string): void {
    this.checkUsable(path);
    if (this.#name === "torn") {
      throw new ConflictError(
        `'${path}' was left half-way by an in-place flush that failed, so ` +
          "it cannot be flushed again. Floating slices can still be read; " +
          "close({ discard: true }) lets go of the map.",
      );
    }
    this.#name = "flushing";
  }

  /** The flush under way has left the file half written, and is about to fail. */
  tear(): void {
    this.#name = "torn";
  }

  /** The flush under way has ended. */
  endFlush(hasWaitedForDisk: boolean): void {
    if (this.#name !== "flushing") return; // torn
    this.#name = hasWaitedForDisk ? "open" : "unsettled";
  }

  /** All that the last flush wrote is on disk. */
  settle(): void {
    if (this.#name === "unsettled") this.#name = "open";
  }

  close(): void {
    this.#name = "closed";
  }
}
