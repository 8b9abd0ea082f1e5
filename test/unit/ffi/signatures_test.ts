/**
 * The prototypes in ffi/signatures.ts match the system's headers.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import {
  elsewhereOn,
  errnoLocationOn,
  optionalOn,
  type Prototypes,
  requiredOn,
  type System,
} from "../../../ffi/signatures.ts";

/** A prototype, as its comments have it and as the table has it. */
interface Written {
  readonly name: string;
  readonly parameters: readonly { readonly type: string; readonly c: string }[];
  readonly result: string;
  readonly cResult: string;
}

/** The C type of a result that has no comment. */
const C_RESULTS: Readonly<Record<string, string>> = {
  int: "int",
  offset: "off_t",
  ssize: "ssize_t",
  smallSsize: "ssize_t",
};

/** The prototypes in the source text, in order. */
function written(): Written[] {
  const source = readFileSync(
    new URL("../../../ffi/signatures.ts", import.meta.url),
    "utf8",
  );
  const functions =
    /(\w+): \{\s+parameters: \[([^\]]*)\],\s+result: "(\w+)",?(?: \})*,? *(?:\/\/ ([^,\n]*))?/g;
  return [...source.matchAll(functions)].map(
    ([, name, parameters, result, comment]) => ({
      name: name!,
      parameters: [...parameters!.matchAll(/"(\w+)", \/\/ (.*)/g)].map(
        ([, type, c]) => ({ type: type!, c: c! }),
      ),
      result: result!,
      cResult: comment ?? C_RESULTS[result!]!,
    }),
  );
}

/** The prototypes of one system. Where systems differ, Linux's is written first. */
function writtenOn(system: System): Written[] {
  const { ...prototypes }: Prototypes = {
    ...requiredOn(system),
    ...optionalOn(system),
    ...elsewhereOn(system),
  };
  const all = system === "linux" ? written() : written().reverse();
  return Object.keys(prototypes).map((name) => {
    const found = all.find((one) => one.name === name);
    assert.ok(found !== undefined, name);
    assert.deepEqual(
      found.parameters.map(({ type }) => type),
      prototypes[name]!.parameters,
      name,
    );
    assert.equal(found.result, prototypes[name]!.result, name);
    return found;
  });
}

const C_TYPES: Readonly<Record<string, RegExp>> = {
  int: /^int$/,
  unsigned: /^(unsigned int|u_int32_t|uid_t)$/,
  size: /^(size_t|unsigned long)$/,
  offset: /^off(64)?_t$/,
  ssize: /^ssize_t$/,
  smallSsize: /^ssize_t$/,
  address: /^(const )?\w+ \*$/,
  view: /^(const )?(struct |unsigned )?\w+ \*$/,
  void: /^void \*$/,
};

/** How many parameters of variadic functions have a name. Only Linux's are called. */
const VARIADIC: Readonly<Record<string, number>> = { open: 2, ioctl: 2 };

test("each type is the right one for the C type in its comment", () => {
  for (const system of ["linux", "darwin"] as const) {
    for (const { name, parameters, result, cResult } of writtenOn(system)) {
      for (const { type, c } of parameters) {
        const cType = c.replace(/ ?\w+$/, ""); // drops the parameter's name
        assert.match(cType, C_TYPES[type]!, `${name}: ${c}`);
      }
      assert.match(cResult, C_TYPES[result]!, name);
    }
  }
});

test("the function that returns errno's address has no parameters", () => {
  assert.equal(errnoLocationOn("linux"), "__errno_location");
  assert.equal(errnoLocationOn("darwin"), "__error");
  for (const system of ["linux", "darwin"] as const) {
    const location = requiredOn(system)[errnoLocationOn(system)];
    assert.deepEqual(location, { parameters: [], result: "address" });
  }
});

test("the prototypes match this system's headers", {
  skip: spawnSync("cc", ["--version"]).status === 0
    ? false
    : "there is no C compiler",
}, () => {
  const headers = [
    "dlfcn.h",
    "errno.h",
    "fcntl.h",
    "signal.h",
    "string.h",
    ...(process.platform === "linux" ? ["sys/eventfd.h"] : []),
    "sys/file.h",
    "sys/ioctl.h",
    "sys/mman.h",
    ...(process.platform === "linux" ? ["sys/statfs.h"] : []),
    "sys/types.h",
    "sys/xattr.h",
    "unistd.h",
  ];
  const declarations = (prototypes: readonly Written[]) =>
    prototypes.map(({ name, parameters, cResult }) => {
      const named = VARIADIC[name];
      const list = parameters.slice(0, named).map(({ c }) => c).join(", ") ||
        "void";
      const more = named === undefined ? "" : ", ...";
      return `extern ${cResult} (${name})(${list}${more});\n`;
    }).join("");
  const compile = (prototypes: readonly Written[]) => {
    const source = "#define _GNU_SOURCE\n" +
      headers.map((name) => `#include <${name}>\n`).join("") +
      declarations(prototypes);
    return spawnSync("cc", ["-fsyntax-only", "-x", "c", "-"], {
      input: source,
      encoding: "utf8",
    });
  };
  // A second declaration of a function must agree with the one in the headers.
  const prototypes = writtenOn(process.platform as System);
  const { status, stderr } = compile(prototypes);
  assert.equal(status, 0, stderr);
  const wrong = prototypes.map((one) =>
    one.name === "munmap" ? { ...one, cResult: "long" } : one
  );
  assert.match(compile(wrong).stderr, /munmap/);
});
