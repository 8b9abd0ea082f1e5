/**
 * Whether all of a file is on the disk still: whoever changes it, and however soon.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { libc } from "../../../ffi/libc.ts";
import { open } from "../../../mod.ts";
import { OpenFile } from "../../../src/storage/open_file.ts";
import { Settled } from "../../../src/storage/settled.ts";
import { temporaryFolder, unproved, withLibc } from "../../support/support.ts";

/** A file, one beside it, and what is known of the first. */
class Place implements Disposable {
  readonly #folder = temporaryFolder();
  readonly path: string = join(this.#folder.path, "file");
  readonly file: OpenFile = opened(this.path);
  readonly scratch: OpenFile = opened(`${this.path}.journal`);
  readonly settled: Settled = new Settled(this.file);

  /** Waits for the disk, as a commit does. */
  wait(): void {
    this.settled.tryOut(this.scratch, 4096);
    const end = this.settled.beginWait();
    this.file.syncData();
    end();
  }

  [Symbol.dispose](): void {
    this.file.close();
    this.scratch.close();
    this.#folder[Symbol.dispose]();
  }
}

function opened(path: string): OpenFile {
  fs.writeFileSync(path, new Uint8Array(10_000));
  return new OpenFile(path, fs.openSync(path, "r+"), 10_000);
}

const skip = (() => {
  using place = new Place();
  place.wait();
  return unproved(
    "that others' changes are seen by their times",
    !place.settled.isSettled &&
      "the kernel (before Linux 6.13) or the file system has no exact times",
  );
})();

/** What others do to a file, which they may do in less than a tick of a clock. */
const CHANGES: Readonly<Record<string, (path: string) => void>> = {
  "write the same byte": (path) => {
    const fd = fs.openSync(path, "r+");
    fs.writeSync(fd, new Uint8Array(1), 0, 1, 5000);
    fs.closeSync(fd);
  },
  "append": (path) => fs.appendFileSync(path, "x"),
  "cut it and make it as long again": (path) => {
    fs.truncateSync(path, 5000);
    fs.truncateSync(path, 10_000);
  },
  "write through a map": (path) => {
    using map = open(path);
    map.slice().bytes[7000]!++;
  },
};

for (const [what, change] of Object.entries(CHANGES)) {
  test(`a file is no longer settled once others ${what}`, { skip }, () => {
    using place = new Place();
    const { path, settled } = place;
    assert.equal(settled.isSettled, false, "nobody has waited");
    for (let i = 0; i < 50; i++) {
      place.wait();
      assert.equal(settled.isSettled, true);
      fs.readFileSync(path);
      assert.equal(settled.isSettled, true, "it was read");
      change(path);
      assert.equal(settled.isSettled, false, `${i}: it was changed`);
    }
  });
}

test("a page that others map is seen to be written, after each wait anew", {
  skip,
}, () => {
  using place = new Place();
  using map = open(place.path);
  const { bytes } = map.slice();
  for (let i = 0; i < 50; i++) {
    place.wait();
    bytes[5000]!++;
    assert.equal(place.settled.isSettled, false, `${i}`);
  }
});

test("what is written while a file is waited for is not known to be there", {
  skip,
}, () => {
  using place = new Place();
  const { file, scratch, settled } = place;
  settled.tryOut(scratch, 4096);
  const end = settled.beginWait();
  file.syncData();
  file.write(Uint8Array.of(1), 100);
  end();
  assert.equal(settled.isSettled, false);
});

test("where times are those of a clock's ticks, no file is ever known to be settled", () => {
  for (const tick of [1_000_000n, 4_000_000n, 10_000_000n]) {
    const real = libc();
    const statx: typeof real.statx = real.statx === null
      ? null
      : (...given) => {
        const result = real.statx!(...given);
        const longs = new BigUint64Array(given[4].buffer);
        const nanoseconds = longs[13]! & 0xffffffffn;
        longs[13]! -= nanoseconds % tick;
        return result;
      };
    withLibc({ statx }, () => {
      for (let i = 0; i < 50; i++) {
        using place = new Place();
        place.wait();
        assert.equal(place.settled.isSettled, false, `${tick} ns`);
      }
    });
  }
});

test("a commit waits for the disk first only if others have changed the file", {
  skip,
}, () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, new Uint8Array(20_000));
  const real = OpenFile.prototype.syncData;
  let waits = 0;
  OpenFile.prototype.syncData = function () {
    if (this.path === path) waits++;
    real.call(this);
  };
  try {
    using map = open(path, "r+", { atomic: true });
    const waitsOf = (value: number, durable = true) => {
      waits = 0;
      map.write([value], 5000);
      map.flush({ durable });
      return waits;
    };
    assert.equal(waitsOf(1), 2, "the first");
    assert.equal(waitsOf(2), 1, "nobody has changed it since");
    CHANGES["write the same byte"]!(path);
    assert.equal(waitsOf(3), 2, "others have");
    assert.equal(waitsOf(4), 1);
    assert.equal(waitsOf(5, false), 0);
    assert.equal(waitsOf(6), 2, "the last one did not wait");
    assert.equal(waitsOf(7), 1);
    map.append(Uint8Array.of(1, 2, 3));
    map.flush();
    assert.equal(waitsOf(8), 2, "something was appended");
  } finally {
    OpenFile.prototype.syncData = real;
  }
});
