/**
 * The only place that knows a runtime or an operating system.
 *
 * Two doors: {@linkcode libc} is what the core may ask of the C library, and
 * {@linkcode runtime} what it may ask of the JavaScript runtime. This file picks the
 * backend for both. Importing it never throws, whatever imports it; the first call of
 * either may, with an error that says what is supported. Must not know what memory or
 * files are used for.
 *
 * @module
 */

import process from "node:process";
import { loadBun } from "./bun.ts";
import { loadDeno } from "./deno.ts";
import { type Libc, provideLibc } from "./libc.ts";
import { isAtLeast, OLDEST, platformOf } from "./platform.ts";
import { provideRuntime, type Runtime } from "./runtime.ts";
import { UnsupportedError } from "./unsupported.ts";

const SUPPORTED =
  `memmap runs on Deno ${OLDEST.deno} and Bun ${OLDEST.bun} or newer, ` +
  "on Linux and macOS, x64 and arm64.";

interface Backend {
  readonly libc: Libc;
  readonly runtime: Runtime;
}

let backend: Backend | undefined;

function loadBackend(): Backend {
  const { deno, bun } = process.versions as Record<string, string | undefined>;
  const version = deno ?? bun;
  if (version === undefined) {
    throw new UnsupportedError(`No backend for this runtime. ${SUPPORTED}`);
  }
  const [name, oldest] = deno !== undefined
    ? ["Deno", OLDEST.deno]
    : ["Bun", OLDEST.bun];
  if (!isAtLeast(version, oldest)) {
    throw new UnsupportedError(`${name} ${version} is too old. ${SUPPORTED}`);
  }
  const platform = platformOf(process.platform, process.arch);
  if (platform === undefined) {
    throw new UnsupportedError(
      `No backend for ${process.platform} on ${process.arch}. ${SUPPORTED}`,
    );
  }
  return deno !== undefined ? loadDeno(platform) : loadBun(platform);
}

provideLibc(() => (backend ??= loadBackend()).libc);
provideRuntime(() => (backend ??= loadBackend()).runtime);

export {
  type AttributeCalls,
  type Guard,
  type GuardedRange,
  type Libc,
  libc,
} from "./libc.ts";
export { type Elsewhere, type Runtime, runtime } from "./runtime.ts";
export { UnsupportedError } from "./unsupported.ts";
export type { ErrnoName } from "./errno.ts";
