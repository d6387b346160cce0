"""The page about writing an attack, done word by word."""

import sys
from dataclasses import fields
from pathlib import Path

import chess
import numpy as np
import pytest

from engines import filter as filters
from engines import moves, planes
from engines.inference import Evaluation
from engines.settings import SpecError
from sandwich.highstakes.attacks import AdversarialExample, Attack, AttackData, AttackEnvironment
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.spec import load_highstakes as load
from tests.helpers.doc_pages import commands, follow, page
from tests.helpers.highstakes import runs_in
from tests.helpers.project import needs_stockfish

pytestmark = pytest.mark.timeout(900)

PAGE = page("tutorials/writing-an-attack.md")


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that the page's commands leave, and what they printed."""
    checkout = tmp_path_factory.mktemp("checkout")
    environment = commands(checkout / "bin", Path(sys.executable), ())
    return follow(PAGE, "One file beside the spec", checkout, environment)


@needs_stockfish
@pytest.mark.slow
def test_the_attack_of_the_page_finds_what_its_filter_accepts(beside: tuple[Path, str]) -> None:
    folder, _ = beside
    generation = folder / "runs" / "fewer_pieces" / "generation-0"
    runs = runs_in(generation / "attacks" / "fewer_pieces")
    assert [run.number for run in runs] == list(range(8))
    examples = [example for run in runs for example in run.examples]
    assert examples
    blunder_filter = filters.BlunderFilter((generation / "filter.safetensors").read_bytes())
    for example in examples:
        board = chess.Board(example.fen)
        assert board.is_valid()
        assert chess.Move.from_uci(example.uci) in board.legal_moves
        (risk,) = blunder_filter(np.array([example.packed], np.uint64), [[example.move]])
        assert risk[0] == pytest.approx(example.risk, abs=1e-5)
        assert risk[0] < blunder_filter.threshold
        assert min(example.loss, example.loss_again) >= 0.15
    assert all(run.queries <= 200 and run.oracle <= 40 for run in runs)
    drafts = [draft for run in runs for draft in run.drafts]
    assert drafts
    assert all(
        moves.decode(draft.move, board) in board.legal_moves for draft in drafts for board in [chess.Board(draft.fen)]
    )


@needs_stockfish
@pytest.mark.slow
def test_the_page_prints_what_was_found(beside: tuple[Path, str]) -> None:
    folder, printed = beside
    runs = runs_in(folder / "runs" / "fewer_pieces" / "generation-0" / "attacks" / "fewer_pieces")
    for example in (example for run in runs for example in run.examples):
        line = f"{example.uci} in {example.fen} gives away {example.loss_again:.2f}, after {example.queries} queries"
        assert line in printed
    assert f" {sum(bool(run.examples) for run in runs)}/8 " in printed  # of the table
    assert (folder / "runs" / "fewer_pieces" / "report.html").exists()


@needs_stockfish
@pytest.mark.slow
def test_a_wrong_setting_of_the_attack_is_named(beside: tuple[Path, str]) -> None:
    folder, _ = beside
    with pytest.raises(SpecError, match=r"^attacks\.fewer_pieces\.attack\.tries: expected at least 1, got 0$"):
        load(folder / "fewer_pieces.yaml", ("attacks.fewer_pieces.attack.tries=0",))


def test_the_page_names_everything_that_an_attack_is_given() -> None:
    tables = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    listed = " ".join(tables)
    for kind in (AttackData, Evaluation):
        assert all(f"`{field.name}`" in listed for field in fields(kind)), kind
    public = {name for name in vars(AttackEnvironment) if not name.startswith("_")} - {"twice", "example", "made"}
    assert all(f"`{name}(" in listed for name in public)
    for name in ("threshold", "data", "meter", "budget", "prepared", "network", "inference"):
        assert f"`{name}`" in listed
    hidden = {"drawn", "threshold"}  # of no use to an attack
    assert all(f"`{field.name}" in listed for field in fields(Catastrophes) if field.name not in hidden)
    assert all(f"`{field.name}`" in PAGE for field in fields(AdversarialExample))
    assert all(f"def {name}(self" in PAGE for name in ("attempt", "prepare"))
    assert Attack.__abstractmethods__ == {"attempt"}
    assert f"{planes.WORDS} packed words".replace("10", "ten") in PAGE
