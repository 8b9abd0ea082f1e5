/**
 * Several processes, threads and scripts use one file at the same time.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { isMemmapError, open } from "../../../mod.ts";
import {
  commandOf,
  isDeno,
  ourShare,
  proof,
  runChild,
  temporaryFolder,
  withLibc,
} from "../../support/support.ts";
import { otherRuntime, start, startCommand } from "./processes.ts";

const TIMEOUT = 300_000;
const RECORD = 5000;

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

test(
  "opening a file while another process appends to it shows whole appends only",
  {
    timeout: TIMEOUT,
  },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "records");
    fs.writeFileSync(path, "");
    const records = 60;
    const length = 1_000_003;
    const appender = start("appender", [path, "65", `${length}`, `${records}`]);
    const found = { opened: 0, busy: 0 };
    const modes = ["r", "c", "r+"] as const;
    for (let turns = 0; appender.isRunning(); turns++) {
      const mode = modes[turns % modes.length]!;
      try {
        using map = open(path, mode);
        assert.equal(map.length % length, 0, `${mode}: ${map.length} bytes`);
        found.opened++;
      } catch (error) {
        // Only opening for writing may be refused.
        if (!isMemmapError(error) || error.code !== "EBUSY") throw error;
        assert.equal(mode, "r+");
        found.busy++;
      }
      await turn();
    }
    assert.equal(await appender.ended, `${records}\n`);
    assert.equal(fs.statSync(path).size, records * length);
    proof(
      `${found.opened} opens of a file to which another process appends: ` +
        `whole appends only; ${found.busy} for writing were EBUSY`,
    );
  },
);

/** The program on the first page that shows how two processes append to one log. */
function recipe(): string {
  const page = new URL("../../../README.md", import.meta.url);
  const text = fs.readFileSync(page, "utf8");
  const programs = [...text.matchAll(/^```ts\n(.*?)^```$/gms)]
    .map(([, program]) => program!)
    .filter((program) => program.includes("function append(path"));
  assert.equal(programs.length, 1);
  const module = new URL("../../../mod.ts", import.meta.url).href;
  const [before, after, ...more] = programs[0]!.split('"@memmap/memmap"');
  assert.equal(more.length, 0);
  return `${before}${JSON.stringify(module)}${after}`;
}

test(
  "two processes that append to a log by the README's recipe lose no record, and tear none",
  {
    timeout: TIMEOUT,
  },
  async () => {
    using folder = temporaryFolder();
    const script = join(folder.path, "recipe.ts");
    fs.writeFileSync(
      script,
      `${recipe()}
    const [, , name, count] = process.argv;
    for (let i = 0; i < Number(count); i++) {
      const record = name + " " + i + " " + "x".repeat(i * 997 % 20_000) + "\\n";
      append("log.dat", new TextEncoder().encode(record));
    }`,
    );
    const other = otherRuntime();
    const count = 150;
    const running = ["A", "B"].map((name, i) => {
      const [command, ...args] = commandOf(pathToFileURL(script), [
        name,
        `${count}`,
      ]);
      if (i === 0 || other === undefined) {
        return startCommand(name, [command!, ...args], folder.path);
      }
      const run = isDeno ? [] : ["run", "--quiet", "--allow-all"];
      return startCommand(
        name,
        [other, ...run, script, name, `${count}`],
        folder.path,
      );
    });
    for (const { ended } of running) await ended;
    const lines = fs.readFileSync(join(folder.path, "log.dat"), "latin1")
      .split("\n").map((line) => line.replace(/x+$/, (x) => `${x.length}`));
    for (const name of ["A", "B"]) {
      const expected = Array.from(
        { length: count },
        (_, i) => `${name} ${i} ${i * 997 % 20_000 || ""}`,
      );
      assert.deepEqual(
        lines.filter((line) => line.startsWith(`${name} `)),
        expected,
      );
    }
    assert.equal(lines.filter((line) => line === "one line").length, 2);
    assert.equal(lines.length, 2 * count + 2 + 1);
    proof(
      `two processes appended ${2 * count} records by the README's recipe` +
        (other === undefined ? "" : ", one in Deno and one in Bun"),
    );
  },
);

test(
  "two processes that append under two names lose nothing, and duplicate nothing",
  { timeout: TIMEOUT },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "one name");
    const other = join(folder.path, "another");
    fs.writeFileSync(path, "");
    fs.linkSync(path, other);
    const records = 150;
    const appenders = [[path, "65"], [other, "66"]].map(([name, byte]) =>
      start("appender", [name!, byte!, `${RECORD}`, `${records}`])
    );
    for (const { ended } of appenders) {
      assert.equal(await ended, `${records}\n`);
    }
    const bytes = fs.readFileSync(path);
    assert.equal(bytes.length, 2 * records * RECORD);
    for (let at = 0; at < bytes.length; at += RECORD) {
      const record = bytes.subarray(at, at + RECORD);
      assert.ok(record.every((byte) => byte === record[0]), `record at ${at}`);
    }
  },
);

test(
  "one process's cuts and in-place flushes and another's appends all happen or are refused",
  {
    timeout: TIMEOUT,
  },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "cut and grown");
    fs.writeFileSync(path, "");
    fs.writeFileSync(`${path}.busy`, "");
    const records = 150;
    const appender = start("appender", [path, "65", `${RECORD}`, `${records}`]);
    const cutter = start("cutter", [path, "65"]);
    assert.equal(await appender.ended, `${records}\n`);
    fs.unlinkSync(`${path}.busy`);
    const { cut, problems } = JSON.parse(await cutter.ended);
    assert.deepEqual(problems, []);
    assert.equal(fs.statSync(path).size, records * RECORD - cut);
  },
);

test(
  "opening a file with a larger length cuts off nothing that others append",
  {
    timeout: TIMEOUT,
  },
  async () => {
    for (const reserve of [true, false]) {
      using folder = temporaryFolder();
      const path = join(folder.path, "longer");
      fs.writeFileSync(path, "");
      const records = 150;
      const appender = start("appender", [
        path,
        "65",
        `${RECORD}`,
        `${records}`,
      ]);
      while (appender.isRunning()) {
        try {
          const length = fs.statSync(path).size + 1;
          open(path, "r+", { length, reserve }).close();
        } catch (error) {
          if (!isMemmapError(error) || error.code !== "EBUSY") throw error;
        }
        await turn();
      }
      assert.equal(await appender.ended, `${records}\n`);
      const bytes = fs.readFileSync(path);
      const theirs = bytes.reduce(
        (sum, byte) => sum + (byte === 65 ? 1 : 0),
        0,
      );
      assert.equal(theirs, records * RECORD);
    }
  },
);

test("a script stopped in the middle of a flush locks nobody out", {
  timeout: TIMEOUT,
}, async () => {
  for (const strategy of ["auto", "replace", "in-place"] as const) {
    using folder = temporaryFolder();
    const path = join(folder.path, "file");
    fs.writeFileSync(path, new Uint8Array(3 * 2 ** 20).fill(1));
    const map = open(path);
    const at = strategy === "auto" ? map.mappedLength : 5;
    const slice = map.insert(at, new Uint8Array(9 * 2 ** 20).fill(2));
    const flush = "map.flush({ strategy, onProgress() { for (;;); } })";
    assert.throws(() =>
      runInNewContext(flush, { map, strategy }, { timeout: 1000 })
    );
    await turn();
    assert.equal(slice.bytes[0], 2);
    if (strategy === "in-place") {
      assert.throws(() => map.flush(), { message: /half-way/ });
      map.close({ discard: true });
    } else map.close();
    const other = open(path);
    const found = other.find(new Uint8Array([2]));
    if (strategy !== "in-place") assert.equal(found, at, strategy);
    other.insert(0, 1);
    other.close();
    assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
  }
});

test(
  "a script that is stopped within a step, or while it opens a file, locks nobody out",
  {
    timeout: TIMEOUT,
  },
  async () => {
    const mib = 2 ** 20;
    const ways: Record<string, string> = {
      longer: "open(path, 'r+', { length: 5 * 2 ** 20 })",
      anew: "open(path, 'w+', { length: 5 * 2 ** 20 })",
      extend: "map.insert(map.mappedLength, bytes), map.flush()",
      replace: "map.insert(5, bytes), map.flush()",
      "in-place": "map.insert(5, bytes), map.flush({ strategy: 'in-place' })",
      save: "map.insert(5, bytes), map.flush({ path: path + ' saved' })",
    };
    for (const [way, code] of ourShare(Object.entries(ways))) {
      using folder = temporaryFolder();
      const path = join(folder.path, "file");
      for (const name of [path, `${path} saved`]) {
        fs.writeFileSync(name, new Uint8Array(3 * mib).fill(1));
      }
      let spins = 0;
      const spin = () => {
        spins++;
        for (;;);
      };
      withLibc({
        // Whichever comes first: each comes while the lock is held.
        fallocate: spin,
        copy_file_range: spin,
        sync_file_range: spin,
      }, () => {
        const map = open(path, way === "anew" ? "r" : "r+");
        const bytes = new Uint8Array(9 * mib).fill(2);
        assert.throws(
          () =>
            runInNewContext(code, { open, path, map, bytes }, {
              timeout: 1000,
            }),
          { code: "ERR_SCRIPT_EXECUTION_TIMEOUT" },
          way,
        );
      });
      await turn();
      assert.equal(spins, 1, way);
      for (const name of [path, `${path} saved`]) {
        using map = open(name);
        map.insert(0, 1);
        map.flush({ durable: false });
        map.insert(map.mappedLength, 1);
        map.flush({ durable: false });
      }
      assert.deepEqual(fs.readdirSync(folder.path).sort(), [
        "file",
        "file saved",
      ]);
    }
  },
);

test("processes that create one file at the same moment all open it", {
  timeout: TIMEOUT,
}, async () => {
  using folder = temporaryFolder();
  const files = 150;
  const begin = `${Date.now() + 2000}`;
  const args = [folder.path, `${files}`, begin];
  const creators = [start("creator", args), start("creator", args)];
  const made = await Promise.all(creators.map(({ ended }) => ended));
  assert.deepEqual(made, [`${files}\n`, `${files}\n`]);
  assert.equal(fs.readdirSync(folder.path).length, files);
  proof(`${files} files that two processes created at the same moment`);
});

test(
  "under lock() nobody's change is lost, of two processes and both runtimes",
  {
    timeout: TIMEOUT,
  },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "number");
    fs.writeFileSync(path, new Uint8Array(4));
    const other = otherRuntime();
    const times = 400;
    const children = [
      start("locker", [path, `${times}`]),
      start("locker", [path, `${times}`], other),
    ];
    for (const { ended } of children) assert.equal(await ended, `${times}\n`);
    const bytes = fs.readFileSync(path);
    assert.equal(bytes.readUInt32BE(bytes.length - 4), 2 * times);
    assert.equal(bytes.length, 4 + Math.floor(2 * times / 8));
    proof(
      `${2 * times} changes under lock() by two processes, ` +
        (other === undefined ? "of one runtime" : "of both runtimes"),
    );
  },
);

test(
  "Atomics count exactly in a file that two processes map, of both runtimes",
  {
    timeout: TIMEOUT,
  },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "counters");
    fs.writeFileSync(path, new Uint8Array(24));
    const other = otherRuntime();
    const times = 2_000_000;
    const children = [
      start("counter", [path, `${times}`]),
      start("counter", [path, `${times}`], other),
    ];
    for (const { ended } of children) assert.equal(await ended, `${times}\n`);
    const counters = new Int32Array(fs.readFileSync(path).buffer.slice(0, 24));
    assert.deepEqual([...counters], [0, 0, 2 * times, 2, 0, 0]);
    proof(
      `${2 * times} atomic increments by two processes, ` +
        (other === undefined ? "of one runtime" : "of both runtimes"),
    );
  },
);

test("the lock of a process that is killed is free", {
  timeout: TIMEOUT,
}, async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "file");
  fs.writeFileSync(path, "content");
  using map = open(path);
  for (const runtime of [undefined, otherRuntime()]) {
    const holder = start("locker", [path, "hold"], runtime);
    await holder.said;
    map.append(1);
    assert.throws(() => map.flush(), { code: "EBUSY" });
    const signal = AbortSignal.timeout(50);
    await assert.rejects(map.lock({ signal }), { name: "TimeoutError" });
    const waiting = map.lock();
    holder.kill();
    using _ = await waiting;
    map.flush();
    await holder.ended;
  }
});

test("a lock that nobody can reach any more is kept until the process ends", () => {
  using folder = temporaryFolder();
  const child = runChild(
    `
    import * as fs from "node:fs";
    import process from "node:process";
    import { open } from "../mod.ts";
    import { collectGarbage } from "./support/support.ts";
    const path = process.argv[2];
    fs.writeFileSync(path, "content");
    using map = open(path);
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    async function drop() {
      const dropped = open(path);
      registry.register(dropped);
      await dropped.lock();
    }
    await drop();
    for (let turn = 0; turn < 50 && collected === 0; turn++) {
      collectGarbage();
      await new Promise((run) => setTimeout(run, 10));
    }
    collectGarbage();
    await new Promise((run) => setTimeout(run, 10));
    map.append(1);
    try {
      map.close();
    } catch (error) {
      console.log(collected, error.code);
      map.close({ discard: true });
    }
  `,
    { args: [join(folder.path, "file")] },
  );
  assert.equal(child.stdout, "1 EBUSY\n", child.stderr);
});

test("the lock of a worker that is stopped is free", {
  timeout: TIMEOUT,
}, () => {
  using folder = temporaryFolder();
  const script = join(folder.path, "worker.ts");
  const library = new URL("../../../mod.ts", import.meta.url).href;
  const path = join(folder.path, "file");
  fs.writeFileSync(path, "content");
  fs.writeFileSync(
    script,
    `
    import { open } from ${JSON.stringify(library)};
    const map = open(${JSON.stringify(path)});
    await map.lock();
    setInterval(() => {}, 1000);
    self.postMessage("locked");
  `,
  );
  const child = runChild(
    `
    import process from "node:process";
    import { open } from "../mod.ts";
    using map = open(process.argv[3]);
    const isFree = async (patience) => {
      try {
        using _ = await map.lock({ signal: AbortSignal.timeout(patience) });
        return true;
      } catch {
        return false;
      }
    };
    const worker = new Worker(process.argv[2], { type: "module" });
    await new Promise((run) => worker.onmessage = run);
    console.log(await isFree(100));
    worker.terminate();
    console.log(await isFree(60_000));
    process.exit();
  `,
    { args: [pathToFileURL(script).href, path] },
  );
  assert.equal(child.stdout, "false\ntrue\n", child.stderr);
});

test(
  "a script that is stopped while flushAsync() begins leaves the map as it was",
  { timeout: TIMEOUT },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "file");
    fs.writeFileSync(path, new Uint8Array(180_000));
    const map = open(path);
    for (let at = 0; at < 180_000; at += 3) map.slice(at, at + 3);
    let stopped = 0;
    for (let round = 0; round < 24; round++) {
      map.slices[100]!.resize(round % 7);
      const { length } = map;
      try {
        // What is planned takes longer. When it is stopped is up to the machine.
        const timeout = 1 + round % 3;
        await runInNewContext("map.flushAsync()", { map }, { timeout });
        continue;
      } catch (error) {
        if (!/timed out/.test(String(error))) throw error;
      }
      stopped++;
      await turn();
      assert.equal(map.length, length);
      await map.flushAsync({ durable: false });
      assert.equal(fs.statSync(path).size, length);
    }
    await map.closeAsync();
    proof(`${stopped} flushes stopped by node:vm while they were planned`);
    assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
  },
);

/** How a worker is stopped, and in which flush: the two alternate in a runtime's share. */
const STOPS = [
  ["terminate", "extend"],
  ["exit", "extend"],
  ["exit", "replace"],
  ["terminate", "replace"],
  ["terminate", "in-place"],
  ["exit", "in-place"],
  ["exit", "save"],
  ["terminate", "save"],
] as const;

test(
  "a script that is stopped while it appends leaves a map that goes on",
  { timeout: TIMEOUT },
  async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "file");
    const line = new TextEncoder().encode("0123456789abcdef\n");
    fs.writeFileSync(path, "");
    let map = open(path);
    let stopped = 0;
    for (let round = 0; round < 60; round++) {
      const durable = round % 3 === 0;
      const script = "for (;;) { map.append(line); map.flush({ durable }); }";
      assert.throws(
        () =>
          runInNewContext(script, { map, line, durable }, {
            timeout: 1 + round % 4,
          }),
        /timed out/,
      );
      stopped++;
      await turn();
      try {
        map.flush({ durable: false });
      } catch (error) {
        // It was stopped right after a write, and nobody knows whose that is.
        assert.equal((error as Error).name, "ConflictError");
        map.close({ discard: true });
        map = open(path);
      }
      assert.equal(map.mappedLength, fs.statSync(path).size);
    }
    map.close();
    const content = fs.readFileSync(path, "latin1");
    assert.match(content, /^(?:0123456789abcdef\n)+$/);
    proof(`${stopped} loops of appends stopped by node:vm`);
    assert.deepEqual(fs.readdirSync(folder.path), ["file"]);
  },
);

for (const driver of ["flush", "flushAsync"]) {
  test(
    `a worker that is stopped in the midst of ${driver}() locks nobody out`,
    {
      timeout: TIMEOUT,
    },
    () => {
      for (const [stop, how] of ourShare(STOPS)) {
        using folder = temporaryFolder();
        const path = join(folder.path, "file");
        const child = runChild(
          new URL("./children/stopped_worker.ts", import.meta.url),
          { args: [path, how, stop, driver] },
        );
        assert.equal(child.status, 0, `${how}, ${stop}: ${child.stderr}`);
        const { ends, beside } = JSON.parse(child.stdout);
        assert.ok(ends, `${how}, ${stop}`);
        assert.equal(beside, how === "save" ? 2 : 1, `${how}, ${stop}`);
      }
    },
  );
}
