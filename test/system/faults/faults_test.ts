import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type GuardCalls, guardOf } from "../../../ffi/guard/mod.ts";
import {
  ARM64_HANDLER,
  CODE_SIZE,
  X64_HANDLER,
} from "../../../ffi/guard/code.ts";
import { libc, runtime } from "../../../ffi/mod.ts";
import { platformOf } from "../../../ffi/platform.ts";
import { type Memmap, open } from "../../../mod.ts";
import { CUTS, USES } from "./children/faults.ts";
import { mounting, skipUnlessMounting, TMPFS } from "../../support/mounting.ts";
import {
  commandOf,
  forEach,
  isDeno,
  isThorough,
  proof,
  runChild,
  temporaryFolder,
  unproved,
} from "../../support/support.ts";

const TIMEOUT = { timeout: 300_000 };
const FAULTS = new URL("./children/faults.ts", import.meta.url);

const hasGuard = process.platform === "linux" &&
  ["x64", "arm64"].includes(process.arch);
const guarded = {
  ...TIMEOUT,
  skip: unproved(
    "survival of lost pages",
    hasGuard ? false : "there is no guard for this system",
  ),
};

/** How a child ended. */
interface End {
  readonly status: number | null;
  readonly signal: string | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs a child that prints files to cut, one a line, and cuts them. */
async function runAndCut(script: URL, args: readonly string[]): Promise<End> {
  const [command, ...rest] = commandOf(script, args);
  const child: ChildProcess = spawn(command, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
    timeout: TIMEOUT.timeout,
    killSignal: "SIGKILL",
  });
  let errors = "";
  let line = "";
  let output = "";
  let delay = 0;
  child.stderr!.on("data", (data) => errors += data);
  child.stdout!.on("data", async (data) => {
    line += data;
    for (let end; (end = line.indexOf("\n")) !== -1;) {
      const text = line.slice(0, end);
      line = line.slice(end + 1);
      if (!text.startsWith("{")) output += `${text}\n`;
      else {
        const { path, cut } = JSON.parse(text);
        await setTimeout(delay = (delay + 7) % 23); // hits a round at varying points
        truncateSync(path, cut);
        writeFileSync(`${path}.cut`, ""); // tells the child that the pages are gone
      }
    }
  });
  const [status, signal] = await new Promise<[number | null, string | null]>(
    (resolve) => child.on("close", (...end) => resolve(end)),
  );
  return { status, signal, output, errors };
}

test("no use of lost pages ends the process", guarded, async () => {
  const names = Object.entries(USES)
    .filter(([, { isDenos }]) => isDeno || !isDenos).map(([name]) => name);
  await forEach(names, async (name) => {
    using folder = temporaryFolder();
    const args = [folder.path, name, "guarded"];
    const { errors, ...end } = await runAndCut(FAULTS, args);
    assert.deepEqual(
      end,
      { status: 0, signal: null, output: "survived\n" },
      `${name}: ${errors}`,
    );
  });
  proof(
    `${names.length * CUTS.length} files cut by another process during ` +
      `${names.length} uses: 0 deaths`,
  );
});

test("without the guard, a lost page ends the process", guarded, async () => {
  for (const name of ["a typed array", "find()"]) {
    using folder = temporaryFolder();
    const end = await runAndCut(FAULTS, [folder.path, name, "unguarded"]);
    // SIGKILL would mean that the child hung. Bun's own handler may abort.
    assert.match(
      String(end.signal),
      /^SIG(BUS|SEGV|ABRT|ILL|TRAP)$/,
      end.output + end.errors,
    );
  }
});

test(
  "a block ends with the FaultError, which closing does not report again",
  guarded,
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "cut.dat");
    const use = (edit: (map: Memmap) => void) => {
      writeFileSync(path, new Uint8Array(100_000));
      using map = open(path);
      edit(map);
      truncateSync(path, 0);
      map.find("x");
    };
    assert.throws(() => use(() => {}), { name: "FaultError" });
    // Floating bytes are never dropped silently.
    let left: Memmap | undefined;
    const edit = (map: Memmap) => {
      left = map;
      map.insert(0, new Uint8Array([1, 2]));
    };
    assert.throws(() => use(edit), { name: "SuppressedError" });
    assert.equal(left!.closed, false);
    assert.deepEqual([...left!.slices[0]!.bytes], [1, 2]);
    left!.close({ discard: true });
    // Disposal throws an error that was not reported yet.
    writeFileSync(path, new Uint8Array(100_000));
    const map = open(path);
    const { bytes } = map.slice();
    truncateSync(path, 0);
    assert.equal(bytes[99_999], 0);
    assert.throws(() => map[Symbol.dispose](), { name: "FaultError" });
    map.close({ discard: true });
  },
);

test("faults and FaultError describe a cut", guarded, () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "cut.dat");
  writeFileSync(path, new Uint8Array(100_000).fill(7));
  const map = open(path);
  const slice = map.slice(50_000, 100_000);
  const { bytes } = slice;
  const array = slice.array("int32", { byteOffset: 2 });
  const whole = map.slice(0, 50_000);
  const floating = map.insert(0, new Uint8Array([1, 2]));
  whole.resize(10); // copies the bytes while they are still there
  truncateSync(path, 60_000);
  assert.equal(map.faults, 0); // nothing was accessed yet
  assert.equal(bytes[0], 7);
  assert.equal(bytes[9999], 7);
  assert.equal(bytes[10_000], 0); // zeros fill the rest of the last page
  assert.equal(map.faults, 0);
  assert.equal(bytes[49_999], 0);
  assert.equal(map.faults, 1);
  assert.throws(() => slice.bytes, (error: Error) => {
    assert.equal(error.name, "FaultError");
    assert.match(error.message, /cut\.dat.* byte 98304\)/);
    assert.match(error.message, /close\(\{ discard: true \}\)/);
    return true;
  });
  assert.throws(() => array.get(0), { code: "ERR_MEMMAP_FAULT" });
  assert.throws(() => array.set(0, 1), { code: "ERR_MEMMAP_FAULT" });
  assert.throws(() => array.subarray(1).fill(1), { code: "ERR_MEMMAP_FAULT" });
  // Floating bytes are in memory, and can be rescued.
  assert.deepEqual([...floating.bytes, ...whole.bytes], [
    ...[1, 2],
    ...new Array(10).fill(7),
  ]);
  assert.equal(floating.array("int8").get(1), 2);
  assert.equal(whole.find("\x07\x07"), 0);
  // Properties do not touch the bytes.
  assert.equal(map.length, 100_000 - 50_000 + 10 + 2);
  assert.equal(map.layout().length, 3);
  assert.equal(map.slices.length, 3);
  assert.equal(slice.state, "mapped");
  map.close({ discard: true });
  assert.equal(slice.state, "closed");
  assert.throws(() => map.faults, { name: "ClosedError" });
});

test(
  "a new map has no faults, whatever happened to others before",
  guarded,
  () => {
    using folder = temporaryFolder();
    const path = join(folder.path, "again.dat");
    for (let i = 0; i < 3; i++) {
      writeFileSync(path, new Uint8Array(100_000).fill(7));
      const map = open(path, "r");
      const array = map.slice().array("uint8");
      assert.equal(map.faults, 0);
      assert.equal(array.get(99_999), 7);
      truncateSync(path, 5);
      assert.throws(() => array.get(99_999), { name: "FaultError" });
      map.close();
      assert.throws(() => array.get(0), { name: "ClosedError" });
    }
  },
);

test("reading many lost pages creates few mappings", guarded, () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "large.dat");
  writeFileSync(path, "");
  truncateSync(path, 2 ** 33);
  const map = open(path, "r");
  const { bytes } = map.slice(0, 2 ** 32);
  truncateSync(path, 0);
  // No two of these pages are neighbours. Linux allows 65,530 mappings.
  let sum = 0;
  for (let i = 0; i < 200_000; i++) {
    sum += bytes[((i * 40_503) % 2 ** 19) * 8192]!;
  }
  assert.equal(sum, 0);
  assert.ok(map.faults < 200, `${map.faults} faults`);
  map.close();
});

test(
  "a write into a hole on a full disk is a fault, and does not kill the process",
  {
    ...TIMEOUT,
    skip: unproved(
      "holes on a full disk",
      hasGuard
        ? skipUnlessMounting(TMPFS)
        : "there is no guard for this system",
    ),
  },
  () => {
    using folder = temporaryFolder();
    const mounted = mounting(TMPFS, folder.path);
    assert.ok(mounted.skip === false);
    const child = runChild(
      `
    import assert from "node:assert/strict";
    import { type Memmap, open } from "../mod.ts";
    import process from "node:process";
    const path = process.argv[2] + "/sparse.dat";
    const map = open(path, "w+", { length: 2 ** 26, reserve: false });
    const { bytes } = map.slice();
    let at = 0;
    while (map.faults === 0 && at < bytes.length) bytes[at += 4096] = 7;
    assert.ok(at > 2 ** 20 && at < 2 ** 24, String(at));
    assert.equal(bytes[4096], 7);
    assert.throws(() => map.flush(), { name: "FaultError" });
    map.close({ discard: true });
    console.log("survived");
  `,
      { args: [folder.path], under: mounted.under },
    );
    assert.deepEqual([child.status, child.signal], [0, null], child.stderr);
    assert.equal(child.stdout, "survived\n");
  },
);

test("all threads of the process share one table", guarded, () => {
  using folder = temporaryFolder();
  const child = runChild(new URL("./children/threads.ts", import.meta.url), {
    args: [folder.path, isThorough ? "100" : "25"],
    timeout: TIMEOUT.timeout,
  });
  assert.deepEqual([child.status, child.signal], [0, null], child.stderr);
  const { workers, maps, faults, sharing } = JSON.parse(child.stdout);
  assert.ok(faults >= maps, String(faults));
  assert.equal(sharing, workers);
  proof(`${maps} maps cut in ${workers} threads at once: 0 deaths`);
});

test(
  "maps beyond the size of the table are unguarded, and rows are reused",
  guarded,
  () => {
    const child = runChild(
      `
    import assert from "node:assert/strict";
    import { libc } from "../ffi/libc.ts";
    import { ROWS } from "../ffi/guard/mod.ts";
    import { type Memmap, open } from "../mod.ts";
    import { writeFileSync } from "node:fs";
    import process from "node:process";
    const { guard, pageSize } = libc();
    const ranges = [];
    // The lowest pages are never mapped.
    for (let range; (range = guard.watch(pageSize, 1)) !== null;) ranges.push(range);
    assert.equal(ranges.length, ROWS);
    const path = process.env["MEMMAP_FILE"];
    const map = open(path, "r");
    assert.equal(map.guarded, false);
    assert.equal(map.faults, 0);
    map.close();
    ranges.pop().end();
    const again = open(path, "r");
    assert.equal(again.guarded, true);
    again.close();
    for (const range of ranges) range.end();
    console.log("done");
  `,
      { env: { MEMMAP_FILE: fileURLToPath(import.meta.url) } },
    );
    assert.equal(child.stdout, "done\n", child.stderr);
  },
);

test(
  "signals that do not concern the guard reach the previous handler",
  guarded,
  () => {
    const end = (source: string) => {
      const { status, signal, stdout } = runChild(
        `
      import { type Memmap, open } from "../mod.ts";
      import process from "node:process";
      ${source}
      console.log("went on");
    `,
        { env: { MEMMAP_FILE: fileURLToPath(import.meta.url) } },
      );
      return { status, signal, wentOn: stdout.includes("went on") };
    };
    const openMap = 'const map = open(process.env.MEMMAP_FILE, "r");';
    // Twice from kill(), since runtimes ignore the first one.
    const kill = `for (let i = 0; i < 2; i++) {
      process.kill(process.pid, "SIGBUS");
      for (const until = Date.now() + 300; Date.now() < until;);
    }`;
    assert.deepEqual(end(openMap + kill), end(kill));
    // Earlier listeners keep listening. Another process sends the signal, since Bun's
    // own kill() removes every handler that it does not know.
    const heard = end(`
      import { spawnSync } from "node:child_process";
      let heard = 0;
      process.on("SIGBUS", () => heard++);
      ${openMap}
      if (!map.guarded) process.exit(1);
      spawnSync("kill", ["-BUS", String(process.pid)]);
      for (let i = 0; i < 1000 && heard === 0; i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      if (heard !== 1) process.exit(2);
      process.removeAllListeners("SIGBUS");
    `);
    assert.deepEqual(heard, { status: 0, signal: null, wentOn: true });
  },
);

test(
  "the guard works beside an engine that turns faults into exceptions",
  guarded,
  () => {
    using folder = temporaryFolder();
    const { status, signal, stdout, stderr } = runChild(
      `
    import { open } from "../mod.ts";
    import { truncateSync, writeFileSync } from "node:fs";
    import process from "node:process";
    const code = new Uint8Array([
      0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1,
      0, 1, 7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11,
    ]);
    // Beyond its memory: a SIGSEGV that the engine turns into an exception.
    function trap() {
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code));
      try {
        exports.f(0x7fffffff);
      } catch (error) {
        return error instanceof WebAssembly.RuntimeError;
      }
    }
    const seen = [];
    const path = process.env.MEMMAP_FILE;
    for (let i = 0; i < 2; i++) {
      writeFileSync(path, new Uint8Array(100_000));
      const map = open(path, "r");
      const { bytes } = map.slice();
      seen.push(trap());
      truncateSync(path, 0);
      seen.push(bytes[99_999], map.faults, trap());
      map.close({ discard: true });
    }
    console.log(JSON.stringify(seen));
    `,
      { env: { MEMMAP_FILE: join(folder.path, "cut.dat") } },
    );
    assert.deepEqual({ status, signal }, { status: 0, signal: null }, stderr);
    assert.equal(stdout, "[true,0,1,true,true,0,1,true]\n");
  },
);

test(
  "while other code handles the signal, no map claims to be guarded",
  guarded,
  () => {
    const { stdout, stderr } = runChild(
      `
    import { open } from "../mod.ts";
    import process from "node:process";
    const path = process.env.MEMMAP_FILE;
    const map = open(path, "r");
    const before = map.guarded;
    process.on("SIGBUS", () => {});
    console.log(before, map.guarded, open(path, "r").guarded);
    process.exit(0);
    `,
      { env: { MEMMAP_FILE: fileURLToPath(import.meta.url) } },
    );
    assert.equal(stdout, "true false false\n", stderr);
  },
);

test("a map with guard: false says so", () => {
  const path = new URL(import.meta.url);
  using map = open(path, "r", { guard: false });
  assert.equal(map.guarded, false);
  assert.equal(map.faults, 0);
  using other = open(path, "r");
  assert.equal(other.guarded, hasGuard);
});

test(
  "if the system refuses a handler, there is no guard, and nothing is left mapped",
  guarded,
  () => {
    const c = libc();
    const mapped: number[] = [];
    const calls: GuardCalls = {
      ...c,
      arrayBuffer: runtime().arrayBuffer,
      mmap(...args) {
        const address = c.mmap(...args);
        if (address !== -1) mapped.push(address);
        return address;
      },
      munmap(address, length) {
        mapped.splice(mapped.indexOf(address), 1);
        return c.munmap(address, length);
      },
      // Fake calls: the real handler is installed in this process.
      mprotect: () => 0,
      sigaction: (_, __, before) => {
        before?.fill(0);
        return 0;
      },
    };
    const { handler } = platformOf(process.platform, process.arch)!;
    const refusals: Partial<GuardCalls>[] = [
      { sigaction: () => -1 },
      {
        sigaction: (signal, action, before) =>
          action === null ? calls.sigaction(signal, action, before) : -1,
      },
      { mprotect: () => -1 },
      { mmap: () => -1 },
    ];
    for (const refusal of refusals) {
      const guard = guardOf({ ...calls, ...refusal }, handler);
      assert.equal(guard!.watch(4096, 1), null);
      assert.equal(guard!.watch(4096, 1), null); // and it does not try again
      assert.deepEqual(mapped, []);
    }
    assert.equal(guardOf(calls, null), null);
    // The previous handler is the one that was installed last.
    let before = 11n;
    const guard = guardOf({
      ...calls,
      sigaction(_, __, old) {
        new DataView(old!.buffer).setBigUint64(0, before++, true);
        return 0;
      },
    }, handler);
    assert.notEqual(guard!.watch(4096, 1), null);
    const data = runtime().arrayBuffer(mapped[0]! + CODE_SIZE, 8);
    assert.equal(new BigUint64Array(data)[0], 13n);
  },
);

const ASSEMBLERS = [
  { arch: "x64", prefixes: ["x86_64-linux-gnu-", ""], code: X64_HANDLER },
  { arch: "arm64", prefixes: ["aarch64-linux-gnu-", ""], code: ARM64_HANDLER },
];

for (const [i, { arch, prefixes, code }] of ASSEMBLERS.entries()) {
  const prefix = prefixes.find((prefix) =>
    prefix === ""
      ? arch === process.arch && process.platform === "linux" &&
        spawnSync("as", ["--version"]).status === 0
      : spawnSync(`${prefix}as`, ["--version"]).status === 0
  );
  test(`the handler's bytes are what its assembly code gives (${arch})`, {
    skip: unproved(
      `the handler's bytes (${arch})`,
      prefix === undefined ? "there is no assembler for it" : false,
    ),
  }, () => {
    const text = readFileSync(
      new URL("../../../ffi/guard/code.ts", import.meta.url),
      "utf8",
    );
    const source = [...text.matchAll(/^\/\*\n([^]*?)^\*\/$/gm)][i]![1];
    using folder = temporaryFolder();
    const object = join(folder.path, "o");
    const binary = join(folder.path, "bin");
    const assembled = spawnSync(`${prefix}as`, ["-o", object, "-"], {
      input: source,
      encoding: "utf8",
    });
    assert.equal(assembled.status, 0, assembled.stderr);
    const args = ["-O", "binary", "-j", ".text", object, binary];
    assert.equal(spawnSync(`${prefix}objcopy`, args).status, 0);
    assert.equal(readFileSync(binary).toString("hex"), code);
  });
}
