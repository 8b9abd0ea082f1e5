/**
 * Small disks for tests, mounted where only one child process sees them.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, temporaryFolder } from "./support.ts";

/** Commands for a mount namespace of its own, which ends with its process. */
const NAMESPACES: readonly Command[] = [
  ["unshare", "--mount"],
  ["unshare", "--mount", "--user", "--map-root-user"],
];

/** Also gives processes a namespace, such as the one behind a FUSE file system. */
const WITH_PROCESSES = ["--pid", "--fork", "--kill-child", "--mount-proc"];

/**
 * Returns a command under which to run others, after `mount` was run, or why that is not
 * possible. In `mount`, `$0` is the folder to mount on. `hasProcesses` says whether `mount`
 * starts processes, which must end with the command.
 */
export function mounting(
  mount: string,
  folder: string,
  hasProcesses = false,
): { under: Command; skip: false } | { skip: string } {
  let reason = "";
  for (const namespace of NAMESPACES) {
    const processes = hasProcesses ? WITH_PROCESSES : [];
    const under: Command = [
      ...namespace,
      ...processes,
      "sh",
      "-c",
      `${mount} && exec "$@"`,
      folder,
    ];
    const [command, ...args] = under;
    const { status, stderr, error } = spawnSync(command, [...args, "true"], {
      encoding: "utf8",
    });
    if (status === 0) return { under, skip: false };
    reason ||= error?.message ?? stderr.trim().split("\n").join(", ");
  }
  return { skip: `nothing can be mounted here: ${reason}` };
}

/** Mounts an image of `size` that `format` makes, such as `"mkfs.ext4 -q -F"`. */
export function image(format: string, size: string): string {
  return `truncate -s ${size} "$0/image" && ${format} "$0/image" > "$0/log" 2>&1 &&
    mount -o loop "$0/image" "$0"`;
}

/** Where the FUSE file system of the tests was compiled to, or why it cannot be. */
type Program = { readonly path: string } | { readonly skip: string };

let program: Program | undefined;

/** The folder that it is in. */
let programs: Disposable | undefined;

/** Removes what {@linkcode passthrough} has compiled. */
export function removePrograms(): void {
  programs?.[Symbol.dispose]();
  program = programs = undefined;
}

function compile(): Program {
  if (!existsSync("/dev/fuse")) return { skip: "there is no /dev/fuse" };
  const folder = temporaryFolder();
  programs = folder;
  const path = join(folder.path, "passthrough");
  const source = new URL(
    "../system/file_systems/children/passthrough.c",
    import.meta.url,
  );
  const { status, stderr } = spawnSync("sh", [
    "-c",
    'cc -o "$0" "$1" $(pkg-config --cflags --libs fuse3)',
    path,
    fileURLToPath(source),
  ], { encoding: "utf8" });
  if (status === 0) return { path };
  const [reason] = stderr.trim().split("\n");
  return { skip: `no FUSE file system can be built: ${reason}` };
}

/**
 * The commands that mount a FUSE file system, or why there can be none. It shows `$0/back`
 * at `$0/mounted`, and refuses what `refuse` names. Whoever asks calls
 * {@linkcode removePrograms} in the end.
 */
export function passthrough(
  refuse = "",
): { mount: string; skip: false } | { skip: string } {
  program ??= compile();
  if ("skip" in program) return program;
  const mount = `mkdir -p "$0/back" "$0/mounted" &&
    REFUSE="${refuse}" "${program.path}" "$0/back" "$0/mounted"`;
  return { mount, skip: false };
}

/** A disk of 8 MiB in memory. */
export const TMPFS = 'mount -t tmpfs -o size=8m memmap-test "$0"';
/** Why `mount` is not possible here; `false` if it is. */
export function skipUnlessMounting(mount: string): string | false {
  using folder = temporaryFolder();
  return mounting(mount, folder.path).skip;
}
