/**
 * What several tests share: files and folders, child processes, the process's open files
 * and mappings, garbage collection, and random numbers.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { type Libc, libc, provideLibc } from "../../ffi/libc.ts";
import { provideRuntime, type Runtime, runtime } from "../../ffi/runtime.ts";

/** Imports in source text for {@linkcode runChild} are relative to this folder. */
const TESTS = new URL("../", import.meta.url);

/** Whether this is Deno; otherwise it is Bun. */
export const isDeno: boolean = "deno" in process.versions;

/** For `test`'s `skip`: the reason if there is no `/proc`, as on macOS. */
export const skipWithoutProc: string | false = existsSync("/proc/self/maps")
  ? false
  : "this system has no /proc to look at descriptors and mappings";

/** Whether to try every case instead of a sample. */
export const isThorough: boolean = Boolean(process.env["MEMMAP_THOROUGH"]);

/**
 * Of what is the same under both runtimes: all of it in the thorough run, and otherwise
 * every other one in Deno and the rest in Bun.
 */
export function ourShare<T>(items: readonly T[]): readonly T[] {
  if (isThorough) return items;
  return items.filter((_, index) => index % 2 === (isDeno ? 0 : 1));
}

/** The seed of random tests; `MEMMAP_FUZZ_SEED` overrides it. */
export const SEED: number = Number(process.env["MEMMAP_FUZZ_SEED"] ?? 1);

/** Runs `work` after the last test of this file. Deno runs no `after` outside a suite. */
export function atEnd(work: () => void): void {
  if (isDeno) addEventListener("unload", work);
  else after(work);
}

/** Reports what was proved. scripts/test prints the line. */
export function proof(text: string): void {
  console.log(`proof: ${text}`);
}

/** Reports what cannot be proved here: no runner prints why it skips a test. */
export function unproved(what: string, reason: string | false): string | false {
  if (reason !== false) proof(`not proved here: ${what}: ${reason}`);
  return reason;
}

/** A fresh folder, removed with its content at the end of the block. */
export function temporaryFolder(
  parent: string = tmpdir(),
): { path: string } & Disposable {
  const path = mkdtempSync(join(parent, "memmap-test-"));
  return {
    path,
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** A file of the bytes 0, 1, 2, … in a folder. Returns its path. */
export function countingFile(folder: string, length: number): string {
  const path = join(folder, "counting.dat");
  writeFileSync(path, Uint8Array.from({ length }, (_, i) => i));
  return path;
}

/** Asserts what an object prints as, in each way of printing it. */
export function assertPrints(value: object, text: string): void {
  assert.equal(String(value), text);
  assert.equal(`${value}`, text);
  assert.equal(inspect(value), text);
  const { Deno, Bun } = globalThis as {
    Deno?: { inspect(value: unknown): string };
    Bun?: { inspect(value: unknown): string };
  };
  if (Deno !== undefined) assert.equal(Deno.inspect(value), text);
  if (Bun !== undefined) assert.equal(Bun.inspect(value), text);
}

/** How many bytes of memory a test's files may take. */
const ROOM = 2 ** 28;

/**
 * A folder for files that need not be on a disk. It is in memory if there is room. There,
 * nothing waits for a disk, and a full disk does not matter.
 */
export function fastFolder(): string {
  try {
    accessSync("/dev/shm", constants.W_OK);
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize >= ROOM) return "/dev/shm";
  } catch {
    // There is none.
  }
  return tmpdir();
}

/** A program and its arguments. */
export type Command = [program: string, ...args: string[]];

/** The command that runs a script in the runtime that runs the test. */
export function commandOf(
  script: URL,
  args: readonly string[],
  denoPermissions: readonly string[] = ["-A"],
  v8Flags = "--expose-gc",
): Command {
  const flags = isDeno
    ? [
      "run",
      "--quiet",
      "--no-prompt",
      `--v8-flags=${v8Flags}`,
      "--config",
      fileURLToPath(new URL("../../deno.json", import.meta.url)),
      ...denoPermissions,
    ]
    : [];
  return [process.execPath, ...flags, fileURLToPath(script), ...args];
}

/** The arguments of this child process, one for each name. Throws if one is missing. */
export function givenArguments<const Names extends readonly string[]>(
  ...names: Names
): { [I in keyof Names]: string } {
  const given = process.argv.slice(2);
  const missing = names.slice(given.length);
  if (missing.length > 0) throw new Error(`missing: ${missing.join(", ")}.`);
  return given as { [I in keyof Names]: string };
}

/** How a child process ended and what it wrote. */
export interface ChildResult {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Options of {@linkcode runChild}. */
export interface ChildOptions {
  /** The child's arguments: its `process.argv` from index 2 on. */
  args?: readonly string[];
  /** Deno's permission flags; everything is allowed by default. Bun has none. */
  denoPermissions?: readonly string[];
  /** Environment variables in addition to this process's. */
  env?: Readonly<Record<string, string>>;
  /** A command under which to run the child, such as `["strace", "-f"]`. */
  under?: readonly string[];
  /** Milliseconds after which the child counts as hanging and is killed; five minutes by default. */
  timeout?: number;
}

/**
 * Runs TypeScript in a child process, in the same runtime as the test. The source is a
 * file, given by its URL, or text, whose imports are relative to `test/`. The child may
 * call {@linkcode collectGarbage}.
 */
export function runChild(
  source: string | URL,
  options: ChildOptions = {},
): ChildResult {
  const { args = [], denoPermissions = ["-A"], env = {}, under = [] } = options;
  using folder = temporaryFolder();
  let script: string;
  if (source instanceof URL) script = fileURLToPath(source);
  else {
    script = join(folder.path, "child.ts");
    const absolute = (_: string, path: string) =>
      JSON.stringify(new URL(path, TESTS).href);
    writeFileSync(
      script,
      source.replace(/(?<=from |import |URL\()"(\.[^"]*)"/g, absolute),
    );
  }
  const [command, ...rest] = [
    ...under,
    ...commandOf(pathToFileURL(script), args, denoPermissions),
  ] as Command;
  const { status, signal, stdout, stderr, error } = spawnSync(command, rest, {
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", ...env },
    timeout: options.timeout ?? 300_000,
    killSignal: "SIGKILL",
  });
  if (error !== undefined && status === null && signal === null) throw error;
  return { status, signal, stdout, stderr };
}

/**
 * The number of open descriptors, or `null` if there is no `/proc`. The runtime opens some
 * of its own at any time. {@linkcode descriptorsOf} is exact.
 */
export function openDescriptors(): number | null {
  if (skipWithoutProc) return null;
  return readdirSync("/proc/self/fd").length;
}

/** The targets of open descriptors whose path contains `path`, or `null` as above. */
export function descriptorsOf(path: string): string[] | null {
  if (skipWithoutProc) return null;
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // readdir's own descriptor is closed by now
    }
  });
  return targets.filter((target) => target.includes(path));
}

/** The lines of `/proc/self/maps` that name `path`, or `null` as above. */
export function mappingsOf(path: string): string[] | null {
  if (skipWithoutProc) return null;
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.includes(path));
}

/** Runs `use` with a C library and a runtime in which `changes` replace the real calls. */
export function withLibc<T>(
  changes: Partial<Libc & Runtime>,
  use: () => T,
): T {
  const real = { libc: libc(), runtime: runtime() };
  const provide = (c: Libc, r: Runtime) => {
    provideLibc(() => c);
    provideRuntime(() => r);
  };
  provide({ ...real.libc, ...changes }, { ...real.runtime, ...changes });
  try {
    return use();
  } finally {
    provide(real.libc, real.runtime);
  }
}

/** For {@linkcode withLibc}: the disk has no room for anything to be reserved. */
export const FULL_DISK: Partial<Libc> = {
  fallocate: () => -1,
  errno: () => 28, // ENOSPC, on Linux and macOS
};

/** Collects garbage now. In Deno only a child of {@linkcode runChild} can do this. */
export function collectGarbage(): void {
  const { Bun, gc } = globalThis as {
    Bun?: { gc(synchronous: boolean): void };
    gc?(): void;
  };
  if (Bun !== undefined) Bun.gc(true);
  else if (gc !== undefined) gc();
  else throw new Error("Deno needs --v8-flags=--expose-gc for this.");
}

/** Collects garbage repeatedly, and gives finalizers turns of the event loop. */
export async function collectThoroughly(): Promise<void> {
  for (let i = 0; i < 5; i++) {
    collectGarbage();
    await setTimeout(5);
  }
}

/** A number from 0 to 1, exclusive. */
export type Random = () => number;

/** mulberry32: the same numbers for the same seed on every runtime. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 to `limit`, exclusive. */
export function below(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

/**
 * Runs `work` for each item, as many at once as there are processors. After a failure it
 * starts no further item, and throws the error when the others have ended.
 */
export async function forEach<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    try {
      while (next < items.length) await work(items[next++]!);
    } catch (error) {
      next = items.length;
      throw error;
    }
  };
  const workers = Math.min(availableParallelism(), 8);
  const ends = await Promise.allSettled(
    Array.from({ length: workers }, worker),
  );
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
