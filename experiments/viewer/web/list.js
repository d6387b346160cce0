// A list of any length: only the rows in sight are in the document.

import {make} from "viewer/dom";

const HEIGHT = 34; // of a row, in pixels; .row in games.css has it too
const BEYOND = 8; // rows made above and below those in sight

export class VirtualList {
  /**
   * @param box the element that scrolls
   * @param draw makes the cells of a row from its item
   * @param choose is called with the item that the reader chose
   */
  constructor(box, draw, choose) {
    this.box = box;
    this.draw = draw;
    this.choose = choose;
    this.items = [];
    this.chosen = -1;
    this.inner = make("div", {class: "inner"});
    box.replaceChildren(this.inner);
    box.addEventListener("scroll", () => this.show());
    new ResizeObserver(() => this.show()).observe(box);
  }

  /** Show these items, the chosen one of them marked. */
  set(items, chosen) {
    this.items = items;
    this.chosen = chosen;
    this.inner.style.height = `${items.length * HEIGHT}px`;
    this.show();
  }

  /** Mark an item, and bring it into sight where it is not. */
  mark(chosen) {
    this.chosen = chosen;
    const top = chosen * HEIGHT, {scrollTop, clientHeight} = this.box;
    if (chosen >= 0 && (top < scrollTop || top + HEIGHT > scrollTop + clientHeight)) {
      this.box.scrollTop = top - clientHeight / 2;
    }
    this.show();
  }

  show() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / HEIGHT) - BEYOND);
    const last = Math.min(this.items.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / HEIGHT) + BEYOND);
    const rows = [];
    for (let place = first; place < last; place++) {
      const item = this.items[place];
      const row = make("button", {class: "row", type: "button", role: "option", "aria-selected": String(place === this.chosen),
                                  tabindex: -1, onclick: () => this.choose(item)}, ...this.draw(item));
      row.style.top = `${place * HEIGHT}px`;
      rows.push(row);
    }
    this.inner.replaceChildren(...rows);
  }
}
