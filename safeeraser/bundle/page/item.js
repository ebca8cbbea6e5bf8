"use strict";
// Compare: one question, its picture and what every run answers; j and k walk through the questions that pass the filters.

async function drawItem(live, params, id) {
  const filters = filtersOf(params);
  const places = await passing(filters);
  const asked = placeOf(id);
  const place = asked >= 0 || id ? asked : places[0] ?? -1;
  if (place < 0) {
    const why = id ? `There is no question ${id} in this bundle.` : "No question passes these filters.";
    live.replaceChildren(make("p", {}, why, " ", make("a", { href: "#/samples" }, "All questions")));
    return;
  }
  const item = itemAt(place);
  const { stored, answers } = await textsOf(place);
  live.replaceChildren(
    steps(params, places, place),
    make("div", { class: "compare" },
      make("div", { class: "asked" }, pictureOf(item, 224), about(item), storedAnswer(stored)),
      make("div", {},
        make("h2", { class: "question" }, `“${item.question}”`),
        make("div", { class: "cards" }, filters.runs.map((run) => card(run, answers[run], item))))),
    make("div", { class: "controls" }, runChoice(filters.runs), otherSide(params, item)),
  );
}

/** Where the question stands among those that pass, and the ones before and after it. */
function steps(params, places, place) {
  const at = places.indexOf(place);
  const to = (next) => (places[next] === undefined ? null : addressOf("item", kept(params), store.index.items.id[places[next]]));
  const step = (words, id, next) => {
    const href = at < 0 ? null : to(next);
    return href ? make("a", { id, class: "button", href }, words) : make("span", { class: "button off" }, words);
  };
  const where = at < 0 ? "not among the filtered questions" : `${counted(at + 1)} of ${counted(places.length)}`;
  const back = changed(kept(params), { page: at < ROWS ? "" : String(Math.floor(at / ROWS) + 1) });
  return make("p", { class: "steps" }, step("Previous (k)", "previous", at - 1), step("Next (j)", "next", at + 1),
    make("b", {}, where), make("a", { href: addressOf("samples", back) }, "Back to Samples"));
}

function about(item) {
  return make("p", { class: "soft" }, `${store.index.sets[item.set].long} · ${item.category} · ${item.split}`,
    make("br"), make("small", {}, item.id));
}

function storedAnswer(stored) {
  if (stored === "") return make("p", { class: "soft" }, "The data set stores no answer.");
  return make("details", {}, make("summary", {}, "The stored answer"), textOf(stored));
}

function card(run, said, item) {
  return make("article", { class: "card" }, make("h3", {}, store.index.runs[run].label),
    answerOf(said, outcomeOf(run, item.place), item.set));
}

const SIDES = { forget: "decouple", decouple: "forget" };

/** The same question about the other picture of the record. */
function otherSide(params, item) {
  const parts = item.id.split("/");
  const set = SIDES[item.set];
  if (!set) return null;
  parts[parts.length - 2] = set;
  const id = parts.join("/");
  if (placeOf(id) < 0) return null;
  const words = `The same question about the ${set === "forget" ? "harmful" : "safe"} picture`;
  return make("a", { href: addressOf("item", { set, split: item.split, runs: params.get("runs") || "" }, id) }, words);
}
