/**
 * The library is a clean guest in other projects. It is one package without dependencies,
 * and its sources pass the strictest compiler flags with one runtime's types alone.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isDeno, temporaryFolder, unproved } from "../../support/support.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const MODULES = join(ROOT, "node_modules");
const TIMEOUT = 120_000;

/** The first of these commands that can be run. */
function firstOf(commands: readonly string[]): string | undefined {
  return commands.find((one) => spawnSync(one, ["--version"]).status === 0);
}

const TSC = join(MODULES, ".bin", "tsc");
const DENO = isDeno
  ? process.execPath
  : firstOf([join(MODULES, "deno", "deno"), "deno"]);
const BUN = isDeno
  ? firstOf([join(MODULES, ".bin", "bun"), "bun"])
  : process.execPath;

const skipWithout = (what: string, command: string | undefined) =>
  unproved(what, command === undefined ? "a tool for it is missing" : false);

/** Runs a command in a folder. Returns its output, after asserting status 0. */
function run(folder: string, command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${command} ${args.join(" ")}\n${stdout}${stderr}`);
  return stdout;
}

/** A program in another project. If a type of ours were `any`, an error would not come. */
const PROGRAM = `
import {
  type FlushResult,
  type Memmap,
  type MemmapArray,
  open,
  type OpenOptions,
} from "@memmap/memmap";

const options: OpenOptions = { length: 48 };
{
  using map: Memmap = open("guest.dat", "w+", options);
  const header = map.slice(0, 16);
  const array: MemmapArray<"float64"> = header.array(">f8", { shape: [2] });
  array.set(1, 0.5);
  const first: number = array.get(1);
  header.resize(24);
  const result: FlushResult = map.flush();
  console.log(first, map.length, typeof result);
  // @ts-expect-error: a length is not a string
  map.length satisfies string;
  // @ts-expect-error: there is no such mode
  const impossible = () => open("guest.dat", "x");
  // @ts-expect-error: an option is omitted, never undefined
  const unset: OpenOptions = { length: undefined };
}
`;

const OUTPUT = "0.5 56 object\n";

/** What `bun init` writes, plus the flags that strict projects add. */
const TSCONFIG = {
  compilerOptions: {
    lib: ["ESNext"],
    target: "ESNext",
    module: "Preserve",
    moduleDetection: "force",
    jsx: "react-jsx",
    allowJs: true,
    types: ["bun"],
    moduleResolution: "bundler",
    allowImportingTsExtensions: true,
    verbatimModuleSyntax: true,
    noEmit: true,
    strict: true,
    skipLibCheck: true,
    noFallthroughCasesInSwitch: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
    allowUnreachableCode: false,
    exactOptionalPropertyTypes: true,
    isolatedModules: true,
    noImplicitReturns: true,
    noPropertyAccessFromIndexSignature: true,
  },
};

interface Manifest {
  readonly version: string;
  readonly files: readonly string[];
  readonly [field: string]: unknown;
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

/** Every file of the library, with its path in the repository. */
function filesOf(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  return readdirSync(join(ROOT, path)).flatMap((name) =>
    filesOf(`${path}/${name}`)
  );
}

/** A fresh project with a strict configuration, and `types` as its only type package. */
function makeProject(folder: string, types?: "bun" | "node"): void {
  writeFileSync(join(folder, "index.ts"), PROGRAM);
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "guest", private: true, type: "module" }),
  );
  if (types === undefined) return;
  const { compilerOptions } = TSCONFIG;
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...compilerOptions, types: [types] } }),
  );
}

/** A runtime's types, as the registry has them. */
function addTypes(folder: string, types: "bun" | "node"): void {
  mkdirSync(join(folder, "node_modules", "@types"), { recursive: true });
  symlinkSync(
    join(MODULES, "@types", types),
    join(folder, "node_modules", "@types", types),
  );
}

/** Installs the library as npm would: only the files that `package.json` lists. */
function install(folder: string): void {
  const target = join(folder, "node_modules", "@memmap", "memmap");
  for (const path of ["package.json", ...readManifest(ROOT).files]) {
    mkdirSync(dirname(join(target, path)), { recursive: true });
    cpSync(join(ROOT, path), join(target, path), { recursive: true });
  }
}

test("the package has no dependencies, and one version", () => {
  const manifest = readManifest(ROOT);
  const fields = Object.keys(manifest).filter((name) =>
    /dependencies/i.test(name)
  );
  assert.deepEqual(fields, []);
  const deno = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  assert.equal(manifest.version, deno.version);
});

const NPM = firstOf(["npm"]);

test("the package contains the library and its documentation", {
  skip: skipWithout("what npm packs", NPM),
  timeout: TIMEOUT,
}, () => {
  const [packed] = JSON.parse(
    run(ROOT, NPM!, "pack", "--dry-run", "--json", "--offline"),
  ) as [{ files: { path: string }[]; bundled: unknown[] }];
  const documents = ["CHANGELOG.md", "LICENSE", "README.md", "package.json"];
  const library = ["mod.ts", "ffi", "src"].flatMap(filesOf);
  assert.deepEqual(
    packed.files.map(({ path }) => path).sort(),
    [...documents, ...library].sort(),
  );
  assert.deepEqual(packed.bundled, []);
});

test(
  "'bun add' of the repository's folder installs one package, and it works",
  {
    skip: skipWithout("what bun add brings", BUN),
    timeout: TIMEOUT,
  },
  () => {
    using folder = temporaryFolder();
    makeProject(folder.path);
    // The registry cannot be reached, and is never asked.
    run(folder.path, BUN!, "add", "--registry=http://127.0.0.1:9/", ROOT);
    const modules = join(folder.path, "node_modules");
    const packages = readdirSync(modules).filter((name) => name[0] !== ".");
    assert.deepEqual(packages, ["@memmap"]);
    assert.deepEqual(readdirSync(join(modules, "@memmap")), ["memmap"]);
    assert.ok(!existsSync(join(modules, "@memmap", "memmap", "node_modules")));
    assert.equal(run(folder.path, BUN!, "index.ts"), OUTPUT);
  },
);

for (const types of ["bun", "node"] as const) {
  test(`a strict project with only the types of ${types} type-checks`, {
    skip: skipWithout(
      `the types of ${types}`,
      existsSync(join(MODULES, "@types", types)) ? firstOf([TSC]) : undefined,
    ),
    timeout: TIMEOUT,
  }, () => {
    using folder = temporaryFolder();
    makeProject(folder.path, types);
    addTypes(folder.path, types);
    install(folder.path);
    run(folder.path, TSC, "-p", ".");
  });
}

test("a strict Deno project type-checks, and works", {
  skip: skipWithout("a Deno project", DENO),
  timeout: TIMEOUT,
}, () => {
  using folder = temporaryFolder();
  makeProject(folder.path);
  install(folder.path);
  const library = join(folder.path, "node_modules", "@memmap", "memmap");
  const project = join(folder.path, "project");
  mkdirSync(project);
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noFallthroughCasesInSwitch: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noUncheckedIndexedAccess: true,
  };
  writeFileSync(
    join(project, "deno.json"),
    JSON.stringify({
      imports: {
        "@memmap/memmap": pathToFileURL(join(library, "mod.ts")).href,
      },
      compilerOptions,
    }),
  );
  writeFileSync(join(project, "index.ts"), PROGRAM);
  run(project, DENO!, "check", "--quiet", "index.ts");
  const permissions = ["--allow-ffi", "--allow-read=.", "--allow-write=."];
  assert.equal(
    run(project, DENO!, "run", "--quiet", ...permissions, "index.ts"),
    OUTPUT,
  );
});
