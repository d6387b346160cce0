"""Label models tried on the answers of a run that is there: how well each tells lies from honest answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.checkpoint_files import read_checkpoints
from engines.settings import SpecError
from sandwich.label_models.base import REGISTRY, AnswerSet, Bools, LabelModel, Labels
from sandwich.oversight.base import label
from sandwich.protocol import ledger
from sandwich.protocol.labelling import Bench, answer_set, label_table, labelled
from sandwich.runs.labels import bench_of, lies
from sandwich.runs.loop import Folder
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import read_kept
from sandwich.runtime.progress import NO_PROGRESS, Prefixed, ProgressReporter
from sandwich.spec.run_spec import load_spec
from sandwich.statistics import Figure, auc_figure, clustered_share_figure


@dataclass(frozen=True, eq=False)
class Trial:
    """What a label model made of a run's answers after one of its steps.

    model: as a spec names it, with the settings that are not the defaults. step: 1 is the first.
    answers, lies: how many there were. believed: how many of them are.
    auc: chance that an honest answer is taken for likelier honest than a lie.
    lies_among_believed: share of lies among the moves that are learned. honest_believed: share of the honest answers in
    whose positions a move is learned. All intervals are over openings, for the model as it was fitted.
    fitted: examples passed over in fits. evaluations: positions evaluated. seconds: that it took.
    """

    model: str
    step: int
    answers: int
    lies: int
    believed: int
    auc: Figure
    lies_among_believed: Figure
    honest_believed: Figure
    fitted: int
    evaluations: int
    seconds: float

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: value.json() if isinstance(value, Figure) else value for name, value in vars(self).items()}


def try_label_models(
    cluster: Cluster,
    run: Path,
    models: Sequence[LabelModel],
    steps: int | None = None,
    games: int | None = None,
    progress: ProgressReporter = NO_PROGRESS,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Put each label model to the answers of a run's first `steps` steps, one after the other as in a run.

    It judges with the students that the run had, whatever they had learned from. games: so many of each step, its
    first; None: all. Nothing in the folder is changed.
    Raises SpecError for a folder without so many steps of games, or whose answers are no moves; PluginError,
    DamagedError.
    """
    files = sorted((run / "ledger").glob("step-*.parquet"))
    if not files:
        raise SpecError(f"{run} holds no run: expected ledger/step-*.parquet in it")
    specs = [load_spec(run / "spec.yaml", {"label_model": REGISTRY.describe(model)}) for model in models]
    folder = Folder(run)
    if len(files) < (steps or 1):
        raise SpecError(f"{run} holds the games of {len(files)} steps: expected {steps or 1} or more")
    ledgers = [_first(ledger.read(file), games) for file in files[:steps]]
    every = [answer_set(ledgers[: step + 1]) for step in range(len(ledgers))]
    out = []
    for model, spec in zip(models, specs, strict=True):
        memory: dict[str, bytes] = {}
        checkpoints = read_checkpoints(spec)
        for step, answers in enumerate(every):
            reporter = Prefixed(progress, f"{REGISTRY.name(model)}, step {step + 1}: ")
            student = read_kept(folder.checkpoint(step))
            bench = bench_of(spec, step, student, memory, cluster, reporter, checkpoints)
            begun = perf_counter()
            labels = labelled(model, answers, bench)
            seconds, table = perf_counter() - begun, label_table(answers, labels)
            lie, learned = lies(table, ledgers[: step + 1])
            out.append(_trial(model, step, answers, labels, lie, learned, bench, seconds))
            on_trial(out[-1])
    return out


def _first(content: pa.Table, games: int | None) -> pa.Table:
    if games is None:
        return content
    return content.filter(pc.less(content["game"], games))


def _trial(
    model: LabelModel,
    step: int,
    answers: AnswerSet,
    labels: Labels,
    lie: Bools,
    learned: Bools,
    bench: Bench,
    seconds: float,
) -> Trial:
    believed, opening = labels.believed, answers.opening
    return Trial(
        label(model, REGISTRY),
        step + 1,
        len(lie),
        int(lie.sum()),
        int(believed.sum()),
        auc_figure(labels.honest.astype(np.float64), lie, opening),
        clustered_share_figure(learned[believed], opening[believed]),
        clustered_share_figure(believed[~lie], opening[~lie]),
        round(bench.passed),
        bench.evaluations,
        seconds,
    )
