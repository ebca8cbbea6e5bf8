"use strict";
// Opens the view that the address names, draws it anew when the address changes, and listens to the keys.

const VIEWS = { home: drawHome, metrics: drawMetrics, samples: drawSamples, item: drawItem, cases: drawCases, origin: () => {} };
const TITLE = document.title;
let last = null;
let drawing = 0;

async function show() {
  const { view, rest, params } = readAddress();
  const name = view in VIEWS ? view : "home";
  const turn = ++drawing;
  const section = document.getElementById(name);
  const live = section.querySelector(".live");
  const made = document.createElement("div");
  try {
    await VIEWS[name](made, params, rest);
  } catch (error) {
    made.replaceChildren(make("p", { class: "warning", role: "alert" }, error.message));
  }
  if (turn !== drawing) return; // another address came meanwhile
  const held = heldFocus();
  if (live) live.replaceChildren(...made.childNodes);
  turnTo(name, section);
  if (last === name) held();
  else if (last !== null) section.querySelector("h1").focus({ preventScroll: true });
  if (last !== name) scrollTo(0, 0);
  last = name;
  document.body.dataset.ready = location.hash || "#";
}

function turnTo(name, section) {
  for (const other of document.querySelectorAll("main > section")) other.hidden = other !== section;
  for (const link of document.querySelectorAll("header nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${section.querySelector("h1").textContent} – ${TITLE}`;
}

/** What gives the focus back to the field that has it, once that is drawn anew. */
function heldFocus() {
  const { id, selectionStart, value } = document.activeElement ?? {};
  return () => {
    const again = id ? document.getElementById(id) : null;
    again?.focus({ preventScroll: true });
    if (again?.type !== "search") return;
    again.value = value; // what was typed meanwhile
    again.setSelectionRange(selectionStart, selectionStart);
  };
}

/** j and k: the next and the previous question, or line of the table. */
function pressed(event) {
  const typed = event.target.closest("input, select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || (typed && typed.type !== "checkbox")) return;
  const by = { j: 1, k: -1 }[event.key];
  if (!by) return;
  const { view } = readAddress();
  if (view === "item") document.getElementById(by > 0 ? "next" : "previous")?.click();
  else if (view === "samples") stepped(by);
  else if (view === "cases") document.getElementById(by > 0 ? "after" : "before")?.click();
  else if (view === "home" && by > 0) document.getElementById("another")?.click();
}

function stepped(by) {
  const lines = [...document.querySelectorAll("#samples a.step")];
  const at = lines.indexOf(document.activeElement);
  lines[Math.min(Math.max(0, at + by), lines.length - 1)]?.focus();
}

addEventListener("hashchange", show);
addEventListener("keydown", pressed);
show();
