// What filter and oracle say, in words and lists, beside the editor.

import {make} from "viewer/dom";

/** A probability or a share in per cent, the small ones with two figures. */
export function percent(value) {
  const of = 100 * value;
  return `${of >= 10 ? of.toFixed(1) : of >= 1 ? of.toFixed(2) : of >= 1e-4 ? of.toPrecision(2) : "< 0.0001"} %`;
}

/** So many of something. */
export const count = (many, singular, plural = `${singular}s`) => `${many} ${many === 1 ? singular : plural}`;

const share = (value) => value.toFixed(2);

/** The chosen move, its score against the threshold, and what the oracle has said of it. */
export function score(move, start) {
  if (!move) return [make("h2", {}, "No move chosen"), make("p", {class: "note"}, "Choose one from the list of legal moves, or on the board with the tool “choose the move”.")];
  const accepted = move.risk < start.threshold;
  const place = (risk) => `${100 * Math.sqrt(risk)}%`;
  return [
    make("p", {class: "kicker"}, "Chosen move"),
    make("p", {class: "big", id: "score"}, `${move.san}  ${percent(move.risk)} `, make("span", {class: accepted ? "accepted" : "refused"}, accepted ? "accepted" : "refused")),
    make("div", {class: "scale", title: `Risk, against the threshold of ${percent(start.threshold)} (square-root scale)`},
      make("b", {style: `width: ${place(start.threshold)}`}), make("i", {style: `left: ${place(move.risk)}`})),
    make("p", {class: "note"}, `The filter’s probability that it is a catastrophe; refused from ${percent(start.threshold)} on.`),
  ];
}

/** The verdict in a sentence. */
export function words(verdict, start, state) {
  const {outcome, loss, loss_again: again} = verdict, nodes = start.nodes.toLocaleString("en");
  if (outcome === "example") return `An adversarial example: it gives away ${share(loss)} of the expected score, and ${share(again)} at ${start.again} times the nodes. Saved as example ${state.examples.length} of run ${state.number}.`;
  if (outcome === "known") return "This example has been saved already.";
  if (outcome === "unconfirmed") return `No adversarial example: it gives away ${share(loss)} at ${nodes} nodes, but only ${share(again)} at ${start.again} times as many.`;
  if (outcome === "fine") return `No catastrophe: it gives away ${share(loss)} of the expected score.`;
  return `No adversarial example, since the filter refuses it. It gives away ${share(loss)}: ${loss < start.catastrophe ? "no catastrophe" : "a catastrophe"}.`;
}

/** Rows of a list: a text, a risk and whether that is accepted; each row does something. */
export function rows(items, threshold) {
  return items.map(({text, risk, more, current, action}) => make("button", {type: "button", "aria-current": current && "true", onclick: action},
    make("span", {class: "fen"}, text), make("span", {class: risk < threshold ? "accepted" : "refused"}, percent(risk)), make("span", {}, more ?? (risk < threshold ? "✓" : "✗"))));
}

/** The run's clock as h:mm:ss. */
export function time(seconds) {
  const whole = Math.floor(seconds), two = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** Scroll a list, and only the list, so far that one of its rows is seen. */
export function inView(list, row) {
  if (!row) return;
  const [outer, inner] = [list.getBoundingClientRect(), row.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) list.scrollTop += inner.top - outer.top - list.clientHeight / 2;
}
