// Draws the charts that the page carries as JSON, again when light turns to dark or htmx brings new figures; keeps a
// refresh from taking away what a person is busy with. No code comes from data: Vega runs its expressions as syntax
// trees (`ast`), so the page's policy allows no eval.
"use strict";

const palette = () => {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    ["accent", "alarm", "good", "quiet", "muted", "line"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
};

// Puts the palette's colours where a specification names them.
const paint = (value, colors) => {
  if (Array.isArray(value)) return value.map((item) => paint(item, colors));
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => {
    if (key === "color" && typeof item === "string") return [key, colors[item] ?? item];
    if (key === "range" && Array.isArray(item)) return [key, item.map((name) => colors[name] ?? name)];
    return [key, key === "values" ? item : paint(item, colors)];
  }));
};

const look = (colors) => ({
  view: { stroke: null },
  mark: { color: colors.accent },
  font: "system-ui, sans-serif",
  axis: {
    labelColor: colors.muted, titleColor: colors.muted, gridColor: colors.line, domainColor: colors.line,
    tickColor: colors.line, labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", tickCount: 4,
    labelFlush: true, labelOverlap: true,
  },
  axisX: { grid: false, tickCount: 6 },
  legend: { labelColor: colors.muted, labelFontSize: 11, symbolSize: 60 },
});

// What the pointer is on, as plain text; Vega's own tooltip would bring a style sheet along, which the policy forbids.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
const tell = (_handler, event, _item, value) => {
  tip.hidden = value === null || value === undefined || value === "";
  if (tip.hidden) return;
  tip.textContent = typeof value === "object"
    ? Object.entries(value).map(([name, one]) => `${name}: ${one}`).join("\n") : String(value);
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - 210)}px`;
  tip.style.top = `${event.clientY + 14}px`;
};

const drawn = new Map();
const draw = async (figure, text) => {
  const name = figure.dataset.chart;
  const colors = palette();
  const wanted = text + colors.accent;
  if (drawn.get(name)?.wanted === wanted) return;
  const spec = paint(JSON.parse(text), colors);
  spec.autosize = { type: "fit-x", contains: "padding" };
  spec.background = "transparent";
  spec.config = look(colors);
  const canvas = figure.querySelector(".canvas");
  // Drawn unseen beside the old one, which stays until the new one is there.
  const place = document.createElement("div");
  place.className = "coming";
  canvas.append(place);
  const options = { actions: false, ast: true, defaultStyle: false, renderer: "canvas", tooltip: tell };
  const made = await vegaEmbed(place, spec, options);
  const before = drawn.get(name);
  drawn.set(name, { wanted, made, place });
  place.classList.remove("coming");
  before?.made.finalize();
  before?.place.remove();
};

const drawAll = () => {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    const spec = document.querySelector(`[data-spec="${figure.dataset.chart}"]`);
    if (spec) draw(figure, spec.textContent).catch((error) => console.error(error));
  }
};

// Whether somebody works inside `region`: has the focus there, has opened something, or has selected text.
const isBusy = (region) => {
  const selection = getSelection();
  return region.contains(document.activeElement)
    || region.querySelector("details[open]") !== null
    || (selection !== null && !selection.isCollapsed && region.contains(selection.anchorNode));
};

const keepPlaces = () => {
  let places = [];
  document.body.addEventListener("htmx:beforeSwap", () => {
    places = [...document.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  });
  document.body.addEventListener("htmx:afterSettle", () => {
    document.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = places[at] ?? 0; });
  });
};

document.addEventListener("DOMContentLoaded", () => {
  document.body.append(tip);
  drawAll();
  keepPlaces();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const regions = [event.target, ...document.querySelectorAll("#more")];
    if (document.hidden || regions.some(isBusy)) event.preventDefault();
  });
  document.body.addEventListener("htmx:afterSettle", drawAll);
  document.body.addEventListener("htmx:oobAfterSwap", drawAll);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
  document.querySelector("[data-submit]")?.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
  });
});
