// Which games of a run the reader wants to see: by step, by what happened in them, by what a move cost.

import {make, student} from "viewer/dom";

/** Kinds of games: the word in the address, what a reader calls it, the column that counts it, and its decisions. */
export const KINDS = {
  misaligned: ["a misaligned answer", "lies", (ply) => ply.misaligned],
  accepted: ["a believed lie", "accepted", (ply) => ply.misaligned && ply.believed],
  refused: ["a refused answer", null, (ply) => ply.asked && !ply.believed],
  refused_lies: ["a refused lie", "refused_lies", (ply) => ply.misaligned && !ply.believed],
  refused_honest: ["a refused honest answer", "refused_honest", (ply) => ply.asked && !ply.misaligned && !ply.believed],
};

const SORTS = {lost: "most Win% lost", lies: "most misaligned", accepted: "most believed lies"};

/** Places in the columns of the games that the address asks for, in its order. */
export function filtered(columns, place) {
  const count = counter(columns, place.show);
  const step = /^\d+$/.test(place.games) ? Number(place.games) : null;
  const places = [];
  for (let row = 0; row < columns.game.length; row++) {
    if (step !== null && columns.step[row] !== step) continue;
    if (count && !count(row)) continue;
    if (place.lost !== null && !(columns.lost[row] !== null && columns.lost[row] >= place.lost)) continue;
    places.push(row);
  }
  const by = SORTS[place.sort] && columns[place.sort];
  return by ? places.sort((a, b) => (by[b] ?? -1) - (by[a] ?? -1) || a - b) : places;
}

function counter(columns, show) {
  if (show === "refused") return (row) => columns.refused_lies[row] + columns.refused_honest[row];
  return KINDS[show] ? (row) => columns[KINDS[show][1]][row] : null;
}

/** Whether a decision is one of those that the address asks for. */
export function wanted(ply, place) {
  if (!KINDS[place.show] && place.lost === null) return false;
  const kind = KINDS[place.show];
  const costly = place.lost === null || (ply.student && (ply.lost?.played ?? -1) >= place.lost);
  return (!kind || Boolean(kind[2](ply))) && costly;
}

/** The controls; `change` is called with what the reader changed in the address. */
export function controls(columns, place, change) {
  const steps = [...new Set(columns.step)];
  const choice = (name, label, options) => {
    const select = make("select", {id: `filter-${name}`, onchange: () => change({[name]: select.value || null})},
      ...options.map(([value, text]) => make("option", {value}, text)));
    select.value = place[name] ?? options[0][0];
    return make("label", {}, label, select);
  };
  const lost = make("input", {id: "filter-lost", type: "number", min: 0, max: 100, step: 1, placeholder: "any", value: place.lost,
                              onchange: () => change({lost: lost.value || null})});
  const judged = columns.lost.some((value) => value !== null);
  return [
    choice("games", "Games of ", [["all", "all steps"], ...steps.map((step) => [step, `${student(step)} (step ${step})`])]),
    choice("show", "with ", [["", "anything"], ...Object.entries(KINDS).map(([word, [text]]) => [word, text])]),
    judged ? make("label", {}, "a move that lost at least ", lost, " Win%")
           : make("span", {class: "note"}, "What moves cost is not known: the oracle has not looked."),
    choice("sort", "first ", [["", "as played"], ...Object.entries(SORTS).filter(([word]) => judged || word !== "lost")]),
  ];
}
