/**
 * The report: one self-contained page of HTML.
 *
 * @module
 */

import { machineInWords } from "../suite/machine.ts";
import type { Panel, Worker } from "../suite/question.ts";
import {
  type Answers,
  groupsOf,
  type Results,
  spreadOf,
  timesBetter,
} from "../suite/results.ts";
import { judge, type Target, TARGETS, type Verdict } from "../targets.ts";
import { dayOf, digits, escaped, figureIn, times } from "./format.ts";
import { COLOURS, DARK, darkRules, FONT } from "./picture.ts";
import { summaryRows } from "./summary.ts";
import { lossesIn, verdictOn } from "./words.ts";

/** The pictures of a page, as SVG. */
export interface Pictures {
  /** The summary, and the same for narrow windows. */
  summary: string | undefined;
  narrow: string | undefined;
  panels: Map<Panel, string>;
}

/** The whole page. */
export function page(results: Results, pictures: Pictures): string {
  const { date, quick, questions } = results;
  return `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>memmap: benchmarks of ${dayOf(date)}</title>
<style>${style()}</style>
<main>
<header>
<h1>Mapping or plain file I/O?</h1>
<p class="lead">The benchmarks of memmap, on ${
    escaped(machineInWords(results.machine))
  }, ${dayOf(date)}.</p>
${quick ? QUICK : ""}
${legend(results)}
</header>
${
    pictures.summary === undefined
      ? ""
      : `<figure class="wide">${pictures.summary}</figure>
<figure class="narrow">${pictures.narrow}</figure>
${comparisons(results)}`
  }
${targets(results)}
${quick ? "" : whereMappingLoses(results)}
${contents(questions)}
${questions.map((answers) => section(answers, pictures)).join("\n")}
${about(results)}
</main>
</html>
`;
}

const QUICK =
  `<p class="warning">This was a quick run, with small files and few samples. It shows
that everything works, but nothing about speed.</p>`;

function legend({ questions }: Results): string {
  const workers = (["Deno", "Bun", "Python", "C"] as const).filter((worker) =>
    questions.some(({ figures }) =>
      figures.some((figure) => figure.worker === worker)
    )
  );
  const keys = workers.map((worker) =>
    `<span class="key"><i style="background:var(--${worker})"></i>${worker}</span>`
  );
  return `<p class="legend">${keys.join(" ")}</p>
<p>Bars end at the median. The thin line across the end goes from the lower to the
upper quartile. Bold names are memmap's ways, and pale bars are all others. <b>52×</b>
after a bar means 52 times as good as the base named above the chart, in the same
runtime. A dashed line is the limit named there.</p>`;
}

/** A list of what the summary compares. */
function comparisons(results: Results): string {
  const rows = summaryRows(results).map(({ says, own, base }) =>
    `<tr><td>${escaped(says)}<td>${escaped(own)}<td>${escaped(base)}`
  );
  return `<details><summary>What is compared here</summary>
<div class="scroll"><table><thead><tr><th>bars<th>memmap's way<th>against
<tbody>${rows.join("\n")}</table></div></details>`;
}

function targets(results: Results): string {
  const rows = TARGETS.map((target): [Target, Verdict[]] => [
    target,
    judge(target, results),
  ]).filter(([, verdicts]) =>
    verdicts.some(({ figure }) => figure !== undefined)
  );
  if (rows.length === 0) return "";
  const body = rows.map(([target, verdicts]) =>
    `<tr><td>${escaped(target.says)}${
      profileOf(target, verdicts)
    }<td class="n">${inWords(target, target.figure)}${
      verdicts.map((verdict) => verdictCell(target, verdict)).join("")
    }`
  );
  return `<section id="targets"><h2>Targets</h2>
<div class="scroll"><table><thead><tr><th>what<th>target<th>Deno<th>Bun
<tbody>${body.join("\n")}</table></div></section>`;
}

/** Why a target was missed, if it was missed. */
function profileOf({ profile }: Target, verdicts: Verdict[]): string {
  const isMissed = verdicts.some(({ met }) => met === false);
  return profile === undefined || !isMissed
    ? ""
    : `<details><summary>Why it was missed</summary>${
      escaped(profile)
    }</details>`;
}

function verdictCell(target: Target, { figure, met }: Verdict): string {
  if (figure === undefined) return `<td class="n absent">not measured`;
  const shown = value(target, figure);
  return `<td class="n ${met ? "met" : "missed"}">${shown} ${
    met ? "met" : "MISSED"
  }`;
}

function inWords(target: Target, figure: number): string {
  return target.kind === "faster"
    ? `≥ ${value(target, figure)}`
    : `≤ ${value(target, figure)}`;
}

/** A figure in the terms of its target. */
export function value({ kind, unit = "ns" }: Target, figure: number): string {
  if (kind === "faster") return times(figure);
  if (kind === "as long") return `${figure.toFixed(2)} of the time`;
  return figureIn(unit, figure);
}

function whereMappingLoses({ questions }: Results): string {
  const items = questions.flatMap((answers) => {
    const verdict = verdictOn(answers);
    return verdict === undefined ? [] : [
      `<li><a href="#${answers.name}">${escaped(answers.title)}</a> ${verdict}`,
    ];
  });
  return `<section id="losses"><h2>Where mapping loses</h2>
<p>The best of memmap's ways against the best of plain file I/O, in each chart and
runtime. A difference below 5 % does not count. Each question below lists its own.</p>
<ul>${items.join("\n")}</ul></section>`;
}

function lossTable(answers: Answers): string {
  const rows = lossesIn(answers).map(({ panel, runtime, sentence }) =>
    `<tr><td>${escaped(panel)}<td>${runtime}<td>${escaped(sentence)}`
  );
  return rows.length === 0
    ? ""
    : `<details><summary>Where mapping loses here</summary>
<div class="scroll"><table>${rows.join("\n")}</table></div></details>`;
}

function contents(questions: Answers[]): string {
  return `<nav><h2>Questions</h2><ol>${
    questions.map(({ name, title }) =>
      `<li><a href="#${name}">${escaped(title)}</a>`
    ).join("")
  }</ol></nav>`;
}

function section(answers: Answers, { panels }: Pictures): string {
  const { name, title, method } = answers;
  const charts = [...groupsOf(answers)].map(([group, members]) =>
    `<h3>${escaped(group)}</h3><p class="base">${notes(answers, members)}</p>
<div class="panels">${
      members.map((panel) =>
        `<figure><figcaption>${escaped(panel.title)}</figcaption>${
          panels.get(panel)
        }</figure>`
      ).join("\n")
    }</div>`
  );
  return `<section id="${name}"><h2>${escaped(title)}</h2>
<p>${escaped(method)}</p>
${charts.join("\n")}
${lossTable(answers)}
<details><summary>All figures</summary>${table(answers)}</details>
<p class="command">Again: <code>scripts/bench ${name}</code></p></section>`;
}

/** What a group's panels measure, and what their ratios and lines mean. */
function notes(
  { figures, absences }: Answers,
  panels: Panel[],
): string {
  const { better, x } = panels[0]!;
  const measures = panels.map(({ unit, per }) =>
    per === "" ? MEASURES[unit] : `${MEASURES[unit]} for ${per}`
  );
  const limits = panels.flatMap(({ title, ways }) =>
    Object.keys(ways).filter((way) =>
      ways[way] === "limit" &&
      figures.some((figure) => figure.panel === title && figure.way === way)
    )
  );
  const rivals = absences.filter(({ panel, worker }) =>
    (worker === "Python" || worker === "C") &&
    panels.some(({ title }) => title === panel)
  );
  const sentences = [
    `${unique(measures).join(", ")}; ${better} is better.`,
    ...unique(rivals.map(({ way, why }) => `Absent: ${list([way])}, ${why}.`)),
  ];
  if (x !== undefined) {
    sentences.push(
      "Solid lines: memmap. Dashed lines: the sorted array. On this axis, logarithmic " +
        "growth is a straight line.",
    );
    return sentences.map(escaped).join(" ");
  }
  const isSpeed = better === "more";
  const isLog = panels.some(({ scale }) => scale === "log");
  if (isLog) {
    sentences.push(
      `${isSpeed ? "Speeds" : "Times"} are on a logarithmic scale.`,
    );
  }
  sentences.push(`Ratios are to ${list(panels.map(({ base }) => base))}.`);
  if (limits.length > 0) sentences.push(`Dashed: ${list(limits)}.`);
  return sentences.map(escaped).join(" ");
}

const MEASURES: Record<Panel["unit"], string> = {
  ns: "Time",
  B: "Memory",
  "B/s": "Speed",
  faults: "Page faults",
};

function unique(names: string[]): string[] {
  return [...new Set(names)];
}

function list(names: string[]): string {
  return unique(names).map((name) => `“${name}”`).join(", ");
}

function table(answers: Answers): string {
  const rows = answers.panels.flatMap((panel) =>
    Object.keys(panel.ways).flatMap((way) => rowsOf(answers, panel, way))
  );
  return `<div class="scroll"><table><thead><tr><th>panel<th>way<th>by<th>median
<th>quartiles<th>samples<th>to base<tbody>${rows.join("\n")}</table></div>`;
}

function rowsOf(answers: Answers, panel: Panel, way: string): string[] {
  const { title, unit, x: axis } = panel;
  const here = answers.figures.filter((figure) =>
    figure.panel === title && figure.way === way
  );
  const keys = new Map<string, { worker: Worker; x: number | undefined }>();
  for (const { worker, x } of here) keys.set(`${worker} ${x}`, { worker, x });
  const rows = [...keys.values()].map(({ worker, x }) => {
    const [low, mid, high] = spreadOf(answers, title, way, worker, x)!;
    const base = spreadOf(answers, title, panel.base, worker, x)?.[1];
    const ratio = base === undefined || !(base > 0) || !(mid > 0)
      ? ""
      : times(timesBetter(panel, mid, base));
    const count = here.filter((figure) =>
      figure.worker === worker && figure.x === x
    ).reduce((sum, { samples }) => sum + samples.length, 0);
    const name = x === undefined ? title : `${title}, ${digits(x)} ${axis}`;
    return `<tr><td>${escaped(name)}<td>${escaped(way)}<td>${worker}
<td class="n">${figureIn(unit, mid)}<td class="n">${figureIn(unit, low)} to ${
      figureIn(unit, high)
    }<td class="n">${count}<td class="n">${ratio}`;
  });
  const absent = answers.absences.filter((absence) =>
    absence.panel === title && absence.way === way
  ).map(({ worker, why }) =>
    `<tr class="absent"><td>${escaped(title)}<td>${escaped(way)}<td>${worker}
<td colspan="4">absent: ${escaped(why)}`
  );
  return [...rows, ...absent];
}

function about(results: Results): string {
  const { machine, rounds, seconds, date, commit } = results;
  const facts: [string, string][] = [
    ["began", `${new Date(date).toUTCString()}, took ${seconds} s`],
    ["sources", commit ?? "unknown"],
    ["processor", `${machine.processor}, ${machine.cores} cores`],
    ["memory", figureIn("B", machine.memory)],
    ["system", `${machine.system}, ${machine.architecture}`],
    ["file system", machine.fileSystem],
    ...Object.entries(machine.versions),
  ];
  return `<section id="about"><h2>How it was measured</h2>
<p>${
    rounds === 1 ? "One round" : `${rounds} rounds`
  }, in each of which Deno, Bun, and Python and C answer one question after the other;
within a program all ways take turns. What they answer is compared before anything is
timed, and over all programs at the end: it was the same. Files that are edited are
compared with what they should be. Files are made beforehand. The timer is mitata's.</p>
<div class="scroll"><table>${
    facts.map(([name, fact]) => `<tr><th>${name}<td>${escaped(fact)}`).join("")
  }</table></div></section>`;
}

/** A palette as custom properties. */
function properties(palette: Record<string, string>): string {
  return Object.entries(palette).map(([name, colour]) => `--${name}:${colour}`)
    .join(";");
}

function style(): string {
  return `
:root{${properties(COLOURS)};color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{${properties(DARK)}}${darkRules()}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 ${FONT}}
main{max-width:1180px;margin:0 auto;padding:24px 20px 80px}
h1{font-size:30px;line-height:1.2;margin:16px 0 4px}
h2{font-size:21px;line-height:1.3;margin:56px 0 8px}
h3{font-size:15.5px;margin:28px 0 2px}
p{margin:8px 0;max-width:76ch}
a{color:var(--Deno)}
.lead,.base,.command,figcaption{color:var(--muted)}
.lead{font-size:17px}
.base{font-size:13.5px;margin:0 0 10px}
.warning{border-left:3px solid var(--Bun);padding:4px 12px}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;margin-top:14px}
.key{display:inline-flex;align-items:center;gap:7px}
.key i{width:22px;height:11px;border-radius:2px}
figure{margin:16px 0}
.narrow{display:none}
@media (max-width:700px){.wide{display:none}.narrow{display:block}}
figure svg{display:block;max-width:100%;height:auto}
figcaption{font-size:13.5px;font-weight:600;color:var(--ink);margin-bottom:4px}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,352px),1fr));gap:12px 24px}
.panels figure{margin:8px 0}
nav ol,section>ul{padding-left:1.4em;margin:8px 0}
li{margin:2px 0}
.scroll{overflow-x:auto;margin:10px 0}
table{border-collapse:collapse;font-size:13px}
th{text-align:left;font-weight:600;color:var(--muted)}
th,td{padding:4px 14px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}
.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.met{color:var(--ink)}
.missed{color:var(--Bun);font-weight:600}
.absent{color:var(--muted)}
summary{cursor:pointer;color:var(--Deno);margin-top:14px}
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
`;
}
