/**
 * One mapping: its bytes, its views, what remains after its release, and whether its
 * bytes are on disk. Faults are tested in child processes, in test/system/faults.
 */

import assert from "node:assert/strict";
import {
  closeSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc, runtime } from "../../../ffi/mod.ts";
import { Mapping } from "../../../src/memory/mapping.ts";
import { temporaryFolder } from "../../support/support.ts";

const SIZE = 100_000;

/** Memory without a file, released at the end of the test. */
function anonymous(length = SIZE): { mapping: Mapping } & Disposable {
  const mapping = Mapping.anonymous(length, "/memory.tst");
  return { mapping, [Symbol.dispose]: () => mapping.release() };
}

interface Options {
  shared?: boolean;
  spare?: number;
}

/** A mapping of a file that holds `content`. */
function mappedFile(
  content: Uint8Array,
  { shared = true, spare = 0 }: Options = {},
): { mapping: Mapping; path: string } & Disposable {
  const folder = temporaryFolder();
  const path = join(folder.path, "mapped.tst");
  writeFileSync(path, content);
  const fd = openSync(path, "r+");
  const [charged, guarded, hugePage] = [false, false, 0];
  const file = { fd, shared, charged, guarded, hugePage };
  const mapping = Mapping.ofFile(file, content.length, spare, path);
  return {
    mapping,
    path,
    [Symbol.dispose]() {
      mapping.release();
      closeSync(fd);
      folder[Symbol.dispose]();
    },
  };
}

function bytesOf(mapping: Mapping, begin: number, end: number): number[] {
  return mapping.borrow(begin, end, (bytes) => [...bytes]);
}

function write(mapping: Mapping, at: number, bytes: readonly number[]): void {
  mapping.borrow(at, at + bytes.length, (target) => target.set(bytes));
}

test("memory without a file is zero at first", () => {
  using a = anonymous();
  assert.equal(a.mapping.capacity, SIZE);
  assert.ok(bytesOf(a.mapping, 0, SIZE).every((byte) => byte === 0));
});

test("fill() sets exactly the given bytes", () => {
  using a = anonymous();
  a.mapping.fill(7, 3, 2);
  assert.deepEqual(bytesOf(a.mapping, 2, 6), [0, 7, 7, 0]);
});

test("copyFrom() copies overlapping ranges like memmove, and between mappings", () => {
  using a = anonymous();
  using b = anonymous();
  write(a.mapping, 0, [1, 2, 3, 4, 5]);
  a.mapping.copyFrom(a.mapping, 0, 2, 5);
  assert.deepEqual(bytesOf(a.mapping, 0, 7), [1, 2, 1, 2, 3, 4, 5]);
  a.mapping.copyFrom(a.mapping, 2, 1, 5);
  assert.deepEqual(bytesOf(a.mapping, 0, 7), [1, 1, 2, 3, 4, 5, 5]);
  b.mapping.copyFrom(a.mapping, 1, 10, 3);
  assert.deepEqual(bytesOf(b.mapping, 9, 14), [0, 1, 2, 3, 0]);
});

test("equals() compares the two ranges, and nothing around them", () => {
  using a = anonymous();
  using b = anonymous();
  write(a.mapping, 0, [9, 1, 2, 3]);
  write(b.mapping, 10, [1, 2, 3, 4]);
  assert.equal(a.mapping.equals(b.mapping, 1, 10, 3), true);
  assert.equal(a.mapping.equals(b.mapping, 1, 10, 4), false);
  assert.equal(a.mapping.equals(b.mapping, 0, 10, 0), true);
});

test("find() returns an offset in the mapping, and does not look outside the range", () => {
  using a = anonymous();
  write(a.mapping, 500, [1, 2, 3]);
  const pattern = new Uint8Array([2, 3]);
  assert.equal(a.mapping.find(pattern, 0, SIZE), 501);
  assert.equal(a.mapping.find(pattern, 501, 503), 501);
  assert.equal(a.mapping.find(pattern, 501, 502), -1);
  assert.equal(a.mapping.find(pattern, 502, SIZE), -1);
});

test("a view is the memory itself, not a copy", () => {
  using a = anonymous();
  const view = new Uint8Array(a.mapping.view(10, 14));
  view.set([1, 2, 3, 4]);
  assert.deepEqual(bytesOf(a.mapping, 9, 15), [0, 1, 2, 3, 4, 0]);
  a.mapping.fill(8, 11, 1);
  assert.deepEqual([...view], [1, 8, 3, 4]);
});

test("a view of no bytes can be made and revoked", () => {
  using a = anonymous();
  const view = a.mapping.view(5, 5);
  assert.equal(view.byteLength, 0);
  a.mapping.revoke(view);
});

test("a view larger than the runtime's largest ArrayBuffer is a RangeError that says so", () => {
  using a = anonymous();
  const limit = runtime().maxBufferLength;
  assert.throws(() => a.mapping.view(0, limit + 1), {
    name: "RangeError",
    message: `${limit + 1} bytes are more than this runtime's largest ` +
      `ArrayBuffer, which has ${limit}. Cut them into smaller slices.`,
  });
});

test("revoke() detaches one view, and release() all the others", () => {
  using a = anonymous();
  const [first, second] = [a.mapping.view(0, 10), a.mapping.view(0, 20)];
  a.mapping.revoke(first);
  assert.equal(first.detached, true);
  assert.equal(second.detached, false);
  a.mapping.release();
  assert.equal(second.detached, true);
});

test("borrowed bytes are detached afterwards, also after an error", () => {
  using a = anonymous();
  let kept = a.mapping.borrow(0, 10, (bytes) => bytes);
  assert.equal(kept.length, 0);
  const error = new Error("mine");
  const fails = () =>
    a.mapping.borrow(0, 10, (bytes) => {
      kept = bytes;
      throw error;
    });
  assert.throws(fails, error);
  assert.equal(kept.length, 0);
});

test("EFAULT from a system call on borrowed bytes is a FaultError", () => {
  using a = anonymous();
  const cause = Object.assign(new Error("EFAULT"), { code: "EFAULT" });
  assert.equal(a.mapping.hasReportedFaults, false);
  assert.throws(() =>
    a.mapping.borrow(0, 10, () => {
      throw cause;
    }), {
    name: "FaultError",
    cause,
    message: /^'\/memory\.tst' lost bytes while it was mapped: .*discard: true/,
  });
  assert.equal(a.mapping.hasReportedFaults, true);
  assert.equal(a.mapping.faults, 0);
});

test("a released mapping refuses every access, and can be released again", () => {
  using a = anonymous();
  const { mapping } = a;
  assert.equal(mapping.isReleased, false);
  mapping.release();
  mapping.release();
  assert.equal(mapping.isReleased, true);
  const released = { message: /^A mapping of '\/memory\.tst' was used after/ };
  const pattern = new Uint8Array(1);
  assert.throws(() => mapping.address, released);
  assert.throws(() => mapping.view(0, 1), released);
  assert.throws(() => mapping.borrow(0, 1, () => {}), released);
  assert.throws(() => mapping.fill(0, 0, 1), released);
  assert.throws(() => mapping.find(pattern, 0, 1), released);
  assert.throws(() => mapping.sync(0, 1), released);
  assert.throws(() => mapping.copyFrom(mapping, 0, 1, 1), released);
});

test("bytes whose view was moved have escaped, and other bytes have not", () => {
  using a = anonymous();
  const { mapping } = a;
  const view = mapping.view(1000, 2000);
  assert.equal(mapping.hasEscapedAfter(0), false);
  const moved = new Uint8Array(view.transfer());
  for (const revoked of [false, true]) {
    if (revoked) mapping.revoke(view);
    assert.equal(mapping.hasEscapedAfter(0), true);
    assert.equal(mapping.hasEscapedAfter(1999), true);
    assert.equal(mapping.hasEscapedAfter(2000), false);
  }
  moved.fill(3);
  assert.deepEqual(bytesOf(mapping, 1999, 2001), [3, 0]);
  mapping.release();
  assert.ok(moved.every((byte) => byte === 0)); // it reads zeros, and does not fault
  moved.fill(4);
});

test("if buffers cannot be pinned, bytes of which a user had a view may be in flight", () => {
  using a = anonymous();
  const { mapping } = a;
  const { pinsBuffers } = runtime();
  assert.equal(mapping.inFlightEnd, 0);
  bytesOf(mapping, 0, 5000); // no user has seen that buffer
  assert.equal(mapping.inFlightEnd, 0);
  const [first, second] = [mapping.view(100, 4000), mapping.view(10, 20)];
  assert.equal(mapping.inFlightEnd, 0);
  mapping.revoke(first);
  assert.equal(mapping.inFlightEnd, pinsBuffers ? 0 : 4000);
  mapping.revoke(second);
  assert.equal(mapping.inFlightEnd, pinsBuffers ? 0 : 4000);
});

test("a cut gives up capacity only if bytes after it may be in flight", () => {
  using a = anonymous();
  const { mapping } = a;
  const { pageSize } = libc();
  const { pinsBuffers } = runtime();
  mapping.fill(1, 0, SIZE);
  mapping.revoke(mapping.view(0, pageSize));
  mapping.cut(pageSize);
  assert.equal(mapping.capacity, SIZE);
  mapping.revoke(mapping.view(0, SIZE));
  mapping.cut(1);
  assert.equal(mapping.capacity, pinsBuffers ? SIZE : pageSize);
  assert.deepEqual(bytesOf(mapping, pageSize - 1, pageSize), [1]);
});

test("bytes may be unsynced from when somebody can write them until they are known to be on disk", () => {
  using a = anonymous();
  const { mapping } = a;
  assert.equal(mapping.maybeUnsynced, false);
  mapping.find(new Uint8Array(1), 0, 10);
  mapping.equals(mapping, 0, 1, 10);
  assert.equal(mapping.maybeUnsynced, false);
  const writes: Record<string, () => void> = {
    fill: () => mapping.fill(0, 0, 1),
    copyFrom: () => mapping.copyFrom(mapping, 0, 1, 1),
    borrow: () => mapping.borrow(0, 1, () => {}),
    markUnsynced: () => mapping.markUnsynced(),
  };
  for (const [name, work] of Object.entries(writes)) {
    work();
    assert.equal(mapping.maybeUnsynced, true, name);
    mapping.markSynced();
    assert.equal(mapping.maybeUnsynced, false, name);
  }
  const view = mapping.view(0, 1);
  mapping.markSynced();
  assert.equal(mapping.maybeUnsynced, true, "somebody has a view");
  mapping.revoke(view);
  assert.equal(
    mapping.maybeUnsynced,
    true,
    "the view may have been written to",
  );
  mapping.markSynced();
  assert.equal(mapping.maybeUnsynced, false);
  mapping.view(0, 1).transfer();
  mapping.markSynced();
  assert.equal(
    mapping.maybeUnsynced,
    true,
    "a moved view is out of reach for good",
  );
});

test("writes to a shared mapping reach the file, and writes to a private one do not", () => {
  const content = new Uint8Array([1, 2, 3, 4]);
  for (const shared of [true, false]) {
    using file = mappedFile(content, { shared });
    assert.deepEqual(bytesOf(file.mapping, 0, 4), [1, 2, 3, 4]);
    file.mapping.fill(9, 1, 2);
    if (shared) file.mapping.sync(1, 3);
    const expected = shared ? [1, 9, 9, 4] : [1, 2, 3, 4];
    assert.deepEqual([...readFileSync(file.path)], expected);
  }
});

test("a file that grows into spare address space needs no new mapping", () => {
  using file = mappedFile(new Uint8Array([1, 2]), { spare: SIZE });
  const { mapping, path } = file;
  assert.equal(mapping.capacity, 2 + SIZE);
  const view = new Uint8Array(mapping.view(0, 2));
  truncateSync(path, SIZE);
  write(mapping, SIZE - 1, [7]);
  assert.equal(readFileSync(path)[SIZE - 1], 7);
  assert.deepEqual([...view], [1, 2]);
});

test("a mapping works without spare address space if the system has none", () => {
  using file = mappedFile(new Uint8Array([1, 2]), { spare: 2 ** 52 });
  assert.equal(file.mapping.capacity, 2);
  assert.deepEqual(bytesOf(file.mapping, 0, 2), [1, 2]);
});

test("an empty file is an empty mapping without memory", () => {
  using file = mappedFile(new Uint8Array(0));
  const { mapping } = file;
  assert.equal(mapping.capacity, 0);
  assert.equal(mapping.view(0, 0).byteLength, 0);
  assert.equal(mapping.maybeUnsynced, false);
  mapping.sync(0, 0);
  mapping.cut(0);
  assert.equal(mapping.capacity, 0);
});

test("a failed mmap is a SystemError that names the call and the path", () => {
  const [charged, guarded, hugePage] = [false, false, 0];
  const file = { fd: 2 ** 30, shared: true, charged, guarded, hugePage };
  assert.throws(() => Mapping.ofFile(file, 10, 0, "/memory.tst"), {
    name: "SystemError",
    code: "EBADF",
    syscall: "mmap",
    path: "/memory.tst",
  });
  assert.throws(() => Mapping.anonymous(2 ** 52, "/memory.tst"), {
    name: "SystemError",
    code: "ENOMEM",
    syscall: "mmap",
  });
});

test("sync() and advise() accept ranges at any offset", () => {
  using file = mappedFile(new Uint8Array(SIZE));
  const { mapping } = file;
  const { MADV_NORMAL, MADV_WILLNEED } = libc().constants;
  for (
    const [begin, end] of [[0, SIZE], [1, 2], [5000, 9001], [7, 7]] as const
  ) {
    mapping.sync(begin, end);
    mapping.advise(MADV_WILLNEED, begin, end);
    mapping.advise(MADV_NORMAL, begin, end);
  }
});

test("advice that the system does not know is a SystemError", () => {
  using a = anonymous();
  assert.throws(() => a.mapping.advise(12_345, 0, SIZE), {
    name: "SystemError",
    code: "EINVAL",
    syscall: "madvise",
  });
  a.mapping.advise(12_345, 10, 10); // an empty range needs no call
});

test("a revoke or release that runs out of stack leaves no view attached after a retry", () => {
  using a = anonymous();
  const { mapping } = a;
  const views = Array.from({ length: 200 }, () => mapping.view(0, 100));
  let isDone = false;
  /** Runs `act` with almost no stack left, then with a little more, until it succeeds. */
  const retried = (act: () => void, padding: number): number => {
    let height = 0;
    try {
      height = retried(act, padding) + 1;
    } catch {
      // The stack ended here.
    }
    if (!isDone && height < 2000) {
      try {
        act();
        isDone = true;
      } catch {
        // Try again, one frame further up.
      }
    }
    return height;
  };
  const dive = (depth: number, act: () => void): void => {
    if (depth > 0) return dive(depth - 1, act);
    isDone = false;
    retried(act, depth);
  };
  for (const [i, view] of views.entries()) {
    if (i < 100) dive(i, () => mapping.revoke(view));
  }
  dive(50, () => mapping.release());
  mapping.release();
  assert.equal(mapping.isReleased, true);
  assert.deepEqual(views.filter(({ detached }) => !detached), []);
});

test("buffers moved repeatedly are one escaped range", () => {
  using a = anonymous();
  const { mapping } = a;
  for (let i = 0; i < 1000; i++) {
    const view = mapping.view(i, i + 10);
    view.transfer();
    mapping.revoke(view);
  }
  assert.equal(mapping.hasEscapedAfter(1008), true);
  assert.equal(mapping.hasEscapedAfter(1009), false);
});

test("what may have been written lies between two offsets, until all is known to be on disk", () => {
  using memory = anonymous();
  const { mapping } = memory;
  assert.equal(mapping.maybeWritten, null);
  mapping.copyOf(0, 10); // reads
  assert.equal(mapping.maybeWritten, null);
  mapping.write(500, new Uint8Array(300));
  assert.deepEqual(mapping.maybeWritten, { begin: 500, end: 800 });
  mapping.fill(1, 100, 5);
  mapping.copyFrom(mapping, 0, 9000, 10);
  mapping.copyOf(0, SIZE);
  assert.deepEqual(mapping.maybeWritten, { begin: 100, end: 9010 });
  mapping.markSynced();
  assert.equal(mapping.maybeWritten, null);
  const buffer = mapping.view(20, 30);
  assert.deepEqual(mapping.maybeWritten, { begin: 20, end: 30 });
  mapping.markSynced(); // and whoever has the view writes on
  assert.deepEqual(mapping.maybeWritten, { begin: 20, end: 30 });
  mapping.revoke(buffer);
  const { begin, end } = mapping.maybeWritten!;
  // In Deno, an operation may still be using it; that is not known to the byte.
  assert.ok(runtime().pinsBuffers ? begin === 20 : begin <= 20);
  assert.equal(end, 30);
  mapping.markUnsynced(); // nobody knows where
  assert.deepEqual(mapping.maybeWritten, { begin: 0, end: SIZE });
});

test("bytes that were moved out of a view may be written to for good", () => {
  using memory = anonymous();
  const { mapping } = memory;
  const buffer = mapping.view(20_000, 30_000);
  const moved = buffer.transfer();
  mapping.revoke(buffer);
  mapping.markSynced();
  const { begin, end } = mapping.maybeWritten!;
  assert.ok(begin <= 20_000 && end === 30_000);
  assert.equal(moved.byteLength, 10_000);
});

test("bytes are exposed while a user may have a buffer over them, and not to our own", () => {
  using memory = anonymous();
  const { mapping } = memory;
  mapping.write(0, new Uint8Array(1000));
  const own = mapping.view(0, 10, true);
  assert.equal(mapping.isExposed, false);
  const buffer = mapping.view(20, 30);
  assert.equal(mapping.isExposed, true);
  mapping.revoke(buffer);
  // In Deno, an operation may still be using it.
  assert.equal(mapping.isExposed, !runtime().pinsBuffers);
  mapping.revoke(own);
  mapping.view(40, 50).transfer();
  assert.equal(mapping.isExposed, true);
});
