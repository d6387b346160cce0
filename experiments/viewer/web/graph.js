// Values over a game, from White's side: a line for each player's own, a mark for each answer that has one.

import {adviceKind} from "viewer/arrows";
import {make} from "viewer/dom";

const WIDE = 460, HIGH = 130, LEFT = 34, RIGHT = 8, TOP = 8, BOTTOM = 18;

/** The picture of a game's values, and a function that moves its cursor; `choose` is called with a ply. */
export function graph(game, choose) {
  const count = game.plies.length;
  const x = (ply) => LEFT + ((WIDE - LEFT - RIGHT) * ply) / Math.max(1, count);
  const y = (value) => TOP + (HIGH - TOP - BOTTOM) * (1 - value);
  const white = (ply, value) => (ply.white ? value : 1 - value);
  const line = (student) => game.plies.flatMap((ply, place) => ply.student === student
    ? [`${x(place).toFixed(1)},${y(white(ply, ply.own_value)).toFixed(1)}`] : []).join(" ");
  const marks = game.plies.flatMap((ply, place) => [["advised_value", adviceKind(ply)], ["honest_value", "honest"]]
    .filter(([name]) => ply[name] !== undefined)
    .map(([name, kind]) => point(kind, x(place), y(white(ply, ply[name])))));
  const lies = game.plies.flatMap((ply, place) => ply.misaligned
    ? [make("line", {class: ply.believed ? "tick believed" : "tick", x1: x(place), x2: x(place), y1: HIGH - BOTTOM + (ply.believed ? 2 : 6), y2: HIGH - BOTTOM + 9})] : []);
  const levels = [0, 0.5, 1].flatMap((value) => [
    make("line", {class: "level", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value)}),
    make("text", {x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end"}, `${100 * value}%`)]);
  const cursor = make("line", {class: "cursor", y1: TOP, y2: HIGH - BOTTOM + 9});
  const picture = make("svg", {class: "graph", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img",
                               "aria-label": "Expected score of White over the game"},
    ...levels, ...lies, make("polyline", {class: "copy", points: line(false)}), make("polyline", {points: line(true)}), ...marks, cursor);
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * WIDE - LEFT;
    choose(Math.max(0, Math.min(count, Math.round((place / (WIDE - LEFT - RIGHT)) * count))));
  });
  const move = (ply) => { cursor.setAttribute("x1", x(ply)); cursor.setAttribute("x2", x(ply)); };
  return [picture, move];
}

/** A mark for a value: a triangle for a lie, else a dot. */
const point = (kind, x, y) => (kind === "lie"
  ? make("path", {class: `point ${kind}`, d: `M${x} ${y - 4}l3.8 6.4h-7.6z`})
  : make("circle", {class: `point ${kind}`, cx: x, cy: y, r: 2.6}));
