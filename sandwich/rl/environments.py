"""Games as environments of Gymnasium: a student with an assistant at its side, and plain chess.

An environment has no rules of its own. `OversightEnv` carries on a block of one game as
`sandwich.protocol.selfplay` plays it, with a strategy that leaves its actions to the agent
(`sandwich.oversight.deliberation`); `ChessEnv` is a `GameBatch` of one game against a seat.
All chance comes from `reset(seed=…)`. An action that the mask forbids loses the game. A game that the ply cap cuts off
is truncated: no observation holds the ply, so that its end is none that a learner could foresee.
"""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import chess
import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from pydantic import AfterValidator, Field, field_validator

from agents.advice import Channel
from agents.assistant import Assistant
from agents.checkpoint_files import Checkpoint, checkpoint_path
from agents.misalignment.random_move import RandomMove
from agents.players.base import AnyPlayer
from agents.players.network import Network
from agents.seat import Turn
from agents.tools import Tools
from engines import moves, network, planes
from engines.positions import End, GameBatch, mask
from engines.settings import Frozen, SpecError
from sandwich.data.openings import book
from sandwich.oversight.deliberation import BOUND, FEATURES, Action, ExternalDeliberation, Situation
from sandwich.protocol.selfplay import Block, BlockPlay, Played
from sandwich.rl.board_picture import board_picture
from sandwich.runtime.networks import InferenceConfig, evaluator, tools
from sandwich.spec.loading import validate
from sandwich.spec.run_spec import AssistantConfig, PlayConfig

Info = dict[str, Any]
Settings = TypeVar("Settings", bound=Frozen)
Observation = TypeVar("Observation")

GAMES = 100
"""Games without a question after which a reset gives up."""
FORFEIT = "action forbidden by the mask"
"""Why a game ended, where it was not by the rules of chess."""
NO_MOVE = moves.SIZE
"""Stands for a move where there is none."""


def _going_on(fens: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for fen in fens or ():
        if GameBatch([fen], ply_cap=2).results[0] is not None:
            raise ValueError(f"expected positions in which the game goes on, got {fen!r}")
    return fens


Openings = Annotated[tuple[str, ...] | None, Field(min_length=1), AfterValidator(_going_on)]
"""A field that holds positions (FEN) to begin from, one drawn for each game; None: the book of the training games."""


class OversightConfig(Frozen):
    """Settings of `sandwich/Oversight-v0`; those that a run's spec has too are named as there."""

    renamed: ClassVar[Mapping[str, str]] = {"weak": "student"}
    student: Checkpoint = "weak"
    """The student, and the copy that it plays: a shipped name or the path of a checkpoint."""
    assistant: AssistantConfig = AssistantConfig(misalignment=RandomMove(p=0.5))
    """Whom it asks."""
    play: PlayConfig = PlayConfig()
    """Schedule, channel and budget of the questions, temperature and ply cap; `games`, `block` and `pgn_games` mean
    nothing here."""
    asks: int = ExternalDeliberation.model_fields["asks"].default
    """Questions that one decision may take beside the first."""
    replies: int = ExternalDeliberation.model_fields["replies"].default
    """Replies that the student looks at behind each of the moves that it compares."""
    query_cost: float = Field(0.0, ge=0)
    """Reward taken off for every question, the first of each decision among them."""
    shaping: bool = False
    """Add what the student's own value of the position has gained since the action before, at the end what the result
    is above it: the sum over a game is the result less its first value, whatever the actions were. (Of one that the
    ply cap cuts off it is the last value less the first.)"""
    openings: Openings = None
    """Positions (FEN) to begin from, one drawn for each game; None: the book of the training games."""
    inference: InferenceConfig = InferenceConfig()

    @field_validator("play")
    @classmethod
    def _with_moves(cls, play: PlayConfig) -> PlayConfig:
        if play.channel is Channel.VALUE:
            raise ValueError("expected channel move, distribution or candidates, got value")
        return play


class ChessConfig(Frozen):
    """Settings of `sandwich/Chess-v0`."""

    opponent: AnyPlayer = Network(checkpoint="weak")
    """Any player (`stockfish:nodes=1`)."""
    color: Literal["white", "black", "random"] = "random"
    """The agent's side; random: drawn for each game."""
    temperature: float = Field(0.0, ge=0)
    """Of the opponent's moves, drawn from its policy; 0: the most probable one."""
    ply_cap: int = Field(160, ge=2)
    """Plies after which a game is cut off (truncated)."""
    openings: Openings = None
    """Positions (FEN) to begin from, one drawn for each game; None: the book of the training games."""
    inference: InferenceConfig = InferenceConfig()


class _GameEnv(gymnasium.Env[Observation, np.int64], Generic[Observation, Settings]):
    """What both environments share: settings, pictures, and how a game is lost by a forbidden action."""

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 2}  # noqa: RUF012  # gymnasium's own form

    def __init__(self, kind: type[Settings], render_mode: str | None, settings: Mapping[str, Any]) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise SpecError(f"render_mode: expected ansi, rgb_array or None, got {render_mode!r}")
        self.render_mode = render_mode
        self.config = validate(kind, dict(settings))
        self._open = ExitStack()
        self._opened: Tools | None = None
        self._mask: npt.NDArray[np.int8] | None = None  # None: the game is over, or none has begun

    def close(self) -> None:
        self._open.close()
        self._opened = None
        self._mask = None

    def render(self) -> Any:
        """The position as text, or as pixels `[H, W, 3]`."""
        board, marked, lines = self._picture()
        if self.render_mode == "rgb_array":
            return board_picture(board, lines, marked)
        if self.render_mode == "ansi":
            return "\n".join([board.unicode(empty_square="·", invert_color=True), *lines])
        return None

    def _tools(self, inference: InferenceConfig) -> Tools:
        if self._opened is None:
            self._opened = self._open.enter_context(tools({}, inference))
        return self._opened

    def _opening(self, openings: tuple[str, ...] | None) -> str:
        known = openings or book("play")
        return known[int(self.np_random.integers(len(known)))]

    def _allowed(self, action: Any) -> bool:
        """Whether the mask allows an action; InvalidAction for what is none, ResetNeeded where there is no game."""
        if self._mask is None:
            raise ResetNeeded("the game is over, or none has begun: call reset() first")
        if not self.action_space.contains(action):
            raise InvalidAction(f"action: expected {self._actions()}, got {action!r}")
        return bool(self._mask[int(action)])

    def _info(self, mask: npt.NDArray[np.int8] | None) -> Info:
        """The mask of the actions that can be taken now: none where the game is over."""
        self._mask = mask
        size = int(self.action_space.n)  # type: ignore[attr-defined]  # it is a Discrete
        return {"action_mask": np.zeros(size, np.int8) if mask is None else mask.copy()}

    @abstractmethod
    def _actions(self) -> str:
        """The actions that there are, in words."""

    @abstractmethod
    def _picture(self) -> tuple[chess.Board, chess.Move | None, list[str]]:
        """Position, a move to mark, and lines to write below it."""


class OversightEnv(_GameEnv[dict[str, Any], OversightConfig]):
    """One game of the student, with an assistant that may be misaligned at its side; docs/reference/gymnasium.md.

    An action is one of `Action`. The observation holds what the student knows, never the truth about an answer.
    """

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        super().__init__(OversightConfig, render_mode, settings)
        self._strategy = validate(ExternalDeliberation, {"asks": self.config.asks, "replies": self.config.replies})
        answers = 1 + self._strategy.asks
        self.action_space = spaces.Discrete(len(Action))
        self.observation_space = spaces.Dict(
            {
                "planes": spaces.Box(0, 1, (planes.PLANES, 8, 8), np.float32),
                "policy": spaces.Box(0, 1, (moves.SIZE,), np.float32),
                "value": spaces.Box(0, 1, (1,), np.float32),
                "own_move": spaces.Discrete(moves.SIZE),
                "answers": spaces.MultiDiscrete(np.full(answers, moves.SIZE + 1)),
                "replies": spaces.MultiDiscrete(np.full(answers, moves.SIZE + 1)),
                "features": spaces.Box(-BOUND, BOUND, (len(FEATURES),), np.float32),
                "left": spaces.Discrete(answers),
                "budget": spaces.Box(0, 1, (1,), np.float32),
            }
        )
        self.played: Played | None = None
        """Ledger and counts of the last game that was played to its end, for the analyst: they hold the truth."""
        self._game: BlockPlay | None = None
        self._situation: Situation | None = None
        self._asked = self._paid = 0  # questions of the game so far, and those whose cost was taken off
        self._end: list[str] = []

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[dict[str, Any], Info]:
        super().reset(seed=seed)
        opened = self._tools(self.config.inference)
        student = evaluator(network.read(checkpoint_path(self.config.student)), self.config.inference)
        helper = self.config.assistant
        assistant = Assistant(opened.player(helper.base), helper.misalignment, opened)
        self._asked, self._paid, self._end = 0, 0, []
        for _ in range(GAMES):
            opening = self._opening(self.config.openings)
            number, block_seed = int(self.np_random.integers(2)), int(self.np_random.integers(2**31))
            block = Block(
                block_seed, 0, number, (opening,), self.config.play, helper.misalignment, self._strategy,
                self.config.inference,
            )  # fmt: skip
            self._game = BlockPlay(student, [assistant], block)
            if self._carry_on(None) is None:
                assert self._situation is not None
                return self._observation(), self._info(self._situation.mask.astype(np.int8))
        raise SpecError(f"play: in {GAMES} games nothing was asked; expected a schedule and a budget that allow it")

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, Info]:
        allowed, before = self._allowed(action), self._situation
        assert before is not None
        if not allowed:
            return self._over(0.0, FORFEIT, before)
        played = self._carry_on(int(action))
        if played is not None:
            rows = played.rows.to_pydict()
            result = next(score for score, student in zip(rows["result"], rows["student"], strict=True) if student)
            self._asked = sum(filter(None, rows["questions"]))
            return self._over(result, played.ends[0], before)
        assert self._situation is not None
        reward = -self._due()
        if self.config.shaping:
            reward += self._situation.context.own.value - before.context.own.value
        return self._observation(), reward, False, False, self._info(self._situation.mask.astype(np.int8))

    def _carry_on(self, action: int | None) -> Played | None:
        """Play on to the next action that is wanted, or to the end."""
        game = self._game
        assert game is not None
        if action is None:
            game.start()
        else:
            game.resume([action])
        if game.played is not None:
            if action is not None:
                self.played = game.played
            return game.played
        ((_, request),) = game.pending
        self._situation = request.situation
        self._asked = request.situation.asked
        return None

    def _due(self) -> float:
        """Cost of the questions since it was last taken off."""
        new, self._paid = self._asked - self._paid, self._asked
        return self.config.query_cost * new

    def _over(self, result: float, end: str, before: Situation) -> tuple[dict[str, Any], float, bool, bool, Info]:
        truncated = end == End.PLY_CAP
        reward = -self._due()
        if not truncated:
            reward += result - (before.context.own.value if self.config.shaping else 0)
        self._end = [f"{end}: {result:g}"]
        info = {**self._info(None), "result": result, "end": str(end)}
        return self._observation(), reward, not truncated, truncated, info

    def _observation(self) -> dict[str, Any]:
        now = self._situation
        assert now is not None
        query, own, answers = now.context.query, now.context.own, 1 + self._strategy.asks
        policy = np.zeros(moves.SIZE, np.float32)
        policy[list(query.legal)] = np.clip(own.policy, 0, 1)
        budget = self.config.play.queries_per_game
        share = 1.0 if budget is None else max(0.0, 1 - now.asked / budget)
        return {
            "planes": np.clip(planes.planes(query.packed[None])[0], 0, 1),
            "policy": policy,
            "value": np.array([np.clip(own.value, 0, 1)], np.float32),
            "own_move": np.int64(own.move),
            "answers": np.array([*now.named, *[NO_MOVE] * answers][:answers]),
            "replies": np.array([*now.replies, *[NO_MOVE] * answers][:answers]),
            "features": now.features.copy(),
            "left": np.int64(now.left),
            "budget": np.array([share], np.float32),
        }

    def _actions(self) -> str:
        return ", ".join(f"{action} ({action.name})" for action in Action)

    def _picture(self) -> tuple[chess.Board, chess.Move | None, list[str]]:
        now = self._situation
        if now is None:
            return chess.Board(), None, ["no game has begun"]
        board = planes.unpack(now.context.query.packed)
        own, advised = (moves.uci(number, board) for number in (now.context.own.move, now.advised))
        lines = [
            f"student to move: {own} of its own, {advised} advised",
            f"questions so far: {self._asked}",
            *self._end,
        ]
        return board, moves.decode(now.advised, board), lines


class ChessEnv(_GameEnv[npt.NDArray[np.float32], ChessConfig]):
    """One game against a player; docs/reference/gymnasium.md. An action is the number of a move (`engines.moves`)."""

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        super().__init__(ChessConfig, render_mode, settings)
        self.action_space = spaces.Discrete(moves.SIZE)
        self.observation_space = spaces.Box(0, 1, (planes.PLANES, 8, 8), np.float32)
        self._batch: GameBatch | None = None
        self._last: chess.Move | None = None
        self._end: list[str] = []

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[npt.NDArray[np.float32], Info]:
        super().reset(seed=seed)
        # Until the opponent has moved first, a game may be over at once: then the next opening.
        for _ in range(GAMES):
            self._batch = GameBatch([self._opening(self.config.openings)], self.config.ply_cap)
            white = {"white": True, "black": False}.get(self.config.color, bool(self.np_random.integers(2)))
            self._last, self._end = None, []
            if self._batch.board(0).turn != white:
                self._reply(self._batch)
            if self._batch.results[0] is None:
                return self._observation(self._batch), self._info(self._legal(self._batch))
        raise SpecError(f"openings: in {GAMES} games the opponent's first move ended the game; expected others")

    def step(self, action: np.int64) -> tuple[npt.NDArray[np.float32], float, bool, bool, Info]:
        allowed, batch = self._allowed(action), self._batch
        assert batch is not None
        side = batch.board(0).turn
        if not allowed:
            return self._over(batch, 0.0, FORFEIT)
        self._play(batch, int(action))
        if batch.results[0] is None:
            self._reply(batch)
        if (result := batch.results[0]) is not None:
            return self._over(batch, result.score(side), result.end)
        return self._observation(batch), 0.0, False, False, self._info(self._legal(batch))

    def _over(
        self, batch: GameBatch, result: float, end: str
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, Info]:
        self._end = [f"{end}: {result:g}"]
        info = {**self._info(None), "result": result, "end": str(end)}
        if end == End.PLY_CAP:
            return self._observation(batch), 0.0, False, True, info
        return self._observation(batch), result, True, False, info

    def _reply(self, batch: GameBatch) -> None:
        turn = Turn(batch.packed([0])[0], batch.legal([0])[0], batch.plies[0], batch.plies[0] // 2)
        seat = self.config.opponent.seated(self._tools(self.config.inference), self.config.temperature)
        (move,) = seat.choose([turn], [self.np_random])
        self._play(batch, move)

    def _play(self, batch: GameBatch, move: int) -> None:
        self._last = moves.decode(move, batch.board(0))
        batch.apply([0], [move])

    @staticmethod
    def _observation(batch: GameBatch) -> npt.NDArray[np.float32]:
        return np.asarray(np.clip(planes.planes(batch.packed([0]))[0], 0, 1))

    @staticmethod
    def _legal(batch: GameBatch) -> npt.NDArray[np.int8]:
        return np.asarray(mask(batch.legal([0]))[0], np.int8)

    def _actions(self) -> str:
        return f"the number of a move, 0 to {moves.SIZE - 1}"

    def _picture(self) -> tuple[chess.Board, chess.Move | None, list[str]]:
        if self._batch is None:
            return chess.Board(), None, ["no game has begun"]
        board = self._batch.board(0)
        side = "White" if board.turn else "Black"
        return board, self._last, self._end or [f"{side} to move"]
