/**
 * What an interrupted flush leaves behind, and what the next process finds.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { type Mode, open } from "../../../mod.ts";
import {
  contentOf,
  openScenario,
  placeIn,
  prepare,
  same,
  type Scenario,
  targetBefore,
} from "./flush_scenarios.ts";

/**
 * Checks the files of `scenario` in `folder`: by a plain read, by opening them in every
 * mode, and by what lies beside them after a writable open. In the message of a
 * failure, `where` says what happened before.
 */
export function whatIsLeft(
  folder: string,
  scenario: Scenario,
  where: string,
): "old" | "new" {
  const { path, source, target } = placeIn(folder, scenario);
  const { before, after } = scenario;
  const isSaved = target !== source;
  const plain = contentOf(target);

  const judge = (content: Uint8Array | null, who: string) => {
    if (same(content, targetBefore(scenario))) return "old";
    if (same(content, after)) return "new";
    const found = content === null ? "no file" : `${content.length} bytes`;
    assert.fail(
      `${where}: ${who} finds neither the old content nor the new: ${found}`,
    );
  };

  const isAppend = scenario.strategy === "extend" &&
    after.length > before.length;
  if (isAppend) {
    // Until the next open, a part of an append may follow the old content.
    assert.ok(plain !== null && plain.length <= after.length, where);
    assert.ok(same(plain.subarray(0, before.length), before), where);
  } else if (isCommit(scenario)) {
    // Until the next open, it may have a part of what was committed.
    const length = plain?.length ?? -1;
    assert.ok(length >= before.length && length <= after.length, where);
  } else judge(plain, "a plain read");

  if (isSaved) {
    const message = `${where}: the original has changed`;
    assert.ok(same(contentOf(source), before), message);
    assert.ok(same(mapped(path, "r+"), before), message);
  }
  let left: "old" | "new";
  if (plain === null) {
    left = "old";
    // There is no file to open. Creating one in its place cleans up.
    open(target, "w+", { length: 1 }).close();
  } else {
    const opened = isSaved ? target : path;
    const first = judge(mapped(opened, "r"), "mode r");
    assert.equal(judge(mapped(opened, "c"), "mode c"), first, where);
    left = judge(mapped(opened, "r+"), "mode r+");
    // Only a writable mode can finish an append, also of a commit that appends.
    const isLonger = isCommit(scenario) && after.length > before.length;
    if (!((isAppend || isLonger) && left === "new")) {
      assert.equal(left, first, where);
    }
    assert.equal(judge(mapped(opened, "r"), "mode r, again"), left, where);
    assert.equal(judge(contentOf(target), "a plain read after"), left, where);
  }
  assert.deepEqual(strays(folder, scenario), [], `${where}: left over`);
  return left;
}

/** Is it made in place, by way of a journal that has all of it? */
export function isCommit({ isAtomic, strategy }: Scenario): boolean {
  return isAtomic && strategy === "in-place";
}

function mapped(path: string, mode: Mode): Uint8Array {
  using map = open(path, mode);
  return map.slice().slice();
}

/** The names of files that do not belong to the scenario. */
export function strays(folder: string, scenario: Scenario): string[] {
  const { source, target } = placeIn(folder, scenario);
  const data = join(source, "..");
  return fs.readdirSync(data)
    .filter((name) => ![source, target].includes(join(data, name)));
}

/**
 * Makes the files beside the file older than the last start of the system, as they are
 * after a power cut. Only then may the disk have zeros where bytes were written.
 */
export function restartSystem(folder: string, scenario: Scenario): void {
  const data = join(placeIn(folder, scenario).source, "..");
  for (const name of strays(folder, scenario)) {
    const path = join(data, name);
    const header = new Uint8Array(4096);
    const fd = fs.openSync(path, "r+");
    const length = fs.readSync(fd, header, 0, header.length, 0);
    const text = new TextDecoder("latin1").decode(header.subarray(0, length));
    const restarted = text.replace(
      /(?<="boot":")[^"]*/,
      (id) => "0".repeat(id.length),
    );
    if (restarted !== text) fs.writeSync(fd, restarted, 0, "latin1");
    fs.closeSync(fd);
  }
}

/** The content after the next writable open, following {@linkcode leaveKilled}. */
export const FINISHED = "new";

/**
 * Leaves in `folder` what remains of an append or a commit that was killed when half was
 * written. The flush is not really killed: a second name keeps the file, and a copy
 * keeps the journal.
 */
export function leaveKilled(folder: string, scenario: Scenario): void {
  const place = prepare(folder, scenario);
  const { source } = place;
  const { before, after, edit } = scenario;
  const data = join(source, "..");
  const kept = join(folder, "kept");
  const keptFile = join(kept, "file");
  fs.mkdirSync(kept);
  const map = openScenario(scenario, place);
  edit(map);
  let isKept = false;
  map.flush({
    onProgress(done, total) {
      // A commit is noted in the first half, and made in the second.
      if (done <= total / 2 || isKept) return;
      if (!isCommit(scenario) && done < total) return;
      isKept = true;
      fs.linkSync(source, keptFile);
      for (const name of strays(folder, scenario)) {
        fs.copyFileSync(join(data, name), join(kept, name));
        fs.chmodSync(join(kept, name), fs.statSync(join(data, name)).mode);
      }
    },
  });
  map.close();
  const half = Math.ceil(before.length / 1024) * 512;
  if (isCommit(scenario)) {
    const fd = fs.openSync(keptFile, "r+");
    fs.writeSync(fd, before, half, before.length - half, half);
    fs.closeSync(fd);
  } else {
    const length = Math.ceil((before.length + after.length) / 2);
    fs.truncateSync(keptFile, length);
  }
  fs.rmSync(data, { recursive: true });
  fs.renameSync(kept, data);
}
