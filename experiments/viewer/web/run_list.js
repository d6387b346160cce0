// The games of a run: filters, and a list from which one is chosen.

import {at, make, number, student} from "viewer/dom";
import {controls, filtered} from "viewer/filters";
import {VirtualList} from "viewer/list";

const SCORES = {0: "0", 0.5: "½", 1: "1"};
const HEADS = [["game", "Game"], ["student", "Side"], ["score", "Score"], ["plies", "Plies"],
               ["lies", "Lies"], ["accepted", "Lies believed"], ["lost", "Win% lost"]];
const MEANINGS = {student: "the student's side", score: "the student's score", lies: "misaligned answers", accepted: "misaligned answers that were believed",
                  lost: "most Win% points that one move of the student lost"};

export class RunList {
  /** `go` is called with the parts of the address that a choice changes. */
  constructor(go) {
    this.go = go;
    this.columns = null;
    this.places = [];
    this.list = new VirtualList(at("list"), (row) => this.cells(row), (row) => {
      this.go({step: this.columns.step[row], game: this.columns.game[row], ply: null});
    });
    at("heads").append(...HEADS.map(([name, text]) => make("span", {class: name, title: MEANINGS[name]}, text)));
  }

  /** Show a run's games as the address asks. */
  show({columns, total}, place) {
    const same = this.columns === columns && JSON.stringify(this.asked) === JSON.stringify(asked(place));
    if (!same) {
      if (this.columns !== columns || !at("filters").contains(document.activeElement)) {
        at("filters").replaceChildren(...controls(columns, place, this.go));
      }
      this.columns = columns;
      this.asked = asked(place);
      this.places = filtered(columns, place);
      at("held").textContent = held(this.places.length, columns.game.length, total);
    }
    const chosen = this.places.findIndex((row) => columns.game[row] === place.game && columns.step[row] === place.step);
    if (!same) this.list.set(this.places, chosen);
    this.list.mark(chosen);
  }

  cells(row) {
    const {columns} = this;
    const value = {
      game: `${student(columns.step[row])} ${columns.game[row]}`,
      student: columns.game[row] % 2 ? "Black" : "White",
      score: SCORES[columns.score[row]] ?? "?",
      plies: columns.plies[row],
      lies: columns.lies[row],
      accepted: columns.accepted[row],
      lost: columns.lost[row] === null ? "–" : number(columns.lost[row], 0),
    };
    return HEADS.map(([name]) => make("span", {class: name}, String(value[name])));
  }
}

const asked = ({games, show, lost, sort}) => ({games, show, lost, sort});

const thousands = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

function held(shown, count, total) {
  const all = count < total
    ? `This file holds ${thousands(count)} of ${thousands(total)} games, those with lies, refusals and costly moves first; \`sandwich view\` shows all.`
    : `${thousands(total)} games.`;
  return shown < count ? `${all} ${thousands(shown)} fit the choice.` : all;
}
