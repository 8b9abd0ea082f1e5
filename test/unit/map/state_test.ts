/**
 * The state of an open map: which transitions each state allows, and where they lead.
 *
 * @module
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MapState, type StateName } from "../../../src/map/state.ts";

const PATH = "/some/file.dat";

/** A state that transitions alone have brought to `name`. */
function stateIn(name: StateName): MapState {
  const state = new MapState();
  if (name === "open") return state;
  if (name === "closed") state.close();
  else if (name === "saving") state.beginSaving(PATH);
  else state.beginFlush(PATH);
  if (name === "unsettled") state.endFlush(false);
  if (name === "torn") state.tear();
  return state;
}

/** What each transition turns each state into, or the name of the error it throws. */
const TRANSITIONS: Record<
  string,
  { act: (state: MapState) => void; from: Record<StateName, string> }
> = {
  "a flush begins": {
    act: (state) => state.beginFlush(PATH),
    from: {
      open: "flushing",
      unsettled: "flushing",
      flushing: "BusyError",
      saving: "BusyError",
      torn: "ConflictError",
      closed: "ClosedError",
    },
  },
  "a flush ends on disk": {
    act: (state) => state.endFlush(true),
    from: {
      open: "open",
      unsettled: "unsettled",
      flushing: "open",
      saving: "open",
      torn: "torn",
      closed: "closed",
    },
  },
  "a flush ends without waiting for the disk, or fails": {
    act: (state) => state.endFlush(false),
    from: {
      open: "open",
      unsettled: "unsettled",
      flushing: "unsettled",
      saving: "unsettled",
      torn: "torn",
      closed: "closed",
    },
  },
  "everything is on disk": {
    act: (state) => state.settle(),
    from: {
      open: "open",
      unsettled: "open",
      flushing: "flushing",
      saving: "saving",
      torn: "torn",
      closed: "closed",
    },
  },
  "a flush begins that lets the event loop go on": {
    act: (state) => state.beginSaving(PATH),
    from: {
      open: "saving",
      unsettled: "saving",
      flushing: "BusyError",
      saving: "BusyError",
      torn: "ConflictError",
      closed: "ClosedError",
    },
  },
  "readers are kept out": {
    act: (state) => state.keepOut(),
    from: {
      open: "open",
      unsettled: "unsettled",
      flushing: "flushing",
      saving: "flushing",
      torn: "torn",
      closed: "closed",
    },
  },
  "the map is changed": {
    act: (state) => state.checkIdle(PATH),
    from: {
      open: "open",
      unsettled: "unsettled",
      flushing: "BusyError",
      saving: "BusyError",
      torn: "torn",
      closed: "ClosedError",
    },
  },
  "the map is used": {
    act: (state) => state.checkUsable(PATH),
    from: {
      open: "open",
      unsettled: "unsettled",
      flushing: "BusyError",
      saving: "saving",
      torn: "torn",
      closed: "ClosedError",
    },
  },
  "the map is closed": {
    act: (state) => state.close(),
    from: {
      open: "closed",
      unsettled: "closed",
      flushing: "closed",
      saving: "closed",
      torn: "closed",
      closed: "closed",
    },
  },
};

for (const [what, { act, from }] of Object.entries(TRANSITIONS)) {
  test(`each state follows the diagram when ${what}`, () => {
    for (const [before, expected] of Object.entries(from)) {
      const state = stateIn(before as StateName);
      assert.equal(state.name, before);
      if (expected.endsWith("Error")) {
        assert.throws(() => act(state), {
          name: expected,
          message: /\/some\/file\.dat/,
        });
        assert.equal(state.name, before, `${what} from ${before}`);
      } else {
        act(state);
        assert.equal(state.name, expected, `${what} from ${before}`);
      }
    }
  });
}

test("only in states unsettled and torn may bytes be missing from the disk", () => {
  const names: StateName[] = [
    "open",
    "flushing",
    "saving",
    "unsettled",
    "torn",
    "closed",
  ];
  assert.deepEqual(
    names.filter((name) => stateIn(name).needsFsync),
    ["unsettled", "torn"],
  );
});

test("who is kept out is told to await flushAsync(), not to leave onProgress", () => {
  const state = new MapState();
  state.beginSaving(PATH);
  assert.throws(() => state.checkIdle(PATH), { message: /await it first/ });
  state.keepOut();
  assert.ok(state.isAsync);
  assert.throws(() => state.checkUsable(PATH), { message: /await it first/ });
  state.endFlush(true);
  assert.ok(!state.isAsync);
  state.beginFlush(PATH);
  assert.throws(() => state.checkUsable(PATH), { message: /onProgress/ });
});
