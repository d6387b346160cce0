// Where the reader is, kept in the address behind #, so that every position has a link of its own.
//
//   #run=cells/3f2a&step=1&game=17&ply=23      a position (run is left out for the folder's own)
//   #games=1&show=accepted&lost=10&sort=lost   the games of a step, or of `all`, filtered

const NUMBERS = ["step", "game", "ply", "lost"];
const NAMES = ["run", "games", "show", "sort"];

/** The address as an object; what it leaves out is null. */
export function here() {
  const params = new URLSearchParams(location.hash.slice(1));
  const place = {};
  for (const name of NAMES) place[name] = params.get(name) || null;
  for (const name of NUMBERS) {
    const text = params.get(name);
    place[name] = text && Number.isFinite(Number(text)) && Number(text) >= 0 ? Number(text) : null;
  }
  return place;
}

/** Whether the address leads to games, and not to figures. */
export const atGames = (place) => place.games !== null || place.game !== null;

/** The text behind # for a place. */
export function address(place) {
  const params = new URLSearchParams();
  for (const name of ["run", "games", "show", "lost", "sort", "step", "game", "ply"]) {
    if (place[name] !== null && place[name] !== undefined && place[name] !== "") params.set(name, place[name]);
  }
  return "#" + params.toString().replaceAll("%2F", "/");
}

/** Go to a place; `quietly` leaves no entry in the browser's history, as for stepping through a game. */
export function go(place, quietly = false) {
  if (address(place) === location.hash) return;
  if (quietly) {
    history.replaceState(null, "", address(place));
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = address(place);
}
