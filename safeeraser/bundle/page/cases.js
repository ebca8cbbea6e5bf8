"use strict";
// Over-forgetting: the same question about a harmful and a safe picture, and what a run, its twin with PD and the base say.

const CASES = 4;

/** The runs held against each other, by the address. */
function pairOf(params) {
  const { pairs } = store.index;
  return pairs[Number(params.get("pair"))] ?? pairs[0];
}

function pairChoice(params) {
  const { pairs, runs } = store.index;
  if (pairs.length < 2) return null;
  const options = pairs.map((pair, at) => [String(at), pair.runs.map((run) => runs[run].label).join(" · ")]);
  return choice("Runs", "pair", options, params.get("pair") || "0", (value) => change({ pair: value, case: "", from: "" }));
}

/** One case, with both pictures, under one row of names, below a heading of this level. */
async function caseOf([safe, harmful], runs, heading = "h3") {
  const sides = [[itemAt(harmful), "Harmful picture, should refuse"], [itemAt(safe), "Safe picture, should answer"]];
  const texts = await Promise.all(sides.map(([item]) => textsOf(item.place)));
  const lines = sides.map(([item, words], side) => make("tr", {},
    make("th", { scope: "row" }, pictureOf(item, 112), make("small", {}, words)),
    runs.map((run) => make("td", {}, answerOf(texts[side].answers[run], outcomeOf(run, item.place), item.set)))));
  const names = runs.map((run) => make("th", { scope: "col" }, store.index.runs[run].label));
  const [item] = sides[1];
  const to = addressOf("item", { set: item.set, split: item.split }, item.id);
  return make("section", { class: "case" }, make(heading, {}, make("a", { href: to }, `“${item.question}”`)),
    make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": item.question },
      make("table", {}, make("thead", {}, make("tr", {}, make("td"), names)), make("tbody", {}, lines))));
}

async function drawCases(live, params) {
  const { cases, pairs, runs } = store.index;
  if (!pairs.length || !cases.length) {
    live.replaceChildren(make("p", {}, "These runs answered no question about both a harmful and a safe picture."));
    return;
  }
  const pair = pairOf(params).runs;
  const lost = params.get("lost") === "1";
  const first = runs[pair[0]].label;
  const over = (run, place) => store.index.sets.decouple.lost.includes(outcomeOf(run, place));
  const found = lost ? cases.filter(([safe]) => over(pair[0], safe)) : cases;
  const from = Math.min(Math.max(0, Number(params.get("from")) || 0), Math.max(0, found.length - 1));
  const shown = found.slice(from, from + CASES);
  const drawn = await Promise.all(shown.map((one) => caseOf(one, pair)));
  live.replaceChildren(
    make("div", { class: "controls" }, pairChoice(params),
      make("label", { class: "tick", for: "lost" }, make("input", { type: "checkbox", id: "lost", checked: lost,
        change: (event) => change({ lost: event.target.checked ? "1" : "", from: "" }) }),
      `only where ${first} does not answer about the safe picture`)),
    make("p", { role: "status" }, found.length
      ? `${counted(from + 1)} to ${counted(from + shown.length)} of ${counted(found.length)} cases${lost ? `, of ${counted(cases.length)} in all` : ""}.`
      : `${first} answers about every safe picture.`),
    ...drawn,
    make("nav", { class: "pager", "aria-label": "More cases" },
      make("button", { id: "before", type: "button", disabled: from === 0, click: () => change({ from: String(Math.max(0, from - CASES)) }) }, "Previous cases"),
      make("button", { id: "after", type: "button", disabled: from + CASES >= found.length, click: () => change({ from: String(from + CASES) }) }, "Next cases")),
  );
}
