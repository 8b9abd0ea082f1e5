/**
 * Runs forks under strace, to see which system calls they make between two marks, and
 * what happens when one of those calls fails, stops them or kills them.
 *
 * strace (https://strace.io) counts a thread's calls from the moment it attaches. It
 * attaches when the fork is ready: start-up is not counted, so the same call has the same
 * number in nearly every run.
 *
 * @module
 */

import {
  type ChildProcessWithoutNullStreams,
  spawn,
  spawnSync,
} from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { commandOf, temporaryFolder } from "./support.ts";

/** For `test`'s `skip`: why strace cannot be used; `false` if it can. */
export const skipWithoutStrace: string | false = (() => {
  // Asking for the version puts strace into the page cache, so that it attaches in time.
  const probe = "strace -V >/dev/null && " +
    "{ sleep 0.5 & exec strace -o /dev/null -p $!; }";
  const { status, stderr, error } = spawnSync("sh", ["-c", probe], {
    encoding: "utf8",
  });
  if (status === 0) return false;
  const reason = error?.message ?? stderr.trim().split("\n").pop();
  return `strace does not work here (apt-get install strace): ${reason}`;
})();

/** One system call in a trace. */
export interface Call {
  readonly name: string;
  readonly text: string;
  /** Its number among the calls of this name since strace attached, from 1. */
  readonly count: number;
}

/** What strace recorded, and what its fork returned. */
export interface Trace {
  /** The calls after the first mark, up to and including the second. */
  readonly steps: readonly Call[];
  readonly hasBegun: boolean;
  readonly isKilled: boolean;
  /** What the fork returned; `undefined` if it was killed. */
  readonly report: unknown;
  readonly stderr: string;
}

/** Calls that a runtime makes by itself at any time. */
const OWN = new Set([
  "brk",
  "clock_gettime",
  "clone",
  "clone3",
  "epoll_wait",
  "futex",
  "getpid",
  "getrandom",
  "gettid",
  "madvise",
  "membarrier",
  "mprotect",
  "pkey_mprotect",
  "prctl",
  "restart_syscall",
  "rt_sigaction",
  "rt_sigprocmask",
  "rt_sigreturn",
  "sched_getaffinity",
  "sched_getparam",
  "sched_getscheduler",
  "sched_yield",
  "tgkill",
]);

/** The size of the library's copy buffer in bytes; see copying.ts. */
const BUFFER = 2 ** 20;
/** The least number of bytes that a writable map reserves. */
const LEAST_MAP = 2 ** 26;

/** The buffer of a copier. */
const OWN_BUFFER = RegExp(
  `^mmap\\((NULL|0x\\w+), ${BUFFER}, PROT_READ\\|PROT_WRITE, \\S*MAP_NORESERVE`,
);

/** Is this a call of the library, and not the runtime's own housekeeping? */
function isOurs({ name, text }: Call): boolean {
  if (OWN.has(name)) return false;
  if (name === "munmap") {
    const size = Number(/, (\d+)\)/.exec(text)?.[1]);
    return size === BUFFER || size >= LEAST_MAP;
  }
  if (name !== "mmap" || !text.includes("MAP_ANONYMOUS")) return true;
  // The address is the system's choice, or the end of a row of the quarantine.
  return OWN_BUFFER.test(text);
}

/** The runtime reads about itself: Bun's garbage collector does. */
const LOOK = /^openat\(AT_FDCWD, "\/(?:proc|sys)\/.* = (\d+)$/;

/** The calls of such a look. */
const ABOUT_ITSELF: readonly string[] = [
  ...["openat", "newfstatat", "fstat", "read", "pread64", "close"],
];

/** Drops the calls that the runtime makes by itself, and ours of that kind. */
function oursOf(calls: readonly Call[]): Call[] {
  let looked: string | undefined;
  return calls.filter((call) => {
    looked ??= LOOK.exec(call.text)?.[1];
    if (looked === undefined) return isOurs(call);
    const { name, text } = call;
    if (text.startsWith(`close(${looked})`)) looked = undefined;
    return isOurs(call) && !ABOUT_ITSELF.includes(name);
  });
}

/** Parses strace's output. */
export function parseTrace(text: string): Pick<
  Trace,
  "steps" | "hasBegun" | "isKilled"
> {
  const counts = new Map<string, number>();
  const calls: Call[] = [];
  for (const line of text.split("\n")) {
    const name = /^(\w+)\(/.exec(line)?.[1];
    if (name === undefined) continue;
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    calls.push({ name, text: line, count });
  }
  const at = (what: string) =>
    calls.findIndex(({ text }) => text.includes(`"/memmap-test-${what}"`));
  const begin = at("begins");
  const end = at("ends");
  const inside = begin === -1
    ? []
    : calls.slice(begin + 1, end === -1 ? undefined : end + 1);
  return {
    steps: oursOf(inside),
    hasBegun: begin !== -1,
    isKilled: text.includes("+++ killed by SIGKILL +++"),
  };
}

/**
 * The engine that fork.ts can fork: one that needs no other thread, and has none that
 * works by itself. What such a thread has locked at the moment of a fork stays locked in
 * it. In Bun one keeps blocks of the heap ready, and one gives memory back.
 */
const V8_FLAGS = "--single-threaded";
const BUN_ENVIRONMENT: Readonly<Record<string, string>> = {
  BUN_JSC_useConcurrentJIT: "0",
  BUN_JSC_useGC: "0",
  BUN_JSC_useWarmUpMarkedBlocks: "0",
  MIMALLOC_PURGE_DELAY: "-1",
};

/** What a server of forks prints, one of them a line; see fork.ts. */
type Message =
  | { readonly forked: number }
  | { readonly ready: true }
  | { readonly report: unknown }
  | { readonly ended: number };

/** A process that forks for each request, one after the other. */
class ForkServer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #messages: Message[] = [];
  #wake: () => void = () => {};
  #hasExited = false;
  stderr = "";

  constructor(script: URL, args: readonly string[]) {
    const [command, ...rest] = commandOf(script, args, ["-A"], V8_FLAGS);
    const env = { ...process.env, NO_COLOR: "1", ...BUN_ENVIRONMENT };
    const child = spawn(command, rest, { env });
    this.#process = child;
    let text = "";
    child.stderr.setEncoding("utf8").on("data", (more) => this.stderr += more);
    child.stdout.setEncoding("utf8").on("data", (more) => {
      const lines = (text + more).split("\n");
      text = lines.pop()!;
      this.#messages.push(...lines.map((line) => JSON.parse(line)));
      this.#wake();
    });
    child.stdin.on("error", () => {}); // it has exited, as "close" will tell
    child.on("error", (error) => this.stderr += error.message);
    child.on("close", () => {
      this.#hasExited = true;
      this.#wake();
    });
  }

  /** A line for the server; or without text, for its fork to go on. */
  send(line = ""): void {
    this.#process.stdin.write(`${line}\n`);
  }

  /** The next message. */
  async next(): Promise<Message> {
    while (this.#messages.length === 0) {
      if (this.#hasExited) {
        throw new Error(`A server of forks has ended.\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#messages.shift()!;
  }

  end(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Options of {@linkcode Forks.runTraced}. */
export interface TraceOptions {
  /** The value of strace's `-e inject=`. */
  inject?: string | undefined;
  /** Called when strace has attached, before the fork is told to begin. */
  prepare?: () => void;
  /** Called with the fork's process id and the trace's path when the fork begins. */
  watch?: (pid: number, trace: string) => Promise<void>;
  /** Milliseconds after which the fork counts as hanging; two minutes by default. */
  timeout?: number;
}

/** Forks of a script of `test/` that calls `serveForks`. */
export class Forks implements Disposable {
  readonly #script: URL;
  readonly #args: readonly string[];
  /** Servers that wait for a request. There are as many as requests were made at once. */
  readonly #idle: ForkServer[] = [];

  constructor(script: URL, ...args: readonly string[]) {
    this.#script = script;
    this.#args = args;
  }

  /** Runs a fork that handles `request` under strace. */
  async runTraced(
    request: unknown,
    options: TraceOptions = {},
  ): Promise<Trace> {
    const server = this.#idle.pop() ?? new ForkServer(this.#script, this.#args);
    try {
      const trace = await runTraced(server, request, options);
      this.#idle.push(server);
      return trace;
    } catch (error) {
      server.end();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const server of this.#idle.splice(0)) server.end();
  }
}

async function runTraced(
  server: ForkServer,
  request: unknown,
  { inject, prepare, watch, timeout = 120_000 }: TraceOptions,
): Promise<Trace> {
  using folder = temporaryFolder();
  const trace = join(folder.path, "trace");
  server.stderr = "";
  server.send(JSON.stringify(request));
  let pid = 0;
  let isReady = false;
  let isOver = false;
  let isLate = false;
  const kill = () => {
    if (pid !== 0 && !isOver) process.kill(pid, "SIGKILL");
  };
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, timeout);
  while (pid === 0 || !isReady) {
    const message = await server.next();
    if ("forked" in message) pid = message.forked;
    else if ("ready" in message) isReady = true;
    else {
      clearTimeout(timer);
      throw new Error(
        `The fork ${isLate ? "was never ready" : "died"}: ` +
          `${JSON.stringify(message)}.\n${server.stderr}`,
      );
    }
  }

  const strace = spawn("strace", [
    ...["-s", "0", "-o", trace, "-p", String(pid)],
    ...inject === undefined ? [] : ["-e", `inject=${inject}`],
  ]);
  let said = "";
  let watching: Promise<void> | undefined;
  strace.stderr.setEncoding("utf8").on("data", (text) => {
    said += text;
    if (watching !== undefined || !said.includes(" attached\n")) return;
    prepare?.();
    watching = watch?.(pid, trace) ?? Promise.resolve();
    server.send();
  });
  let report: unknown;
  try {
    await new Promise((resolve, reject) =>
      strace.on("error", reject).on("close", resolve)
    );
    await watching;
    // If strace could not attach, the fork still waits.
    if (watching === undefined) kill();
    for (;;) {
      const message = await server.next();
      if ("report" in message) report = message.report;
      else break;
    }
    isOver = true;
  } finally {
    clearTimeout(timer);
    kill();
  }
  const written = readIfThere(trace);
  const stderr = server.stderr + said;
  if (isLate || watching === undefined) {
    throw new Error(
      `${isLate ? "The fork took too long." : "strace did not attach."}\n` +
        `${stderr}\ntrace: ${written.slice(-3000)}`,
    );
  }
  return { ...parseTrace(written), report, stderr };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
