// The page: reads the address, shows the sweep, a run's figures or its games, and follows a run as it grows.

import {address, atGames, go, here} from "viewer/address";
import {at, make} from "viewer/dom";
import {Game} from "viewer/game";
import {follow} from "viewer/live";
import {RunList} from "viewer/run_list";
import * as source from "viewer/source";

const start = JSON.parse(at("start").textContent);
const known = new Map(); // of each run: its games, and the game opened last
let shown = start.sweep ? null : ""; // the run whose figures stand in the page
const first = [...at("view-figures").childNodes]; // the figures that the page came with

const list = new RunList((change) => go({...here(), games: here().games ?? "all", ...change}));
const game = new Game((ply) => go({...here(), ply: Math.max(0, Math.min(game.game.plies.length, ply))}, true));

const runHere = (place) => place.run ?? "";
const atSweep = (place) => start.sweep && !place.run;

function warn(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

/** Show what the address asks for. */
async function show() {
  const place = here(), run = runHere(place), asked = location.hash;
  const view = atSweep(place) ? "sweep" : atGames(place) ? "games" : "figures";
  for (const id of ["sweep", "figures", "games"]) at(`view-${id}`).hidden = id !== view;
  trail(place, view);
  warn(view === "games" ? start.hint : "");
  try {
    if (view === "figures" && shown !== run) await replaceFigures(run, asked);
    if (view === "games") await showGames(run, place, asked);
  } catch (error) {
    warn(error.message);
    if (view === "games") game.clear("");
  }
}

async function replaceFigures(run, asked) {
  const nodes = !source.version && run === "" ? first : await source.figures(run);
  if (location.hash !== asked) return; // the reader has gone on
  if (nodes === null) throw new Error("this file holds nothing of that run");
  const view = run || !start.sweep ? at("view-figures") : at("view-sweep");
  const open = [...view.querySelectorAll("details")].map((part) => part.open), key = at("dose")?.value;
  view.replaceChildren(...nodes);
  if (key && at("dose")) at("dose").value = key;
  view.querySelectorAll("details").forEach((part, number) => { part.open = open[number] ?? false; });
  if (view === at("view-figures")) shown = run;
  doses();
}

async function showGames(run, place, asked) {
  if (!known.has(run)) known.set(run, {games: await source.games(run), opened: null});
  const of = known.get(run);
  if (location.hash !== asked) return; // the reader has gone on
  list.show(of.games, place);
  if (place.game === null) return game.clear(of.games.total ? "Choose a game." : "No game has been played yet.");
  const step = place.step ?? 0;
  if (of.opened?.game !== place.game || of.opened?.step !== step) of.opened = await source.game(run, step, place.game);
  if (location.hash === asked) game.show(of.opened, place);
}

/** Where the reader is, and the ways from there. */
function trail(place, view) {
  const run = runHere(place), own = start.sweep ? run.split("/").slice(0, 2).join("/") : "";
  const beside = start.runs.filter((key) => key === own || key.startsWith(own ? `${own}/` : "controls/"));
  const name = (key) => (key === own ? (start.sweep ? key.split("/")[1].slice(0, 12) : "this run") : key.split("/").at(-1).replaceAll("_", " "));
  const link = (text, there, current) => make("a", {href: address(there), "aria-current": current && "page"}, text);
  const several = beside.length > 1 || start.sweep;
  at("trail").replaceChildren(...(view !== "sweep" && several ? beside.map((key) => link(name(key), {run: key}, key === run)) : []));
  at("tabs").replaceChildren(...(view === "sweep" ? [] : [
    link("Figures", {run}, view === "figures"), link("Games", {run, games: "all"}, view === "games")]));
}

/** One picture of the sweep at a time, as the reader chooses. */
function doses() {
  const choice = at("dose");
  if (!choice) return;
  const pictures = document.querySelectorAll("#view-sweep .dose");
  choice.onchange = () => pictures.forEach((picture, number) => { picture.hidden = number !== choice.selectedIndex; });
  choice.onchange();
}

addEventListener("hashchange", show);
doses();
show();
follow(start.version, () => runHere(here()), async () => {
  const place = here(), run = runHere(place), asked = location.hash;
  if (known.has(run)) known.set(run, {games: await source.games(run), opened: known.get(run).opened});
  start.runs = await source.runs();
  if (atSweep(place)) await replaceFigures("", asked);
  else if (shown === run) await replaceFigures(run, asked);
  await show();
});
