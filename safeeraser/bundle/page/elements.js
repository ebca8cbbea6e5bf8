"use strict";
// Elements are made here. Every text becomes a text node: what a model says is never markup.

/** An element. Attributes of null are left out; functions are listeners; children are nodes or texts. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

function counted(number) {
  return number.toLocaleString("en");
}

/** What the judge says an answer is, by colour, sign and words; `short`: the outcome alone. */
function badgeOf(outcome, set, { short = false } = {}) {
  const look = store.index.sets[set].looks[outcome];
  return make("span", { class: `badge ${look.colour}` }, `${look.sign} ${short ? outcome : look.words}`);
}

/** An item's picture; its description names the category, never the scene. */
function pictureOf(item, side) {
  if (item.words) return make("p", { class: "soft" }, "Asked in words alone: the model sees no picture.");
  const harmful = store.index.sets[item.set].harmful;
  const hidden = harmful && store.index.hides;
  const alt = `${harmful ? "harmful" : "safe"} picture, ${item.category}${hidden ? ", hidden" : ""}`;
  if (!item.picture) return make("span", { class: "soft" }, "no picture");
  return make("img", { src: item.picture, alt, width: side, height: side, loading: "lazy" });
}

const FOLDED = "Harmful text, folded away: it is not in this folder.";

/** A text as it is, with the refusal marked where that is wrong. */
function textOf(text, mark = null) {
  if (text === null) return make("p", { class: "soft" }, FOLDED);
  if (text === "") return make("p", { class: "soft" }, "(empty)");
  if (!mark) return make("p", { class: "answer" }, text);
  const signs = Array.from(text); // Python counts characters, not UTF-16 units
  const [start, end] = mark;
  const cut = (from, to) => signs.slice(from, to).join("");
  return make("p", { class: "answer" }, cut(0, start), make("mark", {}, cut(start, end)), cut(end));
}

/** An answer with its verdict and the judge's reason; null for a run that was not asked. */
function answerOf(said, outcome, set) {
  if (!said) return [make("p", { class: "soft" }, "not asked")];
  const reason = said.reply ? make("p", { class: "soft reason" }, `Judge: ${said.reply}`) : null;
  return [badgeOf(outcome, set), textOf(said.text, said.mark), reason].filter(Boolean);
}

/** A field with its name: `select` with [value, words] pairs. */
function choice(name, id, options, value, chosen) {
  const known = options.some(([one]) => one === value);
  const all = known ? options : [...options, [value, value.split(",").join(" or ")]];
  const list = all.map(([one, words]) => make("option", { value: one, selected: one === value }, words));
  const select = make("select", { id, change: (event) => chosen(event.target.value) }, list);
  return make("div", { class: "field" }, make("label", { for: id }, name), select);
}
