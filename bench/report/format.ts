/**
 * Figures in words: units, ratios, dates.
 *
 * @module
 */

import type { Panel } from "../suite/question.ts";

const PREFIXES: Record<Panel["unit"], [factor: number, unit: string][]> = {
  ns: [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]],
  "B/s": [[1e9, "GB/s"], [1e6, "MB/s"], [1e3, "kB/s"], [1, "B/s"]],
  B: [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
  faults: [[1, ""]],
};

/** A figure to three digits, in the unit that suits it: "1.25 µs". */
export function figureIn(unit: Panel["unit"], value: number): string {
  return inSuitable(unit, value, digits);
}

/** A round figure, as on axes: "10 µs". */
export function roundFigureIn(unit: Panel["unit"], value: number): string {
  return value === 0
    ? "0"
    : inSuitable(unit, value, (value) => String(Number(value.toPrecision(3))));
}

function inSuitable(
  unit: Panel["unit"],
  value: number,
  shown: (value: number) => string,
): string {
  const prefixes = PREFIXES[unit];
  const size = Math.abs(value);
  const [factor, name] = prefixes.find(([factor]) => size >= factor) ??
    prefixes.at(-1)!;
  return `${shown(value / factor)} ${name}`.trim();
}

/** Three digits, or all digits before the point. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || value === 0) return grouped(Math.round(value));
  if (size < 0.01) return value.toPrecision(1);
  return value.toFixed(size >= 10 ? 1 : 2);
}

/** How many times, to two digits. */
export function times(ratio: number): string {
  const shown = ratio >= 10
    ? grouped(Math.round(ratio))
    : ratio >= 0.1
    ? ratio.toFixed(ratio < 0.995 ? 2 : 1)
    : ratio.toPrecision(1);
  return `${shown}×`;
}

function grouped(value: number): string {
  return value.toLocaleString("en-US");
}

/** "24 November 2026". */
export function dayOf(date: string): string {
  return new Date(date).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replaceAll('"', "&quot;");
}
