/**
 * The fault guard: a lost page reads as zeros instead of ending the process.
 *
 * When another process cuts a file short, or its disk fills up or fails, the next
 * access to a lost page of it is SIGBUS. The guard's handler lays anonymous memory over
 * that page, counts the fault, and lets the access be made again. It is machine code
 * (`code.ts`), which `handler.ts` installs, and it walks a table of guarded ranges
 * (`table.ts`).
 *
 * Must not know any runtime, nor what the ranges are used for.
 *
 * @module
 */

import type { Guard } from "../libc.ts";
import type { GuardCalls } from "./calls.ts";
import { install, isTaken, reinstall } from "./handler.ts";
import type { Table } from "./table.ts";

/** Makes the guard of this process; `null` where there is no handler for its system. */
export function guardOf(c: GuardCalls, handler: string | null): Guard | null {
  if (handler === null) return null;
  const code = bytesOfHex(handler);
  // Installed at the first use: importing changes no signal handler. `null` once the
  // system has refused.
  let table: Table | null | undefined;
  const installed = () => {
    if (table === undefined) table = install(c, code);
    // Where there is no handler any more, ours goes back: Rust's, which Deno has,
    // removes itself when kill() sends the signal.
    else if (table !== null && !isTaken(c)) reinstall(c, table);
    return table;
  };
  return {
    watch: (address, length) => installed()?.watch(address, length) ?? null,
    isThere: () => installed() !== null,
    get waiting() {
      return table?.waiting ?? null;
    },
  };
}

function bytesOfHex(text: string): Uint8Array {
  return Uint8Array.from(
    { length: text.length / 2 },
    (_, i) => parseInt(text.slice(i * 2, i * 2 + 2), 16),
  );
}

export type { GuardCalls } from "./calls.ts";
export { ARM64_HANDLER, CODE_SIZE, X64_HANDLER } from "./code.ts";
export { ROWS } from "./table.ts";
