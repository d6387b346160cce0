"""Monte-Carlo tree search with PUCT: many trees at once, the leaves of all of them evaluated in one batch.

The rule is AlphaZero's (Silver et al., 2017): at each node the move with the greatest
Q + c · P · √N / (1 + n), where P is the network's prior, N the visits of the node and n those of the
move. A move without a visit has the value of its node less `FIRST_PLAY`. No noise is added to the
priors, and a position's repetitions are not seen: a position and a number of simulations have one answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engines import planes
from engines.inference import Evaluation, Evaluator, Floats
from engines.positions import successors

Halted = Callable[[], bool]
"""Whether a search is to end; asked before each of its simulations."""

FIRST_PLAY = 0.1
"""What a move without a visit is worth less than its node, in expected score."""


@dataclass(eq=False)
class _Node:
    """A position in a tree: its moves, and what its visits have brought, for its side to move."""

    packed: planes.Packed
    legal: list[int]
    prior: Floats
    value: float
    visits: npt.NDArray[np.int64] = field(init=False)
    total: npt.NDArray[np.float64] = field(init=False)
    children: "list[_Node | float | None]" = field(init=False)
    """For each move: not visited yet, the score of a finished game for who moved, or the node it leads to."""

    def __post_init__(self) -> None:
        self.visits = np.zeros(len(self.legal), np.int64)
        self.total = np.zeros(len(self.legal))
        self.children = [None] * len(self.legal)

    def choose(self, exploration: float) -> int:
        mean = np.where(self.visits > 0, self.total / np.maximum(self.visits, 1), self.mean - FIRST_PLAY)
        bonus = exploration * self.prior * np.sqrt(self.visits.sum() + 1) / (1 + self.visits)
        return int((mean + bonus).argmax())

    @property
    def mean(self) -> float:
        """Expected score, the network's own view counted as one visit."""
        return float((self.value + self.total.sum()) / (1 + self.visits.sum()))


class TreeSearch:
    """An evaluator that searches: its policy is the share of visits, its value the mean of the root.

    network: evaluates the leaves.
    simulations: leaves looked at for each position, the root not counted.
    exploration: c of the rule.
    limit: asked at the beginning of each search for what may end it before its last simulation; one without a
        simulation says what the network does. None: nothing does.
    """

    def __init__(
        self,
        network: Evaluator,
        simulations: int,
        exploration: float = 1.5,
        limit: Callable[[], Halted] | None = None,
    ) -> None:
        self._network = network
        self._simulations = simulations
        self._exploration = exploration
        self._limit = limit

    def __call__(self, packed: planes.Packed, legal: Sequence[Sequence[int]]) -> Evaluation:
        return self.search(packed, legal, 0.0, [])

    def search(
        self, packed: planes.Packed, legal: Sequence[Sequence[int]], sigma: float, rngs: Sequence[np.random.Generator]
    ) -> Evaluation:
        """As a call, with Gaussian noise of standard deviation `sigma` on the network's value of every leaf.

        The noise on a tree comes from the generator of its root, in the order of its simulations.
        """

        def disturbed(value: float, tree: int) -> float:
            return float(np.clip(value + (sigma * rngs[tree].standard_normal() if sigma else 0.0), 0, 1))

        halted = self._limit() if self._limit else None
        evaluation = self._network(packed, legal)
        roots = [
            _Node(
                packed[tree], list(legal[tree]), evaluation.policy[tree], disturbed(float(evaluation.value[tree]), tree)
            )
            for tree in range(len(legal))
        ]
        for _ in range(self._simulations):
            if halted and halted():
                break
            paths = [self._descend(root) for root in roots]
            leaves = [tree for tree, path in enumerate(paths) if path[-1][0].children[path[-1][1]] is None]
            values: list[float] = [0.0] * len(roots)
            for tree, path in enumerate(paths):
                node, move = path[-1]
                end = node.children[move]
                if isinstance(end, float):
                    values[tree] = end
            if leaves:
                self._expand(leaves, paths, values, disturbed)
            for path, value in zip(paths, values, strict=True):
                for node, move in reversed(path):
                    node.visits[move] += 1
                    node.total[move] += value
                    value = 1 - value
        return self._outcome(legal, roots, evaluation)

    def _descend(self, root: _Node) -> list[tuple[_Node, int]]:
        """Way from the root to a move that leads out of the tree or to the end of a game."""
        path: list[tuple[_Node, int]] = []
        node: _Node | float | None = root
        while isinstance(node, _Node):
            move = node.choose(self._exploration)
            path.append((node, move))
            node = node.children[move]
        return path

    def _expand(
        self,
        leaves: list[int],
        paths: list[list[tuple[_Node, int]]],
        values: list[float],
        disturbed: Callable[[float, int], float],
    ) -> None:
        """Evaluate the new leaf of each of these trees; `values` gets its worth for who moved there."""
        ends = [paths[tree][-1] for tree in leaves]
        after = successors(np.array([node.packed for node, _ in ends]), [node.legal[move] for node, move in ends])
        going_on = np.flatnonzero(np.isnan(after.score))
        for row, (node, move) in enumerate(ends):
            if not np.isnan(after.score[row]):
                node.children[move] = values[leaves[row]] = float(1 - after.score[row])
        if not len(going_on):
            return
        evaluation = self._network(after.packed[going_on], [after.legal[row] for row in going_on])
        for place, row in enumerate(going_on.tolist()):
            node, move = ends[row]
            tree = leaves[row]
            child = _Node(
                after.packed[row],
                after.legal[row],
                evaluation.policy[place],
                disturbed(float(evaluation.value[place]), tree),
            )
            node.children[move] = child
            values[tree] = 1 - child.value

    @staticmethod
    def _outcome(legal: Sequence[Sequence[int]], roots: list[_Node], evaluation: Evaluation) -> Evaluation:
        policies = []
        for root in roots:
            weight = root.visits + 1e-3 * root.prior  # of two moves with as many visits the likelier comes first
            policies.append((weight / weight.sum()).astype(np.float32))
        value = np.array([root.mean for root in roots], np.float32)
        draw = np.minimum(evaluation.wdl[:, 1], 2 * np.minimum(value, 1 - value))
        wdl = np.stack([value - draw / 2, draw, 1 - value - draw / 2], 1).astype(np.float32)
        return Evaluation(legal, policies, wdl)
