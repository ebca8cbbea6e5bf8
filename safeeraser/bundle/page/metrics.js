"use strict";
// Metrics: bars and a table of categories; a bar or a cell opens the answers that its value stands for.

function drawMetrics(live, params) {
  const { metrics } = store.index;
  const metric = metrics.find(({ key }) => key === params.get("metric")) ?? metrics.find(({ key }) => key === "sarr") ?? metrics[0];
  if (!metric) {
    live.replaceChildren(make("p", {}, "No metric has a value."));
    return;
  }
  const options = metrics.map(({ key, name }) => [key, name]);
  live.replaceChildren(
    make("div", { class: "controls" }, choice("Metric", "metric", options, metric.key, (value) => change({ metric: value }))),
    make("h2", {}, `${metric.name}: ${metric.says} (${metric.better} is better)`),
    make("p", { class: "soft" }, `In percent, with 95 % intervals. A bar opens the answers that ${metric.better === "lower" ? "it counts" : "fall short"}.`),
    bars(metric),
    ...categories(metric),
  );
}

/** The address of the answers that a run's value stands for. */
function behind(metric, run, category = "") {
  const seen = metric.seen === null ? "" : metric.seen ? "seen" : "unseen";
  return addressOf("samples", { split: metric.split, set: metric.set, category, seen, [`o${run}`]: metric.opens.join(",") });
}

function bars(metric) {
  const lines = metric.scores.map((score, run) => {
    const { label, method, pd } = store.index.runs[run];
    const kind = method === "base" ? "of-base" : pd ? "with-pd" : "without-pd";
    const words = `${label}: ${score.text} %, ${score.says}`;
    const bar = score.value === null ? make("span", { class: "soft" }, score.says)
      : make("a", { class: "bar", href: behind(metric, run), "aria-label": words, title: words },
        sized(make("span", { class: `fill ${kind}` }), 0, score.value),
        score.low === null ? null : sized(make("span", { class: "whisker" }), score.low, score.high));
    return make("tr", {}, make("th", { scope: "row" }, label), make("td", { class: "track" }, bar),
      make("td", { class: "number" }, score.text));
  });
  return make("table", { class: "bars" }, make("caption", { class: "unseen" }, metric.name), make("tbody", {}, lines));
}

/** Place a part of a bar; from, to: in percent. */
function sized(part, from, to) {
  part.style.left = `${from}%`;
  part.style.width = `${Math.max(to - from, 0)}%`;
  return part;
}

function categories(metric) {
  const names = Object.keys(metric.categories);
  if (!names.length) return [];
  const { runs } = store.index;
  const head = make("tr", {}, make("th", { scope: "col" }, "Run"), names.map((name) => make("th", { scope: "col" }, name)));
  const lines = runs.map(({ label }, run) => make("tr", {}, make("th", { scope: "row" }, label),
    names.map((name) => cell(metric, run, name))));
  return [make("h2", {}, `${metric.name} by category`),
    make("div", { class: "wide heat", tabindex: "0", role: "region", "aria-label": `${metric.name} by category` },
      make("table", {}, make("thead", {}, head), make("tbody", {}, lines)))];
}

function cell(metric, run, name) {
  const score = metric.categories[name][run];
  if (!score || score.value === null) return make("td", { class: "number" }, "–");
  const made = make("td", { class: "number" },
    make("a", { href: behind(metric, run, name), title: `${name}: ${score.says}` }, score.text));
  made.style.setProperty("--share", `${0.45 * score.value}%`);
  return made;
}
