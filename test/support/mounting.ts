/**
 * Small disks for tests, mounted where only one child process sees them.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { temporaryFolder } from "./support.ts";

/** A command, and an argument to follow it, in whose children things are mounted. */
type Under = readonly string[];

/** In mount namespaces of their own, which end with the process that made them. */
const NAMESPACES: readonly Under[] = [
  ["unshare", "--mount"],
  ["unshare", "--mount", "--user", "--map-root-user"],
];

/**
 * A command to run others under, with `mount` done first, where that is allowed,
 * or else what speaks against it. `$0` is the folder to mount on.
 */
export function mounting(
  mount: string,
  folder: string,
): { under: Under; skip: false } | { skip: string } {
  let reason = "";
  for (const namespace of NAMESPACES) {
    const under = [...namespace, "sh", "-c", `${mount} && exec "$@"`, folder];
    const [command, ...rest] = under;
    const { status, stderr, error } = spawnSync(command, [...rest, "true"], {
      encoding: "utf8",
    });
    if (status === 0) return { under, skip: false };
    reason ||= error?.message ?? stderr.trim().split("\n").join(", ");
  }
  return { skip: `nothing can be mounted here: ${reason}` };
}

/** A disk of 8 MiB in memory. */
export const TMPFS = 'mount -t tmpfs -o size=8m memmap-test "$0"';
/** Why `mount` cannot be done here; `false` if it can. */
export function skipUnlessMounting(mount: string): string | false {
  using folder = temporaryFolder();
  return mounting(mount, folder.path).skip;
}
