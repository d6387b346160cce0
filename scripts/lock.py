"""Writes requirements.lock: what pyproject.toml asks for, `dev` included, with exact versions.

pip resolves for this machine; the markers of every package are then evaluated for all the platforms
below, and what only another one needs is resolved as well. So one file serves them all. It is made
with the oldest Python that the project supports: newer ones can install what that one can.

usage: python scripts/lock.py   (`make lock`; needs Python 3.11)
"""

import itertools
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = (("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"))

HEADER = """\
# Every package that the project and its tests need, with its exact version.
# Made by `make lock` from pyproject.toml; do not edit.
# For Python {first} to {last} on Linux and macOS. The libraries of a GPU are not listed: where torch's
# build for the platform needs them (nvidia-*, cuda-*, triton), it brings them itself.
"""

OF_TORCH = ("nvidia-", "cuda-", "triton")

Environment = dict[str, str]

ENVIRONMENTS: list[Environment] = [
    {
        "os_name": "posix",
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for python, (sys_platform, system, machine) in itertools.product(PYTHONS, PLATFORMS)
]

MARKERS = [
    'sys_platform == "linux"',
    'sys_platform == "darwin"',
    *(f'python_version {sign} "{python}"' for python in PYTHONS[1:] for sign in ("<", ">=")),
]


def wanted() -> list[Requirement]:
    """What pyproject.toml asks for, to run, to test and to build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    return [Requirement(line) for line in lines + project["build-system"]["requires"]]


def resolve(requirements: Iterable[Requirement]) -> dict[str, Any]:
    """Metadata of each package that pip would install here, by name."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, *map(str, requirements)], stdout=subprocess.PIPE, check=True)
    packages = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return {canonicalize_name(package["name"]): package for package in packages}


def applies(marker: Marker | None, environment: Environment, extra: str) -> bool:
    """Whether a requirement with that marker counts there."""
    return marker is None or marker.evaluate({**environment, "extra": extra})


def needed(roots: Iterable[Requirement], packages: dict[str, Any], environment: Environment) -> dict[str, Requirement]:
    """All packages of one environment, by name, each with a requirement that led to it."""
    found: dict[str, Requirement] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(root, "") for root in roots]
    while todo:
        requirement, of_extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if not applies(requirement.marker, environment, of_extra) or name.startswith(OF_TORCH):
            continue
        found.setdefault(name, requirement)
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                lines = packages.get(name, {}).get("requires_dist", ())
                todo += [(Requirement(line), extra) for line in lines]
    return found


def marker_for(places: set[int]) -> str:
    """Marker that says in which of ENVIRONMENTS a package is needed; empty where none says it."""
    for marker in MARKERS:
        if {i for i, environment in enumerate(ENVIRONMENTS) if Marker(marker).evaluate(environment)} == places:
            return f" ; {marker}"
    return ""


def main() -> None:
    if sys.version_info[:2] != OLDEST:
        sys.exit(f"make lock needs Python {OLDEST[0]}.{OLDEST[1]} in .venv, this is {sys.version.split()[0]}")
    roots = wanted()
    extra: dict[str, Requirement] = {}
    while True:
        packages = resolve([*roots, *extra.values()])
        places: dict[str, set[int]] = {}
        for i, environment in enumerate(ENVIRONMENTS):
            for name, requirement in needed(roots, packages, environment).items():
                places.setdefault(name, set()).add(i)
                if name not in packages:
                    extra[name] = Requirement(f"{requirement.name}{requirement.specifier}")
        if set(places) <= set(packages):
            break
    lines = [
        f"{name}=={Version(packages[name]['version']).public}{marker_for(places[name])}\n" for name in sorted(places)
    ]
    header = HEADER.format(first=PYTHONS[0], last=PYTHONS[-1])
    (ROOT / "requirements.lock").write_text(header + "".join(lines), encoding="utf-8")
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
