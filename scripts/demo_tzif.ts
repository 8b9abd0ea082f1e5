/**
 * The demonstration's last part: a portable binary file, read in place.
 *
 * A TZif file (RFC 9636) of the system's time-zone database holds big-endian
 * integers without padding, so that its 8-byte ones begin wherever the strings
 * before them end. What the file says is checked against the runtime's own
 * time-zone data.
 *
 * @module
 */

import * as fs from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type MemmapSlice, open } from "../mod.ts";
import { say, whole } from "./demo_print.ts";
import { writeBerlin } from "./demo_tzif_sample.ts";

/** The header of a block, as RFC 9636 has it. */
const HEADER = [
  ["magic", "S4"],
  ["version", "S1"],
  ["", "V15"],
  ["isutcnt", ">u4"],
  ["isstdcnt", ">u4"],
  ["leapcnt", ">u4"],
  ["timecnt", ">u4"],
  ["typecnt", ">u4"],
  ["charcnt", ">u4"],
] as const;

/** A local time type: its UTC offset, whether it is summer time, where its name is. */
const TYPE = [["utoff", ">i4"], ["isdst", "bool"], ["idx", "u1"]] as const;

/** In most releases the 64-bit integers of these zones are at an odd offset. */
const CITIES = ["London", "Berlin", "Paris"];

// Before 1970, releases of the database differ in how much they keep of a zone.
// What comes after the data of the oldest runtime or system at hand is a forecast.
const FIRST_YEAR = 1970;
const LAST_YEAR = 2024;

/** A change of a zone's UTC offset, all in seconds. */
interface Transition {
  /** Since 1970. */
  readonly time: number;
  readonly before: number;
  readonly after: number;
}

/**
 * Shows a zone of the database, `europe` being its folder of that name; where
 * that is `""` or holds no zone to the purpose, one that it writes into `folder`.
 */
export function readTimeZone(europe: string, folder: string): void {
  for (const city of CITIES) {
    const path = join(europe, city);
    if (europe === "" || !fs.existsSync(path)) continue;
    if (show(path, `Europe/${city}`, "the system's")) return;
  }
  const path = join(folder, "Berlin");
  writeBerlin(path);
  if (!show(path, "Europe/Berlin", "made for this demo")) {
    throw new Error(`'${path}' is not the TZif file that was written.`);
  }
}

/** Reads and checks a zone's file; false if it is none to the purpose. */
function show(path: string, zone: string, origin: string): boolean {
  using map = open(path, "r");
  const file = map.slice();
  const header = findHeader(file);
  if (header === undefined) return false;
  const { leapcnt, timecnt, typecnt } = header.get(0);
  const begin = header.byteOffset + header.itemSize;
  // With leap seconds, times are not those of POSIX and JavaScript.
  if (begin % 2 === 0 || leapcnt > 0 || timecnt === 0) return false;

  say("time zone", `${zone}, ${origin}: ${path}`);
  say("header", String(header.get(0).magic + header.get(0).version));

  const times = file.array("int64", {
    shape: timecnt,
    byteOrder: "big",
    byteOffset: begin,
  });
  const types = file.array("uint8", {
    shape: timecnt,
    byteOffset: begin + 8 * timecnt,
  });
  // Records of 6 bytes, packed: one of their fields is an array like any other.
  const localTypes = file.records(TYPE, {
    shape: typecnt,
    byteOffset: begin + 9 * timecnt,
  });
  const offsets = localTypes.field("utoff");
  say(
    "transitions",
    `${timecnt} big-endian 8-byte integers from byte ${whole(begin)} on`,
  );
  say("", `an odd offset: data is ${times.data}, yet read in place, no copy`);

  // Before the first transition the first type holds.
  const transitions = Array.from(times, (time, i): Transition => ({
    time: Number(time),
    before: offsets.get(i === 0 ? 0 : types.get(i - 1)),
    after: offsets.get(types.get(i)),
  }));
  check(path, zone, transitions.filter(isSettled));
  return true;
}

// The layout of the file.

/** The header of the block with 8-byte times, as one record; nothing if there is none. */
function findHeader(file: MemmapSlice) {
  const first = headerAt(file, 0);
  const counts = first.get(0);
  if (counts.magic !== "TZif" || !/^[2-9]$/.test(counts.version)) return;
  // Behind the block with 4-byte times.
  return headerAt(
    file,
    first.itemSize + counts.timecnt * (4 + 1) + counts.typecnt * 6 +
      counts.charcnt + counts.leapcnt * (4 + 4) + counts.isstdcnt +
      counts.isutcnt,
  );
}

function headerAt(file: MemmapSlice, byteOffset: number) {
  return file.records(HEADER, { shape: 1, byteOffset });
}

// The check.

function isSettled({ time }: Transition): boolean {
  const year = new Date(time * 1000).getUTCFullYear();
  return year >= FIRST_YEAR && year <= LAST_YEAR;
}

/** Throws unless the runtime has the same offsets around every transition. */
function check(
  path: string,
  zone: string,
  transitions: readonly Transition[],
): void {
  const years = `from ${FIRST_YEAR} to ${LAST_YEAR}`;
  const [first, last] = [transitions[0], transitions.at(-1)];
  if (first === undefined || last === undefined) {
    throw new Error(`'${path}' has no transition ${years}.`);
  }
  say("first", describe(first));
  say("last", describe(last));
  const format = new Intl.DateTimeFormat("en", {
    timeZone: zone,
    timeZoneName: "longOffset",
  });
  for (const transition of transitions) {
    const { time } = transition;
    const expected: Transition = {
      time,
      before: offsetAt(format, time - 1),
      after: offsetAt(format, time),
    };
    if (
      transition.before !== expected.before ||
      transition.after !== expected.after
    ) {
      throw new Error(
        `${zone}: '${path}' says ${describe(transition)}; ` +
          `Intl says ${describe(expected)}.`,
      );
    }
  }
  const count = transitions.length;
  say("check", `all ${count} transitions listed ${years}: the offsets before`);
  say("", `and after are those of Intl (${versionOfIntl()})`);
}

/** The UTC offset at a time, in seconds, as the runtime has it. */
function offsetAt(format: Intl.DateTimeFormat, time: number): number {
  const name = format.formatToParts(time * 1000)
    .find((part) => part.type === "timeZoneName")?.value;
  const match = name?.match(/^GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/);
  if (!match) throw new Error(`Intl calls a UTC offset '${name}'.`);
  const [, sign, hours = 0, minutes = 0, seconds = 0] = match;
  const offset = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return sign === "-" ? -offset : offset;
}

function versionOfIntl(): string {
  const { tz, icu } = process.versions as Record<string, string | undefined>;
  return tz === undefined ? `ICU ${icu}` : `time-zone data ${tz}`;
}

/** `1972-03-19 02:00 UTC, from +00:00 to +01:00`. */
function describe({ time, before, after }: Transition): string {
  const date = new Date(time * 1000).toISOString();
  return `${date.slice(0, 10)} ${date.slice(11, 16)} UTC, ` +
    `from ${printedOffset(before)} to ${printedOffset(after)}`;
}

function printedOffset(seconds: number): string {
  const clock = new Date(Math.abs(seconds) * 1000).toISOString().slice(11, 19);
  return (seconds < 0 ? "-" : "+") + clock.replace(/:00$/, "");
}
