"use strict";
// The address says all that a view shows: `#/samples?set=decouple`, `#/item/<id>?...`.

/** The view's name, what stands below it, and its parameters. */
function readAddress() {
  const [, view, rest, query] = /^#?\/?([^/?]*)\/?([^?]*)\??(.*)$/s.exec(location.hash);
  return { view: view || "home", rest: decoded(rest), params: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view; parameters that are empty are left out. */
function addressOf(view, params, rest = "") {
  const kept = new URLSearchParams([...new URLSearchParams(params)].filter(([, value]) => value !== ""));
  const below = rest ? `/${encodeURIComponent(rest).replaceAll("%2F", "/")}` : "";
  const query = kept.toString();
  return `#/${view}${below}${query ? `?${query}` : ""}`;
}

/** Parameters with some of them changed. */
function changed(params, changes) {
  const made = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) made.set(name, value);
  return made;
}

/** Change parameters of the view that is open; without a step of its own for "Back" where `quietly`. */
function change(changes, { quietly = false } = {}) {
  const { view, rest, params } = readAddress();
  const address = addressOf(view, changed(params, changes), rest);
  if (quietly) location.replace(address);
  else location.hash = address;
}
