"""Where lies what is kept between runs: the oracle's looks, and the notes of libraries."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """`$SANDWICH_CACHE`, else the user's cache folder of this project; it need not be there yet."""
    folder = os.environ.get("SANDWICH_CACHE")
    return Path(folder) if folder else platformdirs.user_cache_path("sandwich")


def notes_folder(otherwise: Path) -> Path:
    """The cache folder, made if need be, for the notes of a library; another where it can't be written to."""
    folder = cache_folder().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return otherwise
    return folder if os.access(folder, os.W_OK) else otherwise


def endgame_folder() -> Path:
    """Where solved endgames are kept."""
    return cache_folder() / "endgames"
