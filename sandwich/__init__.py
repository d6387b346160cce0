"""The sandwiching protocol: a weak player, a misaligned assistant, and the measuring of both."""

import gymnasium

ENVIRONMENTS = {"sandwich/Oversight-v0": "OversightEnv", "sandwich/Chess-v0": "ChessEnv"}
"""Ids of the environments, and their classes in `sandwich.rl.environments`."""


def register_environments() -> None:
    """Make the ids known to gymnasium; nothing else is imported before an environment is made."""
    for name, kind in ENVIRONMENTS.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=f"sandwich.rl.environments:{kind}")


register_environments()  # gymnasium 1.0 and later load no entry points: a package registers when it is imported
