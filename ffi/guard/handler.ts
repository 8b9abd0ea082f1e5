/**
 * The signal handler: finds it or installs it, and puts it back.
 *
 * There is one handler and one table in a process, shared by its threads: a thread that
 * finds the handler installed uses it. Two threads that install one at the same instant
 * make a chain of two, each with its own table, which works as well.
 *
 * A handler that is installed later takes the guard's place. Nobody can tell whether it
 * passes on what it does not know (Deno's does, Bun's does not), so maps count as
 * unguarded from then on.
 *
 * Must not know what a row of the table means.
 *
 * @module
 */

import type { GuardCalls } from "./calls.ts";
import { CODE_SIZE } from "./code.ts";
import { setUp, SIZE as TABLE_SIZE, Table } from "./table.ts";

// Linux on x86-64 and arm64, glibc and musl: a handler, 128 bytes of mask, flags, and
// a restorer, which the C library fills in.
const SIGACTION_SIZE = 152;
const SIGACTION_FLAGS = 136;
const SIGBUS = 7;
const SA_SIGINFO = 4;
const SA_ONSTACK = 0x08000000;
const SA_NODEFER = 0x40000000;
const PROT_EXEC = 4;

/** Returns the installed handler's table, or that of a new one; `null` if the system refuses. */
export function install(c: GuardCalls, code: Uint8Array): Table | null {
  const address = installedHandler(c);
  if (address === null) return null;
  if (isOurs(c, code, address)) {
    const table = tableOf(c, code, address);
    // Another release of this library may have the same code, and another table.
    if (table.hasAllRows) return table;
  }
  return installNew(c, code);
}

/** Is there a handler, whosever it is? */
export function isTaken(c: GuardCalls): boolean {
  return (installedHandler(c) ?? 0) > 1;
}

/** Installs a table's handler where there is none. The handler before it stays the one it was. */
export function reinstall(c: GuardCalls, table: Table): void {
  setHandler(c, table.handler);
}

function tableOf(c: GuardCalls, code: Uint8Array, handler: number): Table {
  // Another table's handler passes on to ours.
  const isInstalled = () => {
    const address = installedHandler(c);
    return address === handler ||
      (address !== null && isOurs(c, code, address));
  };
  // Sound: the table lies behind the code, and is never unmapped.
  const memory = c.arrayBuffer(handler + CODE_SIZE, TABLE_SIZE);
  return new Table(memory, handler, c.pageSize, isInstalled);
}

// Asked for at each map: a new buffer every time would be most of what the guard costs.
const CURRENT_ACTION = new Uint8Array(SIGACTION_SIZE);
const CURRENT_HANDLER = new BigUint64Array(CURRENT_ACTION.buffer, 0, 1);

/**
 * Returns the address of the process's handler; 0 and 1 are SIG_DFL and SIG_IGN. `null`
 * if the system refuses.
 */
function installedHandler(c: GuardCalls): number | null {
  // Sound: the buffer is as large as the structure, and lives through the call.
  if (c.sigaction(SIGBUS, null, CURRENT_ACTION) === -1) return null;
  return Number(CURRENT_HANDLER[0]);
}

/** Makes `address` the handler. Returns the one before it, `null` if the system refuses. */
function setHandler(c: GuardCalls, address: number): number | null {
  const action = new Uint8Array(SIGACTION_SIZE);
  const before = new Uint8Array(SIGACTION_SIZE);
  const fields = new DataView(action.buffer);
  fields.setBigUint64(0, BigInt(address), true);
  const flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  fields.setUint32(SIGACTION_FLAGS, flags, true);
  // Sound: as above; the handler and its data are complete, and stay for good.
  if (c.sigaction(SIGBUS, action, before) === -1) return null;
  return Number(new DataView(before.buffer).getBigUint64(0, true));
}

/**
 * Is the handler at `address` this very code? It begins a page, so that comparing its
 * bytes leaves neither the page nor what is mapped there.
 */
function isOurs(c: GuardCalls, code: Uint8Array, address: number): boolean {
  if (address === 0 || address % c.pageSize !== 0) return false;
  // Sound: on the systems that the guard is for, what can be executed can be read,
  // and the code is shorter than a page.
  const there = new Uint8Array(c.arrayBuffer(address, code.length));
  return there.every((byte, i) => byte === code[i]);
}

function installNew(c: GuardCalls, code: Uint8Array): Table | null {
  const { PROT_READ, PROT_WRITE, MAP_PRIVATE, MAP_ANONYMOUS } = c.constants;
  const size = CODE_SIZE + TABLE_SIZE;
  // Sound: fresh memory of the kernel's choice. It stays for good: a thread may be
  // inside the handler at any time.
  const address = c.mmap(
    0,
    size,
    PROT_READ | PROT_WRITE,
    MAP_PRIVATE | MAP_ANONYMOUS,
    -1,
    0,
  );
  if (address === -1) return null;
  const page = c.arrayBuffer(address, code.length);
  new Uint8Array(page).set(code);
  page.transfer(0); // nobody may write to it from now on
  const { setBefore } = setUp(
    c.arrayBuffer(address + CODE_SIZE, TABLE_SIZE),
    c.pageSize,
  );
  // Sound: our own memory, page-aligned. On arm64 this is also what makes the
  // instructions visible: Linux cleans the caches of a page that becomes executable.
  const isExecutable = c.mprotect(address, CODE_SIZE, PROT_READ | PROT_EXEC);
  let before = installedHandler(c);
  if (isExecutable !== -1 && before !== null) {
    setBefore(before);
    before = setHandler(c, address);
    if (before !== null) {
      // Another thread may have installed its own just now: that one comes next.
      setBefore(before);
      return tableOf(c, code, address);
    }
  }
  c.munmap(address, size); // sound: nobody else knows of it
  return null;
}
