"""Specs that come with a package, and how a name becomes the file of one.

A package ships specs by an entry point of the group `sandwich.specs`, whose value is the dotted path of
their folder, such as `experiments.specs`; nothing is imported but the package at its top.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

from engines.settings import SpecError
from engines.suggestions import near

GROUP = "sandwich.specs"
"""Entry points whose values are folders of specs."""


@cache
def shipped_folders() -> tuple[Path, ...]:
    """Folders of specs that installed packages ship, in the order of their entry points' names."""
    folders = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        package, *inside = entry.value.split(".")
        folders.append(Path(str(files(package))).joinpath(*inside))
    return tuple(dict.fromkeys(folders))


def shipped_specs() -> Mapping[str, Sequence[Path]]:
    """Files of the shipped specs by name; more than one file where two packages ship the same name."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in shipped_folders():
        for path in sorted(folder.glob("*.yaml")):
            found[path.stem].append(path)
    return dict(sorted(found.items()))


def find_spec(source: str | Path) -> Path:
    """The file of a spec: a path that exists, else the shipped spec of that name.

    Raises SpecError, which names the shipped spec that was meant, or all of them, where there is neither.
    """
    path = Path(source)
    if path.exists() and not path.is_dir():
        return path
    specs = shipped_specs()
    candidates = specs.get(str(source), ())
    if len(candidates) > 1:
        both = " and ".join(map(str, candidates))
        raise SpecError(f"spec {str(source)!r} is shipped more than once, give its path: {both}")
    if not candidates:
        what = f"{source} is a folder and no spec" if path.is_dir() else f"no spec at {source}"
        if one := near(path.name if path.is_dir() else str(source).removesuffix(".yaml"), specs):
            raise SpecError(f"{what}: expected a YAML file, or a shipped spec; did you mean {one}?")
        if path.is_dir() or path.suffix or len(path.parts) > 1:
            raise SpecError(f"{what}: expected the path of a YAML file, or the name of a shipped spec, such as default")
        raise SpecError(f"{what}: expected a YAML file, or a shipped spec: {', '.join(specs)}")
    return candidates[0]


def plugin_folder(spec: Path) -> Path:
    """Where a `file:Class` of a spec is looked for: beside its file; for a shipped one in the current folder."""
    return Path() if spec.parent in shipped_folders() else spec.parent
