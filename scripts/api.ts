/**
 * The public API as text: every exported name with its signature and nothing else.
 * A change of it shows as a change of test/api/public_api.txt, which
 * `scripts/check` compares and `scripts/api.ts --write` renews.
 *
 * Reads what `deno doc --json` says. Sorted by name, so that neither moving a
 * declaration nor rewriting its documentation changes the text.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const SNAPSHOT = "test/api/public_api.txt";
const RENEW = "deno run -A scripts/api.ts --write";

/** A node of what `deno doc --json` prints; its shape depends on its kind. */
// deno-lint-ignore no-explicit-any
type Node = any;

const list = (nodes: Node[] | undefined, separator = ", ") =>
  (nodes ?? []).map(typeText).join(separator);

function typeParams(params: Node[] | undefined): string {
  if (!params?.length) return "";
  const texts = params.map(({ name, constraint, default: byDefault }) =>
    name + (constraint ? ` extends ${typeText(constraint)}` : "") +
    (byDefault ? ` = ${typeText(byDefault)}` : "")
  );
  return `<${texts.join(", ")}>`;
}

function param(node: Node): string {
  switch (node.kind) {
    case "assign":
      // What the default is, is documentation; that there is one is the signature.
      return param({ ...node.left, optional: true });
    case "rest":
      return `...${node.arg.name}: ${typeText(node.tsType)}`;
    case "identifier":
      return `${node.name}${node.optional ? "?" : ""}: ${
        typeText(node.tsType)
      }`;
    default:
      return `{}${node.optional ? "?" : ""}: ${typeText(node.tsType)}`;
  }
}

function signature(node: Node, arrow = ": "): string {
  const { typeParams: own, params, returnType, tsType } = node;
  const result = returnType ?? tsType;
  return `${typeParams(own)}(${params.map(param).join(", ")})` +
    (result ? arrow + typeText(result) : "");
}

/** Types that need parentheses below an operator, an array or an index. */
const LOOSE = [
  "union",
  "intersection",
  "conditional",
  "fnOrConstructor",
  "infer",
];
const tight = (node: Node) =>
  LOOSE.includes(node.kind) ? `(${typeText(node)})` : typeText(node);

function typeText(node: Node): string {
  if (node === undefined || node === null) return "(inferred)";
  const { kind, value } = node;
  switch (kind) {
    case "keyword":
      return value;
    case "this":
      return "this";
    case "typeRef":
      return value.typeName +
        (value.typeParams?.length ? `<${list(value.typeParams)}>` : "");
    case "literal":
      return value.kind === "string"
        ? JSON.stringify(value.string)
        : value.kind === "template"
        ? template(value.tsTypes)
        : node.repr;
    case "template":
      return template(node.tsTypes);
    case "union":
      return value.map((one: Node) =>
        one.kind === "conditional" || one.kind === "fnOrConstructor"
          ? tight(one)
          : typeText(one)
      ).join(" | ");
    case "intersection":
      return value.map(tight).join(" & ");
    case "array":
      return `${
        value.kind === "typeOperator" ? `(${typeText(value)})` : tight(value)
      }[]`;
    case "tuple":
      return `[${list(value)}]`;
    case "optional":
      return `${tight(value)}?`;
    case "rest":
      return `...${typeText(value)}`;
    case "parenthesized":
      return `(${typeText(value)})`;
    case "typeOperator":
      return `${value.operator} ${tight(value.tsType)}`;
    case "typeQuery":
      return `typeof ${value.typeName ?? value}`;
    case "indexedAccess":
      return `${tight(value.objType)}[${typeText(value.indexType)}]`;
    case "infer":
      return `infer ${typeParams([value.typeParam]).slice(1, -1)}`;
    case "fnOrConstructor":
      return (value.constructor ? "new " : "") + signature(value, " => ");
    case "conditional":
      return `${tight(value.checkType)} extends ${tight(value.extendsType)} ` +
        `? ${typeText(value.trueType)} : ${typeText(value.falseType)}`;
    case "mapped":
      return `{ ${
        value.readonly ? "readonly " : ""
      }[${value.typeParam.name} in ` +
        `${typeText(value.typeParam.constraint)}` +
        `${value.nameType ? ` as ${typeText(value.nameType)}` : ""}]` +
        `${value.optional ? "?" : ""}: ${typeText(value.tsType)} }`;
    case "typeLiteral":
      return `{ ${members(value).join("; ")} }`;
    case "typePredicate":
      return (value.asserts ? "asserts " : "") +
        `${value.param.kind === "this" ? "this" : value.param.name}` +
        (value.type ? ` is ${typeText(value.type)}` : "");
    default:
      // Unknown to this script: no beauty, but its changes are seen.
      return JSON.stringify(
        node,
        (key, value) =>
          ["location", "resolution", "jsDoc"].includes(key) ? undefined : value,
      );
  }
}

function template(parts: Node[]): string {
  const texts = parts.map((part) =>
    part.kind === "literal" && part.value.kind === "string"
      ? part.value.string
      : "${" + typeText(part) + "}"
  );
  return "`" + texts.join("") + "`";
}

/** Without the implementations of overloads, which nobody can call. */
function withoutBodies(methods: Node[] = []): Node[] {
  const hasBody = ({ functionDef }: Node) => functionDef?.hasBody === true;
  return methods.filter((one) =>
    !hasBody(one) ||
    !methods.some((other) => other.name === one.name && !hasBody(other))
  );
}

/** One line for each member of a class, an interface or an object type. */
function members(def: Node): string[] {
  const isPublic = ({ accessibility }: Node) =>
    accessibility === undefined || accessibility === "public";
  const name = ({ name, optional, isStatic, readonly }: Node) =>
    (isStatic ? "static " : "") + (readonly ? "readonly " : "") + name +
    (optional ? "?" : "");
  const sorted = (nodes: Node[] | undefined) =>
    (nodes ?? []).filter(isPublic).toSorted((a, b) =>
      a.name < b.name ? -1 : a.name > b.name ? 1 : 0
    );
  return [
    ...(def.constructors ?? []).map((one: Node) =>
      isPublic(one)
        ? `constructor${signature(one)}`
        : `${one.accessibility} constructor`
    ),
    ...(def.callSignatures ?? []).map((one: Node) => signature(one)),
    ...(def.indexSignatures ?? []).map((one: Node) =>
      `${one.readonly ? "readonly " : ""}[${
        one.params.map(param).join(", ")
      }]: ` +
      typeText(one.tsType)
    ),
    ...sorted(def.properties).map((one) =>
      `${name(one)}: ${typeText(one.tsType)}`
    ),
    ...sorted(withoutBodies(def.methods)).map((one) => {
      // A class says how it is called in a part of its own; an interface does not.
      const kind = one.kind === "getter"
        ? "get "
        : one.kind === "setter"
        ? "set "
        : "";
      const call = one.functionDef ?? one;
      return (one.isAbstract ? "abstract " : "") + kind + name(one) +
        signature(call);
    }),
  ];
}

function declaration(name: string, { kind, def }: Node): string[] {
  const heir = (def: Node) =>
    (def.extends
      ? ` extends ${
        typeof def.extends === "string"
          ? def.extends
          : list([def.extends].flat())
      }`
      : "") +
    (def.implements?.length ? ` implements ${list(def.implements)}` : "");
  switch (kind) {
    case "function":
      return [`function ${name}${signature(def)}`];
    case "variable":
      return [`const ${name}: ${typeText(def.tsType)}`];
    case "typeAlias":
      return [
        `type ${name}${typeParams(def.typeParams)} = ${typeText(def.tsType)}`,
      ];
    case "class":
    case "interface": {
      const abstract = def.isAbstract ? "abstract " : "";
      const head = `${abstract}${kind} ${name}` +
        `${typeParams(def.typeParams)}${heir(def)}`;
      return [head, ...members(def).map((member) => `  ${member}`)];
    }
    default:
      return [`${kind} ${name} ${typeText(def)}`];
  }
}

/** The API of one entry point, from what `deno doc --json` prints of it. */
export function apiOf(doc: string): string {
  const nodes: Node[] = Object.values(JSON.parse(doc).nodes);
  const symbols = nodes.flatMap(({ symbols }) => symbols);
  return symbols
    .toSorted((a, b) => a.name < b.name ? -1 : 1)
    .map(({ name, declarations }) =>
      declarations
        .filter((one: Node) => one.declarationKind !== "private")
        .flatMap((one: Node) => declaration(name, one))
        .join("\n")
    )
    .join("\n\n");
}

/** The API of the package: of all that deno.json exports. */
function currentApi(): string {
  const { exports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"));
  const entries: [string, string][] = typeof exports === "string"
    ? [[".", exports]]
    : Object.entries(exports);
  return entries.map(([name, path]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ["doc", "--json", path],
      { cwd: root, encoding: "utf8", maxBuffer: 2 ** 28 },
    );
    if (status !== 0) throw new Error(stderr);
    return `# ${name}\n\n${apiOf(stdout)}\n`;
  }).join("\n");
}

/** The lines that only one of two texts has, in the order of each. */
function difference(before: string, after: string): string[] {
  const without = (lines: string[], others: string[]) => {
    const counts = new Map<string, number>();
    for (const line of others) counts.set(line, (counts.get(line) ?? 0) + 1);
    return lines.filter((line) => {
      const count = counts.get(line) ?? 0;
      counts.set(line, count - 1);
      return count <= 0;
    });
  };
  const [old, now] = [before.split("\n"), after.split("\n")];
  return [
    ...without(old, now).map((line) => `- ${line}`),
    ...without(now, old).map((line) => `+ ${line}`),
  ];
}

if (import.meta.main) {
  const path = join(root, SNAPSHOT);
  const api = currentApi();
  if (process.argv[2] === "--write") writeFileSync(path, api);
  else {
    const known = readFileSync(path, "utf8");
    if (known !== api) {
      console.log(
        `The public API is not what ${SNAPSHOT} says:\n` +
          `${difference(known, api).join("\n") || "the order of overloads"}\n` +
          `If this is meant, renew it with \`${RENEW}\` and commit it.`,
      );
      process.exit(1);
    }
  }
}
