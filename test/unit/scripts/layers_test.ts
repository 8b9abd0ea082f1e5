/**
 * The check of the layers finds each kind of forbidden import, and nothing else.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { codeOf, faultsIn, importsOf } from "../../../scripts/layers.ts";

/** The faults in a tree of these files. */
function faults(files: Readonly<Record<string, string>>): string[] {
  return faultsIn(new Map(Object.entries(files)));
}

/** A tree that has every room, and no fault. */
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

test("a tree that follows the rule has no faults", () => {
  assert.deepEqual(faults(RIGHT), []);
});

/** What breaks the rule, and how it is reported. */
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
  ["a third type that arrays import from map", {
    "src/arrays/array.ts":
      'import type { MemmapSlice, OpenMap } from "../map/mod.ts";',
  }, [/arrays may not import map$/, /^files/, /^rooms/]],
  ["one of the two allowed types imported as a value", {
    "src/arrays/array.ts": 'import { MemmapSlice } from "../map/mod.ts";',
  }, [/arrays may not import map$/, /^files/, /^rooms/]],
  ["a re-export that climbs", {
    "src/memory/mod.ts": 'export * from "../map/mod.ts";',
  }, [/memory may not import map$/]],
  ["a dynamic import that climbs", {
    "src/base/mod.ts": 'const late = await import("../map/mod.ts");',
  }, [/base may not import map$/, /^files/, /^rooms/]],
  ["an import() type that climbs", {
    "src/base/mod.ts": 'export type Late = import("../map/mod.ts").Late;',
  }, [/base may not import map$/, /^files/, /^rooms/]],
  ["a dynamic import of a computed path", {
    "src/base/mod.ts": "const late = await import(`../${room}/mod.ts`);",
  }, [/imports what is computed/]],
  ["geometry importing another room", {
    "src/geometry/shape.ts": 'import { check } from "../base/mod.ts";',
  }, [/geometry may not import base$/]],
  ["geometry importing from outside the library", {
    "src/geometry/shape.ts": 'import { Buffer } from "node:buffer";',
  }, [/geometry imports nothing$/]],
  ["a room that is not entered through its mod.ts", {
    "src/map/memmap.ts": 'import { x } from "../arrays/array.ts";',
  }, [/the door of arrays is src\/arrays\/mod\.ts$/]],
  ["ffi not entered through its mod.ts", {
    "src/base/errno.ts": 'import { x } from "../../ffi/errno.ts";',
  }, [/the door of ffi is ffi\/mod\.ts$/]],
  ["an import of mod.ts from below", {
    "src/map/memmap.ts": 'import { open } from "../../mod.ts";',
  }, [/map may not import the public face$/, /^files/, /^rooms/]],
  ["an entry point that imports more than mod.ts", {
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
  ["node:fs outside storage", {
    "src/map/memmap.ts": 'import { openSync } from "node:fs";',
  }, [/imports node:fs; only src\/storage/]],
  ["node:fs by another name", {
    "ffi/bun.ts": 'import { readFile } from "node:fs/promises";',
  }, [/imports node:fs\/promises; only src\/storage/]],
  ["types of node:fs", {
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
  test(`the check of the layers finds ${rule}`, () => {
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

test("comments and strings are not code, and expressions in templates are", () => {
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
