/**
 * The import rule of the sources, checked: which room may import which, through
 * its door, without cycles; and what belongs to one room alone.
 *
 * Reads source text and knows no compiler, so that a file that does not compile is
 * judged too. `scripts/check` runs it; test/unit/scripts/layers_test.ts feeds it
 * small trees that break each rule.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** From the bottom up: a room imports those before it. */
const ROOMS = [
  ...["geometry", "ffi", "base", "memory", "storage", "arrays", "map"],
  "the public face",
];
/**
 * The only names that may close a cycle, as types. By room, where they are taken
 * from map: the public objects name each other (`slice.map`, `map.slices`,
 * `array.slice`).
 */
const EXEMPT: Readonly<Record<string, readonly string[]>> = {
  arrays: ["MemmapSlice", "SliceExtent"],
  map: ["Memmap", "MemmapSlice"],
};
const MOST_LINES = 700;

/** An import or re-export in a source file. */
interface Import {
  readonly specifier: string;
  /** The statement as far as the specifier, without comments. */
  readonly statement: string;
}

/** What a slash after one of these begins is a regular expression, no division. */
const BEFORE_REGEXP =
  /(?:^|[^\w$)\]}"'`\s]|\b(?:return|typeof|case|in|of))\s*$/;
const TOKEN =
  /\/\/.*|\/\*[^]*?\*\/|"(?:\\[^]|[^"\\])*"|'(?:\\[^]|[^'\\])*'|\/(?![*\/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^\/\\\n[])+\/|[`{}]/y;

/** The text with comments, regular expressions and what stands in strings blanked. */
export function codeOf(text: string): string {
  const blank = (part: string) => part.replace(/[^\n]/g, " ");
  // Of each open brace, whether a template literal goes on behind it.
  const braces: boolean[] = [];
  let code = "";
  let isInTemplate = false;
  for (let at = 0; at < text.length;) {
    if (isInTemplate) {
      const [part] = /^(?:\\[^]|(?!\$\{|`)[^])*/.exec(text.slice(at))!;
      const isHole = text.startsWith("${", at + part.length);
      code += blank(part) + (isHole ? " {" : "`");
      at += part.length + (isHole ? 2 : 1);
      if (isHole) braces.push(true);
      isInTemplate = false;
      continue;
    }
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)?.[0];
    const isDivision = token?.startsWith("/") && !/^\/[/*]/.test(token) &&
      !BEFORE_REGEXP.test(code.slice(-20));
    if (token === undefined || isDivision) code += text[at++];
    else {
      at += token.length;
      if (/^["']/.test(token)) {
        code += token[0] + blank(token.slice(1, -1)) + token[0];
      } else code += /^[`{}]/.test(token) ? token : blank(token);
      if (token === "{") braces.push(false);
      if (token === "`" || token === "}" && braces.pop()) isInTemplate = true;
    }
  }
  return code;
}

/** All imports in a file, those of types and dynamic ones among them. */
export function importsOf(text: string, code: string = codeOf(text)): Import[] {
  const pattern =
    /\b(?:import|export)\b[^;"'`()=]*?\bfrom\s*["']|(?<![.\w$])import\s*\(?\s*["']/g;
  return [...code.matchAll(pattern)].map((match) => {
    const begin = match.index + match[0].length;
    const end = code.indexOf(match[0].at(-1)!, begin);
    return { specifier: text.slice(begin, end), statement: match[0] };
  });
}

/** The room that a file is in. */
function roomOf(path: string): string {
  if (path === "mod.ts") return "the public face";
  return path.startsWith("src/") ? path.split("/")[1]! : path.split("/")[0]!;
}

/** The file through which a room is entered. */
function doorOf(room: string): string {
  if (room === "the public face") return "mod.ts";
  return room === "ffi" ? "ffi/mod.ts" : `src/${room}/mod.ts`;
}

/** Is this an import that may close a cycle? */
function isExempt(from: string, to: string, { statement }: Import): boolean {
  const names = /^import type \{([^}]*)\}/.exec(statement)?.[1]?.split(",")
    .map((name) => name.trim()).filter((name) => name !== "");
  const exempt = EXEMPT[from];
  return to === "map" && exempt !== undefined && names !== undefined &&
    names.every((name) => exempt.includes(name));
}

/** The first cycle in a graph, from a node to itself. */
function cycleIn(
  graph: ReadonlyMap<string, ReadonlySet<string>>,
): string[] | undefined {
  const done = new Set<string>();
  const walk = (node: string, path: string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    done.add(node);
    for (const next of graph.get(node) ?? []) {
      const cycle = walk(next, [...path, node]);
      if (cycle !== undefined) return cycle;
    }
    return undefined;
  };
  for (const node of graph.keys()) {
    const cycle = walk(node, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

/** All that is wrong in a tree of sources, given as texts by their paths. */
export function faultsIn(sources: ReadonlyMap<string, string>): string[] {
  const faults: string[] = [];
  const files = new Map<string, Set<string>>();
  const rooms = new Map<string, Set<string>>();
  for (const [path, text] of sources) {
    const fault = (what: string) => faults.push(`${path}: ${what}`);
    const from = roomOf(path);
    const rank = ROOMS.indexOf(from);
    files.set(path, new Set());
    if (!rooms.has(from)) rooms.set(from, new Set());

    const lines = text.trimEnd().split("\n");
    const isGenerated = path.endsWith(".generated.ts") ||
      /^\/[/*].*\bgenerated\b/i.test(lines[0]!);
    if (lines.length > MOST_LINES && !isGenerated) {
      fault(`has ${lines.length} lines; ${MOST_LINES} is the limit`);
    }
    const code = codeOf(text);
    if (from !== "ffi") {
      const globals = code.matchAll(
        /(?<!(?<!\bglobalThis)(?<!\.)\.|[\w$#])(?:Deno|Bun|process)\b(?![\w$])/g,
      );
      for (const name of new Set([...globals].map(([name]) => name))) {
        fault(`uses ${name}; only ffi/ knows the runtimes`);
      }
    }
    if (/(?<![.\w$])import\s*\(\s*[^\s"']/.test(code)) {
      fault("imports what is computed; a path must be spelt out");
    }
    for (const one of importsOf(text, code)) {
      const { specifier } = one;
      if (!specifier.startsWith(".")) {
        const isFiles = /^(node:)?fs($|\/)/.test(specifier);
        if (isFiles && from !== "storage") {
          fault(`imports ${specifier}; only src/storage knows files`);
        } else if (
          /^(node:)?process$|^bun($|:)/.test(specifier) && from !== "ffi"
        ) fault(`imports ${specifier}; only ffi/ knows the runtimes`);
        else if (!/^(node:|bun:|fs)/.test(specifier)) {
          fault(`imports ${specifier}; the library depends on no package`);
        } else if (from === "geometry") {
          fault(`imports ${specifier}; geometry imports nothing`);
        }
        continue;
      }
      const target = join(dirname(path), specifier);
      const to = roomOf(target);
      if (isExempt(from, to, one)) {
        // A type alone, and a name that cannot go down.
      } else if (from === to) files.get(path)!.add(target);
      else {
        files.get(path)!.add(target);
        rooms.get(from)!.add(to);
        // Rooms that are not listed are entry points: they see the public face alone.
        const isUp = rank === -1
          ? to !== "the public face"
          : !(ROOMS.indexOf(to) < rank && ROOMS.includes(to));
        if (isUp) fault(`imports ${target}, but ${from} may not import ${to}`);
      }
      if (from !== to && target !== doorOf(to)) {
        fault(`imports ${target}; the door of ${to} is ${doorOf(to)}`);
      }
    }
  }
  for (const [what, graph] of [["files", files], ["rooms", rooms]] as const) {
    const cycle = cycleIn(graph);
    if (cycle !== undefined) {
      faults.push(`${what} import each other: ${cycle.join(" -> ")}`);
    }
  }
  return faults;
}

/** The library's sources, below the folder of the repository. */
function sourcesBelow(root: string): Map<string, string> {
  const paths = ["ffi", "src"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name): name is string => String(name).endsWith(".ts"))
      .map((name) => join(folder, name)).sort()
  );
  return new Map(
    ["mod.ts", ...paths].map((path) => [
      path,
      readFileSync(join(root, path), "utf8"),
    ]),
  );
}

if (import.meta.main) {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const faults = faultsIn(sourcesBelow(root));
  for (const fault of faults) console.log(fault);
  process.exit(faults.length === 0 ? 0 : 1);
}
