"""The controls of a run: the same run but for one thing, without which its PGR says little."""

from collections.abc import Callable, Sequence

import numpy as np

from agents.misalignment.base import Misalignment
from agents.misalignment.random_move import RandomMove
from sandwich.label_models.none import NoModel
from sandwich.oversight.base import budget_of
from sandwich.oversight.ignore import Ignore
from sandwich.runtime.progress import Row
from sandwich.runtime.rng import RngStream, make_rng
from sandwich.spec.run_spec import PlayConfig, RunSpec
from sandwich.statistics import Figure, retained_run_figure

FOLDER = "controls"
"""Folder in a run's own that holds a run folder for each of its controls."""

MEANING = {
    "own_moves": "no answer is believed: as many examples, all of its own moves",
    "honest": "no assistant ever lies",
    "honest_only": "the same answers, of which the honest ones alone are learned from, all of them",
    "always_misaligned": "every answer is misaligned",
}
"""What each control changes."""


def controls(spec: RunSpec, folder: str = "") -> dict[str, RunSpec]:
    """Specs of a run's controls by name; `always_misaligned` only where the dose of every assistant is a probability.

    They are in the run's own W&B group, or in one of its name.
    folder: name of the run's own folder, below whose copy in a storage theirs lie.
    """
    tracking = spec.tracking.model_copy(update={"group": spec.tracking.group or spec.name})
    storage = spec.storage and "/".join([spec.storage.rstrip("/"), folder or spec.name, FOLDER])

    own = spec.finetune.model_copy(update={"refused": "own"})  # it believes nothing, and must learn something

    def but(name: str, **changes: object) -> RunSpec:
        same = {"name": f"{spec.name}-{name}", "tracking": tracking, "storage": storage}
        return spec.model_copy(update={**same, **changes})

    assistants = spec.assistant, *spec.second

    def misaligned(change: Callable[[Misalignment], Misalignment]) -> dict[str, object]:
        first, *others = (
            assistant.model_copy(update={"misalignment": change(assistant.misalignment)}) for assistant in assistants
        )
        return {"assistant": first, "second": tuple(others)}

    specs = {
        "own_moves": but(
            "own_moves", oversight=Ignore(), finetune=own, play=_asking_alike(spec), label_model=NoModel()
        ),
        "honest": but("honest", **misaligned(lambda misalignment: RandomMove(p=0))),
        "honest_only": but(
            "honest_only", finetune=spec.finetune.model_copy(update={"examples": "honest"}), label_model=NoModel()
        ),
    }
    if all("p" in type(assistant.misalignment).model_fields for assistant in assistants):
        always = misaligned(lambda misalignment: misalignment.model_copy(update={"p": 1.0}))
        specs["always_misaligned"] = but("always_misaligned", **always)
    return specs


def retained(rows: Sequence[Row], control: Sequence[Row], spec: RunSpec) -> Figure:
    """What a run retained of what there was to be learned: its PGR over that of its control `honest_only`.

    rows, control: metrics of both. Within these two runs (`retained_run_figure`).
    """
    scores = [np.array(row["pairs"]["best"], np.float64) for row in (rows[0], rows[-1], control[-1])]
    complete = ~np.isnan(scores).any(0)
    start, end, other = (score[complete] for score in scores)
    return retained_run_figure(start, end, other, spec.evaluate.bootstrap, make_rng(RngStream.PGR, spec.seed))


def _asking_alike(spec: RunSpec) -> PlayConfig:
    """Games in which one who asks once for a decision asks on as many turns as the strategy can pay for at its most."""
    play = spec.play
    once, most = play.cost(1), play.cost(budget_of(spec.oversight, "questions"))
    return play.model_copy(
        update={
            "queries_per_game": None if play.queries_per_game is None else play.queries_per_game * once // most,
            "queries_per_turn": None if play.queries_per_turn is None else play.queries_per_turn * (once / most),
        }
    )
