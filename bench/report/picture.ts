/**
 * Turns a Vega-Lite specification into SVG with a light and a dark appearance.
 *
 * Charts are drawn in the light colours. A style sheet replaces each by its dark
 * counterpart, so that one picture serves both. Programs that ignore the style sheet
 * show the light one.
 *
 * @module
 */

import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { Worker } from "../suite/question.ts";

/** Colours, by their purpose. */
type Palette = Record<Worker | "ink" | "muted" | "grid" | "paper", string>;

/** The light colours. */
export const COLOURS: Palette = {
  ink: "#1b1f24",
  muted: "#5b636e",
  grid: "#e2e5e9",
  paper: "#ffffff",
  Deno: "#1d67b8",
  Bun: "#c96a12",
  Python: "#717985",
  C: "#434a54",
};

/** The dark ones. */
export const DARK: Palette = {
  ink: "#e6e9ed",
  muted: "#a0a8b3",
  grid: "#30363e",
  paper: "#14171b",
  Deno: "#69aef5",
  Bun: "#f0a04b",
  Python: "#8b94a0",
  C: "#c2c9d2",
};

export const FONT =
  'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

/** Rules that replace light colours by dark ones, for SVG on its own or in a page. */
export function darkRules(): string {
  return Object.entries(COLOURS).map(([name, light]) => {
    const dark = DARK[name as keyof Palette];
    return `svg [fill="${light}"]{fill:${dark}}` +
      `svg [stroke="${light}"]{stroke:${dark}}`;
  }).join("");
}

/** Draws a chart without a canvas. */
export async function draw(spec: TopLevelSpec): Promise<string> {
  const view = new vega.View(vega.parse(compile(spec).spec), {
    renderer: "none",
    logLevel: vega.Error,
  });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}

/** A standalone picture, with its own style, background, and text for screen readers. */
export function standalone(svg: string, words: string): string {
  const style =
    `<style>@media (prefers-color-scheme:dark){${darkRules()}}</style>`;
  return svg.replace(
    /^(<svg [^>]*>)/,
    `$1<title>${words}</title>${style}`,
  );
}

/** What all charts have in common. */
export const CONFIG: TopLevelSpec["config"] = {
  background: COLOURS.paper,
  font: FONT,
  view: { stroke: null },
  axis: {
    domain: false,
    grid: true,
    gridColor: COLOURS.grid,
    labelColor: COLOURS.muted,
    labelFontSize: 11,
    ticks: false,
    titleColor: COLOURS.muted,
    titleFontSize: 11,
    titleFontWeight: "normal",
  },
  title: {
    anchor: "start",
    color: COLOURS.ink,
    fontSize: 14,
    fontWeight: 600,
    frame: "group",
    offset: 10,
    subtitleColor: COLOURS.muted,
    subtitleFontSize: 11.5,
    subtitlePadding: 4,
  },
};

/** Encodes a place in pixels from the left or the top. */
export function inPixels(field: string): {
  field: string;
  type: "quantitative";
  scale: null;
  axis: null;
} {
  return { field, type: "quantitative", scale: null, axis: null };
}

/** Encodes colours that are in the data. */
export const NAMED_COLOUR: { field: string; type: "nominal"; scale: null } = {
  field: "colour",
  type: "nominal",
  scale: null,
};
