"use strict";
// Which items pass, and in which order; all of it stands in the address.

const ANY = "";

/** The filters of an address, with what holds where it says nothing. */
function filtersOf(params) {
  const { sets, split, items } = store.index;
  const wanted = items.split.includes(params.get("split")) ? params.get("split") : split;
  const here = Object.keys(sets).filter((set) => items.set.some((one, at) => one === set && items.split[at] === wanted));
  return {
    split: wanted,
    sets: here,
    set: here.includes(params.get("set")) ? params.get("set") : here[0],
    category: params.get("category") || ANY,
    seen: params.get("seen") || ANY,
    words: (params.get("q") || "").trim().toLowerCase(),
    answers: params.get("in") === "answers",
    order: params.get("sort") || "disagreement",
    outcomes: store.index.runs.map((_, run) => (params.get(`o${run}`) || "").split(",").filter(Boolean)),
    runs: chosenRuns(params),
  };
}

/** The runs that are shown, by their places; all where none is chosen. */
function chosenRuns(params) {
  const all = store.index.runs.map((_, run) => run);
  const asked = (params.get("runs") || "").split(",").filter(Boolean).map(Number);
  const chosen = all.filter((run) => asked.includes(run));
  return chosen.length ? chosen : all;
}

/** The places of the items that pass, in the chosen order. */
async function passing(filters) {
  const { items } = store.index;
  let places = items.id.map((_, place) => place).filter((place) => passes(place, filters));
  if (filters.words) places = await matching(places, filters);
  if (filters.order === "disagreement") places.sort((a, b) => items.disagree[b] - items.disagree[a] || a - b);
  return places;
}

function passes(place, filters) {
  const { items } = store.index;
  if (items.split[place] !== filters.split || items.set[place] !== filters.set) return false;
  if (filters.category && items.category[place] !== filters.category) return false;
  if (filters.seen && items.seen[place] !== (filters.seen === "seen")) return false;
  return filters.outcomes.every((wanted, run) => !wanted.length || wanted.includes(outcomeOf(run, place)));
}

/** Those whose question, or an answer where that is asked for, holds the words. */
async function matching(places, { words, answers, runs }) {
  const holds = (text) => text !== null && text.toLowerCase().includes(words);
  const asked = (place) => holds(store.index.items.question[place]);
  if (!answers) return places.filter(asked);
  const found = [];
  for (const place of places) {
    const said = (await textsOf(place)).answers;
    if (asked(place) || runs.some((run) => said[run] && holds(said[run].text))) found.push(place);
  }
  return found;
}

/** The parameters that filter, which go along from Samples to Compare and back. */
function kept(params) {
  const made = new URLSearchParams(params);
  for (const name of ["page", "case", "from"]) made.delete(name);
  return made;
}
