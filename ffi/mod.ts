/**
 * Picks the backend for this runtime and system.
 *
 * Importing this file only notes how to load one: it never throws, whatever
 * imports it. Loading may, with an error that says what is supported.
 *
 * @module
 */

import process from "node:process";
import { loadBunLibc } from "./bun.ts";
import { loadDenoLibc } from "./deno.ts";
import { type Libc, provideLibc, UnsupportedError } from "./libc.ts";
import { isAtLeast, OLDEST, platformOf } from "./platform.ts";

const SUPPORTED =
  `memmap runs on Deno ${OLDEST.deno} and Bun ${OLDEST.bun} or newer, ` +
  "on Linux and macOS, x64 and arm64.";

function loadLibc(): Libc {
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
  return deno !== undefined ? loadDenoLibc(platform) : loadBunLibc(platform);
}

provideLibc(loadLibc);

export {
  type AttributeCalls,
  type GuardedRange,
  type Libc,
  libc,
  UnsupportedError,
} from "./libc.ts";
