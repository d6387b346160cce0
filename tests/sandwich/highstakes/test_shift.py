"""Positions of other kinds than a filter learned from, and its figures on them, with real Stockfish in a small size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
import zstandard

from agents.checkpoint_files import checkpoint_path
from agents.players.network import Network
from engines import filter as filters
from engines import network, planes
from engines.network import NetworkConfig, PolicyValueNet
from engines.positions import parse_fen
from engines.settings import SpecError
from sandwich.data.openings import book
from sandwich.highstakes import resume, shift
from sandwich.highstakes.calibrate import CalibrationConfig
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.dataset import DatasetConfig
from sandwich.highstakes.shift import (
    PLAYERS,
    AnyShift,
    Endgames,
    Games,
    Openings,
    Solved,
    Source,
    Unbalanced,
    make_shift,
    measured,
)
from sandwich.highstakes.spec import HighStakesSpec
from sandwich.highstakes.spec import load_highstakes as load
from sandwich.runtime.networks import InferenceConfig
from sandwich.runtime.progress import NO_PROGRESS, ProgressReporter
from tests.helpers.progress import RecordingProgress
from tests.helpers.project import needs_stockfish
from tests.helpers.small_players import INLINE

DATA = DatasetConfig(nodes=60, proposers={"weak": Network(checkpoint="weak"), "other": Network(checkpoint="weak")})
CHECKPOINTS = {"weak": network.read(checkpoint_path("weak"))}
ENDGAME = "8/5k2/8/3p4/8/4K3/5P2/8 w - - 0 1"
GAME = (
    '[Event "x"]\n[WhiteElo "{white}"]\n[BlackElo "{black}"]\n[Result "1-0"]\n\n'
    "1. e4 e5 2. Nf3 Nc6 3. Bb5 a6 4. Ba4 Nf6 5. O-O Be7 6. Re1 b5 1-0\n\n"
)


def made(source: AnyShift, folder: Path, progress: ProgressReporter = NO_PROGRESS) -> Catastrophes:
    made_with = Source(DATA, CHECKPOINTS, InferenceConfig(), 0)
    return make_shift(INLINE, made_with, "it", source, folder, progress)


def men(positions: Catastrophes) -> list[int]:
    return [planes.unpack(packed).occupied.bit_count() for packed in positions.packed]


def pgn(path: Path, ratings: list[tuple[int, int]]) -> str:
    text = "".join(GAME.format(white=white, black=black) for white, black in ratings).encode()
    path.write_bytes(zstandard.compress(text) if path.suffix == ".zst" else text)
    return str(path)


@needs_stockfish
def test_endgames_come_from_the_ends_of_own_games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "book", lambda purpose: (ENDGAME, book("measure")[0]))
    positions = made(Endgames(kind="endgames", games=4, per_game=3, men=6, plies=12), tmp_path)
    assert len(positions) == 6  # two of the games have no endgame
    assert max(men(positions)) <= 6
    assert all(len(values) == len(legal) for values, legal in zip(positions.values, positions.legal, strict=True))
    assert set(positions.proposals) == {"weak", "other"}


@needs_stockfish
def test_a_shift_goes_on_from_whole_blocks_and_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shift, "GAMES_PER_BLOCK", 2)
    source = Unbalanced(kind="unbalanced", games=5, per_game=1, random=4, plies=6)
    first = made(source, tmp_path)
    files = sorted(tmp_path.glob("block-*"))
    before = [file.read_bytes() for file in files]
    assert len(files) == 3
    assert len(first) == 5
    files[1].unlink()
    progress = RecordingProgress()
    again = made(source, tmp_path, progress)
    assert progress.done == progress.totals == {"games": 5}
    assert [file.read_bytes() for file in files] == before
    assert (again.packed == first.packed).all()


def test_random_moves_lead_to_a_game_that_goes_on() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert not parse_fen(shift.unbalanced(ENDGAME, 6, rng)).is_game_over()


@needs_stockfish
def test_games_of_a_file_begin_where_it_says(tmp_path: Path) -> None:
    file = tmp_path / "ends.epd"
    file.write_text(f'# ends\n{" ".join(ENDGAME.split()[:4])} bm Kd4; id "a";\n\n{ENDGAME}\n')
    source = Openings(kind="openings", file=str(file), games=3, per_game=2, plies=4)
    positions = made(source, tmp_path / "out")
    assert len(positions) == 6
    assert max(men(positions)) <= 4
    file.unlink()
    shift.check("it", source, tmp_path / "out")
    assert len(made(source, tmp_path / "out")) == 6  # only read


@needs_stockfish
@pytest.mark.parametrize("name", ["games.pgn", "games.pgn.zst"])
def test_games_of_a_band_of_ratings_are_positions_with_the_moves_made_in_them(tmp_path: Path, name: str) -> None:
    file = pgn(tmp_path / name, [(1000, 1100), (2000, 2100), (1000, 1000), (2500, 2500)])
    source = Games(kind="games", file=file, max_rating=1100, games=8, per_game=2, skip_opening_plies=4)
    positions = made(source, tmp_path / "out")
    assert len(positions) == 4
    assert set(positions.games) == {0, 1}
    assert all(row.sum() == 1 for row in positions.proposals[PLAYERS])
    assert set(positions.proposals) == {"weak", "other", PLAYERS}
    Path(file).unlink()
    shift.check("it", source, tmp_path / "out")
    assert len(made(source, tmp_path / "out")) == 4  # not read again


@needs_stockfish
def test_filters_are_measured_at_the_threshold_that_they_have(tmp_path: Path) -> None:
    positions = made(Unbalanced(kind="unbalanced", games=6, per_game=2, random=4, plies=8), tmp_path)
    torch.manual_seed(0)
    net = PolicyValueNet(NetworkConfig(blocks=1, channels=16, squeeze=2, head=16)).eval()
    both = [filters.to_bytes(net, 0.0), filters.to_bytes(net, 1.0)]  # the first refuses everything, the other nothing
    figures = measured(positions, both, "weak", CalibrationConfig(bootstrap=100), InferenceConfig(), 0)
    assert (figures["positions"], figures["games"]) == (12, 6)
    shut, opened = (row["proposers"]["weak"]["figures"] for row in figures["filters"])
    assert [row["threshold"] for row in figures["filters"]] == [0, 1]
    assert (shut["rejected"]["value"], opened["rejected"]["value"]) == pytest.approx((1, 0), abs=1e-6)
    assert shut["residual"]["value"] is None
    assert opened["residual"]["value"] == pytest.approx(opened["base"]["value"])
    assert opened["base"]["low"] <= opened["base"]["value"] <= opened["base"]["high"]
    assert figures["difference"]["rejected"]["value"] == pytest.approx(-1, abs=1e-6)
    none = measured(positions.take([]), both, "weak", CalibrationConfig(), InferenceConfig(), 0)
    assert (none["positions"], none["filters"]) == (0, [])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "openings", "file": "none.epd"}, r"shifts\.it\.file: cannot read none\.epd: No such file"),
        ({"kind": "openings", "file": "bad.epd"}, r"shifts\.it\.file: bad\.epd, line 2: not a legal position"),
        ({"kind": "openings", "file": "empty.epd"}, r"shifts\.it\.file: empty\.epd holds no position"),
        ({"kind": "games", "file": "none.pgn"}, r"shifts\.it\.file: cannot read none\.pgn: No such file"),
        ({"kind": "games", "file": "few.pgn", "min_rating": 2000}, r"few\.pgn has no game that fits \(rating out of"),
        ({"kind": "games", "file": "few.pgn", "min_rating": 20, "max_rating": 10}, r"min_rating: expected at most"),
        ({"kind": "ends"}, r"shifts\.it\.kind: expected one of endgames, unbalanced, openings, games, solved, got 'e"),
        ({"kind": "solved", "materials": ["KRK"]}, r"shifts\.it\.materials: expected a material of at most 4 men"),
        ({"kind": "endgames", "mne": 3}, r"shifts\.it\.mne: unknown key; .*known here: .*men"),
    ],
)
def test_what_is_wrong_with_a_shift_is_said_in_one_line(
    source: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.epd").write_text(f"{ENDGAME}\n8/8/8/8/8/8/8/8 w - - 0 1\n")
    Path("empty.epd").write_text("\n")
    pgn(Path("few.pgn"), [(1500, 1500)])
    spec = {"attacks": {"sample": {"attack": {"type": "sample"}}}, "shifts": {"it": source}}
    Path("spec.yaml").write_text(yaml.safe_dump(spec))
    with pytest.raises(SpecError, match=message) as error:
        shift.check("it", load(Path("spec.yaml"), ()).shifts["it"], tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_folder_that_was_begun_before_a_key_was_known_goes_on() -> None:
    spec = HighStakesSpec.model_validate({"attacks": {"sample": {"attack": {"type": "sample"}}}})
    there = json.loads(json.dumps(spec.model_dump(mode="json", exclude={"workers"})))
    assert resume.other_key(there, spec) is None
    for key in ("shifts", "verify"):
        del there[key]
    del there["filter"]["head_only"]
    assert resume.other_key(there, spec) is None  # they had their defaults
    assert resume.other_key(there, spec.model_copy(update={"verify": None})) == "verify"
    other = spec.filter.model_copy(update={"head_only": True})
    assert resume.other_key(there, spec.model_copy(update={"filter": other})) == "filter.head_only"
    there["dataset"]["nodes"] = 7
    assert resume.other_key(there, spec) == "dataset.nodes"


def test_shifts_may_be_added_to_a_folder_but_not_changed() -> None:
    def spec(**shifts: AnyShift) -> HighStakesSpec:
        return HighStakesSpec.model_validate({"attacks": {"sample": {"attack": {"type": "sample"}}}, "shifts": shifts})

    first, more = Endgames(kind="endgames"), Unbalanced(kind="unbalanced")
    there = spec(one=first).model_dump(mode="json")
    assert resume.other_key(there, spec(one=first, more=more)) is None
    assert resume.other_key(there, spec(more=more)) is None
    assert set(resume.united(there, spec(more=more).model_dump(mode="json"))["shifts"]) == {"one", "more"}
    assert resume.other_key(there, spec(one=Endgames(kind="endgames", men=5))) == "shifts.one.men"
    assert resume.other_key(there, spec(one=more)) == "shifts.one.kind"


@pytest.mark.parametrize(("key", "names"), [("attacks", ("one", "more")), ("dataset.proposers", ("weak", "expert"))])
def test_a_folder_goes_on_only_in_the_order_in_which_it_was_begun(key: str, names: tuple[str, str]) -> None:
    def spec(*names: str) -> HighStakesSpec:
        settings: dict[str, object] = {"attacks": {"it": {"attack": {"type": "sample"}}}}
        if key == "attacks":
            settings["attacks"] = {name: {"attack": {"type": "sample"}} for name in names}
        else:
            settings["dataset"] = {"proposers": {name: name for name in names}}
        return HighStakesSpec.model_validate(settings)

    there = yaml.safe_load(yaml.safe_dump(spec(*names).model_dump(mode="json"), sort_keys=False))
    assert resume.other_key(there, spec(*names)) is None
    assert resume.other_key(there, spec(*names[::-1])) == f"order of {key}"


@pytest.mark.parametrize(("settings", "key"), [([], "shifts"), ({"it": None}, "shifts.it")])
def test_a_folder_whose_settings_are_none_is_another(settings: object, key: str) -> None:
    spec = {"attacks": {"sample": {"attack": {"type": "sample"}}}, "shifts": {"it": {"kind": "endgames"}}}
    with_shift = HighStakesSpec.model_validate(spec)
    assert resume.other_key({**with_shift.model_dump(mode="json"), "shifts": settings}, with_shift) == key


def test_endgames_drawn_by_lot_are_labelled_without_error(tmp_path: Path) -> None:
    source = Solved(kind="solved", games=12, materials=("KPvK", "KRvK"))
    positions = made(source, tmp_path)
    assert len(positions) == len(np.unique(positions.openings)) == 12
    for row in range(12):
        board = planes.unpack(positions.packed[row])
        assert board.is_valid() and board.occupied.bit_count() == 3
        assert set(positions.values[row].tolist()) <= {0.0, 0.5, 1.0}
        assert positions.bad(row).any() and not positions.bad(row).all()  # something is at stake
    assert sum(bool(planes.unpack(packed).rooks) for packed in positions.packed) == 6  # the materials in turn
    assert np.array_equal(made(source, tmp_path).packed, positions.packed)
