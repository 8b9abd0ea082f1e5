/**
 * Gives a WAV file one comment after the other, until it is killed. Says which are written.
 *
 * Usage: wav_comment.ts PATH NUMBER
 *
 * @module
 */

import { comment } from "../../../../examples/wav_comment.ts";
import { givenArguments } from "../../../support/support.ts";
import { textOf } from "../wav.ts";

const [path, first] = givenArguments("path", "number");
for (let i = Number(first);; i++) {
  comment(path, textOf(i));
  console.log(`${i}`);
}
