/**
 * What the guard asks of the C library and of the runtime.
 *
 * @module
 */

import type { Libc } from "../libc.ts";
import type { Runtime } from "../runtime.ts";

/** The calls that the guard makes. Each returns -1 on failure. */
export interface GuardCalls
  extends
    Pick<Libc, "constants" | "pageSize" | "mmap" | "munmap">,
    Pick<Runtime, "arrayBuffer"> {
  mprotect(address: number, length: number, protection: number): number;
  /** `struct sigaction` as bytes; `null` where it is not wanted. */
  sigaction(
    signal: number,
    action: Uint8Array | null,
    before: Uint8Array | null,
  ): number;
}
