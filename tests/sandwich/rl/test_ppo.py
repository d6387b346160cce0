"""Training of the oversight policy: what a game is worth to it."""

from dataclasses import replace

import numpy as np
import pytest

from agents.assistant import Assistant
from agents.misalignment.random_move import RandomMove
from agents.tools import Tools
from engines.positions import End
from sandwich.oversight.deliberation import ExternalDeliberation
from sandwich.protocol.selfplay import Block, Played
from sandwich.rl.ppo import Learner, outcomes, played, traced
from sandwich.runtime.networks import InferenceConfig
from sandwich.spec.run_spec import PlayConfig
from tests.helpers.fakes import Hashed
from tests.helpers.ledgers import table

LAST: dict[str, object] = {"ply": 3, "own_value": 0.55}


def game(end: End, *plies: dict[str, object], number: int = 0) -> Played:
    """A game of four plies at most."""
    return Played(table(*({"game": number, "questions": 2} | ply for ply in plies)), [], len(plies), 0, (end,))


@pytest.mark.parametrize(
    ("end", "student", "result", "worth"),
    [
        (End.CHECKMATE, True, 1.0, 1.0),  # on the last ply that is allowed
        (End.CHECKMATE, False, 1.0, 0.0),
        (End.STALEMATE, True, 0.5, 0.5),
        (End.PLY_CAP, True, 0.5, 0.55),  # what it thinks of the last position
        (End.PLY_CAP, False, 0.5, 0.45),  # its copy is to move
    ],
)
def test_a_game_is_worth_its_result_and_what_the_cap_cut_off_what_the_student_thinks_of_it(
    end: End, student: bool, result: float, worth: float
) -> None:
    before: dict[str, object] = {"ply": 2, "own_value": 0.9, "student": not student, "result": 1 - result}
    results, questions = outcomes(game(end, before, LAST | {"student": student, "result": result}, number=6), first=6)
    assert results == {6: pytest.approx(worth)}
    assert questions == {6: 4}


def test_a_game_that_the_rules_end_early_is_worth_its_result() -> None:
    assert outcomes(game(End.CHECKMATE, {"result": 1.0, "own_value": 0.4}), first=0)[0] == {0: 1.0}


def test_the_last_reward_of_a_trace_is_what_its_game_is_worth() -> None:
    student, misalignment = Hashed("weak"), RandomMove(p=0.5)
    openings = ("8/8/4k3/8/8/3pK3/8/8 w - - 0 1", "4k3/7p/8/8/8/8/P7/4K3 w - - 0 1")
    block = Block(1, 0, 0, openings * 2, PlayConfig(ply_cap=6), misalignment, ExternalDeliberation(), InferenceConfig())
    assistant = Assistant(Hashed("expert"), misalignment, Tools())
    steps, what = played(Learner(4), student, assistant, block, np.random.default_rng(0))
    trace = traced(steps, what, 0, 0.0)
    results, _ = outcomes(what, 0)
    assert End.PLY_CAP in what.ends
    assert trace.reward[trace.last].tolist() == pytest.approx([results[number] for number in range(4) if steps[number]])
    assert not trace.reward[~trace.last].any()
    drawn = replace(what, ends=(End.REPETITION,) * 4)
    assert not traced(steps, drawn, 0, 0.0).reward.equal(trace.reward)  # the value of what was cut off counts
