// Where a served page gets its data: from the server it came from, on demand.

async function answer(path, asked) {
  const reply = await fetch(`/api/${path}?${new URLSearchParams(asked)}`);
  if (!reply.ok) throw new Error((await reply.text()).trim());
  return reply;
}

/** A word that changes with the run, or without one with the sweep. */
export const version = async (run) => (await (await answer("state", {run})).json()).version;

/** Keys of all runs. */
export const runs = async () => (await (await answer("runs", {})).json()).runs;

/** The figures of a run, or without one of the sweep, as nodes. The server has escaped all that came from files. */
export async function figures(run) {
  const text = await (await answer("figures", {run})).text();
  return [...new DOMParser().parseFromString(text, "text/html").body.childNodes];
}

/** The list of a run's games, in columns. */
export const games = async (run) => (await answer("games", {run})).json();

/** One game with its decisions. */
export const game = async (run, step, number) => (await answer("game", {run, step, game: number})).json();
