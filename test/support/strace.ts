/**
 * Runs children under strace, to see which system calls they make between two marks, and
 * what happens when one of those calls fails, stops them or kills them.
 *
 * strace (https://strace.io) counts a thread's calls from the moment it attaches. It
 * attaches when the child is ready, and only to the thread that runs JavaScript.
 * Start-up and garbage collection are not counted, so the same call has the same
 * number in every run.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
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

/** What strace recorded and its child wrote. */
export interface Trace {
  /** The calls after the first mark, up to and including the second. */
  readonly steps: readonly Call[];
  readonly hasBegun: boolean;
  readonly isKilled: boolean;
  /** The child's standard output, line by line. */
  readonly lines: readonly string[];
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

// The shell becomes strace, which makes strace the child's parent. Yama may restrict
// tracing to descendants, which this satisfies.
const SCRIPT = `
  ready=$1 trace=$2 inject=$3
  shift 3
  mkfifo "$ready" || exit
  exec 3<&0
  "$@" <&3 3<&- &
  read -r _ <"$ready"
  exec 3<&-
  exec strace -s 0 -o "$trace" \${inject:+-e "inject=$inject"} -p $!
`;

/** Options of {@linkcode runTraced}. */
export interface TraceOptions {
  /** The value of strace's `-e inject=`. */
  inject?: string | undefined;
  /** Called when the child is ready, before it is told to begin. */
  prepare?: () => void;
  /** Called with the child's process id and the trace's path when the child begins. */
  watch?: (pid: number, trace: string) => Promise<void>;
  /** Milliseconds after which the child counts as hanging; two minutes by default. */
  timeout?: number;
}

/**
 * Runs a script of `test/` under strace. The script prints its process id. When it is
 * ready, it opens the pipe named by its last argument, then waits for a byte on
 * standard input.
 */
export async function runTraced(
  script: URL,
  args: readonly string[],
  options: TraceOptions = {},
): Promise<Trace> {
  using folder = temporaryFolder();
  const ready = join(folder.path, "ready");
  const trace = join(folder.path, "trace");
  const command = commandOf(script, [...args, ready]);
  const child = spawn(
    "sh",
    ["-c", SCRIPT, "sh", ready, trace, options.inject ?? "", ...command],
    { env: { ...process.env, NO_COLOR: "1" } },
  );
  let stdout = "";
  let stderr = "";
  let watching: Promise<void> | undefined;
  const pid = () => JSON.parse(stdout.split("\n")[0]!).pid as number;
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
    if (watching !== undefined || !stderr.includes(" attached\n")) return;
    options.prepare?.();
    watching = options.watch?.(pid(), trace) ?? Promise.resolve();
    child.stdin.end("x");
  });
  child.stdin.on("error", () => {}); // the child was killed before it was told to begin
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
    if (stdout.includes("\n")) process.kill(pid(), "SIGKILL");
  }, options.timeout ?? 120_000);
  try {
    await new Promise((resolve, reject) => {
      child.on("error", reject).on("close", resolve);
      // If strace could not attach, the child still waits for its byte.
      child.on("exit", () => child.stdin.end());
    });
    await watching;
  } finally {
    clearTimeout(timer);
  }
  const written = readIfThere(trace);
  if (isLate || watching === undefined) {
    throw new Error(
      `${isLate ? "The child took too long." : "strace did not attach."}\n` +
        `stdout: ${stdout}\nstderr: ${stderr}\ntrace: ${written.slice(-3000)}`,
    );
  }
  const lines = stdout.split("\n").slice(1).filter((line) => line !== "");
  return { ...parseTrace(written), lines, stderr };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
