/**
 * The calls for extended attributes, the same for all backends and systems.
 *
 * Must not know any runtime, nor which attributes there are.
 *
 * @module
 */

import type { ErrnoKeeper } from "./errno.ts";
import type { AttributeCalls } from "./libc.ts";
import type { System, XattrSymbols } from "./signatures.ts";

type Zeros = readonly 0[];
type View = Uint8Array | null;

/** The four functions on both systems, with the parameters that only one of them has as `zeros`. */
interface Functions<Long> {
  flistxattr(
    fd: number,
    names: View,
    size: Long,
    ...zeros: Zeros
  ): number | bigint;
  fgetxattr(
    fd: number,
    name: View,
    value: View,
    size: Long,
    ...zeros: Zeros
  ): number | bigint;
  fsetxattr(
    fd: number,
    name: View,
    value: View,
    size: Long,
    ...zeros: Zeros
  ): number | bigint;
  fremovexattr(fd: number, name: View, ...zeros: Zeros): number | bigint;
}

/** How many parameters follow those that both systems have. All are 0 here. */
const TRAILING: Readonly<
  Record<System, Record<keyof Functions<never>, Zeros>>
> = {
  linux: {
    flistxattr: [],
    fgetxattr: [],
    fsetxattr: [0], // flags: create or replace
    fremovexattr: [],
  },
  darwin: {
    flistxattr: [0], // options
    fgetxattr: [0, 0], // position, options
    fsetxattr: [0, 0], // position, options: create or replace
    fremovexattr: [0], // options
  },
};

/** Wraps the attribute calls; `null` where the C library lacks one of them. */
export function attributesOf<Long extends number | bigint>(
  symbols: XattrSymbols<Long>,
  system: System,
  long: (value: number) => Long,
  { now, noted }: ErrnoKeeper,
): AttributeCalls | null {
  const { flistxattr, fgetxattr, fsetxattr, fremovexattr } = symbols;
  if (
    flistxattr === null || fgetxattr === null || fsetxattr === null ||
    fremovexattr === null
  ) {
    return null;
  }
  const c: Functions<Long> = {
    flistxattr,
    fgetxattr,
    fsetxattr,
    fremovexattr,
  };
  const zeros = TRAILING[system];
  // Sound: each size is that of the view whose address goes with it, and a name ends
  // with a NUL.
  return {
    flistxattr: (fd, names) =>
      noted(
        c.flistxattr(fd, names, long(names?.length ?? 0), ...zeros.flistxattr),
        now[0]!,
      ),
    fgetxattr: (fd, name, value) =>
      noted(
        c.fgetxattr(
          fd,
          name,
          value,
          long(value?.length ?? 0),
          ...zeros.fgetxattr,
        ),
        now[0]!,
      ),
    fsetxattr: (fd, name, value) =>
      noted(
        c.fsetxattr(fd, name, value, long(value.length), ...zeros.fsetxattr),
        now[0]!,
      ),
    fremovexattr: (fd, name) =>
      noted(c.fremovexattr(fd, name, ...zeros.fremovexattr), now[0]!),
  };
}
