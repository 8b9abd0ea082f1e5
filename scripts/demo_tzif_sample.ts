/**
 * A small TZif file (RFC 9636) for systems without a time-zone database: the
 * transitions of Europe/Berlin from 1980 to 2024. There were none from 1950 to
 * 1979, so that it is right from then on.
 *
 * Written with plain file I/O, so that what reads it has an independent source.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";

const FIRST = 1980;
const LAST = 2024;
const NAMES = "CET\0CEST\0";
/** What holds after the last transition. */
const FOOTER = "\nCET-1CEST,M3.5.0,M10.5.0/3\n";

export function writeBerlin(path: string): void {
  const times = transitions();
  fs.writeFileSync(
    path,
    Buffer.concat([
      // The block with 4-byte times is for readers of the last century. It must
      // have a type and a character, 7 bytes, and so makes all that follows odd.
      header(0, 1, 1),
      localTimeType(0, false, 0),
      Buffer.alloc(1),
      header(times.length, 2, NAMES.length),
      ...times.map(int64),
      Buffer.from(times.map((_, i) => i % 2 === 0 ? 1 : 0)),
      localTimeType(3600, false, NAMES.indexOf("CET")),
      localTimeType(7200, true, NAMES.indexOf("CEST")),
      Buffer.from(NAMES + FOOTER, "latin1"),
    ]),
  );
}

/** To summer time and back in each year, in seconds since 1970. */
function transitions(): number[] {
  const times = [];
  for (let year = FIRST; year <= LAST; year++) {
    // All at 01:00 UTC, on the last Sunday of a month of 31 or 30 days; only the
    // very first one was later. The Union agreed on October in 1996.
    times.push(year === 1980 ? at(1980, 4, 6) : lastSunday(year, 3, 31));
    times.push(
      year < 1996 ? lastSunday(year, 9, 30) : lastSunday(year, 10, 31),
    );
  }
  return times;
}

function lastSunday(year: number, month: number, days: number): number {
  const weekday = new Date(Date.UTC(year, month - 1, days)).getUTCDay();
  return at(year, month, days - weekday);
}

/** 01:00 UTC of a day, in seconds since 1970. */
function at(year: number, month: number, day: number): number {
  return Date.UTC(year, month - 1, day, 1) / 1000;
}

function header(timecnt: number, typecnt: number, charcnt: number): Buffer {
  const bytes = Buffer.alloc(44);
  bytes.write("TZif2");
  // After isutcnt, isstdcnt and leapcnt, which are 0.
  bytes.writeUInt32BE(timecnt, 32);
  bytes.writeUInt32BE(typecnt, 36);
  bytes.writeUInt32BE(charcnt, 40);
  return bytes;
}

/** Seconds east of UTC, whether it is summer time, and where its name begins. */
function localTimeType(utoff: number, isDst: boolean, name: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeInt32BE(utoff, 0);
  bytes.writeUInt8(isDst ? 1 : 0, 4);
  bytes.writeUInt8(name, 5);
  return bytes;
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}
