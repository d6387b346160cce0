"""The Python interface: what the command line does, as functions (docs/python.md).

Importing it costs nothing: each function imports what it needs when it is called. Where a spec is taken it may be
the record, the path of its file or the name of a shipped one; paths are strings or `Path`s; tables are data frames.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from agents.players.base import Player
    from sandwich.evaluation.match import Match
    from sandwich.highstakes.spec import HighStakesSpec
    from sandwich.runtime.progress import ProgressReporter, RunProgress
    from sandwich.spec.run_spec import RunSpec
    from sandwich.sweeps.cells import Cell
    from sandwich.sweeps.sweep_spec import SweepSpec

Override = str | Mapping[str, Any]
"""`key.path=value` with the value in YAML, as on the command line, or dotted keys with their values."""

RUNS = Path("runs")
"""Folder that runs and sweeps are written into, by name, where none is given."""


def load_spec(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> "RunSpec":
    """The spec of a run: of a YAML file, or the shipped one of that name, with other values of some keys.

    overrides: `"assistant.misalignment.p=0.5"` as on the command line, or `{"assistant.misalignment.p": 0.5}`.
    keys: values of keys at the top, such as `seed=1`.
    Raises SpecError in one line for a key or value that can't be.
    """
    from sandwich.spec.run_spec import load_spec as load

    return load(source, *overrides, **keys)


def load_sweep(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> "SweepSpec":
    """The spec of a sweep; as `load_spec`."""
    from sandwich.sweeps.sweep_spec import load_sweep as load

    return load(source, *overrides, **keys)


def shipped_specs() -> list[str]:
    """Names of the specs that are shipped: those of runs, sweeps, trainings, evaluations and filters."""
    from sandwich.spec.shipped import shipped_specs as shipped

    return list(shipped())


def run(
    spec: "RunSpec | str | Path",
    out: str | Path | None = None,
    *,
    controls: bool = False,
    mended: bool = False,
    progress: "RunProgress | None" = None,
) -> dict[str, Any]:
    """Carry a run out, or go on with the one in its folder; what its result.json says.

    out: the run folder; None: `runs/NAME`.
    controls: the run's controls too, in its folder; their results are in the key `controls`, and in
        `retained` the run's PGR over that of its control that learns from the honest answers alone.
    mended: go on although the code of a plugin has changed since some of the games were played.
    Raises SpecError where the folder holds something else.
    """
    from sandwich.runs.controls import FOLDER, retained
    from sandwich.runs.controls import controls as controls_of
    from sandwich.runs.loop import run as run_loop
    from sandwich.runs.metrics import read_metrics as read_rows
    from sandwich.runtime.progress import NO_PROGRESS
    from sandwich.spec.run_spec import RunSpec

    spec = spec if isinstance(spec, RunSpec) else load_spec(spec)
    folder = RUNS / spec.name if out is None else Path(out)
    final = run_loop(spec, folder, progress or NO_PROGRESS, mended=mended)
    if controls:
        final["controls"] = {
            name: run_loop(control, folder / FOLDER / name, progress or NO_PROGRESS, mended=mended)
            for name, control in controls_of(spec, folder.resolve().name).items()
        }
        rows, alone = read_rows(folder), read_rows(folder / FOLDER / "honest_only")
        final["retained"] = retained(rows, alone, spec).json()
    return final


def sweep(
    spec: "SweepSpec | str | Path",
    out: str | Path | None = None,
    *,
    beside: str | Path | None = None,
    again: bool = False,
    on_step: Callable[[str, int], None] | None = None,
) -> "pd.DataFrame":
    """Do the runs of a sweep that are not done yet; a row for each cell, as `read_sweep` has it.

    out: the sweep's folder; None: `runs/NAME`.
    beside: folder of the files of plugins that are not installed; None: that of the spec's file, or the current one.
    again: do those anew as well that are damaged, or that other versions, engines or plugins have made than these.
    on_step: hears of each cell (key) and the rows that its run has so far.
    A cell that fails is left with its error, and the others go on.
    """
    from sandwich.sweeps.planning import plan
    from sandwich.sweeps.sweep import run_sweep, set_aside

    spec, folder = _sweep(spec)
    root = RUNS / spec.name if out is None else Path(out)
    cells = plan(spec, beside or folder, root)
    if again and set_aside(cells):
        cells = plan(spec, beside or folder, root)
    run_sweep(spec, beside or folder, cells, root, on_step or (lambda key, rows: None))
    return _cell_table(cells)


def _sweep(spec: "SweepSpec | str | Path") -> tuple["SweepSpec", Path]:
    """The spec of a sweep, and where the files of its plugins are looked for."""
    from sandwich.spec.shipped import find_spec, plugin_folder
    from sandwich.sweeps.sweep_spec import SweepSpec

    return (spec, Path()) if isinstance(spec, SweepSpec) else (load_sweep(spec), plugin_folder(find_spec(spec)))


def _cell_table(cells: Sequence["Cell"]) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for cell in cells:
        mark, metrics = cell.read_mark(), cell.rows
        pgr = metrics[-1]["pgr"] if len(metrics) > 1 else {}
        ends = {"pgr": pgr.get("value"), "pgr/low": pgr.get("low"), "pgr/high": pgr.get("high")}
        rows.append(
            {
                "cell": cell.key,
                **cell.values,
                "state": mark["state"],
                "steps": max(0, len(metrics) - 1),
                **{name: math.nan if value is None else value for name, value in ends.items()},
                "error": mark["error"],
                "folder": str(cell.folder),
            }
        )
    return pd.DataFrame(rows)


def read_sweep(folder: str | Path) -> "pd.DataFrame":
    """How a sweep stands, running or not: a row for each cell, with the keys that vary, its state and its PGR so far.

    Raises SpecError for a folder that holds no sweep.
    """
    from sandwich.sweeps.planning import planned

    return _cell_table(planned(folder)[1])


def read_ledger(run: str | Path, columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """The ledger of a run: a row for each ply of its games (docs/reference/ledger.md).

    run: a run folder, of which all steps are read (then with a column `step`), or the file of one step.
    columns: those to read; None: all of them.
    `misaligned` and `believed` are nullable booleans: NA where nothing was asked.
    Raises LedgerError in one line.
    """
    import pandas as pd
    import pyarrow as pa

    from sandwich.protocol import ledger

    content = ledger.read(run, columns)
    frame = content.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    unsaid = [field.name for field in content.schema if field.nullable and pa.types.is_boolean(field.type)]
    return frame.astype(dict.fromkeys(unsaid, "boolean"))


def read_metrics(run: str | Path) -> "pd.DataFrame":
    """The figures of a run: a row for each step, a column for each number by flat name (`pgr`, `pgr/low`, …).

    A figure that was not measured is NaN. Raises MetricsError in one line for a damaged file.
    """
    import pandas as pd

    from sandwich.runs.metrics import read_metrics as read_rows

    return pd.DataFrame([_numbers(row) for row in read_rows(run)])


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """A row's numbers by flat name, NaN for figures that were not measured."""
    from sandwich.runs.metrics import scalars

    return dict.fromkeys(_unmeasured(row), math.nan) | scalars(dict(row))


def _unmeasured(row: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            if "value" in value and value["value"] is None:
                yield f"{prefix}{key}"
            yield from _unmeasured(value, f"{prefix}{key}/")


def play_match(
    first: "Player | str",
    second: "Player | str",
    *,
    pairs: int = 200,
    temperature: float = 0.0,
    seed: int = 0,
    ply_cap: int = 200,
    workers: int | None = None,
) -> "Match":
    """A match from the book of measuring openings, with the Elo and the score of the first player.

    first, second: `expert`, `weak`, the path of a checkpoint, `TYPE:key=value,…`, or a player.
    pairs: openings, each played with both colours. temperature: of the first player.
    ply_cap: plies after which a game is a draw. workers: processes; None: one per core.
    Raises SpecError, CheckpointError for a player that can't be.
    """
    from agents.checkpoint_files import read_checkpoints
    from agents.players.base import parse_player
    from engines.settings import SpecError
    from sandwich.data.openings import book
    from sandwich.evaluation.match import Contestants
    from sandwich.evaluation.match import play_match as play
    from sandwich.runtime.cluster import Cluster, cores
    from sandwich.runtime.networks import InferenceConfig

    openings = book("measure")
    if not 2 <= pairs <= len(openings):
        raise SpecError(f"pairs: expected 2 to {len(openings)}, the openings of the book, got {pairs}")
    both = parse_player(first), parse_player(second)
    contestants = Contestants(*both, read_checkpoints(list(both)), (temperature, 0.0))
    with Cluster(workers or cores()) as cluster:
        return play(
            cluster, contestants, openings[:pairs], seed=seed, ply_cap=ply_cap, inference=InferenceConfig()
        )  # fmt: skip


def evaluate_oversight(
    source: "SweepSpec | str | Path" = "majority",
    out: str | Path | None = None,
    *,
    step: int | None = None,
    than: str = "trust",
) -> "pd.DataFrame":
    """Oversight strategies side by side: a row for each strategy against each assistant.

    source: the folder of a sweep over strategies, or the spec of one, whose missing runs are done first in `out`.
    step: compared after this one; None: the last that all runs get to.
    than: strategy that differences (`against`) are taken from.
    Figures stand under their names, ends of their intervals under `NAME/low` and `NAME/high`; the p-value of a
    difference under `against/p`, and corrected for their number under `against/p_holm`.
    Raises SpecError.
    """
    import pandas as pd

    from sandwich.sweeps.comparison import compare, rows_of
    from sandwich.sweeps.planning import plan, planned
    from sandwich.sweeps.sweep import run_sweep
    from sandwich.sweeps.sweep_spec import SweepSpec

    if not isinstance(source, SweepSpec) and Path(source).is_dir():
        root = Path(source)
        cells = planned(root)[1]
    else:
        spec, beside = _sweep(source)
        root = RUNS / spec.name if out is None else Path(out)
        cells = plan(spec, beside, root)
        run_sweep(spec, beside, cells, root)
    _, arms = compare(root, cells, step, than)
    rows = rows_of(arms, than)
    named = [{"strategy": row["label"], "assistant": row["assistant"], "runs": len(row["seeds"])} for row in rows]
    values = ("label", "strategy", "assistant", "values", "seeds")
    figures = [{name: figure for name, figure in row.items() if name not in values} for row in rows]
    return pd.DataFrame([{**name, **_numbers(figure)} for name, figure in zip(named, figures, strict=True)])


def evaluate_misalignments(
    spec: str | Path = "evaluate_misalignments",
    out: str | Path = "runs/misalignments",
    *overrides: Override | Iterable[Override],
    workers: int | None = None,
    progress: "ProgressReporter | None" = None,
) -> "pd.DataFrame":
    """Harm and suspicion of misalignments: a row for each of them at each dose (docs/results/harm-and-suspicion.md).

    out: folder that keeps the labelled positions, which the same settings find again.
    Raises SpecError; EngineError without a Stockfish.
    """
    import pandas as pd

    from agents.checkpoint_files import read_checkpoints
    from sandwich.evaluation.misalignments import MisalignmentEvaluationConfig
    from sandwich.evaluation.misalignments import evaluate_misalignments as evaluate
    from sandwich.runs.provenance import keyed_folder
    from sandwich.runtime.cluster import Cluster, cores
    from sandwich.runtime.kept import keep_checksums
    from sandwich.runtime.locks import driver
    from sandwich.runtime.progress import NO_PROGRESS
    from sandwich.spec.kinds import MISALIGNMENTS, read_spec

    config, _ = read_spec(MisalignmentEvaluationConfig, MISALIGNMENTS, spec, *overrides)
    folder = Path(out)
    checkpoints = read_checkpoints(config)
    kept = keyed_folder(folder, "positions", config.labelled_positions, checkpoints)
    with driver(folder), Cluster(workers or cores()) as cluster:
        keep_checksums(folder)
        rows = evaluate(cluster, config, checkpoints, kept, progress or NO_PROGRESS)
    doses = [next(iter(row.pop("dose").values())) for row in rows]
    names = [row.pop("misalignment") for row in rows]
    table = [{"misalignment": n, "dose": d, **_numbers(row)} for n, d, row in zip(names, doses, rows, strict=True)]
    return pd.DataFrame(table)


def train_player(
    corpora: str | Path | Sequence[str | Path],
    out: str | Path,
    *overrides: Override | Iterable[Override],
    recipe: str | Path = "train_weak",
    progress: "ProgressReporter | None" = None,
    **keys: Any,
) -> Path:
    """Train a player from corpora of labelled positions, or go on where it was cut off; the path of its checkpoint.

    The path can stand wherever a player's name can: `load_spec("default", student=path)`.
    corpora: folder of a corpus, or several.
    recipe: the training's spec: `train_weak`, `train_expert` or a file. Overrides and keys are those of `load_spec`.
    Raises SpecError where `out` holds a training with other settings, CorpusError for a folder without a corpus.
    """
    from sandwich.data.openings import measured_positions
    from sandwich.runtime.progress import NO_PROGRESS
    from sandwich.spec.kinds import TRAINING, read_spec
    from sandwich.training.pretraining import PretrainConfig, pretrain

    folders = [corpora] if isinstance(corpora, str | Path) else corpora
    config, _ = read_spec(PretrainConfig, TRAINING, recipe, *overrides, keys)
    folder = Path(out)
    pretrain(list(map(Path, folders)), folder, config, measured_positions(), progress or NO_PROGRESS)
    return folder / "network.safetensors"


def load_highstakes(source: str | Path, *overrides: Override | Iterable[Override], **keys: Any) -> "HighStakesSpec":
    """The spec of a blunder filter and the attacks on it; as `load_spec`."""
    from sandwich.highstakes.spec import load_highstakes as load

    return load(source, *overrides, **keys)


def run_highstakes(
    spec: "HighStakesSpec | str | Path", out: str | Path | None = None, *, progress: "ProgressReporter | None" = None
) -> dict[str, Any]:
    """Train a blunder filter, attack it and harden it, or go on where that stopped; what its result.json says.

    out: the experiment's folder; None: `runs/NAME`.
    Raises SpecError where the folder holds something else; EngineError without a Stockfish; BusyError where another
    process is at work in the folder; DamagedError.
    """
    from sandwich.highstakes import outcome
    from sandwich.highstakes.adversarial_training import AdversarialTraining, worker_count
    from sandwich.highstakes.spec import HighStakesSpec
    from sandwich.runtime.cluster import Cluster
    from sandwich.runtime.kept import ROOTS
    from sandwich.runtime.locks import driver
    from sandwich.runtime.progress import NO_PROGRESS

    spec = spec if isinstance(spec, HighStakesSpec) else load_highstakes(spec)
    folder = RUNS / spec.name if out is None else Path(out)
    with driver(folder, apart=ROOTS), Cluster(worker_count(spec)) as cluster:
        return outcome.run(AdversarialTraining(spec, folder, cluster, progress or NO_PROGRESS))
