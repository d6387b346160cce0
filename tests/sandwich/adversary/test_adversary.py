"""The adversary: what moves are worth to it, and its training."""

import json
import shutil
from pathlib import Path

import chess
import numpy as np
import pytest
import torch

from engines import moves, planes
from engines.inference import make_evaluator
from engines.network import NetworkConfig, PolicyValueNet, load_network, to_bytes
from engines.settings import SpecError
from sandwich.adversary.config import AdversaryConfig
from sandwich.adversary.training import Round, train_adversary
from sandwich.adversary.worth import Suspicion, lessons, truths, worths
from sandwich.data.labelled_positions import LabelledPositions
from sandwich.oversight.plausible import Plausible
from sandwich.runtime.cluster import Cluster
from sandwich.runtime.kept import remove_kept, write_kept
from sandwich.spec.kinds import ADVERSARY, read_spec
from sandwich.spec.loading import validate
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE


def hand_made() -> LabelledPositions:
    """Two positions with made-up worths: the start, and a mate in one for White (Qxf7)."""
    fens = [chess.STARTING_FEN, "r1bqkbnr/pppp1ppp/2n5/4p2Q/2B1P3/8/PPPP1PPP/RNB1K1NR w KQkq - 4 4"]
    boards = [chess.Board(fen) for fen in fens]
    legal = [sorted(moves.encode_all(board.legal_moves, board.turn)) for board in boards]
    values = [np.linspace(0.2, 0.6, len(row)).astype(np.float32) for row in legal]
    packed = np.array([planes.pack(board) for board in boards], np.uint64)
    return LabelledPositions(packed, legal, values, np.array([0, 1]))


POSITIONS = hand_made()


def test_worth_is_harm_less_the_greatest_suspicion() -> None:
    positions = POSITIONS
    blind = Suspicion(
        [np.zeros(len(row), np.float32) for row in positions.legal],
        [np.zeros(len(row), np.float32) for row in positions.legal],
        np.array([0.5, 0.5], np.float32),
    )
    sharp = Suspicion(
        [np.where(np.arange(len(row)) == 0, 0.4, 0).astype(np.float32) for row in positions.legal],
        [np.where(np.arange(len(row)) == 1, 2.0, 0).astype(np.float32) for row in positions.legal],
        np.array([0.5, 0.5], np.float32),
    )
    config = AdversaryConfig(value_weight=1.0, policy_weight=0.1)
    for row, worth in enumerate(worths(positions, [blind], config)):
        assert np.allclose(worth, positions.losses(row))
        assert worth.argmax() == 0  # the worst move, when nobody looks
    for row, worth in enumerate(worths(positions, [blind, sharp], config)):
        loss = positions.losses(row)
        assert np.allclose(worth[:3], [loss[0] - 0.4, loss[1] - 0.2, loss[2]])


def test_against_a_strategy_worth_is_what_is_lost_by_what_every_judge_believes() -> None:
    """A refused move has its doubt alone against it: of two the less suspect one is worth more."""
    unlikely = [np.arange(len(row), dtype=np.float32) for row in POSITIONS.legal]
    seen = Suspicion([0 * row for row in unlikely], unlikely, np.array([0.5, 0.5], np.float32))
    first, second = ([np.ones(len(row), np.bool_) for row in POSITIONS.legal] for _ in range(2))
    first[0][[0, 2]] = False  # of the two worst moves one is refused by either judge
    second[0][1] = False
    config = AdversaryConfig(policy_weight=0.1, against=Plausible(), doubt_weight=0.2)
    worth, _ = worths(POSITIONS, [seen, seen], config, [first, second])
    loss, doubt = POSITIONS.losses(0), 0.02 * np.arange(len(POSITIONS.legal[0]))
    assert np.allclose(worth[:3], -doubt[:3])
    assert worth[0] > worth[1] > worth[2]
    assert np.allclose(worth[3:], loss[3:] - doubt[3:])
    assert worth.argmax() == 3


def test_lessons_list_moves_by_worth() -> None:
    positions = POSITIONS
    worth = [positions.losses(row) for row in range(2)]
    soft = lessons(positions, worth, np.array([0.5, 0.9], np.float32), 0.05)
    hard = lessons(positions, worth, np.array([0.5, 0.9], np.float32), None)
    for row in range(2):
        count = len(positions.legal[row])
        listed = [positions.legal[row][place] for place in np.argsort(-worth[row], kind="stable")]
        assert soft.moves[row, :count].tolist() == listed[: soft.moves.shape[1]]
        assert soft.policy[row].sum() == pytest.approx(1)
        assert np.allclose(hard.policy[row, :count], np.sort(worth[row])[::-1][: soft.moves.shape[1]])
    value = soft.wdl[:, 0] + soft.wdl[:, 1] / 2
    assert np.allclose(value, [0.5, 0.9], atol=1e-6)


def test_truths_are_of_the_opponents_side_and_leave_out_finished_games() -> None:
    positions = POSITIONS
    mate = moves.encode(chess.Move.from_uci("h5f7"), chess.WHITE)
    chosen = [3, positions.legal[1].index(mate)]
    lesson = truths(positions, chosen)
    assert len(lesson) == 1  # behind the mate there is nothing to learn
    assert lesson.wdl[0, 0] + lesson.wdl[0, 1] / 2 == pytest.approx(1 - positions.values[0][3], abs=1e-6)
    board = planes.unpack(lesson.packed[0])
    assert board.turn == chess.BLACK
    assert lesson.policy.sum() == 0


def tiny(folder: Path) -> dict[str, object]:
    """Settings of a training that takes seconds, from a network in this folder."""
    small = folder / "small.safetensors"
    torch.manual_seed(0)
    small.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=8, head=8))))
    fit = {"epochs": 1, "batch": 64, "precision": "fp32"}
    return {
        "labelled_positions": {"positions": 120, "per_game": 10, "nodes": 100},
        "start": str(small),
        "judge": str(small),
        "rounds": 2,
        "imitate": {**fit, "epochs": 4, "learning_rate": 0.01},
        "improve": {**fit, "objective": "worth"},
        "judge_fit": fit,
    }


def trained(cluster: Cluster, out: Path, settings: AdversaryConfig) -> tuple[bytes, list[Round]]:
    """The network's file, and the rounds that were done for it now."""
    rounds: list[Round] = []
    train_adversary(cluster, out, settings, on_round=rounds.append)
    return (out / "network.safetensors").read_bytes(), rounds


def as_after_its_first_round(whole: Path, cut: Path) -> Path:
    """A copy of a training's folder as a kill after the first of two rounds leaves it."""
    shutil.copytree(whole, cut)
    for name in ("network.safetensors", "round-2.safetensors", "judge-2.safetensors"):
        remove_kept(cut / name)
    history = (cut / "rounds.jsonl").read_text().splitlines()
    write_kept(cut / "rounds.jsonl", f"{history[0]}\n".encode())
    return cut


@needs_stockfish
@pytest.mark.slow
def test_an_adversary_learns_to_lose_and_goes_on_behind_its_last_round(cluster: Cluster, tmp_path: Path) -> None:
    config = validate(AdversaryConfig, tiny(tmp_path))
    whole, rounds = trained(cluster, tmp_path / "whole", config)
    assert [made.number for made in rounds] == [1, 2]
    assert all(0 <= made.harm <= 100 and made.suspected >= 0 for made in rounds)
    view = make_evaluator(load_network(tmp_path / "whole" / "network.safetensors"))(POSITIONS.packed, POSITIONS.legal)
    assert len(view.policy) == 2  # a network like any other
    with pytest.raises(SpecError, match="with other settings"):
        trained(cluster, tmp_path / "whole", config.model_copy(update={"seed": 5}))

    again, rounds = trained(cluster, as_after_its_first_round(tmp_path / "whole", tmp_path / "cut"), config)
    assert [made.number for made in rounds] == [2]
    assert again == whole


@needs_stockfish
@pytest.mark.slow
def test_an_adversary_against_a_strategy_says_what_that_believes(tmp_path: Path) -> None:
    settings = tiny(tmp_path)
    config = validate(AdversaryConfig, {**settings, "against": "unanimous:members=[plausible:least=0.03]"})
    whole, rounds = trained(INLINE, tmp_path / "whole", config)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "rounds.jsonl").read_text().splitlines()]
    for made, line in zip(rounds, lines, strict=True):
        assert made.against is not None
        assert line == made.row()
        assert list(line)[-4:] == ["believed", "believed_harm", "believed_newest", "believed_after"]
        assert 0 < made.against.believed <= 1
    again, rounds = trained(INLINE, as_after_its_first_round(tmp_path / "whole", tmp_path / "cut"), config)
    assert [made.number for made in rounds] == [2]
    assert again == whole
    of_nobody, rounds = trained(INLINE, tmp_path / "nobody", validate(AdversaryConfig, settings))
    assert of_nobody != whole
    assert rounds[0].against is None


@needs_stockfish
@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "share"), [("trust", 1.0), ("ignore", 0.0)])
def test_what_the_strategy_believes_of_an_adversary(strategy: str, share: float, tmp_path: Path) -> None:
    """One that refuses nothing believes every move, at its whole harm; of one that refuses all there is no harm."""
    config = validate(AdversaryConfig, {**tiny(tmp_path), "rounds": 1, "against": strategy})
    _, (made,) = trained(INLINE, tmp_path / "out", config)
    harm = pytest.approx(made.harm) if share else None
    assert made.row().items() >= {"believed": share, "believed_newest": share, "believed_after": share}.items()
    assert made.row()["believed_harm"] == harm


def test_a_folder_keeps_nothing_of_a_strategy_where_there_is_none() -> None:
    assert not {"against", "doubt_weight"} & AdversaryConfig().settings().keys()
    kept = validate(AdversaryConfig, {"against": "veto:delta=0.02"}).settings()
    assert kept["against"] == {"type": "veto", "delta": 0.02}
    assert validate(AdversaryConfig, kept).settings() == kept


def test_another_value_of_one_key_leaves_the_others_of_the_recipe() -> None:
    recipe = AdversaryConfig()
    assert read_spec(AdversaryConfig, ADVERSARY, "train_adversary")[0] == recipe
    said = ["labelled_positions.positions=20", "improve.threads=1"]
    changed = read_spec(AdversaryConfig, ADVERSARY, "train_adversary", said)[0]
    assert changed.labelled_positions == recipe.labelled_positions.model_copy(update={"positions": 20})
    assert changed.improve == recipe.improve.model_copy(update={"threads": 1})


@pytest.mark.parametrize(
    ("said", "mistake"),
    [
        ("vote", "against.type: expected a strategy that asks once, got 'vote': nobody answers here"),
        ("ground_truth", "against.type: expected a strategy that asks once, got 'ground_truth': nobody answers here"),
        ("plausbile", "against.type: unknown oversight strategy 'plausbile'; did you mean plausible?"),
        ("veto:delta=2", "against.delta: expected at most 1, got 2"),
    ],
)
def test_a_strategy_that_nobody_can_be_trained_against_is_refused_in_one_line(said: str, mistake: str) -> None:
    with pytest.raises(SpecError) as caught:
        validate(AdversaryConfig, {"against": said})
    assert str(caught.value).startswith(mistake)
    assert "\n" not in str(caught.value)


def test_an_adversary_goes_on_only_with_the_networks_that_it_was_begun_with(tmp_path: Path) -> None:
    small, out = tmp_path / "small.safetensors", tmp_path / "out"
    small.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=1, channels=8, head=8))))
    config = validate(AdversaryConfig, {"start": str(small), "judge": str(small)})
    out.mkdir()
    (out / "network.safetensors").write_bytes(small.read_bytes())  # nothing is left to train
    train_adversary(INLINE, out, config)
    train_adversary(INLINE, out, config)
    small.write_bytes(to_bytes(PolicyValueNet(NetworkConfig(blocks=2, channels=8, head=8))))
    with pytest.raises(SpecError, match=r"out was begun with another .*small\.safetensors: choose another folder, or"):
        train_adversary(INLINE, out, config)
