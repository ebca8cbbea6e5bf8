"use strict";
// Home: the sentence in numbers with intervals, and one case.

async function drawHome(live, params) {
  const { pairs, cases } = store.index;
  if (!pairs.length) {
    live.replaceChildren(make("p", {}, "No run that unlearned is in this bundle."));
    return;
  }
  const pair = pairOf(params);
  const number = Math.max(0, Number(params.get("case")) || 0) % Math.max(1, cases.length);
  const parts = pair.parts.map((part, at) => partOf(part, pair.runs[at]));
  const drawn = cases.length ? [await caseOf(cases[number], pair.runs, "h2"), another(number)] : [];
  live.replaceChildren(make("div", { class: "sentence" }, parts, pairChoice(params)), ...drawn);
}

/** What a run does, to how many, how sure that is; it opens those questions. */
function partOf(part, run) {
  const lost = store.index.sets.decouple?.lost ?? [];
  const to = addressOf("samples", { set: "decouple", [`o${run}`]: lost.join(",") });
  return make("p", { class: part.wrong ? "part wrong" : "part" }, part.says,
    make("a", { class: "big", href: to }, part.number), "questions about safe pictures", make("small", {}, part.sure));
}

function another(number) {
  const total = store.index.cases.length;
  return make("p", { class: "steps" },
    make("button", { id: "another", type: "button", click: () => change({ case: String((number + 1) % total) }) }, "Another case"),
    `Case ${counted(number + 1)} of ${counted(total)}, in an order drawn by seed.`);
}
