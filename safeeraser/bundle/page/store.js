"use strict";
// What the data files hand over: the index, and the answers of a chunk of items once one of them is shown.

const store = { index: null, chunks: new Map(), waiting: new Map() };

/** Called by each data file: `index`, or the number of a chunk. */
function receive(name, content) {
  if (name === "index") {
    store.index = content;
    return;
  }
  store.chunks.set(Number(name), content);
}

/** An item by its place, with what the index has of it. */
function itemAt(place) {
  const columns = store.index.items;
  const found = { place };
  for (const name of Object.keys(columns)) found[name] = columns[name][place];
  return found;
}

/** The place of an item, -1 for an id that is not here. */
function placeOf(id) {
  return store.index.items.id.indexOf(id);
}

/** What a run makes of an item: a word, null where it was not asked. */
function outcomeOf(run, place) {
  const code = store.index.codes[run][place];
  return code < 0 ? null : store.index.outcomes[code];
}

/** The chunk of an item, read once; a file that is not there is an error with its name. */
function chunkOf(place) {
  const number = Math.floor(place / store.index.chunk);
  if (!store.waiting.has(number)) store.waiting.set(number, loaded(number));
  return store.waiting.get(number);
}

function loaded(number) {
  const file = `data/answers-${String(number).padStart(3, "0")}.js`;
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = file;
    script.onload = () => resolve(store.chunks.get(number));
    script.onerror = () => {
      store.waiting.delete(number);
      reject(new Error(`${file} is missing: copy the whole folder`));
    };
    document.head.append(script);
  });
}

/** An item's texts: what the data set stores and what each run says; a text of null is folded away. */
async function textsOf(place) {
  const chunk = await chunkOf(place);
  const [stored, said] = chunk[place % store.index.chunk];
  const answers = said.map((one) => one && { text: one[0], reply: one[1], mark: one[2] ?? null });
  return { stored, answers };
}
