/**
 * All questions, in the order of the report.
 *
 * @module
 */

import { question as allocation } from "./allocation.ts";
import { question as appends } from "./appends.ts";
import { question as byteswap } from "./byteswap.ts";
import { question as commits } from "./commits.ts";
import { question as eventLoop } from "./event_loop.ts";
import { question as find } from "./find.ts";
import { question as footprint } from "./footprint.ts";
import { question as guard } from "./guard.ts";
import { question as load } from "./load.ts";
import { question as openClose } from "./open_close.ts";
import { question as randomAccess } from "./random_access.ts";
import { question as records } from "./records.ts";
import { question as reflinks } from "./reflinks.ts";
import { question as registry } from "./registry.ts";
import { question as resizeFlush } from "./resize_flush.ts";
import { question as sequential } from "./sequential.ts";
import type { Question } from "./suite/question.ts";

export const QUESTIONS: readonly Question[] = [
  randomAccess,
  sequential,
  resizeFlush,
  appends,
  commits,
  reflinks,
  eventLoop,
  byteswap,
  records,
  find,
  registry,
  openClose,
  load,
  guard,
  footprint,
  allocation,
];
