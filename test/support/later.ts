/**
 * Long calls for tests: made at once, on the thread that runs JavaScript, so that a
 * process that is killed at one of them is killed at the same one each time; and turns
 * of the event loop after each step, in which a test can do something.
 *
 * @module
 */

import * as fs from "node:fs";
import { libc } from "../../ffi/libc.ts";
import { runtime } from "../../ffi/runtime.ts";
import { type Later, provideLater } from "../../src/storage/later.ts";

/**
 * Runs `turn` after each step of a flush; by default that is nothing. Otherwise calls
 * end as they do in this runtime: in Deno, nobody knows why one has failed.
 */
export function atOnce(
  turn: () => void | Promise<void> = () => {},
  changes: Partial<Later> = {},
): Later {
  const { copy_file_range, fallocate, sync_file_range } = libc();
  const isElsewhere = runtime().elsewhere !== null;
  return {
    fsync: async (fd) => await fs.fsyncSync(fd),
    ftruncate: async (fd, size) => await fs.ftruncateSync(fd, size),
    close: async (fd) => await fs.closeSync(fd),
    async write(fd, bytes, position) {
      try {
        return await fs.writeSync(fd, bytes, 0, bytes.length, position);
      } catch (error) {
        if (isElsewhere) return -1;
        throw error;
      }
    },
    copyFileRange: copy_file_range === null || !isElsewhere
      ? null
      : async (...values) => await copy_file_range(...values),
    fallocate: fallocate === null || !isElsewhere
      ? null
      : async (...values) => await fallocate(...values),
    syncFileRange: sync_file_range === null || !isElsewhere
      ? null
      : async (...values) => await sync_file_range(...values),
    isDue: () => true,
    async turn() {
      await turn();
    },
    ...changes,
  };
}

/** Runs `use` with other long calls than the runtime's. */
export async function withLater<T>(
  later: Later,
  use: () => Promise<T>,
): Promise<T> {
  provideLater(later);
  try {
    return await use();
  } finally {
    provideLater(undefined);
  }
}
