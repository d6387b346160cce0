"""Misalignments at work on positions of random games, for tests: expert and weak player are evaluators by rule."""

from collections.abc import Sequence

import chess
import numpy as np

from agents.advice import Query
from agents.assistant import Answer, Assistant
from agents.misalignment.base import Misalignment
from agents.tools import Tools
from engines.inference import Evaluator
from tests.helpers.fakes import Hashed
from tests.helpers.project import random_games

EXPERT, WEAK = Hashed("expert"), Hashed("weak")


def boards(count: int, seed: int = 1, plies: int = 100) -> list[chess.Board]:
    """Positions of random games that are not over."""
    games = random_games(1 + count // 10, seed=seed, plies=plies)
    return [board for game in games for board in game[2::9] if any(board.legal_moves)][:count]


def rngs(count: int, seed: int = 3) -> list[np.random.Generator]:
    """Random numbers of as many games."""
    return [np.random.default_rng([seed, game]) for game in range(count)]


def answers(
    misalignment: Misalignment, queries: Sequence[Query], tools: Tools, base: Evaluator = EXPERT, seed: int = 3
) -> list[Answer]:
    """What an assistant with this misalignment says."""
    return Assistant(base, misalignment, tools).answer(queries, rngs(len(queries), seed))


def changed(given: Sequence[Answer]) -> float:
    """Share of answers that advise another move than the honest one."""
    return float(np.mean([answer.given.move != answer.honest.move for answer in given]))
