/**
 * Reads of a file whose bytes nobody wants: they leave them in the system's memory.
 *
 * The runtime's own threads make them, so that the one that asks goes on. The file has a
 * descriptor of its own for that, which stays open until the last of them has ended,
 * whatever becomes of the map meanwhile: its number could be another file's by then.
 *
 * @module
 */

import * as fs from "node:fs";
import { system } from "../base/mod.ts";
import { closeEntry } from "./entries.ts";

/** Bytes that are read at a time, at the most. */
export const READ_AHEAD: number = 2 ** 20;

/** Reads that are made by other threads. */
export class ReadAhead {
  readonly #fd: number;
  readonly #path: string;
  /** What is read into. */
  readonly #scratch: Uint8Array[] = [];
  #running = 0;
  #isClosed = false;

  /** Takes over `fd`; `path` is for error messages. */
  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /** Reads up to {@linkcode READ_AHEAD} bytes, or what there is of them. */
  read(position: number, length: number): Promise<void> {
    const bytes = this.#scratch.pop() ?? new Uint8Array(READ_AHEAD);
    this.#running++;
    return new Promise((resolve, reject) => {
      fs.read(this.#fd, bytes, 0, length, position, (error) => {
        this.#running--;
        this.#scratch.push(bytes);
        this.#closeIfIdle();
        // Interrupted, or done: nobody needs just these bytes.
        if (!error || error.code === "EINTR") return resolve();
        try {
          system("read", this.#path, () => {
            throw error;
          });
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Closes the descriptor, once nothing is read any more. */
  close(): void {
    this.#isClosed = true;
    this.#closeIfIdle();
  }

  #closeIfIdle(): void {
    if (!this.#isClosed || this.#running > 0) return;
    try {
      closeEntry(this.#fd);
    } catch {
      // It is gone whatever the system says, and nothing was written to it.
    }
  }
}
