/**
 * Makes the documentation site that `scripts/docs` is for.
 *
 * Owns how pages look and how they lead to each other: the API's, README.md and its neighbours, the pages of docs/, and the sources that pages link to.
 * Must not know what any page says.
 *
 * @module
 */

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, extname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Marked, type Token, type Tokens } from "marked";
import { escaped, makeApiPages } from "./docs_api.ts";
import { writePicture } from "./picture.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SITE = join(ROOT, "site");

/** What every page leads to, and by which name. */
const MAIN: readonly (readonly [path: string, name: string])[] = [
  ["README.md", "memmap"],
  ["api/index.html", "API"],
  ["docs/architecture.md", "Architecture"],
  ["docs/decisions/README.md", "Decisions"],
  ["CONTRIBUTING.md", "Contributing"],
  ["SECURITY.md", "Security"],
  ["CHANGELOG.md", "Changelog"],
];

const PICTURES = [".svg", ".png"];

/** A heading of a page. */
interface Heading {
  readonly id: string;
  readonly depth: number;
  readonly html: string;
}

/** One Markdown file, once read. */
interface Page {
  readonly path: string;
  readonly title: string;
  readonly headings: readonly Heading[];
  readonly html: string;
  readonly links: readonly Link[];
  readonly claims: readonly Claim[];
}

/** Where a link of a page leads. */
interface Link {
  readonly href: string;
  /** A path in the repository, and a place in that file. */
  readonly path: string;
  readonly place: string;
}

/** "[x.ts](x.ts) `f()`": a page says that a source file has a function. */
interface Claim {
  readonly path: string;
  readonly name: string;
}

function* files(folder: string): Generator<string> {
  for (const name of readdirSync(join(ROOT, folder)).sort()) {
    const path = join(folder, name);
    if (statSync(join(ROOT, path)).isDirectory()) yield* files(path);
    else yield path;
  }
}

/** The pages of the site, by their paths in the repository. */
function pagePaths(): string[] {
  const neighbours = MAIN.map(([path]) => path)
    .filter((path) => path.endsWith(".md") && !path.startsWith("docs/"));
  return [...neighbours, ...files("docs")].filter((path) =>
    path.endsWith(".md")
  );
}

/** Where what is at a path of the repository is in the site. */
function placeOf(path: string): string {
  if (path.startsWith("api/") || PICTURES.includes(extname(path))) return path;
  if (!path.endsWith(".md")) return `${path}.html`;
  const name = basename(path) === "README.md" ? "index" : basename(path, ".md");
  return join(dirname(path), `${name}.html`);
}

function linkFrom(page: string, to: string): string {
  return relative(dirname(placeOf(page)), placeOf(to));
}

/** The id of a heading, as GitHub makes it. */
function idOf(text: string): string {
  return text.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replace(
    / /g,
    "-",
  );
}

/** What the text of one paragraph, or one cell, claims of the sources that it links to. */
function* claimsIn(page: string, tokens: readonly Token[]): Generator<Claim> {
  let path = "";
  for (const token of tokens) {
    if (token.type === "link") path = join(dirname(page), token.href);
    if (token.type !== "codespan" || !path.endsWith(".ts")) continue;
    const name = /^#?(\w+)\(\)$/.exec(token.text)?.[1];
    if (name !== undefined) yield { path, name };
  }
}

function readPage(path: string): Page {
  const headings: Heading[] = [];
  const links: Link[] = [];
  const claims: Claim[] = [];
  const ids = new Map<string, number>();
  const retarget = (token: Token) => {
    // A token comes before those in it: their links lead where they did.
    if (token.type === "table") {
      const { rows } = token as Tokens.Table;
      for (const { tokens } of rows.flat()) {
        claims.push(...claimsIn(path, tokens));
      }
    } else if (token.type === "paragraph" || token.type === "text") {
      const { tokens = [] } = token as Tokens.Paragraph | Tokens.Text;
      claims.push(...claimsIn(path, tokens));
    }
    if (token.type !== "link" && token.type !== "image") return;
    const link = token as Tokens.Link | Tokens.Image;
    const { href } = link;
    if (/^[a-z]+:/.test(href)) return;
    const [file, place = ""] = href.split("#") as [string, string?];
    let target = file === "" ? path : join(dirname(path), file);
    // A folder stands for the page that tells of it.
    if (existsSync(join(ROOT, target, "README.md"))) {
      target = join(target, "README.md");
    }
    links.push({ href, path: target, place });
    link.href = (file === "" ? "" : linkFrom(path, target)) +
      (place === "" ? "" : `#${place}`);
  };
  const marked = new Marked({
    walkTokens: retarget,
    renderer: {
      heading({ tokens, depth, text }) {
        const html = this.parser.parseInline(tokens);
        const plain = idOf(text.replace(/`|\[([^\]]*)\]\([^)]*\)/g, "$1"));
        const count = ids.get(plain) ?? 0;
        ids.set(plain, count + 1);
        const id = count === 0 ? plain : `${plain}-${count}`;
        headings.push({ id, depth, html });
        return `<h${depth} id="${id}">${html} ` +
          `<a class="here" href="#${id}" aria-label="link to here">#</a>` +
          `</h${depth}>\n`;
      },
    },
  });
  const html = (marked.parse(readFileSync(join(ROOT, path), "utf8")) as string)
    .replace(/<table>/g, '<div class="table"><table>')
    .replace(/<\/table>/g, "</table></div>");
  const title = headings[0]?.html.replace(/<[^>]*>/g, "") ?? path;
  return { path, title, headings, html, links, claims };
}

/** Is this path of the repository in the package that `deno publish` makes? */
function isPublished(path: string): boolean {
  const { publish } = JSON.parse(readFileSync(join(ROOT, "deno.json"), "utf8"));
  const include: string[] = publish.include;
  return include.some((own) => path === own || path.startsWith(`${own}/`));
}

/** Links of published pages that would be dead in the package, one line each. */
function unpublishedLinks(pages: ReadonlyMap<string, Page>): string[] {
  return [...pages.values()].filter(({ path }) => isPublished(path)).flatMap(
    ({ path, links }) =>
      links.filter(({ path: target }) => !isPublished(target)).map(({ href }) =>
        `${path}: '${href}' is not published; see publish.include in deno.json`
      ),
  );
}

/** What is wrong with the links of all pages, one line each. */
function brokenLinks(pages: ReadonlyMap<string, Page>): string[] {
  return [...pages.values()].flatMap(({ path, links }) =>
    links.filter(({ path: target, place }) => {
      if (!existsSync(join(ROOT, target))) return true;
      if (statSync(join(ROOT, target)).isDirectory()) return true;
      const page = pages.get(target);
      if (page === undefined || place === "") return false;
      return !page.headings.some(({ id }) => id === place);
    }).map(({ href }) => `${path}: the link to '${href}' leads nowhere`)
  );
}

/** What pages claim of sources that is not so, one line each. */
function brokenClaims(pages: ReadonlyMap<string, Page>): string[] {
  return [...pages.values()].flatMap(({ path, claims }) =>
    claims.filter(({ path: source, name }) => {
      const place = join(ROOT, source);
      if (!existsSync(place)) return false; // a broken link
      return !new RegExp(`\\b${name}\\b`).test(readFileSync(place, "utf8"));
    }).map(({ path: source, name }) =>
      `${path}: there is no '${name}' in ${source}`
    )
  );
}

// What the pages look like.

const STYLE = `
:root{--ink:#1b1f24;--muted:#5b636e;--line:#dde1e6;--paper:#fff;--soft:#f6f8fa;--link:#0e6590}
.dark{--ink:#e6e9ed;--muted:#a0a8b3;--line:#30363e;--paper:#14171b;--soft:#1c2026;--link:#86d3f3}
.memmap-bar{display:flex;flex-wrap:wrap;gap:.25rem 1.4rem;align-items:baseline;padding:.8rem 1.5rem;border-bottom:1px solid var(--line);background:var(--paper);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
.memmap-bar a{color:var(--muted);text-decoration:none}
.memmap-bar a:hover,.memmap-bar a.current{color:var(--ink)}
.memmap-bar a.current{box-shadow:0 2px 0 var(--link)}
.memmap-bar a:first-child{font-weight:700;font-size:17px;color:var(--ink)}
`;

const PAGE_STYLE = `
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
.columns{display:grid;grid-template-columns:minmax(0,46rem) 15rem;gap:3.5rem;justify-content:center;padding:1.5rem}
.source .columns{grid-template-columns:minmax(0,64rem)}
nav.contents{position:sticky;top:1.5rem;align-self:start;max-height:calc(100vh - 3rem);overflow:auto;font-size:14px;line-height:1.45}
nav.contents a{display:block;color:var(--muted);text-decoration:none;padding:.2rem 0}
nav.contents a:hover{color:var(--ink)}
nav.contents .d3{padding-left:1rem}
nav.contents code{padding:0;background:none}
@media (max-width:60rem){.columns{grid-template-columns:minmax(0,46rem)}nav.contents{display:none}}
h1,h2,h3{line-height:1.25;margin:2.2em 0 .6em}
h1{font-size:2rem;margin-top:.4em}
h2{font-size:1.4rem;padding-bottom:.3em;border-bottom:1px solid var(--line)}
h3{font-size:1.1rem}
.here{color:var(--line);text-decoration:none;font-weight:400;opacity:0}
:is(h1,h2,h3):hover .here{opacity:1}
main a:not(.here){color:var(--link);text-underline-offset:.15em}
code{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;background:var(--soft);padding:.1em .25em;border-radius:4px}
pre,pre[class*="language-"]{margin:1.2em 0;padding:1rem 1.2rem;overflow:auto;background:var(--soft);border:1px solid var(--line);border-radius:6px;line-height:1.5}
.dark pre[class*="language-"]{background:var(--soft)}
pre code,code[class*="language-"]{padding:0;background:none;font-size:.85rem;color:var(--ink)}
.table{overflow-x:auto;margin:1.2em 0}
table{border-collapse:collapse;width:100%;font-size:.92rem;line-height:1.45}
th,td{text-align:left;vertical-align:top;padding:.5em .75em;border:1px solid var(--line)}
th{background:var(--soft)}
img{max-width:100%}
blockquote{margin:1.2em 0;padding:.1em 1.2em;border-left:3px solid var(--line);color:var(--muted)}
`;

/** As the API's own pages do it: the reader's choice there, or the system's. */
const THEME =
  `document.documentElement.classList.toggle("dark",(localStorage.getItem("theme")??` +
  `(matchMedia("(prefers-color-scheme: dark)").matches?"dark":"light"))==="dark")`;

function barFor(path: string): string {
  const links = MAIN.map(([to, name]) => {
    const isHere = to === path ||
      to.startsWith("api/") && path.startsWith("api/") ||
      dirname(to) !== "." && dirname(to) === dirname(path) &&
        basename(to) === "README.md";
    return `<a href="${linkFrom(path, to)}"${
      isHere ? ' class="current"' : ""
    }>${name}</a>`;
  });
  return `<nav class="memmap-bar" aria-label="Site">${links.join("")}</nav>`;
}

function documentOf(
  path: string,
  title: string,
  kind: string,
  main: string,
  contents: string,
): string {
  const api = (name: string) => linkFrom(path, `api/${name}`);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<script>${THEME}</script>
<link rel="stylesheet" href="${api("prism.css")}">
<style>${STYLE}${PAGE_STYLE}</style>
<script src="${api("prism.js")}" defer></script>
</head>
<body class="${kind}">
${barFor(path)}
<div class="columns">
<main>
${main}</main>
${contents}</div>
</body>
</html>
`;
}

function write(place: string, text: string): void {
  mkdirSync(dirname(join(SITE, place)), { recursive: true });
  writeFileSync(join(SITE, place), text);
}

function writePage({ path, title, headings, html }: Page): void {
  const entries = headings.filter(({ depth }) => depth === 2 || depth === 3)
    .map(({ id, depth, html }) => {
      const text = html.replace(/<\/?a\b[^>]*>/g, "");
      return `<a class="d${depth}" href="#${id}">${text}</a>`;
    });
  const contents = entries.length < 3
    ? ""
    : `<nav class="contents" aria-label="On this page">${
      entries.join("\n")
    }</nav>\n`;
  const name = title === "memmap" ? title : `${title} – memmap`;
  write(placeOf(path), documentOf(path, name, "page", html, contents));
}

/** A source file that a page links to, to be read in the browser. */
function writeSource(path: string): void {
  const language = extname(path) === ".ts" ? "typescript" : "none";
  const text = escaped(readFileSync(join(ROOT, path), "utf8"));
  const main = `<h1><code>${path}</code></h1>\n` +
    `<pre><code class="language-${language}">${text}</code></pre>\n`;
  write(placeOf(path), documentOf(path, path, "source", main, ""));
}

/** Writes the API's pages, and returns the sources that they link to. */
function writeApi(): string[] {
  const folder = join(SITE, "api");
  const sources = new Set<string>();
  makeApiPages(folder, (name, source) => {
    sources.add(source);
    return linkFrom(join("api", name), source);
  });
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    if (!name.endsWith(".html")) continue;
    const path = join("api", name);
    const html = readFileSync(join(folder, name), "utf8")
      .replace("</head>", () => `<style>${STYLE}</style></head>`)
      .replace("<body>", () => `<body>${barFor(path)}`);
    write(path, html);
  }
  return [...sources];
}

/** The links of the API's pages that lead nowhere, one line each. */
function brokenApiLinks(): string[] {
  const folder = join(SITE, "api");
  const broken = new Set<string>();
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    if (!name.endsWith(".html")) continue;
    const html = readFileSync(join(folder, name), "utf8");
    for (const [, link] of html.matchAll(/\b(?:href|src)="([^"]*)"/g)) {
      const href = link!.replace(/#.*/, "");
      if (href === "" || /^https?:/.test(href)) continue;
      const to = join(folder, dirname(name), href);
      if (
        /^[a-z]+:/.test(href) || !existsSync(to) || statSync(to).isDirectory()
      ) {
        broken.add(`api/${name}: the link to '${href}' leads nowhere`);
      }
    }
  }
  return [...broken];
}

function writeSite(pages: ReadonlyMap<string, Page>): void {
  rmSync(SITE, { recursive: true, force: true });
  mkdirSync(SITE);
  const linked = new Set<string>(writeApi());
  for (const page of pages.values()) {
    writePage(page);
    for (const { path } of page.links) if (!pages.has(path)) linked.add(path);
  }
  for (const path of linked) {
    if (PICTURES.includes(extname(path))) {
      cpSync(join(ROOT, path), join(SITE, path));
    } else writeSource(path);
  }
  for (const line of brokenApiLinks()) {
    console.error(line);
    process.exitCode = 1;
  }
  console.log(`site/index.html: ${pages.size} pages, and the public API`);
}

const option = process.argv[2];
if (!writePicture(option === "--check")) {
  console.error(
    "docs/rooms.svg is not what the imports say; scripts/docs draws it.",
  );
  process.exitCode = 1;
}
if (option !== "--picture") {
  const pages = new Map(pagePaths().map((path) => [path, readPage(path)]));
  const broken = [
    ...brokenLinks(pages),
    ...unpublishedLinks(pages),
    ...brokenClaims(pages),
  ];
  for (const line of broken) console.error(line);
  if (broken.length > 0) process.exitCode = 1;
  if (option !== "--check") writeSite(pages);
}
