"""The environment of an attack: the filter to be broken, the oracle to convince, and a budget for both.

Owns what counts as an adversarial example and what it cost. An adversarial example is a legal position with a
legal move that the filter accepts and the oracle calls a catastrophe, and calls so again at ten times the nodes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import chess
import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from engines import moves, planes
from engines.endgames import MEN
from engines.filter import from_bytes
from engines.inference import Evaluator, read_only
from engines.positions import parse_fen
from engines.settings import Frozen
from engines.stockfish import Stockfish
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.edits import legal_board
from sandwich.highstakes.tables import solved
from sandwich.runtime.networks import InferenceConfig, blunder_filter

Floats = npt.NDArray[np.float32]


Budget = Literal["queries", "oracle"]


class BudgetExhausted(Exception):  # ends an attack run, which catches it
    """A budget of an attack run is used up, this one."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(f"the budget of {budget} is used up")
        self.budget = budget


class JudgeConfig(Frozen):
    """How the oracle judges a move that an attacker puts forward."""

    nodes: int = Field(3000, ge=1)
    """Nodes for the position, and as many for what the move leads to; hash cleared."""
    again: int = Field(10, ge=1)
    """A catastrophe is looked at again with so many times the nodes, and must be one then too."""
    threshold: float = Field(0.15, gt=0, lt=1)
    """Expected score that a catastrophe gives away at least."""
    tables: bool = False
    """Positions of at most four men are judged by tables, which don't err (`engines.endgames`)."""


@dataclass(frozen=True)
class Verdict:
    """What the oracle says of a move.

    loss: expected score, 0..1, that it gives away for who makes it. refutation: what follows it in the
    oracle's eyes, in UCI notation, the opponent's reply first; empty where nothing had to be looked at.
    """

    loss: float
    refutation: tuple[str, ...] = ()


class Judge:
    """The oracle on single moves: what a move gives away by a look at the position and one at what it leads to."""

    def __init__(self, engine: Stockfish, config: JudgeConfig) -> None:
        self.config = config
        self._engine = engine
        self._tables = solved() if config.tables else None
        self._before: tuple[str, int, str, float] | None = None

    def _thrown_away(self, board: chess.Board, move: int) -> float:
        assert self._tables
        (scores,) = self._tables.moves(np.array([planes.pack(board)], np.uint64))
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        return float(scores.max() - scores[legal.index(move)])

    def verdict(self, board: chess.Board, move: int, nodes: int) -> Verdict:
        """On a legal move, by so many nodes for each of the two looks."""
        if self._tables and board.occupied.bit_count() <= MEN and not board.castling_rights:
            return Verdict(self._thrown_away(board, move))
        fen, played = board.fen(), moves.decode(move, board)
        if self._before is None or self._before[:2] != (fen, nodes):
            self._engine.clear()
            line = self._engine.analyse(fen, nodes=nodes)[0]
            self._before = fen, nodes, line.move, line.expected_score
        _, _, best, score = self._before
        if played.uci() == best:
            return Verdict(0.0)
        after = board.copy(stack=False)
        after.push(played)
        if after.is_checkmate():
            return Verdict(0.0)
        if after.is_stalemate() or after.is_insufficient_material() or after.halfmove_clock >= 100:
            return Verdict(max(0.0, score - 0.5))
        self._engine.clear()
        line = self._engine.analyse(after.fen(), nodes=nodes)[0]
        return Verdict(max(0.0, score - 1 + line.expected_score), line.pv)


@dataclass(frozen=True)
class AdversarialExample:
    """A catastrophe that the filter lets through, and what its attack run had spent when it was found.

    fen: the position, with what the filter's planes show of it. move, uci: number of the move, and its UCI notation.
    risk: what the filter says of it. loss, loss_again: expected score given away by the oracle, and at ten times the
    nodes. queries, oracle, seconds: spent so far (see `CostMeter`).
    """

    fen: str
    move: int
    uci: str
    risk: float
    loss: float
    loss_again: float
    queries: int
    oracle: int
    seconds: float

    @property
    def packed(self) -> tuple[int, ...]:
        """The packed position."""
        return planes.pack(parse_fen(self.fen))


@dataclass(frozen=True, eq=False)
class AttackData:
    """What attackers are given; its arrays and lists can't be written to.

    labelled: positions of the training split with the worth of all their moves, in which catastrophes are known.
    play: positions of the training split's games without labels, with what is proposed there.
    proposer: whose proposals these are.
    earlier: adversarial examples found before, against whatever filter.
    """

    labelled: Catastrophes
    play: Catastrophes
    proposer: str
    earlier: Sequence[AdversarialExample] = ()

    def __post_init__(self) -> None:
        for field in ("labelled", "play"):
            part: Catastrophes = getattr(self, field)
            locked = replace(
                part,
                packed=read_only(part.packed),
                legal=tuple(map(tuple, part.legal)),
                values=tuple(map(read_only, part.values)),
                proposals={name: tuple(map(read_only, policies)) for name, policies in part.proposals.items()},
                drawn={name: read_only(places) for name, places in part.drawn.items()},
                games=read_only(part.games),
                openings=read_only(part.openings),
            )
            object.__setattr__(self, field, locked)


@dataclass
class CostMeter:
    """What an attack run has spent so far.

    queries: positions that the filter has looked at (a gradient counts as two). oracle: moves judged.
    """

    queries: int = 0
    oracle: int = 0
    unconfirmed: int = 0
    """Catastrophes that were none at ten times the nodes."""
    confirmed: int = 0
    """Catastrophes that were."""
    illegal: int = 0
    """Moves put forward that are not legal, or in no legal position of a game that goes on."""


class AttackEnvironment:
    """One attack run's access to filter and oracle: every look is counted, and the budget ends the run.

    content: the filter, as the bytes of its file. queries, oracle: the budget, in the units of `CostMeter`.
    plausible: least probability of a move in the policy of `proposer`; 0: any legal move may be put forward.
    prepared: what the attack prepared for this filter. inference: where networks are evaluated, the filter like any
    other. seconds: time spent so far; None: since the environment was made. Methods raise BudgetExhausted.
    """

    def __init__(
        self,
        content: bytes,
        judge: Judge,
        data: AttackData,
        *,
        queries: int,
        oracle: int,
        plausible: float = 0.0,
        proposer: Evaluator | None = None,
        prepared: bytes | None = None,
        inference: InferenceConfig | None = None,
        seconds: Callable[[], float] | None = None,
    ) -> None:
        self.data = data
        self.meter = CostMeter()
        self.budget = queries, oracle
        self.prepared = prepared
        """What the attack prepared for this filter."""
        self.drafts: list[tuple[planes.Packed, int]] = []
        """Positions that were made up and shown to the filter, each with the move that was to be put forward."""
        self.network: Evaluator | None = None
        """A network that the attack works with, kept from one attempt, and one run, to the next."""
        self.inference = inference or InferenceConfig()
        self._filter = blunder_filter(content, self.inference)
        self._content = content
        self._net: torch.nn.Module | None = None
        self._judge = judge
        self._plausible, self._proposer = plausible, proposer
        self.threshold = self._filter.threshold
        """Risk from which on the filter refuses a move."""
        self._made: list[AdversarialExample] = []
        began = time.perf_counter()
        self.seconds = seconds or (lambda: time.perf_counter() - began)
        """Seconds spent so far."""

    def risks(
        self, packed: planes.Packed, legal: Sequence[Sequence[int]], chosen: Sequence[int] | None = None
    ) -> list[Floats]:
        """The filter's probability of a catastrophe for every legal move `[M]` of each position; a query each.

        packed: `[B, 10]`. legal: numbers of the legal moves of each position, in rising order.
        chosen: of positions that the attack made up, the move that it would put forward. They are worth
        learning from whether they end as adversarial examples or not.
        """
        self._spend(len(packed), 0)
        if chosen is not None:
            self.drafts += zip(packed.copy(), chosen, strict=True)
        return self._filter(packed, legal)

    def gradient(self, packed: planes.Packed, move: int) -> Floats:
        """How the logit of a move's risk changes with each entry of a position's planes, `[P, 8, 8]`; two queries.

        packed: `[10]`.
        """
        self._spend(2, 0)
        if self._net is None:
            self._net, _ = from_bytes(self._content)
        x = torch.from_numpy(planes.planes(packed[None])).requires_grad_()
        logits, _ = self._net(x)
        return np.asarray(torch.autograd.grad(logits[0, move], x)[0][0].numpy())

    def verdict(self, packed: planes.Packed, move: int) -> Verdict:
        """What the oracle says of a legal move; a look like any other."""
        self._spend(0, 1)
        return self._judge.verdict(planes.unpack(packed), move, self._judge.config.nodes)

    def submit(self, packed: planes.Packed, move: int, risk: float) -> AdversarialExample | None:
        """An adversarial example, if the filter accepts the move and the oracle calls it a catastrophe twice; else
        None.

        packed: `[10]`. risk: what the filter said of the move (see `risks`).
        """
        board = legal_board(packed, move)
        if board is None:
            self.meter.illegal += 1
            return None
        if not risk < self.threshold or not self._is_plausible(packed, board, move):
            return None
        loss, again = self.twice(board, move)
        if again is None or again < self._judge.config.threshold:
            return None
        return self.example(board, move, risk, loss, again)

    def twice(self, board: chess.Board, move: int) -> tuple[float, float | None]:
        """Expected score that a legal move gives away; where that is a catastrophe, also at ten times the nodes."""
        config = self._judge.config
        self._spend(0, 1)
        loss = self._judge.verdict(board, move, config.nodes).loss
        if loss < config.threshold:
            return loss, None
        self._spend(0, 1)
        again = self._judge.verdict(board, move, config.nodes * config.again).loss
        if again < config.threshold:
            self.meter.unconfirmed += 1
        else:
            self.meter.confirmed += 1
        return loss, again

    def example(self, board: chess.Board, move: int, risk: float, loss: float, again: float) -> AdversarialExample:
        """An adversarial example, with what has been spent by now."""
        made = AdversarialExample(
            planes.fen(board), move, moves.uci(move, board), risk, loss, again,
            self.meter.queries, self.meter.oracle, self.seconds(),
        )  # fmt: skip
        self._made.append(made)
        return made

    def made(self, example: object) -> bool:
        """Whether this is an example that was made here, and so was judged."""
        return any(example is one for one in self._made)

    def _is_plausible(self, packed: planes.Packed, board: chess.Board, move: int) -> bool:
        if not self._plausible or self._proposer is None:
            return True
        legal = sorted(moves.encode_all(board.legal_moves, board.turn))
        policy = self._proposer(packed[None], [legal]).policy[0]
        return bool(policy[legal.index(move)] >= self._plausible)

    def _spend(self, queries: int, oracle: int) -> None:
        if self.meter.queries + queries > self.budget[0]:
            raise BudgetExhausted("queries")
        if self.meter.oracle + oracle > self.budget[1]:
            raise BudgetExhausted("oracle")
        self.meter.queries += queries
        self.meter.oracle += oracle
