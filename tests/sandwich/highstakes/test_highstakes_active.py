"""Active learning: what is asked about, that it is asked once, and that attackers never see it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from agents.advice import Channel, Query
from agents.judging import engine_values
from engines import filter as filters
from engines.settings import SpecError
from engines.stockfish import Stockfish
from sandwich.data.corpus import CorpusError
from sandwich.highstakes import outcome
from sandwich.highstakes.active import ActiveConfig, asked, choose, doubt, for_attackers, joined
from sandwich.highstakes.adversarial_training import AdversarialTraining
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.dataset import make_dataset
from sandwich.highstakes.fit import lessons
from sandwich.highstakes.harden import HardenConfig
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import DamagedError
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from sandwich.spec.loading import validate
from tests.helpers.highstakes import CHECKPOINTS, DATA, small_network, small_spec
from tests.helpers.progress import RecordingProgress
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE, Inline

NODES = 300
INFERENCE = InferenceConfig()


def content() -> bytes:
    """A filter of random weights."""
    return filters.to_bytes(small_network(1), 0.5)


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Catastrophes:
    """The unlabelled positions of a small dataset's training games."""
    folder = tmp_path_factory.mktemp("dataset")
    config = DATA.model_copy(update={"per_game": 1, "positions": 60, "spare": 6})
    return make_dataset(INLINE, config, CHECKPOINTS, INFERENCE, folder).split("train", False)


def test_doubt_is_the_entropy_of_verdicts_expected_over_proposals() -> None:
    policies = [[np.array([0.5, 0.5], np.float32)], [np.array([1, 0], np.float32)]]
    data = Catastrophes(
        np.zeros((1, 10), np.uint64), [[1, 2]], [np.empty(0, np.float32)],
        {"a": policies[0], "b": policies[1]}, {}, np.zeros(1, np.int64), np.zeros(1, np.int64), 0.15,
    )  # fmt: skip
    # 0.75 of proposals are the first move, on which the filter is undecided; it is sure of the other one.
    assert doubt(data, [np.array([0.5, 0.0], np.float32)]) == pytest.approx([0.75])
    assert doubt(data, [np.array([0.0, 0.5], np.float32)]) == pytest.approx([0.25])
    assert doubt(data, [np.array([0.0, 1.0], np.float32)]) == pytest.approx([0])


def test_the_most_doubtful_of_those_that_are_free_are_chosen_and_the_control_draws_by_lot() -> None:
    doubts, free = np.array([0.9, 0.1, 0.5, 0.5, 0.8, 0.5]), np.array([1, 2, 3, 4, 5])
    rng = np.random.default_rng
    assert choose(doubts, free, ActiveConfig(positions=3), rng(0)).tolist() == [2, 3, 4]
    assert choose(doubts, free, ActiveConfig(positions=9), rng(0)).tolist() == free.tolist()
    lots = [choose(doubts, free, ActiveConfig(positions=2, choice="random"), rng(seed)).tolist() for seed in range(30)]
    assert {row for lot in lots for row in lot} == set(free.tolist())
    assert lots[7] == choose(doubts, free, ActiveConfig(positions=2, choice="random"), rng(7)).tolist()


@needs_stockfish
def test_positions_asked_about_are_labelled_as_those_of_play_and_only_once(spare: Catastrophes, tmp_path: Path) -> None:
    config = ActiveConfig(positions=4)

    def ask(number: int, progress: ProgressReporter = NO_PROGRESS) -> Catastrophes:
        folders = [tmp_path / str(earlier) for earlier in range(number + 1)]
        return asked(
            INLINE, spare, content(), config, folders[-1], folders[:-1], NODES, (0, number), INFERENCE, progress
        )  # fmt: skip

    progress = RecordingProgress()
    first = ask(0, progress)
    assert progress.done == progress.totals == {"positions asked about": 4}
    with Stockfish(hash_mib=1) as engine:
        for row in range(4):
            values = engine_values(engine, Query(first.packed[row], first.legal[row], Channel.MOVE, 0, 0), NODES)
            assert first.values[row] == pytest.approx(values, abs=1e-6)
    second = ask(1)
    assert not {row.tobytes() for row in first.packed} & {row.tobytes() for row in second.packed}
    unseen = {row.tobytes() for row in for_attackers(spare, config).packed}
    assert not unseen & {row.tobytes() for row in np.concatenate([first.packed, second.packed])}
    assert unseen
    assert for_attackers(spare, ActiveConfig()) is spare
    kept = {path.name: path.read_bytes() for path in (tmp_path / "0").iterdir()}
    again = ask(0)  # nothing is asked anew
    assert [row.tolist() for row in again.values] == [row.tolist() for row in first.values]
    assert {path.name: path.read_bytes() for path in (tmp_path / "0").iterdir()} == kept
    both = lessons(joined([first, second]), 2.0)
    assert both.weight.tolist() == [1.0] * 8


@needs_stockfish
def test_labels_do_not_depend_on_who_labels_or_on_a_kill(
    spare: Catastrophes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandwich.highstakes.active.BLOCK", 3)

    class Backwards(Inline):
        def map(self, function: Any, shared: Any, jobs: Sequence[Any], *on_result: Any) -> list[Any]:
            return super().map(function, shared, jobs[::-1], *on_result)[::-1]

    config = ActiveConfig(positions=8)
    for name, cluster in (("one", INLINE), ("other", cast(Cluster, Backwards()))):
        asked(cluster, spare, content(), config, tmp_path / name, [], NODES, (0, 0), INFERENCE)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert len(files) == 4
    assert {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()} == files
    (tmp_path / "one" / "block-00001.parquet").unlink()
    asked(INLINE, spare, b"is not opened again", config, tmp_path / "one", [], NODES, (0, 0), INFERENCE)
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == files
    (tmp_path / "one" / "block-00001.parquet").write_bytes(files["block-00000.parquet"])
    with pytest.raises(CorpusError, match=r"block-00001\.parquet holds other positions"):
        asked(INLINE, spare, content(), config, tmp_path / "one", [], NODES, (0, 0), INFERENCE)
    (tmp_path / "one" / "block-00001.parquet").write_bytes(b"")
    with pytest.raises(DamagedError, match=r"block-00001\.parquet is damaged"):
        asked(INLINE, spare, content(), config, tmp_path / "one", [], NODES, (0, 0), INFERENCE)


@needs_stockfish
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_experiment_that_asks_learns_from_the_answers_and_says_what_they_were(tmp_path: Path) -> None:
    spec = small_spec(tmp_path / "start.safetensors")
    few = {"sample": spec.attacks["sample"].model_copy(update={"runs": 2})}
    plain = spec.model_copy(update={"attacks": few, "variants": {}, "verify": None, "strength": None})
    harden = spec.harden.model_copy(update={"active": ActiveConfig(positions=6), "fit": None})
    out = [tmp_path / "active", tmp_path / "plain"]
    result = outcome.run(AdversarialTraining(plain.model_copy(update={"harden": harden}), out[0], INLINE))
    chosen = result["generations"][0]["active"]
    assert chosen["positions"] == 6
    assert chosen["pool"] > 6
    assert chosen["doubt"] > chosen["pool_doubt"]
    assert "active" not in result["generations"][1]  # nobody learns from what the last filter doubts
    bare = AdversarialTraining(plain, out[1], INLINE)
    for part in ("dataset", "generation-0/attacks"):
        shutil.copytree(out[0] / part, out[1] / part, dirs_exist_ok=True)
    for number in range(2):
        bare.generation(number, bare.dataset())
    first, second = ([folder / f"generation-{n}" / "network.safetensors" for folder in out] for n in range(2))
    assert first[0].read_bytes() == first[1].read_bytes()
    assert second[0].read_bytes() != second[1].read_bytes()
    assert not (out[1] / "generation-0" / "active").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"choice": "entropy"}, r"active\.choice: .*doubt"), ({"positions": -1}, r"active\.positions: ")],
)
def test_wrong_settings_are_told_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message) as error:
        validate(HardenConfig, {"active": settings}, Path())
    assert "\n" not in str(error.value)
