/**
 * The machine on which a run was measured: the facts that a reader would ask for.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import process from "node:process";
import type { Machine } from "./results.ts";
import type { Workshop } from "./rivals.ts";

/** Describes this machine, and the file system that `folder` is on. */
export function describeMachine(
  folder: string,
  runtimes: Record<"Deno" | "Bun", string>,
  { python, c }: Workshop,
): Machine {
  const versions: Record<string, string> = { ...runtimes };
  if (python !== undefined) versions["Python"] = python.version;
  if (python?.numpy !== undefined) versions["numpy"] = python.numpy;
  if (c !== undefined) versions["cc"] = c.version;
  return {
    processor: os.cpus()[0]?.model.trim() || "unknown processor",
    cores: os.availableParallelism(),
    memory: os.totalmem(),
    system: `${systemName()} ${release()}`,
    architecture: process.arch,
    fileSystem: fileSystemOf(folder),
    versions,
  };
}

/** The machine in one line, for titles: "2-core x64, Linux 6.18, ext4". */
export function machineInWords(machine: Machine): string {
  const { cores, architecture, system, fileSystem } = machine;
  return `${cores}-core ${architecture}, ${system}, ${fileSystem}`;
}

function systemName(): string {
  return process.platform === "darwin" ? "macOS" : os.type();
}

/** The kernel's release, without a distribution's or a host's name for its build. */
function release(): string {
  return /^\d+\.\d+/.exec(os.release())?.[0] ?? os.release();
}

/** The type of the file system: from Linux's table of mounts, else from `mount`. */
function fileSystemOf(folder: string): string {
  const path = fs.realpathSync(folder);
  if (fs.existsSync("/proc/self/mounts")) {
    const mounts = fs.readFileSync("/proc/self/mounts", "utf8").trim()
      .split("\n").map((line) => line.split(" "));
    // The longest mount point above the path; the last one of equals.
    let [point, type] = ["", "unknown file system"];
    for (const [, where = "", kind = ""] of mounts) {
      const isAbove = path === where ||
        path.startsWith(where.endsWith("/") ? where : `${where}/`);
      if (isAbove && where.length >= point.length) {
        [point, type] = [where, kind];
      }
    }
    return type;
  }
  const { stdout } = spawnSync("mount", { encoding: "utf8" });
  const root = /on \/ \((\w+)/.exec(stdout ?? "");
  return root?.[1] ?? "unknown file system";
}
