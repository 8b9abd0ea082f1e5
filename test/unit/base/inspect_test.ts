/** How objects that print themselves with toString() look in a REPL. */

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

/** What console.log prints for a value in this runtime. */
function printed(value: unknown): string {
  if (!isDeno) return inspect(value);
  const { Deno } = globalThis as unknown as {
    Deno: { inspect(value: unknown): string };
  };
  return Deno.inspect(value);
}

test("an instance prints as its toString(), also inside an array", () => {
  assert.equal(printed(new Thing("a")), "<Thing a>");
  assert.equal(inspect(new Thing("a")), "<Thing a>");
  assert.match(printed([new Thing("a")]), /<Thing a>/);
});

test("an object that inherits from the prototype but is no instance prints as the class's name", () => {
  const derived = Object.create(Thing.prototype);
  assert.throws(() => String(derived), TypeError);
  assert.equal(printed(derived), "Thing");
  assert.equal(inspect(derived), "Thing");
  // Bun prints prototypes in its own way.
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
