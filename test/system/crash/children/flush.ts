/**
 * Makes one flush between two marks in the trace, while crash_test.ts kills it or makes
 * its system calls fail. If it survives, it reports how the flush went.
 *
 * Without arguments, it serves requests with a fork for each. With a request as its only
 * argument, it makes that flush itself, with the runtime's threads: it prints "ready", and
 * begins when a byte arrives on standard input.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Memmap, open } from "../../../../mod.ts";
import { strays } from "../aftermath.ts";
import {
  contentOf,
  contentOfMap,
  type Driver,
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
import { serveForks, waitForGo } from "../../../support/fork.ts";
import { mark } from "../../../support/mark.ts";
import { temporaryFolder } from "../../../support/support.ts";

/** What to do, and where. */
export interface Request {
  readonly action: "flush" | "reopen";
  readonly driver: Driver;
  /** The scenario's name. */
  readonly name: string;
  readonly folder: string;
}

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
  driver: Driver,
  scenario: Scenario,
  { target }: Place,
): Promise<string> {
  const { options, saveTo } = scenario;
  const given = saveTo === undefined ? options : { ...options, path: target };
  if (driver === "flush") return map.flush(given).strategy;
  return (await map.flushAsync(given)).strategy;
}

/** Does the same once beforehand, so that one-time work of the runtime is not in the trace. */
async function warmUp(
  { action, driver, name, folder }: Request,
): Promise<void> {
  provideLater(driver === "flushAsync, at once" ? atOnce() : undefined);
  const scenario = scenarioNamed(name);
  const place = prepare(join(folder, "warm"), scenario);
  if (action === "reopen") return open(place.path).close();
  const map = openAndEdit(scenario, place);
  await flush(map, driver, scenario, place);
  map.close();
}

/** Flushes between the marks, and once more if that fails. */
async function flushOnce(
  { driver, name, folder }: Request,
  begin: () => void,
): Promise<Report> {
  const scenario = scenarioNamed(name);
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
  begin();

  mark("begins");
  try {
    report.strategy = await flush(map, driver, scenario, place);
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
      const strategy = await flush(map, driver, scenario, place);
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
function reopen({ name, folder }: Request, begin: () => void): Report {
  const scenario = scenarioNamed(name);
  const { path } = placeIn(folder, scenario);
  const report: Report = { isCommitted: false, strays: [], problems: [] };
  begin();

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

const [given] = process.argv.slice(2);
if (given === undefined) {
  using folder = temporaryFolder();
  await warmUp({
    action: "flush",
    driver: "flush",
    name: "grow in the middle",
    folder: folder.path,
  });
  await serveForks(async (request: Request) => {
    await warmUp(request);
    return request.action === "flush"
      ? await flushOnce(request, waitForGo)
      : reopen(request, waitForGo);
  });
} else {
  const request: Request = JSON.parse(given);
  await warmUp(request);
  await flushOnce(request, () => {
    fs.writeSync(1, "ready\n");
    fs.readSync(0, new Uint8Array(1));
  });
}
