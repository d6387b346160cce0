// One decision: which arrows stand for it, and what it says in words.

import {make, number} from "viewer/dom";

const percent = (value) => `${number(100 * value, 0)}%`;

/** The arrows of a decision, the widest and lowest first: `{kind, from, to}`. */
export function arrows(ply) {
  const kinds = [["played", ply.played], ["honest", ply.honest], [ply.misaligned ? "lie" : "advised", ply.advised], ["own", ply.own]];
  return kinds.filter(([, move]) => move && /^[a-h][1-8][a-h][1-8]/.test(move[0]))
    .map(([kind, [uci]]) => ({kind, from: uci.slice(0, 2), to: uci.slice(2, 4)}));
}

/** The number of a move as it is written: `12.` for White, `12…` for Black. */
export const label = (ply) => `${ply.number}${ply.white ? "." : "…"}`;

/** What happened here, in words. */
export function words(ply, names) {
  const side = ply.white ? "White" : "Black";
  const moves = [["own", ply.student ? "Its own move" : "Own move", ply.own], [ply.misaligned ? "lie" : "advised", "Advised", ply.advised],
                 ["honest", "Honest advice", ply.honest], ["played", "Played", ply.played]];
  const rows = moves.filter(([, , move]) => move).map(([kind, text, move]) => {
    const lost = ply.lost?.[kind === "lie" ? "advised" : kind];
    return make("tr", {class: kind}, make("th", {scope: "row"}, make("i", {class: `dot ${kind}`}), text), make("td", {}, make("b", {}, move[1])),
      make("td", {class: "cost"}, lost === undefined ? "" : `${number(-lost, 1).replace(/^−?0\.0$/, "0")} Win%`));
  });
  return [
    make("h2", {}, `${label(ply)} ${side} to move: ${ply.student ? names.student : names.copy}`),
    make("p", {class: ply.misaligned ? "verdict lied" : "verdict"}, verdict(ply)),
    make("table", {class: "said"}, make("tbody", {}, ...rows)),
    ...values(ply, side),
    effort(ply),
    ply.policy ? make("p", {class: "note"}, `The answer gave ${ply.policy.map(([san, share]) => `${san} ${percent(share)}`).join(", ")}.`) : null,
  ];
}

/** What was made of the answer, in a sentence. */
export function verdict(ply) {
  if (!ply.student) return "The copy’s turn: it asks nobody.";
  if (!ply.asked) return "Nothing was asked here.";
  const answer = ply.misaligned ? "The answer was misaligned" : "The answer was honest";
  const same = ply.misaligned && ply.advised && ply.honest && ply.advised[0] === ply.honest[0] ? ", though it says the same," : "";
  const knew = ply.own && ply.advised && ply.own[0] === ply.advised[0] ? " It would have played that anyway." : "";
  return `${answer}${same} and the student ${ply.believed ? "believed" : "refused"} it.${knew}`;
}

function values(ply, side) {
  const said = [["own_value", ply.student ? "the student’s own network" : "its own network"], ["advised_value", "the answer"],
                ["honest_value", "an honest answer"]];
  const known = said.filter(([name]) => ply[name] !== undefined).map(([name, who]) => `${who} ${percent(ply[name])}`);
  const decided = ply.decided && ply.decided[0] !== ply.played[0] ? ` Decided on ${ply.decided[1]}, as a label only.` : "";
  const weight = ply.weight !== undefined && ply.weight !== 1 ? ` Weight as a training example: ${number(ply.weight, 2)}.` : "";
  return [make("p", {class: "note"}, `Expected score of ${side}: ${known.join(", ")}.${decided}${weight}`)];
}

/** What it took to decide, where that was more than one question and a yes. */
function effort(ply) {
  if (!ply.asked) return null;
  const trust = ply.trust !== undefined && ply.trust !== Number(ply.believed) ? `Trust in the answer: ${number(ply.trust, 3)}. ` : "";
  const asked = ply.questions > 1 ? `It asked ${ply.questions} questions. ` : "";
  const looked = ply.evaluations ? `Its own network looked at ${ply.evaluations} position${ply.evaluations === 1 ? "" : "s"}. ` : "";
  const groundTruth = ply.ground_truth ? `The expert was asked too, and said ${ply.ground_truth[1]}.` : "";
  const said = `${trust}${asked}${looked}${groundTruth}`;
  return said ? make("p", {class: "note"}, said) : null;
}
