"""Learned: a small policy, trained in games, says what to do with the advice."""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from agents.checkpoint_files import Named
from engines.checkpoints import CheckpointError, read
from engines.paths import is_file
from sandwich.oversight.consult import Floats
from sandwich.oversight.deliberation import FEATURES, Action, Deliberation, Situation

SHIPPED = "oversight"
"""Name of the policy that comes with the package."""
FORMAT = "sandwich-oversight-1"


@dataclass(frozen=True, eq=False)
class Policy:
    """Two layers over the features of a situation: logits = out · tanh(hidden · [features, 1]) + bias.

    hidden: `[H, F + 1]`, the last column the bias.
    out: `[4, H + 1]`, the last column the bias.
    """

    hidden: Floats
    out: Floats

    def __post_init__(self) -> None:
        units = len(self.hidden)
        expected = (units, len(FEATURES) + 1), (len(Action), units + 1)
        if (self.hidden.shape, self.out.shape) != expected:
            raise ValueError(f"expected weights of shapes {expected}, got {self.hidden.shape}, {self.out.shape}")
        if not (np.isfinite(self.hidden).all() and np.isfinite(self.out).all()):
            raise ValueError("expected finite weights")

    def logits(self, features: Floats) -> Floats:
        """`[4]` of one situation, of the actions in their order."""
        inner = np.tanh(self.hidden[:, :-1] @ features + self.hidden[:, -1])
        return np.asarray(self.out[:, :-1] @ inner + self.out[:, -1])

    def best(self, features: Floats, mask: npt.NDArray[np.bool_]) -> int:
        """The likeliest of the actions that can be taken."""
        return int(np.where(mask, self.logits(features), -np.inf).argmax())

    def to_bytes(self, about: dict[str, Any] | None = None) -> bytes:
        """The content of its file; `about` (JSON values) says where the weights come from."""
        description = {"format": FORMAT, "features": list(FEATURES), "actions": [action.name for action in Action]}
        header = json.dumps({**description, "about": about or {}}, sort_keys=True)
        return save({"hidden": self.hidden, "out": self.out}, {"policy": header})


def policy_from(content: bytes, source: str = "policy") -> Policy:
    """The policy of a file's content. Raises CheckpointError in one line, which names `source`."""
    from engines.network import metadata_of  # loads torch, which who only reads need not wait for

    try:
        description = json.loads(metadata_of(content, source).get("policy", "{}"))
    except (json.JSONDecodeError, RecursionError):
        description = None
    if not isinstance(description, dict):
        raise CheckpointError(f"{source}: what it says of itself is no JSON object")
    known = {"format": FORMAT, "features": list(FEATURES), "actions": [action.name for action in Action]}
    for key, expected in known.items():
        if description.get(key) != expected:
            raise CheckpointError(f"{source}: expected {key} {expected!r}, got {description.get(key)!r}")
    try:
        tensors = load(content)
        return Policy(tensors["hidden"], tensors["out"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{source}: {error}") from None


def policy_path(name: str) -> Path:
    """File of a policy by the shipped name or its path; CheckpointError if there is none."""
    shipped = Path(str(files("sandwich.oversight"))) / "checkpoints" / f"{SHIPPED}.safetensors"
    path = shipped if name == SHIPPED else Path(name)
    if not is_file(path):
        raise CheckpointError(f"unknown oversight policy {name!r}; known: {SHIPPED}, or the path of a file")
    return path


@lru_cache
def load_policy(name: str) -> Policy:
    """A policy by the shipped name or the path of its file. Raises CheckpointError."""
    return policy_from(read(policy_path(name)), name)


class Learned(Deliberation):
    """Does what a small policy says that was trained in games: refuse, believe, ask again, or ask elsewhere.

    The shipped policy was trained with the defaults of `asks` and `replies` (sandwich/checkpoints/oversight.md).
    """

    policy: Annotated[str, Named(policy_path, policy_from)] = SHIPPED
    """The shipped name `oversight`, or the path of a file that `sandwich train oversight` wrote."""

    def action(self, situation: Situation) -> int:
        return load_policy(self.policy).best(situation.features, situation.mask)

    def confidence(self, situation: Situation) -> float:
        """The logit of believing less that of refusing."""
        logits = load_policy(self.policy).logits(situation.features)
        return float(logits[Action.ADVICE] - logits[Action.OWN])
