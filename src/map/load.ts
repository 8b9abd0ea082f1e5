/**
 * Brings mapped bytes into memory, without blocking the thread.
 *
 * The system is told that a window of a few MiB will be needed, and for the windows
 * behind it as well, so that the disk always has something to do. Then it is asked now
 * and then whether the window is in memory (`mincore`). No byte is touched: a page that
 * is not there would block the thread. Between two looks everything else runs, so each
 * look asks anew what is mapped, and where.
 *
 * @module
 */

import { libc } from "../../ffi/mod.ts";
import { checkAborted, now, sleep } from "../base/mod.ts";
import type { Progress } from "./flush/mod.ts";
import type { OpenMap } from "./open_map.ts";

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
  readonly signal: AbortSignal | undefined;
  readonly onProgress: Progress | undefined;
}

/** Loads what is asked for, as far as it is mapped. */
export async function load(map: OpenMap, request: LoadRequest): Promise<void> {
  const { begin, signal, onProgress } = request;
  const total = request.end - begin;
  let advisedTo = begin;
  let turn = now();
  // Once a window was given up, the next ones are not waited for until one moves.
  let isPatient = true;
  for (let at = begin; at < request.end;) {
    let [wait, seen, moved] = [SHORTEST, 0, now()];
    for (let look = 0;; look++) {
      checkAborted(signal);
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
    onProgress?.(at - begin, total);
    if (now() - turn > TURN) {
      await sleep(0);
      turn = now();
    }
  }
}
