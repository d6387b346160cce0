"""What players and misalignments think with: networks and engine processes, opened when first asked for.

Whoever makes `Tools` closes them; nothing here outlives its `with` block. Checkpoints are found
among the contents handed in, so that a worker on another machine needs no file.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol, Self, TypeVar

import numpy as np

from agents.checkpoint_files import checkpoint_path
from engines import planes
from engines.checkpoints import FILTER, NETWORK, CheckpointError, read
from engines.filter import BlunderFilter
from engines.inference import Evaluation, Evaluator, make_evaluator, read_only
from engines.search import Halted, TreeSearch
from engines.stockfish import Stockfish

T = TypeVar("T")

MakeEvaluator = Callable[[bytes], Evaluator]
"""Evaluator of a checkpoint's content."""
MakeFilter = Callable[[bytes, str], BlunderFilter]
"""Blunder filter of its file's bytes, and the name that it goes by."""


def plain_evaluator(checkpoint: bytes) -> Evaluator:
    """An evaluator with every choice left to `make_evaluator`."""
    from engines.network import from_bytes  # loads torch, seconds that who only names players need not wait

    return make_evaluator(from_bytes(checkpoint))


class Openable(Protocol):
    """What an evaluator is opened from: any player (`agents.players.base.Player`)."""

    def open(self, tools: "Tools") -> Evaluator:
        """The evaluator that thinks for it."""

    def attribute_errors(self) -> AbstractContextManager[None]:
        """Inside, what goes wrong is reported as its own."""


class Tools:
    """Networks, engines and players, each opened once; use as a context manager.

    checkpoints: contents by the name a spec uses; any other name is read from its file.
    make: makes the evaluator of a checkpoint; filtering: the blunder filter of its file's bytes and name.
    """

    def __init__(
        self,
        checkpoints: Mapping[str, bytes] | None = None,
        make: MakeEvaluator = plain_evaluator,
        filtering: MakeFilter = BlunderFilter,
    ) -> None:
        self._base: Evaluator | None = None
        self._student: Evaluator | None = None
        self.limit: Callable[[], Halted] | None = None
        """What may end the searches of players, each asked for as it begins; None: their own settings alone."""
        self._checkpoints = checkpoints or {}
        self._make, self._filtering = make, filtering
        self._networks: dict[str, Evaluator] = {}
        self._filters: dict[str, BlunderFilter] = {}
        self._players: dict[tuple[type[Openable], str], Evaluator] = {}
        self._engines: list[Stockfish] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        self._engines.clear()

    def serving(self, base: Evaluator) -> "Tools":
        """The same tools in the hands of an assistant whose honest self is `base`."""
        tools = copy.copy(self)
        tools._base = base
        return tools

    def facing(self, student: Evaluator) -> "Tools":
        """The same tools in a game in which `student` asks."""
        tools = copy.copy(self)
        tools._student = student
        return tools

    def limited(self, limit: Callable[[], Halted]) -> "Tools":
        """The same tools for players whose searches may have to end early."""
        tools = copy.copy(self)
        tools.limit, tools._players = limit, {}
        return tools

    @property
    def student(self) -> Evaluator | None:
        """The student as it plays now, W_t; None where nobody learns: in a match, or for a single question."""
        return self._student

    @property
    def base(self) -> Evaluator:
        """The assistant's honest self."""
        if self._base is None:
            raise ValueError("these tools belong to no assistant: they have no base")
        return self._base

    def network(self, checkpoint: str) -> Evaluator:
        """Evaluator of a network by its name or path. Raises CheckpointError."""
        if checkpoint not in self._networks:
            try:
                self._networks[checkpoint] = self._make(self._content(checkpoint))
            except CheckpointError as error:  # of whoever was given the bytes alone
                said = str(error)
                raise CheckpointError(
                    checkpoint + said.removeprefix("checkpoint") if said.startswith("checkpoint") else said
                ) from None
        return self._networks[checkpoint]

    def filter(self, checkpoint: str) -> BlunderFilter:
        """A blunder filter by its name or path. Raises CheckpointError."""
        if checkpoint not in self._filters:
            self._filters[checkpoint] = self._filtering(self._content(checkpoint, FILTER), checkpoint)
        return self._filters[checkpoint]

    def _content(self, checkpoint: str, form: str = NETWORK) -> bytes:
        content = self._checkpoints.get(checkpoint)
        return read(checkpoint_path(checkpoint, form)) if content is None else content

    def player(self, player: Openable) -> Evaluator:
        """Evaluator of a player. Raises CheckpointError, EngineError; PluginError, as it does itself, for a failure."""
        key = type(player), repr(player)
        if key not in self._players:
            with player.attribute_errors():
                opened = player.open(self)
            here = any(opened is evaluator for evaluator in (*self._networks.values(), *self._players.values()))
            # A tree search stays one: a misalignment may look into it.
            self._players[key] = opened if here or isinstance(opened, TreeSearch) else _attributing(player, opened)
        return self._players[key]

    def stockfish(self) -> Stockfish:
        """The Stockfish process of whoever uses these tools. Clear it before each question. Raises EngineError."""
        if not self._engines:
            self._engines.append(self.keep(Stockfish(hash_mib=1)))
        return self._engines[0]

    def keep(self, resource: AbstractContextManager[T]) -> T:
        """Enter a context that is left when these tools are closed."""
        return self._open.enter_context(resource)


def _attributing(player: Openable, evaluator: Evaluator) -> Evaluator:
    """An evaluator whose failures are reported as the player's."""

    def evaluate(packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        with player.attribute_errors():
            return _whole(evaluator(read_only(packed), [tuple(row) for row in legal]), legal)

    return evaluate


def _whole(answer: object, legal: Sequence[Sequence[int]]) -> Evaluation:
    """What a plugin said of positions with these legal moves; ValueError where that can't be."""
    if not isinstance(answer, Evaluation) or len(answer.policy) != len(legal):
        got = f"one of {len(answer.policy)}" if isinstance(answer, Evaluation) else type(answer).__name__
        raise ValueError(f"expected an Evaluation of {len(legal)} positions, got {got}")
    for policy, numbers in zip(answer.policy, legal, strict=True):
        _check("a policy", policy, (len(numbers),))
    _check("wdl", answer.wdl, (len(legal), 3))
    starts = np.cumsum([0, *map(len, legal[:-1])])
    _check_probabilities("a policy", np.concatenate(answer.policy), starts)
    _check_probabilities("wdl", answer.wdl.ravel(), np.arange(0, answer.wdl.size, 3))
    return Evaluation(legal, answer.policy, answer.wdl)


def _check(name: str, array: object, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.shape != shape:
        got = array.shape if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"expected {name} of shape {shape}, got {got}")
    if array.dtype.kind != "f":
        raise ValueError(f"expected {name} of floating-point numbers, got {array.dtype}")


def _check_probabilities(name: str, flat: np.ndarray, starts: np.ndarray) -> None:
    """That the pieces of an array that begin at `starts` are probabilities, none below 0, with a sum of 1."""
    if not np.isfinite(flat).all():
        raise ValueError(f"expected {name} of finite numbers, got {flat[~np.isfinite(flat)][0]}")
    if flat.min() < 0:
        raise ValueError(f"expected {name} without a number below 0, got {flat.min()}")
    sums = np.add.reduceat(flat, starts, dtype=np.float64)
    if (wrong := np.abs(sums - 1) > TOLERANCE).any():
        raise ValueError(f"expected {name} that sums to 1, got a sum of {sums[wrong][0]:.6g}")


TOLERANCE = 1e-3
"""What rounding may take from a sum of probabilities, or add to it."""
