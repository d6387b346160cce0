"""Rewriting with tools: saliency over the squares and a list of substitutions, both by the filter's gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import chess
import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines import moves, planes
from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.catastrophes import Catastrophes
from sandwich.highstakes.edits import Edits, edits, legal_board, squares_of
from sandwich.highstakes.environment import AdversarialExample, AttackEnvironment

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Draft:
    """A rewritten position `[10]`, the move in it that is to stay a catastrophe, and the filter's risk for it.

    kept: squares that stay as they are. balance: pawns' worth gained by the edits.
    """

    packed: planes.Packed
    move: int
    risk: float
    kept: frozenset[int]
    balance: int = 0


class ToolAssisted(Attack):
    """Rewrites a real catastrophe, edit by edit, until the filter accepts it; then asks the oracle.

    In each step the filter's gradient says, to first order, by how much every possible edit lowers its
    score; the best few are tried, and the best of these are rewritten further (beam search). So that the
    move stays a catastrophe, its squares stay as they are, and those over which the oracle refutes it;
    and material about even.
    """

    starts: int = Field(24, ge=1)
    """Positions with catastrophes that it looks at before it chooses among them."""
    safest: float = Field(0.1, gt=0, le=1)
    """Share of the positions with catastrophes that these are drawn from: those that look safest, in which the side
    to move is ahead and has many moves. A filter expects the least harm there."""
    near: bool = True
    """Begin with the catastrophe that the filter finds least likely to be one, nearest to the cut-off; else any."""
    least: float = Field(0.25, gt=0, lt=1)
    """Expected score that the catastrophe it begins from gives away at least: room for edits."""
    checks: int = Field(6, ge=1)
    """Catastrophes that it has the oracle look at before it gives up on these positions: what a filter finds
    unlikely to be one often is none on a closer look."""
    tries: int = Field(2, ge=1)
    """Catastrophes that it rewrites before it gives up on these positions."""
    plies: int = Field(3, ge=0)
    """Of the oracle's refutation, whose squares stay as they are."""
    steps: int = Field(4, ge=0)
    """Edits at most."""
    patience: float = Field(0.97, gt=0)
    """Where the best edit leaves more than this share of the risk, it gives up on the catastrophe."""
    beam: int = Field(1, ge=1)
    """Drafts kept from step to step; 1: greedy."""
    shortlist: int = Field(3, ge=1)
    """Edits of a draft that are tried on the filter in each step."""
    saliency: bool = True
    """Edit only the squares that the filter's score depends on most; else any."""
    salient: int = Field(32, ge=1)
    """How many squares these are."""
    substitutions: bool = True
    """Try those edits first that lower the score most to first order; else in random order."""
    material: int = Field(3, ge=0)
    """Pawns' worth by which all edits together may shift the balance."""

    def attempt(self, environment: AttackEnvironment, rng: np.random.Generator) -> AdversarialExample | None:
        tries = 0
        for packed, move, risk in self._candidates(environment, rng)[: self.checks]:
            verdict = environment.verdict(packed, move)
            if verdict.loss < self.least:
                continue
            kept = refuting(packed, move, verdict.refutation[: self.plies])
            if example := self._search(environment, _Draft(packed, move, risk, kept), rng):
                return example
            tries += 1
            if tries == self.tries:
                break
        return None

    def _candidates(
        self, environment: AttackEnvironment, rng: np.random.Generator
    ) -> list[tuple[planes.Packed, int, float]]:
        """Catastrophes to begin from, out of a few positions that the filter is asked about."""
        labelled = environment.data.labelled
        rows = rng.choice(_safest(labelled, self.least, self.safest), self.starts)
        candidates = []
        risks = environment.risks(labelled.packed[rows], [labelled.legal[row] for row in rows])
        for row, risk in zip(rows, risks, strict=True):
            places = np.flatnonzero(labelled.losses(row) >= self.least)
            if len(places):
                place = places[risk[places].argmin() if self.near else rng.integers(len(places))]
                candidates.append((labelled.packed[row], labelled.legal[row][place], float(risk[place])))
        return sorted(candidates, key=lambda candidate: candidate[2]) if self.near else candidates

    def _search(
        self, environment: AttackEnvironment, start: _Draft, rng: np.random.Generator
    ) -> AdversarialExample | None:
        """Edit after edit, until the filter accepts the move; None where it never does, or is right then."""
        drafts, tried = [start], {start.packed.tobytes()}
        for step in range(self.steps + 1):
            accepted = [draft for draft in drafts if draft.risk < environment.threshold]
            for draft in accepted:
                if example := environment.submit(draft.packed, draft.move, draft.risk):
                    return example
            if accepted or step == self.steps:
                return None  # where the filter is right, the edits have made the move a good one
            best = min(draft.risk for draft in drafts)
            rewritten = [better for draft in drafts for better in self._rewritten(environment, draft, tried, rng)]
            drafts = sorted(rewritten, key=lambda draft: draft.risk)[: self.beam]
            if not drafts or drafts[0].risk > self.patience * best:
                return None
        return None

    def _rewritten(
        self, environment: AttackEnvironment, draft: _Draft, tried: set[bytes], rng: np.random.Generator
    ) -> list[_Draft]:
        """A draft's best edits that were not `tried` yet, each looked at by the filter."""
        options = edits(draft.packed, draft.kept)
        allowed = np.abs(draft.balance + options.balance) <= self.material
        order = rng.permutation(len(options))
        if self.saliency or self.substitutions:
            gradient = environment.gradient(draft.packed, draft.move)
            if self.saliency:
                allowed &= np.isin(options.squares, self._salient(gradient, draft.packed))
            if self.substitutions:
                order = np.argsort(_effects(gradient, draft.packed, options), kind="stable")
        picked, legal = [], []
        for place in order[allowed[order]]:
            if options.packed[place].tobytes() in tried:
                continue
            if board := legal_board(options.packed[place], draft.move):
                tried.add(options.packed[place].tobytes())
                picked.append((np.array(planes.pack(board), np.uint64), int(options.balance[place])))
                legal.append(sorted(moves.encode_all(board.legal_moves, board.turn)))
            if len(picked) == self.shortlist:
                break
        if not picked:
            return []
        risks = environment.risks(np.stack([packed for packed, _ in picked]), legal, [draft.move] * len(picked))
        return [
            _Draft(packed, draft.move, float(risk[numbers.index(draft.move)]), draft.kept, draft.balance + gain)
            for (packed, gain), risk, numbers in zip(picked, risks, legal, strict=True)
        ]

    def _salient(self, gradient: Floats, packed: planes.Packed) -> npt.NDArray[np.int64]:
        """The squares (from White's view) that the score depends on most, and −1 for the state."""
        weight = np.abs(gradient).sum(0).reshape(64)
        squares = np.argsort(-weight)[: self.salient]
        return np.append(squares if int(packed[9]) & 1 else squares ^ 56, -1)


@lru_cache(maxsize=4)
def _safest(labelled: Catastrophes, least: float, share: float) -> npt.NDArray[np.int64]:
    """Rows of positions with catastrophes of at least so much, and of these the share that looks safest."""
    rows = [row for row in range(len(labelled)) if labelled.losses(row).max() >= least]
    safe = [len(labelled.legal[row]) * float(labelled.values[row].max()) ** 3 for row in rows]
    return np.array(rows, np.int64)[np.argsort(-np.array(safe), kind="stable")[: max(1, round(share * len(rows)))]]


def refuting(packed: planes.Packed, move: int, refutation: Sequence[str]) -> frozenset[int]:
    """Squares of a move and of what refutes it, those between start and end included."""
    board = planes.unpack(packed)
    squares = set(squares_of(move, packed))
    for played in (moves.decode(move, board), *map(chess.Move.from_uci, refutation)):
        start, end = played.from_square, played.to_square
        squares |= {start, end, *chess.SquareSet.between(start, end)}
    return frozenset(squares)


def _effects(gradient: Floats, packed: planes.Packed, options: Edits) -> Floats:
    """By how much each edit changes the logit, to first order, `[C]`."""
    change = planes.planes(options.packed) - planes.planes(packed[None])
    return np.asarray(np.tensordot(change, gradient, 3))
