/**
 * The pages of the public API: what `deno doc` makes, mended.
 *
 * Owns what `deno doc` is given to read, and what is changed in what it writes: links
 * to sources, overloaded methods, the first page. Must not know how the rest of the
 * site looks.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

/** What `deno doc` calls the package. */
const TITLE = "memmap";
const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The public symbols that a reader of the API's first page should see first. */
const FIRST: readonly string[] = [
  "open",
  "Memmap",
  "MemmapSlice",
  "MemmapArray",
];

/** The beginning of a method in declarations. */
const MEMBER = /^ {4}(\w+)(?=[<(])/gm;

/** What stands between a method's name and the number of its overload; see below. */
const OVERLOAD = "__overload";
const OVERLOADS = new RegExp(`${OVERLOAD}\\d+`, "g");
/** In names and links. In ids they stay: those must differ. */
const OVERLOADS_SHOWN = new RegExp(`${OVERLOAD}\\d+(?=[.<"])`, "g");

/** The entry point, where it is named among the breadcrumbs: there is one alone. */
const ENTRY_CRUMB =
  /<span class="text-black dark:text-white"><svg[\s\S]{0,600}?<\/svg>\s*<\/span><a href="[^"]*" class="contextLink">default<\/a>/;
/** The names that lead to a symbol, each with the dot that comes before it, or without. */
const NAME_CRUMBS = /(class="breadcrumbs">[\s\S]*?)<ul>([\s\S]*?)<\/ul>/;
const ENTRY_HEADING = /(class="link text-xl font-bold">)default<\/a>/;

/**
 * Gives each overload of a method a name of its own: `deno doc` writes one page a
 * name, and of several overloads the last one alone would be on it.
 */
function numberOverloads(declarations: string): string {
  const names = [...declarations.matchAll(MEMBER)].map(([, name]) => name);
  let index = -1;
  let number = 0;
  return declarations.replace(MEMBER, (member, name: string) => {
    index++;
    const follows = names[index - 1] === name;
    if (!follows && names[index + 1] !== name) return member;
    number = follows ? number + 1 : 0;
    return `${member}${OVERLOAD}${number}`;
  });
}

/**
 * Writes the sources' declarations to `folder`. In the sources themselves, `deno doc`
 * takes the implementation of an overloaded method for the method.
 */
function writeDeclarations(folder: string): void {
  const { status, stdout } = spawnSync(
    join(ROOT, "node_modules/.bin/tsc"),
    [
      ...["-p", ROOT, "--rootDir", ROOT, "--outDir", folder],
      ...["--noEmit", "false", "--emitDeclarationOnly"],
    ],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`tsc failed: ${stdout}`);
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    if (!name.endsWith(".d.ts")) continue;
    const path = join(folder, name);
    const text = numberOverloads(readFileSync(path, "utf8"));
    // Imports name the sources.
    writeFileSync(path.replace(/\.d\.ts$/, ".ts"), text);
    rmSync(path);
  }
}

function denoDoc(folder: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["doc", ...args, "mod.ts"],
    { cwd: folder, encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  if (status !== 0) throw new Error(`'deno doc' failed: ${stderr}`);
  return stdout;
}

/** The element of a page that begins with `start`, and where it is. */
function divAt(html: string, start: string): [begin: number, end: number] {
  const begin = html.indexOf(start);
  if (begin === -1) throw new Error(`'deno doc' wrote no ${start}`);
  const tags = /<(\/?)div\b/g;
  tags.lastIndex = begin;
  let depth = 0;
  for (let tag = tags.exec(html); tag !== null; tag = tags.exec(html)) {
    depth += tag[1] === "" ? 1 : -1;
    if (depth === 0) return [begin, html.indexOf(">", tag.index) + 1];
  }
  throw new Error(`'deno doc' left ${start} open`);
}

/** Makes one page of those of a method's overloads. */
function joinOverloads(folder: string): void {
  const names = readdirSync(folder).filter((name) => name.includes(OVERLOAD));
  const signature = '<div class="scroll-mt-16"';
  for (const name of names.sort().reverse()) {
    if (!name.includes(`${OVERLOAD}0.`)) continue;
    let html = readFileSync(join(folder, name), "utf8");
    const [, end] = divAt(html, signature);
    let others = "";
    for (let number = 1;; number++) {
      const other = name.replace(`${OVERLOAD}0`, `${OVERLOAD}${number}`);
      if (!names.includes(other)) break;
      const text = readFileSync(join(folder, other), "utf8");
      others += text.slice(...divAt(text, signature));
      rmSync(join(folder, other));
    }
    html = html.slice(0, end) + others + html.slice(end);
    rmSync(join(folder, name));
    writeFileSync(join(folder, name.replace(`${OVERLOAD}0`, "")), html);
  }
}

/** One public symbol, as `deno doc --json` tells of it. */
interface PublicSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly jsDoc?: { readonly doc?: string };
  }[];
}

/** Text as HTML. */
export function escaped(text: string): string {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(
    />/g,
    "&gt;",
  );
}

function groupOf({ name, declarations }: PublicSymbol): string {
  const kind = declarations[0]?.kind;
  if (kind === "function") return "Functions";
  if (kind !== "class") return "Options, results and types";
  return name.endsWith("Error") ? "Errors" : "Classes";
}

/** A symbol's name, and the first sentence of what is said of it. */
function itemOf({ name, declarations }: PublicSymbol): string {
  const doc = declarations[0]?.jsDoc?.doc ?? "";
  const text = doc.replace(/\{@linkcode ([^}]*)\}/g, "`$1`");
  const sentence = /^[\s\S]*?[.:?](?=\s|$)/.exec(text)?.[0] ?? text;
  const html = escaped(sentence.replace(/:$/, "."))
    .replace(/`([^`]*)`/g, "<code>$1</code>");
  return `<li><a href="~/${name}.html"><code>${name}</code></a>: ${html}</li>`;
}

/** The public symbols by what they are, those of FIRST before all others. */
function overviewOf(symbols: readonly PublicSymbol[]): string {
  const rank = (name: string) => (FIRST.indexOf(name) + 1) || FIRST.length + 1;
  const sorted = symbols.toSorted((a, b) => rank(a.name) - rank(b.name));
  const groups = new Map<string, PublicSymbol[]>(
    ["Functions", "Classes", "Errors", "Options, results and types"].map(
      (title) => [title, []],
    ),
  );
  for (const symbol of sorted) groups.get(groupOf(symbol))!.push(symbol);
  return [...groups].map(([title, symbols]) =>
    `<h2>${title}</h2>\n<ul>\n${symbols.map(itemOf).join("\n")}\n</ul>\n`
  ).join("");
}

/** Puts the overview on the first page of the API, and FIRST beside it. */
function addOverview(html: string, symbols: readonly PublicSymbol[]): string {
  const [, end] = divAt(html, '<div class="markdown">');
  const first = FIRST.map((name) =>
    `<li><a href="~/${name}.html">${name}</a></li>`
  );
  return (html.slice(0, end) +
    `<div class="markdown">${overviewOf(symbols)}</div>` + html.slice(end))
    .replace(
      /(<h3>Symbols<\/h3>\s*)<ul>[\s\S]*?<\/ul>/,
      (_, heading: string) => `${heading}<ul>${first.join("")}</ul>`,
    );
}

/**
 * Makes the pages in `folder`. `linkTo` returns what a page links to for a source;
 * both are given by their paths, the source's in the repository.
 */
export function makeApiPages(
  folder: string,
  linkTo: (page: string, source: string) => string,
): void {
  const settings = readFileSync(join(ROOT, "deno.json"), "utf8");
  const { name: packageName } = JSON.parse(settings) as { name: string };
  // Its real path, as 'deno doc' has it in links.
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), "memmap-docs-")));
  let symbols: readonly PublicSymbol[];
  try {
    writeDeclarations(scratch);
    const { nodes } = JSON.parse(denoDoc(scratch, "--json")) as {
      nodes: Record<string, { symbols: readonly PublicSymbol[] }>;
    };
    symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
    denoDoc(scratch, "--html", `--name=${TITLE}`, `--output=${folder}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  joinOverloads(join(folder, "~"));
  const sourceLink = new RegExp(
    `href="${pathToFileURL(scratch).href}/([^"]*)"`,
    "g",
  );
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    const path = join(folder, name);
    if (name === "search_index.js") {
      const text = readFileSync(path, "utf8");
      writeFileSync(path, text.replace(OVERLOADS, ""));
    }
    if (!name.endsWith(".html")) continue;
    let html = readFileSync(path, "utf8")
      .replace(
        /\b(href|src)="([^"]*)"/g,
        (_, kind: string, link: string) =>
          `${kind}="${link.replaceAll("&#x2F;", "/")}"`,
      )
      .replace(
        sourceLink,
        (_, source: string) => `href="${linkTo(name, source)}"`,
      )
      // 'deno doc' knows the entry point by its place alone.
      .replaceAll("from &quot;.&quot;", `from &quot;${packageName}&quot;`)
      .replace(ENTRY_CRUMB, "")
      .replace(NAME_CRUMBS, (_, before: string, list: string) => {
        const names = [...list.matchAll(/<li>([\s\S]*?)<\/li>/g)].map(
          ([, name]) => name!.replace("<span>.</span>", "").trim(),
        );
        return `${before}<li>${names.join(".")}</li>`;
      })
      .replace(ENTRY_HEADING, `$1${TITLE}</a>`)
      // Nothing serves a folder's index where the site is read from files.
      .replace(/href="((?:\.\.?\/)*)"/g, 'href="$1index.html"')
      .replace(OVERLOADS_SHOWN, "");
    if (name === "index.html") html = addOverview(html, symbols);
    writeFileSync(path, html);
  }
}
