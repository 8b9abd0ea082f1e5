import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FINISHED, isCommit, leaveKilled, whatIsLeft } from "./aftermath.ts";
import type { Report, Request } from "./children/flush.ts";
import type { FullDiskReport } from "./children/full_disk.ts";
import type { PowerCutReport } from "./children/power_cut.ts";
import {
  image,
  mounting,
  skipUnlessMounting,
  TMPFS,
} from "../../support/mounting.ts";
import {
  type Driver,
  type Scenario,
  scenarioNamed,
  SCENARIOS,
} from "./flush_scenarios.ts";
import {
  type Call,
  Forks,
  skipWithoutStrace,
  type Trace,
} from "../../support/strace.ts";
import {
  atEnd,
  below,
  commandOf,
  forEach,
  isDeno,
  isThorough,
  ourShare,
  proof,
  randomFrom,
  runChild,
  temporaryFolder,
  unproved,
} from "../../support/support.ts";

const CHILD = new URL("./children/flush.ts", import.meta.url);
const forks = new Forks(CHILD);
atEnd(() => forks[Symbol.dispose]());
/** Milliseconds, far more than a slow machine needs. Only a hang takes this long. */
const TIMEOUT = 1_800_000;
/** Attempts to hit one call. Its number varies with the runtime's own calls. */
const MOST_TRIES = 40;

/**
 * Set where the last test here runs this file once more, in a folder where files can
 * share blocks: then it is about the flushes that do.
 */
const isSharing = Boolean(process.env["MEMMAP_SHARING"]);

/** To look at a few of them: a pattern of their names. */
const pattern = RegExp(process.env["MEMMAP_SCENARIOS"] ?? "");

const scenarios = SCENARIOS.filter(({ name, isSample, shares }) =>
  (isSharing ? shares : isThorough || isSample) && pattern.test(name)
);
/** Scenarios in which the next open finishes a killed append, or a commit. */
const finished = scenarios.filter(({ name }) =>
  ["append", "commit", "commit and append"].includes(name) ||
  name.startsWith("append to an empty file")
);
const traced = {
  timeout: TIMEOUT,
  skip: unproved("kills and failures at every system call", skipWithoutStrace),
};

/** What the fork does between the marks; see children/flush.ts. */
type Action = Request["action"];

/** One system call of a scenario, by its position among those between the marks. */
interface Step {
  readonly action: Action;
  readonly driver: Driver;
  readonly scenario: Scenario;
  readonly calls: readonly Call[];
  readonly index: number;
}

function describe(
  { action, driver, scenario, calls, index }: Step,
): string {
  return `${action === "flush" ? driver : action} of "${scenario.name}", call ${
    index + 1
  } of ` +
    `${calls.length}, ${calls[index]!.text}`;
}

/** Has a fork do its part in `folder`. */
function run(
  folder: string,
  action: Action,
  driver: Driver,
  scenario: Scenario,
  inject?: string,
): Promise<Trace> {
  if (action === "reopen") leaveKilled(folder, scenario);
  const request: Request = { action, driver, name: scenario.name, folder };
  return forks.runTraced(request, { inject });
}

/** The fork's report; `undefined` if it died first. */
function reportIn({ report }: Trace): Report | undefined {
  return report as Report | undefined;
}

/** How a call is struck. */
type Blow = "killed" | "failed";

/**
 * In the ordinary run, the two runtimes share the calls with the two drivers and the two
 * ways to strike: each call is struck once. In the thorough run, see
 * {@linkcode scenariosOf}.
 */
function isOurShare(
  index: number,
  action: Action,
  driver: Driver,
  blow: Blow,
): boolean {
  if (isThorough || isSharing) return true;
  const whose = [isDeno, blow === "killed"];
  if (action === "flush") whose.push(driver === "flush");
  return whose.every((isOne, bit) => ((index >> bit) & 1) === Number(isOne));
}

/** Which calls are struck, for what is printed. */
function struck(action: Action): string {
  if (isThorough || isSharing) return "at every system call";
  return `at one system call in ${action === "reopen" ? "four" : "eight"}`;
}

/**
 * An undisturbed run. What a runtime does once, at any time, such as starting a thread, may
 * be in one run and not in the next: so it is a run after which another went the same way.
 */
async function undisturbed(
  action: Action,
  driver: Driver,
  scenario: Scenario,
): Promise<Trace> {
  const seen = new Set<string>();
  for (;;) {
    using folder = temporaryFolder();
    const trace = await run(folder.path, action, driver, scenario);
    const way = namesOf(trace.steps).join();
    if (seen.has(way)) return trace;
    seen.add(way);
    assert.ok(
      seen.size < MOST_TRIES,
      `unproved: each run of "${scenario.name}" went another way:\n` +
        [...seen].join("\n"),
    );
  }
}

function namesOf(calls: readonly Call[]): string[] {
  return calls.map(({ name }) => name);
}

/** The system calls to strike in each scenario. */
async function stepsOf(
  chosen: readonly Scenario[],
  action: Action,
  blow: Blow,
  driver: Driver = "flush",
): Promise<Step[]> {
  const steps: Step[] = [];
  await forEach(chosen, async (scenario) => {
    const trace = await undisturbed(action, driver, scenario);
    const { steps: calls, stderr } = trace;
    const report = reportIn(trace);
    const expected = action === "reopen"
      ? { isCommitted: false, strays: [], problems: [] }
      : {
        isCommitted: true,
        strays: [],
        problems: [],
        strategy: scenario.strategy,
      };
    assert.deepEqual(report, expected, `"${scenario.name}": ${stderr}`);
    assert.match(calls.at(-1)?.text ?? stderr, /memmap-test-ends/);
    if (isSharing) {
      // A block of a block and a byte: that is how a file system shares.
      const isShared = calls.some(({ text }) =>
        /^copy_file_range\(.*, 4097, 0\) += 4096$/.test(text)
      );
      assert.ok(isShared, `"${scenario.name}" shares nothing`);
    }
    for (const index of calls.keys()) {
      if (isOurShare(index, action, driver, blow)) {
        steps.push({ action, driver, scenario, calls, index });
      }
    }
  });
  return steps;
}

/**
 * Runs the child in a fresh folder with `inject` at `step`, repeatedly, until exactly
 * that step was hit. Then `check` judges what is left.
 */
async function strike(
  step: Step,
  inject: string,
  check: (folder: string, trace: Trace) => void,
): Promise<void> {
  const { action, driver, scenario, calls, index } = step;
  const expected = namesOf(calls.slice(0, index + 1));
  const target = calls[index]!;
  const isAlike = ({ name }: Call) => name === target.name;
  const alikeBefore = calls.slice(0, index).filter(isAlike).length;
  let { count } = target;
  for (let tries = 1;; tries++) {
    using folder = temporaryFolder();
    const trace = await run(
      folder.path,
      action,
      driver,
      scenario,
      `${target.name}:${inject}:when=${count}`,
    );
    // A kill hits the last call. Otherwise strace marks the call that was hit.
    const length = inject.startsWith("signal")
      ? trace.steps.length
      : trace.steps.findIndex(({ text }) => text.endsWith("(INJECTED)")) + 1;
    const struck = namesOf(trace.steps.slice(0, length));
    if (struck.join() === expected.join()) return check(folder.path, trace);
    assert.ok(
      tries < MOST_TRIES,
      `unproved: ${describe(step)}: not hit in ${tries} runs, the last time ` +
        `after [${struck}] instead of [${expected}]\n${trace.stderr}`,
    );
    // The runtime made a call of the same name itself, or strace attached slightly
    // earlier or later.
    const isEarly = length > 0 ? length <= index : !trace.hasBegun;
    count = isEarly
      ? count + 1
      : trace.steps.filter(isAlike)[alikeBefore]?.count ?? count;
  }
}

/** Kills the child at each of `steps`. Returns how often the old or new content was left. */
async function killAtEach(
  steps: readonly Step[],
): Promise<{ old: number; new: number }> {
  const found = { old: 0, new: 0 };
  await forEach(steps, async (step) => {
    await strike(step, "signal=SIGKILL", (folder, { isKilled }) => {
      const where = `killed in ${describe(step)}`;
      assert.ok(isKilled, where);
      const left = whatIsLeft(folder, step.scenario, where);
      const hasReturned = step.index === step.calls.length - 1;
      if (step.action === "reopen") assert.equal(left, FINISHED, where);
      else if (hasReturned) assert.equal(left, "new", where);
      found[left]++;
    });
  });
  assert.equal(found.old + found.new, steps.length, "a kill is missing");
  return found;
}

/** Both take the same steps; calls that one makes elsewhere are at once here. */
const TRACED = ["flush", "flushAsync, at once"] as const;

/**
 * The flushes to strike with one driver. In the thorough run, each is killed at all of
 * its calls by both drivers, one in each runtime. Its calls fail likewise if it is one of
 * the sample, and otherwise in one of the runtimes.
 */
function scenariosOf(driver: Driver, blow: Blow): readonly Scenario[] {
  if (!isThorough) return scenarios;
  return scenarios.filter(({ isSample }, i) => {
    const isHere = blow === "killed" || isSample ||
      (i >> 1) % 2 === Number(isDeno);
    return isHere && driverOf(i) === driver;
  });
}

function driverOf(index: number): Driver {
  return TRACED[(index + Number(isDeno)) % 2]!;
}

for (const driver of TRACED) {
  test(
    `a flush killed at any system call leaves the old content or the new (${driver})`,
    traced,
    async () => {
      const chosen = scenariosOf(driver, "killed");
      const steps = await stepsOf(chosen, "flush", "killed", driver);
      const found = await killAtEach(steps);
      proof(
        `${steps.length} kills, ${struck("flush")} of ${chosen.length} ` +
          `flushes (${driver}): ${found.old} left the old content, ` +
          `${found.new} the new`,
      );
    },
  );
}

test(
  "finishing a killed flush can be killed at any system call",
  traced,
  async () => {
    const steps = await stepsOf(finished, "reopen", "killed");
    await killAtEach(steps);
    proof(
      `${steps.length} kills, ${struck("reopen")} of opening after a killed ` +
        "flush: the next open finished all of them",
    );
  },
);

test("a flush killed at any moment leaves the old content or the new", {
  timeout: TIMEOUT,
}, async () => {
  const large = ["append several MiB", "grow in the middle"].map(scenarioNamed);
  const kills = isThorough ? 100 : 16;
  const found = { old: 0, new: 0 };
  const random = randomFrom(4);
  await forEach(Array.from({ length: kills }, (_, i) => i), async (i) => {
    using folder = temporaryFolder();
    const scenario = large[i % large.length]!;
    const microseconds = below(random, 20_000);
    // With its calls on other threads, as they are.
    const driver = i % 4 < 2 ? "flushAsync" : "flush";
    await killAfter(folder.path, driver, scenario, microseconds);
    const where =
      `${driver} of "${scenario.name}", killed after ${microseconds} µs`;
    found[whatIsLeft(folder.path, scenario, where)]++;
  });
  proof(
    `${kills} kills, at random moments: ${found.old} left the old content, ` +
      `${found.new} the new`,
  );
});

/** Runs a flush, and kills it some time after it was told to begin. */
async function killAfter(
  folder: string,
  driver: Driver,
  scenario: Scenario,
  microseconds: number,
): Promise<void> {
  const request: Request = {
    action: "flush",
    driver,
    name: scenario.name,
    folder,
  };
  const [command, ...args] = commandOf(CHILD, [JSON.stringify(request)]);
  const child = spawn(command, args);
  let stdout = "";
  let stderr = "";
  let isTold = false;
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
    if (isTold || !stdout.includes("ready")) return;
    isTold = true;
    child.stdin.end("x");
    const end = performance.now() + microseconds / 1000;
    setTimeout(() => {
      while (performance.now() < end);
      child.kill("SIGKILL");
    }, Math.floor(microseconds / 1000));
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await new Promise((resolve, reject) =>
    child.on("error", reject).on("close", resolve)
  );
  clearTimeout(timer);
  assert.ok(isTold, stderr);
}

/** The errors that each system call can fail with. */
const ERRORS: Readonly<Record<string, readonly string[]>> = {
  access: ["EIO"],
  close: ["EIO"],
  copy_file_range: ["ENOSPC", "EIO", "EINTR", "EXDEV", "EINVAL"],
  faccessat: ["EIO"],
  fallocate: ["ENOSPC", "EIO", "EINTR", "EOPNOTSUPP"],
  fchmod: ["EIO", "EPERM"],
  fchown: ["EIO", "EPERM"],
  fdatasync: ["EIO", "ENOSPC"],
  fgetxattr: ["EIO", "ENODATA"],
  flistxattr: ["EIO", "EOPNOTSUPP"],
  flock: ["EIO", "EINTR", "ENOLCK"],
  fremovexattr: ["EIO", "EPERM"],
  fsetxattr: ["ENOSPC", "EIO"],
  fstat: ["EIO"],
  fsync: ["EIO", "ENOSPC", "EINTR"],
  ftruncate: ["EIO", "EINTR"],
  getdents64: ["EIO"],
  lseek: ["EIO", "EINVAL"],
  mmap: ["ENOMEM"],
  msync: ["EIO", "EINTR"],
  newfstatat: ["EIO"],
  openat: ["ENOSPC", "EIO", "EINTR"],
  pread64: ["EIO", "EINTR"],
  pwrite64: ["ENOSPC", "EIO", "EINTR"],
  read: ["EIO", "EINTR"],
  readlink: ["EIO"],
  readlinkat: ["EIO"],
  rename: ["ENOSPC", "EIO"],
  renameat: ["ENOSPC", "EIO"],
  renameat2: ["ENOSPC", "EIO"],
  statx: ["EIO"],
  unlink: ["EIO"],
  unlinkat: ["EIO"],
  write: ["ENOSPC", "EIO", "EINTR"],
};

/** Calls that may fail after the new content is in place, while waiting for the disk. */
const WAITS = ["fdatasync", "fsync", "msync", "openat"];

/** A step, and the error with which it fails. */
interface Fault {
  readonly step: Step;
  readonly error: string;
}

/**
 * The errors to inject into `steps`. Each step gets one, in rotation. The thorough run
 * tries every known error in the two main scenarios.
 */
function faultsIn(steps: readonly Step[]): Fault[] {
  return steps.flatMap((step) => {
    const { scenario, calls, index } = step;
    if (index === calls.length - 1) return []; // the mark
    const { name } = calls[index]!;
    // Deno treats an unreadable folder as empty, and panics if it cannot be closed.
    const isDenos = isDeno &&
      (name === "getdents64" || calls[index - 1]?.name === "getdents64");
    const errors = isDenos ? [] : ERRORS[name] ?? [];
    const some = errors.slice(index % errors.length).slice(0, 1);
    const tried = isThorough && scenario.isSample ? errors : some;
    return tried.map((error) => ({ step, error }));
  });
}

/** Makes each of `faults` happen. Fails with a list of everything that went wrong. */
async function failEach(
  faults: readonly Fault[],
  check: (fault: Fault, report: Report) => string[],
): Promise<{ old: number; new: number; unhurt: number }> {
  const counts = { old: 0, new: 0, unhurt: 0 };
  const problems: string[] = [];
  await forEach(faults, async (fault) => {
    const { step, error } = fault;
    const where = `${error} in ${describe(step)}`;
    await strike(step, `error=${error}`, (folder, trace) => {
      const report = reportIn(trace);
      const wrong: string[] = [];
      if (report === undefined) wrong.push(`the child died\n${trace.stderr}`);
      else {
        const { isCommitted, error: thrown } = report;
        if (thrown === undefined) counts.unhurt++;
        else counts[isCommitted ? "new" : "old"]++;
        wrong.push(...report.problems, ...check(fault, report));
        if (
          thrown !== undefined &&
          (thrown.name !== "SystemError" || thrown.code !== error)
        ) wrong.push(`threw ${thrown.name}, ${thrown.code}: ${thrown.message}`);
      }
      try {
        assert.equal(whatIsLeft(folder, step.scenario, "then"), "new");
      } catch (error) {
        wrong.push((error as Error).message);
      }
      problems.push(...wrong.map((problem) => `${where}: ${problem}`));
    });
  });
  assert.deepEqual(problems.sort(), []);
  return counts;
}

for (const driver of TRACED) {
  test(
    `a flush whose system call fails leaves file and edits whole, and can be made again (${driver})`,
    traced,
    async () => {
      const chosen = scenariosOf(driver, "failed");
      const faults = faultsIn(
        await stepsOf(chosen, "flush", "failed", driver),
      );
      const counts = await failEach(faults, ({ step }, report) => {
        const { name } = step.calls[step.index]!;
        const { error, isCommitted, strays } = report;
        const wrong = [];
        if (error !== undefined && isCommitted && !WAITS.includes(name)) {
          wrong.push(`threw when all was done: ${error.message}`);
        }
        // A file that could not be unlinked stays until the next writable open, and so
        // does the journal of a commit that may not be on disk.
        const mayStay = name.startsWith("unlink") ||
          isCommit(step.scenario) && isCommitted && WAITS.includes(name);
        if (strays.length > 0 && !mayStay) {
          wrong.push(`left over: ${strays}`);
        }
        return wrong;
      });
      proof(
        `${faults.length} failed system calls in ${chosen.length} flushes (${driver}): ` +
          `${counts.old} threw with the old content, ${counts.new} with the new ` +
          `(the last wait), ${counts.unhurt} carried on; none lost an edit`,
      );
    },
  );
}

test(
  "finishing a killed flush can fail at any system call, and the next open finishes it",
  traced,
  async () => {
    const faults = faultsIn(await stepsOf(finished, "reopen", "failed"));
    const counts = await failEach(faults, () => []);
    proof(
      `${faults.length} failed system calls in opening after a killed flush: ` +
        `${counts.old} threw, ${counts.unhurt} carried on`,
    );
  },
);

/** XFS is not made smaller than this: what is left of it is as large as the others. */
const XFS = image("mkfs.xfs -q -f", "320M");
const BALLAST = `fallocate -l $(($(stat -f -c "%a * %S" "$0") - ${2 ** 24})) \
  "$0/ballast"`;

/** How they are mounted, and the bytes that they need to make a file. */
const DISKS = [
  ["tmpfs", TMPFS, 0],
  ["ext4", image("mkfs.ext4 -q -F", "16M"), 0],
  ["ext2", image("mkfs.ext2 -q -F", "16M"), 0],
  ["xfs", `${XFS} && ${BALLAST}`, 2 ** 19], // for inodes, 64 at a time
] as const;

for (const [kind, mount, forNew] of ourShare(DISKS)) {
  const skip = unproved(`a full disk (${kind})`, skipUnlessMounting(mount));
  test(`a full disk (${kind}) is ENOSPC, and keeps file and edits intact`, {
    timeout: TIMEOUT,
    skip,
  }, () => {
    using folder = temporaryFolder();
    const mounted = mounting(mount, folder.path);
    assert.ok(mounted.skip === false);
    const child = runChild(
      new URL("./children/full_disk.ts", import.meta.url),
      {
        args: [folder.path, String(forNew)],
        under: mounted.under,
      },
    );
    assert.equal(child.status, 0, child.stderr);
    const report: FullDiskReport = JSON.parse(child.stdout);
    assert.deepEqual(report.problems, []);
    proof(
      `${report.refused} flushes refused by a full disk (${kind}), which ` +
        `succeeded with room; ${report.fitted} that need no room succeeded at once`,
    );
  });
}

const DISK = 'mount -t tmpfs -o size=256m memmap-test "$0"';
const LOOP = `
  ${DISK} && truncate -s 4M "$0/probe" && mkfs.ext4 -q -F "$0/probe" &&
    mkdir "$0/mounted" && mount -o loop "$0/probe" "$0/mounted" &&
    umount "$0/mounted" && rm -r "$0/mounted" "$0/probe"`;

test(
  "a power cut after any system call of a durable flush leaves the old content or the new",
  {
    timeout: TIMEOUT,
    skip: unproved("power cuts", skipWithoutStrace || skipUnlessMounting(LOOP)),
  },
  () => {
    using folder = temporaryFolder();
    const mounted = mounting(DISK, folder.path);
    assert.ok(mounted.skip === false);
    const child = runChild(
      new URL("./children/power_cut.ts", import.meta.url),
      {
        args: [folder.path, isThorough ? "all" : "sample"],
        under: mounted.under,
        timeout: TIMEOUT,
      },
    );
    assert.equal(child.status, 0, child.stderr);
    const report: PowerCutReport = JSON.parse(child.stdout);
    proof(
      `${report.old + report.new} power cuts in ${report.flushes} flushes on ` +
        `ext4: ${report.old} left the old content, ${report.new} the new`,
    );
  },
);

const onXfs = () =>
  test(
    "a flush that shares blocks is old or new after every kill and failed call (XFS)",
    {
      timeout: TIMEOUT,
      skip: unproved(
        "kills and failures of flushes that share blocks",
        skipWithoutStrace || skipUnlessMounting(XFS),
      ),
    },
    () => {
      using folder = temporaryFolder();
      const mounted = mounting(XFS, folder.path);
      assert.ok(mounted.skip === false);
      const file = fileURLToPath(import.meta.url);
      const names =
        "^a flush (killed at any system call|whose system call fails)";
      const [command, ...rest] = [
        ...mounted.under,
        process.execPath,
        "test",
        ...isDeno
          ? ["--allow-all", "--no-check", "--filter", `/${names}/`]
          : ["--timeout", String(TIMEOUT), "-t", names],
        file,
      ];
      const { status, stdout, stderr } = spawnSync(command!, rest, {
        encoding: "utf8",
        env: {
          ...process.env,
          MEMMAP_THOROUGH: "",
          MEMMAP_SHARING: "1",
          NO_COLOR: "1",
          TMPDIR: folder.path,
        },
        timeout: TIMEOUT,
        killSignal: "SIGKILL",
      });
      const output = stdout + stderr;
      assert.equal(status, 0, output);
      const proofs = output.match(
        /(?<=^proof: ).*(kills|failed system calls).*/gm,
      );
      assert.equal(proofs?.length, 2 * TRACED.length, output);
      for (const text of proofs) proof(`on XFS, sharing blocks: ${text}`);
    },
  );

if (isThorough && !isSharing) onXfs();
