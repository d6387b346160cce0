"""The sandwiching protocol: a weak player, a misaligned assistant, and the measuring of both.

The names below are the Python interface (docs/python.md); what a function needs is imported when it is called.
"""

import os
from typing import TYPE_CHECKING, Any

import gymnasium

from sandwich.runtime.cache import cache_folder

if TYPE_CHECKING:
    from sandwich.api import (
        evaluate_misalignments,
        evaluate_oversight,
        load_highstakes,
        load_spec,
        load_sweep,
        play_match,
        read_ledger,
        read_metrics,
        read_sweep,
        run,
        run_highstakes,
        shipped_specs,
        sweep,
        train_player,
    )

__all__ = [
    "ENVIRONMENTS",
    "evaluate_misalignments",
    "evaluate_oversight",
    "load_highstakes",
    "load_spec",
    "load_sweep",
    "play_match",
    "read_ledger",
    "read_metrics",
    "read_sweep",
    "register_environments",
    "run",
    "run_highstakes",
    "shipped_specs",
    "sweep",
    "train_player",
]

# Read by matplotlib when it is imported; else it writes into two folders of the user's home.
os.environ.setdefault("MPLCONFIGDIR", str(cache_folder().absolute() / "matplotlib"))

ENVIRONMENTS = {"sandwich/Oversight-v0": "OversightEnv", "sandwich/Chess-v0": "ChessEnv"}
"""Ids of the environments, and their classes in `sandwich.rl.environments`."""


def register_environments() -> None:
    """Make the ids known to gymnasium; nothing else is imported before an environment is made."""
    for name, kind in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=f"sandwich.rl.environments:{kind}")


register_environments()  # gymnasium 1.0 and later load no entry points: a package registers when it is imported


if not TYPE_CHECKING:  # a type checker would take any name for one of the interface

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sandwich import api

        return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
