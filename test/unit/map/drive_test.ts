import assert from "node:assert/strict";
import { test } from "node:test";
import { runToEnd } from "../../../src/map/flush/drive.ts";
import { runToEndLater } from "../../../src/map/flush/drive_later.ts";
import type { Progress } from "../../../src/map/flush/options.ts";
import {
  type Steps,
  uncounted,
  type Work,
} from "../../../src/storage/steps.ts";
import { atOnce, withLater } from "../../support/later.ts";

/** What there is to control of the driver that lets the event loop go on. */
function control(onProgress?: Progress) {
  return {
    onProgress,
    abort: undefined as { check(): void } | undefined,
    hasCommitted: () => false,
    enter: () => {},
    leave: () => {},
  };
}

type Driver = <T>(work: Work<T>, onProgress?: Progress) => Promise<T>;

/** Both drivers, of which the same is true. */
const DRIVERS: Record<string, Driver> = {
  "runToEnd()": (work, onProgress) =>
    Promise.resolve().then(() => runToEnd(work, onProgress)),
  "runToEndLater()": (work, onProgress) =>
    runToEndLater(work, control(onProgress)),
};

function testBoth(
  name: string,
  body: (drive: Driver) => Promise<void>,
): void {
  for (const [label, drive] of Object.entries(DRIVERS)) {
    test(`${label}: ${name}`, () => body(drive));
  }
}

/** Steps that move so many bytes each, and note what was done. */
function* moving(counts: readonly number[], log: string[]): Steps<string> {
  try {
    for (const count of counts) {
      const moved = yield {
        run() {
          log.push(`run ${count}`);
          return count;
        },
      };
      log.push(`moved ${moved}`);
    }
    return "the result";
  } catch (error) {
    log.push(`caught ${(error as Error).message}`);
    throw error;
  } finally {
    log.push("ended");
  }
}

function work(steps: Steps<string>, isStoppable: boolean) {
  return { steps, total: 6, isStoppable };
}

testBoth(
  "steps are taken in turn, and each is told how many bytes it moved",
  async (drive) => {
    const log: string[] = [];
    const progress: number[][] = [];
    const result = await drive(
      work(moving([1, 0, 5], log), true),
      (...values) => progress.push(values),
    );
    assert.equal(result, "the result");
    assert.deepEqual(log, [
      "run 1",
      "moved 1",
      "run 0",
      "moved 0",
      "run 5",
      "moved 5",
      "ended",
    ]);
    // A step that moves nothing is no progress.
    assert.deepEqual(progress, [[1, 6], [6, 6]]);
  },
);

testBoth(
  "an error of a step is thrown where it was yielded, and nothing is run after it",
  async (drive) => {
    const log: string[] = [];
    function* steps(): Steps<string> {
      try {
        yield {
          run() {
            throw new Error("The disk failed.");
          },
        };
      } catch {
        log.push("taken back");
      }
      return yield* moving([1], log);
    }
    assert.equal(await drive(work(steps(), true)), "the result");
    assert.deepEqual(log, ["taken back", "run 1", "moved 1", "ended"]);
  },
);

testBoth(
  "what onProgress throws stops work that may be stopped",
  async (drive) => {
    const log: string[] = [];
    await assert.rejects(
      () =>
        drive(work(moving([1, 5], log), true), () => {
          throw new Error("enough");
        }),
      { message: "enough" },
    );
    assert.deepEqual(log, ["run 1", "caught enough", "ended"]);
  },
);

testBoth(
  "what onProgress throws waits for the end of work that may not be stopped",
  async (drive) => {
    const log: string[] = [];
    let calls = 0;
    await assert.rejects(
      () =>
        drive(work(moving([1, 5], log), false), () => {
          calls++;
          throw new Error("enough");
        }),
      { message: "enough" },
    );
    assert.deepEqual(log, ["run 1", "moved 1", "run 5", "moved 5", "ended"]);
    assert.equal(calls, 1);
  },
);

testBoth(
  "uncounted steps are the same steps without progress",
  async (drive) => {
    const log: string[] = [];
    const result = await drive(
      work(uncounted(moving([1, 5], log)), true),
      () => log.push("progress"),
    );
    assert.equal(result, "the result");
    assert.deepEqual(log, ["run 1", "moved 1", "run 5", "moved 5", "ended"]);
    function* failing(): Steps<string> {
      try {
        yield {
          run() {
            throw new Error("full");
          },
        };
      } catch (error) {
        return `caught ${(error as Error).message}`;
      }
      return "not reached";
    }
    assert.equal(await drive(work(uncounted(failing()), true)), "caught full");
  },
);

/** Steps that take long, which are only waited for, and short ones between them. */
function* waiting(log: string[]): Steps<string> {
  for (const name of ["one", "two"]) {
    yield {
      run: () => {
        throw new Error("It was to be taken elsewhere.");
      },
      async runLater() {
        log.push(`${name} begins`);
        await Promise.resolve();
        log.push(`${name} ends`);
        return 1;
      },
    };
    yield { run: () => log.push(`after ${name}`) };
  }
  return "the result";
}

test("a step that takes long is over before the next begins", async () => {
  const log: string[] = [];
  const expected = ["one", "two"].flatMap((name) => [
    `${name} begins`,
    `${name} ends`,
    `after ${name}`,
  ]);
  for (const wrap of [(steps: Steps<string>) => steps, uncounted]) {
    log.length = 0;
    const result = await runToEndLater(
      work(wrap(waiting(log)), true),
      control(),
    );
    assert.equal(result, "the result");
    assert.deepEqual(log, expected);
  }
});

test("until the first step that takes long, nothing else has its turn", async () => {
  const log: string[] = [];
  const promise = runToEndLater(work(moving([1, 5], log), true), control());
  assert.equal(log.at(-1), "ended");
  await promise;
});

test("the event loop has its turn whenever that is due", async () => {
  const log: string[] = [];
  const turns = atOnce(() => void log.push("turn"));
  await withLater(
    turns,
    () => runToEndLater(work(moving([1, 5], log), true), control()),
  );
  assert.deepEqual(log, [
    ...["run 1", "turn", "moved 1"],
    ...["run 5", "turn", "moved 5", "ended"],
  ]);
});

/** Steps that take a step to undo what they did. */
function* takingBack(log: string[]): Steps<string> {
  try {
    return yield* moving([1, 5], log);
  } catch (error) {
    yield { run: () => log.push("taken back") };
    throw error;
  }
}

test("an abort stops work once, before the step that would follow", async () => {
  for (const isStoppable of [true, false]) {
    for (const committed of [0, Infinity]) {
      const log: string[] = [];
      const given = {
        ...control(),
        abort: {
          check() {
            throw new Error("enough");
          },
        },
        hasCommitted: () => log.length > committed,
      };
      const promise = runToEndLater(
        work(takingBack(log), isStoppable),
        given,
      );
      if (isStoppable && committed === Infinity) {
        await assert.rejects(promise, { message: "enough" });
        assert.deepEqual(log, [
          ...["run 1", "caught enough", "ended", "taken back"],
        ]);
      } else assert.equal(await promise, "the result");
    }
  }
});

test("nothing stops work behind a step that changed the file for good", async () => {
  function* steps(): Steps<string> {
    yield { run: () => 0, isFinal: true };
    return "the result";
  }
  const abort = {
    check() {
      throw new Error("too late");
    },
  };
  const given = { ...control(), abort };
  assert.equal(
    await runToEndLater(work(steps(), true), given),
    "the result",
  );
});
