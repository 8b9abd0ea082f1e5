/**
 * Rivals outside JavaScript: which are available, and how to run them.
 *
 * None is required. The report lists those that are missing, with the reason.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Rival } from "./question.ts";

const PYTHON = fileURLToPath(new URL("../rivals/rivals.py", import.meta.url));
const C = fileURLToPath(new URL("../rivals/rivals.c", import.meta.url));

/** The tools to run rivals with, and their versions. */
export interface Workshop {
  /** The command of Python, and its version. */
  python?: { command: string; version: string; numpy: string | undefined };
  /** The compiled program, and the version of its compiler. */
  c?: { command: string; version: string };
  /** Why a tool is missing. */
  absent: Record<"Python" | "numpy" | "C", string>;
}

/** Looks for Python, numpy and a C compiler; compiles into `folder`. */
export function setUpWorkshop(folder: string): Workshop {
  const workshop: Workshop = {
    absent: {
      Python: "there is no python3 here",
      numpy: "no python3 here has numpy",
      C: "there is no C compiler (cc) here",
    },
  };
  // There may be several on PATH, and only one of them may have numpy.
  const candidates = [process.env["PYTHON"], "python3", "/usr/bin/python3"];
  for (const command of candidates) {
    if (command === undefined) continue;
    const version = answer(command, ["--version"]);
    if (version === undefined) continue;
    const numpy = answer(command, [
      "-c",
      "import numpy; print(numpy.__version__)",
    ]);
    if (workshop.python === undefined || numpy !== undefined) {
      workshop.python = {
        command,
        version: version.replace(/^Python /, ""),
        numpy,
      };
    }
    if (numpy !== undefined) break;
  }
  const version = answer("cc", ["--version"])?.split("\n", 1)[0];
  if (version !== undefined) {
    const command = join(folder, "rivals");
    const flags = ["-std=gnu11", "-O3", "-march=native", "-o", command, C];
    const child = spawnSync("cc", flags, { encoding: "utf8" });
    if (child.status === 0) workshop.c = { command, version };
    else workshop.absent.C = `cc failed: ${child.stderr.trim()}`;
  }
  return workshop;
}

/** What a command prints, or undefined if there is no such command or it fails. */
function answer(command: string, args: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** The command line of a rival, or why it cannot run. */
export function commandOf(
  { worker, needs, args }: Rival,
  { python, c, absent }: Workshop,
): [command: string, args: string[]] | string {
  const strings = args.map(String);
  if (worker === "C") return c === undefined ? absent.C : [c.command, strings];
  if (python === undefined) return absent.Python;
  if (needs === "numpy" && python.numpy === undefined) return absent.numpy;
  return [python.command, [PYTHON, ...strings]];
}
