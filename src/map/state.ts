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
 *     settle   └───────────┘      ▲ keepOut │
 *                │                │         │
 *     open ──────┴▶ beginSaving ┌────────┐  │
 *                               │ saving │ ──▶ as from flushing
 *                               └────────┘
 *
 *   open, unsettled, torn, saving ──▶ closed
 * ```
 *
 * - *open*: the file holds what the books say. Only bytes written to mapped memory may
 *   not be on disk yet, and the mapping knows about those.
 * - *flushing*: a flush is under way, and nobody may use the map.
 * - *saving*: a flush is under way that lets the event loop go on. The map can be read,
 *   and not changed. Where bytes are about to be moved or cut off that readers may be
 *   at, it goes on as *flushing*.
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
export type StateName =
  | "open"
  | "flushing"
  | "saving"
  | "unsettled"
  | "torn"
  | "closed";

/** The state of the map of the file at `path`. */
export class MapState {
  #name: StateName = "open";
  /** Does the flush under way let the event loop go on? */
  #isAsync = false;
  /** How many flushes have begun: what was found out before one is old. */
  #flushes = 0;

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

  get flushes(): number {
    return this.#flushes;
  }

  /** Is a flush under way that lets the event loop go on? */
  get isAsync(): boolean {
    return this.#isAsync;
  }

  /** Is a flush under way? */
  get isFlushing(): boolean {
    return this.#name === "flushing" || this.#name === "saving";
  }

  /** Is one under way that lets the map be read? */
  get isSaving(): boolean {
    return this.#name === "saving";
  }

  /** Throws unless the map can be read now. */
  checkUsable(path: string): void {
    if (this.#name === "closed") {
      throw new ClosedError(
        `The map of '${path}' is closed; open the file again to use it.`,
      );
    }
    if (this.#name === "flushing") {
      throw new BusyError(
        this.#isAsync
          ? `The map of '${path}' is being flushed by flushAsync(), which moves or ` +
            "cuts off bytes in the file itself; await it first."
          : `The map of '${path}' is being flushed; onProgress must not use it.`,
      );
    }
  }

  /** Throws unless the map, and what it says of its slices, can be changed now. */
  checkIdle(path: string): void {
    this.checkUsable(path);
    if (this.#name === "saving") {
      throw new BusyError(
        `The map of '${path}' is being flushed by flushAsync(), and can only be read ` +
          "until then; await it first.",
      );
    }
  }

  /** A flush begins. Throws where it must not. */
  beginFlush(path: string): void {
    this.#begin(path, "flushing");
  }

  /** The same, of one that lets the event loop go on. */
  beginSaving(path: string): void {
    this.#begin(path, "saving");
    this.#isAsync = true;
  }

  /** The flush under way is about to move or to cut off what readers may be at. */
  keepOut(): void {
    if (this.#name === "saving") this.#name = "flushing";
  }

  #begin(path: string, name: "flushing" | "saving"): void {
    this.checkIdle(path);
    this.checkWhole(path);
    this.#name = name;
    this.#flushes++;
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
    this.#isAsync = false;
    if (this.#name !== "flushing" && this.#name !== "saving") return; // torn
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
