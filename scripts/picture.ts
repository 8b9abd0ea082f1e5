/**
 * Draws docs/rooms.svg: the rooms of the library, and which of them imports which.
 *
 * Owns how the picture looks. What it shows is read from the sources' imports, so the
 * picture cannot say anything else than the code does. It does not judge: whether
 * an import is allowed is the gate's business.
 *
 * `scripts/picture.ts` writes the picture; with `--check` it writes nothing, and fails
 * if the picture in docs/ is not the one that it would draw.
 *
 * @module
 */

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { importsOf } from "./layers.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PICTURE = join(ROOT, "docs", "rooms.svg");

/** The rooms from top to bottom, and what each is for. Imports go down. */
const PURPOSES: Readonly<Record<string, string>> = {
  "mod.ts": "the public face",
  map: "the public classes, one open map's state, flush",
  arrays: "a slice's bytes as typed, shaped arrays",
  storage: "files and what lies beside them; alone uses node:fs",
  memory: "addresses and their lifetimes; alone maps and unmaps",
  base: "errors, checks of arguments, modes",
  ffi: "alone knows a runtime or an operating system",
  geometry: "pure arithmetic; imports nothing",
};

/** All imports from one room into another. */
interface Passage {
  readonly from: string;
  readonly to: string;
  /** The names that are imported. */
  readonly names: Set<string>;
  /** Are all of them types, which are gone when the code runs? */
  isOfTypes: boolean;
}

interface House {
  /** Every room's files, relative to the room. */
  readonly rooms: ReadonlyMap<string, readonly string[]>;
  readonly passages: readonly Passage[];
}

/** The source files below `folder`, or `folder` itself, sorted by path. */
function sourcesIn(folder: string): string[] {
  if (folder.endsWith(".ts")) return [folder];
  return readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((path) => path.endsWith(".ts"))
    .sort();
}

/** The room that a source file belongs to. */
function roomOf(path: string): string {
  const [first, second] = path.split("/");
  return first === "src" ? second! : first!;
}

/** What a source file imports of other files: names, and where they come from. */
function* importsIn(
  path: string,
): Generator<{ names: string[]; from: string; isOfTypes: boolean }> {
  const text = readFileSync(join(ROOT, path), "utf8");
  for (const { specifier, statement } of importsOf(text)) {
    if (!specifier.startsWith(".")) continue;
    const [, type, clause = ""] =
      /^(?:import|export)\s+(type\b)?([^]*?)\bfrom\b/.exec(statement) ?? [];
    const names = clause.replace(/[{}]/g, "").split(",")
      .map((name) => name.trim()).filter((name) => name !== "");
    yield {
      names: names.map((name) => name.replace(/^type\s+/, "")),
      from: join(dirname(path), specifier),
      isOfTypes: type !== undefined ||
        names.every((name) => name.startsWith("type ")),
    };
  }
}

function readHouse(): House {
  const folders = readdirSync(join(ROOT, "src")).map((name) => `src/${name}`);
  const rooms = new Map<string, string[]>();
  const passages = new Map<string, Passage>();
  for (const folder of ["mod.ts", ...folders.sort(), "ffi"]) {
    const paths = sourcesIn(folder);
    rooms.set(
      roomOf(folder),
      paths.map((path) => relative(folder, path)).filter((path) => path !== ""),
    );
    for (const path of paths) {
      for (const { names, from, isOfTypes } of importsIn(path)) {
        const [a, b] = [roomOf(path), roomOf(from)];
        if (a === b) continue;
        let passage = passages.get(`${a} ${b}`);
        if (passage === undefined) {
          passage = { from: a, to: b, names: new Set(), isOfTypes: true };
          passages.set(`${a} ${b}`, passage);
        }
        for (const name of names) passage.names.add(name);
        passage.isOfTypes &&= isOfTypes;
      }
    }
  }
  return { rooms, passages: [...passages.values()] };
}

// Drawing. All lengths are in the picture's own units, which are pixels at first.

const BOX_LEFT = 76;
const BOX_WIDTH = 560;
const BOX_RIGHT = BOX_LEFT + BOX_WIDTH;
const GAP = 18;
const LINE = 17;
const LANE = 26;
/** How wide a letter of the files' names is. */
const LETTER = 7;

/** Colours of the lanes: the first in the light, the second in the dark. */
const COLOURS = [
  ["#1d67b8", "#69aef5"],
  ["#c96a12", "#f0a04b"],
  ["#6b3fa0", "#b795e4"],
  ["#1a7f5a", "#5cc79d"],
  ["#b3261e", "#f28b82"],
  ["#8a6d00", "#d9b94a"],
  ["#5b636e", "#a0a8b3"],
] as const;

function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

/** File names as they fit side by side, without their endings; mod.ts is the door. */
function linesOf(files: readonly string[]): string[] {
  const most = Math.floor((BOX_WIDTH - 36) / LETTER);
  const lines: string[] = [];
  let line = "";
  for (const file of files) {
    if (file === "mod.ts") continue;
    const word = file.slice(0, -".ts".length);
    const longer = line === "" ? word : `${line}  ${word}`;
    if (longer.length > most) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return line === "" ? lines : [...lines, line];
}

function draw({ rooms, passages }: House): string {
  const known = Object.keys(PURPOSES).filter((name) => rooms.has(name));
  // Entry points of their own use mod.ts and stand above it.
  const others = [...rooms.keys()].filter((name) => !known.includes(name));
  const order = [...others, ...known];
  const row = (name: string) => order.indexOf(name);

  let y = 44;
  const boxes = new Map<string, { top: number; middle: number }>();
  const drawn: string[] = [];
  for (const name of order) {
    const lines = linesOf(rooms.get(name)!);
    const height = 34 + lines.length * LINE + (lines.length > 0 ? 6 : 0);
    boxes.set(name, { top: y, middle: y + 17 });
    const purpose = escaped(PURPOSES[name] ?? "an entry point of its own");
    drawn.push(
      `<rect class="box" x="${BOX_LEFT}" y="${y}" width="${BOX_WIDTH}" ` +
        `height="${height}" rx="6"/>`,
      `<text class="name" x="${BOX_LEFT + 18}" y="${y + 22}">${name}</text>`,
      `<text class="purpose" x="${BOX_LEFT + 112}" y="${y + 22}">` +
        `${purpose}</text>`,
      ...lines.map((line, i) =>
        `<text class="files" xml:space="preserve" x="${BOX_LEFT + 18}" ` +
        `y="${y + 44 + i * LINE}">${escaped(line)}</text>`
      ),
    );
    y += height + GAP;
  }
  const height = y + 26;

  // One lane for each room that others import: they join it, and it leads there.
  const downward = passages.filter(({ from, to }) => row(from) < row(to));
  const targets = order.filter((name) =>
    downward.some(({ to }) => to === name)
  );
  const lanes = new Map(
    targets.map((name, i) => [name, BOX_RIGHT + 34 + i * LANE]),
  );
  const width = BOX_RIGHT + 34 + (targets.length - 1) * LANE + 30;
  for (const name of order) {
    const joined = downward.filter(({ from }) => from === name)
      .map(({ to }) => lanes.get(to)!);
    if (joined.length === 0) continue;
    const { middle } = boxes.get(name)!;
    drawn.push(
      `<path class="rail" d="M${BOX_RIGHT} ${middle}H${Math.max(...joined)}"/>`,
    );
  }
  for (const [i, name] of targets.entries()) {
    const x = lanes.get(name)!;
    const colour = `c${i % COLOURS.length}`;
    const joining = downward.filter(({ to }) => to === name)
      .sort((a, b) => row(a.from) - row(b.from));
    const end = boxes.get(name)!.middle + 10;
    const start = boxes.get(joining[0]!.from)!.middle;
    drawn.push(
      `<path class="lane ${colour}" d="M${x} ${start}V${end}H${
        BOX_RIGHT + 8
      }"/>`,
      `<path class="tip ${colour}" d="M${BOX_RIGHT + 1} ${end}l9 -4.5v9z"/>`,
    );
    for (const { from, isOfTypes } of joining) {
      const what = `${from} imports from ${name}` +
        (isOfTypes ? ", types alone" : "");
      drawn.push(
        `<circle class="${
          isOfTypes ? "types" : "joint"
        } ${colour}" cx="${x}" ` +
          `cy="${boxes.get(from)!.middle}" r="4.5">` +
          `<title>${escaped(what)}</title></circle>`,
      );
    }
  }
  const upward = passages.filter(({ from, to }) => row(from) > row(to));
  for (const [i, { from, to, names, isOfTypes }] of upward.entries()) {
    const x = BOX_LEFT - 22 - i * LANE;
    const [a, b] = [boxes.get(from)!.middle, boxes.get(to)!.middle + 10];
    const what = [...names].sort().join(", ");
    drawn.push(
      `<path class="up" d="M${BOX_LEFT} ${a}H${x}V${b}H${BOX_LEFT - 8}">` +
        `<title>${
          escaped(`${from} imports from ${to}: ${what}`)
        }</title></path>`,
      `<path class="uptip" d="M${BOX_LEFT - 1} ${b}l-9 -4.5v9z"/>`,
      `<text class="note" transform="translate(${x - 8} ${
        (a + b) / 2
      }) rotate(-90)" text-anchor="middle">${
        isOfTypes ? "types only" : "climbs"
      }</text>`,
    );
  }
  const rules = (i: 0 | 1) =>
    COLOURS.map((pair, n) =>
      `.lane.c${n}{stroke:${pair[i]}}.joint.c${n},.tip.c${n}{fill:${pair[i]}}` +
      `.types.c${n}{stroke:${pair[i]}}`
    ).join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="The rooms of memmap, and which of them imports which">
<!-- Written by scripts/picture.ts from the imports in src/ and ffi/: do not edit. -->
<style>
svg{background:#fff}
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;fill:#1b1f24}
.name{font-size:15px;font-weight:650}
.purpose{font-size:13px;fill:#5b636e}
.files{font-family:ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;font-size:11.5px;fill:#434a54}
.note{font-size:11.5px;fill:#5b636e}
.box{fill:#f6f8fa;stroke:#c9d0d8}
.rail{fill:none;stroke:#c9d0d8}
.lane{fill:none;stroke-width:2}
.types{fill:#fff;stroke-width:2}
.up{fill:none;stroke:#5b636e;stroke-width:1.5;stroke-dasharray:4 3}
.uptip{fill:#5b636e}
${rules(0)}
@media (prefers-color-scheme:dark){svg{background:#14171b}text{fill:#e6e9ed}.purpose,.note{fill:#a0a8b3}.files{fill:#c2c9d2}.box{fill:#1c2026;stroke:#3a424c}.rail{stroke:#3a424c}.types{fill:#14171b}.up{stroke:#a0a8b3}.uptip{fill:#a0a8b3}${
    rules(1)
  }}
</style>
<text class="note" x="${BOX_LEFT}" y="24">A dot: the room beside it imports from the room that the line leads to. A ring: types alone.</text>
${drawn.join("\n")}
</svg>
`;
}

/** Draws the picture, or with `isCheck` compares it; returns whether it is in order. */
export function writePicture(isCheck: boolean): boolean {
  const picture = draw(readHouse());
  const there = existsSync(PICTURE) ? readFileSync(PICTURE, "utf8") : "";
  if (picture === there) return true;
  if (isCheck) return false;
  writeFileSync(PICTURE, picture);
  return true;
}

if (import.meta.main) {
  const isCheck = process.argv.includes("--check");
  if (!writePicture(isCheck)) {
    console.error(
      "docs/rooms.svg is not what the imports say; draw it again with " +
        "'scripts/docs --picture', and look at what has changed.",
    );
    process.exitCode = 1;
  }
}
