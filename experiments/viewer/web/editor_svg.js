// The editor's board where chessground could not be had: a picture by python-chess with 64 buttons over it.

import {make} from "viewer/dom";
import {moved, SQUARES} from "viewer/position";

const GLYPHS = {p: "♟", n: "♞", b: "♝", r: "♜", q: "♛", k: "♚"};

/** A board in this element, as in editor_chessground.js; pieces move by two clicks. */
export function editor(element, heard) {
  const image = make("img", {class: "picture", alt: "Board"}), grid = make("div", {class: "grid"});
  element.replaceChildren(image, grid);
  let shown = null, held = null;

  function pressed(square) {
    if (shown.tool !== "hand" && shown.tool !== "move") return heard.pressed(square);
    const from = held;
    held = from === null ? square : null;
    draw(shown);
    if (from === null || from === square) return;
    if (shown.tool === "move") heard.chosen(from, square);
    else heard.placed(moved(shown.fen, from, square).split(" ")[0]);
  }

  function draw(next) {
    if (shown && next.tool !== shown.tool) held = null;
    shown = next;
    const asked = new URLSearchParams({fen: shown.fen});
    if (shown.flipped) asked.set("flip", "");
    if (shown.move) asked.append("arrow", `own:${shown.move.slice(0, 4)}`);
    image.src = `/board.svg?${asked}`;
    grid.replaceChildren(...(shown.flipped ? [...SQUARES].reverse() : SQUARES).map((square) => {
      const heat = shown.heat.get(square);
      const looks = [heat && `heat-${heat}`, square === held && "held", square === shown.asked && "asked"].filter(Boolean).join(" ");
      return make("button", {type: "button", class: looks, "aria-label": square, onclick: () => pressed(square)});
    }));
  }
  return {draw, drag: () => {}};
}

/** The face of a piece on a button. */
export const face = (letter) => GLYPHS[letter.toLowerCase()];
