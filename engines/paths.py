"""Words that may be paths of files."""

from pathlib import Path


def is_file(name: str | Path) -> bool:
    """Whether a word is the path of a file that is there; one that can't be a path is none."""
    try:
        return Path(name).is_file()
    except OSError:  # too long a name, such as a command line
        return False
