/**
 * SIGXFSZ: keeps a file that would become too large from ending the process.
 *
 * Under `ulimit -f` a write beyond the limit raises that signal, and is `EFBIG` only
 * where the signal is ignored or handled. Bun ignores it, as Node.js does. Deno leaves
 * it at its default, which ends the process.
 *
 * Must not know who writes.
 *
 * @module
 */

import type { GuardCalls } from "./guard/mod.ts";

/** On Linux and on macOS. */
const SIGXFSZ = 25;
/** Bytes of Linux's `struct sigaction`. That of macOS is shorter; in both the handler comes first. */
const SIGACTION_SIZE = 152;
const SIG_DFL = 0n;
const SIG_IGN = 1n;

/** Makes the call that has the process ignore SIGXFSZ, unless it has a handler for it. */
export function ignoreFileSizeSignal(
  c: Pick<GuardCalls, "sigaction">,
): () => void {
  const ignoring = new Uint8Array(SIGACTION_SIZE);
  new BigUint64Array(ignoring.buffer)[0] = SIG_IGN;
  const before = new Uint8Array(SIGACTION_SIZE);
  const handler = new BigUint64Array(before.buffer, 0, 1);
  return () => {
    // Sound, here and below: each buffer is as large as the structure, and lives
    // through the call. What is set has no code of its own.
    if (c.sigaction(SIGXFSZ, null, before) === -1) return;
    if (handler[0] !== SIG_DFL) return;
    if (c.sigaction(SIGXFSZ, ignoring, before) === -1) return;
    if (handler[0] === SIG_DFL || handler[0] === SIG_IGN) return;
    // Another thread has set a handler just now: it goes back.
    c.sigaction(SIGXFSZ, before, null);
  };
}
