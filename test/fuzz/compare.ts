/**
 * Compares the library with the model: values, bytes, and how calls end. Messages are
 * built only if something differs, since almost always nothing does.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Failure, Refusal } from "./model.ts";

/** A value as the list of steps shows it. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (value instanceof ArrayBuffer) return `${value.byteLength} bytes`;
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) {
    return value.length > 8
      ? `[${value.length} values]`
      : `[${value.map(shown).join(", ")}]`;
  }
  if (typeof value === "function") return "() => …";
  if (value instanceof URL) return "URL";
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value)
      .map(([key, one]) => `${key}: ${shown(one)}`);
    return Object.getPrototypeOf(value) === Object.prototype
      ? `{ ${entries.join(", ")} }`
      : value.constructor.name;
  }
  return String(value);
}

/** How a call ended. */
export type Outcome<T> = { value: T } | { failure: Failure; error: unknown };

/** Runs a call on the model. Any error but a refusal is a mistake in the model. */
export function attemptModel<T>(call: () => T): Outcome<T> {
  try {
    return { value: call() };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { failure: error.failure, error };
  }
}

/** Runs a call on the library. */
export function attempt<T>(call: () => T): Outcome<T> {
  try {
    return { value: call() };
  } catch (error) {
    const { name, code } = error as { name: string; code?: string };
    return { failure: { name, code }, error };
  }
}

/** Waits for what the library tries. */
export async function attemptLater<T>(
  promise: Promise<T>,
): Promise<Outcome<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    const { name, code } = error as { name: string; code?: string };
    return { failure: { name, code }, error };
  }
}

/** An outcome, as text for a message. */
export function said<T>(outcome: Outcome<T>): string {
  if (!("failure" in outcome)) return "nothing";
  const { name, code } = outcome.failure;
  const { message } = outcome.error as Error;
  return `${name}${code === undefined ? "" : ` ${code}`} (${message})`;
}

/** Fails unless two values are the same. */
export function same(actual: unknown, expected: unknown, what: string): void {
  if (Object.is(actual, expected)) return;
  assert.fail(`${what} is ${shown(actual)}, and should be ${shown(expected)}`);
}

/** Fails unless two lists have the same values. */
export function sameList(
  actual: readonly unknown[],
  expected: readonly unknown[],
  what: string,
): void {
  const isSame = actual.length === expected.length &&
    actual.every((one, i) => Object.is(one, expected[i]));
  if (isSame) return;
  assert.fail(
    `${what} is [${actual.map(shown)}], and should be [${expected.map(shown)}]`,
  );
}

/** Fails unless the bytes are the same, and reports where they differ. */
export function sameBytes(
  actual: Uint8Array,
  expected: Uint8Array,
  what: string,
): void {
  if (Buffer.compare(actual, expected) === 0) return;
  same(actual.length, expected.length, `the length of ${what}`);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  const count = actual.filter((byte, i) => byte !== expected[i]).length;
  assert.fail(
    `${what}, of ${actual.length} bytes, differs in ${count}; at ${at} is ` +
      `${actual[at]}, and should be ${expected[at]}`,
  );
}

/** Fails unless a call ends with an error with this code. */
export function refuses(call: () => unknown, code: string, what: string): void {
  const outcome = attempt(call);
  const actual = "failure" in outcome ? outcome.failure.code : undefined;
  if (actual !== code) {
    assert.fail(`${what} throws ${said(outcome)}, and should throw ${code}`);
  }
}
