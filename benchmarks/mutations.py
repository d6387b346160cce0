"""Mistakes planted in the code one at a time, and whether the tests that should notice do.

    python benchmarks/mutations.py                  # all of them, half an hour on two cores
    python benchmarks/mutations.py --only student   # those whose name holds this
    python benchmarks/mutations.py --list

Each mistake is one piece of text put in the place of another, in a copy of the tree; its tests, which pass without
it, run there. The table names the first test that failed. Exit code 1 where a mistake survived, where its text is not
in the code any more, or where a test fails without it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("agents", "engines", "experiments", "sandwich", "tests", "docs", "scripts", "benchmarks", "examples")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")


@dataclass(frozen=True)
class Mutation:
    """A mistake: `old` in `file`, which stands there once, becomes `new`; `tests` should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str


SELFPLAY = "tests/sandwich/protocol/test_selfplay.py"
RUN = "tests/sandwich/runs/test_run.py"
FINETUNING = "tests/sandwich/protocol/test_finetuning.py"
HIDDEN = "tests/sandwich/protocol/test_ledger.py::test_every_column_is_explained"
SCHEDULE = "tests/sandwich/spec/test_schedule.py"
RECOVERED = "tests/sandwich/statistics/test_recovered.py"
STATISTICS = "tests/sandwich/statistics/test_statistics.py"
LABELS = "tests/sandwich/label_models/test_label_models.py"
RULES = "tests/sandwich/highstakes/test_highstakes_rules.py"

MUTATIONS = (
    # the outer loop
    Mutation(
        "one random stream for all games of a block", "sandwich/protocol/episode.py",
        "(seed, step, first + place)", "(seed, step, first)", SELFPLAY,
    ),
    Mutation(
        "every step draws the same numbers", "sandwich/protocol/episode.py",
        "(seed, step, first + place)", "(seed, 0, first + place)", SELFPLAY,
    ),
    Mutation(
        "openings drawn without the step", "sandwich/runs/loop.py",
        "make_rng(RngStream.OPENINGS, spec.seed, step)", "make_rng(RngStream.OPENINGS, spec.seed)",
        f"{RUN}::test_each_step_begins_from_openings_of_its_own",
    ),
    Mutation(
        "the fit's seed without the step", "sandwich/runs/loop.py",
        "make_seed(RngStream.FIT, spec.seed, step)", "make_seed(RngStream.FIT, spec.seed)",
        f"{RUN}::test_each_step_learns_from_all_games_so_far_with_a_seed_of_its_own",
    ),
    Mutation(
        "the same examples drawn in each step", "sandwich/runs/loop.py",
        "make_rng(RngStream.EXAMPLES, spec.seed, step)", "make_rng(RngStream.EXAMPLES, spec.seed)",
        f"{RUN}::test_each_step_learns_from_all_games_so_far_with_a_seed_of_its_own",
    ),
    Mutation(
        "learning from the newest ledger alone", "sandwich/runs/loop.py",
        "(folder.ledger(earlier)) for earlier in range(step)]",
        "(folder.ledger(earlier)) for earlier in range(step - 1, step)]",
        f"{RUN}::test_each_step_learns_from_all_games_so_far_with_a_seed_of_its_own",
    ),
    Mutation(
        "row 0 of another seed is taken for this one's", "sandwich/runs/first_row.py",
        '"seed": spec.seed', '"seed": 0', "tests/sandwich/runs/test_first_row.py::test_what_it_depends_on_does",
    ),
    Mutation(
        "a voice judges what it was fitted to", "sandwich/label_models/fitting.py",
        "np.flatnonzero(folds != fold)", "np.flatnonzero(folds == fold)", LABELS,
    ),
    Mutation(
        "labels are learned the wrong way round", "sandwich/protocol/labelling.py",
        'chosen, content["own_move"])', 'content["own_move"], chosen)', LABELS,
    ),
    Mutation(
        "the student of two steps ago plays", "sandwich/runs/loop.py",
        "folder.weights(step - 1)\n                played = play(",
        "folder.weights(max(0, step - 2))\n                played = play(",
        f"{RUN}::test_each_step_is_played_by_the_student_of_the_step_before",
    ),
    Mutation(
        "the student of the step before is measured", "sandwich/runs/loop.py",
        "measurer.row(step, folder.weights(step), rows)",
        "measurer.row(step, folder.weights(max(0, step - 1)), rows)",
        f"{RUN}::test_each_row_measures_the_student_of_its_step",
    ),
    Mutation(
        "the value of a cut-off game dropped in the PPO training", "sandwich/rl/ppo.py",
        "score = value if played.ends[game - first] == End.PLY_CAP else result", "score = result",
        "tests/sandwich/rl/test_ppo.py",
    ),
    Mutation(
        "a run goes on with other settings", "sandwich/runs/same_run.py",
        'if different and different[0] != "steps":', 'if different and different[0] == "steps":',
        f"{RUN}::test_folder_of_another_run_is_refused_in_one_line",
    ),
    # games and questions
    Mutation(
        "the student has White in every game", "sandwich/protocol/episode.py",
        "(first + np.arange(count)) % 2 == 0", "np.ones(count, np.bool_)", SELFPLAY,
    ),
    Mutation(
        "the ledger has White's result on every ply", "sandwich/protocol/record.py",
        "np.where(white, scores, 1 - scores)", "scores", SELFPLAY,
    ),
    Mutation(
        "a game ends one ply beyond its cap", "engines/positions.py",
        "self.plies[game] >= self._ply_cap", "self.plies[game] > self._ply_cap", "tests/engines/test_positions.py",
    ),
    Mutation(
        "a budget forgets what was asked", "sandwich/spec/schedule.py",
        "np.minimum(whole, saved) - self.asked[games]", "np.minimum(whole, saved) - 0 * games", SCHEDULE,
    ),
    Mutation(
        "a decision is paid as one question", "sandwich/protocol/episode.py",
        "spend(games[rows], outcomes.questions,", "spend(games[rows], np.ones(len(rows), np.int64),", SCHEDULE,
    ),
    Mutation(
        "a temperature the wrong way round", "agents/sampling.py",
        "policy ** (1 / temperature)", "policy**temperature", "tests/agents/test_sampling.py",
    ),
    Mutation(
        "a temperature the wrong way round for many games", "agents/sampling.py",
        "rows.flat ** (1 / temperature)", "rows.flat**temperature", "tests/agents/test_sampling.py",
    ),
    Mutation(
        "an answer of another game is recorded", "sandwich/protocol/record.py",
        "np.concatenate(parts)[places]", "np.concatenate(parts)", SELFPLAY,
    ),
    Mutation(
        "an assistant lies in arrays where it should be honest", "agents/misalignment/base.py",
        "for rng in drawn]) < self.p", "for rng in drawn]) > self.p", "tests/sandwich/protocol/test_in_arrays.py",
    ),
    Mutation(
        "an assistant lies where it should be honest", "agents/misalignment/base.py",
        "if rng.random() < self.p]", "if rng.random() > self.p]",
        "tests/agents/test_misalignment.py::test_the_share_of_random_answers_is_p",
    ),
    Mutation(
        "every assistant keeps its seat", "sandwich/protocol/query_executor.py",
        "pending.seats[advisor] == number", "advisor == number", "tests/sandwich/protocol/test_query_executor.py",
    ),
    Mutation(
        "of a panel the move that fewest name is believed", "sandwich/oversight/panel.py",
        "(-worth[place], -chances[place])", "(worth[place], -chances[place])",
        "tests/sandwich/oversight/test_panel.py",
    ),
    # what is seen and learned
    Mutation(
        "whether an answer was misaligned can be seen", "sandwich/protocol/ledger.py",
        '"assistant_value", "misaligned", "panel', '"assistant_value", "panel',
        HIDDEN,
    ),
    Mutation(
        "which seats of a panel lied can be seen", "sandwich/protocol/ledger.py",
        '"misaligned", "panel_misaligned", *LOSSES', '"misaligned", *LOSSES',
        HIDDEN,
    ),
    Mutation(
        "what the oracle found can be seen", "sandwich/protocol/ledger.py",
        '"panel_misaligned", *LOSSES, "loss_weight")', '"panel_misaligned", "loss_weight")',
        HIDDEN,
    ),
    Mutation(
        "a value is learned that was not believed", "sandwich/protocol/finetuning.py",
        'if columns["advised_value"][row] is not None and columns["believed"][row] and config.value',
        'if columns["advised_value"][row] is not None and config.value', FINETUNING,
    ),
    Mutation(
        "an even opinion is learned as a certain draw", "sandwich/training/labels.py",
        "np.where(result, 1.0, 0.5)", "np.where(result, 1.0, 1.0)", FINETUNING,
    ),
    Mutation(
        "the oldest games are learned from first", "sandwich/protocol/finetuning.py",
        "for content in reversed(ledgers):", "for content in ledgers:", FINETUNING,
    ),
    Mutation(
        "a weight of 0 is learned from", "sandwich/protocol/finetuning.py",
        "pc.greater(pc", "pc.greater_equal(pc", FINETUNING,
    ),
    # controls and sweeps
    Mutation(
        "the honest control lies", "sandwich/runs/controls.py", "lambda misalignment: RandomMove(p=0)",
        "lambda misalignment: RandomMove(p=1)", f"{RUN}::test_controls_change_one_thing_each",
    ),
    Mutation(
        "the control without advice asks more often", "sandwich/runs/controls.py",
        "play.queries_per_game * once // most", "play.queries_per_game",
        "tests/sandwich/protocol/test_strategies_run.py::"
        "test_the_control_of_its_own_moves_asks_on_the_turns_of_the_strategy",
    ),
    Mutation(
        "a cell is done as soon as it has begun", "sandwich/sweeps/cells.py",
        "return (self.folder / RESULT).exists()", "return self.folder.exists()",
        "tests/sandwich/sweeps/test_sweep.py::test_points_leave_out_cells_that_are_not_done",
    ),
    Mutation(
        "break-even is the largest dose that helps", "sandwich/sweeps/results.py",
        "                return last, dose\n", "                continue\n",
        "tests/sandwich/sweeps/test_sweep_results.py",
    ),
    # figures
    Mutation(
        "PGR with the other sign", "sandwich/statistics/recovered.py",
        "return 1 - float(elo(end.mean())) / float(elo(start.mean()))",
        "return float(elo(end.mean())) / float(elo(start.mean())) - 1", RECOVERED,
    ),
    Mutation(
        "the interval of PGR is not turned round with it", "sandwich/statistics/recovered.py",
        "1 - elo_end / elo_start, n, 2 * n)", "elo_end / elo_start, n, 2 * n)", RECOVERED,
    ),
    Mutation(
        "PGR to a gap of one standard error", "sandwich/statistics/recovered.py",
        "if gap <= ENOUGH * error:", "if gap <= error:", RECOVERED,
    ),
    Mutation(
        "a match counts the points of White", "sandwich/evaluation/match.py",
        "return self.white_score if self.first_is_white else 1 - self.white_score", "return self.white_score",
        "tests/sandwich/evaluation/test_match.py",
    ),
    Mutation(
        "the student is measured at temperature 0 alone", "sandwich/evaluation/measurement.py",
        "checkpoints, (temperature, 0.0))", "checkpoints, (0.0, 0.0))",
        f"{RUN}::test_in_the_second_match_the_students_moves_are_drawn_and_those_of_the_expert_are_not",
    ),
    Mutation(
        "the divergence the other way round", "sandwich/evaluation/agreement.py",
        "divergence(expert.policy[row], student.policy[row])", "divergence(student.policy[row], expert.policy[row])",
        "tests/sandwich/evaluation/test_agreement.py",
    ),
    Mutation(
        "an upper bound of one failure less", "sandwich/statistics/rates.py",
        "high = beta_quantile(1 - tail, hits + 1, n - hits)",
        "high = beta_quantile(1 - tail, max(hits, 0.5), n - hits)", STATISTICS,
    ),
    Mutation(
        "a test with its errors exchanged", "sandwich/statistics/sprt.py",
        "np.log(self.beta / (1 - self.alpha))", "np.log(self.alpha / (1 - self.beta))",
        "tests/sandwich/statistics/test_sprt.py",
    ),
    Mutation(
        "the oracle looks at the same places in each step", "sandwich/evaluation/label_losses.py",
        "make_rng(RngStream.LEDGER, seed, step)", "make_rng(RngStream.LEDGER, seed)",
        "tests/sandwich/evaluation/test_label_losses.py::"
        "test_a_review_fills_what_each_move_loses_and_says_who_looked",
    ),
    # high stakes
    Mutation(
        "a filter accepts at its threshold", "engines/filter.py", "policy * (risk < threshold)",
        "policy * (risk <= threshold)", RULES,
    ),
    Mutation(
        "a filtered player accepts at its threshold", "agents/players/filtered.py",
        "legal.index(move)] < self._threshold:", "legal.index(move)] <= self._threshold:",
        "tests/agents/test_filtered.py",
    ),
    Mutation(
        "runs that were given up count as broken", "sandwich/highstakes/measure.py",
        "survival_curve(times, successful)", "survival_curve(times, np.ones_like(successful))", RULES,
    ),
    Mutation(
        "intervals by game", "sandwich/highstakes/calibrate.py",
        "np.unique(positions.openings, return_inverse=True)", "np.unique(positions.games, return_inverse=True)", RULES,
    ),
    Mutation(
        "every run that was given up ended on this budget", "sandwich/highstakes/measure.py",
        "run.ended not in (unit, None)", "False", RULES,
    ),
    Mutation(
        "equally low paths are kept", "sandwich/statistics/splitting.py",
        "low = np.flatnonzero(highest <= bar)", "low = np.argsort(highest)[:discarded]",
        "tests/sandwich/statistics/test_splitting.py",
    ),
    Mutation(
        "a first stage that hands on what it refuses", "sandwich/highstakes/cascade.py",
        "np.where(row >= self.high, row + APART, both)", "both", "tests/sandwich/highstakes/test_cascade.py",
    ),
    Mutation(
        "a mate is a draw", "engines/endgames.py",
        "np.where(self.check[stuck], LOSS, DRAW)", "np.where(self.check[stuck], DRAW, DRAW)",
        "tests/engines/test_endgames.py",
    ),
    Mutation(
        "an adversary outside its ball", "sandwich/highstakes/latent.py",
        "(self.radius / size.clamp(min=1e-12)).clamp(max=1)", "1.0", "tests/sandwich/highstakes/test_latent.py",
    ),
)  # fmt: skip


def copy(folder: Path) -> None:
    """The tree as it is here, without what no test needs."""
    leave = shutil.ignore_patterns("node_modules", "__pycache__", ".*_cache")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=leave)
    for file in FILES:
        shutil.copy(ROOT / file, folder / file)


def first_failure(folder: Path, tests: str) -> str | None:
    """The first of the tests that fails in the copy; None where all pass. Raises RuntimeError where none ran."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )
    if done.returncode == 0:
        return None
    if found := re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE):
        return found[1].rpartition("/")[2].partition("[")[0]
    raise RuntimeError(f"{tests}: no test ran\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def outcomes(mutations: list[Mutation]) -> Iterator[tuple[Mutation, str | None]]:
    """Each mistake with the test that noticed it, or None."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy(folder)
        sound: set[str] = set()  # tests that pass without a mistake
        for mutation in mutations:
            path = folder / mutation.file
            code = path.read_text(encoding="utf-8")
            if code.count(mutation.old) != 1:
                raise SystemExit(f"{mutation.name}: {mutation.old!r} stands {code.count(mutation.old)} times in {path}")
            if mutation.tests not in sound and (failed := first_failure(folder, mutation.tests)):
                raise SystemExit(f"{mutation.name}: {failed} fails without it")
            sound.add(mutation.tests)
            path.write_text(code.replace(mutation.old, mutation.new), encoding="utf-8")
            try:
                yield mutation, first_failure(folder, mutation.tests)
            finally:
                path.write_text(code, encoding="utf-8")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--list", action="store_true", help="their names alone")
    arguments = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if arguments.only in mutation.name]
    if arguments.list or not chosen:
        raise SystemExit("\n".join(mutation.name for mutation in MUTATIONS))
    print("| mistake | in | caught by |\n| --- | --- | --- |", flush=True)
    survived = 0
    for mutation, noticed in outcomes(chosen):
        survived += noticed is None
        caught = f"`{noticed}`" if noticed else "**survived**"
        print(f"| {mutation.name} | `{mutation.file}` | {caught} |", flush=True)
    raise SystemExit(1 if survived else 0)


if __name__ == "__main__":
    main()
