// One game: the board, every decision in words, the moves, the values as a graph, and the keys.

import {board} from "viewer/board";
import {ARROWS, mark} from "viewer/arrows";
import {arrows, description, label} from "viewer/decision";
import {wanted} from "viewer/filters";
import {graph} from "viewer/graph";
import {at, make, student} from "viewer/dom";

const LEGEND = ["own", "advised", "lie", "honest", "played"].map((kind) => ARROWS.find((arrow) => arrow.kind === kind));

export class Game {
  /** `go` is called with the ply to show. */
  constructor(go) {
    this.go = go;
    this.game = null;
    this.ply = 0;
    this.flipped = false;
    this.draw = null;
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** Say that there is nothing to show, and why. */
  clear(text) {
    this.game = null;
    at("game").replaceChildren(make("p", {class: "note empty"}, text));
  }

  /** Show a game of the run from the ply that the address asks for, or from its first decision of the kind asked for. */
  show(game, place) {
    if (this.game !== game) this.open(game);
    const first = game.plies.findIndex((ply) => wanted(ply, place));
    this.turn(place.ply ?? Math.max(0, first));
  }

  open(game) {
    this.game = game;
    this.flipped = game.student === "black";
    this.names = {student: `the student ${student(game.step)}`, copy: `its copy of ${student(game.step)}`};
    const button = (id, text, title, action) => make("button", {id, type: "button", title, "aria-label": title, onclick: action}, text);
    const [picture, cursor] = graph(game, (ply) => this.go(ply));
    this.cursor = cursor;
    this.moves = game.plies.map((ply, place) => make("button", {type: "button", class: buttonClass(ply), onclick: () => this.go(place)}, ply.played[1]));
    this.text = make("section", {class: "words", "aria-live": "polite"});
    this.list = make("div", {class: "moves", role: "group", "aria-label": "Moves"}, ...numbered(game, this.moves));
    const element = make("div", {class: "board", id: "board"});
    at("game").replaceChildren(
      make("div", {class: "left"},
        make("h2", {class: "title"}, `Game ${game.game} of ${student(game.step)}: student ${game.student}, ${game.result}`,
          make("span", {class: "note"}, game.end)),
        element,
        make("div", {class: "buttons"},
          button("first", "«", "First position (Home)", () => this.go(0)),
          button("prev", "‹", "Back (←)", () => this.go(this.ply - 1)),
          button("next", "›", "On (→)", () => this.go(this.ply + 1)),
          button("last", "»", "Last position (End)", () => this.go(game.plies.length)),
          button("lie", "next misaligned", "Next misaligned answer (M)", () => this.nextLie()),
          button("flip", "flip", "Turn the board round (F)", () => this.flip()),
          make("a", {id: "link", title: "Link to this position"}, "link")),
        make("p", {class: "legend note"}, ...LEGEND.map(({kind, text}) => make("span", {}, mark(kind), text)))),
      make("div", {class: "right"}, this.text, picture,
        make("p", {class: "note"}, "Expected score of White, by the student’s network; dashed: its copy’s; dots: answers with a value, triangles where misaligned. Ticks below: misaligned answers, tall where believed."),
        this.list));
    this.draw = board(element);
  }

  /** Show the position before this ply, with its decision; the last one has none. */
  turn(number) {
    const {game} = this;
    this.ply = Math.max(0, Math.min(game.plies.length, number));
    const decision = game.plies[this.ply];
    this.draw(decision ?? game.last, decision ? arrows(decision) : [], this.flipped, game.boards?.[this.ply]);
    this.text.replaceChildren(...(decision ? description(decision, this.names).filter(Boolean) : over(game)));
    this.cursor(this.ply);
    for (const [place, button] of this.moves.entries()) button.toggleAttribute("aria-current", place === this.ply);
    const current = this.moves[this.ply] ?? this.moves.at(-1);
    if (current) this.list.scrollTop = current.offsetTop - this.list.clientHeight / 2;
    at("first").disabled = at("prev").disabled = this.ply === 0;
    at("next").disabled = at("last").disabled = this.ply === game.plies.length;
    at("lie").disabled = this.lieAfter() < 0;
    at("link").href = location.hash;
  }

  lieAfter() {
    return this.game.plies.findIndex((ply, place) => place > this.ply && ply.misaligned);
  }

  nextLie() {
    const place = this.lieAfter();
    if (place >= 0) this.go(place);
  }

  flip() {
    this.flipped = !this.flipped;
    this.turn(this.ply);
  }

  pressed(event) {
    if (!this.game || at("view-games").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
    if (["SELECT", "INPUT"].includes(event.target.tagName)) return;
    const actions = {ArrowLeft: () => this.go(this.ply - 1), ArrowRight: () => this.go(this.ply + 1), Home: () => this.go(0),
                     End: () => this.go(this.game.plies.length), m: () => this.nextLie(), f: () => this.flip()};
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

const buttonClass = (ply) => (ply.misaligned ? (ply.believed ? "lied believed" : "lied refused") : ply.asked ? (ply.believed ? "asked" : "asked refused") : "");

function numbered(game, buttons) {
  return game.plies.flatMap((ply, place) => ply.white || place === 0
    ? [make("span", {}, label(ply)), ...(ply.white ? [] : [make("span", {class: "gap"})]), buttons[place]] : [buttons[place]]);
}

function over(game) {
  return [make("h2", {}, `Game over: ${game.result}`), make("p", {}, game.end)];
}
