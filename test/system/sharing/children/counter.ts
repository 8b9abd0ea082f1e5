/**
 * Counts in a mapped file as often as it is told, atomically. Run by `sharing_test.ts`.
 *
 * @module
 */

import { open } from "../../../../mod.ts";
import { givenArguments } from "../../../support/support.ts";

const [path, times] = givenArguments("path", "times");
using map = open(path);
const counter = map.slice(8, 16).array("int32").data!;
// Nobody counts before all are there, so that they meet.
Atomics.add(counter, 1, 1);
while (Atomics.load(counter, 1) < 2);
for (let i = 0; i < Number(times); i++) Atomics.add(counter, 0, 1);
console.log(times);
