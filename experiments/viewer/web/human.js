// The page of a person who attacks a filter: what is on the board, what has been asked about it, and the answers.

import {editor, face} from "viewer/editor";
import {at, make} from "viewer/dom";
import {count, inView, percent, rows, score, time, words} from "viewer/human_panels";
import {CASTLING, EMPTY, INITIAL, complete, edited, put} from "viewer/position";

const start = JSON.parse(at("start").textContent);
const TOOLS = [["hand", "move pieces", "Drag pieces; off the board they are gone"], ["move", "choose the move", "Drag or click the start and the end square of the move"],
               ["edits", "substitutions", "Click a square for every single edit there, by what the filter says of the move then"], ["remove", "remove", "Click a piece to remove it"]];
const NO_BOARD = "Pieces move by two clicks.";

let fen = INITIAL, uci = null; // the position on the board, and the move chosen in it (or in the one before)
let look = null, refused = ""; // what the filter says of the position, or why it says nothing
let tool = "hand", flipped = false, showHeat = false;
let square = null, options = [], heat = new Map(), verdict = null;
const past = [], future = [];
let state = null, stateAt = 0;

const board = editor(at("board"), {
  placed: (placement) => change(edited(fen, {board: placement})),
  pressed: (where) => (tool === "edits" ? substitutions(where) : change(put(fen, where, tool === "remove" ? null : tool))),
  chosen: (from, to) => choose(look?.moves.map((move) => move.uci).find((move) => move === from + to || move === `${from}${to}q`) ?? uci),
});

// What is asked: one after the other, and nothing about a position that is gone.

let queue = Promise.resolve();

function ask(what, parameters, answered, wanted = () => true) {
  queue = queue.then(async () => {
    if (!wanted()) return;
    const reply = await fetch(`/api/${what}`, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(parameters)});
    if (!reply.ok) throw new Error((await reply.text()).trim());
    const {answer = null, wrong, state: next} = await reply.json();
    follow(next);
    if (wanted()) answered(answer, wrong);
  }).catch((error) => {
    if (verdict?.waiting) verdict = null;
    warn(error.message);
  }).then(draw);
}

function warn(text) {
  at("notice").textContent = [text, ...(start.board ? [] : [start.hint, NO_BOARD])].filter(Boolean).join(" ");
  at("notice").hidden = !at("notice").textContent;
}

function follow(next) {
  state = next;
  stateAt = performance.now();
}

const chosen = () => look?.moves.find((move) => move.uci === uci);

/** Another position (undo: which way it is gone through the past), and perhaps another move. */
function change(next, {move = uci, back = null} = {}) {
  if (next === fen && move === uci) return draw();
  if (next !== fen) {
    const [from, to] = back === "redo" ? [future, past] : [past, future];
    if (back) to.push([fen, uci]);
    else { past.push([fen, uci]); future.length = 0; }
    if (back) from.pop();
  }
  [fen, uci, square, options, heat, verdict, refused] = [next, move, null, [], new Map(), null, ""];
  warn("");
  refresh();
}

function turnBack(back) {
  const from = back === "redo" ? future : past;
  if (from.length) change(from.at(-1)[0], {move: from.at(-1)[1], back});
}

function choose(move) {
  if (move === uci) return draw();
  [uci, square, options, heat, verdict] = [move, null, [], new Map(), null];
  warn("");
  remember();
  salient();
  draw();
}

function remember() {
  history.replaceState(null, "", `#${new URLSearchParams({fen, ...(uci && {move: uci})})}`);
}

/** Have the filter look at the position. */
function refresh() {
  const asked = fen;
  remember();
  draw();
  ask("look", {fen}, (answer, why) => {
    [look, refused] = [answer, why];
    if (answer) fen = answer.fen;
    salient();
  }, () => fen === asked);
}

function salient() {
  if (!showHeat || !chosen()) return;
  const [asked, move] = [fen, uci];
  ask("saliency", {fen, uci}, (weights) => {
    heat = new Map((weights ?? []).map((weight, place) => ["abcdefgh"[place % 8] + (1 + Math.floor(place / 8)), Math.round(10 * weight)]).filter(([, level]) => level));
  }, () => fen === asked && uci === move);
}

function heated(wanted) {
  [showHeat, heat] = [wanted, new Map()];
  salient();
  draw();
}

function substitutions(where) {
  if (!chosen()) return warn("Choose a move first: substitutions are ordered by what the filter says of it.");
  const [asked, move] = [fen, uci];
  ask("substitutions", {fen, uci, square: where}, (answer, why) => {
    [square, options] = [where, answer ?? []];
    warn(why);
  }, () => fen === asked && uci === move);
}

function judge() {
  const [asked, move] = [fen, uci];
  verdict = {waiting: true};
  draw();
  ask("verdict", {fen, uci}, (answer, why) => {
    verdict = answer;
    warn(why);
  }, () => fen === asked && uci === move);
}

// What is shown.

function draw() {
  const here = look?.fen === fen, dests = new Map();
  for (const {uci: move} of here ? look.moves : []) dests.set(move.slice(0, 2), [...(dests.get(move.slice(0, 2)) ?? []), move.slice(2, 4)]);
  board.draw({fen, tool, flipped, heat, asked: square, move: here && chosen() ? uci : null, dests});
  const fields = fen.split(" ");
  if (document.activeElement !== at("fen")) at("fen").value = fen;
  if (document.activeElement !== at("clock")) at("clock").value = fields[4];
  at("turn").value = fields[1];
  for (const box of at("castling").querySelectorAll("input")) box.checked = fields[2].includes(box.value);
  at("undo").disabled = !past.length;
  at("redo").disabled = !future.length;
  for (const button of at("tools").querySelectorAll("button")) button.setAttribute("aria-checked", button.value === tool);
  if (here || refused) drawAnswers();
  else if (at("ask")) at("ask").disabled = true; // what stands there is about the position before, for a moment
  drawRun();
}

function drawAnswers() {
  const move = chosen(), moves = look?.moves ?? [], {threshold} = start;
  const heatBox = make("input", {id: "heat", type: "checkbox", checked: showHeat, onchange: (event) => heated(event.target.checked)});
  at("chosen").replaceChildren(...(refused ? [make("h2", {}, "Nothing to ask about"), make("p", {class: "note", id: "illegal"}, refused)] : score(move, start)),
    make("div", {class: "row-of"},
      make("button", {id: "ask", type: "button", disabled: !move || Boolean(verdict?.waiting), onclick: judge}, "Ask the oracle"),
      make("label", {}, heatBox, " saliency (2 queries)")),
    make("p", {class: `verdict ${verdict?.outcome === "example" ? "example" : ""}`, id: "verdict"}, verdict?.waiting ? "The oracle is thinking …" : verdict ? words(verdict, start, state) : ""));
  const accepted = moves.filter(({risk}) => risk < threshold).length;
  at("moves-note").textContent = refused ? "" : `${accepted} of ${moves.length} accepted; the least risk first.`;
  at("moves").replaceChildren(...rows(moves.map(({san, risk, uci: name}) => ({text: san, risk, current: name === uci, action: () => choose(name)})), threshold));
  inView(at("moves"), at("moves").querySelector("[aria-current]"));
  at("substitutions-title").textContent = square ? `Substitutions at ${square}` : "Substitutions";
  at("substitutions-note").textContent = !square ? "With the tool “substitutions”, click a square; a query for each edit."
    : options.length ? `Risk of ${move.san} after each, and the change.` : "No edit there leaves a legal position with this move.";
  const change_ = (risk) => (risk < move.risk ? "−" : "+") + percent(Math.abs(risk - move.risk));
  at("substitutions").replaceChildren(...rows(options.map((option) => ({text: option.what, risk: option.risk, more: change_(option.risk), action: () => change(option.fen)})), threshold));
}

function drawRun() {
  if (!state) return;
  tick();
  at("spent").textContent = [count(state.queries, "filter query", "filter queries"), count(state.oracle, "oracle call"), count(state.examples.length, "adversarial example"),
    `earlier: ${count(state.earlier_examples, "example")} in ${count(state.earlier_runs, "run")}`].join(" · ");
  at("pause").disabled = !state.running;
  at("examples-card").hidden = !state.examples.length;
  at("examples").replaceChildren(...rows(state.examples.map(({uci: move, fen: where, risk, seconds}) => ({text: `${move} in ${where}`, risk, more: `after ${time(seconds)}`, action: () => change(where, {move})})), start.threshold));
}

function tick() {
  if (!state) return;
  const seconds = state.seconds + (state.running ? (performance.now() - stateAt) / 1000 : 0);
  at("run").textContent = `Run ${state.number} · ${time(seconds)}${state.running || !seconds ? "" : " (paused)"}`;
}

// What a person can do.

function buildTools() {
  const button = (name, title, content, shape) => make("button", {type: "button", role: "radio", value: name, title, "aria-label": title, class: shape,
    onclick: () => { tool = name; square = null; options = []; draw(); },
    onmousedown: (event) => shape && event.button === 0 && board.drag(name, event)}, content);
  at("tools").append(...TOOLS.map(([name, text, title]) => button(name, title, text)), make("span", {class: "break-line"}));
  const NAMES = {p: "pawn", n: "knight", b: "bishop", r: "rook", q: "queen", k: "king"};
  for (const [color, letters] of [["white", "PNBRQK"], ["black", "pnbrqk"]])
    at("tools").append(...[...letters].map((letter) => button(letter, `${color} ${NAMES[letter.toLowerCase()]}`, face(letter), `piece ${color}`)));
  at("castling").append(...Object.entries(CASTLING).map(([letter, name]) => make("label", {}, make("input", {type: "checkbox", value: letter}), name)));
}

function typed(text) {
  const next = complete(text);
  if (next) change(next);
  else warn("Expected a FEN whose board has eight rows of eight squares.");
}

function bind() {
  at("undo").onclick = () => turnBack("undo");
  at("redo").onclick = () => turnBack("redo");
  at("flip").onclick = () => { flipped = !flipped; draw(); };
  at("clear").onclick = () => change(EMPTY);
  at("initial").onclick = () => change(INITIAL);
  at("turn").onchange = () => change(edited(fen, {turn: at("turn").value}));
  at("castling").onchange = () => change(edited(fen, {castling: [...at("castling").querySelectorAll("input:checked")].map((box) => box.value).join("")}));
  at("clock").onchange = () => change(edited(fen, {clock: Math.max(0, Math.min(99, Math.floor(Number(at("clock").value) || 0)))}));
  at("fen-form").onsubmit = (event) => { event.preventDefault(); at("fen").blur(); typed(at("fen").value); };
  at("pause").onclick = () => ask("pause", {}, () => {});
  at("end").onclick = () => ask("end", {}, () => { verdict = null; });
  if (start.starts) at("start-from").onclick = () => ask("start", {}, (answer, why) => {
    warn(why);
    if (answer) change(answer.fen, {move: answer.uci});
  });
  addEventListener("keydown", (event) => {
    const key = {z: "undo", y: "redo"}[event.key.toLowerCase()];
    if (!key || !(event.ctrlKey || event.metaKey) || event.target.tagName === "INPUT") return;
    event.preventDefault();
    turnBack(key);
  });
}

buildTools();
bind();
warn("");
const asked = new URLSearchParams(location.hash.slice(1));
[fen, uci] = [complete(asked.get("fen") ?? "") ?? INITIAL, asked.get("move")];
ask("look", {fen}, (answer, why) => {
  [look, refused] = [answer, why];
  if (answer) fen = answer.fen;
});
setInterval(tick, 1000);
