/**
 * Children that run beside the test's own process, under either runtime.
 *
 * @module
 */

import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { commandOf, isDeno } from "../../support/support.ts";

/** A child that runs beside this process. */
export interface Running {
  isRunning(): boolean;
  kill(): void;
  /** What it has written so far. */
  output(): string;
  /** Settles when it has written something. */
  readonly said: Promise<unknown>;
  /** Gives all that it has written; also if it was killed here. */
  readonly ended: Promise<string>;
}

/** Starts a script of `children/`; in `runtime`, if that is the other one. */
export function start(
  name: string,
  args: readonly string[],
  runtime?: string,
): Running {
  const script = new URL(`./children/${name}.ts`, import.meta.url);
  const path = fileURLToPath(script);
  const command = runtime === undefined
    ? commandOf(script, args)
    : [runtime, "run", ...(isDeno ? [] : ["-A", "--no-check"]), path, ...args];
  return startCommand(name, command);
}

export function startCommand(
  name: string,
  [command, ...rest]: readonly string[],
  cwd?: string,
): Running {
  const child = spawn(command!, rest, { cwd });
  const said = new Promise((resolve) => child.stdout.once("data", resolve));
  let [stdout, stderr] = ["", ""];
  let [isRunning, isKilled] = [true, false];
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  const ended = new Promise<string>((resolve, reject) =>
    child.on("error", reject).on("close", (status, signal) => {
      isRunning = false;
      if (status === 0 || (isKilled && signal === "SIGKILL")) resolve(stdout);
      else reject(new Error(`${name}: ${status ?? signal}\n${stderr}`));
    })
  );
  return {
    isRunning: () => isRunning,
    kill() {
      isKilled = true;
      child.kill("SIGKILL");
    },
    output: () => stdout,
    said,
    ended,
  };
}

/** The other runtime's command, if it is there. */
export function otherRuntime(): string | undefined {
  const name = isDeno ? "bun" : "deno";
  const installed = new URL(
    `../../../node_modules/.bin/${name}`,
    import.meta.url,
  );
  return [fileURLToPath(installed), name].find((command) =>
    spawnSync(command, ["--version"]).status === 0
  );
}
