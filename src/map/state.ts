/**
 * The state of one open map, and who may change it: the methods here alone.
 *
 * ```text
 *                        beginFlush             endFlush, waited for the disk
 *   opened ──▶ ┌───────────┐ ──▶ ┌──────────┐ ──▶ open
 *              │   open    │     │ flushing │     endFlush, failed or did not wait
 *              └───────────┘     │          │ ──▶ unsettled
 *              ┌───────────┐ ──▶ │          │     tear
 *   open ◀──── │ unsettled │     └──────────┘ ──▶ torn
 *     settle   └───────────┘
 *
 *   open, unsettled, torn ──▶ closed
 * ```
 *
 * - *open*: the file holds what the books say. Only bytes written to mapped memory may
 *   not be on disk yet, and the mapping knows about those.
 * - *flushing*: a flush is under way, and nobody may use the map.
 * - *unsettled*: the last flush wrote to the file and did not wait for the disk, or it
 *   failed, perhaps after it had written. The next sync waits for the whole file.
 * - *torn*: the file is a mixture, or is no longer mapped as it is, because a flush
 *   failed half-way. Floating slices can be read, and the map can be closed. It is
 *   never flushed again, and each sync waits for the whole file.
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
    this.checkWhole(path);
    this.#name = "flushing";
  }

  /** Throws if the file is a mixture. */
  checkWhole(path: string): void {
    if (this.#name !== "torn") return;
    throw new ConflictError(
      `'${path}' was left half-way by a flush that failed, so it cannot be ` +
        "flushed again. Floating slices can still be read; " +
        "close({ discard: true }) closes the map.",
    );
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
