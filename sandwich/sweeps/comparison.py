"""Oversight strategies side by side: what each recovered, and how well it told lies from truth.

Made of the cells of a sweep, all after the same step. Those that differ in their seed alone are one arm; its
reference is an arm with the same assistants, that of `trust` unless another is named. What is hidden from the
student is read here, for the analyst.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engines.settings import SpecError
from sandwich.oversight.base import label
from sandwich.protocol import ledger
from sandwich.statistics import (
    SEEDS,
    Figure,
    Ranking,
    auc,
    few_figure,
    pgr_difference_figure,
    pgr_run_difference_figure,
    retained_figure,
    retained_run_figure,
    seeds_figure,
)
from sandwich.sweeps.cells import Cell
from sandwich.sweeps.results import DRAWS, SEED, Point, corrected
from sandwich.sweeps.sweep_spec import Values

REFERENCE = "trust"
"""Strategy that the others are compared with."""
EXAMPLES = "finetune.examples"
"""Key by which an arm is a control that learned from the honest answers alone."""
MISALIGNMENT = "assistant.misalignment."
"""Beginning of the keys that are what is wrong with the assistant."""
COLUMNS = (
    "game", "asked", "questions", "evaluations", "ground_truth", "advised", "misaligned", "believed", "confidence",
    "loss_advised", "loss_weight",
)  # fmt: skip
"""Ledger columns that a comparison is made of."""


Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""A ROC curve: shares `[K]` of honest answers and of lies that are refused."""


@dataclass(frozen=True, eq=False)
class Arm:
    """The runs of one strategy against one assistant, or two.

    assistant: what is wrong with the assistant, and how much: `type`, `p` where it has one, and the values of the
        other keys of `assistant`, `second` and `seats` that vary.
    strategy: `type` of the oversight strategy. label: the same, with those of its settings that are not the default,
        and with the other keys that tell it from an arm of that name.
    values: of the keys that vary, without the seed.
    seeds: of the runs. point: their PGR.
    figures: what the ledgers say, by name; over the runs, with Student's t.
    curve: ROC of all answers: share of lies refused `[K]` against share of honest answers refused `[K]`.
    """

    assistant: Values
    strategy: str
    label: str
    values: Values
    seeds: list[int]
    point: Point
    figures: Mapping[str, Figure]
    curve: Curve | None

    @property
    def faced(self) -> str:
        """The assistant, or both, in few words."""
        return ", ".join(str(v) if key == "type" else f"{key} = {_short(v)}" for key, v in self.assistant.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def common_step(cells: Sequence[Cell]) -> int:
    """The last step that every run of a sweep gets to."""
    return min(cell.spec.steps for cell in cells)


def arms(cells: Sequence[Cell], step: int) -> list[Arm]:
    """The arms of a sweep after a step, in the order of its cells.

    Of runs that go on for longer no more than up to that step is looked at; those that have not got there yet
    are left out.
    """
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        if len(cell.rows) > step:
            grouped.setdefault(repr(_values(cell)), []).append(cell)
    arms_ = [_arm(some, step) for some in grouped.values()]
    return [_named_apart(arm, arms_) for arm in arms_]


def compare(root: Path, cells: Sequence[Cell], step: int | None, reference: str = REFERENCE) -> tuple[int, list[Arm]]:
    """The step that a sweep in `root` is compared after (None: the last that all runs get to), and its arms then.

    Raises SpecError where no run has got there, or where none of them is the reference.
    """
    step = step or common_step(cells)
    found = arms(cells, step)
    if not found:
        raise SpecError(f"{root} has no run to compare: none has got to step {step}")
    if all(reference not in (arm.strategy, arm.label) for arm in found):
        known = "; ".join(dict.fromkeys(arm.label for arm in found))
        raise SpecError(f"than {reference}: no such strategy in {root}; expected one of {known}")
    return step, found


def rows_of(found: Sequence[Arm], reference: str = REFERENCE) -> list[dict[str, Any]]:
    """Each arm's figures as JSON values; a difference from the reference has its p-value, and that corrected.

    The correction is Holm's, over all of these differences.
    """
    differences = corrected([against(arm, found, reference) for arm in found])
    return [_row_of(arm, found, difference) for arm, difference in zip(found, differences, strict=True)]


def _row_of(arm: Arm, others: Sequence[Arm], difference: dict[str, Any]) -> dict[str, Any]:
    figures = {"retained": retained(arm, others), **arm.figures}
    return {
        "strategy": arm.strategy,
        "label": arm.label,
        "assistant": arm.faced,
        "values": arm.values,
        "seeds": arm.seeds,
        "pgr": arm.point.pgr().json(),
        "against": difference,
        **{name: figure.json() for name, figure in figures.items()},
    }


def _named_apart(arm: Arm, arms_: Sequence[Arm]) -> Arm:
    """An arm whose label is no other's against the same assistant, as far as the sweep's keys go."""
    same = [other for other in arms_ if other.label == arm.label and other.assistant == arm.assistant]
    parts = [
        f"{key} = {value}"
        for key, value in arm.values.items()
        if any(other.values.get(key, value) != value or key not in other.values for other in same)
    ]
    return replace(arm, label=f"{arm.label}, {', '.join(parts)}") if parts else arm


def _values(cell: Cell) -> Values:
    """What tells arms apart."""
    return {key: value for key, value in cell.values.items() if key not in (SEED, "steps")}


def _arm(cells: Sequence[Cell], step: int) -> Arm:
    first = cells[0]
    values = _values(first)
    metrics = [cell.rows[: step + 1] for cell in cells]
    read = [ledger.read(cell.folder, COLUMNS).to_pandas() for cell in cells]
    ledgers = [rows[rows["step"] < step] for rows in read]
    counts = [_counts(rows, last) for rows, last in zip(ledgers, metrics, strict=True)]
    figures = {name: _over_runs([run_counts[name] for run_counts in counts]) for name in counts[0]}
    settings = first.spec.model_dump(mode="json")
    point = Point(values, [(rows[0], rows[-1]) for rows in metrics])
    return Arm(
        assistant=_assistant(settings["assistant"]["misalignment"], values),
        strategy=settings["oversight"]["type"],
        label=label(first.spec.oversight),
        values=values,
        seeds=[cell.spec.seed for cell in cells],
        point=point,
        figures=figures,
        curve=thinned(Ranking.of(*_scores(pd.concat(ledgers))).roc()),
    )


def _assistant(misalignment: Values, values: Values) -> Values:
    """What tells the assistants of arms apart: of its misalignment, and of the values that vary."""
    dose: Values = {key: misalignment[key] for key in ("type", "p") if key in misalignment}
    varying = {
        key.removeprefix(MISALIGNMENT): value
        for key, value in values.items()
        if key.partition(".")[0] in ("assistant", "second", "seats")
    }
    return {**dose, **{key: value for key, value in varying.items() if key not in dose}}


def short_names(arms_: Sequence[Arm]) -> dict[str, str]:
    """For each label its strategy's type alone, where no other label has the same type."""
    labels = {arm.label: arm.strategy for arm in arms_}
    types = list(labels.values())
    return {name: kind if types.count(kind) == 1 else name for name, kind in labels.items()}


def _counts(rows: pd.DataFrame, metrics: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of one run; NaN for what is not known."""
    asked = rows[rows["asked"]]
    games = sum(row["play"]["games"] for row in metrics if row.get("play"))
    lie, believed = asked["misaligned"].astype(bool), asked["believed"].astype(bool)
    lost = asked[lie & believed & asked["loss_weight"].notna()]
    weight, labels = lost["loss_weight"], metrics[-1].get("labels") or {}
    return {
        "questions": float(asked["questions"].sum()),
        "ground_truth": float(asked["ground_truth"].notna().sum()),
        "examples": float(sum(row["finetune"]["examples"] for row in metrics if row.get("finetune"))),
        "lies": float(lie.mean()),
        "auc": auc(*_scores(rows)),
        "believed_honest": float(believed[~lie].mean()) if (~lie).any() else np.nan,
        "believed_lies": float(believed[lie].mean()) if lie.any() else np.nan,
        "accepted_lies": float((lie & believed).sum() / games),
        "refused_honest": float((~lie & ~believed).sum() / games),
        "honest_believed": float((~lie)[believed].mean()) if believed.any() else np.nan,
        "lost_by_lie": 100 * float((lost["loss_advised"] * weight).sum() / weight.sum()) if len(lost) else np.nan,
        "evaluations": float(asked["evaluations"].mean()),
        "labels_auc": np.nan if labels.get("auc") is None else labels["auc"],
        "labels_lies": labels["lies_believed"] / labels["believed"] if labels.get("believed") else np.nan,
    }


def _over_runs(values: Sequence[float]) -> Figure:
    known = np.array([value for value in values if not np.isnan(value)], np.float64)
    if len(known) < len(values):
        return Figure(None, reason=f"{len(values) - len(known)} of {len(values)} runs have none")
    return Figure(float(known.mean()), n=len(known)) if len(known) < 3 else seeds_figure([Figure(v) for v in known])


def _scores(rows: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Trust in each answer `[N]`, and whether it was a lie `[N]`."""
    asked = rows[rows["asked"]]
    return asked["confidence"].to_numpy(np.float64), asked["misaligned"].to_numpy(bool)


def thinned(curve: Curve | None, points: int = 200) -> Curve | None:
    """A ROC curve of at most so many points, its first and last among them."""
    if curve is None or len(curve[0]) <= points:
        return curve
    kept = np.unique(np.linspace(0, len(curve[0]) - 1, points).astype(np.int64))
    return curve[0][kept], curve[1][kept]


def against(arm: Arm, others: Sequence[Arm], reference: str = REFERENCE) -> Figure:
    """PGR of an arm less that of the reference against the same assistant, run by run.

    Jointly over seeds and openings; of one pair of runs within these, of two their mean, without an interval.
    reference: an arm's strategy or label. Raises SpecError where several have that strategy.
    """
    references = [o for o in others if reference in (o.strategy, o.label) and o.assistant == arm.assistant]
    if arm in references or not references:
        return Figure(None, reason=f"no other arm of {reference} against the same assistant")
    if len(references) > 1:
        raise SpecError(
            f"several arms are {reference}: expected one of {'; '.join(other.label for other in references)}"
        )
    return _of_pairs(arm, references[0], pgr_difference_figure, pgr_run_difference_figure)


def retained(arm: Arm, others: Sequence[Arm]) -> Figure:
    """PGR of an arm over that of its control, which learned from the honest answers of the same assistant alone.

    The control of the same strategy, where there are several. Jointly over seeds and openings; of one pair of runs
    within these, of two their mean, without an interval.
    """
    controls = [o for o in others if o.values.get(EXAMPLES) == "honest" and o.assistant == arm.assistant]
    same = [o for o in controls if o.strategy == arm.strategy] or controls
    if arm in same or len(same) != 1:
        which = f"no one arm with {EXAMPLES} = honest against the same assistant"
        return Figure(None, reason="it is the control itself" if arm in same else which)
    return _of_pairs(arm, same[0], retained_figure, retained_run_figure)


def _of_pairs(arm: Arm, other: Arm, of_seeds: Callable[..., Figure], of_run: Callable[..., Figure]) -> Figure:
    """A figure of two arms' pair scores, run by run: over seeds where there are enough, else of each run."""
    shared = [seed for seed in arm.seeds if seed in other.seeds]
    if not shared:
        return Figure(None, reason="no seeds in common")
    scores_of = arm.point.pairs[[arm.seeds.index(seed) for seed in shared]]
    scores_against = other.point.pairs[[other.seeds.index(seed) for seed in shared]]
    complete = ~(np.isnan(scores_of).any((0, 1)) | np.isnan(scores_against).any((0, 1)))
    scores = scores_of[:, 0, complete], scores_of[:, 1, complete], scores_against[:, 1, complete]
    if len(shared) >= SEEDS:
        return of_seeds(*scores, DRAWS, np.random.default_rng(0))
    return few_figure([of_run(*run, DRAWS, np.random.default_rng(0)) for run in zip(*scores, strict=True)])
