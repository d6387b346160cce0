"""Rewriting with tools: saliency over the squares and a list of substitutions, both by the filter's gradient."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from engines import moves, planes
from sandwich.highstakes.arena import Arena, Break
from sandwich.highstakes.attacks.base import Attack
from sandwich.highstakes.edits import Edits, edits, legal_board, squares_of

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Draft:
    """A rewritten position `[10]`, the known catastrophe that the filter finds least likely to be one, and its risk.

    known: moves that were catastrophes before the edits. balance: pawns' worth gained by the edits.
    """

    words: planes.Words
    move: int
    risk: float
    known: frozenset[int]
    balance: int = 0


class ToolAssisted(Attack):
    """Rewrites a real catastrophe, edit by edit, until the filter accepts it; then asks the oracle.

    In each step the filter's gradient says, to first order, by how much every possible edit lowers its
    score; the best few are tried, and the best of these are rewritten further (beam search). One look of
    the filter is at all moves, so all that are catastrophes in the beginning are followed, and the one of
    least risk is worked on. Its squares stay as they are, and material about even, so that it stays one.
    """

    starts: int = Field(6, ge=1)
    """Positions with catastrophes that it looks at before it chooses one of them."""
    near: bool = True
    """Begin with the catastrophe that the filter finds least likely to be one, nearest to the cut-off; else any."""
    least: float = Field(0.4, gt=0, lt=1)
    """Expected score that the catastrophe it begins from gives away at least: room for edits."""
    checks: int = Field(2, ge=1)
    """Catastrophes that it has the oracle look at before it gives up on these positions: what a filter finds
    unlikely to be one often is none on a closer look."""
    steps: int = Field(6, ge=0)
    """Edits at most."""
    beam: int = Field(1, ge=1)
    """Drafts kept from step to step; 1: greedy."""
    shortlist: int = Field(5, ge=1)
    """Edits of a draft that are tried on the filter in each step."""
    saliency: bool = True
    """Edit only the squares that the filter's score depends on most; else any."""
    salient: int = Field(16, ge=1)
    """How many squares these are."""
    substitutions: bool = True
    """Try those edits first that lower the score most to first order; else in random order."""
    material: int = Field(1, ge=0)
    """Pawns' worth by which all edits together may shift the balance."""

    def attempt(self, arena: Arena, rng: np.random.Generator) -> Break | None:
        start = self._start(arena, rng)
        drafts = [start] if start else []
        for step in range(self.steps + 1):
            for draft in [draft for draft in drafts if draft.risk < arena.threshold]:
                if found := arena.submit(draft.words, draft.move, draft.risk):
                    return found
                drafts.remove(draft)  # the filter is right: it is no catastrophe any more
            if not drafts or step == self.steps:
                break
            tried = [better for draft in drafts for better in self._rewritten(arena, draft, rng)]
            drafts = sorted(tried, key=lambda draft: draft.risk)[: self.beam]
        return None

    def _start(self, arena: Arena, rng: np.random.Generator) -> _Draft | None:
        """A catastrophe to begin from, out of a few positions that the filter is asked about."""
        examples = arena.material.examples
        rows = rng.integers(len(examples), size=self.starts)
        known = []
        for row, risk in zip(rows, arena.risks(examples.words[rows], [examples.legal[r] for r in rows]), strict=True):
            places = np.flatnonzero(examples.losses(row) >= self.least)
            if len(places):
                place = places[risk[places].argmin() if self.near else rng.integers(len(places))]
                moves_ = frozenset(examples.legal[row][p] for p in places)
                known.append(_Draft(examples.words[row], examples.legal[row][place], float(risk[place]), moves_))
        if self.near:
            known.sort(key=lambda draft: draft.risk)
        for draft in known[: self.checks]:
            if arena.loss(draft.words, draft.move) >= self.least:
                return draft
        return None

    def _rewritten(self, arena: Arena, draft: _Draft, rng: np.random.Generator) -> list[_Draft]:
        """A draft's best edits, each looked at by the filter."""
        options = edits(draft.words, squares_of(draft.move, draft.words))
        allowed = np.abs(draft.balance + options.balance) <= self.material
        order = rng.permutation(len(options))
        if self.saliency or self.substitutions:
            gradient = arena.gradient(draft.words, draft.move)
            if self.saliency:
                allowed &= np.isin(options.squares, self._salient(gradient, draft.words))
            if self.substitutions:
                order = np.argsort(_effects(gradient, draft.words, options), kind="stable")
        picked, legal = [], []
        for place in order[allowed[order]]:
            if board := legal_board(options.words[place], draft.move):
                picked.append((np.array(planes.pack(board), np.uint64), int(options.balance[place])))
                legal.append(sorted(moves.encode_all(board.legal_moves, board.turn)))
            if len(picked) == self.shortlist:
                break
        if not picked:
            return []
        out = []
        seen = arena.risks(np.stack([words for words, _ in picked]), legal)
        for (words, gain), risk, numbers in zip(picked, seen, legal, strict=True):
            followed = [pair for pair in zip(risk.tolist(), numbers, strict=True) if pair[1] in draft.known]
            least, move = min(followed)
            out.append(_Draft(words, move, least, draft.known, draft.balance + gain))
        return out

    def _salient(self, gradient: Floats, words: planes.Words) -> npt.NDArray[np.int64]:
        """The squares (from White's view) that the score depends on most, and −1 for the state."""
        weight = np.abs(gradient).sum(0).reshape(64)
        squares = np.argsort(-weight)[: self.salient]
        return np.append(squares if int(words[9]) & 1 else squares ^ 56, -1)


def _effects(gradient: Floats, words: planes.Words, options: Edits) -> Floats:
    """By how much each edit changes the logit, to first order, `[C]`."""
    change = planes.planes(options.words) - planes.planes(words[None])
    return np.asarray(np.tensordot(change, gradient, 3))
