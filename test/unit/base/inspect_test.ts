/** What the REPLs print of an object that prints itself by its toString(). */

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { printAsString } from "../../../src/base/inspect.ts";
import { isDeno } from "../../support/support.ts";

class Thing {
  readonly #name: string;

  static {
    printAsString(Thing, (value) => #name in value);
  }

  constructor(name: string) {
    this.#name = name;
  }

  toString(): string {
    return `<Thing ${this.#name}>`;
  }
}

/** What console.log makes of a value in this runtime. */
function printed(value: unknown): string {
  if (!isDeno) return inspect(value);
  const { Deno } = globalThis as unknown as {
    Deno: { inspect(value: unknown): string };
  };
  return Deno.inspect(value);
}

test("an instance prints as its toString(), in an array too", () => {
  assert.equal(printed(new Thing("a")), "<Thing a>");
  assert.equal(inspect(new Thing("a")), "<Thing a>");
  assert.match(printed([new Thing("a")]), /<Thing a>/);
});

test("what inherits from the prototype without being an instance prints as the class's name", () => {
  const derived = Object.create(Thing.prototype);
  assert.throws(() => String(derived), TypeError);
  assert.equal(printed(derived), "Thing");
  assert.equal(inspect(derived), "Thing");
  // Bun prints a prototype in a way of its own.
  assert.doesNotThrow(() => printed(Thing.prototype));
});

test("a subclass prints as its own toString()", () => {
  class Special extends Thing {
    override toString(): string {
      return `special ${super.toString()}`;
    }
  }
  assert.equal(printed(new Special("b")), "special <Thing b>");
});

test("the hooks are not enumerable", () => {
  assert.deepEqual(Object.keys(Thing.prototype), []);
});
