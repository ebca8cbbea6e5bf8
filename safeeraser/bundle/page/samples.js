"use strict";
// Samples: the questions in a table, a column for each run; every column filters by its outcome.

const ROWS = 50;

async function drawSamples(live, params) {
  const filters = filtersOf(params);
  const places = await passing(filters);
  const pages = Math.max(1, Math.ceil(places.length / ROWS));
  const page = Math.min(Math.max(1, Number(params.get("page")) || 1), pages);
  const shown = places.slice((page - 1) * ROWS, page * ROWS);
  const differ = places.filter((place) => store.index.items.disagree[place] > 0).length;
  live.replaceChildren(
    controls(params, filters),
    make("p", { role: "status" }, make("b", {}, `${counted(places.length)} questions`),
      `; on ${counted(differ)} not all ${store.index.runs.length} runs have the same outcome.`),
    places.length ? table(params, filters, shown) : nothing(params),
    pager(page, pages),
  );
}

function nothing(params) {
  return make("p", {}, "No question passes these filters. ", make("a", { href: cleared(params) }, "Clear all filters"));
}

function cleared(params) {
  const kept = { split: params.get("split") || "", set: params.get("set") || "", runs: params.get("runs") || "" };
  return addressOf("samples", kept);
}

/** The filters that are not in the table's head; shared with Compare by the address. */
function controls(params, filters) {
  const { sets, items } = store.index;
  const put = (name) => (value) => change({ [name]: value, page: "" });
  const splits = [...new Set(items.split)].map((one) => [one, one]);
  const ofSet = items.category.filter((_, at) => items.set[at] === filters.set);
  const categories = [...new Set(ofSet)].sort().map((one) => [one, one]);
  const known = items.seen.some((seen, at) => seen !== null && items.set[at] === filters.set);
  const seen = [[ANY, "any"], ["seen", "seen in training"], ["unseen", "never seen"]];
  const orders = [["disagreement", "most disagreement first"], ["data", "as in the data"]];
  const changeSet = (value) => change({ set: value, page: "", ...noOutcomes() });
  return make("div", { class: "controls" },
    splits.length > 1 ? choice("Split", "split", splits, filters.split, (value) => change({ split: value, set: "", page: "", ...noOutcomes() })) : null,
    choice("Questions", "set", filters.sets.map((name) => [name, sets[name].short]), filters.set, changeSet),
    choice("Category", "category", [[ANY, "all"], ...categories], filters.category, put("category")),
    known ? choice("Safe thing", "seen", seen, filters.seen, put("seen")) : null,
    choice("Order", "sort", orders, filters.order, put("sort")),
    search(params),
    make("label", { class: "tick", for: "in" },
      make("input", { type: "checkbox", id: "in", checked: filters.answers,
        change: (event) => change({ in: event.target.checked ? "answers" : "", page: "" }) }), "in answers too"),
    runChoice(filters.runs),
    make("a", { href: cleared(params) }, "Clear all filters"),
  );
}

function noOutcomes() {
  return Object.fromEntries(store.index.runs.map((_, run) => [`o${run}`, ""]));
}

let typing = 0;

function search(params) {
  const typed = (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ q: event.target.value, page: "" }, { quietly: true }), 250);
  };
  const field = make("input", { type: "search", id: "q", value: params.get("q") || "", input: typed });
  return make("div", { class: "field" }, make("label", { for: "q" }, "Words"), field);
}

/** Which runs have a column, or a card in Compare. */
function runChoice(chosen) {
  const { runs } = store.index;
  const toggled = (run, on) => {
    const now = runs.map((_, one) => one).filter((one) => (one === run ? on : chosen.includes(one)));
    change({ runs: now.length === runs.length ? "" : now.join(",") });
  };
  const boxes = runs.map(({ label }, run) => make("label", { class: "tick", for: `run-${run}` },
    make("input", { type: "checkbox", id: `run-${run}`, checked: chosen.includes(run),
      change: (event) => toggled(run, event.target.checked) }), label));
  const open = document.getElementById("runs")?.open;
  return make("details", { id: "runs", open: Boolean(open) },
    make("summary", {}, `Runs (${chosen.length} of ${runs.length})`), make("div", { class: "ticks" }, boxes));
}

function table(params, filters, places) {
  const runs = filters.runs;
  const words = Object.keys(store.index.sets[filters.set].looks);
  const head = make("tr", {},
    make("th", { scope: "col" }, "Picture"), make("th", { scope: "col" }, "Question"),
    make("th", { scope: "col", title: "Share of the runs whose outcome is not the commonest one" }, "Disagree"),
    runs.map((run) => outcomeHead(run, words, filters.outcomes[run])));
  const rows = places.map((place) => row(params, place, runs));
  return make("div", { class: "wide samples", tabindex: "0", role: "region", "aria-label": "Questions and outcomes" },
    make("table", {}, make("thead", {}, head), make("tbody", {}, rows)));
}

function outcomeHead(run, words, wanted) {
  const { label } = store.index.runs[run];
  const options = [[ANY, "any"], ...words.map((word) => [word, word])];
  const chosen = (value) => change({ [`o${run}`]: value, page: "" });
  return make("th", { scope: "col" }, choice(label, `o${run}`, options, wanted.join(","), chosen));
}

function row(params, place, runs) {
  const item = itemAt(place);
  const to = addressOf("item", kept(params), item.id);
  const marks = runs.map((run) => {
    const outcome = outcomeOf(run, place);
    return make("td", {}, outcome ? badgeOf(outcome, item.set, { short: true }) : "");
  });
  return make("tr", { click: (event) => opened(event, to) },
    make("td", {}, pictureOf(item, 48)),
    make("th", { scope: "row" }, make("a", { href: to, class: "step" }, item.question),
      make("small", {}, item.category)),
    make("td", { class: "number" }, `${item.disagree} %`), marks);
}

function opened(event, to) {
  if (!event.target.closest("a") && !String(getSelection())) location.hash = to;
}

function pager(page, pages) {
  if (pages < 2) return "";
  const to = (number) => () => change({ page: String(number) });
  return make("nav", { class: "pager", "aria-label": "Pages" },
    make("button", { id: "before", type: "button", disabled: page === 1, click: to(page - 1) }, "Previous page"),
    `${page} of ${pages}`,
    make("button", { id: "after", type: "button", disabled: page === pages, click: to(page + 1) }, "Next page"));
}
