// Where a page that is one file gets its data: out of itself. Games are unpacked by chunks, on demand.

import {at} from "viewer/dom";

const start = JSON.parse(at("start").textContent);
const chunks = new Map();

export const version = null; // nothing changes

export const runs = async () => start.runs;

/** The figures of a run that does not stand in the page already. */
export async function figures(run) {
  const piece = document.querySelector(`template[data-run="${CSS.escape(run)}"]`);
  return piece ? [...piece.content.cloneNode(true).childNodes] : null;
}

export async function games(run) {
  const held = start.games[run];
  if (!held) throw new Error("this file holds nothing of that run");
  if (held.error) throw new Error(held.error);
  return held;
}

export async function game(run, step, number) {
  const {columns} = await games(run);
  const place = columns.game.findIndex((game, row) => game === number && columns.step[row] === step);
  if (place < 0) throw new Error(`this file does not hold game ${number} of step ${step}; \`sandwich view\` shows every game`);
  const chunk = await unpacked(columns.chunk[place]);
  return chunk.find((game) => game.game === number && game.step === step);
}

function unpacked(number) {
  if (!chunks.has(number)) chunks.set(number, unpack(at(`chunk-${number}`).textContent));
  return chunks.get(number);
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}
