/**
 * Makes one flush between two marks in the trace, while crash_test.ts kills it or makes
 * its system calls fail. If it survives, it reports how the flush went.
 *
 * Arguments: the action, the driver, the scenario's name, a folder, and the path of a
 * pipe to write to when all is ready. The flush begins when a byte arrives on standard input.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Memmap, open } from "../../../../mod.ts";
import { strays } from "../aftermath.ts";
import {
  contentOf,
  contentOfMap,
  DRIVERS,
  openScenario,
  type Place,
  placeIn,
  prepare,
  same,
  type Scenario,
  scenarioNamed,
  targetBefore,
} from "../flush_scenarios.ts";
import { provideLater } from "../../../../src/storage/later.ts";
import { atOnce } from "../../../support/later.ts";
import { mark } from "../../../support/mark.ts";
import { givenArguments } from "../../../support/support.ts";

/** How a flush or an open went, if it was not killed. */
export interface Report {
  /** What it threw, if anything. */
  error?: { name: string; code?: string | undefined; message: string };
  /** The strategy of the first flush that succeeded. */
  strategy?: string;
  /** Whether the map says that the edits are in the file. */
  isCommitted: boolean;
  /** Files beside the map's own right after the flush. */
  strays: string[];
  /** What went wrong. */
  problems: string[];
}

function openAndEdit(scenario: Scenario, place: Place): Memmap {
  const map = openScenario(scenario, place);
  scenario.edit(map);
  return map;
}

async function flush(
  map: Memmap,
  scenario: Scenario,
  { target }: Place,
): Promise<string> {
  const { options, saveTo } = scenario;
  const given = saveTo === undefined ? options : { ...options, path: target };
  if (driver === "flush") return map.flush(given).strategy;
  return (await map.flushAsync(given)).strategy;
}

/** Flushes once beforehand, so that one-time work of the runtime is not in the trace. */
async function warmUp(folder: string, scenario: Scenario): Promise<void> {
  const place = prepare(folder, scenario);
  const map = openAndEdit(scenario, place);
  await flush(map, scenario, place);
  map.close();
}

/** Flushes between the marks, and once more if that fails. */
async function flushOnce(folder: string, scenario: Scenario): Promise<Report> {
  const place = prepare(folder, scenario);
  const { before, after, length, saveTo } = scenario;
  const map = openAndEdit(scenario, place);
  const report: Report = { isCommitted: false, strays: [], problems: [] };
  const check = (isRight: boolean, problem: string) => {
    if (!isRight) report.problems.push(problem);
  };
  const succeed = async (what: string, act: () => void | Promise<void>) => {
    try {
      await act();
    } catch (error) {
      check(false, `${what} failed: ${(error as Error).stack}`);
    }
  };
  const behind = length === undefined ? 0 : before.length - length;
  const mapped = after.subarray(0, after.length - behind);
  waitForGo();

  mark("begins");
  try {
    report.strategy = await flush(map, scenario, place);
  } catch (error) {
    report.error = describe(error);
  }
  mark("ends");

  report.strays = strays(folder, scenario)
    .filter((name) => !isResting(join(place.source, "..", name)));
  const isSaved = saveTo !== undefined;
  report.isCommitted = isSaved ? map.path === place.target : !map.dirty;
  const expected = report.isCommitted ? after : targetBefore(scenario);
  check(same(contentOf(place.target), expected), "the file is not whole");
  check(
    report.error !== undefined || report.isCommitted,
    "no error was thrown, but nothing was flushed",
  );
  check(
    same(contentOfMap(map, scenario.tail), mapped),
    "the map has lost bytes or edits",
  );
  if (report.error !== undefined) {
    await succeed("the second flush", async () => {
      const strategy = await flush(map, scenario, place);
      report.strategy ??= strategy;
    });
    check(
      same(contentOfMap(map, scenario.tail), mapped),
      "the second flush lost bytes",
    );
  }
  await succeed(
    "close",
    () => driver === "flush" ? map.close() : map.closeAsync(),
  );
  check(same(contentOf(place.target), after), "the file has not all edits");
  check(
    !isSaved || same(contentOf(place.source), before),
    "saving elsewhere changed the original",
  );
  return report;
}

/** Is it a journal that is kept for the next append? */
function isResting(path: string): boolean {
  return path.endsWith(".journal") &&
    fs.readFileSync(path, "latin1").startsWith('{"idle":true}');
}

/** Opens what a killed append left behind, between the marks. */
function reopen(folder: string, scenario: Scenario): Report {
  open(prepare(join(folder, "warm"), scenario).path).close();
  const { path } = placeIn(folder, scenario);
  const report: Report = { isCommitted: false, strays: [], problems: [] };
  waitForGo();

  mark("begins");
  let map: Memmap | undefined;
  try {
    map = open(path);
  } catch (error) {
    report.error = describe(error);
  }
  mark("ends");

  report.strays = strays(folder, scenario);
  try {
    map ??= open(path);
    const content = contentOfMap(map, scenario.tail);
    const { before, after } = scenario;
    if (!same(content, after) && !same(content, before)) {
      report.problems.push(
        `the map has ${content.length} bytes, a mixture of old and new`,
      );
    }
    map.close();
  } catch (error) {
    report.problems.push(`a second open failed: ${(error as Error).stack}`);
  }
  return report;
}

function describe(error: unknown): NonNullable<Report["error"]> {
  const { name, code, message } = error as Error & { code?: string };
  return { name, code, message };
}

function die(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;);
}

function waitForGo(): void {
  if (readyPipe === undefined) say("ready");
  else fs.writeFileSync(readyPipe, "ready\n");
  fs.readSync(0, new Uint8Array(1));
}

function say(what: unknown): void {
  fs.writeSync(1, JSON.stringify(what) + "\n");
}

const [action, driver, name, folder] = givenArguments(
  "action",
  "driver",
  "scenario",
  "folder",
);
const readyPipe = process.argv[6];
assert.ok((DRIVERS as readonly unknown[]).includes(driver), driver);
if (driver === "flushAsync, at once") provideLater(atOnce());
const scenario = scenarioNamed(name);
say({ pid: process.pid });
switch (action) {
  case "flush":
    await warmUp(join(folder, "warm"), scenario);
    say(await flushOnce(folder, scenario));
    break;
  case "reopen":
    say(reopen(folder, scenario));
    break;
  default:
    throw new Error(`Unknown action '${action}'.`);
}
// An orderly exit is slow under strace.
die();
