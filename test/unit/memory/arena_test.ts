/**
 * The arena of floating slices. Memory is zero at first, content is kept, and kernel
 * mappings are few. Memory is reused only once nobody can reach it.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import "../../../ffi/mod.ts"; // provides libc
import { libc } from "../../../ffi/libc.ts";
import { Arena, type Piece } from "../../../src/memory/arena.ts";
import { below, randomFrom, withLibc } from "../../support/support.ts";

const MEBI = 2 ** 20;
const GIBI = 2 ** 30;

/** An arena that is released at the end of the test. */
function disposableArena(): { arena: Arena } & Disposable {
  const arena = new Arena("/floating.tst");
  return { arena, [Symbol.dispose]: () => arena.release() };
}

/** Resizes a piece as a map does: the old one is freed once the new one is there. */
function resized(piece: Piece, length: number): Piece {
  const result = piece.resized(length);
  if (result !== piece) piece.free();
  return result;
}

/** A view of a piece's bytes. It must be revoked before the piece is resized or freed. */
function viewOf({ mapping, offset, length }: Piece): ArrayBuffer {
  return mapping.view(offset, offset + length);
}

function use<T>(piece: Piece, f: (bytes: Uint8Array) => T): T {
  const { mapping, offset, length } = piece;
  return mapping.borrow(offset, offset + length, f);
}

/** The offset of the first byte that is not `value`, or -1. */
function firstOther(bytes: Uint8Array, value: number): number {
  return bytes.findIndex((byte) => byte !== value);
}

function assertAll(piece: Piece, value: number, message = "a piece"): void {
  use(piece, (bytes) => {
    assert.equal(bytes.length, piece.length, message);
    assert.equal(firstOther(bytes, value), -1, message);
  });
}

/** The kernel mappings of this process. */
function kernelMappings(): readonly (readonly [begin: number, end: number])[] {
  return readFileSync("/proc/self/maps", "latin1").trimEnd().split("\n").map(
    (line) => {
      const [begin, end] = line.split(/[- ]/, 2) as [string, string];
      return [parseInt(begin, 16), parseInt(end, 16)] as const;
    },
  );
}

/** A test that reads /proc. */
function testOnLinux(name: string, body: () => void): void {
  test(name, { skip: process.platform !== "linux" && "needs /proc" }, body);
}

/** How many of the `length` bytes at `address` are mapped. */
function bytesMapped(address: number, length: number): number {
  let sum = 0;
  for (const [begin, end] of kernelMappings()) {
    const shared = Math.min(end, address + length) - Math.max(begin, address);
    if (shared > 0) sum += shared;
  }
  return sum;
}

test("a piece is zeroed and has the length that was asked for", () => {
  using a = disposableArena();
  for (
    const length of [1, 63, 64, 65, 4096, 100_000, MEBI - 1, MEBI, 3 * MEBI + 1]
  ) {
    const piece = a.arena.allocate(length);
    assert.equal(piece.length, length);
    assert.ok(piece.capacity >= length);
    assertAll(piece, 0, `${length} bytes`);
  }
});

test("a piece of no bytes can be allocated, grown and freed", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(0);
  assert.equal(piece.length, 0);
  const grown = resized(piece, 1000);
  assertAll(grown, 0);
  const empty = resized(grown, 0);
  assert.equal(empty.length, 0);
  empty.free();
});

test("pieces start at multiples of 64 bytes, for any element type", () => {
  using a = disposableArena();
  for (let length = 0; length < 200; length++) {
    assert.equal(a.arena.allocate(length).offset % 64, 0);
  }
});

test("pieces do not share a byte", () => {
  using a = disposableArena();
  const pieces = Array.from({ length: 300 }, (_, i) => {
    const piece = a.arena.allocate(1 + i * 7 % 500);
    use(piece, (bytes) => bytes.fill(i % 255 + 1));
    return piece;
  });
  pieces.forEach((piece, i) => assertAll(piece, i % 255 + 1, `piece ${i}`));
});

test("reused memory is zeroed again", () => {
  using a = disposableArena();
  for (let round = 0; round < 20; round++) {
    const pieces: Piece[] = [];
    for (let i = 0; i < 50; i++) {
      const piece = a.arena.allocate(1 + (i * 131 + round * 17) % 5000);
      assertAll(piece, 0, `round ${round}, piece ${i}`);
      use(piece, (bytes) => bytes.fill(0xff));
      pieces.push(piece);
    }
    for (const piece of pieces) piece.free();
  }
});

test("the room into which a reused piece grows is zeroed", () => {
  using a = disposableArena();
  const before = a.arena.allocate(10_000);
  use(before, (bytes) => bytes.fill(0xff));
  before.free();
  const piece = a.arena.allocate(100, 10_000);
  assert.equal(piece.mapping, before.mapping);
  assert.equal(resized(piece, 10_000), piece);
  assertAll(piece, 0);
});

test("growing keeps the content and adds zeros", () => {
  using a = disposableArena();
  let piece = a.arena.allocate(10);
  use(piece, (bytes) => bytes.fill(7));
  for (const length of [11, 64, 65, 1000, 50_000, MEBI, 5 * MEBI]) {
    const before = piece.length;
    piece = resized(piece, length);
    assert.equal(piece.length, length);
    use(piece, (bytes) => {
      assert.equal(firstOther(bytes.subarray(0, before), 7), -1);
      assert.equal(firstOther(bytes.subarray(before), 0), -1);
      bytes.fill(7);
    });
  }
});

test("shrinking keeps the head, and bytes that grow back are zero", () => {
  using a = disposableArena();
  for (
    const [from, to] of [
      [100, 10],
      [5000, 0],
      [3 * MEBI, 3 * MEBI - 1],
      [3 * MEBI, 5],
      [3 * MEBI, MEBI],
    ] as const
  ) {
    let piece = a.arena.allocate(from);
    use(piece, (bytes) => bytes.fill(9));
    piece = resized(piece, to);
    assert.equal(piece.length, to);
    if (to > 0) assertAll(piece, 9, `${from} to ${to}`);
    piece = resized(piece, from);
    use(piece, (bytes) => {
      assert.equal(
        firstOther(bytes.subarray(0, to), 9),
        -1,
        `${from} to ${to}`,
      );
      assert.equal(firstOther(bytes.subarray(to), 0), -1, `${from} to ${to}`);
    });
    piece.free();
  }
});

test("a piece that grows byte by byte moves only a few times", () => {
  using a = disposableArena();
  let piece = a.arena.allocate(1);
  let moves = 0;
  for (let length = 2; length <= 100_000; length++) {
    const next = resized(piece, length);
    if (next !== piece) moves++;
    piece = next;
  }
  assert.ok(moves <= 17, `${moves} moves`);
});

test("random allocations, resizes and frees match arrays of bytes", () => {
  for (let seed = 1; seed <= 4; seed++) {
    const random = randomFrom(seed);
    using a = disposableArena();
    const pieces: { piece: Piece; model: Uint8Array }[] = [];
    const randomLength = () =>
      random() < 0.02
        ? below(random, 3 * MEBI)
        : below(random, random() < 0.5 ? 100 : 5000);
    const write = (piece: Piece, model: Uint8Array) => {
      if (model.length === 0) return;
      const begin = below(random, model.length);
      const end = Math.min(begin + below(random, 300), model.length);
      const value = 1 + below(random, 255);
      model.fill(value, begin, end);
      use(piece, (bytes) => bytes.fill(value, begin, end));
    };
    for (let step = 0; step < 3000; step++) {
      // Empty the arena now and then, so that the last piece of a chunk is freed.
      const emptying = step % 500 > 400;
      const choice = random();
      if (pieces.length === 0 || (!emptying && choice < 0.4)) {
        const length = randomLength();
        const piece = a.arena.allocate(length);
        const model = new Uint8Array(length);
        write(piece, model);
        pieces.push({ piece, model });
        continue;
      }
      const at = below(random, pieces.length);
      const { piece, model } = pieces[at]!;
      const same = use(piece, (bytes) => Buffer.compare(bytes, model) === 0);
      assert.ok(same, `seed ${seed}, step ${step}`);
      if (emptying || choice < 0.6) {
        piece.free();
        pieces.splice(at, 1);
      } else if (choice < 0.85) {
        const length = randomLength();
        const bytes = new Uint8Array(length);
        bytes.set(model.subarray(0, length));
        pieces[at] = { piece: resized(piece, length), model: bytes };
      } else write(piece, model);
    }
    for (const { piece, model } of pieces) {
      const same = use(piece, (bytes) => Buffer.compare(bytes, model) === 0);
      assert.ok(same, `seed ${seed}, end`);
    }
  }
});

/** Bytes of memory that this process has. */
function residentBytes(): number {
  const [, pages] = readFileSync("/proc/self/statm", "latin1").split(" ");
  return Number(pages) * libc().pageSize;
}

testOnLinux(
  "pieces that had a view give their memory back when they are freed",
  () => {
    for (const isOneKept of [false, true]) {
      using a = disposableArena();
      const before = residentBytes();
      for (let i = 0; i < 600; i++) {
        const piece = a.arena.allocate(900_000);
        const view = viewOf(piece);
        new Uint8Array(view).fill(1);
        if (isOneKept) a.arena.allocate(10);
        piece.mapping.revoke(view);
        piece.free();
      }
      const added = residentBytes() - before;
      assert.ok(added < 200 * MEBI, `${added} bytes, one kept: ${isOneKept}`);
    }
  },
);

testOnLinux(
  "pieces freed between others do not become kernel mappings of their own",
  () => {
    using a = disposableArena();
    const before = kernelMappings().length;
    const pieces = Array.from({ length: 2000 }, () => {
      const piece = a.arena.allocate(100_000);
      use(piece, (bytes) => bytes.fill(1));
      return piece;
    });
    for (let i = 0; i < pieces.length; i += 2) pieces[i]!.free();
    const added = kernelMappings().length - before;
    assert.ok(added < 100, `${added} mappings`);
    for (let i = 1; i < pieces.length; i += 2) assertAll(pieces[i]!, 1);
  },
);

test("many cuts of a large piece copy no more than its length, and keep the head", () => {
  const real = libc();
  let copied = 0;
  withLibc({
    memmove: (target, source, length) => {
      copied += length;
      real.memmove(target, source, length);
    },
  }, () => {
    using a = disposableArena();
    let piece = a.arena.allocate(32 * MEBI);
    use(piece, (bytes) => bytes.fill(5));
    for (let cuts = 0; cuts < 31; cuts++) {
      piece = piece.resized(piece.length - MEBI);
    }
    assert.equal(piece.length, MEBI);
    assertAll(piece, 5);
    const grown = piece.resized(3 * MEBI);
    use(grown, (bytes) => {
      assert.equal(firstOther(bytes.subarray(0, MEBI), 5), -1);
      assert.equal(firstOther(bytes.subarray(MEBI), 0), -1);
    });
  });
  assert.ok(copied <= 32 * MEBI, `${copied} bytes copied`);
});

testOnLinux(
  "bytes cut off a large piece in place give their memory back, and read as zero",
  () => {
    using a = disposableArena();
    const piece = a.arena.allocate(96 * MEBI);
    use(piece, (bytes) => bytes.fill(5));
    const before = residentBytes();
    const length = 30 * MEBI + 123;
    assert.equal(piece.resized(length), piece);
    const freed = before - residentBytes();
    assert.ok(freed > 50 * MEBI, `${freed} bytes`);
    assert.equal(piece.resized(80 * MEBI), piece);
    use(piece, (bytes) => {
      assert.equal(firstOther(bytes.subarray(0, length), 5), -1);
      assert.equal(firstOther(bytes.subarray(length), 0), -1);
    });
  },
);

test("a cut for which the system has no room writes zeros instead", () => {
  const real = libc();
  let isRefusing = false;
  withLibc({
    mmap: (...values) => isRefusing ? -1 : real.mmap(...values),
    errno: () => 12,
  }, () => {
    using a = disposableArena();
    const piece = a.arena.allocate(4 * MEBI);
    use(piece, (bytes) => bytes.fill(5));
    isRefusing = true;
    assert.equal(piece.resized(2 * MEBI), piece);
    isRefusing = false;
    assert.equal(piece.resized(4 * MEBI), piece);
    use(piece, (bytes) => {
      assert.equal(firstOther(bytes.subarray(0, 2 * MEBI), 5), -1);
      assert.equal(firstOther(bytes.subarray(2 * MEBI), 0), -1);
    });
  });
});

test("freeing a piece twice does not take its chunk from the others", () => {
  using a = disposableArena();
  const [first, second] = [a.arena.allocate(100), a.arena.allocate(100)];
  use(second, (bytes) => bytes.fill(5));
  first.free();
  first.free();
  const third = a.arena.allocate(300);
  use(third, (bytes) => bytes.fill(7));
  assertAll(second, 5);
});

test("a chunk's memory is reused after its last piece is freed", () => {
  using a = disposableArena();
  const first = a.arena.allocate(100);
  const second = a.arena.allocate(100);
  first.free();
  const third = a.arena.allocate(100);
  assert.notEqual(
    third.offset,
    first.offset,
    "other pieces still use the chunk",
  );
  second.free();
  third.free();
  const fourth = a.arena.allocate(100);
  assert.equal(fourth.mapping, first.mapping);
  assert.equal(fourth.offset, first.offset);
});

testOnLinux("100,000 small pieces share a few kernel mappings", () => {
  using a = disposableArena();
  const before = kernelMappings().length;
  const pieces = Array.from({ length: 100_000 }, (_, i) => {
    const piece = a.arena.allocate(1000);
    if (i % 100 === 0) use(piece, (bytes) => bytes.fill(1));
    return piece;
  });
  const after = kernelMappings().length;
  assert.ok(after - before < 100, `${before} mappings, then ${after}`);
  for (const piece of pieces) piece.free();
});

testOnLinux(
  "chunks that are filled and freed repeatedly do not pile up",
  () => {
    using a = disposableArena();
    const before = kernelMappings().length;
    const last: Piece[] = [];
    for (let i = 0; i < 20_000; i++) {
      last.push(a.arena.allocate(MEBI / 2)); // ten gibibytes in total, in 157 chunks
      if (last.length > 3) last.shift()!.free();
    }
    const after = kernelMappings().length;
    assert.ok(after - before < 50, `${before} mappings, then ${after}`);
  },
);

testOnLinux("a big piece is unmapped when it is freed", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(GIBI);
  const { address } = piece.mapping;
  assert.equal(bytesMapped(address, GIBI), GIBI);
  piece.free();
  // Something else may have mapped some of these addresses again, but not all.
  assert.ok(bytesMapped(address, GIBI) < GIBI / 2);
});

testOnLinux("a big piece cut short gives its memory back", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(GIBI);
  const { address } = piece.mapping;
  const cut = resized(piece, 10);
  assert.notEqual(cut, piece);
  assert.ok(bytesMapped(address, GIBI) < GIBI / 2);
});

testOnLinux("releasing the arena unmaps small and big pieces", () => {
  const arena = new Arena("/floating.tst");
  const small = arena.allocate(10).mapping;
  const big = arena.allocate(GIBI).mapping;
  const [smallAt, bigAt] = [small.address, big.address];
  arena.release();
  assert.ok(bytesMapped(smallAt, small.capacity) < small.capacity);
  assert.ok(bytesMapped(bigAt, GIBI) < GIBI / 2);
  assert.throws(() => big.view(0, 1), { message: /after its release/ });
  assert.throws(() => small.fill(0, 0, 1), { message: /after its release/ });
});

test("releasing the arena detaches views, and the arena can be used again", () => {
  using a = disposableArena();
  const view = viewOf(a.arena.allocate(10));
  a.arena.release();
  assert.equal(view.detached, true);
  assert.equal(view.byteLength, 0);
  assertAll(a.arena.allocate(10), 0);
});

/** Ways in which a user can move a view's memory out of our reach. */
const MOVES: Record<string, (view: ArrayBuffer) => ArrayBuffer> = {
  "transfer()": (view) => view.transfer(),
  "structuredClone": (view) => structuredClone(view, { transfer: [view] }),
};

for (const [name, move] of Object.entries(MOVES)) {
  for (const revoked of [true, false]) {
    test(`memory moved by ${name} and ${revoked ? "revoked" : "left"} is never given to another piece`, () => {
      using a = disposableArena();
      const { arena } = a;
      const piece = arena.allocate(1000);
      const view = viewOf(piece);
      new Uint8Array(view).fill(3);
      const moved = new Uint8Array(move(view));
      assert.equal(view.detached, true);
      if (revoked) piece.mapping.revoke(view);
      piece.free();
      const others = Array.from({ length: 2000 }, () => arena.allocate(1000));
      for (const other of others) {
        assertAll(other, 0);
        use(other, (bytes) => bytes.fill(0xee));
      }
      assert.ok(!moved.includes(0xee));
      moved.fill(0x11); // reaches no other piece, and does not fault
      for (const other of others) assertAll(other, 0xee);
    });
  }
}

test("a moved view outlives the rest of its chunk, and is not reused when the last piece is freed", () => {
  using a = disposableArena();
  const { arena } = a;
  const neighbours = Array.from({ length: 10 }, () => arena.allocate(200));
  const piece = arena.allocate(200);
  neighbours.push(...Array.from({ length: 10 }, () => arena.allocate(200)));
  const view = viewOf(piece);
  const moved = new Uint8Array(view.transfer());
  piece.mapping.revoke(view);
  piece.free();
  for (const neighbour of neighbours) {
    use(neighbour, (bytes) => bytes.fill(0xee));
    neighbour.free();
  }
  for (let i = 0; i < 1000; i++) {
    const other = arena.allocate(200);
    moved.fill(0x11);
    assertAll(other, 0);
    use(other, (bytes) => bytes.fill(0xee));
  }
  assert.equal(firstOther(moved, 0x11), -1);
});

test("a moved view of a big piece can still be read after the piece is freed", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(4 * MEBI);
  const view = viewOf(piece);
  const moved = new Uint8Array(view.transfer());
  piece.mapping.revoke(view);
  piece.free();
  const other = a.arena.allocate(4 * MEBI);
  use(other, (bytes) => bytes.fill(0xee));
  assert.equal(firstOther(moved, 0), -1);
  moved.fill(0x11);
  assertAll(other, 0xee);
});

test("a moved view of a piece that has to move does not reach the new piece", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(1000);
  const view = viewOf(piece);
  new Uint8Array(view).fill(3);
  const moved = new Uint8Array(view.transfer());
  piece.mapping.revoke(view);
  const grown = resized(piece, 100_000);
  assert.notEqual(grown, piece);
  moved.fill(0x11);
  use(grown, (bytes) => {
    assert.equal(firstOther(bytes.subarray(0, 1000), 3), -1);
    assert.equal(firstOther(bytes.subarray(1000), 0), -1);
  });
});

test("a moved view of a released arena can still be read, and reaches no other piece", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(1000);
  const view = viewOf(piece);
  const moved = new Uint8Array(view.transfer());
  a.arena.release();
  const others = Array.from({ length: 100 }, () => a.arena.allocate(1000));
  for (const other of others) use(other, (bytes) => bytes.fill(0xee));
  assert.ok(!moved.includes(0xee));
  moved.fill(0x11);
  for (const other of others) assertAll(other, 0xee);
});

test("a request for more memory than there are addresses is a SystemError, and the arena still works", () => {
  using a = disposableArena();
  const piece = a.arena.allocate(100);
  use(piece, (bytes) => bytes.fill(5));
  const error = { name: "SystemError", code: "ENOMEM", syscall: "mmap" };
  assert.throws(() => a.arena.allocate(2 ** 52), error);
  assert.throws(() => resized(piece, 2 ** 52), error);
  assert.equal(piece.length, 100);
  assertAll(piece, 5);
  assertAll(a.arena.allocate(100), 0);
});

test("a piece can be smaller than a page, as large, or larger", () => {
  using a = disposableArena();
  const { pageSize } = libc();
  for (const length of [pageSize - 1, pageSize, pageSize + 1]) {
    const piece = a.arena.allocate(length);
    use(piece, (bytes) => bytes[length - 1] = 1);
    assert.equal(use(piece, (bytes) => bytes[length - 1]), 1);
  }
});

test("empty() keeps a chunk of which little was used, with zeros for the next pieces", () => {
  const real = libc();
  let [mapped, unmapped] = [0, 0];
  withLibc({
    mmap: (...values) => (mapped++, real.mmap(...values)),
    munmap: (...values) => (unmapped++, real.munmap(...values)),
  }, () => {
    using disposable = disposableArena();
    const { arena } = disposable;
    arena.allocate(1);
    const before = [mapped, unmapped];
    let view: ArrayBuffer | undefined;
    for (let turn = 0; turn < 5; turn++) {
      const pieces = [100, 5000, 64].map((length) => arena.allocate(length));
      for (const piece of pieces) {
        assertAll(piece, 0);
        use(piece, (bytes) => bytes.fill(turn + 1));
      }
      view = viewOf(pieces[1]!);
      arena.empty();
      assert.equal(view.byteLength, 0, "a view of a piece that is forgotten");
    }
    assert.deepEqual([mapped, unmapped], before);
    arena.allocate(MEBI);
    arena.empty();
    assert.equal(unmapped, before[1]! + 1, "a chunk of a large piece");
    for (let i = 0; i < 20; i++) arena.allocate(5000);
    arena.empty();
    assert.equal(unmapped, before[1]! + 2, "a chunk of which much was used");
  });
});

test("empty() keeps no chunk of which a byte can be reached still", () => {
  using disposable = disposableArena();
  const { arena } = disposable;
  const piece = arena.allocate(100);
  const { chunk } = piece;
  use(piece, (bytes) => bytes.fill(7));
  const moved = viewOf(piece).transfer();
  arena.empty();
  assert.notEqual(arena.allocate(100).chunk, chunk);
  assert.equal(moved.byteLength, 100);
});
