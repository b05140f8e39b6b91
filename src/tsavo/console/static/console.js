// Draws the charts that the page carries as JSON, and again when light turns to dark or htmx brings new ones.
// No code comes from data: Vega runs its expressions as syntax trees (`ast`), so the page's policy allows no eval.
"use strict";

const palette = () => {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  return {
    accent: color("--accent"), alarm: color("--alarm"), quiet: color("--quiet"),
    text: color("--muted"), line: color("--line"),
  };
};

const paint = (value, colors) => {
  if (Array.isArray(value)) return value.map((item) => paint(item, colors));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [
      key,
      key === "color" && typeof item === "string" ? colors[item] ?? item
        : key === "range" && Array.isArray(item) ? item.map((name) => colors[name] ?? name)
          : key === "values" ? item : paint(item, colors),
    ]));
  }
  return value;
};

const draw = (root) => {
  const colors = palette();
  for (const chart of root.querySelectorAll("[data-chart]")) {
    const spec = paint(JSON.parse(chart.querySelector("script").textContent), colors);
    spec.autosize = { type: "fit-x", contains: "padding" };
    spec.background = "transparent";
    spec.config = {
      view: { stroke: null },
      mark: { color: colors.accent },
      font: "system-ui, sans-serif",
      axis: {
        labelColor: colors.text, titleColor: colors.text, gridColor: colors.line, domainColor: colors.line,
        tickColor: colors.line, labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", tickCount: 4,
        labelFlush: true, labelOverlap: true,
      },
      legend: { labelColor: colors.text, labelFontSize: 11, symbolSize: 60 },
    };
    const options = { actions: false, ast: true, defaultStyle: false, renderer: "canvas", tooltip: false };
    vegaEmbed(chart.querySelector(".canvas"), spec, options).catch((error) => console.error(error));
  }
};

document.addEventListener("DOMContentLoaded", () => {
  draw(document);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(document));
  document.body.addEventListener("htmx:afterSettle", (event) => draw(event.target));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "copied";
  });
});
