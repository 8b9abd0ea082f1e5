/**
 * Forks the process that runs this module. Starting a runtime, and loading and warming
 * the library, takes many times longer than a flush; a fork has all of it behind it.
 *
 * No runtime is made to be forked: only the calling thread goes on in the child. So the
 * child must not need another one. strace.ts starts the process in an environment in which
 * V8 and JavaScriptCore compile and collect on the thread that runs JavaScript. The child
 * may use files and await promises that need no turn of the event loop, and it should end
 * soon.
 *
 * @module
 */

import * as fs from "node:fs";
import process from "node:process";
import { platformOf } from "../../ffi/platform.ts";

/** The C functions called here; a C `long` is a number. */
interface Calls {
  fork(): number;
  getpid(): number;
  kill(pid: number, signal: number): number;
  madvise(address: number, length: number, advice: number): number;
  /** Always with five arguments, since some options demand zeros. */
  prctl(option: number, a: number, b: Uint8Array | null, c: 0, d: 0): number;
  waitpid(pid: number, status: Int32Array, options: number): number;
  /** Where `bytes` are. */
  addressOf(bytes: Uint8Array): number;
}

const SIGKILL = 9;
const [MADV_DONTFORK, MADV_DOFORK] = [10, 11];
const PR_SET_PDEATHSIG = 1;
const PR_SET_PTRACER = 0x59616d61;
const PR_SET_PTRACER_ANY = -1;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const SECCOMP_RET_ALLOW = 0x7fff0000;
/** With 0 for the error, so that a call seems to succeed. */
const SECCOMP_RET_ERRNO = 0x00050000;
/** The number of madvise among the system calls. */
const MADVISE = process.arch === "arm64" ? 233 : 28;

async function load(): Promise<Calls> {
  const libraries = platformOf(process.platform, process.arch)?.libraries ?? [];
  const path = libraries.find((path) => fs.existsSync(path)) ?? "";
  if ("deno" in process.versions) {
    const { symbols } = Deno.dlopen(path, {
      fork: { parameters: [], result: "i32" },
      getpid: { parameters: [], result: "i32" },
      kill: { parameters: ["i32", "i32"], result: "i32" },
      madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
      prctl: {
        parameters: ["i32", "isize", "buffer", "isize", "isize"],
        result: "i32",
      },
      waitpid: { parameters: ["i32", "buffer", "i32"], result: "i32" },
    });
    const addressOf = (bytes: Uint8Array<ArrayBuffer>) =>
      Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
    return { ...symbols, addressOf } as unknown as Calls;
  }
  const { dlopen, ptr } = await import("bun:ffi");
  const { symbols } = dlopen(path, {
    fork: { args: [], returns: "i32" },
    getpid: { args: [], returns: "i32" },
    kill: { args: ["i32", "i32"], returns: "i32" },
    madvise: { args: ["u64", "u64", "i32"], returns: "i32" },
    prctl: {
      args: ["i32", "i64", "ptr", "i64", "i64"],
      returns: "i32",
    },
    waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  });
  return { ...symbols, addressOf: ptr } as unknown as Calls;
}

const calls = await load();

/** For seccomp(2), one instruction of BPF a line: code, jump if true, jump if false, value. */
const PROGRAM = [
  [0x20, 0, 0, 0], // load the call's number
  [0x15, 0, 3, MADVISE], // not madvise: allow
  [0x20, 0, 0, 32], // load the third argument
  [0x15, 0, 1, MADV_DONTFORK], // other advice: allow
  [0x06, 0, 0, SECCOMP_RET_ERRNO],
  [0x06, 0, 0, SECCOMP_RET_ALLOW],
] as const;

/** {@linkcode PROGRAM} as the kernel reads it, for as long as this module is loaded. */
const FILTER = new DataView(new ArrayBuffer(PROGRAM.length * 8));
for (const [i, [code, yes, no, value]] of PROGRAM.entries()) {
  FILTER.setUint16(i * 8, code, true);
  FILTER.setUint8(i * 8 + 2, yes);
  FILTER.setUint8(i * 8 + 3, no);
  FILTER.setUint32(i * 8 + 4, value, true);
}

/**
 * From now on, `madvise(…, MADV_DONTFORK)` does nothing on this thread. With it, engines
 * withhold their heaps from forks.
 */
function forbidWithholding(): void {
  const header = new DataView(new ArrayBuffer(16));
  const address = calls.addressOf(new Uint8Array(FILTER.buffer));
  header.setUint16(0, PROGRAM.length, true);
  header.setBigUint64(8, BigInt(address), true);
  const given = new Uint8Array(header.buffer);
  const isSet = calls.prctl(PR_SET_NO_NEW_PRIVS, 1, null, 0, 0) === 0 &&
    // Sound: the kernel copies the program, whose bytes are not moved or freed.
    calls.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, given, 0, 0) === 0;
  if (!isSet) {
    throw new Error("Forks cannot inherit the heap: no seccomp here.");
  }
}

/** Lets forks inherit the memory that was withheld from them so far. */
function inheritMemory(): void {
  let range: string[] = [];
  for (const line of fs.readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
    if (found !== null) range = found.slice(1);
    // "dc": do not copy.
    if (!/^VmFlags:.* dc\b/.test(line)) continue;
    const [begin, end] = range.map((digits) => parseInt(digits, 16));
    // Sound: the advice changes no content, and only what a fork inherits. If the engine
    // has unmapped the range, the advice fails.
    calls.madvise(begin!, end! - begin!, MADV_DOFORK);
  }
}

/** Forks this process. Returns the child's process id, and 0 in the child. */
function fork(): number {
  // Sound: see the module's comment for what the child may do.
  const pid = calls.fork();
  if (pid === -1) throw new Error("fork failed.");
  return pid;
}

/** Ends this process at once. */
function die(): never {
  calls.kill(calls.getpid(), SIGKILL);
  for (;;);
}

function say(what: unknown): void {
  fs.writeSync(1, JSON.stringify(what) + "\n");
}

/** A line of standard input, read byte by byte; the rest is for the forks. */
function readLine(): string | undefined {
  const bytes: number[] = [];
  const byte = new Uint8Array(1);
  while (fs.readSync(0, byte, 0, 1, null) === 1) {
    if (byte[0] !== 10) bytes.push(byte[0]!);
    else if (bytes.length > 0) {
      return new TextDecoder().decode(Uint8Array.from(bytes));
    }
  }
  return undefined;
}

/** In a fork: says that it is ready, and waits until it is told to go on. */
export function waitForGo(): void {
  // strace may not be an ancestor of ours, which Yama demands unless one agrees.
  calls.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, null, 0, 0);
  say({ ready: true });
  fs.readSync(0, new Uint8Array(1), 0, 1, null);
}

/**
 * Serves the requests on standard input, one a line: calls `act` in a fork, which calls
 * {@linkcode waitForGo} and then dies. What `act` returns is printed as a line. See
 * strace.ts for who asks. All forks begin alike, whatever was requested before.
 */
export async function serveForks<Request>(
  act: (request: Request) => unknown,
): Promise<void> {
  forbidWithholding();
  inheritMemory();
  const status = new Int32Array(1);
  for (let line = readLine(); line !== undefined; line = readLine()) {
    const request = JSON.parse(line) as Request;
    const pid = fork();
    if (pid === 0) {
      // It would outlive a test that is given up, and might never end.
      calls.prctl(PR_SET_PDEATHSIG, SIGKILL, null, 0, 0);
      try {
        say({ report: await act(request) });
      } catch (error) {
        fs.writeSync(2, `${(error as Error).stack}\n`);
      }
      // An orderly exit is slow under strace, and would run the parent's handlers.
      die();
    }
    say({ forked: pid });
    // Sound: `status` has room for the int that is written.
    calls.waitpid(pid, status, 0);
    say({ ended: status[0]! });
  }
}
