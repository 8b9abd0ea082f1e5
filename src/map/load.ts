/**
 * Brings mapped bytes into memory, without blocking the thread.
 *
 * The runtime's threads read the file, a MiB at a time, and throw away what they read.
 * Where it cannot be opened once more, as it has no name any more, the system is told
 * what will be needed, and asked now and then whether it is there (`mincore`): that is
 * slower, since Linux gathers such pages one by one. The mapped bytes are not touched: a
 * page that is not there would block the thread. Between two steps everything else
 * runs, so each step asks anew what is mapped, and where.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import { type Abort, now, sleep } from "../base/mod.ts";
import { READ_AHEAD, type ReadAhead } from "../storage/mod.ts";
import type { Progress } from "./flush/mod.ts";
import type { OpenMap } from "./open_map.ts";

/**
 * Reads that are asked for at a time. This thread asks for the next one when one has
 * ended, and where it waits for a processor, the disk should have something to do.
 */
const AT_ONCE = 4;
/** Bytes in a window, and in all those that are asked for at a time. */
const WINDOW = 2 ** 21;
const AHEAD = 2 ** 26;
/** Milliseconds that the thread may be held. */
const TURN = 3;
/** Milliseconds between two looks: after the first, and at most. */
const [SHORTEST, LONGEST] = [1, 8];
/** Milliseconds without any progress until a window is given up. */
const PATIENCE = 1000;

/** What is to be loaded. */
export interface LoadRequest {
  readonly begin: number;
  readonly end: number;
  /** Bytes from the first that was asked for, for `onProgress`. */
  readonly total: number;
  readonly abort: Abort | undefined;
  readonly onProgress: Progress | undefined;
}

/** Loads what is asked for, as far as it is mapped. */
export async function load(map: OpenMap, request: LoadRequest): Promise<void> {
  request.abort?.check();
  const { file } = map;
  const reads = request.begin < request.end ? file.openReadAhead() : undefined;
  if (reads === undefined) return await loadByAdvice(map, request);
  let done = request.begin;
  try {
    done = await loadByReading(map, request, reads);
  } finally {
    reads.close();
  }
  // A flush, or refresh(), has put another file in its place.
  if (done < request.end && map.file !== file) {
    await load(map, { ...request, begin: done });
  }
}

/** Returns up to where the file was read. */
async function loadByReading(
  map: OpenMap,
  { begin, end: last, total, abort, onProgress }: LoadRequest,
  reads: ReadAhead,
): Promise<number> {
  const { file } = map;
  const queue: Promise<void>[] = [];
  let next = begin;
  for (let done = begin;;) {
    abort?.check();
    map.checkUsable();
    map.mapping.checkFaults();
    const end = Math.min(last, map.mappedLength); // a flush may have cut it
    if (done >= end || map.file !== file) return done;
    while (queue.length < AT_ONCE && next < end) {
      const length = Math.min(READ_AHEAD, end - next);
      const read = reads.read(next, length);
      read.catch(() => {}); // whoever waits for it, if anybody still does
      queue.push(read);
      next += length;
    }
    await queue.shift();
    done = Math.min(done + READ_AHEAD, next);
    onProgress?.(total - (last - done), total);
  }
}

async function loadByAdvice(
  map: OpenMap,
  request: LoadRequest,
): Promise<void> {
  const { begin, total, abort, onProgress } = request;
  let advisedTo = begin;
  let turn = now();
  // Once a window was given up, the next ones are not waited for until one moves.
  let isPatient = true;
  for (let at = begin; at < request.end;) {
    let [wait, seen, moved] = [SHORTEST, 0, now()];
    for (let look = 0;; look++) {
      abort?.check();
      map.checkUsable();
      const { mapping } = map;
      const end = Math.min(request.end, map.mappedLength); // a flush may have cut it
      if (at >= end) return;
      const to = Math.min(at + WINDOW, end);
      // Some of it may have been read and dropped again: it is asked for once more.
      if (look > 0 && wait === LONGEST) advisedTo = at;
      const ahead = Math.min(at + AHEAD, end);
      while (advisedTo < ahead) {
        const next = Math.min(advisedTo + WINDOW, ahead);
        mapping.advise(libc().constants.MADV_WILLNEED, advisedTo, next);
        advisedTo = next;
        if (now() - turn > TURN) break;
      }
      const [resident, pages] = mapping.residentPages(at, to);
      if (resident > seen) {
        isPatient ||= look > 0;
        [wait, seen, moved] = [SHORTEST, resident, now()];
      }
      const isGivenUp = !isPatient || now() - moved > PATIENCE;
      if (resident === pages || isGivenUp) {
        isPatient = resident === pages ? isPatient : false;
        at = to;
        break;
      }
      await sleep(wait);
      turn = now();
      wait = Math.min(wait * 2, LONGEST);
    }
    onProgress?.(total - (request.end - at), total);
    if (now() - turn > TURN) {
      await sleep(0);
      turn = now();
    }
  }
}
