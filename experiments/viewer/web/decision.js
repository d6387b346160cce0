// One decision: which arrows stand for it, and what it says in words.

import {adviceKind, mark} from "viewer/arrows";
import {make, number} from "viewer/dom";

const percent = (value) => `${number(100 * value, 0)}%`;

/** The arrows of a decision, the widest and lowest first: `{kind, from, to}`. */
export function arrows(ply) {
  const kinds = [["played", ply.played], ["honest", ply.honest], [adviceKind(ply), ply.advised], ["own", ply.own]];
  return kinds.filter(([, move]) => move && /^[a-h][1-8][a-h][1-8]/.test(move[0]))
    .map(([kind, [uci]]) => ({kind, from: uci.slice(0, 2), to: uci.slice(2, 4)}));
}

/** The number of a move as it is written: `12.` for White, `12…` for Black. */
export const label = (ply) => `${ply.number}${ply.white ? "." : "…"}`;

/** What happened here, in words. */
export function description(ply, names) {
  const side = ply.white ? "White" : "Black";
  const moves = [["own", ply.student ? "Its own move" : "Own move", "own"], [adviceKind(ply), ply.misaligned ? "Advised, a lie" : "Advised", "advised"],
                 ["honest", "Honest advice", "honest"], ["played", "Played", "played"]];
  const rows = moves.filter(([, , name]) => ply[name]).map(([kind, text, name]) => {
    const lost = ply.lost?.[name];
    return make("tr", {}, make("th", {scope: "row"}, mark(kind), text), make("td", {}, make("b", {}, ply[name][1])),
      make("td", {class: "cost"}, lost === undefined ? "" : `${number(-lost, 1).replace(/^−?0\.0$/, "0")} Win%`));
  });
  return [
    make("h2", {}, `${label(ply)} ${side} to move: ${ply.student ? names.student : names.copy}`),
    make("p", {class: ply.misaligned ? "verdict lied" : "verdict"}, verdict(ply)),
    make("table", {class: "proposals"}, make("tbody", {}, ...rows)),
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
  const judges = [["own_value", ply.student ? "the student’s own network" : "its own network"], ["assistant_value", "the assistant’s network"],
                  ["advised_value", "the answer"], ["honest_value", "an honest answer"]];
  const known = judges.filter(([name]) => ply[name] !== undefined).map(([name, who]) => `${who} ${percent(ply[name])}`);
  const decided = ply.decided && ply.decided[0] !== ply.played[0] ? ` Decided on ${ply.decided[1]}, as a label only.` : "";
  const weight = ply.weight !== undefined && ply.weight !== 1 ? ` Weight as a training example: ${number(ply.weight, 2)}.` : "";
  return [make("p", {class: "note"}, `Expected score of ${side}: ${known.join(", ")}.${decided}${weight}`)];
}

/** What it took to decide, where that was more than one question and a yes. */
function effort(ply) {
  if (!ply.asked) return null;
  const sentences = [
    ply.confidence !== undefined && ply.confidence !== Number(ply.believed) ? `Confidence in the answer: ${number(ply.confidence, 3)}.` : "",
    ply.label ? `Judged together with all answers: ${percent(ply.label[0])} honest, ${ply.label[1] ? `${ply.label[1]} learned` : "not learned"}.` : "",
    ply.panel ? `Seat by seat: ${ply.panel.map((said) => (said ? `${said[0]}${said[1] ? " (a lie)" : ""}` : "not asked")).join(", ")}.` : "",
    ply.questions > 1 ? `It asked ${ply.questions} questions.` : "",
    ply.evaluations ? `Its own network evaluated ${ply.evaluations} position${ply.evaluations === 1 ? "" : "s"}.` : "",
    ply.ground_truth ? `The expert was asked for the ground truth: ${ply.ground_truth[1]}.` : "",
  ].filter(Boolean);
  return sentences.length ? make("p", {class: "note"}, sentences.join(" ")) : null;
}
