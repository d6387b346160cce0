"""Any UCI engine by its command line."""

import shlex
from collections.abc import Sequence
from functools import partial

import chess
import numpy as np
from pydantic import Field, field_validator, model_validator

from agents.players.base import Player
from agents.tools import Tools
from engines import moves
from engines.inference import Evaluator, one_by_one
from engines.uci import UciEngine


class UciPlayer(Player):
    """Any UCI engine by its command line, at a fixed number of nodes or depth.

    It gets a new game announced before every question. Its policy lies on the move that it plays; its value
    is the expected score by its own score, ½ if it gives none. There is no limit by time: such answers
    do not repeat.
    """

    command: str
    """Program and arguments as a shell would split them: a path, or a name in PATH or where engines lie."""
    nodes: int | None = Field(None, ge=1)
    """Nodes a move; either these or `depth`."""
    depth: int | None = Field(None, ge=1)
    """Depth of search in plies."""
    options: dict[str, str] = Field(default_factory=dict)
    """Settings of the engine, by the names that it lists: text, numbers, true or false."""
    timeout: float = Field(30.0, gt=0)
    """Seconds that the start and each answer may take before the engine counts as hanging."""

    @field_validator("command")
    @classmethod
    def _can_be_split(cls, command: str) -> str:
        try:
            packed = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"expected a command line ({str(error).lower()})") from None
        if not packed:
            raise ValueError("expected a command line, not empty")
        return command

    @field_validator("options", mode="before")
    @classmethod
    def _are_text(cls, options: object) -> object:
        if not isinstance(options, dict):
            return options
        for name, value in options.items():
            if not isinstance(value, str | int | float):
                raise ValueError(f"{name}: expected text, a number, true or false, got {value!r}")
        return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in options.items()}

    @model_validator(mode="after")
    def _has_one_limit(self) -> "UciPlayer":
        if (self.nodes is None) == (self.depth is None):
            found = "both" if self.nodes else "neither"
            raise ValueError(f"expected exactly one of nodes and depth, got {found}")
        return self

    def open(self, tools: Tools) -> Evaluator:
        engine = tools.keep(UciEngine(shlex.split(self.command), self.options, self.timeout))
        return one_by_one(partial(self._look, engine))

    def _look(self, engine: UciEngine, board: chess.Board, legal: Sequence[int], policy: np.ndarray) -> float:
        """Fill the policy of one position; its value."""
        choice = engine.choose(board, nodes=self.nodes, depth=self.depth)
        policy[legal.index(moves.encode(choice.move, board.turn))] = 1
        return 0.5 if choice.expected_score is None else choice.expected_score
