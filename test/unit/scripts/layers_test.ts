import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, faultsIn, importsOf } from "../../../scripts/layers.ts";

/** What is wrong in a tree of these files. */
function faults(files: Readonly<Record<string, string>>): string[] {
  return faultsIn(new Map(Object.entries(files)));
}

/** A tree that has each of the rooms, and nothing wrong in it. */
const RIGHT: Readonly<Record<string, string>> = {
  "mod.ts": 'export { open } from "./src/map/mod.ts";\n',
  "src/map/mod.ts": 'export * from "./memmap.ts";\n',
  "src/map/memmap.ts": `
    import { MemmapArray } from "../arrays/mod.ts";
    import { plan } from "./flush/plan.ts";
    import { MemmapSlice } from "./slice.ts";
  `,
  "src/map/slice.ts": 'import type { Memmap } from "./memmap.ts";\n',
  "src/map/flush/plan.ts": 'import { layout } from "../../geometry/mod.ts";\n',
  "src/arrays/mod.ts": 'export { MemmapArray } from "./array.ts";\n',
  "src/arrays/array.ts": `
    import type { MemmapSlice, SliceExtent } from "../map/mod.ts";
    import { check } from "../base/mod.ts";
  `,
  "src/storage/mod.ts": 'import * as fs from "node:fs";\n',
  "src/base/mod.ts": 'import { libc } from "../../ffi/mod.ts";\n',
  "src/geometry/mod.ts": "export const layout = 1;\n",
  "ffi/mod.ts": 'import { dlopen } from "bun:ffi";\nexport const x = Deno;\n',
};

test("a tree that keeps the rule has no faults", () => {
  assert.deepEqual(faults(RIGHT), []);
});

/** What breaks the rule, and what is said of it. */
const WRONG: readonly (readonly [
  rule: string,
  files: Readonly<Record<string, string>>,
  said: readonly RegExp[],
])[] = [
  ["an import that climbs", {
    "src/base/mod.ts": 'import { x } from "../storage/mod.ts";',
  }, [/^src\/base\/mod\.ts: .*base may not import storage$/]],
  ["an import of types that climbs", {
    "src/arrays/array.ts": 'import type { OpenMap } from "../map/mod.ts";',
  }, [
    /^src\/arrays\/array\.ts: .*arrays may not import map$/,
    /^files import each other: /,
    /^rooms import each other: /,
  ]],
  ["more than the two types that arrays may take", {
    "src/arrays/array.ts":
      'import type { MemmapSlice, OpenMap } from "../map/mod.ts";',
  }, [/arrays may not import map$/, /^files/, /^rooms/]],
  ["one of the two that is taken as a value", {
    "src/arrays/array.ts": 'import { MemmapSlice } from "../map/mod.ts";',
  }, [/arrays may not import map$/, /^files/, /^rooms/]],
  ["a re-export that climbs", {
    "src/memory/mod.ts": 'export * from "../map/mod.ts";',
  }, [/memory may not import map$/]],
  ["a dynamic import that climbs", {
    "src/base/mod.ts": 'const late = await import("../map/mod.ts");',
  }, [/base may not import map$/, /^files/, /^rooms/]],
  ["a type's import that climbs", {
    "src/base/mod.ts": 'export type Late = import("../map/mod.ts").Late;',
  }, [/base may not import map$/, /^files/, /^rooms/]],
  ["a dynamic import of what is computed", {
    "src/base/mod.ts": "const late = await import(`../${room}/mod.ts`);",
  }, [/imports what is computed/]],
  ["a geometry that imports", {
    "src/geometry/shape.ts": 'import { check } from "../base/mod.ts";',
  }, [/geometry may not import base$/]],
  ["a geometry that imports from outside", {
    "src/geometry/shape.ts": 'import { Buffer } from "node:buffer";',
  }, [/geometry imports nothing$/]],
  ["a room entered through the window", {
    "src/map/memmap.ts": 'import { x } from "../arrays/array.ts";',
  }, [/the door of arrays is src\/arrays\/mod\.ts$/]],
  ["an ffi entered through the window", {
    "src/base/errno.ts": 'import { x } from "../../ffi/errno.ts";',
  }, [/the door of ffi is ffi\/mod\.ts$/]],
  ["an import of the public face from below", {
    "src/map/memmap.ts": 'import { open } from "../../mod.ts";',
  }, [/map may not import the public face$/, /^files/, /^rooms/]],
  ["an entry point that imports more than the public face", {
    "src/formats/npy.ts": `
      import { open } from "../../mod.ts";
      import { layout } from "../geometry/mod.ts";
    `,
  }, [/^src\/formats\/npy\.ts: .*formats may not import geometry$/]],
  ["files that import each other", {
    "src/map/a.ts": 'import { b } from "./b.ts";',
    "src/map/b.ts": 'import type { C } from "./flush/c.ts";',
    "src/map/flush/c.ts": 'export type { A } from "../a.ts";',
  }, [
    /^files import each other: (src\/map\/(a|b|flush\/c)\.ts( -> |$)){4}/,
  ]],
  ["files outside of storage", {
    "src/map/memmap.ts": 'import { openSync } from "node:fs";',
  }, [/imports node:fs; only src\/storage/]],
  ["files by another name", {
    "ffi/bun.ts": 'import { readFile } from "node:fs/promises";',
  }, [/imports node:fs\/promises; only src\/storage/]],
  ["types of files", {
    "src/map/memmap.ts": 'import type { Stats } from "node:fs";',
  }, [/imports node:fs; only src\/storage/]],
  ["node:process", {
    "src/storage/mod.ts": 'import process from "node:process";',
  }, [/uses process; only ffi/, /imports node:process; only ffi/]],
  ["Deno", {
    "src/storage/mod.ts": "const isDeno = `${Deno.version.deno}`;",
  }, [/uses Deno; only ffi/]],
  ["Bun", {
    "src/storage/mod.ts": "export const b = globalThis.Bun;",
  }, [/uses Bun; only ffi/]],
  ["process in a template in a template", {
    "src/base/mod.ts": "export const a = `${`${{ b: process.pid }}`}`;",
  }, [/uses process; only ffi/]],
  ["bun:ffi", {
    "src/memory/mod.ts": 'import { ptr } from "bun:ffi";',
  }, [/imports bun:ffi; only ffi/]],
  ["a package", {
    "src/base/mod.ts": 'import "left-pad";',
  }, [/imports left-pad; the library depends on no package/]],
  ["a long file", {
    "src/base/long.ts": "export {};\n" + "// line\n".repeat(700),
  }, [/^src\/base\/long\.ts: has 701 lines/]],
];

for (const [rule, files, said] of WRONG) {
  test(`the layers gate finds ${rule}`, () => {
    const found = faults({ ...RIGHT, ...files });
    assert.equal(found.length, said.length, found.join("\n"));
    said.forEach((pattern, i) => assert.match(found[i]!, pattern));
  });
}

test("generated files may be long", () => {
  const long = "\n// line".repeat(1000);
  assert.deepEqual(
    faults({
      ...RIGHT,
      "src/arrays/classes.generated.ts": `export {};${long}`,
      "src/arrays/others.ts": `// Generated by scripts/elements.ts.${long}`,
    }),
    [],
  );
});

test("what stands in comments, strings and expressions is no code", () => {
  const files = {
    "src/base/mod.ts": `
      // import { open } from "../map/mod.ts"; Deno, Bun and process
      /* import("../map/mod.ts") */
      const a = "Deno 'or' \\" Bun", b = 'import "x" // process';
      const c = \`import x from "../map/mod.ts" \\\` \${"Deno"} Bun \${a}\`;
      const d = /["'\`/]process[/"]/.test(a) ? 6 / 2 / 3 : a / b / c;
      const { process: e } = d.Deno; // told
      const f = Array.from("../map/mod.ts"), g = f.import("x");
      type H = { x: 1 } | \`\${number}\`;
    `,
  };
  assert.deepEqual(faults({ ...RIGHT, ...files }), [
    "src/base/mod.ts: uses process; only ffi/ knows the runtimes",
  ]);
  const spread = `import {
    a, // of "b"
    type C,
  } from "./d.ts"; import e, { f } from './f.ts'
  export * as g from "./g.ts"; import "./h.ts";`;
  assert.deepEqual(
    importsOf(spread).map(({ specifier }) => specifier),
    ["./d.ts", "./f.ts", "./g.ts", "./h.ts"],
  );
  const text = "const a = `\n${b /* \n */}\n`; // c\n";
  assert.equal(codeOf(text).length, text.length);
  assert.equal(codeOf(text).split("\n").length, text.split("\n").length);
});
