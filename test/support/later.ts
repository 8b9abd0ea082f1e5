/**
 * Long calls for tests: made at once, on the thread that runs JavaScript, so that a
 * process that is killed at one of them is killed at the same one each time; and turns
 * of the event loop after each step, in which a test can do something.
 *
 * @module
 */

import * as fs from "node:fs";
import { libc } from "../../ffi/libc.ts";
import { type Later, provideLater } from "../../src/storage/later.ts";

/** Runs `turn` after each step of a flush; by default that is nothing. */
export function atOnce(
  turn: () => void | Promise<void> = () => {},
  changes: Partial<Later> = {},
): Later {
  const c = libc();
  const { copy_file_range, fallocate, sync_file_range } = c;
  return {
    fsync: async (fd) => await fs.fsyncSync(fd),
    ftruncate: async (fd, size) => await fs.ftruncateSync(fd, size),
    close: async (fd) => await fs.closeSync(fd),
    write: async (fd, bytes, position) =>
      await fs.writeSync(fd, bytes, 0, bytes.length, position),
    copyFileRange: copy_file_range === null
      ? null
      : async (...values) => await copy_file_range(...values),
    fallocate: fallocate === null
      ? null
      : async (...values) => await fallocate(...values),
    syncFileRange: sync_file_range === null
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
