/**
 * How the demonstration prints: one labelled line at a time, numbers for people.
 *
 * @module
 */

export function say(label: string, text: string): void {
  console.log(`  ${label.padEnd(12)}${text}`);
}

function inUnits(value: number, units: string[]): string {
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

export function size(bytes: number): string {
  return bytes === 1
    ? "1 byte"
    : inUnits(bytes, ["bytes", "kB", "MB", "GB", "TB"]);
}

export function time(milliseconds: number): string {
  return inUnits(milliseconds * 1000, ["µs", "ms", "s"]);
}

export function whole(number: number): string {
  return number.toLocaleString("en");
}

export function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
